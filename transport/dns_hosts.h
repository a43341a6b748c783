/* transport/dns_hosts.h -- names that the configuration itself answers for: the `hosts` of its `dns` object.
 * Thread: any. */
#ifndef V2C_TRANSPORT_DNS_HOSTS_H
#define V2C_TRANSPORT_DNS_HOSTS_H

#include "transport/dns_message.h"

enum dns_hosts_say {
    DNS_HOSTS_NONE,  /* the name, or what it is an alias of, is to be looked up elsewhere */
    DNS_HOSTS_FOUND, /* `out` holds its addresses of these families, perhaps none */
    DNS_HOSTS_FAIL,  /* aliases go round */
};

/* name: normal form; it becomes what it is an alias of. All entries that match count. */
enum dns_hosts_say dns_hosts_find(const struct dns_conf *c, char name[ADDR_NAME_MAX + 1],
                                  unsigned families, struct dns_records *out, struct err *e);

#endif
