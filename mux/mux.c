#include "mux/mux.h"

#include <stdlib.h>

#include "mux/link.h"
#include "mux/session.h"

enum {
    OLD_DATAGRAM_MAX = 2048, /* a larger one kills a V2Ray carrier */
    ID_MAX = 65535,
    MEMORY_OUT = 100, /* hundredths of the budget beyond which no stream is accepted */
};

void mux_init(struct mux *m, const struct mux_ops *ops, bool client, const struct traffic *traffic,
              int sessions_slot)
{
    *m = (struct mux){.ops = ops,
                      .client = client,
                      .traffic = traffic,
                      .sessions_slot = sessions_slot,
                      .control_id = -1,
                      .offers = LINK_FEATURES,
                      .datagram_max = OLD_DATAGRAM_MAX};
}

void mux_send(struct mux *m, const struct mux_frame *f, const void *data)
{
    uint8_t bytes[MUX_HEAD_MAX + MUX_CONTROL_MAX];
    struct writer w = wr_of(bytes, sizeof bytes);
    struct err why;
    mux_frame_write(&w, f);
    if (f->data_len)
        wr_bytes(&w, data, f->data_len);
    if (end_write(&m->end, bytes, wr_len(&w)))
        return;
    /* The peer would take a lost end for none, and a lost New for an end. */
    err_set(&why, ENOMEM, "out of memory");
    flow_abort(m->end.flow, &why);
}

void mux_start(struct mux *m)
{
    struct link_item hello = {.type = LINK_HELLO,
                              .hello = {.version = LINK_VERSION,
                                        .datagram_max = BUF_DATA,
                                        .features = m->offers,
                                        .window = WINDOW_FIRST,
                                        .streams = MUX_STREAMS_MAX,
                                        .shard = m->shard,
                                        .shards = m->shards,
                                        .instance = m->instance}};
    mux_note(m, &hello);
    m->said_hello = true;
    liveness_start(m);
}

/* --- opening --- */

unsigned mux_ids_left(const struct mux *m)
{
    return ID_MAX - m->last_id;
}

uint16_t mux_take_id(struct mux *m)
{
    m->opened++;
    return ++m->last_id;
}

static struct mux_session *mux_next_session(struct mux *m)
{
    struct mux_session *s = mux_ids_left(m) ? session_new(m, (uint16_t)(m->last_id + 1)) : NULL;
    if (s)
        m->last_id = s->id;
    return s;
}

static void mux_send_new(struct mux *m, struct mux_session *s, const struct link_route *route)
{
    const struct meta *meta = &s->end.flow->meta;
    struct mux_frame f = {
        .id = s->id, .status = MUX_NEW, .net = (uint8_t)meta->net, .target = meta->target};
    if (route)
        f.routed = true, f.route = *route;
    if (m->features & LINK_ORIGIN && (meta->net == NET_TCP || route) && addr_is_ip(&meta->source))
        f.source = meta->source;
    mux_send(m, &f, NULL);
    session_seated(s);
}

static bool mux_begin(struct mux *m, struct flow *f, struct end *seat,
                      const struct link_route *route)
{
    struct mux_session *s = mux_next_session(m);
    if (!s)
        return false;
    if (seat)
        end_reseat(seat, &s->end, &mux_session_ops);
    else
        flow_join(f, &s->end, &mux_session_ops);
    mux_send_new(m, s, route);
    return true;
}

bool mux_open(struct mux *m, struct flow *f)
{
    return mux_begin(m, f, NULL, NULL);
}

bool mux_take_over(struct mux *m, struct end *seat)
{
    return mux_begin(m, seat->flow, seat, NULL);
}

bool mux_forward(struct mux *m, struct flow *f, struct end *seat, const struct link_route *route)
{
    return m->features & LINK_ROUTED && mux_begin(m, f, seat, route);
}

struct flow *mux_accept(struct mux *m, const struct mux_frame *f, const struct meta *meta,
                        const struct policy *p)
{
    bool memory = !budget_above(end_loop(&m->end)->bufs.budget, MEMORY_OUT);
    struct mux_session *s = memory ? session_new(m, f->id) : NULL;
    if (!s)
        return NULL;
    struct flow *flow = flow_new(m->end.flow->loop, &s->end, &mux_session_ops, meta, p);
    if (flow) {
        session_seated(s);
        return flow;
    }
    session_forget(s);
    free(s);
    return NULL;
}

/* --- ending --- */

bool mux_is_ending(const struct mux *m)
{
    return m->closing || end_failed(&m->end) || end_peer_left(&m->end) || end_at_eof(&m->end);
}

/* Streams that were never opened may still go another way. */
static void mux_end_sessions(struct mux *m, const struct err *why)
{
    struct mux_session *s;
    for (unsigned id = 0; (s = session_next(m, id)); id++) {
        id = s->id;
        if (!opening_give_back(s, 0))
            session_end(s, why);
    }
}

static void mux_free_pages(struct mux *m)
{
    for (int i = 0; i < MUX_PAGE; i++)
        free(m->pages[i]);
}

void mux_close(struct mux *m, const struct err *why)
{
    struct err cut;
    err_set(&cut, ECONNRESET, "the link ended%s%s", why && why->code ? ": " : "",
            why && why->code ? why->text : "");
    m->closing = true;
    m->reached = end_is_opened(&m->end);
    mux_end_sessions(m, &cut);
    mux_reader_fini(m);
    liveness_stop(m);
    ev_timer_stop(end_loop(&m->end)->ev, &m->answer);
    mux_free_pages(m);
    end_leave(&m->end, why);
    m->ops->closed(m, why);
}

static void on_wake(struct end *e)
{
    struct mux *m = container_of(e, struct mux, end);
    struct err why = {0};
    if (end_failed(e)) {
        err_set(&why, ECONNRESET, "%s", e->flow->why ? e->flow->why : "carrier failed");
        mux_close(m, &why);
        return;
    }
    if (mux_read(m, &why) < 0) {
        stat_add(e->flow->loop->counters, STAT_mux_errors, 1);
        mux_close(m, &why);
        return;
    }
    sessions_pump(m);
    if (end_at_eof(e) && !m->in)
        mux_close(m, NULL);
}

static void on_drain(struct end *e)
{
    struct mux *m = container_of(e, struct mux, end);
    if (m->ops->drain)
        m->ops->drain(m);
}

void mux_drain_streams(struct mux *m)
{
    for (const struct mux_session *s = session_next(m, 0); s; s = session_next(m, s->id + 1u))
        flow_drain(s->end.flow);
}

const struct end_ops mux_end_ops = {.wake = on_wake, .drain = on_drain};
