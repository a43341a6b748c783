/* proxy/entry_inside.h -- what the files of proxy/entry*.c share.
 * Thread: the loop's. */
#ifndef V2C_PROXY_ENTRY_INSIDE_H
#define V2C_PROXY_ENTRY_INSIDE_H

#include "core/hostname.h"
#include "proxy/entry.h"
#include "transport/first_bytes.h"

/* The gateway with its visitors, and how it finds ways: goes from one ingress to the next. */
struct gate {
    struct web_finder finder;
    struct web *web;
    struct guide *guide;
    struct guide_holders holders; /* that the guide has */
    struct entry *entry;          /* whose it is now */
};

struct entry {
    struct accept_inbound accept;
    const struct entry_conf *conf;
    struct gate *gate;
    struct list hellos; /* whose first bytes have not come */
};

enum hello_kind { HELLO_PLAIN, HELLO_PASSES, HELLO_ENDS };

/* A connection's first bytes, and what follows from them. */
struct hello {
    struct first_bytes first;
    struct entry *entry; /* NULL: the choice is made */
    struct list_item item;
    const struct carriage *carriage; /* the connection's; NULL: plain tcp */
    struct lookup_wait wait;
    enum hello_kind kind;
    struct hostname name; /* of TLS; "": it asks for none */
    struct route_to to;   /* where it passes */
};

/* --- entry_hello.c --- */
int hello_put(struct accept_inbound *a, struct stream *s, const struct carriage *c, struct err *e);
/* NULL: the stream has none. */
struct hello *hello_of(const struct stream *s);

/* --- entry_way.c --- */
/* As web_finder's. */
enum step gate_find(struct web_finder *f, const struct web_asked *asked, struct lookup_wait *w,
                    struct route_to *to, int *status);
/* Where TLS for this name passes. FAIL: it does not. */
enum step entry_find_passing(struct entry *n, const char *name, const struct addr *source,
                             struct lookup_wait *w, struct route_to *to);

#endif
