/* conf/guide_conf.c -- where requests go: routes in place, in a file, and a service that is asked. */
#include <string.h>
#include <strings.h>

#include "conf/compile.h"
#include "conf/guides.h"
#include "core/file_stamp.h"

struct service_keys {
    const char *url;
    int64_t ttl, negative_ttl, timeout, cache;
};

const struct field route_service_fields[] = {
    FIELD_TEXT("url", struct service_keys, url, ""),
    FIELD_NUMBER("ttl", struct service_keys, ttl, 1, 86400, 60),
    FIELD_NUMBER("negativeTtl", struct service_keys, negative_ttl, 1, 86400, 10),
    FIELD_NUMBER("timeout", struct service_keys, timeout, 1, 60, 5),
    FIELD_NUMBER("cache", struct service_keys, cache, 100, 10000000, 100000),
    FIELD_END,
};

struct guide_pending {
    struct guide_set *set;
    struct guide_keys keys;
    struct guide_pending *next;
};

/* --- the service --- */

static void service_carriage(struct build *b, const struct node *at, struct route_service_conf *s)
{
    s->carriage = carriage_new();
    if (s->carriage)
        s->carriage->tls = tls_conf_build(b, NULL, at, false, "http/1.1");
    else
        b->scratch->failed = true;
}

static bool is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || *text == '#')
            return false;
    return true;
}

static void url_build(struct build *b, const struct node *at, const char *url,
                      struct route_service_conf *s)
{
    bool plain = strncasecmp(url, "http://", 7) == 0, tls = strncasecmp(url, "https://", 8) == 0;
    const char *host = url + (tls ? 8 : 7);
    struct hostname h;
    struct err e;
    if (!plain && !tls) {
        report_error(b->report, at, "want a URL http://... or https://..., got \"%.64s\"", url);
        return;
    }
    const char *path = host + strcspn(host, "/?");
    if (hostname_read(&h, host, (size_t)(path - host), &e) < 0) {
        report_error(b->report, at, "%s", e.text);
        return;
    }
    if (!is_visible(path))
        report_error(b->report, at, "want a URL without blanks and '#'");
    hostname_addr(&h, tls ? 443 : 80, &s->at);
    s->path = arena_printf(b->config->strings, "%s%s%chost=", *path == '/' ? "" : "/", path,
                           strchr(path, '?') ? '&' : '?');
    if (tls)
        service_carriage(b, at, s);
}

/* A text is an object with nothing but a URL. */
static void service_build(struct build *b, const struct node *at, struct guide_set *g)
{
    struct service_keys keys;
    bool text = node_is(at, NODE_TEXT);
    fields_read(b->report, text ? NULL : at, route_service_fields, &keys);
    const char *url = text ? at->text : keys.url;
    struct lookups_conf *c = &g->conf.lookups;
    c->url = arena_text(b->config->strings, url, strlen(url));
    c->url = c->url ? c->url : "";
    c->ttl = (double)keys.ttl;
    c->negative_ttl = (double)keys.negative_ttl;
    c->max = (size_t)keys.cache;
    c->service = &g->service;
    g->service.timeout = (double)keys.timeout;
    if (!at || at->type == NODE_NULL)
        return;
    url_build(b, text ? at : node_member(at, "url"), url, &g->service);
    if (!g->home.has_portal && !b->partial)
        report_error(b->report, at, "want \"portal\", where the tunnels are that it names");
}

/* --- all of it --- */

struct guide_set *guide_build(struct build *b, const struct guide_keys *keys)
{
    struct guide_set *g = arena_alloc(b->config->strings, sizeof *g);
    struct guide_pending *p = arena_alloc(b->scratch, sizeof *p);
    if (!g || !p)
        return NULL;
    g->next = b->config->guides;
    b->config->guides = g;
    g->routes = routes_new();
    g->conf.table = g->routes ? route_table_new(routes_ref(g->routes)) : NULL;
    b->scratch->failed |= !g->conf.table;
    *p = (struct guide_pending){g, *keys, b->guides};
    b->guides = p;
    return g;
}

static void file_build(struct build *b, const struct guide_keys *keys, struct guide_set *g)
{
    struct err e;
    size_t left_out;
    g->file = arena_text(b->config->strings, keys->file, strlen(keys->file));
    if (!g->file)
        return;
    g->read = g->seen = stamp_at(g->file);
    struct routes *r = routes_file_read(g->file, g->routes, &g->home, &left_out, &e);
    if (r)
        route_table_set(g->conf.table, r);
    else
        report_error(b->report, node_member(keys->at, "routesFile"), "%s", e.text);
    if (r && left_out)
        report_warn(b->report, node_member(keys->at, "routesFile"),
                    "%zu lines are for hosts that have routes here", left_out);
}

static void guide_finish(struct build *b, const struct guide_keys *keys, struct guide_set *g)
{
    if (*keys->portal)
        g->home.has_portal =
            portal_named(b, node_member(keys->at, "portal"), keys->portal, &g->home.portal);
    g->home.tenant = tenant_build(b, node_member(keys->at, "tenant"), keys->tenant);
    if (!g->conf.table)
        return;
    routes_conf_build(b, keys->routes, &g->home, g->routes);
    if (*keys->file)
        file_build(b, keys, g);
    service_build(b, keys->url, g);
    g->conf.has_portal = g->home.has_portal;
    g->conf.portal = g->home.portal;
    g->conf.tenant = g->home.tenant;
}

void guides_finish(struct build *b)
{
    for (struct guide_pending *p = b->guides; p; p = p->next)
        guide_finish(b, &p->keys, p->set);
}

void guides_free(struct guide_set *first)
{
    for (; first; first = first->next) {
        route_table_free(first->conf.table);
        routes_unref(first->routes);
        carriage_unref(first->service.carriage);
    }
}
