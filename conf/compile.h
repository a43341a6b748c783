/* conf/compile.h -- from nodes to struct config. One function per object; each reports all its mistakes
 * and leaves something harmless, for with one error there is no config anyway.
 * Thread: one. Ownership: what the config keeps is copied into its own arena. */
#ifndef V2C_CONF_COMPILE_H
#define V2C_CONF_COMPILE_H

#include "conf/config.h"
#include "conf/names.h"
#include "conf/root.h"

struct cluster_settings;
struct geo_cache;
struct guide_pending;

/* What streamSettings, or "transport", have of each kind. */
struct stream_keys {
    const struct node *network, *security, *tcp, *raw, *ws, *upgrade, *ds, *tls, *sockopt;
};

struct build {
    struct config *config;
    struct report *report;
    struct arena *scratch; /* lives as long as the nodes */
    bool lint;             /* warn of what is valid and bites */
    bool partial;          /* a file could not be read: what is missing may stand there */
    bool stats;            /* the counters of tags and users exist */
    bool inbound_up, inbound_down, outbound_up, outbound_down; /* policy.system */
    struct bridge_conf *bridges;                               /* until they are whole */
    struct stream_keys transport; /* for streams that leave their settings out */
    struct names inbound_tags;    /* of inbounds and bridges */
    struct names emails;          /* of all clients and accounts */
    struct geo_cache *geo;        /* list files read so far */
    struct guide_pending *guides; /* that guides_finish() fills in */
    struct names balancer_tags;   /* index: in config->balancers */
    struct names outbound_tags; /* of outbounds, the api and portals; index: in config->outbounds */
};

struct reverse_lists {
    const struct node *bridges, *portals;
};

/* Compiles the merged files. True when memory sufficed; mistakes are in the report. */
bool compile(struct build *b, const struct root *root);

void process_conf_build(struct build *b, const struct root *root);
void log_conf_build(struct build *b, const struct node *at);
void policy_conf_build(struct build *b, const struct node *at);
void inbound_conf_build(struct build *b, const struct node *at, struct inbound_conf *in);
/* They cannot both have their ports. */
bool inbound_conf_clash(const struct inbound_conf *a, const struct inbound_conf *b);
void inbound_conf_check_ports(struct build *b, const struct node_list *nodes);
/* What every outbound has: tag, pointer, the policy of level 0, no counters. */
void outbound_conf_init(struct build *b, const struct node *at, const char *tag,
                        struct outbound_conf *out);
void outbound_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
void chain_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
/* Once the outbounds are known: that chains have all their links, and end. */
void chain_conf_check(struct build *b, const struct node_list *nodes);
void api_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
/* The name under which bridges ask for a portal. */
void reverse_domain_check(struct build *b, const struct node *at, const char *domain);
void portal_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
void claims_conf_build(struct build *b, const struct node *at, struct portal_conf *portal);
void bridge_conf_build(struct build *b, const struct node *at, struct bridge_conf *bridge);
/* Once the outbounds are known: those that its links take. */
void bridge_portals_build(struct build *b, const struct node *at, struct bridge_conf *bridge);
void routing_conf_build(struct build *b, const struct node *at);
/* False: the rule can never match, or is wrong, and is left out. */
bool rule_conf_build(struct build *b, const struct node *at, struct rule *out);
/* Domain conditions and networks, as rules and dns write them, with lists in files. Makes the set, or adds to it,
 * and seals it. False: absent or empty, and *set is as it was; or memory is out, which is remembered. */
bool domain_set_build(struct build *b, const struct node *at, struct domain_set **set);
bool cidr_set_build(struct build *b, const struct node *at, struct cidr_set **set);
/* Once the outbounds are known; the observatory first. */
void observatory_conf_build(struct build *b, const struct node *at);
void balancers_conf_build(struct build *b, const struct node *at);
/* The one that a rule names; NULL: reported. */
const struct balancer *balancer_named(struct build *b, const struct node *at);
bool balancer_has_portal(const struct config *c, const struct balancer *b);
/* Indices of the outbounds and portals whose tags begin with one of the prefixes, sorted by tag: how many. What selects
 * nothing is warned about. */
size_t selector_build(struct build *b, const struct text_list *prefixes, size_t **items);
/* Once inbounds are known. */
void cluster_conf_build(struct build *b, const struct node *at);
void registry_conf_build(struct build *b, const struct node *at, struct cluster_settings *s);
/* "host", "host:port", or an address. False: reported. */
bool cluster_place_read(struct build *b, const struct node *at, const char *text, uint16_t port,
                        struct addr *a);
void dns_conf_build(struct build *b, const struct node *at);
void dns_hosts_build(struct build *b, const struct node *at, struct dns_conf *c);
/* Once outbounds and rules are known. */
void dns_conf_finish(struct build *b, const struct node *at);
void dns_conf_free(struct dns_conf *c); /* NULL: nothing */
void transport_conf_build(struct build *b, const struct node *at);

void dokodemo_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in);
void vmess_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in);
/* One client; also for one that is added to a configuration that runs. */
void vmess_client_build(struct build *b, const struct node *at, struct vmess_user *u);
/* The same client by another configuration. */
void vmess_client_renew(struct build *b, struct vmess_user *u);
void vmess_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                          struct outbound_conf *out);
void socks_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in);
void socks_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                          struct outbound_conf *out);
void http_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                        struct inbound_conf *in);
/* Once the outbounds are known: it leads to some. */
void ingress_conf_build(struct build *b, const struct node *owner, struct inbound_conf *in);
void http_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct outbound_conf *out);
/* What SOCKS and HTTP have in common: who may connect here, ... */
void accounts_build(struct build *b, const struct node *at, int64_t level,
                    const struct inbound_conf *in, struct accounts *accounts);
/* ... a warning where everybody may, ... */
void open_proxy_check(struct build *b, const struct node *at, const struct inbound_conf *in,
                      const char *advice);
/* ... and where we connect. level: of the first user. */
void login_servers_build(struct build *b, const struct node *at, const struct node *owner,
                         struct login_servers *servers, int64_t *level);
void freedom_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
void blackhole_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
void file_conf_build(struct build *b, const struct node *at, const struct node *owner,
                     struct outbound_conf *out);
/* What gateways have in common. */
extern const struct field_name web_reuse_names[];
struct web_keys {
    const struct node *routes, *outbound, *trusted;
    int forwarded, reuse;
    int64_t answer_timeout;
};
/* Once the outbounds are known; all but the routes. */
void web_conf_build(struct build *b, const struct web_keys *keys, struct web_conf *c);
void web_out_conf_finish(struct build *b, const struct node *at, struct outbound_conf *out);
void dns_out_conf_build(struct build *b, const struct node *at, struct outbound_conf *out);
/* Each of these may have no node, for what holds without. takes_proxy is set where a PROXY header is demanded. The
 * settings of tcp are NULL without a forged head. */
const struct forged_conf *tcp_conf_build(struct build *b, const struct node *at, bool *takes_proxy);
const struct ws_conf *ws_conf_build(struct build *b, const struct node *at, bool server,
                                    bool *takes_proxy);
const struct upgrade_conf *upgrade_conf_build(struct build *b, const struct node *at, bool server,
                                              bool *takes_proxy);
const struct addr *ds_conf_build(struct build *b, const struct node *at, const struct node *owner);
void sockopt_conf_build(struct build *b, const struct node *at, struct sockopt_conf *c,
                        bool *takes_proxy);
/* What requests of ws and httpupgrade have in common. */
struct request_keys {
    const struct node *at;
    const char *path, *host; /* path: of request_path_build() */
    const struct node *headers, *trusted;
};
void request_build(struct build *b, const struct request_keys *keys, bool server,
                   struct upgrade_conf *c);
/* Whose X-Forwarded-For is believed. */
void trusted_build(struct build *b, const struct node *at, struct trusted *t);
/* With "/" in front, without Xray's "ed", which is told. */
const char *request_path_build(struct build *b, const struct node *at, const char *path,
                               unsigned *early);
bool header_name_is_valid(const char *name);
/* How the bytes of an inbound (server) or outbound travel; NULL: plain tcp, or a mistake. */
struct carriage *stream_conf_build(struct build *b, const struct node *at, bool server);
/* tlsSettings, which may be NULL, of this owner. only: the one protocol that alpn may name, NULL: any; "": none is named. NULL: a mistake. */
struct tls_conf *tls_conf_build(struct build *b, const struct node *at, const struct node *owner,
                                bool server, const char *only);
/* What is looked for in first bytes, kept; NULL: nothing. at: "sniffing"; old: "domainOverride"; either may be
 * NULL. fixed: what the first bytes of strangers would change unless routeOnly holds; NULL: nothing fixed. */
const struct sniff_conf *sniffing_conf_build(struct build *b, const struct node *at,
                                             const struct node *old, const char *fixed);
/* Once portals and bridges are known: names that mean something to this process. */
void reserved_build(struct build *b);

/* The kept copy of a text, no secret. Never NULL; "" when memory is out, which is remembered. */
const char *build_text(struct build *b, const char *text);
/* The kept copy of what flows point to; NULL when memory is out, which is remembered. */
const void *build_keep(struct build *b, const void *bytes, size_t len);
/* What his level says of somebody whom an inbound will know. */
void build_user(struct build *b, struct user *who);
/* Slots of KIND>>>NAME>>>traffic>>>uplink and downlink; -1 for those not wanted. */
struct traffic build_traffic(struct build *b, const char *kind, const char *name, bool up,
                             bool down);
const struct traffic *build_kept_traffic(struct build *b, const char *kind, const char *name,
                                         bool up, bool down);
/* The slot of KIND>>>NAME>>>WHAT. */
int build_slot(struct build *b, const char *kind, const char *name, const char *what);
/* The level's policy; `timeout` seconds, when not 0, stand for connIdle at level 0, as in V2Ray. */
const struct policy *build_policy(struct build *b, int64_t level, int64_t timeout);

/* The tables, for keys.c. */
extern const struct field socks_in_fields[], http_in_fields[], account_fields[], socks_out_fields[],
    http_out_fields[], login_server_fields[], login_fields[];
extern const struct field log_fields[], policy_fields[], policy_level_fields[],
    policy_system_fields[], inbound_fields[], dokodemo_fields[], ingress_fields[],
    vmess_in_fields[], vmess_client_fields[], outbound_fields[], freedom_fields[],
    blackhole_fields[], blackhole_response_fields[], dns_out_fields[], file_fields[], web_fields[],
    vmess_out_fields[], vmess_server_fields[], vmess_user_fields[], mux_fields[], chain_fields[],
    stream_fields[], dns_fields[], dns_server_fields[], tcp_fields[], tcp_header_fields[],
    forged_request_fields[], forged_response_fields[], ws_fields[], upgrade_fields[], ds_fields[],
    sockopt_fields[], tls_fields[], tls_certificate_fields[], api_fields[], sniffing_fields[],
    reverse_fields[], bridge_fields[], health_fields[], portal_fields[], claim_fields[],
    routing_fields[], rule_fields[], balancer_fields[], observatory_fields[], route_fields[],
    route_service_fields[], cluster_fields[], registry_fields[], sentinel_fields[];

#endif
