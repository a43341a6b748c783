#include "mux/session.h"

#include <stdlib.h>

enum {
    CODEC_HEAD = 32, /* bytes that what lies below may put in front of a frame */
    TURN_BUFS = 4,   /* bufs of one session before the others have their turn */
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
}

void session_forget(struct mux_session *s)
{
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
    list_remove(&s->waits);
    session_forget(s);
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

static void session_count(struct mux_session *s, size_t n)
{
    const struct mux *m = s->mux;
    if (m->traffic)
        stat_add(m->end.flow->loop->counters, m->client ? m->traffic->up : m->traffic->down,
                 (int64_t)n);
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
    session_count(s, b->len);
    buf_settle(b, MUX_KEEP_HEAD + CODEC_HEAD);
    uint16_t len = (uint16_t)b->len;
    mux_keep_head(buf_push(b, MUX_KEEP_HEAD), s->id, len);
    end_put(&m->end, b);
}

/* A few bufs of one session. True: it has more. False: it has nothing, or it ended and is gone. */
static bool session_pump(struct mux_session *s)
{
    struct buf *b;
    for (int i = 0; i < TURN_BUFS; i++) {
        if (!end_room(&s->mux->end))
            return end_has(&s->end) || end_at_eof(&s->end);
        if (!(b = end_take(&s->end)))
            break;
        session_put(s, b);
    }
    if (end_has(&s->end))
        return true;
    if (end_at_eof(&s->end))
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

/* --- flow events --- */

static void on_wake(struct end *e)
{
    struct mux_session *s = container_of(e, struct mux_session, end);
    struct mux *m = s->mux;
    struct err why;
    if (m->stalled == s && end_room(e))
        mux_unstall(m);
    if (end_failed(e)) {
        err_set(&why, ECONNRESET, "the other end failed");
        session_close(s, &why);
        return;
    }
    if (list_holds(&s->waits))
        return;          /* its turn comes */
    if (session_pump(s)) /* else it may be gone */
        session_wait(s);
    if (list_first(&m->waiting))
        end_wake(&m->end);
}

const struct end_ops mux_session_ops = {.wake = on_wake};
