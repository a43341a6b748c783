/* mux/liveness.c -- whether the peer is there: asks when it has been quiet, and sooner when a stream waits for
 * its answer; see docs/link.md, Silence. Any byte from the peer is an answer. */
#include "mux/session.h"

enum {
    STRAY_ID = 65535, /* is asked about where PING is not known; the last one given out */
    NOD_MIN = 1024,   /* bytes that came: two that only nod at each other fall silent */
};

/* Seconds. */
static const double GONE_IDLE = 10; /* without a byte before a link without streams is closed */
static const double GONE = 30;      /* ... and one with streams */
static const double BRISK = 10;     /* for which a stream that was opened makes the pace brisk */
static const double NOD = 1;        /* for which who hears much says nothing, at most */
static const double LAG_MAX = 5;    /* that answers may take without being late, at most */

struct pace {
    double look;   /* seconds between looks */
    double quiet;  /* ... without a byte before the peer is asked */
    double answer; /* ... for its answer, beyond what the last one took */
};

static const struct pace at_rest = {.look = 0.5, .quiet = 4, .answer = 3};
static const struct pace brisk = {.look = 0.2, .quiet = 1, .answer = 1.25};

static const struct pace *liveness_pace(const struct mux *m, double now)
{
    return now - m->opened_at < BRISK ? &brisk : &at_rest;
}

static void liveness_ask(struct mux *m, double now)
{
    static const uint8_t byte;
    if (!(m->features & LINK_PINGS) && session_find(m, STRAY_ID))
        return; /* there is nothing to ask about */
    m->asked_at = now;
    if (m->features & LINK_PINGS)
        mux_note(m, &(struct link_item){.type = LINK_PING, .token = (uint64_t)(now * 1000)});
    else
        mux_send(m,
                 &(struct mux_frame){
                     .id = STRAY_ID, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 1},
                 &byte);
}

void mux_ask(struct mux *m)
{
    liveness_hurry(m);
    if (m->asked_at == 0)
        liveness_ask(m, loop_steady());
}

static void liveness_set(struct mux *m, bool silent)
{
    if (m->silent == silent)
        return;
    m->silent = silent;
    if (m->ops->silence)
        m->ops->silence(m);
}

/* A peer's question may wait for a minute behind what it sends: who hears much is not to be asked. */
static void liveness_nod(struct mux *m, double now)
{
    bool quiet = end_total(&m->end) == m->said;
    if (quiet && (m->heard_len < NOD_MIN || now - m->said_at < NOD))
        return;
    if (quiet && m->features & LINK_PINGS)
        mux_send(m, &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
    m->said = end_total(&m->end);
    m->said_at = now;
    m->heard_len = 0;
}

void liveness_heard(struct mux *m, size_t len)
{
    m->heard_at = loop_steady();
    m->heard_len += len;
    m->asked_at = 0;
    if (m->silent)
        liveness_set(m, false);
}

void liveness_pong(struct mux *m, uint64_t token)
{
    double now = loop_steady(), took = now - (double)token / 1000, before = m->lag;
    if (took < 0)
        return;
    m->lag = took < LAG_MAX ? took : LAG_MAX;
    if (took > before + brisk.answer &&
        m->asked_at == 0) /* is the peer that far away, or did it stand still? */
        liveness_ask(m, now);
}

/* When this process itself was stopped, what came meanwhile has not been read yet: that time does not count. */
static bool liveness_slept(struct mux *m, double now)
{
    double lost = now - m->looked_at;
    m->looked_at = now;
    if (lost <= 3 * at_rest.look)
        return false;
    m->heard_at = m->heard_at + lost < now ? m->heard_at + lost : now;
    if (m->asked_at > 0)
        m->asked_at = now;
    return true;
}

/* What waits for the carrier moves, perhaps slowly. The question may be among it: too early for an answer. */
static bool liveness_is_sending(struct mux *m)
{
    uint64_t waits = end_unread(&m->end), before = m->sent;
    m->sent = end_total(&m->end) - waits;
    return waits && m->sent > before;
}

static bool liveness_gone(const struct mux *m, double now)
{
    return m->silent && m->features & LINK_PINGS &&
           now - m->heard_at > (m->sessions ? GONE : GONE_IDLE);
}

static void liveness_look(struct mux *m, double now)
{
    const struct pace *p = liveness_pace(m, now);
    bool sending = liveness_is_sending(m);
    liveness_nod(m, now);
    if (m->stalled) /* what the peer says waits here to be read */
        liveness_heard(m, 0);
    if (liveness_slept(m, now))
        return;
    if (m->asked_at > 0 && sending)
        m->asked_at = now;
    if (m->asked_at == 0 && now - m->heard_at >= p->quiet)
        liveness_ask(m, now);
    else if (m->asked_at > 0 && now - m->asked_at >= p->answer + m->lag)
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
    w->repeat = liveness_pace(m, now)->look;
    ev_timer_again(ev, w);
}

void liveness_start(struct mux *m)
{
    m->heard_at = m->looked_at = loop_steady();
    m->opened_at = m->heard_at - BRISK;
    ev_init(&m->look, on_look);
    m->look.data = m;
    m->look.repeat = at_rest.look;
    ev_timer_again(end_loop(&m->end)->ev, &m->look);
}

void liveness_hurry(struct mux *m)
{
    m->opened_at = loop_steady();
    if (!ev_is_active(&m->look) || m->look.repeat == brisk.look)
        return;
    m->look.repeat = brisk.look;
    ev_timer_again(end_loop(&m->end)->ev, &m->look);
}

void liveness_stop(struct mux *m)
{
    ev_timer_stop(end_loop(&m->end)->ev, &m->look);
}
