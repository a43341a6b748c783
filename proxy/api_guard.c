#include "proxy/api_guard.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

/* --- Host --- */

/* The host of "host", "host:80", "[::1]:80". False: none of them. */
static bool split_port(const char **host, size_t *len)
{
    const char *p = *host, *colon;
    size_t n = *len, name;
    if (n > 0 && *p == '[')
        colon = memchr(p, ']', n) ? (const char *)memchr(p, ']', n) + 1 : NULL;
    else
        colon = memchr(p, ':', n) ? memchr(p, ':', n) : p + n;
    if (!colon)
        return false;
    name = (size_t)(colon - p);
    for (size_t i = name; i < n; i++)
        if (i == name ? p[i] != ':' : p[i] < '0' || p[i] > '9')
            return false;
    *len = name;
    return name > 0;
}

static bool same_name(const char *p, size_t len, const char *name)
{
    return strlen(name) == len && strncasecmp(p, name, len) == 0;
}

static bool host_allowed(const struct api_guarded *g)
{
    const char *host = (const char *)g->data + g->head->host.at;
    size_t len = g->head->host.len;
    struct addr a;
    struct err e;
    if (!split_port(&host, &len))
        return false;
    if (addr_parse_host(&a, host, len, &e) == 0 && addr_is_ip(&a))
        return true;
    for (size_t i = 0; i < g->conf->host_count; i++)
        if (same_name(host, len, g->conf->hosts[i]))
            return true;
    return same_name(host, len, "localhost");
}

int api_guard_host(const struct api_guarded *g, const char **why)
{
    *why = "Host is neither an address nor localhost nor one of api.hosts";
    return host_allowed(g) && g->data[g->head->target.at] == '/' ? 0 : 421;
}

/* --- the token --- */

static void digest(uint8_t out[32], const void *text, size_t len)
{
    crypto_generichash(out, 32, text, len, NULL, 0);
}

/* Digests have one length: neither it nor the first difference shows. */
static bool token_fits(const struct api_guarded *g)
{
    static const char scheme[] = "Bearer ";
    struct http1_span v;
    uint8_t want[32], got[32];
    if (http1_field(g->head, g->data, "authorization", &v) != 1 || v.len <= strlen(scheme) ||
        strncasecmp((const char *)g->data + v.at, scheme, strlen(scheme)) != 0)
        return false;
    digest(want, g->conf->token, strlen(g->conf->token));
    digest(got, g->data + v.at + strlen(scheme), v.len - strlen(scheme));
    return sodium_memcmp(want, got, sizeof want) == 0;
}

static int guard_token(const struct api_guarded *g, const char **why)
{
    if (g->owner)
        return 0;
    if (!*g->conf->token) {
        *why = "this needs a token, and the configuration has none: set api.token or "
               "api.tokenFile, or ask through a unix socket";
        return 403;
    }
    *why = "this needs \"Authorization: Bearer TOKEN\" with the token of the configuration";
    return token_fits(g) ? 0 : 401;
}

/* --- browsers --- */

static bool value_is(const struct api_guarded *g, struct http1_span v, const char *text)
{
    return same_name((const char *)g->data + v.at, v.len, text);
}

/* A page of another site, or of another port of this host, which is another user's as well. */
static bool from_a_page(const struct api_guarded *g)
{
    struct http1_span v;
    if (http1_field(g->head, g->data, "origin", &v) > 0)
        return true;
    unsigned sites = http1_field(g->head, g->data, "sec-fetch-site", &v);
    return sites > 1 || (sites == 1 && !value_is(g, v, "none") && !value_is(g, v, "same-origin"));
}

/* What a plain form cannot send. */
static bool is_json(const struct api_guarded *g)
{
    static const char json[] = "application/json";
    struct http1_span v;
    if (http1_field(g->head, g->data, "content-type", &v) != 1)
        return false;
    const uint8_t *more = memchr(g->data + v.at, ';', v.len);
    if (more)
        v.len = (size_t)(more - g->data) - v.at;
    while (v.len > 0 && g->data[v.at + v.len - 1] == ' ')
        v.len--;
    return value_is(g, v, json);
}

static int guard_change(const struct api_guarded *g, const char **why)
{
    if (from_a_page(g)) {
        *why = "a page in a browser cannot change anything here";
        return 403;
    }
    int refused = guard_token(g, why);
    if (refused)
        return refused;
    *why = "want \"Content-Type: application/json\"";
    bool deletes = http1_is(g->data, g->head->method, "DELETE") && !g->head->has_body;
    return deletes || is_json(g) ? 0 : 415;
}

int api_guard(const struct api_guarded *g, bool open, const char **why)
{
    bool reads =
        http1_is(g->data, g->head->method, "GET") || http1_is(g->data, g->head->method, "HEAD");
    int refused = api_guard_host(g, why);
    if (refused)
        return refused;
    if (!reads)
        return guard_change(g, why);
    return open ? 0 : guard_token(g, why);
}
