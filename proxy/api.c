#include "proxy/api.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "proxy/api_guard.h"
#include "proxy/api_pages.h"
#include "proxy/http_target.h"
#include "proxy/http_words.h"

enum {
    HEAD_FIRST = 4096,    /* bytes; what needs more gets all that a head, or a request, may take */
    BODY_MAX = 64 * 1024, /* bytes */
    REQUEST_MAX = HTTP1_HEAD_MAX + BODY_MAX,
    ANSWERS_A_TURN = 16,       /* of pipelined requests; then the loop looks at other flows */
    SWALLOW_MAX = 1024 * 1024, /* bytes read and dropped behind a refused request */
    ENDS_MAX = 16,             /* connections; the next one takes the place of the quietest */
};

static const double DEADLINE =
    5; /* seconds without a whole request, or without taking from an answer */

const struct user api_owner = {.email = "", .traffic = {-1, -1}};
const char api_listen_tag[] = "api.listen";

struct api {
    struct outbound out;
    const struct api_view *view;
    struct list ends; /* the quietest first */
    unsigned end_count;
};

/* One flow's end. Of struct api, which may be freed first, it needs nothing but its place there. */
struct api_end {
    struct end end;
    struct api *api; /* NULL: it is gone */
    struct list_item item;
    const struct api_view *view;
    ev_timer deadline;
    struct http1_head head;
    uint8_t *in; /* the current head and what came behind it; NULL when in_room is 0 */
    size_t in_len, in_room;
    struct errand *errand; /* on its way; its answer is the next one */
    struct page body;      /* of the answer that is being sent */
    size_t sent;           /* of that */
    bool closing;          /* that answer is the last one */
    bool
        refused; /* and the client may still be sending: closing at once could lose it the answer */
    size_t swallowed;
};

struct answer {
    int status;
    const char *type;
    struct page body;
    bool reads; /* other methods are for other paths */
};

enum turn { TURN_AGAIN, TURN_WAIT, TURN_LEAVE };

static const char json_type[] = "application/json";
const char api_text_type[] = "text/plain; charset=utf-8";

static void api_end_unlist(struct api_end *a)
{
    if (!a->api)
        return;
    list_remove(&a->item);
    a->api->end_count--;
    a->api = NULL;
}

static void errand_free(struct errand *e)
{
    page_free(&e->page);
    free(e->body);
    free(e);
}

/* One that is still on its way is freed when it comes back. */
static void errand_leave(struct errand *e)
{
    if (e->came_back)
        errand_free(e);
    else
        e->asker = NULL;
}

static void api_end_free(struct api_end *a, const struct err *why)
{
    ev_timer_stop(end_loop(&a->end)->ev, &a->deadline);
    api_end_unlist(a);
    if (a->errand)
        errand_leave(a->errand);
    end_leave(&a->end, why);
    page_free(&a->body);
    free(a->in);
    free(a);
}

/* --- what is asked --- */

static void answer_plain(struct answer *w, int status)
{
    w->status = status;
    page_format(&w->body, "%d %s\n", status, http_reason(status));
}

static void answer_error(struct answer *w, int status, const char *why)
{
    w->status = status;
    w->type = json_type;
    page_text(&w->body, "{\"error\": ");
    page_json(&w->body, why, strlen(why));
    page_text(&w->body, "}\n");
}

/* False: it is no page. */
static bool answer_page(struct answer *w, const struct api_end *a, struct http1_span path)
{
    const struct api_moment m = {.now = loop_now(end_loop(&a->end)),
                                 .inbound_tag = a->end.flow->meta.inbound_tag,
                                 .log_dropped = log_dropped()};
    w->status = 200;
    if (http1_is(a->in, path, "/")) {
        w->type = "text/html; charset=utf-8";
        api_page_status(&w->body, a->view, &m);
    } else if (http1_is(a->in, path, "/stats")) {
        api_page_stats(&w->body, a->view, &m);
    } else if (http1_is(a->in, path, "/metrics")) {
        w->type = "text/plain; version=0.0.4; charset=utf-8";
        api_page_metrics(&w->body, a->view, &m);
    } else if (http1_is(a->in, path, "/ready") || http1_is(a->in, path, "/readyz")) {
        w->status = api_page_ready(&w->body, a->view) ? 200 : 503;
    } else if (http1_is(a->in, path, "/live") || http1_is(a->in, path, "/livez")) {
        page_text(&w->body, "live\n");
    } else {
        return false;
    }
    return true;
}

static bool is_read(const struct api_end *a)
{
    return http1_is(a->in, a->head.method, "GET") || http1_is(a->in, a->head.method, "HEAD");
}

/* --- errands --- */

/* What reading shows without a token: no more than the pages do. */
static bool is_open(const uint8_t *data, struct http1_span path)
{
    return http1_is(data, path, "/v1/status") || http1_is(data, path, "/v1/stats") ||
           http1_is(data, path, "/v1/tunnels") || http1_is(data, path, "/v1/log") ||
           http1_is(data, path, "/v1/cluster");
}

static void on_errand_back(struct task *t)
{
    struct errand *e = container_of(t, struct errand, task);
    struct api_end *a = e->asker;
    if (!a) {
        errand_free(e);
        return;
    }
    e->came_back = true;
    end_wake(&a->end);
}

static struct errand *errand_new(struct api_end *a, enum errand_verb verb)
{
    struct errand *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->task.run = on_errand_back;
    e->from = end_loop(&a->end);
    e->asker = a;
    e->verb = verb;
    e->body_len = a->head.has_body ? (size_t)a->head.content_length : 0;
    e->body = e->body_len ? malloc(e->body_len) : NULL;
    if (e->body_len && !e->body) {
        free(e);
        return NULL;
    }
    if (e->body)
        memcpy(e->body, a->in + a->head.len, e->body_len);
    return e;
}

static void errand_send(struct answer *w, struct api_end *a, enum errand_verb verb)
{
    struct errand *e = errand_new(a, verb);
    if (!e) {
        answer_error(w, 503, "out of memory");
        return;
    }
    bool whole = api_target_read(&e->target, a->in, a->head.target);
    if (whole && a->view->taker && a->view->taker->take(a->view->taker, e)) {
        a->errand = e;
        return;
    }
    errand_free(e);
    answer_error(w, whole ? 503 : 400,
                 whole ? "v2c ends" : "want a path and a query of text, and not so long");
}

static void answer_v1(struct answer *w, struct api_end *a, const struct api_guarded *g, bool open)
{
    const char *why;
    int refused = api_guard(g, open, &why);
    if (refused)
        answer_error(w, refused, why);
    else if (is_read(a))
        errand_send(w, a, ERRAND_GET);
    else if (http1_is(a->in, a->head.method, "POST"))
        errand_send(w, a, ERRAND_POST);
    else if (http1_is(a->in, a->head.method, "DELETE"))
        errand_send(w, a, ERRAND_DELETE);
    else
        answer_error(w, 405, "want GET, POST or DELETE");
}

/* Pages that a rule publishes go by any name, by which a tunnel may be reached. */
static void answer_path(struct answer *w, struct api_end *a)
{
    static const char v1[] = "/v1/";
    const struct meta *m = &a->end.flow->meta;
    const struct api_guarded g = {
        .head = &a->head, .data = a->in, .conf = a->view->conf, .owner = m->user == &api_owner};
    struct http1_span path = http_target_path(a->in, a->head.target);
    const char *why;
    if (path.len > strlen(v1) && memcmp(a->in + path.at, v1, strlen(v1)) == 0) {
        answer_v1(w, a, &g, is_open(a->in, path));
    } else if (m->inbound_tag == api_listen_tag && api_guard_host(&g, &why)) {
        answer_error(w, 421, why);
    } else if (is_read(a) && a->view->taker && http1_is(a->in, path, "/stats")) {
        errand_send(w, a, ERRAND_GET); /* links are counted where they are */
    } else if (!answer_page(w, a, path)) {
        answer_plain(w, 404);
    } else if (!is_read(a)) {
        page_free(&w->body);
        w->type = api_text_type;
        w->reads = true;
        answer_plain(w, 405);
    }
}

static bool takes_body(const struct http1_head *h)
{
    return h->has_body && !h->chunked && h->content_length <= BODY_MAX;
}

static void answer_request(struct answer *w, struct api_end *a)
{
    const struct http1_head *h = &a->head;
    a->refused = h->has_body && !takes_body(h);
    a->closing = a->refused || !h->keep_alive;
    if (a->refused)
        answer_plain(w, h->chunked ? 411 : 413);
    else
        answer_path(w, a);
}

/* --- sending --- */

static void write_head(struct page *p, const struct answer *w, const struct api_end *a)
{
    char date[HTTP_DATE_ROOM];
    page_format(p, "HTTP/1.1 %d %s\r\nDate: %s\r\n", w->status, http_reason(w->status),
                http_date((time_t)loop_now(end_loop(&a->end)), date));
    page_format(p, "Content-Type: %s\r\nContent-Length: %zu\r\n", w->type, w->body.len);
    page_text(p, "Cache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\n"
                 "Referrer-Policy: no-referrer\r\n"
                 "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                 "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
    if (w->reads)
        page_text(p, "Allow: GET, HEAD\r\n");
    if (w->status == 401)
        page_text(p, "WWW-Authenticate: Bearer\r\n");
    if (a->closing)
        page_text(p, "Connection: close\r\n");
    else if (a->head.minor == 0)
        page_text(p, "Connection: keep-alive\r\n");
    page_text(p, "\r\n");
}

/* From here on the client has a moment again; it is the least quiet one. */
static void api_moved(struct api_end *a)
{
    ev_timer_again(end_loop(&a->end)->ev, &a->deadline);
    if (!a->api)
        return;
    list_remove(&a->item);
    list_append(&a->api->ends, &a->item);
}

/* Takes w's body. False: out of memory. */
static bool api_answer(struct api_end *a, struct answer *w)
{
    struct page head = {0};
    bool with_body = a->head.len == 0 || !http1_is(a->in, a->head.method, "HEAD");
    api_moved(a);
    write_head(&head, w, a);
    bool whole = !head.failed && !w->body.failed && end_write(&a->end, head.text, head.len);
    page_free(&head);
    a->body = w->body;
    a->sent = with_body ? 0 : a->body.len;
    return whole;
}

static enum turn api_flush(struct api_end *a, struct err *why)
{
    size_t room;
    while (a->sent < a->body.len && (room = end_room(&a->end)) > 0) {
        size_t left = a->body.len - a->sent, n = left < room ? left : room;
        if (!end_write(&a->end, a->body.text + a->sent, n)) {
            err_set(why, ENOMEM, "api: out of memory");
            return TURN_LEAVE;
        }
        a->sent += n;
        api_moved(a);
    }
    if (a->sent < a->body.len)
        return TURN_WAIT;
    page_free(&a->body);
    a->sent = 0;
    return TURN_AGAIN;
}

/* --- receiving --- */

static bool api_grow(struct api_end *a)
{
    static const size_t rooms[] = {HEAD_FIRST, HTTP1_HEAD_MAX, REQUEST_MAX};
    size_t next = 0;
    if (a->in_len < a->in_room)
        return true;
    while (rooms[next] <= a->in_room)
        next++;
    uint8_t *in = realloc(a->in, rooms[next]);
    if (!in)
        return false;
    a->in = in;
    a->in_room = rooms[next];
    return true;
}

/* Takes no more from the pipe than there is room for: what is behind it holds the client back. */
static bool api_take(struct api_end *a, struct buf *b)
{
    bool room = api_grow(a);
    size_t left = a->in_room - a->in_len, n = b->len < left ? b->len : left;
    if (room) {
        memcpy(a->in + a->in_len, b->data, n);
        a->in_len += n;
        buf_pull(b, n);
    }
    end_untake(&a->end, b);
    return room;
}

/* Bytes of the request whose head has been read. */
static size_t request_len(const struct api_end *a)
{
    return a->head.len + (takes_body(&a->head) ? (size_t)a->head.content_length : 0);
}

static enum step api_collect(struct api_end *a, struct err *e)
{
    struct buf *b;
    for (;;) {
        enum step s = a->head.len ? STEP_DONE : http1_read(&a->head, a->in, a->in_len, e);
        if (s == STEP_FAIL || (s == STEP_DONE && a->in_len >= request_len(a)))
            return s;
        if (!(b = end_take(&a->end)))
            return STEP_MORE;
        if (!api_take(a, b))
            return step_fail(e, ENOMEM, "api: out of memory");
    }
}

/* An idle connection keeps no memory for a request. */
static void api_drop_request(struct api_end *a)
{
    size_t len = request_len(a);
    a->in_len -= len;
    if (a->in_len) {
        memmove(a->in, a->in + len, a->in_len);
    } else {
        free(a->in);
        a->in = NULL;
        a->in_room = 0;
    }
    a->head = (struct http1_head){0};
}

static enum turn api_swallow(struct api_end *a)
{
    struct buf *b;
    end_eof(&a->end);
    while ((b = end_take(&a->end)) != NULL) {
        a->swallowed += b->len;
        buf_free(&end_loop(&a->end)->bufs, b);
    }
    return end_at_eof(&a->end) || a->swallowed > SWALLOW_MAX ? TURN_LEAVE : TURN_WAIT;
}

static enum turn api_finish(struct api_end *a, struct answer *w, struct err *why)
{
    if (!api_answer(a, w)) {
        err_set(why, ENOMEM, "api: out of memory");
        return TURN_LEAVE;
    }
    api_drop_request(a);
    return TURN_AGAIN;
}

static enum turn api_serve(struct api_end *a, struct err *why)
{
    struct answer w = {.type = api_text_type};
    enum step s = api_collect(a, why);
    if (s == STEP_MORE)
        return end_at_eof(&a->end) ? TURN_LEAVE : TURN_WAIT;
    if (s == STEP_FAIL && !a->head.status)
        return TURN_LEAVE;
    if (s == STEP_FAIL) {
        a->closing = a->refused = true;
        answer_plain(&w, a->head.status);
        *why = (struct err){0}; /* the client learns it from the answer; the flow ends well */
    } else {
        answer_request(&w, a);
    }
    if (!a->errand)
        return api_finish(a, &w, why);
    ev_timer_stop(end_loop(&a->end)->ev, &a->deadline); /* the time that it takes is ours */
    return TURN_WAIT;
}

static enum turn api_deliver(struct api_end *a, struct err *why)
{
    struct errand *e = a->errand;
    struct answer w = {.type = e->type ? e->type : json_type};
    if (!e->came_back)
        return TURN_WAIT;
    w.status = e->status;
    w.body = e->page;
    e->page = (struct page){0};
    a->errand = NULL;
    errand_free(e);
    return api_finish(a, &w, why);
}

static enum turn api_turn(struct api_end *a, struct err *why)
{
    if (end_failed(&a->end) || end_peer_left(&a->end))
        return TURN_LEAVE;
    enum turn flushed = api_flush(a, why);
    if (flushed != TURN_AGAIN)
        return flushed;
    if (a->refused)
        return api_swallow(a);
    if (a->errand)
        return api_deliver(a, why);
    if (a->closing)
        return TURN_LEAVE;
    return end_room(&a->end) ? api_serve(a, why) : TURN_WAIT;
}

static void api_wake(struct end *e)
{
    struct api_end *a = container_of(e, struct api_end, end);
    struct err why = {0};
    for (int i = 0; i < ANSWERS_A_TURN; i++) {
        enum turn t = api_turn(a, &why);
        if (t == TURN_LEAVE)
            api_end_free(a, &why);
        if (t != TURN_AGAIN)
            return;
    }
    end_wake(e);
}

static const struct end_ops api_end_ops = {.wake = api_wake};

/* Who has begun nothing, or has been answered, goes well. */
static void on_deadline(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct api_end *a = w->data;
    struct err why = {0};
    if (a->in_len || a->sent < a->body.len)
        err_set(&why, ETIMEDOUT, "api: no whole request, or nothing taken, for %g s", DEADLINE);
    api_end_free(a, &why);
}

/* --- the outbound --- */

static void api_make_room(struct api *api)
{
    struct err why;
    err_set(&why, EBUSY, "api: more than %d connections", ENDS_MAX);
    if (api->end_count >= ENDS_MAX)
        api_end_free(container_of(list_first(&api->ends), struct api_end, item), &why);
}

static void api_begin(struct api *api, struct api_end *a, struct flow *f)
{
    api_make_room(api);
    a->view = api->view;
    a->api = api;
    list_append(&api->ends, &a->item);
    api->end_count++;
    flow_join(f, &a->end, &api_end_ops);
    ev_timer_init(&a->deadline, on_deadline, 0, DEADLINE);
    a->deadline.data = a;
    ev_timer_again(f->loop->ev, &a->deadline);
    end_opened(&a->end);
}

static void api_open(struct outbound *out, struct flow *f)
{
    struct api *api = container_of(out, struct api, out);
    struct err why;
    struct api_end *a = f->packets ? NULL : calloc(1, sizeof *a);
    if (!a) {
        if (f->packets)
            err_set(&why, EPROTONOSUPPORT, "api: answers TCP only");
        else
            err_set(&why, ENOMEM, "api: out of memory");
        flow_refuse(f, &why);
        return;
    }
    api_begin(api, a, f);
}

static void api_free(struct outbound *out)
{
    struct api *api = container_of(out, struct api, out);
    struct list_item *i;
    while ((i = list_first(&api->ends)))
        api_end_unlist(container_of(i, struct api_end, item));
    free(api);
}

static const struct outbound_ops api_ops = {.open = api_open, .free = api_free};

struct outbound *api_new(struct loop *l, const char *tag, const struct api_view *view)
{
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return NULL;
    api->out = (struct outbound){.ops = &api_ops, .loop = l, .tag = tag};
    api->view = view;
    return &api->out;
}
