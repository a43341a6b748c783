/* transport/dns_channel.h -- c-ares on a loop: its sockets and its clock.
 * Thread: its loop. c-ares keeps sources and ids of questions random, and ignores answers that fit none. */
#ifndef V2C_TRANSPORT_DNS_CHANNEL_H
#define V2C_TRANSPORT_DNS_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "transport/dns.h"
#include "transport/dns_message.h"

struct loop;
struct dns_channel;

/* at NULL: the servers of resolv.conf; else that server only. NULL: out of memory. */
struct dns_channel *dns_channel_new(struct loop *l, const struct addr *at, bool tcp,
                                    double timeout);
/* What is under way is told that it failed, with `destroyed`. */
void dns_channel_free(struct dns_channel *c);

struct dns_told {
    const uint8_t *message; /* NULL: none came, see why */
    size_t len;
    bool destroyed; /* the channel goes */
    struct err why;
};
typedef void dns_tell(void *owner, const struct dns_told *t);

/* tell is called once, perhaps before this returns. */
void dns_channel_ask(struct dns_channel *c, const uint8_t *question, size_t len, dns_tell *tell,
                     void *owner);

/* What /etc/hosts says; false: nothing. The name localhost is known in any case. */
bool dns_channel_files(struct dns_channel *c, const char *name, unsigned families,
                       struct dns_records *out);
#endif
