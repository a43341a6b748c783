/* What is asked, where that leads, and the head on its way there. */
#include <stdlib.h>
#include <string.h>

#include "proxy/http_relay.h"
#include "proxy/web_visit.h"

enum {
    HOST_TEXT = HOSTNAME_MAX + 16, /* a name with a dot at its end, and a port */
    KEPT_FIRST = 1024,
};

static const double HEAD = 10; /* seconds that a request's head may take */

/* --- reading it --- */

static enum visit_turn visit_await_head(struct visit *v, bool begins)
{
    if (v->end.flow->pipes[1].eof)
        return VISIT_LEAVES;
    if (begins)
        visit_limit(v, HEAD);
    return VISIT_WAITS;
}

/* The head mostly lies in one buf, and then its body's bufs need not be looked at. */
static enum step read_head(struct visit *v, struct cursor *in, struct err *why)
{
    *in = visit_look(&v->end, 1);
    if (!cur_left(in))
        return STEP_MORE;
    enum step s = http1_read(&v->head, in->p, cur_left(in), why);
    if (s != STEP_MORE || end_waiting(&v->end) == cur_left(in))
        return s;
    *in = visit_look(&v->end, HTTP1_HEAD_MAX);
    return http1_read(&v->head, in->p, cur_left(in), why);
}

/* Who does not take his answers is not heard either. */
enum visit_turn visit_read(struct visit *v, struct err *why)
{
    struct cursor in;
    bool first = !v->head.seen;
    if (!end_room(&v->end))
        return VISIT_WAITS;
    enum step s = read_head(v, &in, why);
    if (s == STEP_MORE)
        return visit_await_head(v, first && cur_left(&in));
    if (s == STEP_FAIL)
        return visit_say(v, v->head.status, why);
    v->up = http_body_of_request(&v->head);
    v->head_only = http1_is(in.p, v->head.method, "HEAD");
    v->last = !v->head.keep_alive || v->parts;
    v->state = VISIT_ASKS;
    stat_add(end_loop(&v->end)->counters, STAT_web_requests, 1);
    visit_await_answer(v);
    return VISIT_AGAIN;
}

/* --- where it leads --- */

/* A request, read far enough to find its way. */
struct errant {
    const uint8_t *data;
    struct http_asked asked;
    struct hostname host;
    struct route_to to;
    struct addr target;
};

static struct head_text text_of(const uint8_t *data, struct http1_span s)
{
    return (struct head_text){(const char *)data + s.at, s.len};
}

/* 0, or the status to answer. */
static int read_asked(struct visit *v, struct errant *e)
{
    struct err ignored;
    int status = http_relay_asked(e->data, &v->head, &e->asked, &ignored);
    struct head_text host = text_of(e->data, e->asked.host);
    if (status)
        return status;
    return host.len && hostname_read(&e->host, host.text, host.len, &ignored) < 0 ? 400 : 0;
}

static bool is_trusted(const struct visit *v)
{
    const struct web_conf *c = v->web->conf;
    const struct addr *from = &v->end.flow->meta.source;
    return c->forwarded == WEB_FORWARDED_PASS || trusted_has(&c->trusted, from);
}

static enum step find(struct visit *v, struct errant *e, int *status)
{
    struct web *w = v->web;
    const struct web_asked asked = {
        .route = {.host = e->host.text,
                  .path = text_of(e->data, e->asked.path),
                  .head = {(const char *)e->data, v->head.len},
                  .source = is_trusted(v) ? NULL : &v->end.flow->meta.source},
        .sni = v->sni,
    };
    *status = 404;
    if (w->finder)
        return w->finder->find(w->finder, &asked, &v->wait, &e->to, status);
    if (!routes_find(w->conf->routes, &asked.route, &e->to))
        return STEP_FAIL;
    /* Behind an outbound it would be a word of a bridge to its portal, or of a portal to its bridge. */
    bool names = e->to.kind != ROUTE_ADDRESS;
    return names && strings_have(w->ways.dispatcher->reserved, e->host.text) ? STEP_FAIL
                                                                             : STEP_DONE;
}

/* Servers behind it see the visitor's target, as they would without us. */
static void find_target(const struct visit *v, struct errant *e)
{
    if (e->to.kind == ROUTE_ADDRESS)
        e->target = e->to.address;
    else if (*e->host.text)
        hostname_addr(&e->host, v->sni ? 443 : 80, &e->target);
    else
        e->target = v->end.flow->meta.target;
}

/* --- the way --- */

/* A body means nothing with these: an origin may leave it unread, and take it for the next request. */
static bool wants_no_body(const uint8_t *data, const struct http1_head *h)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (http1_is(data, h->method, methods[i]))
            return true;
    return false;
}

/* Not in whatever happens: an answer to it may have been on its way. */
static bool may_repeat(const uint8_t *data, const struct http1_head *h)
{
    bool again = wants_no_body(data, h) || http1_is(data, h->method, "PUT");
    return again && !h->chunked && h->content_length < WEB_KEPT;
}

static struct way *find_way(struct visit *v, const struct errant *e, bool reuse)
{
    struct web *w = v->web;
    const struct addr *source = &v->end.flow->meta.source;
    struct way_key key;
    const struct way_to to = {
        .outbound = e->to.kind == ROUTE_ADDRESS ? w->conf->dials : e->to.outbound,
        .tunnel = &e->to.tunnel,
        .by_claim = e->to.by_claim,
        .target = &e->target,
        .source = w->conf->reuse == WEB_REUSE_ALL ? NULL : source,
        .connection = w->conf->reuse == WEB_REUSE_CONNECTION ? v->end.flow->id : 0,
    };
    way_key_make(&key, &w->ways, &to);
    struct way *way = reuse ? ways_take(&w->ways, &key) : NULL;
    return way ? way : way_new(&w->ways, &key, &to, v->end.flow);
}

/* --- the head for the origin --- */

bool visit_reserve(struct visit *v, size_t room)
{
    size_t want = v->kept_room ? v->kept_room : KEPT_FIRST;
    while (want < room)
        want *= 2;
    if (want == v->kept_room)
        return true;
    uint8_t *kept = realloc(v->kept, want);
    if (!kept)
        return false;
    v->kept = kept;
    v->kept_room = want;
    return true;
}

/* From the visitor's flow to the way's. What he sent is given back first: the same memory, still warm, is taken for what
 * goes on. False: out of memory. */
static bool write_head(struct visit *v, const struct errant *e)
{
    char host[HOST_TEXT] = "";
    if (e->asked.host.len < sizeof host)
        memcpy(host, e->data + e->asked.host.at, e->asked.host.len);
    const struct relay r = {
        .from = &v->end.flow->meta.source,
        .trusted = is_trusted(v),
        .silent = v->web->conf->forwarded == WEB_FORWARDED_PASS,
        .proto = v->sni ? "https" : "http",
        .host = host,
        .id = v->id,
        .keep_alive = !v->alone && v->web->conf->reuse != WEB_REUSE_NEVER,
        .upgrade = v->changes,
    };
    if (!visit_reserve(v, http_relay_room(&v->head, &r)))
        return false;
    v->kept_len = http_relay_request(v->kept, e->data, &v->head, &r);
    visit_take(&v->end, v->head.len);
    return end_write(&v->way->end, v->kept, v->kept_len);
}

/* --- all of it --- */

void visit_go_by(struct visit *v, struct way *way)
{
    way->user = &v->end;
    v->way = way;
    v->tries++;
    if (!way->used)
        way_open(way);
}

static enum visit_turn visit_depart(struct visit *v, struct errant *e, struct err *why)
{
    bool repeats = may_repeat(e->data, &v->head);
    v->changes = v->head.upgrade;
    v->alone = v->head.has_body && wants_no_body(e->data, &v->head);
    find_target(v, e);
    struct way *way = find_way(v, e, repeats);
    if (way)
        visit_go_by(v, way);
    if (!way || !write_head(v, e)) {
        err_set(why, ENOMEM, "out of memory");
        return VISIT_LEAVES;
    }
    if (!repeats)
        v->kept_len = 0;
    v->state = VISIT_EXCHANGE;
    return VISIT_AGAIN;
}

enum visit_turn visit_ask(struct visit *v, struct err *why)
{
    struct errant e = {.data = visit_look(&v->end, v->head.len).p};
    int status = v->web ? read_asked(v, &e) : 503;
    enum step s = status ? STEP_FAIL : find(v, &e, &status);
    if (s == STEP_MORE)
        return VISIT_WAITS;
    if (s == STEP_DONE && (e.to.is_private || e.to.kind == ROUTE_NONE)) {
        s = STEP_FAIL;
        status = 404;
    }
    if (s == STEP_DONE)
        return visit_depart(v, &e, why);
    v->last |= status == 400 || status == 405;
    return visit_say(v, status, why);
}
