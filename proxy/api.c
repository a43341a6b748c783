#include "proxy/api.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "proxy/api_pages.h"
#include "proxy/http1.h"

enum {
    HEAD_FIRST = 4096,         /* bytes; a head that needs more gets HTTP1_HEAD_MAX at once */
    ANSWERS_A_TURN = 16,       /* of pipelined requests; then the loop looks at other flows */
    SWALLOW_MAX = 1024 * 1024, /* bytes read and dropped behind a refused request */
};

struct api {
    struct outbound out;
    const struct api_view *view;
};

/* One flow's end. It needs nothing of struct api, which may be freed first. */
struct api_end {
    struct end end;
    const struct api_view *view;
    struct http1_head head;
    uint8_t *in; /* the current head and what came behind it; NULL when in_room is 0 */
    size_t in_len, in_room;
    struct page body; /* of the answer that is being sent */
    size_t sent;      /* of that */
    bool closing;     /* that answer is the last one */
    bool
        refused; /* and the client may still be sending: closing at once could lose it the answer */
    size_t swallowed;
};

struct answer {
    int status;
    const char *type;
    struct page body;
};

enum turn { TURN_AGAIN, TURN_WAIT, TURN_LEAVE };

static void api_end_free(struct api_end *a, const struct err *why)
{
    end_leave(&a->end, why);
    page_free(&a->body);
    free(a->in);
    free(a);
}

/* --- what is asked --- */

/* The path of "/path?query" and of "http://host/path?query". */
static struct http1_span path_of(const uint8_t *data, struct http1_span target)
{
    static const char scheme[] = "http://";
    const uint8_t *p = data + target.at, *end = p + target.len, *query;
    if (target.len > strlen(scheme) && memcmp(p, scheme, strlen(scheme)) == 0) {
        p += strlen(scheme);
        while (p < end && *p != '/')
            p++;
    }
    query = memchr(p, '?', (size_t)(end - p));
    return (struct http1_span){(size_t)(p - data), (size_t)((query ? query : end) - p)};
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

static void answer_plain(struct answer *w, int status)
{
    w->status = status;
    page_format(&w->body, "%d %s\n", status, reason_of(status));
}

static void answer_path(struct answer *w, const struct api_end *a, struct http1_span path)
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
    } else if (http1_is(a->in, path, "/ready")) {
        w->status = api_page_ready(&w->body, a->view) ? 200 : 503;
    } else if (http1_is(a->in, path, "/live")) {
        page_text(&w->body, "live\n");
    } else {
        answer_plain(w, 404);
    }
}

static void answer_request(struct answer *w, struct api_end *a)
{
    const struct http1_head *h = &a->head;
    bool get = http1_is(a->in, h->method, "GET") || http1_is(a->in, h->method, "HEAD");
    a->refused = h->has_body;
    a->closing = a->refused || !h->keep_alive;
    if (h->has_body)
        answer_plain(w, 413);
    else if (!get)
        answer_plain(w, 405);
    else
        answer_path(w, a, path_of(a->in, h->target));
}

/* --- sending --- */

static void write_head(struct page *p, const struct answer *w, const struct api_end *a)
{
    char date[40];
    struct tm tm = {0};
    time_t seconds = (time_t)loop_now(end_loop(&a->end));
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    page_format(p, "HTTP/1.1 %d %s\r\nDate: %s\r\n", w->status, reason_of(w->status), date);
    page_format(p, "Content-Type: %s\r\nContent-Length: %zu\r\n", w->type, w->body.len);
    page_text(p, "Cache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\n"
                 "Referrer-Policy: no-referrer\r\n"
                 "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                 "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
    if (w->status == 405)
        page_text(p, "Allow: GET, HEAD\r\n");
    if (a->closing)
        page_text(p, "Connection: close\r\n");
    else if (a->head.minor == 0)
        page_text(p, "Connection: keep-alive\r\n");
    page_text(p, "\r\n");
}

/* Takes w's body. False: out of memory. */
static bool api_answer(struct api_end *a, struct answer *w, bool with_body)
{
    struct page head = {0};
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
    if (a->in_len < a->in_room)
        return true;
    size_t room = a->in_room ? HTTP1_HEAD_MAX : HEAD_FIRST;
    uint8_t *in = realloc(a->in, room);
    if (!in)
        return false;
    a->in = in;
    a->in_room = room;
    return true;
}

/* Takes no more from the pipe than a head can need: what is behind it holds the client back. */
static enum step api_collect(struct api_end *a, struct err *e)
{
    enum step s;
    struct buf *b;
    while ((s = http1_read(&a->head, a->in, a->in_len, e)) == STEP_MORE &&
           (b = end_take(&a->end)) != NULL) {
        bool room = api_grow(a);
        size_t left = a->in_room - a->in_len, n = b->len < left ? b->len : left;
        if (room) {
            memcpy(a->in + a->in_len, b->data, n);
            a->in_len += n;
            buf_pull(b, n);
        }
        end_untake(&a->end, b);
        if (!room)
            return step_fail(e, ENOMEM, "api: out of memory");
    }
    return s;
}

/* An idle connection keeps no memory for a head. */
static void api_drop_head(struct api_end *a)
{
    a->in_len -= a->head.len;
    if (a->in_len) {
        memmove(a->in, a->in + a->head.len, a->in_len);
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

static enum turn api_serve(struct api_end *a, struct err *why)
{
    struct answer w = {.type = "text/plain; charset=utf-8"};
    bool with_body = true;
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
        with_body = !http1_is(a->in, a->head.method, "HEAD");
        answer_request(&w, a);
    }
    if (!api_answer(a, &w, with_body)) {
        err_set(why, ENOMEM, "api: out of memory");
        return TURN_LEAVE;
    }
    api_drop_head(a);
    return TURN_AGAIN;
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

/* --- the outbound --- */

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
    a->view = api->view;
    flow_join(f, &a->end, &api_end_ops);
    end_opened(&a->end);
}

static void api_free(struct outbound *out)
{
    free(container_of(out, struct api, out));
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
