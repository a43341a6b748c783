#include "reverse/carrier.h"

#include <sodium.h>
#include <stdlib.h>

#include "reverse/control.h"

enum {
    DRAIN_SESSIONS = 256,     /* ever opened on a carrier to an old peer, as V2Ray counts */
    DRAIN_IDS = 60000,        /* the same to a v2c peer: before the ids run out */
    DRAIN_PIECES = 48 * 1024, /* sealed chunks in one direction: before nonces repeat at 65536 */
    FAILURES_MAX = 5,         /* streams in a row that could not be opened, before it is ejected */
    EJECTIONS_MAX = 5,        /* that lengthen the next one */
    LATE_WAIT = 700,          /* milliseconds until one that came late may dial again */
};

static const double BEAT = 2; /* seconds between control messages, V2Ray's */
static const double EJECT =
    5; /* seconds of a first ejection; each that follows lasts twice as long */
static const double LATE = 0.2; /* seconds for HELLO of one that comes when its portal goes */
static const double FULL = 1;   /* seconds for which one that had no room is passed over */

static struct carrier *carrier_of(struct mux *m)
{
    return container_of(m, struct carrier, mux);
}

static void carrier_count(const struct carrier *c, int n)
{
    stat_add(c->portal->out.loop->counters, c->portal->conf->carriers_slot, n);
}

/* --- control messages --- */

/* The names to try in turn: the configured one, else those that peers are known to use. */
static const char *carrier_control_name(const struct carrier *c, size_t i)
{
    if (!c->portal->conf->control_domain)
        return control_name(i);
    return i == 0 ? c->portal->conf->control_domain : NULL;
}

/* One control message in the stream with this id. name: of the stream that it opens, else NULL. */
static void carrier_tell(struct carrier *c, uint16_t id, const char *name, enum control_state state)
{
    uint8_t message[CONTROL_MAX], filler[CONTROL_FILLER_MAX];
    size_t len = 1 + randombytes_uniform(CONTROL_FILLER_MAX);
    struct writer w = wr_of(message, sizeof message);
    randombytes_buf(filler, len);
    control_write(&w, state, filler, len);
    struct mux_frame f = {.id = id,
                          .status = name ? MUX_NEW : MUX_KEEP,
                          .option = MUX_DATA,
                          .net = NET_UDP,
                          .data_len = (uint16_t)wr_len(&w)};
    if (name) {
        f.target.type = ADDR_NAME;
        strncpy(f.target.name, name, ADDR_NAME_MAX);
    }
    mux_send(&c->mux, &f, message);
}

static void carrier_end(struct carrier *c, uint16_t id)
{
    mux_send(&c->mux, &(struct mux_frame){.id = id, .status = MUX_END}, NULL);
}

static void carrier_open_control(struct carrier *c)
{
    const char *name = carrier_control_name(c, c->name);
    c->mux.control_id =
        -1; /* without a name that suits the peer, or an id, empty frames keep the link awake */
    if (!name || !mux_ids_left(&c->mux))
        return;
    c->mux.control_id = mux_take_id(&c->mux);
    carrier_tell(c, (uint16_t)c->mux.control_id, name, CONTROL_ACTIVE);
}

/* A bridge that knows the name stays silent; an answer means that it took it for a visitor's target. */
static void on_control_refused(struct mux *m)
{
    struct carrier *c = carrier_of(m);
    if (m->frame.status != MUX_END)
        carrier_end(c, m->frame.id);
    c->name++;
    carrier_open_control(c);
}

/* A silent peer may know the name or have dispatched it as a visitor's: V2Ray 4.34 lets datagrams vanish
 * without an answer. So an old peer hears DRAIN under every other name too; to the wrong ones it is one
 * lost datagram. */
static void carrier_drain_old(struct carrier *c)
{
    const char *name;
    for (size_t i = 0; (name = carrier_control_name(c, i)) && mux_ids_left(&c->mux); i++) {
        if (i == c->name)
            continue;
        uint16_t id = mux_take_id(&c->mux);
        carrier_tell(c, id, name, CONTROL_DRAIN);
        carrier_end(c, id);
    }
}

static void carrier_end_control(struct carrier *c)
{
    if (c->mux.control_id < 0)
        return;
    carrier_tell(c, (uint16_t)c->mux.control_id, NULL, CONTROL_DRAIN);
    carrier_end(c, (uint16_t)c->mux.control_id);
    c->mux.control_id = -1;
}

void carrier_drain(struct carrier *c, enum link_going reason)
{
    if (c->draining)
        return;
    c->draining = true;
    mux_drain_streams(&c->mux);
    log_debug(c->mux.end.flow->id, "portal %s: carrier drains after %u streams",
              c->portal->conf->tag, c->mux.opened);
    if (mux_say_going(&c->mux, reason, c->is_late ? LATE_WAIT : 0))
        return;
    carrier_end_control(c);
    if (!c->mux.is_v2c)
        carrier_drain_old(c);
}

/* Its next beat, at which it drains if its portal goes. */
static void carrier_beats_in(struct carrier *c, double seconds)
{
    struct ev_loop *ev = c->portal->out.loop->ev;
    ev_timer_stop(ev, &c->beat);
    ev_timer_set(&c->beat, seconds, BEAT);
    ev_timer_start(ev, &c->beat);
}

void carrier_drain_within(struct carrier *c, double seconds)
{
    carrier_beats_in(c, seconds * randombytes_uniform(1000) / 1000);
}

void carrier_reject(struct carrier *c, const char *what, const char *name)
{
    refusal_say(&c->mux, what, name, REFUSED_WAIT);
    c->draining = true;
    carrier_leave_hosts(c);
    for (int i = 0; i < PLACES; i++)
        pool_quit(&c->in[i]);
}

bool carrier_worn(const struct carrier *c)
{
    const struct mux *m = &c->mux;
    return m->opened > (m->is_v2c ? DRAIN_IDS : DRAIN_SESSIONS) ||
           m->end.flow->pieces > DRAIN_PIECES;
}

/* A peer that answers pings needs no other sign of life, and to one that does not read nothing more is said,
 * so that idleness ends the carrier. */
static void carrier_beat(struct carrier *c)
{
    if (c->mux.features & LINK_PINGS || !end_room(&c->mux.end))
        return;
    if (c->mux.control_id >= 0)
        carrier_tell(c, (uint16_t)c->mux.control_id, NULL, CONTROL_ACTIVE);
    else
        mux_send(&c->mux, &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
}

static void carrier_weigh_soon(struct carrier *c)
{
    for (int i = 0; i < PLACES; i++)
        if (c->in[i].pool)
            pool_weigh_soon(c->in[i].pool);
}

/* Once, however often its bridge makes it do so. */
static void carrier_look_soon(struct carrier *c)
{
    for (int i = 0; i < PLACES; i++)
        if (c->in[i].pool)
            pool_look_soon(c->in[i].pool);
}

/* Those who wait for it look. */
static void carrier_look(struct carrier *c)
{
    for (int i = 0; i < PLACES; i++)
        if (c->in[i].pool && c->in[i].pool->waiting_count)
            pool_look(c->in[i].pool);
}

static void on_beat(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct carrier *c = w->data;
    if (carrier_worn(c))
        carrier_drain(c, GOING_WORN);
    if (c->portal->going && !c->draining) {
        carrier_drain(c, GOING_STOPS); /* its bridge finds another portal meanwhile */
        return;
    }
    if (c->draining && !c->mux.sessions) {
        mux_close(&c->mux, NULL);
        return;
    }
    carrier_beat(c);
    carrier_in_crowd(c, BEAT);
    carrier_weigh_soon(c); /* its class changes with time, too */
    carrier_look(c);       /* a stream may have ended where all places were taken */
}

/* --- how good it is --- */

static unsigned class_of(const struct carrier *c)
{
    double now = loop_steady();
    if (c->mux.silent)
        return CLASS_SILENT;
    if (c->weight == LINK_WEIGHT_NONE)
        return CLASS_UNWILLING;
    if (c->draining)
        return CLASS_DRAINING;
    if (c->ejected_until > now || c->full_until > now || c->mux.heard_at < c->doubted_at)
        return CLASS_EJECTED;
    if (c->weight == LINK_WEIGHT_ALL)
        return CLASS_FIRST;
    return c->mux.stalled ? CLASS_STALLED : CLASS_GOOD;
}

unsigned carrier_class(const struct carrier *c)
{
    return class_of(c) * LOAD_CLASS;
}

uint64_t carrier_group(const struct carrier *c)
{
    if (c->node)
        return c->node;
    return c->mux.hello.instance ? c->mux.hello.instance : (uintptr_t)c;
}

unsigned carrier_weight(const struct carrier *c)
{
    return c->mux.sessions + BULKY_WEIGHT * c->mux.bulky;
}

unsigned carrier_load(const struct carrier *c)
{
    const struct mux *m = &c->mux;
    bool full = m->is_v2c && m->hello.streams && m->sessions >= m->hello.streams;
    if (!mux_ids_left(m) || mux_is_ending(m) || full)
        return LOAD_NONE;
    return carrier_class(c) + carrier_weight(c);
}

static void carrier_eject(struct carrier *c)
{
    double seconds = EJECT * (1 << c->ejections);
    c->failures = 0;
    c->ejections += c->ejections < EJECTIONS_MAX;
    c->ejected_until = loop_steady() + (seconds < 60 ? seconds : 60);
    log_info("portal %s: a carrier is passed over for %.0f s: its streams fail",
             c->portal->conf->tag, c->ejected_until - loop_steady());
}

/* It is still used when there is no better one. */
static void on_answered(struct mux *m, int refusal)
{
    struct carrier *c = carrier_of(m);
    if (refusal == REFUSED_RULES)
        return;
    if (!refusal) {
        c->failures = 0;
        c->ejections = c->ejected_until > 0 && c->ejected_until < loop_steady() ? 0 : c->ejections;
    } else if (++c->failures >= FAILURES_MAX) {
        carrier_eject(c);
    }
}

static void on_changed(struct mux *m)
{
    carrier_weigh_soon(carrier_of(m));
}

/* What froze one link of a bridge may have frozen the others: they serve again once they have been heard. */
static void carrier_cast_doubt(const struct carrier *c)
{
    const struct pool *pool = c->in[0].pool;
    const struct list *members = pool ? &pool->members : NULL;
    for (struct list_item *i = pool ? list_first(members) : NULL; i; i = list_next(members, i)) {
        struct carrier *other = container_of(i, struct member, item)->carrier;
        if (other == c || other->mux.silent || !c->mux.hello.instance ||
            other->mux.hello.instance != c->mux.hello.instance)
            continue;
        other->doubted_at = loop_steady();
        mux_ask(&other->mux);
    }
}

static void on_silence(struct mux *m)
{
    struct carrier *c = carrier_of(m);
    char from[ADDR_TEXT_MAX];
    log_info("portal %s: bridge %s %s", c->portal->conf->tag, addr_text(&c->from, from),
             m->silent ? "is silent" : "speaks again");
    if (!m->silent) {
        carrier_look_soon(c);
        return;
    }
    carrier_cast_doubt(c);
    carrier_rescue(c);
    carrier_weigh_soon(c);
}

/* --- life --- */

static void on_going(struct mux *m, int reason, uint32_t wait)
{
    (void)reason, (void)wait;
    carrier_of(m)->draining = true; /* what is open, or was on its way, it serves */
}

static void on_drain(struct mux *m)
{
    carrier_drain(carrier_of(m), GOING_STOPS);
}

/* Having one stream less now, a carrier that refused would be the first to be picked again. */
static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    (void)refusal;
    struct carrier *c = carrier_of(m);
    c->full_until = m->silent ? 0 : loop_steady() + FULL;
    portal_visitor_again(c->portal, seat);
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct carrier *c = carrier_of(m);
    char from[ADDR_TEXT_MAX];
    log_info("portal %s: bridge %s gone%s%s", c->portal->conf->tag, addr_text(&c->from, from),
             why && why->code ? ": " : "", why && why->code ? why->text : "");
    ev_timer_stop(c->portal->out.loop->ev, &c->beat);
    list_remove(&c->item);
    carrier_leave_hosts(c);
    for (int i = 0; i < PLACES; i++)
        pool_quit(&c->in[i]);
    carrier_count(c, -1);
    free(c);
}

static void on_named(struct mux *m, const struct link_names *names)
{
    carrier_named(carrier_of(m), names);
}

static void on_weighed(struct mux *m, uint8_t weight)
{
    struct carrier *c = carrier_of(m);
    c->weight = weight;
    carrier_look_soon(c);
}

static void on_host_wanted(struct mux *m, struct link_text name)
{
    carrier_wants_host(carrier_of(m), name);
}

static const struct mux_ops carrier_ops = {.unopened = on_unopened,
                                           .named = on_named,
                                           .weighed = on_weighed,
                                           .host_wanted = on_host_wanted,
                                           .answered = on_answered,
                                           .going = on_going,
                                           .silence = on_silence,
                                           .changed = on_changed,
                                           .control_refused = on_control_refused,
                                           .drain = on_drain,
                                           .closed = on_closed};

static void carrier_start(struct carrier *c)
{
    struct portal *p = c->portal;
    unsigned shards = p->place->all->count;
    char from[ADDR_TEXT_MAX];
    ev_timer_init(&c->beat, on_beat, BEAT, BEAT);
    c->beat.data = c;
    ev_timer_start(p->out.loop->ev, &c->beat);
    log_info("portal %s: bridge %s connected", p->conf->tag, addr_text(&c->from, from));
    if (shards <= UINT8_MAX) {
        c->mux.shard = (uint8_t)(p->out.loop->index + 1);
        c->mux.shards = (uint8_t)shards;
    }
    mux_start(&c->mux);
    carrier_in_crowd(c, 0);
    carrier_open_control(c);
    c->is_late = p->going;
    if (p->going)
        carrier_beats_in(c, LATE); /* when it has said what it understands */
}

bool carrier_new(struct pool *pool, struct flow *f)
{
    struct portal *p = pool->portal;
    struct carrier *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    c->portal = p;
    c->from = f->meta.source;
    c->weight = LINK_WEIGHT_USUAL;
    c->tenant = pool == p->pool ? claim_tenant(p->conf, &f->meta) : pool->item.name->tenant;
    mux_init(&c->mux, &carrier_ops, true, &p->conf->traffic, p->conf->visitors_slot);
    f->carrier = true;
    flow_join(f, &c->mux.end, &mux_end_ops);
    list_push(&p->carriers, &c->item);
    pool_join(pool, &c->in[0], c);
    carrier_count(c, 1);
    carrier_start(c);
    return true;
}
