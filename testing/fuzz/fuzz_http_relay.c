/* Any head as a gateway passes it on. The first byte says how; the rest is the head of a request, or of an answer. What is
 * written fits into its room and is read again as the same message, without anything that was for one hop alone. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/http_body.h"
#include "proxy/http_name.h"
#include "proxy/http_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum how {
    TRUSTED = 1,
    KEEP_ALIVE = 2,
    NAMED = 4,
    UPGRADE = 8,
    SIXTH = 16,
    UNKNOWN = 32,
    ANSWER = 64,
    OLD = 128
};

struct written {
    const uint8_t *data; /* the head as it came, ... */
    struct http1_head from;
    uint8_t *out; /* ... and as it goes */
    struct http1_head to;
};

/* The host of a URL may be written in another case than that of Host, which is the one that passes. */
static bool same_host(const struct written *w, struct http1_span a, struct http1_span b)
{
    return a.len == b.len &&
           strncasecmp((const char *)w->data + a.at, (const char *)w->out + b.at, a.len) == 0;
}

static bool same(const struct written *w, struct http1_span a, struct http1_span b)
{
    return a.len == b.len && memcmp(w->data + a.at, w->out + b.at, a.len) == 0;
}

/* How many fields mean this; and none is there that was listed, or looks like another. */
static unsigned count(const struct written *w, enum http_name which)
{
    struct http1_span name, value;
    unsigned n = 0;
    for (size_t at = 0; http1_next_field(&w->to, w->out, &at, &name, &value);) {
        enum http_name known = http_name_of(w->out + name.at, name.len);
        assert(known != HTTP_LOOKALIKE && known != HTTP_HOP);
        n += known == which;
        if (known != HTTP_OTHER)
            continue;
        for (unsigned i = 0; i < w->from.listed; i++) {
            struct http1_span listed = {w->from.names[i].at, w->from.names[i].len};
            char text[HTTP1_LINE_MAX + 1];
            memcpy(text, w->data + listed.at, listed.len);
            text[listed.len] = '\0';
            assert(!http1_is_name(w->out, name, text));
        }
    }
    return n;
}

static void check_message(const struct written *w)
{
    assert(w->to.counted == w->from.counted && w->to.chunked == w->from.chunked);
    assert(w->to.content_length == w->from.content_length && w->to.expects == w->from.expects);
    assert(count(w, HTTP_CONNECTION) <= 1);
}

static void check_request(struct written *w, const struct relay *r)
{
    struct err e;
    struct http_asked asked, again;
    size_t room = http_relay_room(&w->from, r);
    if (http_relay_asked(w->data, &w->from, &asked, &e) != 0)
        return;
    w->out = malloc(room);
    size_t len = http_relay_request(w->out, w->data, &w->from, r);
    assert(len <= room);
    if (http1_read(&w->to, w->out, len, &e) != STEP_DONE) {
        assert(w->to.status == 431); /* a few lines came to it */
        return;
    }
    assert(w->to.len == len && http_relay_asked(w->out, &w->to, &again, &e) == 0);
    assert(same(w, w->from.method, w->to.method) && same_host(w, asked.host, again.host));
    assert(same(w, asked.path, again.path) || asked.path.len == 0 || w->data[asked.path.at] == '?');
    assert(w->to.minor == w->from.minor);
    assert(w->to.keep_alive == (r->keep_alive || r->upgrade));
    assert(w->to.upgrade == r->upgrade);
    check_message(w);
    assert(r->silent || count(w, HTTP_X_FORWARDED_FOR) <= 1);
    assert(r->silent || count(w, HTTP_FORWARDED) <= 1);
    assert(!r->id || count(w, HTTP_X_REQUEST_ID) > 0);
    assert(!r->id || r->trusted || count(w, HTTP_X_REQUEST_ID) == 1);
    assert(r->trusted || count(w, HTTP_X_FORWARDED) == 0);
}

static void check_answer(struct written *w, const struct relay_back *r)
{
    struct err e;
    size_t room = http_relay_answer_room(&w->from, r);
    w->out = malloc(room);
    size_t len = http_relay_answer(w->out, w->data, &w->from, r);
    assert(len <= room && (len || r->minor == 0));
    if (len == 0)
        return;
    if (http1_read_answer(&w->to, w->out, len, &e) != STEP_DONE) {
        assert(strstr(e.text, "large") || strstr(e.text, "100"));
        return;
    }
    assert(w->to.len == len && w->to.code == w->from.code && same(w, w->from.reason, w->to.reason));
    assert(http_body_of_answer(&w->to, false).state == http_body_of_answer(&w->from, false).state);
    assert(w->from.code < 200 || w->from.code == 204 || w->to.counted == w->from.counted);
    assert(count(w, HTTP_CONNECTION) <= 1 && (!r->id || count(w, HTTP_X_REQUEST_ID) == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct addr fourth = {.type = ADDR_IPV4, .ip = {255, 255, 255, 255}},
                             sixth = {.type = ADDR_IPV6,
                                      .ip = {0x2f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct written w = {.data = data + 1};
    struct err e;
    if (size < 1)
        return 0;
    uint8_t how = data[0];
    const char *id = how & NAMED ? "0123456789abcdef" : NULL;
    enum step s = how & ANSWER ? http1_read_answer(&w.from, w.data, size - 1, &e)
                               : http1_read(&w.from, w.data, size - 1, &e);
    struct relay r = {.from = how & UNKNOWN ? NULL
                              : how & SIXTH ? &sixth
                                            : &fourth,
                      .trusted = how & TRUSTED,
                      .silent = (how & (UNKNOWN | SIXTH)) == (UNKNOWN | SIXTH),
                      .proto = "https",
                      .host = how & NAMED ? "a.example:65535" : "",
                      .id = id,
                      .keep_alive = how & KEEP_ALIVE,
                      .upgrade = how & UPGRADE && w.from.upgrade};
    struct relay_back back = {.minor = !(how & OLD), .keep_alive = how & KEEP_ALIVE, .id = id};
    if (s == STEP_DONE && how & ANSWER)
        check_answer(&w, &back);
    else if (s == STEP_DONE)
        check_request(&w, &r);
    free(w.out);
    return 0;
}
