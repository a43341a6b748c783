/* conf/clients.h -- the clients of a vmess inbound that were changed while it runs: another list in place of the
 * configuration's.
 * Thread: the main thread; a list is immutable once loops have it. Ownership: config_free() frees the list that
 * its inbound has. Ids are wiped. */
#ifndef V2C_CONF_CLIENTS_H
#define V2C_CONF_CLIENTS_H

#include "conf/config.h"

/* The list that holds now. */
static inline const struct vmess_in_conf *clients_of(const struct inbound_conf *in)
{
    return in->changed ? in->changed : &in->vmess;
}

/* The index of whom the email names, whatever its case; -1: nobody. */
ptrdiff_t clients_find(const struct vmess_in_conf *now, const char *email);
/* Each NULL: out of memory. With one more behind all others; without the one at this index. */
struct vmess_in_conf *clients_with(const struct vmess_in_conf *now, const struct vmess_user *added);
struct vmess_in_conf *clients_without(const struct vmess_in_conf *now, size_t removed);
void clients_free(struct vmess_in_conf *c); /* may be NULL */
/* The inbound goes on in another configuration, with the clients that it has. -1: out of memory. */
int clients_carry(struct config *to, struct inbound_conf *in, const struct inbound_conf *from);

#endif
