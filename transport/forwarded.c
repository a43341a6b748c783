#include "transport/forwarded.h"

#include <stdlib.h>

int net_prefix_parse(struct net_prefix *p, const char *text, struct err *e)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    p->ip.port = 0;
    if (addr_parse_host(&p->ip, text, len, e) < 0)
        return -1;
    if (!addr_is_ip(&p->ip))
        return err_set(e, EINVAL, "want an IP or a network, got \"%.64s\"", text);
    size_t most = addr_ip_len(&p->ip) * 8;
    char *end = NULL;
    unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : most;
    if (slash && (slash[1] < '0' || slash[1] > '9' || *end || bits > most))
        return err_set(e, EINVAL, "want 0..%zu bits behind \"/\", got \"%.64s\"", most, text);
    p->bits = (uint8_t)bits;
    return 0;
}

static bool prefix_has(const struct net_prefix *p, const struct addr *a)
{
    size_t whole = p->bits / 8;
    unsigned rest = p->bits % 8u;
    if (a->type != p->ip.type || memcmp(a->ip, p->ip.ip, whole) != 0)
        return false;
    return !rest || (a->ip[whole] ^ p->ip.ip[whole]) >> (8 - rest) == 0;
}

bool trusted_has(const struct trusted *t, const struct addr *peer)
{
    for (size_t i = 0; i < t->count; i++)
        if (prefix_has(&t->nets[i], peer))
            return true;
    return !addr_is_ip(peer);
}

/* An IP, perhaps with a port: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80". */
static bool parse_hop(const char *text, size_t len, struct addr *a)
{
    struct err ignored;
    const char *first = memchr(text, ':', len), *bracket = memchr(text, ']', len);
    const char *again = first ? memchr(first + 1, ':', len - (size_t)(first + 1 - text)) : NULL;
    if (bracket)
        len = (size_t)(bracket + 1 - text);
    else if (first && !again)
        len = (size_t)(first - text);
    *a = (struct addr){0};
    return addr_parse_host(a, text, len, &ignored) == 0 && addr_is_ip(a);
}

bool forwarded_source(const struct trusted *t, const char *list, struct addr *source)
{
    size_t end = strlen(list);
    struct addr hop;
    bool found = false;
    while (end) {
        size_t begin = end;
        while (begin && list[begin - 1] != ',')
            begin--;
        if (!parse_hop(list + begin, end - begin, &hop))
            return false;
        *source = hop;
        found = true;
        if (!trusted_has(t, &hop))
            break;
        end = begin ? begin - 1 : 0;
    }
    return found;
}
