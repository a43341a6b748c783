/* What v2c takes for a message, Debian's http-parser takes for the same one: method, target, host, length, code, and where
 * it ends. It may take more, and does. The first byte says whether requests follow or answers, and whether those answer
 * HEAD; the rest are messages one behind the other. */
#include <assert.h>
#include <http_parser.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/hostname.h"
#include "proxy/http_body.h"
#include "proxy/http_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- as v2c reads it --- */

struct message {
    struct http1_head head;
    struct http_asked asked;
    struct hostname host;
    size_t end; /* behind the body */
};

static bool is_for_a_host(const uint8_t *data, struct message *m)
{
    struct err e;
    if (http_relay_asked(data, &m->head, &m->asked, &e) != 0)
        return false;
    struct http1_span h = m->asked.host;
    return h.len == 0 || hostname_read(&m->host, (const char *)data + h.at, h.len, &e) == 0;
}

/* False: it is none, or not whole. */
static bool read_message(const uint8_t *data, size_t size, bool answer, bool no_body,
                         struct message *m)
{
    struct err e;
    size_t took;
    *m = (struct message){0};
    enum step s =
        answer ? http1_read_answer(&m->head, data, size, &e) : http1_read(&m->head, data, size, &e);
    if (s != STEP_DONE || (!answer && !is_for_a_host(data, m)))
        return false;
    struct http_body b =
        answer ? http_body_of_answer(&m->head, no_body) : http_body_of_request(&m->head);
    if (http_body_take(&b, data + m->head.len, size - m->head.len, &took, &e) < 0)
        return false;
    m->end = m->head.len + took;
    return http_body_whole(&b);
}

/* --- as http-parser does --- */

struct other {
    http_parser parser;
    bool no_body, whole, in_host, behind_head, chunked;
    const char *url, *host;
    size_t url_len, host_len;
    unsigned fields, hosts;
    uint64_t length; /* UINT64_MAX: not said */
};

static struct other *other_of(http_parser *p)
{
    return p->data;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    other_of(p)->url = at;
    other_of(p)->url_len = len;
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct other *o = other_of(p);
    o->fields += !o->behind_head;
    o->in_host = !o->behind_head && len == 4 && strncasecmp(at, "host", 4) == 0;
    o->hosts += o->in_host;
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct other *o = other_of(p);
    while (len && (at[len - 1] == ' ' || at[len - 1] == '\t')) /* those behind it are none of its */
        len--;
    if (o->in_host)
        o->host = at, o->host_len = len;
    return 0;
}

static int on_headers(http_parser *p)
{
    struct other *o = other_of(p);
    unsigned code = p->status_code;
    o->behind_head = true;
    o->length = p->content_length;
    o->chunked = p->flags & F_CHUNKED;
    return p->type == HTTP_RESPONSE &&
           (o->no_body || code < 200 || code == 204 || code == 304); /* 1: it has no body */
}

static int on_message(http_parser *p)
{
    other_of(p)->whole = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_message_complete = on_message,
};

/* How many bytes it took. */
static size_t read_other(struct other *o, const uint8_t *data, size_t size, bool answer)
{
    http_parser_init(&o->parser, answer ? HTTP_RESPONSE : HTTP_REQUEST);
    o->parser.data = o;
    size_t n = http_parser_execute(&o->parser, &settings, (const char *)data, size);
    if (!o->whole && o->parser.http_errno == HPE_OK) /* the end of the connection */
        http_parser_execute(&o->parser, &settings, NULL, 0);
    return n;
}

/* --- both --- */

static bool equal(const uint8_t *data, struct http1_span s, const char *text, size_t len)
{
    return s.len == len && (len == 0 || memcmp(data + s.at, text, len) == 0);
}

static void check_request(const uint8_t *data, const struct message *m, const struct other *o)
{
    const struct http1_head *h = &m->head;
    const char *method = http_method_str((enum http_method)o->parser.method);
    struct http_parser_url url = {0};
    assert(equal(data, h->method, method, strlen(method)));
    assert(equal(data, h->target, o->url, o->url_len));
    assert(o->hosts == (h->host.len > 0) && equal(data, h->host, o->host, o->host_len));
    if (data[h->target.at] == '/' || equal(data, h->target, "*", 1))
        return;
    assert(http_parser_parse_url(o->url, o->url_len, 0, &url) == 0);
    const char *host = o->url + url.field_data[UF_HOST].off;
    struct hostname their;
    struct err e;
    char text[HOSTNAME_MAX + 3];
    size_t len = url.field_data[UF_HOST].len;
    bool sixth = m->host.kind == HOSTNAME_IPV6;
    assert(len <= HOSTNAME_MAX);
    int n = snprintf(text, sizeof text, sixth ? "[%.*s]" : "%.*s", (int)len, host);
    assert(hostname_read(&their, text, (size_t)n, &e) == 0);
    assert(strcmp(their.text, m->host.text) == 0 && url.port == m->host.port);
}

static void check_head(const struct message *m, const struct other *o)
{
    const struct http1_head *h = &m->head;
    assert(o->parser.http_major == 1 && o->parser.http_minor == h->minor);
    assert(o->fields == h->fields);
    assert(h->counted ? o->length == h->content_length : o->length == UINT64_MAX);
    assert(h->chunked == o->chunked);
    /* What it does not see behind an empty word of Connection we do: only its "close" counts. */
    assert(!h->keep_alive || !(o->parser.flags & F_CONNECTION_CLOSE));
}

/* What a gateway sends on says the same to it. */
static void check_relayed(const uint8_t *data, const struct message *m)
{
    static const struct relay r = {.proto = "http", .host = "a.example", .id = "7f"};
    struct other o = {0};
    uint8_t *out = malloc(http_relay_room(&m->head, &r));
    assert(out);
    size_t len = http_relay_request(out, data, &m->head, &r);
    read_other(&o, out, len, false);
    assert(o.behind_head && !http_should_keep_alive(&o.parser));
    assert(o.length == (m->head.counted ? m->head.content_length : UINT64_MAX));
    assert(o.chunked == m->head.chunked && o.parser.http_minor == m->head.minor);
    struct http1_span host = m->head.host.len ? m->head.host : m->asked.host;
    assert(o.hosts == (host.len > 0) && equal(data, host, o.host, o.host_len));
    assert(o.url[0] == '/' || (o.url[0] == '*' && o.url_len == 1));
    free(out);
}

/* Where http-parser is wrong: it takes "Transfer-EncodingX" for the field that it begins with. */
static bool is_beyond_it(const uint8_t *data, const struct http1_head *h)
{
    static const char coding[] = "transfer-encoding";
    struct http1_span name, value;
    for (size_t at = 0; http1_next_field(h, data, &at, &name, &value);)
        if (name.len > sizeof coding - 1 &&
            strncasecmp((const char *)data + name.at, coding, sizeof coding - 1) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message m;
    if (size < 1)
        return 0;
    bool answer = data[0] & 1, no_body = data[0] & 2;
    data++, size--;
    while (size && read_message(data, size, answer, no_body, &m)) {
        struct other o = {.no_body = no_body};
        size_t n = read_other(&o, data, size, answer);
        if (o.parser.http_errno == HPE_INVALID_METHOD || is_beyond_it(data, &m.head))
            break; /* v2c knows any method, http-parser those of a list */
        assert(o.whole && n == m.end);
        check_head(&m, &o);
        if (answer) {
            assert(o.parser.status_code == m.head.code);
        } else {
            check_request(data, &m, &o);
            check_relayed(data, &m);
        }
        data += m.end, size -= m.end;
    }
    return 0;
}
