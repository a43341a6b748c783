/* transport/dns_https.h -- one DNS server that is asked over HTTPS (RFC 8484), on connections that are flows: the rules, or
 * freedom, take them where the server is.
 * Thread: its loop. */
#ifndef V2C_TRANSPORT_DNS_HTTPS_H
#define V2C_TRANSPORT_DNS_HTTPS_H

#include "transport/dns_channel.h"
#include "transport/resolve.h"

enum { DNS_REQUEST_MAX = 2048 };

struct dns_https;

struct dns_https *dns_https_new(struct loop *l, const struct dns_server *server,
                                const struct resolve_way *way); /* NULL: out of memory */
/* The same settings, elsewhere. */
void dns_https_adopt(struct dns_https *h, const struct dns_server *server);
/* What is under way is told that it failed, with `destroyed`. */
void dns_https_free(struct dns_https *h); /* NULL: nothing */
/* As dns_channel_ask(). */
void dns_https_ask(struct dns_https *h, const uint8_t *question, size_t len, dns_tell *tell,
                   void *owner);

/* A POST; at most DNS_REQUEST_MAX bytes, more set the writer's overflow. */
void dns_request_write(const struct dns_server *s, const uint8_t *question, size_t len,
                       struct writer *w);

#endif
