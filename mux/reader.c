/* mux/reader.c -- carrier to sessions: bytes come in bufs that know nothing of frames. A frame's data that
 * fills most of a buf goes on in that buf, anything smaller is copied to its flow's last one. */
#include "mux/session.h"

enum {
    MOVE_MIN = BUF_ROOM / 4, /* smaller pieces would make a queue hold more memory than bytes */
    FRAMES_PER_TURN = 4096,
    STALL_STEP = 64 * 1024,     /* bytes a stalled flow must take before reading goes on */
    STALL_PROGRESS = 16 * 1024, /* bytes a stalled flow must take within ... */
    STALL_LIMIT = 5,            /* ... so many looks, and seconds, to be kept */
    OVERFLOW_MAX =
        4 * 1024 * 1024, /* bytes that a stream without windows queues before others wait */
    OVERFLOW_SHARE = 25, /* hundredths of the budget up to which it may */
    SHED_GROWN = 90, /* hundredths of the budget beyond which streams with grown windows end ... */
    SHED_ALL = 100,  /* ... and all that queue this many bytes: */
    SHED_MIN = 16 * 1024,
    ANSWERS_MAX = 1024 * 1024, /* bytes beyond the carrier's limit: ends of all ids fit twice */
};

static const double STALL_LOOK = 1; /* seconds from one look at a stalled flow to the next */

static struct buf_pool *mux_pool(struct mux *m)
{
    return &m->end.flow->loop->bufs;
}

/* --- a flow that does not take its bytes --- */

static void on_stall(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct mux *m = w->data;
    struct mux_session *s = m->stalled;
    struct err why;
    uint64_t taken = end_total(&s->end) - end_unread(&s->end);
    if (taken - m->stall_mark >= STALL_PROGRESS) {
        m->stall_mark = taken;
        m->stall_looks = 0;
    }
    if (m->stall_looks++ < STALL_LIMIT)
        return;
    stat_add(m->end.flow->loop->counters, STAT_mux_stalled, 1);
    err_set(&why, ETIMEDOUT, "its reader held up the link for %d s", STALL_LIMIT);
    session_close(s, &why);
}

static void mux_stall(struct mux *m, struct mux_session *s)
{
    if (m->stalled == s)
        return;
    m->stalled = s;
    m->stall_mark = end_total(&s->end) - end_unread(&s->end);
    ev_init(&m->stall, on_stall);
    m->stall.data = m;
    m->stall.repeat = STALL_LOOK;
    m->stall_looks = 1;
    ev_timer_again(m->end.flow->loop->ev, &m->stall);
}

void mux_unstall(struct mux *m)
{
    if (!m->stalled)
        return;
    m->stalled = NULL;
    ev_timer_stop(m->end.flow->loop->ev, &m->stall);
    end_wake(&m->end);
}

/* --- frames --- */

static void mux_answer_stray(struct mux *m)
{
    bool ended_long_ago = m->frame.id <= m->last_id;
    if (!ended_long_ago && end_room(&m->end)) /* a peer that does not read gets no more answers */
        mux_send(m, &(struct mux_frame){.id = m->frame.id, .status = MUX_END}, NULL);
}

static void frame_new(struct mux *m)
{
    const struct mux_frame *f = &m->frame;
    struct mux_session *s = session_find(m, f->id);
    struct err why;
    if (m->client)
        return; /* its data is dropped with it, as peers do */
    if (s) {
        err_set(&why, EPROTO, "the peer opened a second stream under its id");
        session_close(s, &why);
        return;
    }
    if (f->id > m->last_id)
        m->last_id = f->id;
    m->frame.routed = m->frame.routed && m->features & LINK_ROUTED;
    int refusal = m->sessions < MUX_STREAMS_MAX ? m->ops->opened(m, f) : REFUSED_NO_ROOM;
    m->frame.routed = false; /* its texts go with what was read */
    if (refusal)
        mux_refuse(m, f->id, refusal);
}

/* Its flow has passed the end on already; nothing may come behind it. */
static void session_late(struct mux_session *s)
{
    struct err why;
    err_set(&why, EPROTO, "the peer sent data behind the end of its direction");
    session_close(s, &why);
}

static void frame_end(struct mux *m)
{
    struct mux_session *s = session_find(m, m->frame.id);
    struct err why;
    if (s && (m->frame.option & MUX_ERROR)) {
        err_set(&why, ECONNRESET, "the peer gave the stream up");
        if (m->client && !s->answered && m->ops->answered)
            m->ops->answered(m, REFUSED_TARGET);
        session_end(s, &why);
    } else if (s) {
        session_end(s, NULL);
    }
}

static bool frame_is_control(const struct mux *m)
{
    return m->control_id >= 0 && m->frame.id == m->control_id && m->frame.status != MUX_KEEPALIVE;
}

static void frame_control(struct mux *m)
{
    if (m->client && m->ops->control_refused && m->frame.status != MUX_NEW)
        m->ops->control_refused(m);
    else if (!m->client && m->frame.status == MUX_END)
        m->control_id = -1;
}

/* Once per frame, before its data. */
static void frame_begin(struct mux *m)
{
    struct mux_session *s;
    if (!m->heard) {
        m->heard = true;
        if (m->ops->alive)
            m->ops->alive(m);
    }
    if (frame_is_control(m)) {
        frame_control(m);
        return;
    }
    switch (m->frame.status) {
    case MUX_NEW:
        frame_new(m);
        break;
    case MUX_END:
        frame_end(m);
        break;
    case MUX_KEEP:
        s = session_find(m, m->frame.id);
        if (!s && m->frame.data_len)
            mux_answer_stray(m);
        else if (s && s->heard_eof && m->frame.data_len)
            session_late(s);
    }
}

/* The session that the frame's data is for; NULL: nobody. */
static struct mux_session *frame_session(const struct mux *m)
{
    bool carries = m->frame.status == MUX_KEEP || (m->frame.status == MUX_NEW && !m->client);
    return carries && !frame_is_control(m) ? session_find(m, m->frame.id) : NULL;
}

/* All data of the frame has been read. */
static void frame_finish(struct mux *m)
{
    struct mux_session *s = frame_session(m);
    struct buf *b = m->whole;
    m->whole = NULL;
    if (b && m->frame.status == MUX_KEEPALIVE)
        mux_hear(m, cur_of(b->data, b->len));
    else if (b && frame_is_control(m) && m->ops->control)
        m->ops->control(m, b->data, b->len);
    else if (b && s && end_room(&s->end)) {
        end_put(&s->end, b);
        b = NULL;
    } else if (b && s)
        stat_add(m->end.flow->loop->counters, STAT_datagrams_dropped, 1);
    if (b)
        buf_free(mux_pool(m), b);
    if (s && (m->frame.option & MUX_EOF))
        session_heard_eof(s);
}

/* --- data --- */

static bool frame_wants_whole(const struct mux *m, const struct mux_session *s)
{
    if (m->frame.status == MUX_KEEPALIVE || frame_is_control(m))
        return m->frame.data_len <= MUX_CONTROL_MAX;
    return s && s->end.flow->packets && m->frame.data_len <= BUF_DATA;
}

static int data_whole(struct mux *m, size_t part, struct err *why)
{
    if (!m->whole && !(m->whole = buf_new(mux_pool(m))))
        return err_set(why, ENOMEM, "out of memory");
    buf_append(m->whole, m->in->data, part);
    return 0;
}

static bool data_put(struct mux *m, struct mux_session *s, size_t part)
{
    if (part < m->in->len || part < MOVE_MIN)
        return end_write(&s->end, m->in->data, part);
    end_put(&s->end, m->in);
    m->in = NULL;
    return true;
}

static int data_stream(struct mux *m, struct mux_session *s, size_t part, struct err *why)
{
    if (m->client && !s->answered)
        opening_answered(s);
    if (m->traffic)
        stat_add(m->end.flow->loop->counters, m->client ? m->traffic->down : m->traffic->up,
                 (int64_t)part);
    s->came += part;
    if (!data_put(m, s, part))
        return err_set(why, ENOMEM, "out of memory");
    session_weigh(s);
    opening_check(s);
    session_grant(s);
    return 0;
}

/* Its queue may take more. A stream of a peer without windows that is not read may use some of what is to
 * spare before it holds the others up. */
static bool session_has_room(struct mux_session *s)
{
    const struct budget *b = mux_pool(s->mux)->budget;
    if ((session_has_windows(s) && s->came < s->window.granted) || end_room(&s->end))
        return true;
    return b && end_unread(&s->end) < OVERFLOW_MAX && !budget_above(b, OVERFLOW_SHARE);
}

/* The others wait as well: not for all that it has queued, only until it moves. */
static void stall_await(struct mux_session *s)
{
    size_t queued = end_unread(&s->end);
    end_call_at(&s->end, queued > 2 * STALL_STEP ? queued - STALL_STEP : queued / 2);
}

void session_moves(struct mux_session *s)
{
    if (s->mux->stalled != s)
        return;
    if (session_has_room(s))
        mux_unstall(s->mux);
    else
        stall_await(s);
}

/* Memory is short and this stream holds some of it. */
static bool session_sheds(struct mux_session *s)
{
    const struct budget *b = mux_pool(s->mux)->budget;
    size_t queued = end_unread(&s->end);
    return queued > SHED_MIN &&
           (budget_above(b, SHED_ALL) || (queued > WINDOW_FIRST && budget_above(b, SHED_GROWN)));
}

static void session_shed(struct mux_session *s)
{
    struct err why;
    stat_add(end_loop(&s->end)->counters, STAT_mux_shed, 1);
    err_set(&why, ENOBUFS, "memory is short, and its reader does not take what came");
    session_close(s, &why);
}

/* Uses some data of the current frame. STEP_MORE: its flow has no room. */
static enum step mux_read_data(struct mux *m, struct err *why)
{
    size_t part = m->in->len < m->left ? m->in->len : m->left;
    struct mux_session *s = frame_session(m);
    bool whole = frame_wants_whole(m, s);
    bool deliver = s && !s->end.flow->packets;
    if (deliver && session_sheds(s)) {
        session_shed(s);
        return STEP_DONE; /* the rest of the frame is for nobody */
    }
    if (deliver && !session_has_room(s)) {
        mux_stall(m, s);
        stall_await(s);
        return STEP_MORE;
    }
    if ((whole && data_whole(m, part, why) < 0) || (deliver && data_stream(m, s, part, why) < 0))
        return STEP_FAIL;
    if (m->in)
        buf_pull(m->in, part);
    m->left -= part;
    if (!m->left)
        frame_finish(m);
    return STEP_DONE;
}

static void mux_frame_begun(struct mux *m)
{
    m->left = m->frame.data_len;
    frame_begin(m);
    if (!m->left)
        frame_finish(m);
}

/* A frame's head that lies in several bufs is put together in m->head. */
static enum step mux_read_split_head(struct mux *m, struct err *why)
{
    size_t had = m->head_len, more = sizeof m->head - had;
    if (more > m->in->len)
        more = m->in->len;
    memcpy(m->head + had, m->in->data, more);
    struct cursor c = cur_of(m->head, had + more);
    enum step s = mux_frame_read(&c, &m->frame, why);
    if (s == STEP_DONE)
        more = (size_t)(c.p - m->head) - had;
    m->head_len = s == STEP_DONE ? 0 : had + more;
    buf_pull(m->in, more);
    if (s == STEP_DONE)
        mux_frame_begun(m);
    return s;
}

static enum step mux_read_head(struct mux *m, struct err *why)
{
    struct cursor c = cur_of(m->in->data, m->in->len);
    if (m->head_len)
        return mux_read_split_head(m, why);
    enum step s = mux_frame_read(&c, &m->frame, why);
    if (s == STEP_MORE)
        return mux_read_split_head(m, why);
    if (s == STEP_DONE) {
        buf_pull(m->in, m->in->len - cur_left(&c));
        mux_frame_begun(m);
    }
    return s;
}

static bool mux_next_buf(struct mux *m)
{
    if (m->in && m->in->len)
        return true;
    if (m->in)
        buf_free(mux_pool(m), m->in);
    m->in = end_take(&m->end);
    if (m->in)
        liveness_heard(m, m->in->len);
    return m->in != NULL;
}

int mux_read(struct mux *m, struct err *why)
{
    if (end_unread(&m->end) > m->end.flow->policy->buffer_size + ANSWERS_MAX)
        return err_set(why, ENOBUFS, "mux: the peer opens and ends streams and reads no answers");
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        if (m->stalled || !mux_next_buf(m))
            return 0;
        enum step s = m->left ? mux_read_data(m, why) : mux_read_head(m, why);
        if (s == STEP_FAIL)
            return err_wrap(why, "mux");
        if (s == STEP_MORE && m->stalled)
            return 0;
    }
    end_wake(&m->end);
    return 0;
}

void mux_reader_fini(struct mux *m)
{
    struct buf_pool *pool = mux_pool(m);
    ev_timer_stop(m->end.flow->loop->ev, &m->stall);
    if (m->in)
        buf_free(pool, m->in);
    if (m->whole)
        buf_free(pool, m->whole);
    m->in = m->whole = NULL;
}
