#include "proxy/http_relay.h"

#include <strings.h>

#include "proxy/http_name.h"

/* --- what is asked for --- */

static int refuse(struct err *e, int status, const char *text)
{
    err_set(e, EPROTO, "%s", text);
    return status;
}

/* The length of "http://" or "https://" at its start; 0: neither. */
static size_t scheme_of(const uint8_t *p, size_t len)
{
    static const char plain[] = "http://", secret[] = "https://";
    if (len >= sizeof plain - 1 && strncasecmp((const char *)p, plain, sizeof plain - 1) == 0)
        return sizeof plain - 1;
    if (len >= sizeof secret - 1 && strncasecmp((const char *)p, secret, sizeof secret - 1) == 0)
        return sizeof secret - 1;
    return 0;
}

static bool same_host(const uint8_t *data, struct http1_span a, struct http1_span b)
{
    return a.len == b.len &&
           strncasecmp((const char *)data + a.at, (const char *)data + b.at, a.len) == 0;
}

/* Some readers take the host from the URL, some from Host: only one that is in both is beyond doubt. */
static int asked_by_url(const uint8_t *data, const struct http1_head *h, struct http_asked *a,
                        struct err *e)
{
    struct http1_span t = h->target;
    size_t scheme = scheme_of(data + t.at, t.len), end = scheme;
    if (!scheme)
        return refuse(e, 400, "the target is neither a path nor a URL");
    while (end < t.len && data[t.at + end] != '/' && data[t.at + end] != '?')
        end++;
    a->host = (struct http1_span){t.at + scheme, end - scheme};
    a->path = (struct http1_span){t.at + end, t.len - end};
    if (!http1_is_host(data, a->host))
        return refuse(e, 400, "the target's host is not a host");
    if (h->host.len && !same_host(data, a->host, h->host))
        return refuse(e, 400, "the target and Host name two hosts");
    return 0;
}

int http_relay_asked(const uint8_t *data, const struct http1_head *h, struct http_asked *a,
                     struct err *e)
{
    struct http1_span t = h->target;
    if (http1_is(data, h->method, "CONNECT"))
        return refuse(e, 405, "CONNECT is for proxies");
    bool all = http1_is(data, t, "*") && http1_is(data, h->method, "OPTIONS");
    if (data[t.at] != '/' && !all)
        return asked_by_url(data, h, a, e);
    a->host = h->host;
    a->path = t;
    return 0;
}

/* --- writing; there is room --- */

static void put(uint8_t **to, const void *from, size_t len)
{
    memcpy(*to, from, len);
    *to += len;
}

static void put_text(uint8_t **to, const char *text)
{
    put(to, text, strlen(text));
}

static void put_span(uint8_t **to, const uint8_t *data, struct http1_span s)
{
    put(to, data + s.at, s.len);
}

static void put_line(uint8_t **to, const char *name, const char *value)
{
    put_text(to, name);
    put_text(to, value);
    put_text(to, "\r\n");
}

static void put_byte_number(uint8_t **to, uint8_t n)
{
    if (n >= 100)
        *(*to)++ = (uint8_t)('0' + n / 100);
    if (n >= 10)
        *(*to)++ = (uint8_t)('0' + n / 10 % 10);
    *(*to)++ = (uint8_t)('0' + n % 10);
}

static void put_ip(uint8_t **to, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    if (a->type != ADDR_IPV4) {
        put_text(to, addr_host_text(a, text));
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        if (i)
            put_text(to, ".");
        put_byte_number(to, a->ip[i]);
    }
}

/* --- fields that pass --- */

struct writing {
    const uint8_t *data;
    const struct http1_head *head;
    uint8_t *to;
    unsigned seen; /* names that the head has, a bit for each */
};

static unsigned bit(enum http_name name)
{
    return 1u << name;
}

/* Copies what passes, from `from` on, in runs; *to is then behind it. */
static void put_fields(struct writing *w, size_t from, bool (*passes)(enum http_name, const void *),
                       const void *how)
{
    struct http1_span name, value;
    size_t at = 0;
    while (http1_next_field(w->head, w->data, &at, &name, &value)) {
        enum http_name known = http_name_of(w->data + name.at, name.len);
        w->seen |= bit(known);
        if (known == HTTP_OTHER ? !http1_lists(w->head, w->data, name) : passes(known, how))
            continue;
        put(&w->to, w->data + from, name.at - from);
        from = at;
    }
    put(&w->to, w->data + from, w->head->len - 2 - from);
}

/* --- who is behind it --- */

static bool known(const struct addr *a)
{
    return a && addr_is_ip(a);
}

/* The values of all fields of this name, as one list that may go on. */
static void put_list(struct writing *w, enum http_name which)
{
    struct http1_span name, value;
    for (size_t at = 0; http1_next_field(w->head, w->data, &at, &name, &value);)
        if (value.len && http_name_of(w->data + name.at, name.len) == which) {
            put_span(&w->to, w->data, value);
            put_text(&w->to, ", ");
        }
}

/* Without an address the list would end in a comma. */
static void end_list(struct writing *w)
{
    if (w->to[-2] == ',')
        w->to -= 2;
    put_text(&w->to, "\r\n");
}

static void put_forwarded_for(struct writing *w, const struct relay *r)
{
    bool goes_on = r->trusted && w->seen & bit(HTTP_X_FORWARDED_FOR);
    if (!goes_on && !known(r->from))
        return;
    put_text(&w->to, "X-Forwarded-For: ");
    if (goes_on)
        put_list(w, HTTP_X_FORWARDED_FOR);
    if (known(r->from))
        put_ip(&w->to, r->from);
    end_list(w);
}

static void put_x_forwarded(struct writing *w, const struct relay *r)
{
    unsigned told = r->trusted ? w->seen : 0;
    put_forwarded_for(w, r);
    if (!(told & bit(HTTP_X_FORWARDED_PROTO)))
        put_line(&w->to, "X-Forwarded-Proto: ", r->proto);
    if (!(told & bit(HTTP_X_FORWARDED_HOST)) && *r->host)
        put_line(&w->to, "X-Forwarded-Host: ", r->host);
}

/* Quoted, because of the colons that it may have. */
static void put_quoted(uint8_t **to, const char *name, const char *text)
{
    put_text(to, name);
    put_text(to, text);
    put_text(to, "\"");
}

static void put_node(uint8_t **to, const struct addr *a)
{
    bool quoted = known(a) && a->type == ADDR_IPV6;
    put_text(to, quoted ? "for=\"[" : "for=");
    if (known(a))
        put_ip(to, a);
    else
        put_text(to, "unknown");
    put_text(to, quoted ? "]\"" : "");
}

static void put_forwarded(struct writing *w, const struct relay *r)
{
    put_text(&w->to, "Forwarded: ");
    if (r->trusted)
        put_list(w, HTTP_FORWARDED);
    put_node(&w->to, r->from);
    put_text(&w->to, ";proto=");
    put_text(&w->to, r->proto);
    if (*r->host)
        put_quoted(&w->to, ";host=\"", r->host);
    put_text(&w->to, "\r\n");
}

/* Whom we trust and who uses one of the two ways is answered in that one: the other would know less. */
static void put_behind(struct writing *w, const struct relay *r)
{
    unsigned told = r->trusted ? w->seen : 0;
    unsigned x = told & (bit(HTTP_X_FORWARDED_FOR) | bit(HTTP_X_FORWARDED_PROTO) |
                         bit(HTTP_X_FORWARDED_HOST));
    if (x || !(told & bit(HTTP_FORWARDED)))
        put_x_forwarded(w, r);
    if (!x || told & bit(HTTP_FORWARDED))
        put_forwarded(w, r);
}

/* --- the request --- */

enum {
    ADDR_ROOM = 2 * 48, /* an address, twice */
    LINES_ROOM = 256,   /* the names of the lines that are written, a first line, and Connection */
};

size_t http_relay_room(const struct http1_head *h, const struct relay *r)
{
    return h->len + ADDR_ROOM + LINES_ROOM + 2 * (strlen(r->proto) + strlen(r->host)) +
           (r->id ? strlen(r->id) : 0);
}

static bool passes(enum http_name name, const void *how)
{
    const struct relay *r = how;
    switch (name) {
    case HTTP_LOOKALIKE:
    case HTTP_CONNECTION:
    case HTTP_HOP:
    case HTTP_FORWARDED:
    case HTTP_X_FORWARDED_FOR:
        return false;
    case HTTP_UPGRADE:
        return r->upgrade;
    case HTTP_X_FORWARDED:
    case HTTP_X_FORWARDED_PROTO:
    case HTTP_X_FORWARDED_HOST:
        return r->trusted;
    case HTTP_X_REQUEST_ID:
        return !r->id;
    default:
        return true;
    }
}

/* A URL becomes its path, and its host Host unless there is one. */
static void put_request_line(struct writing *w, const struct http_asked *a)
{
    put_span(&w->to, w->data, w->head->method);
    put_text(&w->to, " ");
    if (a->path.len == 0 && http1_is(w->data, w->head->method, "OPTIONS"))
        put_text(&w->to, "*");
    else if (a->path.len == 0 || w->data[a->path.at] == '?')
        put_text(&w->to, "/");
    put_span(&w->to, w->data, a->path);
    put_text(&w->to, w->head->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    if (w->head->host.len || !a->host.len)
        return;
    put_text(&w->to, "Host: ");
    put_span(&w->to, w->data, a->host);
    put_text(&w->to, "\r\n");
}

static size_t first_line_len(const struct http1_head *h)
{
    return h->target.at + h->target.len + sizeof " HTTP/1.x\r\n" - 1;
}

/* HTTP/1.1 stays and HTTP/1.0 goes unless told otherwise. */
static const char *connection(bool upgrade, bool keep_alive, uint8_t minor)
{
    if (upgrade)
        return keep_alive ? "Connection: Upgrade\r\n" : "Connection: Upgrade, close\r\n";
    if (keep_alive)
        return minor ? "" : "Connection: keep-alive\r\n";
    return "Connection: close\r\n";
}

size_t http_relay_request(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                          const struct relay *r)
{
    struct writing w = {data, h, to, 0};
    struct http_asked a;
    struct err ignored;
    size_t from = 0;
    if (data[h->target.at] != '/' && http_relay_asked(data, h, &a, &ignored) == 0) {
        put_request_line(&w, &a);
        from = first_line_len(h);
    }
    put_fields(&w, from, passes, r);
    put_behind(&w, r);
    if (r->id)
        put_line(&w.to, "X-Request-Id: ", r->id);
    put_text(&w.to, connection(r->upgrade, r->keep_alive || r->upgrade, h->minor));
    put_text(&w.to, "\r\n");
    return (size_t)(w.to - to);
}

/* --- the answer --- */

size_t http_relay_answer_room(const struct http1_head *h, const struct relay_back *r)
{
    return h->len + LINES_ROOM + (r->id ? strlen(r->id) : 0);
}

struct answering {
    const struct relay_back *back;
    bool no_body; /* whatever the head says */
    bool upgrade;
};

static bool passes_back(enum http_name name, const void *how)
{
    const struct answering *a = how;
    switch (name) {
    case HTTP_LOOKALIKE:
    case HTTP_CONNECTION:
    case HTTP_HOP:
        return false;
    case HTTP_CONTENT_LENGTH:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_TRAILER:
        return !a->no_body;
    case HTTP_UPGRADE:
        return a->upgrade;
    case HTTP_X_REQUEST_ID:
        return !a->back->id;
    default:
        return true;
    }
}

static void put_status_line(struct writing *w)
{
    put_text(&w->to, "HTTP/1.1");
    put(&w->to, w->data + sizeof "HTTP/1.1" - 1, sizeof " 200" - 1);
    put_text(&w->to, " ");
    put_span(&w->to, w->data, w->head->reason);
    put_text(&w->to, "\r\n");
}

size_t http_relay_answer(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                         const struct relay_back *r)
{
    enum { CONTINUES = 200, SWITCHES = 101, NO_CONTENT = 204, WANTS_UPGRADE = 426 };
    bool interim = h->code < CONTINUES && h->code != SWITCHES;
    struct answering a = {r, h->code < CONTINUES || h->code == NO_CONTENT,
                          h->code == SWITCHES || h->code == WANTS_UPGRADE};
    struct writing w = {data, h, to, 0};
    if (r->minor == 0 && (h->code < CONTINUES || h->chunked))
        return 0;
    put_status_line(&w);
    put_fields(&w, (size_t)((const uint8_t *)memchr(data, '\n', h->len) + 1 - data), passes_back,
               &a);
    if (r->id)
        put_line(&w.to, "X-Request-Id: ", r->id);
    if (!interim)
        put_text(&w.to, connection(a.upgrade, r->keep_alive || h->code == SWITCHES, r->minor));
    put_text(&w.to, "\r\n");
    return (size_t)(w.to - to);
}
