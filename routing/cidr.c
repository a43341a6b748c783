#include "routing/cidr.h"

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
    struct range_list v4, v6;
};

static struct range_list *list_of(struct cidr_set *s, const struct addr *a)
{
    return a->type == ADDR_IPV4 ? &s->v4 : &s->v6;
}

static bool list_grow(struct range_list *l, size_t width)
{
    if (l->count < l->room)
        return true;
    size_t room = l->room ? l->room + l->room / 2 : 4;
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

static int refuse_lists(const char *text, struct err *e)
{
    static const char *const lists[] = {"geoip:", "ext:", "ext-ip:"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strncmp(text, lists[i], strlen(lists[i])))
            return err_set(e, ENOTSUP, "v2c has no %s lists yet", lists[i]);
    return 0;
}

int cidr_set_add(struct cidr_set *s, const char *text, struct err *e)
{
    struct addr a;
    struct err why;
    size_t len = strcspn(text, "/");
    if (refuse_lists(text, e) < 0)
        return -1;
    if (addr_parse_host(&a, text, len, &why) < 0 || !addr_is_ip(&a))
        return err_set(e, EINVAL, "invalid IP: %.100s: want an address or address/prefix length",
                       text);
    size_t width = addr_ip_len(&a);
    unsigned prefix = (unsigned)(8 * width);
    if (text[len] && !parse_prefix(text + len + 1, prefix, &prefix))
        return err_set(e, EINVAL, "invalid IP: %.100s: want a prefix length of 0..%u", text,
                       prefix);
    struct range_list *l = list_of(s, &a);
    if (!list_grow(l, width))
        return err_set(e, ENOMEM, "out of memory");
    write_range(l->bytes + l->count++ * 2 * width, a.ip, width, prefix);
    return 0;
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

bool cidr_set_match(const struct cidr_set *s, const struct addr *ip)
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

struct cidr_set *cidr_set_new(void)
{
    return calloc(1, sizeof(struct cidr_set));
}

void cidr_set_free(struct cidr_set *s)
{
    if (!s)
        return;
    free(s->v4.bytes);
    free(s->v6.bytes);
    free(s);
}
