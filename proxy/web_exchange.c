/* A request on its way, and its answer. */
#include <string.h>

#include "proxy/http_relay.h"
#include "proxy/web_page.h"
#include "proxy/web_visit.h"

/* Behind the head that visit_look() may have copied there. */
enum { ANSWER_ROOM = LOOP_SCRATCH - HTTP1_HEAD_MAX };

/* --- bodies --- */

/* The first `len` of a buf go on, the others back. Takes b. */
static bool pass_part(struct end *from, struct end *to, struct buf *b, size_t len)
{
    if (len == b->len) {
        end_put(to, b);
        return true;
    }
    bool whole = end_write(to, b->data, len);
    buf_pull(b, len);
    end_untake(from, b);
    return whole;
}

/* So that it can be sent again. */
static bool keep(struct visit *v, const uint8_t *data, size_t len)
{
    if (!v->kept_len)
        return true;
    if (!visit_reserve(v, v->kept_len + len))
        return false;
    memcpy(v->kept + v->kept_len, data, len);
    v->kept_len += len;
    return true;
}

static int lacks_memory(struct err *e)
{
    return err_set(e, ENOMEM, "out of memory");
}

/* What there is of the request's body goes up. -1 and e: it is not valid, or memory is out. */
static int send_body(struct visit *v, struct err *e)
{
    struct end *from = &v->end, *to = &v->way->end;
    struct buf *b;
    size_t took;
    while (v->up.state != HTTP_BODY_DONE && end_room(to) && (b = end_take(from))) {
        if (http_body_take(&v->up, b->data, b->len, &took, e) < 0) {
            buf_free(&end_loop(from)->bufs, b);
            return -1;
        }
        bool kept = keep(v, b->data, took);
        v->moved = true;
        if (!pass_part(from, to, b, took) || !kept)
            return lacks_memory(e);
    }
    return 0;
}

/* The same for the answer's, down to the visitor. */
static int receive_body(struct visit *v, struct err *e)
{
    struct end *from = &v->way->end, *to = &v->end;
    struct buf *b;
    size_t took;
    while (v->down.state != HTTP_BODY_DONE && end_room(to) && (b = end_take(from))) {
        if (http_body_take(&v->down, b->data, b->len, &took, e) < 0) {
            buf_free(&end_loop(from)->bufs, b);
            return -1;
        }
        if (!pass_part(from, to, b, took))
            return lacks_memory(e);
    }
    return 0;
}

/* --- when a way ends --- */

/* It says nothing but what waits for us. */
static bool way_is_over(const struct way *w)
{
    return end_failed(&w->end) || w->end.flow->pipes[0].eof;
}

/* Another way, and all that went by the last one. */
static enum visit_turn visit_again(struct visit *v, struct err *why)
{
    struct way *before = v->way, *way = way_again(before);
    v->way = NULL;
    way_drop(before, NULL);
    if (way)
        visit_go_by(v, way);
    if (!way || !end_write(&way->end, v->kept, v->kept_len)) {
        lacks_memory(why);
        return VISIT_LEAVES;
    }
    stat_add(end_loop(&v->end)->counters, STAT_web_retries, 1);
    v->answer = (struct http1_head){0};
    return VISIT_AGAIN;
}

/* Who was never there has been tried elsewhere by those behind us. */
static bool may_try_again(const struct visit *v)
{
    return v->kept_len && !v->answered && v->web && v->way->ways && v->tries < WEB_TRIES &&
           end_is_opened(&v->way->end);
}

/* There will be no answer, or not all of it. */
static enum visit_turn visit_lost(struct visit *v, struct err *why)
{
    const struct end *e = &v->way->end;
    if (may_try_again(v))
        return visit_again(v, why);
    if (!v->relayed)
        return visit_say(v, web_page_status(e->flow->why_code, end_is_opened(e)), why);
    if (!why->code)
        err_set(why, ECONNRESET, "the answer was cut off");
    return VISIT_LEAVES;
}

/* The origin says what is not HTTP. */
static enum visit_turn visit_confused(struct visit *v, struct err *why)
{
    return v->relayed ? VISIT_LEAVES : visit_say(v, 502, why);
}

/* --- the answer's head --- */

/* From the way's flow to the visitor's; as of requests, what came is given back first. False: out of memory. */
static bool relay_head(struct visit *v, const uint8_t *data, bool *readable)
{
    uint8_t *to = end_loop(&v->end)->scratch + HTTP1_HEAD_MAX;
    const struct relay_back r = {.minor = v->head.minor, .keep_alive = !v->last};
    *readable = false;
    if (http_relay_answer_room(&v->answer, &r) > ANSWER_ROOM)
        return true;
    size_t len = http_relay_answer(to, data, &v->answer, &r);
    *readable = len > 0;
    visit_take(&v->way->end, v->answer.len);
    return end_write(&v->end, to, len);
}

/* 1xx: the answer itself is still to come. */
static enum visit_turn take_interim(struct visit *v, const uint8_t *data, struct err *why)
{
    bool readable;
    if (!relay_head(v, data, &readable)) {
        lacks_memory(why);
        return VISIT_LEAVES;
    }
    v->answer = (struct http1_head){0};
    return VISIT_AGAIN;
}

static enum visit_turn take_change(struct visit *v, const uint8_t *data, struct err *why)
{
    bool readable;
    if (!v->changes || !v->answer.upgrade || !visit_is_whole(v))
        return visit_confused(v, why);
    if (!relay_head(v, data, &readable)) {
        lacks_memory(why);
        return VISIT_LEAVES;
    }
    v->kept_len = 0;
    v->state = VISIT_RAW;
    visit_limit(v, 0);
    return VISIT_AGAIN;
}

/* An answer that comes before all of the request is the last one: nobody knows whether the rest will. */
static enum visit_turn take_final(struct visit *v, const uint8_t *data, struct err *why)
{
    bool readable;
    v->down = http_body_of_answer(&v->answer, v->head_only);
    v->last |= v->parts || !visit_is_whole(v) || v->down.state == HTTP_BODY_UNTIL_CLOSE;
    if (!relay_head(v, data, &readable)) {
        lacks_memory(why);
        return VISIT_LEAVES;
    }
    if (!readable)
        return visit_confused(v, why);
    v->relayed = true;
    v->kept_len = 0;
    visit_limit(v, 0);
    return VISIT_AGAIN;
}

/* As of requests: mostly it lies in one buf. */
static enum step read_answer(struct visit *v, struct cursor *in, struct err *why)
{
    const struct end *e = &v->way->end;
    *in = visit_look(e, 1);
    if (!cur_left(in))
        return STEP_MORE;
    v->answered = true;
    enum step s = http1_read_answer(&v->answer, in->p, cur_left(in), why);
    if (s != STEP_MORE || end_waiting(e) == cur_left(in))
        return s;
    *in = visit_look(e, HTTP1_HEAD_MAX);
    return http1_read_answer(&v->answer, in->p, cur_left(in), why);
}

static enum visit_turn take_head(struct visit *v, struct err *why)
{
    struct cursor in;
    if (!end_room(&v->end))
        return VISIT_WAITS;
    enum step s = read_answer(v, &in, why);
    if (s == STEP_FAIL)
        return visit_confused(v, why);
    if (s == STEP_MORE)
        return way_is_over(v->way) ? visit_lost(v, why) : VISIT_WAITS;
    if (v->answer.code == 101)
        return take_change(v, in.p, why);
    return v->answer.code < 200 ? take_interim(v, in.p, why) : take_final(v, in.p, why);
}

/* --- all of it --- */

static enum visit_turn visit_answered(struct visit *v)
{
    struct way *way = v->way;
    if (!visit_is_whole(v))
        return VISIT_LEAVES; /* and the origin sees that the request was not */
    v->way = NULL;
    bool wanted = !v->last || !v->web || v->web->conf->reuse != WEB_REUSE_CONNECTION;
    if (wanted && !v->alone && v->answer.keep_alive && v->down.state == HTTP_BODY_DONE)
        way_rest(way);
    else
        way_drop(way, NULL);
    return visit_next(v);
}

static enum visit_turn take_body(struct visit *v, struct err *why)
{
    if (receive_body(v, why) < 0)
        return VISIT_LEAVES;
    if (v->down.state == HTTP_BODY_DONE)
        return visit_answered(v);
    if (end_has(&v->way->end) || !way_is_over(v->way))
        return VISIT_WAITS;
    if (end_failed(&v->way->end) || !http_body_whole(&v->down))
        return visit_lost(v, why);
    return visit_answered(v);
}

enum visit_turn visit_exchange(struct visit *v, struct err *why)
{
    v->moved = false;
    if (send_body(v, why) < 0)
        return v->relayed || why->code == ENOMEM ? VISIT_LEAVES : visit_say(v, 400, why);
    if (!visit_is_whole(v) && end_at_eof(&v->end)) {
        err_set(why, ECONNRESET, "the request was cut off");
        return VISIT_LEAVES;
    }
    if (v->moved && !v->relayed)
        visit_await_answer(v);
    return v->relayed ? take_body(v, why) : take_head(v, why);
}

/* --- bytes both ways --- */

static void pass_all(struct end *from, struct end *to)
{
    struct buf *b;
    while (end_room(to) && (b = end_take(from)))
        end_put(to, b);
    if (end_at_eof(from))
        end_eof(to);
}

enum visit_turn visit_pass(struct visit *v, struct err *why)
{
    struct end *way = &v->way->end;
    pass_all(&v->end, way);
    pass_all(way, &v->end);
    if (end_failed(way) && !end_has(way)) {
        err_set(why, ECONNRESET, "%s", way->flow->why ? way->flow->why : "the origin failed");
        return VISIT_LEAVES;
    }
    bool up_over = end_sent_eof(way) || end_peer_left(way);
    bool over = up_over && (end_sent_eof(&v->end) || end_peer_left(&v->end));
    if (!over)
        return VISIT_WAITS;
    way_drop(v->way, NULL);
    v->way = NULL;
    return VISIT_LEAVES;
}
