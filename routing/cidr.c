#include "routing/cidr.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { V4 = 4, V6 = 16 };

/* Ranges of one family: the first and the last address, `width` bytes each, as on the wire, so that
 * memcmp() orders them. */
struct range_list {
    uint8_t *bytes;
    size_t count, room;
};

struct cidr_set {
    atomic_uint others; /* references beyond the first */
    struct range_list v4, v6;
    struct cidr_set **parts; /* lists that are included */
    size_t part_count;
};

static int out_of_memory(struct err *e)
{
    return err_set(e, ENOMEM, "out of memory");
}

static bool list_grow(struct range_list *l, size_t width)
{
    if (l->count < l->room)
        return true;
    size_t room = l->room + l->room / 2 + 4;
    uint8_t *bytes = realloc(l->bytes, room * 2 * width);
    if (!bytes)
        return false;
    l->bytes = bytes;
    l->room = room;
    return true;
}

/* The host's bits are 0 in the first address and 1 in the last. */
static void write_range(uint8_t *range, const uint8_t *ip, size_t width, unsigned prefix)
{
    for (size_t i = 0; i < width; i++) {
        unsigned fixed = prefix > 8 * i ? prefix - 8 * (unsigned)i : 0;
        uint8_t host = (uint8_t)(fixed >= 8 ? 0 : 0xff >> fixed);
        range[i] = (uint8_t)(ip[i] & ~host);
        range[width + i] = ip[i] | host;
    }
}

static bool parse_prefix(const char *text, unsigned max, unsigned *prefix)
{
    unsigned v = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (unsigned)(*text - '0');
        if (v > max)
            return false;
    }
    *prefix = v;
    return true;
}

/* geoip: and ext: name lists in files, which conf reads. */
static int refuse_lists(const char *text, struct err *e)
{
    static const char *const lists[] = {"geoip:", "ext:", "ext-ip:"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strncmp(text, lists[i], strlen(lists[i])))
            return err_set(e, ENOTSUP, "%s lists are not possible here", lists[i]);
    return 0;
}

int cidr_set_add_bytes(struct cidr_set *s, const uint8_t *ip, size_t len, unsigned prefix,
                       struct err *e)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (len == V6 && prefix >= 96 && !memcmp(ip, mapped, sizeof mapped))
        return cidr_set_add_bytes(s, ip + 12, V4, prefix - 96, e);
    if ((len != V4 && len != V6) || prefix > 8 * len)
        return err_set(e, EINVAL, "an IP of %zu bytes with a prefix of %u bits", len, prefix);
    struct range_list *l = len == V4 ? &s->v4 : &s->v6;
    if (!list_grow(l, len))
        return out_of_memory(e);
    write_range(l->bytes + l->count++ * 2 * len, ip, len, prefix);
    return 0;
}

static int add_all_but(struct cidr_set *s, const char *text, struct err *e)
{
    struct cidr_set *list = cidr_set_new();
    if (!list)
        return out_of_memory(e);
    int bad = cidr_set_add(list, text, e);
    if (!bad)
        bad = cidr_set_seal(list) < 0 || cidr_set_add_rest(s, list, e) < 0 ? -1 : 0;
    cidr_set_free(list);
    return bad;
}

int cidr_set_add(struct cidr_set *s, const char *text, struct err *e)
{
    struct addr a;
    struct err why;
    size_t len = strcspn(text, "/");
    if (refuse_lists(text, e) < 0)
        return -1;
    if (text[0] == '!' && text[1] != '!')
        return add_all_but(s, text + 1, e);
    if (addr_parse_host(&a, text, len, &why) < 0 || !addr_is_ip(&a))
        return err_set(e, EINVAL, "invalid IP: %.100s: want an address or address/prefix length",
                       text);
    unsigned prefix = (unsigned)(8 * addr_ip_len(&a));
    if (text[len] && !parse_prefix(text + len + 1, prefix, &prefix))
        return err_set(e, EINVAL, "invalid IP: %.100s: want a prefix length of 0..%u", text,
                       prefix);
    return cidr_set_add_bytes(s, a.ip, addr_ip_len(&a), prefix, e);
}

int cidr_set_include(struct cidr_set *s, struct cidr_set *list, struct err *e)
{
    struct cidr_set **parts = realloc(s->parts, (s->part_count + 1) * sizeof(struct cidr_set *));
    if (!parts)
        return out_of_memory(e);
    atomic_fetch_add(&list->others, 1);
    s->parts = parts;
    s->parts[s->part_count++] = list;
    return 0;
}

/* One more (step 1) or one less (step 0xff); false when there is no such address. */
static bool move_ip(uint8_t *ip, size_t width, uint8_t step)
{
    for (size_t i = width; i-- > 0;) {
        ip[i] = (uint8_t)(ip[i] + step);
        if (ip[i] != (step == 1 ? 0 : 0xff))
            return true;
    }
    return false;
}

static bool append_range(struct range_list *l, const uint8_t *first, const uint8_t *last,
                         size_t width)
{
    if (!list_grow(l, width))
        return false;
    memcpy(l->bytes + l->count * 2 * width, first, width);
    memcpy(l->bytes + l->count * 2 * width + width, last, width);
    l->count++;
    return true;
}

/* The gaps between sorted ranges, and what lies before and behind them. */
static bool add_gaps(struct range_list *to, const struct range_list *of, size_t width)
{
    uint8_t next[V6] = {0}, before[V6], end[V6];
    memset(end, 0xff, sizeof end);
    for (size_t i = 0; i < of->count; i++) {
        const uint8_t *first = of->bytes + i * 2 * width, *last = first + width;
        memcpy(before, first, width);
        if (memcmp(next, first, width) < 0) {
            move_ip(before, width, 0xff);
            if (!append_range(to, next, before, width))
                return false;
        }
        memcpy(next, last, width);
        if (!move_ip(next, width, 1))
            return true;
    }
    return append_range(to, next, end, width);
}

int cidr_set_add_rest(struct cidr_set *s, const struct cidr_set *list, struct err *e)
{
    return add_gaps(&s->v4, &list->v4, V4) && add_gaps(&s->v6, &list->v6, V6) ? 0
                                                                              : out_of_memory(e);
}

static int compare_v4(const void *a, const void *b)
{
    return memcmp(a, b, V4);
}

static int compare_v6(const void *a, const void *b)
{
    return memcmp(a, b, V6);
}

/* Of ranges sorted by their first address, joins those that overlap, and gives the spare room back. */
static void list_merge(struct range_list *l, size_t width)
{
    const size_t size = 2 * width;
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        uint8_t *range = l->bytes + i * size;
        uint8_t *last = kept ? l->bytes + (kept - 1) * size : NULL;
        if (!last || memcmp(last + width, range, width) < 0)
            memmove(l->bytes + kept++ * size, range, size);
        else if (memcmp(last + width, range + width, width) < 0)
            memcpy(last + width, range + width, width);
    }
    l->count = kept;
    uint8_t *bytes = kept ? realloc(l->bytes, kept * size) : NULL;
    if (bytes) {
        l->bytes = bytes;
        l->room = kept;
    }
}

int cidr_set_seal(struct cidr_set *s)
{
    if (s->v4.count)
        qsort(s->v4.bytes, s->v4.count, 2 * V4, compare_v4);
    if (s->v6.count)
        qsort(s->v6.bytes, s->v6.count, 2 * V6, compare_v6);
    list_merge(&s->v4, V4);
    list_merge(&s->v6, V6);
    return 0;
}

/* Finds how many ranges start at or below the address; only the last of them can hold it. */
static bool list_match(const struct range_list *l, const uint8_t *ip, size_t width)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(l->bytes + middle * 2 * width, ip, width) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && memcmp(ip, l->bytes + (low - 1) * 2 * width + width, width) <= 0;
}

static bool match_own(const struct cidr_set *s, const struct addr *ip)
{
    switch (ip->type) {
    case ADDR_IPV4:
        return list_match(&s->v4, ip->ip, V4);
    case ADDR_IPV6:
        return list_match(&s->v6, ip->ip, V6);
    default:
        return false;
    }
}

bool cidr_set_match(const struct cidr_set *s, const struct addr *ip)
{
    if (match_own(s, ip))
        return true;
    for (size_t i = 0; i < s->part_count; i++)
        if (cidr_set_match(s->parts[i], ip))
            return true;
    return false;
}

static size_t count_all(const struct cidr_set *s)
{
    size_t count = s->v4.count + s->v6.count;
    for (size_t i = 0; i < s->part_count; i++)
        count += count_all(s->parts[i]);
    return count;
}

bool cidr_set_each(const struct cidr_set *s, size_t most,
                   void (*visit)(void *to, const uint8_t *first, const uint8_t *last, size_t width),
                   void *to)
{
    if (count_all(s) > most)
        return false;
    for (size_t i = 0; i < s->v4.count; i++)
        visit(to, s->v4.bytes + i * 2 * V4, s->v4.bytes + i * 2 * V4 + V4, V4);
    for (size_t i = 0; i < s->v6.count; i++)
        visit(to, s->v6.bytes + i * 2 * V6, s->v6.bytes + i * 2 * V6 + V6, V6);
    for (size_t i = 0; i < s->part_count; i++)
        cidr_set_each(s->parts[i], most, visit, to);
    return true;
}

struct cidr_set *cidr_set_new(void)
{
    return calloc(1, sizeof(struct cidr_set));
}

void cidr_set_free(struct cidr_set *s)
{
    if (!s || atomic_fetch_sub(&s->others, 1) > 0)
        return;
    for (size_t i = 0; i < s->part_count; i++)
        cidr_set_free(s->parts[i]);
    free(s->parts);
    free(s->v4.bytes);
    free(s->v6.bytes);
    free(s);
}
