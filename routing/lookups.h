/* routing/lookups.h -- what a service answered that knows which tunnel a host is for: kept while it holds, asked for once at
 * a time, bounded. Who asks the service (proxy/route_service.h) is told here whom to ask for, and tells the answer.
 * An answer holds `ttl` seconds, "there is none" `negative_ttl`. For as long again it is used at once while the service is
 * asked anew; an older one waits for that. While the service is away, old answers are used at once, whatever their age, and
 * it is asked once a second at most.
 * Thread: its loop. Units: seconds of loop_steady(). Ownership: lookups_free(), which tells nobody.
 * Bounded: `max` hosts, of which those without a tunnel give way first, then those not asked for the longest; and
 * LOOKUPS_ASKED_MAX questions at a time. Visitors choose the hosts. */
#ifndef V2C_ROUTING_LOOKUPS_H
#define V2C_ROUTING_LOOKUPS_H

#include "core/list.h"
#include "core/meta.h"

enum { LOOKUPS_ASKED_MAX = 64 };

struct route_service_conf;

struct lookups_conf {
    const char *url; /* the same one: answers hold across configurations. "": there is no service */
    double ttl, negative_ttl;
    size_t max;
    const struct route_service_conf *service; /* for who asks */
};

struct lookup_answer {
    bool found;
    bool is_private;
    struct tunnel_name tunnel; /* if found; its tenant is not looked at */
};

/* LOOKUP_AWAY: nobody can say now. */
enum lookup_state { LOOKUP_FOUND, LOOKUP_NOTHING, LOOKUP_WAITS, LOOKUP_AWAY };

/* Somebody who waits; part of his own memory, zeroed at first. */
struct lookup_wait {
    void (*told)(struct lookup_wait *w); /* to ask again now */
    struct list_item item;
};

/* Who asks; part of his own memory. */
struct lookups_asker {
    /* lookups_told() follows, but not before ask() has returned. False: out of memory. */
    bool (*ask)(struct lookups_asker *a, const char *host);
    /* Before the first question, and when the configuration changed. same: it is the same service; else what it was
     * asked is forgotten and will be asked again. */
    void (*use)(struct lookups_asker *a, const struct lookups_conf *conf, bool same);
    void (*free)(struct lookups_asker *a);
    struct lookups *lookups; /* whom to tell */
};

/* Others who may know which tunnel holds a host, and keep what they heard: the portals of a cluster. */
struct host_finder {
    /* As lookups_find(), and the answer's tenant counts. portal: where the host may be held, by which all of them know
     * it; source: who asks, may be NULL. */
    enum lookup_state (*find)(struct host_finder *f, uint64_t portal, const char *host,
                              const struct addr *source, double now, struct lookup_answer *answer,
                              struct lookup_wait *w);
};

struct lookups;

/* Takes the asker, also when it fails; conf outlives it. NULL: out of memory. */
struct lookups *lookups_new(const struct lookups_conf *conf, struct lookups_asker *asker);
void lookups_free(struct lookups *l);                                   /* l may be NULL */
void lookups_adopt(struct lookups *l, const struct lookups_conf *conf); /* in place of the former */
/* host: text of a struct hostname. LOOKUP_WAITS: w is told once, unless it is forgotten before. */
enum lookup_state lookups_find(struct lookups *l, const char *host, double now,
                               struct lookup_answer *answer, struct lookup_wait *w);
void lookup_forget(struct lookup_wait *w); /* nothing if it does not wait */
/* answer NULL: the service gave none. */
void lookups_told(struct lookups *l, const char *host, const struct lookup_answer *answer,
                  double now);
size_t lookups_count(const struct lookups *l);

#endif
