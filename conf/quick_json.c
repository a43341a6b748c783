#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/quick.h"
#include "conf/quick_place.h"

/* jansson takes NULL for a value as a failure that was, and says so to whoever puts it somewhere: so only what comes out
 * in the end is looked at. */

static const char *first_of(const struct quick_list *list, const char *otherwise)
{
    return list->count ? list->items[0] : otherwise;
}

/* Below it are the tunnels, on both sides; it is never looked up. */
#define TUNNELS "tunnel.example"

static json_t *texts_of(const struct quick_list *list)
{
    json_t *texts = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(texts, json_string(list->items[i]));
    return texts;
}

/* The items of a list with commas. */
static json_t *words_of(const char *list)
{
    json_t *words = json_array();
    while (list && *list) {
        size_t len = strcspn(list, ",");
        json_array_append_new(words, json_stringn(list, len));
        list += len + (list[len] == ',');
    }
    return words;
}

static json_t *rule_of(const char *inbound, const char *outbound)
{
    return json_pack("{s:s, s:[s], s:s}", "type", "field", "inboundTag", inbound, "outboundTag",
                     outbound);
}

static json_t *blackhole_of(void)
{
    return json_pack("{s:s, s:s}", "tag", "nowhere", "protocol", "blackhole");
}

/* Everything comes here in the end. Takes root, which may be NULL. */
static char *finish(const struct quick *q, json_t *root, struct err *e)
{
    if (root && q->api.count)
        json_object_set_new(root, "api",
                            json_pack("{s:s, s:s}", "tag", "api", "listen", q->api.items[0]));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text)
        err_set(e, ENOMEM, "out of memory");
    return text;
}

/* --- how bytes travel --- */

static json_t *stream_of(const struct quick_place *p, json_t *tls)
{
    bool ws = p->scheme == QUICK_WS || p->scheme == QUICK_WSS;
    json_t *stream = json_object();
    if (ws) {
        json_object_set_new(stream, "network", json_string("ws"));
        json_object_set_new(stream, "wsSettings", json_pack("{s:s}", "path", p->path));
    }
    if (p->scheme == QUICK_TLS || p->scheme == QUICK_WSS) {
        json_object_set_new(stream, "security", json_string("tls"));
        if (ws) /* what a web server in between would choose is not for us */
            json_object_set_new(tls, "alpn", json_pack("[s]", "http/1.1"));
        json_object_set(stream, "tlsSettings", tls);
    }
    json_decref(tls);
    return stream;
}

/* --- portal --- */

static void listen_set(json_t *in, const struct quick_place *p)
{
    if (*p->host)
        json_object_set_new(in, "listen", json_string(p->host));
    json_object_set_new(in, "port", json_integer(p->port));
}

static json_t *clients_of(const struct keyfile *k)
{
    json_t *clients = json_array();
    for (size_t i = 0; i < k->count; i++)
        json_array_append_new(
            clients, json_pack("{s:s, s:s}", "id", k->users[i].id, "email", k->users[i].name));
    return clients;
}

static json_t *links_of(const struct quick *q, const struct keyfile *k, const char *at,
                        const char *tag)
{
    struct quick_place p;
    struct err e;
    quick_place_read(&p, at, &e);
    json_t *in = json_pack("{s:s, s:s}", "tag", tag, "protocol", "vmess");
    json_t *tls = json_pack("{s:[{s:s, s:s}]}", "certificates", "certificateFile",
                            first_of(&q->cert, ""), "keyFile", first_of(&q->cert_key, ""));
    json_t *stream = stream_of(&p, tls);
    listen_set(in, &p);
    json_object_set_new(in, "settings", json_pack("{s:o}", "clients", clients_of(k)));
    if (json_object_size(stream))
        json_object_set(in, "streamSettings", stream);
    json_decref(stream);
    return in;
}

static json_t *routes_of(const struct quick *q)
{
    json_t *routes = json_array();
    for (size_t i = 0; i < q->route.count; i++) {
        const char *text = q->route.items[i], *equals = strchr(text, '=');
        size_t len = (size_t)(equals - text);
        json_t *route = json_object();
        if (!(len == 1 && *text == '*'))
            json_object_set_new(route, "host", json_stringn(text, len));
        json_object_set_new(route, "tunnel", json_string(equals + 1));
        json_array_append_new(routes, route);
    }
    return routes;
}

static json_t *entry_of(const struct quick *q, const char *at, const char *tag)
{
    struct quick_place p;
    struct err e;
    quick_place_read_plain(&p, at, &e);
    json_t *in = json_pack("{s:s, s:s}", "tag", tag, "protocol", "ingress");
    json_t *settings = json_pack("{s:s, s:s}", "portal", "portal", "reuse", "connection");
    listen_set(in, &p);
    if (q->route.count)
        json_object_set_new(settings, "routes", routes_of(q));
    json_object_set_new(in, "settings", settings);
    return in;
}

static json_t *claim_of(const struct key_user *u)
{
    json_t *claim = json_pack("{s:s, s:o}", "user", u->name, "tunnels",
                              words_of(u->tunnels ? u->tunnels : "*"));
    if (u->hosts)
        json_object_set_new(claim, "hosts", words_of(u->hosts));
    return claim;
}

static json_t *portal_reverse(const struct quick *q, const struct keyfile *k)
{
    json_t *claims = json_array();
    for (size_t i = 0; i < k->count; i++)
        json_array_append_new(claims, claim_of(&k->users[i]));
    return json_pack("{s:[{s:s, s:s, s:s, s:s, s:o}]}", "portals", "tag", "portal", "domain",
                     "*." TUNNELS, "hostDomain", first_of(&q->domain, TUNNELS), "choice",
                     "roundRobin", "claims", claims);
}

/* --- the other portals --- */

/* The items of lists with commas. */
static json_t *all_words(const struct quick_list *lists)
{
    json_t *all = json_array();
    for (size_t i = 0; i < lists->count; i++) {
        json_t *words = words_of(lists->items[i]);
        json_array_extend(all, words);
        json_decref(words);
    }
    return all;
}

static json_t *cluster_of(const struct quick *q)
{
    const struct {
        const char *key;
        const struct quick_list *list;
    } texts[] = {{"node", &q->node}, {"listen", &q->peer_listen}, {"advertise", &q->advertise}};
    json_t *cluster = json_object();
    json_object_set_new(cluster, "key", json_sprintf("file:%s", q->cluster_key.items[0]));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].list->count)
            json_object_set_new(cluster, texts[i].key, json_string(texts[i].list->items[0]));
    if (q->peers.count)
        json_object_set_new(cluster, "peers", all_words(&q->peers));
    if (q->redis.count)
        json_object_set_new(cluster, "registry", json_pack("{s:o}", "redis", all_words(&q->redis)));
    return cluster;
}

/* "links", then "links-2". */
static const char *tag_of(const char *name, size_t i, char *out, size_t room)
{
    snprintf(out, room, i ? "%s-%zu" : "%s", name, i + 1);
    return out;
}

char *quick_portal_json(const struct quick *q, const struct keyfile *k, struct err *e)
{
    char tag[32];
    json_t *inbounds = json_array(), *rules = json_array();
    for (size_t i = 0; i < q->listen.count; i++) {
        tag_of("links", i, tag, sizeof tag);
        json_array_append_new(inbounds, links_of(q, k, q->listen.items[i], tag));
        json_array_append_new(rules, rule_of(tag, "portal"));
    }
    for (size_t i = 0; i < q->entry.count; i++)
        json_array_append_new(
            inbounds, entry_of(q, q->entry.items[i], tag_of("visitors", i, tag, sizeof tag)));
    json_t *root = json_pack("{s:{s:s}, s:o, s:o, s:[o], s:{s:o}}", "log", "loglevel", "info",
                             "reverse", portal_reverse(q, k), "inbounds", inbounds, "outbounds",
                             blackhole_of(), "routing", "rules", rules);
    if (root && q->cluster_key.count)
        json_object_set_new(root, "cluster", cluster_of(q));
    return finish(q, root, e);
}

/* --- bridge --- */

static json_t *link_of(const struct quick *q, const struct key_user *u, const char *to,
                       const char *tag)
{
    struct quick_place p;
    struct err e;
    quick_place_read(&p, to, &e);
    json_t *tls = json_pack("{s:s}", "serverName", p.host);
    if (q->pin.count) { /* it decides alone */
        json_object_set_new(tls, "pinnedPeerCertificateChainSha256", texts_of(&q->pin));
        json_object_set_new(tls, "disableSystemRoot", json_true());
    }
    json_t *stream = stream_of(&p, tls);
    json_t *out = json_pack("{s:s, s:s, s:{s:[{s:s, s:i, s:[{s:s}]}]}}", "tag", tag, "protocol",
                            "vmess", "settings", "vnext", "address", p.host, "port", (int)p.port,
                            "users", "id", u->id);
    if (json_object_size(stream))
        json_object_set(out, "streamSettings", stream);
    json_decref(stream);
    return out;
}

static json_t *server_of(const struct quick_target *t, const char *tag)
{
    if (t->folder)
        return json_pack("{s:s, s:s, s:{s:s, s:b}}", "tag", tag, "protocol", "file", "settings",
                         "root", t->place, "listing", 1);
    return json_pack("{s:s, s:s, s:{s:s}}", "tag", tag, "protocol", "freedom", "settings",
                     "redirect", t->place);
}

/* A route, and the outbound that it needs. */
static json_t *route_of(const struct quick_target *t, size_t i, json_t *outbounds)
{
    char tag[32];
    json_t *route = json_object();
    if (*t->name)
        json_object_set_new(route, "host", json_string(t->name));
    if (t->folder) {
        tag_of("files", i, tag, sizeof tag);
        json_array_append_new(outbounds, server_of(t, tag));
        json_object_set_new(route, "outboundTag", json_string(tag));
    } else {
        json_object_set_new(route, "address", json_string(t->place));
    }
    return route;
}

/* One server for all visitors takes them as they come; of several, each request finds its own. */
static void targets_add(const struct quick *q, json_t *outbounds)
{
    struct quick_target t;
    struct err e;
    json_t *routes = json_array();
    quick_target_read(&t, q->target.items[0], &e);
    if (q->target.count == 1 && !*t.name) {
        json_array_append_new(outbounds, server_of(&t, "server"));
        json_decref(routes);
        return;
    }
    for (size_t i = 0; i < q->target.count; i++) {
        quick_target_read(&t, q->target.items[i], &e);
        json_array_append_new(routes, route_of(&t, i, outbounds));
    }
    json_array_append_new(outbounds,
                          json_pack("{s:s, s:s, s:{s:s, s:o}}", "tag", "server", "protocol", "web",
                                    "settings", "outboundTag", "direct", "routes", routes));
    json_array_append_new(outbounds,
                          json_pack("{s:s, s:s}", "tag", "direct", "protocol", "freedom"));
}

static json_t *bridge_reverse(const struct quick *q)
{
    char domain[HOSTNAME_LABEL_MAX + sizeof "." TUNNELS], tag[32];
    json_t *hosts = texts_of(&q->host), *portals = json_array();
    snprintf(domain, sizeof domain, "%s." TUNNELS, q->tunnel.items[0]);
    if (!q->host.count)
        json_array_append_new(hosts, json_string("auto"));
    for (size_t i = 0; i < q->to.count; i++)
        json_array_append_new(portals, json_string(tag_of("portal", i, tag, sizeof tag)));
    return json_pack("{s:[{s:s, s:s, s:o, s:o}]}", "bridges", "tag", "bridge", "domain", domain,
                     "portals", portals, "hosts", hosts);
}

char *quick_bridge_json(const struct quick *q, const struct keyfile *k, struct err *e)
{
    char tag[32];
    const struct key_user *u = keyfile_user(k, first_of(&q->user, NULL));
    if (!u) {
        err_set(e, ENOENT, "--user: nobody in --key %.128s is \"%.64s\"", q->key.items[0],
                q->user.items[0]);
        return NULL;
    }
    json_t *outbounds = json_array();
    json_array_append_new(outbounds, blackhole_of());
    for (size_t i = 0; i < q->to.count; i++)
        json_array_append_new(outbounds,
                              link_of(q, u, q->to.items[i], tag_of("portal", i, tag, sizeof tag)));
    targets_add(q, outbounds);
    return finish(q,
                  json_pack("{s:{s:s}, s:o, s:o, s:{s:[o]}}", "log", "loglevel", "info", "reverse",
                            bridge_reverse(q), "outbounds", outbounds, "routing", "rules",
                            rule_of("bridge", "server")),
                  e);
}
