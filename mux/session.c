#include "mux/session.h"

#include <stdlib.h>

enum {
    CODEC_HEAD = 32,        /* bytes that what lies below may put in front of a frame */
    BULK = 8 * 1024 * 1024, /* bytes that a stream moves before it is a bulky one */
    TURN_BUFS = 4,          /* bufs of one session before the others have their turn */
    UNSENT = 64 * 1024,     /* bytes without credit before their source is stopped */
};

/* --- the table --- */

struct mux_session *session_find(const struct mux *m, uint16_t id)
{
    struct mux_session **page = m->pages[id / MUX_PAGE];
    return page ? page[id % MUX_PAGE] : NULL;
}

static void session_gauge(struct mux *m, int n)
{
    m->sessions += (unsigned)n;
    stat_add(m->end.flow->loop->counters, m->sessions_slot, n);
    if (m->ops->changed)
        m->ops->changed(m);
}

struct mux_session *session_next(const struct mux *m, unsigned id)
{
    for (; id < MUX_PAGE * MUX_PAGE;
         id = m->pages[id / MUX_PAGE] ? id + 1 : (id | (MUX_PAGE - 1)) + 1) {
        struct mux_session *s = session_find(m, (uint16_t)id);
        if (s)
            return s;
    }
    return NULL;
}

static struct budget *session_budget(const struct mux_session *s)
{
    return s->mux->end.flow->loop->bufs.budget;
}

void session_forget(struct mux_session *s)
{
    list_remove(&s->waits);
    list_remove(&s->unanswered);
    window_close(&s->window, session_budget(s));
    s->mux->bulky -= s->bulky;
    s->mux->pages[s->id / MUX_PAGE][s->id % MUX_PAGE] = NULL;
    session_gauge(s->mux, -1);
}

struct mux_session *session_new(struct mux *m, uint16_t id)
{
    struct mux_session ***page = &m->pages[id / MUX_PAGE];
    if (!*page)
        *page = calloc(MUX_PAGE, sizeof **page);
    struct mux_session *s = *page ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->mux = m;
    s->id = id;
    (*page)[id % MUX_PAGE] = s;
    session_gauge(m, 1);
    m->opened++;
    return s;
}

bool session_has_windows(const struct mux_session *s)
{
    return s->mux->features & LINK_WINDOWS && !s->end.flow->packets;
}

void session_seated(struct mux_session *s)
{
    bool windows = session_has_windows(s);
    window_open(&s->window, loop_steady());
    credit_open(&s->credit, windows ? s->mux->hello.window : CREDIT_NO_LIMIT);
    if (windows)
        end_limit(&s->end, UNSENT);
    liveness_hurry(s->mux);
    opening_begin(s);
}

/* --- waiting for room on the carrier --- */

static void session_wait(struct mux_session *s)
{
    if (!list_holds(&s->waits))
        list_append(&s->mux->waiting, &s->waits);
}

/* --- the end of a session --- */

void session_end(struct mux_session *s, const struct err *why)
{
    struct mux *m = s->mux;
    struct buf_pool *pool = &m->end.flow->loop->bufs;
    session_forget(s);
    buf_free(pool, s->kept);
    end_leave(&s->end, why);
    if (m->stalled == s)
        mux_unstall(m);
    free(s);
}

void session_close(struct mux_session *s, const struct err *why)
{
    struct mux_frame f = {.id = s->id, .status = MUX_END};
    if (why && why->code)
        f.option = MUX_ERROR;
    mux_send(s->mux, &f, NULL);
    session_end(s, why);
}

/* Both directions ended: both sides know, nothing need be said. */
static bool session_is_over(struct mux_session *s)
{
    if (!s->said_eof || !s->heard_eof)
        return false;
    session_end(s, NULL);
    return true;
}

void session_heard_eof(struct mux_session *s)
{
    s->heard_eof = true;
    if (s->mux->client)
        opening_answered(s);
    if (!session_is_over(s))
        end_eof(&s->end);
}

/* Our side's bytes are all sent. An old peer knows no half-close: a server then ends the session, as V2Ray
 * does; a client says nothing and waits for the rest of the answer. */
static void session_say_eof(struct mux_session *s)
{
    struct mux *m = s->mux;
    if (end_peer_left(&s->end) && !s->heard_eof) {
        session_close(s, NULL); /* nobody takes what the peer may still send */
    } else if (s->said_eof) {
        return;
    } else if (m->is_v2c) {
        s->said_eof = true;
        mux_send(m, &(struct mux_frame){.id = s->id, .status = MUX_KEEP, .option = MUX_EOF}, NULL);
        session_is_over(s);
    } else if (!m->client) {
        session_close(s, NULL);
    }
}

/* --- flow to carrier --- */

void session_count_sent(struct mux_session *s, size_t n)
{
    const struct mux *m = s->mux;
    if (m->traffic)
        stat_add(m->end.flow->loop->counters, m->client ? m->traffic->up : m->traffic->down,
                 (int64_t)n);
}

void session_weigh(struct mux_session *s)
{
    if (s->bulky || s->credit.sent + end_total(&s->end) < BULK)
        return;
    s->bulky = true;
    s->mux->bulky++;
    if (s->mux->ops->changed)
        s->mux->ops->changed(s->mux);
}

static void session_put(struct mux_session *s, struct buf *b)
{
    struct mux *m = s->mux;
    struct loop *l = m->end.flow->loop;
    if (s->end.flow->packets && b->len > m->datagram_max) {
        stat_add(l->counters, STAT_datagrams_dropped, 1);
        buf_free(&l->bufs, b);
        return;
    }
    s->credit.sent += b->len;
    session_weigh(s);
    if (s->mux->client && !s->answered)
        opening_keep(s, b);
    else
        session_count_sent(s, b->len);
    buf_settle(b, MUX_KEEP_HEAD + CODEC_HEAD);
    uint16_t len = (uint16_t)b->len;
    mux_keep_head(buf_push(b, MUX_KEEP_HEAD), s->id, len);
    end_put(&m->end, b);
}

/* Bytes that may be sent now: the peer's window, and until the answer only what is kept. */
static uint64_t session_may_send(const struct mux_session *s)
{
    uint64_t may = s->end.flow->packets ? UINT64_MAX : credit_left(&s->credit);
    uint64_t kept = s->kept ? s->kept->len : 0;
    if (s->mux->client && !s->answered && may > KEPT_MAX - kept)
        may = KEPT_MAX - kept;
    return may;
}

/* It has more to send and may not. The peer is told when it is for want of credit. */
static void session_hold(struct mux_session *s)
{
    if (credit_left(&s->credit) > 0 || s->credit.said_blocked || s->end.flow->packets)
        return;
    s->credit.said_blocked = true;
    mux_note(s->mux, &(struct link_item){.type = LINK_BLOCKED, .stream = s->id});
}

void session_resume(struct mux_session *s)
{
    if (!end_has(&s->end) && !end_at_eof(&s->end))
        return;
    session_wait(s);
    end_wake(&s->mux->end);
}

/* The first `may` bytes of what waits. NULL: no memory. */
static struct buf *session_take_part(struct mux_session *s, struct buf *b, size_t may)
{
    struct buf *part = buf_new(&end_loop(&s->end)->bufs);
    if (part) {
        buf_append(part, b->data, may);
        buf_pull(b, may);
    }
    end_untake(&s->end, b);
    return part;
}

enum pumped { PUMPED_ALL, PUMPED_SOME, PUMPED_HELD }; /* HELD: or it ended and is gone */

/* One buf. */
static enum pumped session_pump_buf(struct mux_session *s)
{
    uint64_t may = session_may_send(s);
    struct err why;
    if (!end_has(&s->end))
        return PUMPED_ALL;
    if (may == 0) {
        session_hold(s);
        return PUMPED_HELD;
    }
    struct buf *b = end_take(&s->end);
    if (b->len > may)
        b = session_take_part(s, b, (size_t)may);
    if (!b) {
        err_set(&why, ENOMEM, "out of memory");
        session_close(s, &why);
        return PUMPED_HELD;
    }
    session_put(s, b);
    return PUMPED_SOME;
}

/* A few bufs of one session. True: it has more and may send it. False: it has nothing, must wait for the peer,
 * or ended and is gone. */
static bool session_pump(struct mux_session *s)
{
    if (end_failed(&s->end))
        return false; /* its own wake, which is due, ends it with an error */
    for (int i = 0; i < TURN_BUFS && end_room(&s->mux->end); i++) {
        enum pumped p = session_pump_buf(s);
        if (p == PUMPED_HELD)
            return false;
        if (p == PUMPED_ALL)
            break;
    }
    if (end_has(&s->end))
        return true;
    if (!end_at_eof(&s->end))
        return false;
    if (!end_room(&s->mux->end))
        return true;
    session_say_eof(s);
    return false;
}

void sessions_pump(struct mux *m)
{
    struct list_item *i;
    while ((i = list_first(&m->waiting)) && end_room(&m->end)) {
        struct mux_session *s = container_of(i, struct mux_session, waits);
        list_remove(i);
        if (session_pump(s))
            session_wait(s);
    }
}

/* --- carrier to flow --- */

void session_grant(struct mux_session *s)
{
    size_t queued = end_unread(&s->end), low;
    if (!session_has_windows(s) || s->heard_eof)
        return;
    uint32_t credit =
        window_update(&s->window, s->came - queued, queued, loop_steady(), session_budget(s));
    if (credit)
        mux_note(s->mux,
                 &(struct link_item){.type = LINK_WINDOW, .stream = s->id, .credit = credit});
    /* Also behind a grant: a client sends without limit until it has heard our HELLO, so what came may be far
     * beyond what was granted, and nothing more need come that would ask again. */
    if (window_awaits(&s->window, s->came, &low) && queued > low)
        end_call_at(&s->end, low);
}

/* --- flow events --- */

static void on_wake(struct end *e)
{
    struct mux_session *s = container_of(e, struct mux_session, end);
    struct mux *m = s->mux;
    struct err why;
    session_moves(s);
    if (end_failed(e)) {
        err_set(&why, ECONNRESET, "the other end failed");
        opening_refuse(s, &why);
        return;
    }
    opening_check(s);
    session_grant(s);
    if (list_holds(&s->waits))
        return;          /* its turn comes */
    if (session_pump(s)) /* else it may be gone */
        session_wait(s);
    if (list_first(&m->waiting))
        end_wake(&m->end);
}

const struct end_ops mux_session_ops = {.wake = on_wake};
