#include "conf/shadow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LOOKS = 20 * 1000 * 1000, /* comparisons of two texts in all */
    FACETS = 8,
    NETWORK = 2, /* its place in the table */
};

/* Whether all that the condition `small` matches `big` matches too; false when that is hard to tell. */
typedef bool covers(const char *big, const char *small);

/* --- one text against another --- */

static bool equal(const char *big, const char *small)
{
    return strcmp(big, small) == 0;
}

static bool equal_word(const char *big, const char *small)
{
    return strcasecmp(big, small) == 0;
}

static bool is_prefix(const char *big, const char *small)
{
    return strncasecmp(big, small, strlen(big)) == 0;
}

static const char *behind(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncasecmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* The name in a condition of this kind: "domain:a.b". */
static const char *name_in(const char *text)
{
    const char *name = behind(text, "domain:");
    return name ? name : behind(text, "full:");
}

/* The text that a name must hold; NULL: another kind. */
static const char *keyword_in(const char *text)
{
    const char *plain = strchr(text, ':') ? NULL : text;
    const char *keyword = behind(text, "keyword:");
    return keyword ? keyword : plain;
}

static bool is_below(const char *name, const char *domain)
{
    size_t len = strlen(name), tail = strlen(domain);
    if (len < tail || strcasecmp(name + len - tail, domain) != 0)
        return false;
    return len == tail || name[len - tail - 1] == '.';
}

static bool covers_domain(const char *big, const char *small)
{
    const char *domain = behind(big, "domain:"), *keyword = keyword_in(big);
    const char *name = name_in(small), *piece = name ? name : keyword_in(small);
    if (strcasecmp(big, small) == 0)
        return true;
    if (keyword && piece)
        return strcasestr(piece, keyword) != NULL;
    return domain && name && is_below(name, domain);
}

struct network {
    struct addr ip;
    unsigned bits;
};

static bool network_parse(struct network *n, const char *text)
{
    struct err e;
    const char *slash = strchr(text, '/');
    size_t host = slash ? (size_t)(slash - text) : strlen(text);
    n->ip = (struct addr){0};
    if (addr_parse_host(&n->ip, text, host, &e) < 0 || !addr_is_ip(&n->ip))
        return false;
    n->bits = slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 8 * (unsigned)addr_ip_len(&n->ip);
    return n->bits <= 8 * addr_ip_len(&n->ip);
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned odd = bits % 8, mask = odd ? 0xffu << (8 - odd) & 0xff : 0;
    return memcmp(a, b, bits / 8) == 0 && (!odd || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

static bool covers_ip(const char *big, const char *small)
{
    struct network a, b;
    if (strcasecmp(big, small) == 0)
        return true;
    return network_parse(&a, big) && network_parse(&b, small) && a.ip.type == b.ip.type &&
           a.bits <= b.bits && same_bits(a.ip.ip, b.ip.ip, a.bits);
}

static bool covers_ports(const char *big, const char *small)
{
    struct port_range a, b;
    struct err e;
    return port_range_parse(&a, big, strlen(big), &e) == 0 &&
           port_range_parse(&b, small, strlen(small), &e) == 0 && a.from <= b.from && b.to <= a.to;
}

/* --- conditions --- */

static const struct facet {
    const char *key, *other; /* two keys of one condition; other may be NULL */
    covers *covers;
} facets[FACETS] = {
    {"inboundTag", NULL, equal},
    {"user", NULL, equal},
    [NETWORK] = {"network", NULL, equal_word},
    {"port", NULL, covers_ports},
    {"domain", "domains", covers_domain},
    {"ip", NULL, covers_ip},
    {"source", "sourceIP", covers_ip},
    {"protocol", NULL, is_prefix},
};

/* What says where to, and what says nothing; any other key is a condition that is not compared. */
static const char *const others[] = {"type",    "outboundTag",   "balancerTag",
                                     "ruleTag", "domainMatcher", NULL};

struct condition { /* any of the texts suffices; none: there is no such condition */
    struct text_list lists[2];
};

struct outline { /* of a rule */
    const struct node *at;
    struct condition conditions[FACETS];
    bool more; /* than what is compared */
};

struct shadow {
    struct report *report;
    struct arena *arena;
    long looks; /* left */
};

static bool is_known(const char *key)
{
    for (const char *const *other = others; *other; other++)
        if (strcasecmp(key, *other) == 0)
            return true;
    for (size_t i = 0; i < FACETS; i++)
        if (strcasecmp(key, facets[i].key) == 0 ||
            (facets[i].other && strcasecmp(key, facets[i].other) == 0))
            return true;
    return field_is_comment(key);
}

static void texts_read(struct shadow *s, const struct node *at, struct text_list *list)
{
    if (!at || at->type == NODE_NULL)
        return;
    if (at->type != NODE_INTEGER) {
        value_texts(s->report, s->arena, at, list);
        return;
    }
    list->items = arena_array(s->arena, 1, sizeof *list->items);
    char *digits = arena_printf(s->arena, "%" PRId64, at->integer);
    if (list->items && digits)
        list->items[list->count++] = (struct text_item){digits, at};
}

/* "tcp,udp" is how people write a rule that matches all. */
static void forget_both_networks(struct text_list *list)
{
    bool tcp = false, udp = false;
    for (size_t i = 0; i < list->count; i++) {
        tcp |= strcasecmp(list->items[i].text, "tcp") == 0;
        udp |= strcasecmp(list->items[i].text, "udp") == 0;
    }
    if (tcp && udp)
        list->count = 0;
}

static void outline_read(struct shadow *s, const struct node *rule, struct outline *o)
{
    *o = (struct outline){.at = rule};
    for (size_t i = 0; i < FACETS; i++) {
        texts_read(s, node_get(rule, facets[i].key), &o->conditions[i].lists[0]);
        if (facets[i].other)
            texts_read(s, node_get(rule, facets[i].other), &o->conditions[i].lists[1]);
    }
    forget_both_networks(&o->conditions[NETWORK].lists[0]);
    for (const struct node *n = rule->first; n; n = n->next)
        o->more |= !is_known(n->key) && !node_is_empty(n);
}

static size_t condition_count(const struct condition *c)
{
    return c->lists[0].count + c->lists[1].count;
}

static const char *condition_text(const struct condition *c, size_t i)
{
    const struct text_list *first = &c->lists[0];
    return i < first->count ? first->items[i].text : c->lists[1].items[i - first->count].text;
}

static bool any_covers(struct shadow *s, covers *f, const struct condition *big, const char *small)
{
    for (size_t i = 0; i < condition_count(big) && s->looks-- > 0; i++)
        if (f(condition_text(big, i), small))
            return true;
    return false;
}

static bool condition_covers(struct shadow *s, covers *f, const struct condition *big,
                             const struct condition *small)
{
    size_t count = condition_count(small);
    if (condition_count(big) == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (!any_covers(s, f, big, condition_text(small, i)))
            return false;
    return count > 0;
}

static bool outline_covers(struct shadow *s, const struct outline *big, const struct outline *small)
{
    for (size_t i = 0; i < FACETS; i++)
        if (!condition_covers(s, facets[i].covers, &big->conditions[i], &small->conditions[i]))
            return false;
    return !big->more;
}

static void rule_check(struct shadow *s, const struct outline *all, size_t i)
{
    char pointer[NODE_POINTER_MAX];
    for (size_t j = 0; j < i && s->looks > 0; j++) {
        if (!outline_covers(s, &all[j], &all[i]))
            continue;
        report_warn(s->report, all[i].at,
                    "this rule never matches: %s before it matches all that it does",
                    node_pointer(all[j].at, pointer));
        return;
    }
}

void shadow_check(struct report *r, struct arena *a, const struct node_list *rules)
{
    struct shadow s = {.report = r, .arena = a, .looks = LOOKS};
    struct outline *all = arena_array(a, rules->count, sizeof *all);
    if (!all)
        return;
    for (size_t i = 0; i < rules->count; i++)
        outline_read(&s, rules->items[i], &all[i]);
    for (size_t i = 1; i < rules->count; i++)
        rule_check(&s, all, i);
}
