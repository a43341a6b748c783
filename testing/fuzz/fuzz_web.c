/* A visitor and origins who do anything in any order. Each byte of the input is something that one of them does; some are
 * followed by a length and so many bytes that he says.
 * Laws: nobody is touched once he has left, no flow stays behind, and what an origin got are requests that are beyond
 * doubt, the last one perhaps cut off, until one of them asked for another protocol. */
#include <stdlib.h>
#include <string.h>

#include "proxy/http1.h"
#include "proxy/http_body.h"
#include "testing/web_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

/* --- what they say --- */

static const char *const visitor_says[] = {
    GET("a.example"),
    GET("b.example"),
    GET("gone.example"),
    GET("nobody.example"),
    POST("12345"),
    POST("12"),
    "345",
    "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "HEAD / HTTP/1.0\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
};
static const char *const origin_says[] = {
    OK5 "hello",
    OK5,
    "hello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.",
};
enum {
    VISITOR_SAYS = sizeof visitor_says / sizeof *visitor_says,
    ORIGIN_SAYS = sizeof origin_says / sizeof *origin_says,
};

/* --- what they do --- */

static void put(struct rig *r, struct peer *p, const void *bytes, size_t len)
{
    if (p->left || end_sent_eof(&p->end))
        return;
    demand(end_write(&p->end, bytes, len));
    rig_turn(r);
}

static void end_side(struct rig *r, struct peer *p)
{
    if (p->left)
        return;
    end_eof(&p->end);
    end_wake(&p->end);
    rig_turn(r);
}

static void stall(struct rig *r, struct peer *p)
{
    p->stalls = !p->stalls;
    if (!p->left)
        end_wake(&p->end);
    rig_turn(r);
}

static void visit(struct rig *r)
{
    if (!r->visitor.left)
        cut_off(r, &r->visitor);
    rig_visit(r);
}

static void drain(struct rig *r, struct peer *p)
{
    if (!p->left)
        flow_drain(p->end.flow);
    rig_turn(r);
}

/* One thing, by somebody. What is said in the input's own words moves the cursor. */
static void act(struct rig *r, uint8_t what, struct peer *who, bool origin, struct cursor *in)
{
    uint8_t len = 0;
    struct cursor own = {0};
    switch (what) {
    case 0:
        cur_u8(in, &len);
        if (cur_sub(in, len, &own) && len)
            put(r, who, own.p, len);
        break;
    case 1:
        end_side(r, who);
        break;
    case 2:
        if (!who->left)
            cut_off(r, who);
        break;
    case 3:
        stall(r, who);
        break;
    case 4:
        if (origin)
            drain(r, who);
        else
            visit(r);
        break;
    case 5:
        if (origin)
            web_adopt(r->web, &r->conf);
        else
            web_drain(r->web);
        break;
    default:
        break;
    }
}

enum { ACTS = 16 };

static void step(struct rig *r, uint8_t byte, struct cursor *in)
{
    bool origin = byte & 1;
    uint8_t what = (uint8_t)(byte >> 1 & 31), which = byte >> 6;
    struct peer *who = &r->visitor;
    if (origin && r->count <= which)
        return;
    if (origin)
        who = r->origin[r->count - 1 - which];
    if (what >= ACTS) {
        const char *text =
            origin ? origin_says[what % ORIGIN_SAYS] : visitor_says[what % VISITOR_SAYS];
        put(r, who, text, strlen(text));
    } else {
        act(r, what, who, origin, in);
    }
}

/* --- what came of it --- */

/* 0: no more whole ones, or what follows is no HTTP. */
static size_t request_len(const uint8_t *p, size_t len)
{
    struct http1_head h = {0};
    struct err e;
    size_t took = 0;
    enum step s = http1_read(&h, p, len, &e);
    demand(s != STEP_FAIL);
    if (s != STEP_DONE || h.upgrade)
        return 0;
    struct http_body body = http_body_of_request(&h);
    demand(http_body_take(&body, p + h.len, len - h.len, &took, &e) == 0);
    return body.state == HTTP_BODY_DONE ? h.len + took : 0;
}

static void check_origin(const struct peer *p)
{
    size_t at = 0, len;
    while (at < p->len && (len = request_len((const uint8_t *)p->text + at, p->len - at)) > 0)
        at += len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *state;
    struct cursor in = cur_of(data, size);
    uint8_t byte;
    demand(web_rig_open(&state) == 0);
    struct rig *r = state;
    rig_visit(r);
    while (cur_u8(&in, &byte))
        step(r, byte, &in);
    for (size_t i = 0; i < r->count; i++) {
        check_origin(r->origin[i]);
        if (r->origin[i]->stalls)
            stall(r, r->origin[i]);
        end_side(r, r->origin[i]);
    }
    demand(web_rig_close(&state) == 0);
    return 0;
}
