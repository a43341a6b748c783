/* conf/guides.h -- what the configuration says about where requests go (routing/guide.h): routes in place, routes in a file
 * that is watched, and a service that is asked.
 * Thread: built and watched on the main thread; loops see `conf` only. Ownership: the configuration's. */
#ifndef V2C_CONF_GUIDES_H
#define V2C_CONF_GUIDES_H

#include "conf/node.h"
#include "conf/report.h"
#include "proxy/route_service.h"
#include "routing/guide.h"

struct build;
struct config;

/* Where tunnels are that do not say it themselves. */
struct route_home {
    bool has_portal;
    size_t portal;
    const char *tenant; /* kept; NULL: none */
};

struct guide_set {
    struct guide_conf conf;
    struct routes *routes; /* those in place; a share */
    struct route_home home;
    struct route_service_conf service;
    const char *file;    /* NULL: none */
    uint64_t read, seen; /* stamps of the file: as it was read, and at the last look */
    struct guide_set *next;
};

/* The keys of an inbound or outbound that has routes; texts may be "", nodes NULL. */
struct guide_keys {
    const struct node *at; /* their object */
    const struct node *routes, *url;
    const char *file, *portal, *tenant;
};

/* Never NULL but without memory, which is remembered. Its conf and routes have their places now and are filled in by
 * guides_finish(). */
struct guide_set *guide_build(struct build *b, const struct guide_keys *keys);
/* Once the outbounds are known. */
void guides_finish(struct build *b);
void guides_free(struct guide_set *first);

/* The tag of a portal that has many tunnels. False: there is none, or its name is wrong. */
bool portal_named(struct build *b, const struct node *at, const char *tag, size_t *portal);
/* Kept, in lower case; NULL for "". */
const char *tenant_build(struct build *b, const struct node *at, const char *text);
/* The array "routes" into the table. Errors are reported. */
void routes_conf_build(struct build *b, const struct node *at, const struct route_home *home,
                       struct routes *to);
/* What stands behind a host in a file of routes: a tunnel, or an address with its port. -1 and e. */
int route_to_read(struct route_to *to, const char *text, size_t len, const struct route_home *home,
                  struct err *e);

/* The routes of the file, and those in place, which win; *left_out: how many lines of the file they replace. NULL and e,
 * which says where: "routes.txt:12: ...". */
struct routes *routes_file_read(const char *path, const struct routes *in_place,
                                const struct route_home *home, size_t *left_out, struct err *e);
/* Some guide has a file. */
bool guides_watch(const struct config *c);
/* Now and then: reads files that changed, once they have been left alone since the last look. */
void guides_look(const struct config *c);

#endif
