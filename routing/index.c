#include "routing/index.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES_MAX = 256,  /* of one condition; one with more is matched, not listed */
    CURSORS_MAX = 128, /* lists under the values of one query */
    TAIL_MIN = 3,      /* bytes of a substring that are looked for */
    TAIL_MAX = 16,
    NO_DIMENSION = 255,
};

/* What a rule can be listed under. */
enum dimension {
    BY_NAME,
    BY_TAIL, /* of substrings; listed together with BY_NAME */
    BY_INBOUND,
    BY_USER,
    BY_PORT,
    BY_SOURCE_PORT,
    BY_IP4,
    BY_IP6, /* its upper half; listed together with BY_IP4 */
    BY_SOURCE4,
    BY_SOURCE6,
    DIMENSIONS,
};

/* The rules under one key are postings[start .. start + count - 1], in their order. */
struct slot {
    uint64_t key;
    uint32_t start, count; /* count 0: free */
};

struct rule_index {
    const struct rule *rules;
    size_t rule_count;
    uint8_t secret[crypto_shorthash_KEYBYTES];
    struct slot *slots;
    size_t slot_count;
    uint32_t *postings, *rest; /* rest: rules that are asked always */
    size_t rest_count;
    uint32_t *about[FACT_COUNT]; /* for each fact, the rules that look at it */
    size_t about_count[FACT_COUNT];
    /* Of substrings and ranges: a bit for each length (of a tail, of a prefix) that is in use. */
    uint64_t lengths[DIMENSIONS][2];
    bool used[DIMENSIONS];
};

/* A rule under a key, while the index is made. */
struct entry {
    uint64_t key;
    uint32_t rule;
    uint8_t dimension, length;
};

struct making {
    struct rule_index *ix;
    struct entry *entries;
    size_t count, room;
    uint32_t rule;
    uint8_t dimension;
    bool failed;
};

struct cursor_list {
    const uint32_t *p[CURSORS_MAX], *end[CURSORS_MAX];
    size_t count;
    bool overflow;
};

static uint64_t key_of(const struct rule_index *ix, enum dimension dimension, unsigned length,
                       const void *value, size_t len)
{
    uint8_t bytes[2 + ADDR_NAME_MAX + 1], out[crypto_shorthash_BYTES];
    uint64_t key;
    bytes[0] = (uint8_t)dimension;
    bytes[1] = (uint8_t)length;
    if (len > sizeof bytes - 2)
        len = sizeof bytes - 2;
    memcpy(bytes + 2, value, len);
    crypto_shorthash(out, bytes, 2 + len, ix->secret);
    memcpy(&key, out, sizeof key);
    return key;
}

/* Making: every rule under all keys it could have */

static void list_rule(struct making *m, enum dimension dimension, unsigned length,
                      const void *value, size_t len)
{
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 1024;
        struct entry *entries = realloc(m->entries, room * sizeof *entries);
        if (!entries) {
            m->failed = true;
            return;
        }
        m->entries = entries;
        m->room = room;
    }
    m->entries[m->count++] = (struct entry){
        .key = key_of(m->ix, dimension, length, value, len),
        .rule = m->rule,
        .dimension = (uint8_t)dimension,
        .length = (uint8_t)length,
    };
}

static unsigned zeros_below(uint64_t v, unsigned bits)
{
    unsigned zeros = 0;
    while (zeros < bits && !(v >> zeros & 1))
        zeros++;
    return zeros;
}

/* A range is at most twice as many blocks as it has bits, each of one prefix. */
static void list_range(struct making *m, enum dimension dimension, uint64_t first, uint64_t last,
                       unsigned bits)
{
    for (;;) {
        unsigned size = zeros_below(first, bits);
        while (size > 0 &&
               (size == 64 ? first > 0 || ~last : last - first < ((uint64_t)1 << size) - 1))
            size--;
        uint64_t block = size == 64 ? 0 : first >> size;
        list_rule(m, dimension, bits - size, &block, sizeof block);
        uint64_t end = size == 64 ? last : first + (((uint64_t)1 << size) - 1);
        if (end >= last)
            return;
        first = end + 1;
    }
}

static void list_domain(void *to, enum domain_kind kind, const char *text, size_t len)
{
    struct making *m = to;
    if (kind == DOMAIN_FULL || kind == DOMAIN_SUB) {
        list_rule(m, BY_NAME, 0, text, len);
        return;
    }
    size_t tail = len < TAIL_MAX ? len : TAIL_MAX;
    if (tail < TAIL_MIN)
        m->dimension = NO_DIMENSION;
    else
        list_rule(m, BY_TAIL, (unsigned)tail, text + len - tail, tail);
}

static uint64_t number_of(const uint8_t *ip, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++)
        v = v << 8 | ip[i];
    return v;
}

static void list_ips(void *to, const uint8_t *first, const uint8_t *last, size_t width)
{
    struct making *m = to;
    if (width == 4)
        list_range(m, m->dimension, number_of(first, 4), number_of(last, 4), 32);
    else
        list_range(m, m->dimension + 1, number_of(first, 8), number_of(last, 8), 64);
}

static void list_texts(struct making *m, enum dimension dimension, const struct string_list *l)
{
    for (size_t i = 0; l->count <= VALUES_MAX && i < l->count; i++)
        list_rule(m, dimension, 0, l->items[i], strlen(l->items[i]));
}

static void list_ports(struct making *m, enum dimension dimension, const struct port_set *s)
{
    for (size_t i = 0; s->count <= VALUES_MAX && i < s->count; i++)
        if (s->ranges[i].from <= s->ranges[i].to)
            list_range(m, dimension, s->ranges[i].from, s->ranges[i].to, 16);
}

static void list_cidrs(struct making *m, enum dimension dimension, const struct cidr_set *s)
{
    m->dimension = (uint8_t)dimension;
    if (s)
        cidr_set_each(s, VALUES_MAX, list_ips, m);
}

static void list_domains(struct making *m, const struct domain_set *s)
{
    size_t before = m->count;
    m->dimension = BY_NAME;
    if (s && (!domain_set_each(s, VALUES_MAX, list_domain, m) || m->dimension == NO_DIMENSION))
        m->count = before;
}

static void list_all(struct making *m, const struct rule *r)
{
    list_domains(m, r->domains);
    list_texts(m, BY_INBOUND, &r->inbound_tags);
    if (!r->user_pattern_count)
        list_texts(m, BY_USER, &r->users);
    list_ports(m, BY_PORT, &r->ports);
    list_ports(m, BY_SOURCE_PORT, &r->source_ports);
    list_cidrs(m, BY_IP4, r->ips);
    list_cidrs(m, BY_SOURCE4, r->sources);
}

/* Making: of them, those of the best condition */

static int by_key_and_rule(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->rule > y->rule) - (x->rule < y->rule);
}

/* The condition to which a dimension belongs: its first dimension. */
static unsigned condition_of(unsigned dimension)
{
    return dimension == BY_TAIL || dimension == BY_IP6 || dimension == BY_SOURCE6 ? dimension - 1
                                                                                  : dimension;
}

static size_t group_end(const struct making *m, size_t start)
{
    size_t end = start + 1;
    while (end < m->count && m->entries[end].key == m->entries[start].key)
        end++;
    return end;
}

/* For each rule and condition: how many rules lie under the fullest of its keys; 0: it has none. */
static void crowds_count(const struct making *m, uint32_t (*crowds)[DIMENSIONS])
{
    for (size_t start = 0, end; start < m->count; start = end) {
        end = group_end(m, start);
        for (size_t i = start; i < end; i++) {
            uint32_t *crowd = &crowds[m->entries[i].rule][condition_of(m->entries[i].dimension)];
            if (*crowd < end - start)
                *crowd = (uint32_t)(end - start);
        }
    }
}

static unsigned best_of(const uint32_t crowds[DIMENSIONS])
{
    unsigned best = NO_DIMENSION;
    for (unsigned d = 0; d < DIMENSIONS; d++)
        if (crowds[d] && (best == NO_DIMENSION || crowds[d] < crowds[best]))
            best = d;
    return best;
}

static bool choose(struct making *m, size_t rules)
{
    uint32_t(*crowds)[DIMENSIONS] = calloc(rules, sizeof *crowds);
    size_t kept = 0;
    if (!crowds)
        return false;
    crowds_count(m, crowds);
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        bool twice =
            kept && m->entries[kept - 1].key == e->key && m->entries[kept - 1].rule == e->rule;
        if (!twice && condition_of(e->dimension) == best_of(crowds[e->rule]))
            m->entries[kept++] = *e;
    }
    m->count = kept;
    for (uint32_t i = 0; i < rules; i++)
        if (best_of(crowds[i]) == NO_DIMENSION)
            m->ix->rest[m->ix->rest_count++] = i;
    free(crowds);
    return true;
}

static void place(struct rule_index *ix, uint64_t key, size_t start, size_t count)
{
    size_t i = key & (ix->slot_count - 1);
    while (ix->slots[i].count)
        i = (i + 1) & (ix->slot_count - 1);
    ix->slots[i] = (struct slot){key, (uint32_t)start, (uint32_t)count};
}

/* At most half of the slots are taken. */
static bool fill(struct making *m)
{
    struct rule_index *ix = m->ix;
    for (ix->slot_count = 2; ix->slot_count < 2 * m->count; ix->slot_count *= 2)
        ;
    ix->slots = calloc(ix->slot_count, sizeof *ix->slots);
    ix->postings = calloc(m->count + 1, sizeof *ix->postings);
    if (!ix->slots || !ix->postings)
        return false;
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        ix->postings[i] = e->rule;
        ix->used[e->dimension] = true;
        ix->lengths[e->dimension][e->length / 64] |= (uint64_t)1 << e->length % 64;
    }
    for (size_t start = 0, end; start < m->count; start = end) {
        end = group_end(m, start);
        place(ix, m->entries[start].key, start, end - start);
    }
    return true;
}

static bool list_facts(struct rule_index *ix)
{
    for (unsigned fact = 0; fact < FACT_COUNT; fact++) {
        ix->about[fact] = calloc(ix->rule_count, sizeof(uint32_t));
        if (!ix->about[fact])
            return false;
    }
    for (uint32_t i = 0; i < ix->rule_count; i++) {
        unsigned facts = rule_facts(&ix->rules[i]);
        for (unsigned fact = 0; fact < FACT_COUNT; fact++)
            if (facts >> fact & 1)
                ix->about[fact][ix->about_count[fact]++] = i;
    }
    return true;
}

struct rule_index *rule_index_new(const struct rule *rules, size_t count)
{
    struct rule_index *ix = calloc(1, sizeof *ix);
    struct making m = {.ix = ix};
    if (!ix)
        return NULL;
    ix->rules = rules;
    ix->rule_count = count;
    crypto_shorthash_keygen(ix->secret);
    ix->rest = calloc(count, sizeof *ix->rest);
    for (m.rule = 0; ix->rest && m.rule < count && !m.failed; m.rule++)
        list_all(&m, &rules[m.rule]);
    if (m.count)
        qsort(m.entries, m.count, sizeof *m.entries, by_key_and_rule);
    bool made = ix->rest && !m.failed && choose(&m, count) && fill(&m) && list_facts(ix);
    free(m.entries);
    if (made)
        return ix;
    rule_index_free(ix);
    return NULL;
}

void rule_index_free(struct rule_index *ix)
{
    if (!ix)
        return;
    free(ix->slots);
    free(ix->postings);
    free(ix->rest);
    for (unsigned fact = 0; fact < FACT_COUNT; fact++)
        free(ix->about[fact]);
    free(ix);
}

/* Asking */

static void cursors_add(struct cursor_list *c, const uint32_t *list, size_t count)
{
    if (!count)
        return;
    if (c->count == CURSORS_MAX) {
        c->overflow = true;
        return;
    }
    c->p[c->count] = list;
    c->end[c->count++] = list + count;
}

static void look_up(const struct rule_index *ix, struct cursor_list *c, enum dimension dimension,
                    unsigned length, const void *value, size_t len)
{
    uint64_t key = key_of(ix, dimension, length, value, len);
    for (size_t i = key & (ix->slot_count - 1); ix->slots[i].count;
         i = (i + 1) & (ix->slot_count - 1))
        if (ix->slots[i].key == key) {
            cursors_add(c, ix->postings + ix->slots[i].start, ix->slots[i].count);
            return;
        }
}

static bool has_length(const struct rule_index *ix, enum dimension dimension, unsigned length)
{
    return ix->lengths[dimension][length / 64] >> length % 64 & 1;
}

static void look_up_name(const struct rule_index *ix, struct cursor_list *c, const char *name)
{
    const char *end = name + strlen(name), *dot = NULL;
    for (const char *p = name; ix->used[BY_NAME] && p; p = dot ? dot + 1 : NULL) {
        look_up(ix, c, BY_NAME, 0, p, (size_t)(end - p));
        dot = strchr(p, '.');
    }
    for (unsigned tail = TAIL_MIN; ix->used[BY_TAIL] && tail <= TAIL_MAX; tail++)
        for (const char *p = name; has_length(ix, BY_TAIL, tail) && p + tail <= end; p++)
            look_up(ix, c, BY_TAIL, tail, p, tail);
}

static void look_up_number(const struct rule_index *ix, struct cursor_list *c,
                           enum dimension dimension, uint64_t value, unsigned bits)
{
    for (unsigned length = 0; ix->used[dimension] && length <= bits; length++) {
        uint64_t block = length ? value >> (bits - length) : 0;
        if (has_length(ix, dimension, length))
            look_up(ix, c, dimension, length, &block, sizeof block);
    }
}

static void look_up_ip(const struct rule_index *ix, struct cursor_list *c, enum dimension dimension,
                       const struct addr *ip)
{
    if (ip->type == ADDR_IPV4)
        look_up_number(ix, c, dimension, number_of(ip->ip, 4), 32);
    else if (ip->type == ADDR_IPV6)
        look_up_number(ix, c, dimension + 1, number_of(ip->ip, 8), 64);
}

static void look_up_text(const struct rule_index *ix, struct cursor_list *c,
                         enum dimension dimension, const char *text)
{
    if (ix->used[dimension])
        look_up(ix, c, dimension, 0, text, strlen(text));
}

static void look_up_all(const struct rule_index *ix, struct cursor_list *c, const struct query *q)
{
    const struct meta *m = q->meta;
    cursors_add(c, ix->rest, ix->rest_count);
    if (q->name)
        look_up_name(ix, c, q->name);
    look_up_text(ix, c, BY_INBOUND, m->inbound_tag);
    if (m->user)
        look_up_text(ix, c, BY_USER, m->user->email);
    look_up_number(ix, c, BY_PORT, m->target.port, 16);
    look_up_number(ix, c, BY_SOURCE_PORT, m->source.port, 16);
    look_up_ip(ix, c, BY_SOURCE4, &m->source);
    look_up_ip(ix, c, BY_IP4, &m->target);
    for (size_t i = 0; i < q->ip_count; i++)
        look_up_ip(ix, c, BY_IP4, &q->ips[i]);
}

/* The first rule that any of the lists still has, which then none has any more. */
static bool next_rule(struct cursor_list *c, uint32_t *rule)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < c->count; i++)
        if (c->p[i] < c->end[i] && *c->p[i] < least)
            least = *c->p[i];
    for (size_t i = 0; i < c->count; i++)
        c->p[i] += c->p[i] < c->end[i] && *c->p[i] == least;
    *rule = least;
    return least != UINT32_MAX;
}

/* The number of the first rule that matches and looks at nothing unknown; how many there are: none. Such a
 * rule lies under what is known, so the index finds it. */
static size_t first_certain(const struct rule_index *ix, const struct query *q, unsigned unknown)
{
    struct cursor_list c;
    uint32_t i = 0;
    unsigned lacks;
    c.count = 0;
    c.overflow = false;
    look_up_all(ix, &c, q);
    while (c.overflow ? i < ix->rule_count : next_rule(&c, &i)) {
        if (rule_may_match(&ix->rules[i], q, unknown, &lacks) && !lacks)
            return i;
        i += c.overflow;
    }
    return ix->rule_count;
}

const struct rule *rule_index_match(const struct rule_index *ix, const struct query *q)
{
    size_t i = first_certain(ix, q, 0);
    return i < ix->rule_count ? &ix->rules[i] : NULL;
}

unsigned rule_index_lack(const struct rule_index *ix, const struct query *q, unsigned unknown)
{
    const size_t end = first_certain(ix, q, unknown);
    unsigned found = 0, lacks;
    for (unsigned fact = 0; fact < FACT_COUNT; fact++)
        for (size_t i = 0; (unknown & ~found) >> fact & 1 && i < ix->about_count[fact] &&
                           ix->about[fact][i] < end;
             i++)
            if (rule_may_match(&ix->rules[ix->about[fact][i]], q, unknown, &lacks))
                found |= lacks;
    return found;
}
