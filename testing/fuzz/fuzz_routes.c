/* Routes and requests from bytes, made of few hosts, paths and headers so that they often meet: what the table finds is
 * what a naive one finds that looks at all routes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROUTES_MAX = 24, REQUESTS_MAX = 24, UNITS_MAX = 64 };

static const char *const hosts[] = {
    "a.example",    ".a.example", "*.example",     "example", "b.a.example",
    ".b.a.example", "192.0.2.1",  "[2001:db8::1]", ".test",   NULL};
static const char *const asked_hosts[] = {
    "a.example", "b.a.example",   "c.b.a.example", "example",      "ba.example",
    "192.0.2.1", "[2001:db8::1]", "test",          "x.y.z.w.test", "stranger.invalid",
    ""};
static const char *const paths[] = {"", "/", "/a", "/a/", "/a/b", "/%61/b", "/a%2fb", "/A"};
static const char *const asked_paths[] = {"/",      "/a",   "/a/",    "/a/b",   "/%61",
                                          "/ab",    "/a?b", "/a%2Fb", "/a/b/c", "*",
                                          "/%41/x", "/%6",  "/a%",    ""};
static const char *const headers[] = {"", "", "x-a", "x-b"};
static const char *const values[] = {"", "one", "two"};
static const char *const heads[] = {
    "", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nX-A: one\r\n\r\n",
    "GET / HTTP/1.1\r\nx-b:two\r\nx-a: two\r\n\r\n", "GET / HTTP/1.1\r\nX-B: a b\r\n\r\n"};

struct numbers {
    const uint8_t *p, *end;
};

static size_t below(struct numbers *n, size_t most)
{
    return n->p < n->end ? *n->p++ % most : 0;
}

#define PICK(n, list) (list)[below((n), sizeof(list) / sizeof *(list))]

static void require(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static struct head_text text_of(const char *text)
{
    return (struct head_text){text, strlen(text)};
}

struct naive {
    struct hostname_pattern host;
    bool any;
    const char *path, *header, *value;
    char id[24];
};

/* --- the naive table --- */

/* Bytes of a path, escapes of what needs none resolved; others are numbers of their own. */
static size_t units(const char *path, int to[UNITS_MAX])
{
    size_t count = 0;
    while (*path && count < UNITS_MAX) {
        char hex[3] = {0}, *end = hex;
        if (*path == '%' && path[1] && path[2])
            memcpy(hex, path + 1, 2);
        long v = strtol(hex, &end, 16);
        if (end != hex + 2 || strspn(hex, "0123456789abcdefABCDEF") != 2) {
            to[count++] = (unsigned char)*path++;
            continue;
        }
        bool plain =
            v &&
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", (int)v);
        to[count++] = (int)v + (plain ? 0 : 1000);
        path += 3;
    }
    return count;
}

static bool path_fits(const char *asked, const char *route)
{
    int a[UNITS_MAX], r[UNITS_MAX];
    size_t asked_len = units(asked, a), len = units(route, r);
    if (len > asked_len || memcmp(a, r, len * sizeof *r) != 0)
        return false;
    return len == 0 || r[len - 1] == '/' || len == asked_len || a[len] == '/' || a[len] == '?';
}

static bool header_fits(const char *head, const struct naive *r)
{
    struct head_text value;
    if (!*r->header)
        return true;
    if (!head_attr(text_of(head), text_of(r->header), &value))
        return false;
    char named[TUNNEL_NAME_MAX + 1];
    if (!*r->value)
        return tunnel_text_read(named, value.text, value.len);
    return value.len == strlen(r->value) && memcmp(value.text, r->value, value.len) == 0;
}

/* How well it is for this host: -1: not; the longest wildcard wins, the host itself over all. */
static int host_fits(const struct naive *r, const char *host)
{
    if (r->any)
        return 0;
    if (!hostname_pattern_has(&r->host, host))
        return -1;
    return r->host.below ? r->host.host.len : 1000;
}

static size_t path_units(const struct naive *r)
{
    int to[UNITS_MAX];
    return units(r->path, to);
}

static bool better(const struct naive *a, const struct naive *b)
{
    if (path_units(a) != path_units(b))
        return path_units(a) > path_units(b);
    return *a->header && !*b->header;
}

static const struct naive *naive_find(const struct naive *all, size_t count, const char *host,
                                      const char *path, const char *head)
{
    const struct naive *found = NULL;
    int best = -1;
    for (size_t i = 0; i < count; i++)
        if (host_fits(&all[i], host) > best)
            best = host_fits(&all[i], host);
    for (size_t i = 0; i < count; i++)
        if (best >= 0 && host_fits(&all[i], host) == best && path_fits(path, all[i].path) &&
            header_fits(head, &all[i]) && (!found || better(&all[i], found)))
            found = &all[i];
    return found;
}

/* --- both --- */

static bool same(const struct naive *a, const struct naive *b)
{
    int x[UNITS_MAX], y[UNITS_MAX];
    size_t n = units(a->path, x), m = units(b->path, y);
    bool host = a->any == b->any && (a->any || (a->host.below == b->host.below &&
                                                strcmp(a->host.host.text, b->host.host.text) == 0));
    return host && n == m && memcmp(x, y, n * sizeof *x) == 0 &&
           strcmp(a->header, b->header) == 0 && strcmp(a->value, b->value) == 0;
}

static size_t add(struct routes *r, struct numbers *n, struct naive *all, size_t count)
{
    struct naive *one = &all[count];
    const char *host = PICK(n, hosts);
    struct err e;
    bool twice = false;
    *one = (struct naive){.any = !host, .path = PICK(n, paths), .header = PICK(n, headers)};
    one->value = *one->header ? PICK(n, values) : "";
    snprintf(one->id, sizeof one->id, "t%zu", count);
    if (host)
        require(hostname_read_pattern(&one->host, host, strlen(host), &e) == 0);
    struct route route = {.host = host ? &one->host : NULL,
                          .path = text_of(one->path),
                          .header = text_of(one->header),
                          .value = text_of(one->value),
                          .to = {.kind = ROUTE_TUNNEL, .outbound = count}};
    if (!*one->header || *one->value)
        memcpy(route.to.tunnel.text, one->id, sizeof one->id);
    for (size_t i = 0; i < count; i++)
        twice |= same(&all[i], one);
    int added = routes_add(r, &route, &e);
    require(added == (twice ? -1 : 0) && (!twice || e.code == EEXIST));
    return count + !twice;
}

static void ask(const struct routes *r, struct numbers *n, const struct naive *all, size_t count)
{
    const char *host = PICK(n, asked_hosts), *path = PICK(n, asked_paths), *head = PICK(n, heads);
    struct route_asked asked = {host, text_of(path), text_of(head), NULL};
    struct route_to to = {0};
    const struct naive *wanted = naive_find(all, count, host, path, head);
    bool found = routes_find(r, &asked, &to);
    require(found == (wanted != NULL));
    require(!found || to.outbound == (size_t)(wanted - all));
    require(!found || (*wanted->header && !*wanted->value) ||
            strcmp(to.tunnel.text, wanted->id) == 0);
    require(found || to.kind == ROUTE_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct numbers n = {data, data + size};
    struct naive all[ROUTES_MAX];
    struct routes *r = routes_new();
    size_t count = 0, wanted = below(&n, ROUTES_MAX);
    require(r);
    for (size_t i = 0; i < wanted; i++)
        count = add(r, &n, all, count);
    struct routes *copy = routes_copy(r);
    for (size_t i = 0; i < REQUESTS_MAX && n.p < n.end; i++)
        ask(i % 2 ? copy : r, &n, all, count);
    require(routes_count(r) == count);
    routes_unref(copy);
    routes_unref(r);
    return 0;
}
