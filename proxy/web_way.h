/* proxy/web_way.h -- a way: the first end of a flow to an origin, which carries one request after the other; and where
 * ways rest between requests.
 * Thread: its loop. Ownership: a way is its own until way_rest() or way_drop(), one of which its user calls last. One
 * that rests goes when it is used again, when anything comes or ends there, after WAY_REST seconds, and for one that
 * rests less long when there are too many. */
#ifndef V2C_PROXY_WEB_WAY_H
#define V2C_PROXY_WEB_WAY_H

#include "core/flow.h"
#include "core/list.h"

struct dispatcher;
struct web_conf;

enum { WAY_BUCKETS = UINT8_MAX + 1, WAY_REST = 30 /* seconds */, WAY_KEY_MAX = 384 };

/* Where a way leads. */
struct way_to {
    size_t outbound; /* as rules number them */
    const struct tunnel_name *tunnel;
    const struct addr *target;
    const struct addr *source; /* whose requests it carries; NULL: anybody's */
    uint32_t connection;       /* those of this one of his alone; 0: of all */
    bool by_claim;             /* the tunnel holds the host; does not tell ways apart */
};

/* The same as bytes. */
struct way_key {
    size_t len;
    uint8_t bucket; /* where such ways rest, of one struct ways */
    uint8_t bytes[WAY_KEY_MAX];
};

struct ways { /* of one struct web, and one configuration */
    struct dispatcher *dispatcher;
    const struct web_conf *conf;               /* what the numbers of outbounds mean */
    struct list buckets[WAY_BUCKETS], resting; /* resting: the one that has for longest first */
    unsigned count, max;
    ev_timer look;
    uint8_t secret[16];
};

struct way {
    struct end end;
    struct ways *ways;             /* NULL: it cannot rest any more, or be tried again */
    size_t outbound;               /* valid while `ways` is */
    struct list_item bucket, item; /* while it rests */
    struct end *user;              /* the second end of the visitor's flow; NULL: it rests */
    double since;                  /* it rests, loop_steady() */
    bool used;                     /* it had a request before */
    bool going;                    /* another request should go by another way */
    struct way_key key;
};

void ways_init(struct ways *w, struct dispatcher *d, const struct web_conf *conf);
/* Another configuration: all that rest go. */
void ways_adopt(struct ways *w, const struct web_conf *conf);
/* None rests any more. */
void ways_end(struct ways *w);
void way_key_make(struct way_key *k, const struct ways *w, const struct way_to *to);
/* One that rests. NULL: there is none. */
struct way *ways_take(struct ways *w, const struct way_key *key);
/* A new one, whose flow is part of the visitor's. It leads nowhere until way_open(). NULL: out of memory. */
struct way *way_new(struct ways *w, const struct way_key *key, const struct way_to *to,
                    const struct flow *visitor);
/* Another one like it. */
struct way *way_again(const struct way *w);
/* How many ways lie before this flow, one within the other: it may come from a gateway itself. */
unsigned ways_before(const struct flow *f);
/* Its flow gets its second end. */
void way_open(struct way *w);
/* Its request was answered, and both sides can have another one. */
void way_rest(struct way *w);
/* why NULL: all is well; else the origin sees a reset. */
void way_drop(struct way *w, const struct err *why);
/* Nothing that it sent, or said about its end, waits for us. */
bool way_is_quiet(const struct way *w);

#endif
