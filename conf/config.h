/* conf/config.h -- the whole configuration, compiled: checked, references resolved, immutable.
 * Thread: built on the main thread, then read by all. Ownership: config_free() frees all but what flows
 * point to: tags, users, policies, traffic, addresses, portals and bridges are kept (conf/keep.h). Order of
 * inbounds, outbounds, portals, bridges and rules is the file's. */
#ifndef V2C_CONF_CONFIG_H
#define V2C_CONF_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/digest.h"
#include "conf/keep.h"
#include "core/log.h"
#include "core/policy.h"
#include "core/stats.h"
#include "core/user.h"
#include "proxy/api.h"
#include "proxy/blackhole.h"
#include "proxy/dns_outbound.h"
#include "proxy/dokodemo.h"
#include "proxy/entry.h"
#include "proxy/file.h"
#include "proxy/freedom.h"
#include "proxy/http_proxy.h"
#include "proxy/prober.h"
#include "proxy/socks.h"
#include "proxy/vmess.h"
#include "proxy/web.h"
#include "reverse/reverse.h"
#include "routing/balance.h"
#include "routing/dispatch.h"
#include "routing/rule.h"
#include "transport/carriage.h"
#include "transport/dns.h"

struct cluster_settings;
struct guide_set;
struct source;

enum inbound_kind { IN_DOKODEMO, IN_VMESS, IN_SOCKS, IN_HTTP, IN_INGRESS, IN_API };

struct inbound_conf {
    enum inbound_kind kind;
    const char *tag;     /* "" when absent */
    const char *pointer; /* JSON pointer of the object, for start errors */
    struct addr listen;  /* type ADDR_NONE: any address, dual stack */
    int unix_mode;       /* of the file, when it listens on one; -1: as umask says */
    struct port_range ports;
    const struct policy *policy;       /* of userLevel; for vmess of level 0 (handshake only) */
    const struct traffic *traffic;     /* slots, -1 unless statsInbound... */
    struct digest digest;              /* the same in two configurations: nothing to change */
    struct carriage *carriage;         /* NULL: plain tcp */
    struct vmess_in_conf *changed;     /* other clients than the configuration's: clients.h; NULL */
    const struct sniff_conf *sniffing; /* NULL: nothing is sniffed */
    union {
        struct dokodemo_conf dokodemo;
        struct vmess_in_conf vmess;
        struct socks_in_conf socks;
        struct http_in_conf http;
        struct entry_conf ingress;
    };
};

unsigned inbound_networks(const struct inbound_conf *in); /* mask of enum net */
static inline size_t inbound_ports(const struct inbound_conf *in)
{
    return (size_t)(in->ports.to - in->ports.from) + 1;
}

enum outbound_kind {
    OUT_FREEDOM,
    OUT_BLACKHOLE,
    OUT_VMESS,
    OUT_SOCKS,
    OUT_HTTP,
    OUT_DNS,
    OUT_FILE,
    OUT_WEB,
    OUT_API,
    OUT_PORTAL
};

struct outbound_conf {
    enum outbound_kind kind;
    const char *tag;
    const char *pointer;
    const struct addr *send_through; /* ADDR_NONE: the system chooses */
    const char *via;                 /* the outbound through which it dials; NULL: none */
    const struct policy *policy;     /* of its level, where it has one; else NULL */
    const struct traffic *traffic;
    struct digest digest;
    struct carriage *carriage; /* NULL: plain tcp */
    unsigned mux; /* streams at once on one connection; 0: each has a connection of its own */
    union {
        struct freedom_conf freedom;
        struct blackhole_conf blackhole;
        struct dns_out_conf dns;
        const struct file_conf *file;
        struct web_conf web;
        struct vmess_out_conf vmess;
        struct socks_out_conf socks;
        struct http_out_conf http;
        const struct portal_conf *portal;
    };
};

struct policy_level {
    uint32_t level;
    const struct policy *policy;
    bool stats_up, stats_down;
};

struct config {
    struct log_conf log;
    unsigned workers;            /* threads, 1..64 */
    size_t memory;               /* bytes that the bufs of all workers may take together */
    double drain;                /* seconds that open visitors get at the end */
    struct policy_level *levels; /* sorted; levels not listed have POLICY_DEFAULT */
    size_t level_count;
    const struct policy *default_policy;
    struct stats stats; /* fixed counters and those of tags and users, if ... */
    bool counts;        /* ... these are wanted */

    struct inbound_conf *inbounds; /* the configured ones, then IN_API if the api listens itself */
    size_t inbound_count;
    /* The configured outbounds, then one OUT_API (if "api" is there), then the portals. With has_default
     * index 0 is the default outbound; without it flows that no rule routes are refused: a portal or
     * the api is never the default. */
    struct outbound_conf *outbounds;
    size_t outbound_count;
    bool has_default;
    const struct bridge_conf *bridges;
    struct digest *bridge_digests;
    size_t bridge_count;
    struct prober_conf observatory; /* count 0: none; the plan gives its items their health */
    struct balancers balancers;     /* of the rules; the plan gives them their states */
    struct rules rules;
    struct dns_conf *dns; /* NULL: names are looked up as the system does */
    struct digest dns_digest;
    const struct api_conf *api; /* NULL: there is none */
    enum domain_strategy strategy;
    struct cluster_settings
        *cluster;             /* NULL: stands alone; a share; in a process the one it began with */
    struct guide_set *guides; /* where requests go: conf/guides.h */
    struct string_list reserved; /* names that mean something to this process: struct dispatcher */
    struct string_list links;    /* the first of them: the bridges' */

    struct arena *strings; /* whatever else the pointers above point to */
    struct keep *keep;
};

/* Never NULL: the level's policy, or the default one. */
const struct policy *config_policy(const struct config *c, uint32_t level);

/* The tag, as this or an earlier configuration keeps it, names something here. True for "". */
bool config_has_inbound(const struct config *c, const char *tag); /* or a bridge */
bool config_has_outbound(const struct config *c, const char *tag);

/* Makes the text of a configuration that no file has, each time that it is read. */
struct config_maker {
    const char *name; /* for messages */
    /* NULL and e: it cannot. */
    struct source *(*make)(struct config_maker *m, struct err *e);
};

struct config_source {          /* what the command line named, in order */
    struct config_maker *maker; /* NULL: none; stands before the files */
    const char **files;         /* paths; "stdin:" reads standard input */
    size_t file_count;
    const char *dir; /* NULL: none; its *.json follow the files, sorted by name */
    bool strict;     /* warnings are errors */
    bool lint;       /* also warn of what is valid and bites people: conf/lint.h */
};

/* Reads, merges, checks and compiles. Every error and warning goes to `report`, one line each:
 *   portal.json:12:21: /inbounds/0/port: error: want a port 1..65535, got the number 70000
 * NULL when there was an error. before: the configuration that it will follow, whose counters keep their
 * slots; NULL: none. */
struct config *config_load(const struct config_source *src, const struct config *before,
                           FILE *report);
void config_free(struct config *c);

#endif
