#include "cluster/network.h"

#include <string.h>

static bool network_has(const struct cluster_network *n, const struct addr *a)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (n->from.type != a->type || whole > addr_ip_len(a) || memcmp(n->from.ip, a->ip, whole) != 0)
        return false;
    return !rest || (n->from.ip[whole] ^ a->ip[whole]) >> (8 - rest) == 0;
}

bool network_allows(const struct cluster_conf *conf, const struct addr *a)
{
    bool found = conf->network_count == 0 || a->type == ADDR_NONE;
    for (size_t i = 0; !found && i < conf->network_count; i++)
        found = addr_is_ip(a) && network_has(&conf->networks[i], a);
    return found;
}
