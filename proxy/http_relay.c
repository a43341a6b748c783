#include "proxy/http_relay.h"

#include <arpa/inet.h>
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

/* Its length is known when this is compiled. */
#define PUT(to, literal) put(to, literal, sizeof literal - 1)

static void put_span(uint8_t **to, const uint8_t *data, struct http1_span s)
{
    put(to, data + s.at, s.len);
}

static void put_rest(uint8_t **to, const char *value)
{
    put_text(to, value);
    PUT(to, "\r\n");
}

static size_t write_number(char *to, uint8_t n)
{
    size_t len = 0;
    if (n >= 100)
        to[len++] = (char)('0' + n / 100);
    if (n >= 10)
        to[len++] = (char)('0' + n / 10 % 10);
    to[len++] = (char)('0' + n % 10);
    return len;
}

/* Most are IPv4, and every request has one. */
static size_t write_ip(char to[INET6_ADDRSTRLEN], const struct addr *a)
{
    size_t len = 0;
    if (!a || !addr_is_ip(a))
        return 0;
    if (a->type == ADDR_IPV6)
        return inet_ntop(AF_INET6, a->ip, to, INET6_ADDRSTRLEN) ? strlen(to) : 0;
    for (size_t i = 0; i < 4; i++) {
        if (i)
            to[len++] = '.';
        len += write_number(to + len, a->ip[i]);
    }
    return len;
}

/* --- fields that pass --- */

struct writing {
    const uint8_t *data;
    const struct http1_head *head;
    uint8_t *to;
    unsigned seen; /* names that the head has, a bit for each */
    size_t ip_len; /* 0: it is not known who is behind it */
    char ip[INET6_ADDRSTRLEN];
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

/* The values of all fields of this name, as one list that may go on. */
static void put_list(struct writing *w, enum http_name which)
{
    struct http1_span name, value;
    for (size_t at = 0; http1_next_field(w->head, w->data, &at, &name, &value);)
        if (value.len && http_name_of(w->data + name.at, name.len) == which) {
            put_span(&w->to, w->data, value);
            PUT(&w->to, ", ");
        }
}

/* Without an address the list would end in a comma. */
static void end_list(struct writing *w)
{
    if (w->to[-2] == ',')
        w->to -= 2;
    PUT(&w->to, "\r\n");
}

static void put_forwarded_for(struct writing *w, const struct relay *r)
{
    bool goes_on = r->trusted && w->seen & bit(HTTP_X_FORWARDED_FOR);
    if (!goes_on && !w->ip_len)
        return;
    PUT(&w->to, "X-Forwarded-For: ");
    if (goes_on)
        put_list(w, HTTP_X_FORWARDED_FOR);
    put(&w->to, w->ip, w->ip_len);
    end_list(w);
}

static void put_x_forwarded(struct writing *w, const struct relay *r)
{
    unsigned told = r->trusted ? w->seen : 0;
    put_forwarded_for(w, r);
    if (!(told & bit(HTTP_X_FORWARDED_PROTO)))
        PUT(&w->to, "X-Forwarded-Proto: "), put_rest(&w->to, r->proto);
    if (!(told & bit(HTTP_X_FORWARDED_HOST)) && *r->host)
        PUT(&w->to, "X-Forwarded-Host: "), put_rest(&w->to, r->host);
}

/* An IPv6 address has colons, and so may a host have. */
static void put_node(struct writing *w, const struct relay *r)
{
    bool quoted = w->ip_len && r->from->type == ADDR_IPV6;
    if (!w->ip_len) {
        PUT(&w->to, "for=unknown");
        return;
    }
    put_text(&w->to, quoted ? "for=\"[" : "for=");
    put(&w->to, w->ip, w->ip_len);
    put_text(&w->to, quoted ? "]\"" : "");
}

static void put_forwarded(struct writing *w, const struct relay *r)
{
    PUT(&w->to, "Forwarded: ");
    if (r->trusted)
        put_list(w, HTTP_FORWARDED);
    put_node(w, r);
    PUT(&w->to, ";proto=");
    put_text(&w->to, r->proto);
    if (*r->host) {
        PUT(&w->to, ";host=\"");
        put_text(&w->to, r->host);
        PUT(&w->to, "\"");
    }
    PUT(&w->to, "\r\n");
}

/* Whom we trust and who uses one of the two ways is answered in that one: the other would know less. */
static void put_behind(struct writing *w, const struct relay *r)
{
    unsigned told = r->trusted ? w->seen : 0;
    if (r->silent)
        return;
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
        return false;
    case HTTP_FORWARDED:
    case HTTP_X_FORWARDED_FOR: /* if we add to them, they are written anew */
        return r->trusted && r->silent;
    case HTTP_UPGRADE:
        return r->upgrade;
    case HTTP_X_FORWARDED:
    case HTTP_X_FORWARDED_PROTO:
    case HTTP_X_FORWARDED_HOST:
        return r->trusted;
    case HTTP_X_REQUEST_ID:
        return r->trusted || !r->id;
    default:
        return true;
    }
}

/* A URL becomes its path, and its host Host unless there is one. */
static void put_request_line(struct writing *w, const struct http_asked *a)
{
    put_span(&w->to, w->data, w->head->method);
    PUT(&w->to, " ");
    if (a->path.len == 0 && http1_is(w->data, w->head->method, "OPTIONS"))
        PUT(&w->to, "*");
    else if (a->path.len == 0 || w->data[a->path.at] == '?')
        PUT(&w->to, "/");
    put_span(&w->to, w->data, a->path);
    put_text(&w->to, w->head->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    if (w->head->host.len || !a->host.len)
        return;
    PUT(&w->to, "Host: ");
    put_span(&w->to, w->data, a->host);
    PUT(&w->to, "\r\n");
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
    struct writing w = {.data = data, .head = h, .to = to};
    struct http_asked a;
    struct err ignored;
    size_t from = 0;
    w.ip_len = write_ip(w.ip, r->from);
    if (data[h->target.at] != '/' && http_relay_asked(data, h, &a, &ignored) == 0) {
        put_request_line(&w, &a);
        from = first_line_len(h);
    }
    put_fields(&w, from, passes, r);
    put_behind(&w, r);
    if (r->id && !(r->trusted && w.seen & bit(HTTP_X_REQUEST_ID)))
        PUT(&w.to, "X-Request-Id: "), put_rest(&w.to, r->id);
    put_text(&w.to, connection(r->upgrade, r->keep_alive || r->upgrade, h->minor));
    PUT(&w.to, "\r\n");
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
    PUT(&w->to, "HTTP/1.1");
    put(&w->to, w->data + sizeof "HTTP/1.1" - 1, sizeof " 200" - 1);
    PUT(&w->to, " ");
    put_span(&w->to, w->data, w->head->reason);
    PUT(&w->to, "\r\n");
}

size_t http_relay_answer(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                         const struct relay_back *r)
{
    enum { CONTINUES = 200, SWITCHES = 101, NO_CONTENT = 204, WANTS_UPGRADE = 426 };
    bool interim = h->code < CONTINUES && h->code != SWITCHES;
    struct answering a = {r, h->code < CONTINUES || h->code == NO_CONTENT,
                          h->code == SWITCHES || h->code == WANTS_UPGRADE};
    struct writing w = {.data = data, .head = h, .to = to};
    if (r->minor == 0 && (h->code < CONTINUES || h->chunked))
        return 0;
    put_status_line(&w);
    put_fields(&w, (size_t)((const uint8_t *)memchr(data, '\n', h->len) + 1 - data), passes_back,
               &a);
    if (r->id)
        PUT(&w.to, "X-Request-Id: "), put_rest(&w.to, r->id);
    if (!interim)
        put_text(&w.to, connection(a.upgrade, r->keep_alive || h->code == SWITCHES, r->minor));
    PUT(&w.to, "\r\n");
    return (size_t)(w.to - to);
}
