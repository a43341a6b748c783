#include "conf/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/meta.h"

enum { DESCRIBE_MAX = 64, ENV_NAME_MAX = 64 };

static bool fail_type(struct report *r, const struct node *at, const char *wanted)
{
    report_wrong(r, at, wanted);
    return false;
}

bool value_host(struct report *r, const struct node *at, struct addr *host)
{
    struct err e = {0};
    if (at->type != NODE_TEXT)
        return fail_type(r, at, "an address as text");
    if (addr_parse_host(host, at->text, strlen(at->text), &e) == 0)
        return true;
    report_error(r, at, "invalid address: %s; want an IP address or a name", e.text);
    return false;
}

bool value_integer(struct report *r, const struct node *at, int64_t min, int64_t max, int64_t *to)
{
    char want[64];
    if (!at || at->type == NODE_NULL)
        return true;
    if (at->type == NODE_INTEGER && at->integer >= min && at->integer <= max) {
        *to = at->integer;
        return true;
    }
    snprintf(want, sizeof want, "a whole number %" PRId64 "..%" PRId64, min, max);
    return fail_type(r, at, want);
}

bool value_port(struct report *r, const struct node *at, uint16_t *port)
{
    if (at->type != NODE_INTEGER || at->integer < 1 || at->integer > UINT16_MAX)
        return fail_type(r, at, "a port 1..65535");
    *port = (uint16_t)at->integer;
    return true;
}

/* Digits only; at most 65535. */
static bool read_digits(const char **p, uint16_t *port)
{
    unsigned v = 0;
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); ++*p) {
        v = v * 10 + (unsigned)(**p - '0');
        if (v > UINT16_MAX)
            return false;
    }
    *port = (uint16_t)v;
    return true;
}

static bool read_range(const char *text, struct port_range *range)
{
    if (!read_digits(&text, &range->from))
        return false;
    range->to = range->from;
    if (*text == '-') {
        text++;
        if (!read_digits(&text, &range->to))
            return false;
    }
    return !*text && range->from <= range->to;
}

/* NAME, or its form that a shell can set: "v2ray.port" is also V2RAY_PORT. */
static const char *environment(const char *name)
{
    char upper[ENV_NAME_MAX];
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): no other thread yet */
    size_t len = strlen(name);
    if (value || len >= sizeof upper)
        return value;
    for (size_t i = 0; i <= len; i++)
        upper[i] = name[i] == '.' ? '_' : (char)toupper((unsigned char)name[i]);
    return getenv(upper); /* NOLINT(concurrency-mt-unsafe) */
}

const char *value_env(struct report *r, const struct node *at, const char *text)
{
    if (strncmp(text, "env:", 4) != 0)
        return text;
    const char *value = environment(text + 4);
    if (value && *value)
        return value;
    report_error(r, at, "the environment has no \"%.64s\"", text + 4);
    return NULL;
}

bool value_port_range(struct report *r, const struct node *at, struct port_range *range)
{
    const char *text = at->type == NODE_TEXT ? at->text : NULL;
    uint16_t port;
    if (at->type == NODE_INTEGER) {
        if (!value_port(r, at, &port))
            return false;
        *range = (struct port_range){port, port};
        return true;
    }
    if (!text)
        return fail_type(r, at, "a port 1..65535, \"80-90\" or \"env:NAME\"");
    if (strncmp(text, "env:", 4) == 0) {
        text = environment(text + 4);
        if (!text) {
            report_error(r, at, "invalid port range: the environment has no \"%.64s\"",
                         at->text + 4);
            return false;
        }
    }
    if (read_range(text, range) && range->from > 0)
        return true;
    report_error(r, at,
                 "invalid port range: want 1..65535, \"80-90\" or \"env:NAME\", got \"%.64s\"",
                 at->text);
    return false;
}

static bool texts_of_array(struct report *r, const struct node *at, struct text_list *list)
{
    bool ok = true;
    for (const struct node *n = at->first; n; n = n->next) {
        if (n->type == NODE_TEXT)
            list->items[list->count++] = (struct text_item){n->text, n};
        else
            ok = fail_type(r, n, "text");
    }
    return ok;
}

static bool texts_of_commas(struct report *r, struct arena *a, const struct node *at,
                            struct text_list *list)
{
    for (const char *p = at->text, *end;; p = end + 1) {
        end = p + strcspn(p, ",");
        const char *from = p, *to = end;
        while (from < to && *from == ' ')
            from++;
        while (to > from && to[-1] == ' ')
            to--;
        if (from != p || to != end)
            report_warn(r, at, "spaces around \"%.*s\" are left out; V2Ray would keep them",
                        to - from > 64 ? 64 : (int)(to - from), from);
        char *text = arena_text(a, from, (size_t)(to - from));
        if (!text)
            return false;
        list->items[list->count++] = (struct text_item){text, at};
        if (!*end)
            return true;
    }
}

bool value_texts(struct report *r, struct arena *a, const struct node *at, struct text_list *list)
{
    size_t most = 1;
    *list = (struct text_list){0};
    if (!at)
        return true;
    if (at->type != NODE_ARRAY && at->type != NODE_TEXT) {
        char got[DESCRIBE_MAX];
        report_error(r, at,
                     "unknown format of a string list: want [\"a\", \"b\"] or \"a,b\", got %s",
                     node_describe(at, got, sizeof got));
        return false;
    }
    if (at->type == NODE_TEXT && !*at->text)
        return true;
    if (at->type == NODE_ARRAY)
        most = node_count(at);
    else
        for (const char *p = at->text; *p; p++)
            most += *p == ',';
    list->items = arena_array(a, most, sizeof *list->items);
    if (!list->items)
        return false;
    return at->type == NODE_ARRAY ? texts_of_array(r, at, list) : texts_of_commas(r, a, at, list);
}

bool value_networks(struct report *r, struct arena *a, const struct node *at, unsigned *mask)
{
    struct text_list words;
    if (!value_texts(r, a, at, &words))
        return false;
    *mask = 0;
    for (size_t i = 0; i < words.count; i++) {
        if (strcasecmp(words.items[i].text, "tcp") == 0)
            *mask |= NET_TCP;
        else if (strcasecmp(words.items[i].text, "udp") == 0)
            *mask |= NET_UDP;
        else
            report_warn(r, words.items[i].at, "want tcp or udp, got \"%.64s\": it never matches",
                        words.items[i].text);
    }
    return true;
}

int value_name(struct report *r, const struct node *at, const struct field_name *names,
               const char *unknown, const char *later)
{
    char advice[192];
    if (at->type != NODE_TEXT) {
        fail_type(r, at, "text");
        return NAME_DEFAULT;
    }
    const struct field_name *name = field_name_find(names, at->text);
    if (!name)
        report_error(r, at, "%s: %.64s%s", unknown, at->text,
                     field_name_advice(names, at->text, advice, sizeof advice));
    else if (name->value == NAME_LATER)
        report_error(r, at, "v2c has no %s %s yet", name->text, later);
    return name ? name->value : NAME_DEFAULT;
}

/* --- a duration, as Go writes it --- */

static bool unit_of(const char **p, double *seconds)
{
    static const struct {
        const char *text;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].text);
        if (strncmp(*p, units[i].text, len) != 0)
            continue;
        *p += len;
        *seconds = units[i].seconds;
        return true;
    }
    return false;
}

/* Digits, perhaps with a point among them. */
static bool number_of(const char **p, double *number)
{
    size_t len = strspn(*p, "0123456789.");
    char digits[32], *end;
    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, *p, len);
    digits[len] = '\0';
    *number = strtod(digits, &end);
    *p += len;
    return !*end && len > 0 && strcmp(digits, ".") != 0;
}

bool value_duration(const char *text, double *seconds)
{
    double number, unit, sum = 0;
    if (!*text)
        return false;
    while (*text) {
        if (!number_of(&text, &number) || !unit_of(&text, &unit))
            return false;
        sum += number * unit;
    }
    *seconds = sum;
    return true;
}

bool value_seconds(struct report *r, const struct node *at, double min, double max, double *to)
{
    double seconds = 0;
    char wanted[96];
    if (!at || at->type == NODE_NULL)
        return true;
    bool read =
        at->type == NODE_INTEGER || (at->type == NODE_TEXT && value_duration(at->text, &seconds));
    if (at->type == NODE_INTEGER)
        seconds = (double)at->integer;
    if (read && seconds >= min && seconds <= max) {
        *to = seconds;
        return true;
    }
    snprintf(wanted, sizeof wanted, "%g to %g seconds, as a number or text like \"500ms\"", min,
             max);
    if (at->type != NODE_TEXT)
        return fail_type(r, at, wanted);
    report_error(r, at, "want %s, got \"%.64s\"", wanted, at->text);
    return false;
}

bool node_list_add(struct node_list *list, struct arena *a, const struct node *n)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        const struct node **items = arena_array(a, room, sizeof(const struct node *));
        if (!items)
            return false;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(const struct node *));
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = n;
    return true;
}

void value_objects(struct report *r, struct arena *a, const struct node *at, struct node_list *list)
{
    if (!at || at->type == NODE_NULL)
        return;
    if (at->type != NODE_ARRAY) {
        fail_type(r, at, "an array");
        return;
    }
    for (const struct node *n = at->first; n; n = n->next) {
        if (n->type != NODE_OBJECT) {
            fail_type(r, n, "an object");
        } else if (!node_list_add(list, a, n)) {
            return;
        }
    }
}

bool value_is_line(const char *text, char from)
{
    for (; *text; text++)
        if ((uint8_t)*text < (uint8_t)from || *text == 0x7f)
            return false;
    return true;
}
