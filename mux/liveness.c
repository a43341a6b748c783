/* mux/liveness.c -- whether the peer is there: asks when it has been quiet, and sooner when a stream waits for
 * its answer; see docs/link.md, Silence. Any byte from the peer is an answer. */
#include "mux/session.h"

enum {
    STRAY_ID = 65535
}; /* is asked about where PING is not known; the last id that is ever given out */

static const double BEAT = 1,
                    HURRY = 0.2; /* seconds between looks, at rest and with a stream that waits */
static const double QUIET = 4;   /* ... without a byte before the peer is asked */
static const double ANSWER = 3;  /* ... for its answer */
static const double IMPATIENT = 1.25; /* in place of both when a stream waits */
static const double GONE_IDLE = 8; /* ... without a byte before a link without streams is closed */
static const double GONE = 30;     /* ... and one with streams */

static void liveness_ask(struct mux *m, double now)
{
    static const uint8_t byte;
    m->asked_at = now;
    if (m->features & LINK_PINGS)
        mux_note(m, &(struct link_item){.type = LINK_PING, .token = (uint64_t)(now * 1000)});
    else if (!session_find(m, STRAY_ID))
        mux_send(m,
                 &(struct mux_frame){
                     .id = STRAY_ID, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 1},
                 &byte);
}

static void liveness_set(struct mux *m, bool silent)
{
    if (m->silent == silent)
        return;
    m->silent = silent;
    if (m->ops->silence)
        m->ops->silence(m);
}

void liveness_heard(struct mux *m)
{
    m->heard_at = loop_steady();
    m->asked_at = 0;
    if (m->silent)
        liveness_set(m, false);
}

/* Somebody has waited for so long, and nothing at all has come meanwhile. */
static bool liveness_impatient(const struct mux *m, double now)
{
    struct list_item *i = m->client ? list_first(&m->unanswered) : NULL;
    struct mux_session *s = i ? container_of(i, struct mux_session, unanswered) : NULL;
    return s && now - s->began >= IMPATIENT && now - m->heard_at >= IMPATIENT;
}

/* When this process itself was stopped, what came meanwhile has not been read yet: that time does not count. */
static bool liveness_slept(struct mux *m, double now)
{
    double lost = now - m->looked_at;
    m->looked_at = now;
    if (lost <= 3 * BEAT)
        return false;
    m->heard_at = m->heard_at + lost < now ? m->heard_at + lost : now;
    if (m->asked_at > 0)
        m->asked_at = now;
    return true;
}

static bool liveness_gone(const struct mux *m, double now)
{
    return m->silent && m->features & LINK_PINGS &&
           now - m->heard_at > (m->sessions ? GONE : GONE_IDLE);
}

static void liveness_look(struct mux *m, double now)
{
    bool hurry = liveness_impatient(m, now);
    double asked = m->asked_at > 0 ? now - m->asked_at : 0;
    if (liveness_slept(m, now))
        return;
    if (m->asked_at == 0 && (hurry || now - m->heard_at >= QUIET))
        liveness_ask(m, now);
    else if (asked >= (hurry ? IMPATIENT : ANSWER))
        liveness_set(m, true);
}

static void on_look(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct mux *m = w->data;
    struct err why;
    double now = loop_steady();
    liveness_look(m, now);
    if (liveness_gone(m, now)) {
        err_set(&why, ETIMEDOUT, "the peer has been silent for %.0f s", now - m->heard_at);
        mux_close(m, &why);
        return;
    }
    w->repeat = m->client && list_first(&m->unanswered) ? HURRY : BEAT;
    ev_timer_again(ev, w);
}

void liveness_start(struct mux *m)
{
    m->heard_at = m->looked_at = loop_steady();
    ev_init(&m->look, on_look);
    m->look.data = m;
    m->look.repeat = BEAT;
    ev_timer_again(end_loop(&m->end)->ev, &m->look);
}

void liveness_hurry(struct mux *m)
{
    if (!ev_is_active(&m->look) || m->look.repeat == HURRY)
        return;
    m->look.repeat = HURRY;
    ev_timer_again(end_loop(&m->end)->ev, &m->look);
}

void liveness_stop(struct mux *m)
{
    ev_timer_stop(end_loop(&m->end)->ev, &m->look);
}
