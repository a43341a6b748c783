/* transport/dns_client.h -- one DNS server, as a loop asks it.
 * Thread: its loop. Ownership: an ask is embedded in its owner's struct; between dns_client_ask() and its end, or
 * dns_ask_cancel(), the client knows it. */
#ifndef V2C_TRANSPORT_DNS_CLIENT_H
#define V2C_TRANSPORT_DNS_CLIENT_H

#include "transport/dns_message.h"
#include "transport/resolve.h"

struct dns_client;
struct dns_part;

/* What is asked: set the first three. The others say what came so far. */
struct dns_ask {
    const char *name; /* normal form; stays until the end */
    unsigned families;
    void (*news)(
        struct dns_ask *a); /* something came; never before dns_client_ask() returns, may cancel */
    unsigned open;          /* answers that have not come yet; 0: this is the end */
    bool failed;            /* one of them was no answer, see why */
    struct err why;
    struct dns_records records;
    struct dns_part *parts[2];
};

/* Both outlive it. way: for DNS_HTTPS. NULL: out of memory. */
struct dns_client *dns_client_new(struct loop *l, const struct dns_server *server,
                                  const struct resolve_way *way);
/* Nobody is told any more. */
void dns_client_free(struct dns_client *c);
/* With open 0 afterwards it has failed at once, and there is no news. */
void dns_client_ask(struct dns_client *c, struct dns_ask *a);
/* The same settings, elsewhere. */
void dns_client_adopt(struct dns_client *c, const struct dns_server *server);
void dns_ask_cancel(struct dns_ask *a);

#endif
