#include "conf/worker.h"

#include <stdlib.h>

#include "conf/clustered.h"
#include "conf/instance.h"
#include "core/log.h"
#include "reverse/mux_outbound.h"
#include "routing/seat.h"
#include "transport/resolve.h"

/* --- the loop --- */

static const struct rules no_rules;

static void on_looked_up(void *seat, const struct resolve_answer *a)
{
    seat_resolved(seat, a->addrs, a->count);
}

static void *look_up(struct loop *l, const char *name, struct seat *s)
{
    return resolve_start(l, name, DIAL_ANY, on_looked_up, s);
}

static void look_up_cancel(void *query)
{
    resolve_cancel(query);
}

static const struct resolver resolver = {.start = look_up, .cancel = look_up_cancel};

static void on_count(struct ev_loop *ev, ev_timer *t, int events);

static const double COUNT = 0.05; /* seconds between two looks at what is open */

int worker_init(struct worker *w, unsigned index, struct worker_shared *shared, struct err *e)
{
    *w = (struct worker){.shared = shared, .visitors = SIZE_MAX};
    if (loop_init(&w->loop, index, STATS_MAX, e) < 0)
        return -1;
    struct outbound *mux = mux_outbound_new(&w->loop, &w->dispatcher);
    if (!mux || dns_way_init(&w->dns, &w->loop, &w->dispatcher, e) < 0) {
        dns_way_fini(&w->dns);
        if (mux)
            mux->ops->free(mux);
        loop_fini(&w->loop);
        return err_set(e, ENOMEM, "out of memory");
    }
    w->loop.bufs.budget = &shared->budget;
    w->dispatcher = (struct dispatcher){
        .loop = &w->loop, .rules = &no_rules, .mux = mux, .resolver = &resolver};
    w->closed = w->api_way =
        (struct dispatcher){.loop = &w->loop, .rules = &no_rules, .resolver = &resolver};
    retirement_init(&w->retirement, &w->loop);
    sem_init(&w->answered, 0, 0);
    ev_timer_init(&w->count, on_count, 0, COUNT);
    w->count.data = w;
    return 0;
}

void worker_run(struct worker *w)
{
    loop_run(&w->loop);
}

/* --- asking --- */

static void on_call(struct task *t)
{
    struct worker *w = container_of(t, struct worker, call);
    w->answer = w->asked(w, w->with);
    sem_post(&w->answered);
}

void worker_ask(struct worker *w, int (*f)(struct worker *w, void *with), void *with)
{
    w->asked = f;
    w->with = with;
    w->call.run = on_call;
    loop_post(&w->loop, &w->call);
}

int worker_answer(struct worker *w)
{
    while (sem_wait(&w->answered) < 0)
        ;
    return w->answer;
}

static int stop(struct worker *w, void *with)
{
    (void)with;
    loop_stop(&w->loop);
    return 0;
}

void worker_stop(struct worker *w)
{
    worker_ask(w, stop, NULL);
}

/* --- from one configuration to the next --- */

static void installation_free_lists(struct installation *i)
{
    free(i->outbounds);
    free(i->inbounds);
    free(i->bridges);
    free(i->watches);
    *i = (struct installation){0};
}

static int installation_init(struct installation *i, struct generation *g)
{
    const struct config *c = g->config;
    *i = (struct installation){
        .outbounds = calloc(c->outbound_count + 1, sizeof(struct outbound *)),
        .inbounds = calloc(c->inbound_count + 1, sizeof(struct inbound *)),
        .bridges = calloc(c->bridge_count + 1, sizeof(struct inbound *)),
        .watches = calloc(c->bridge_count + c->outbound_count + 1, sizeof *i->watches),
    };
    if (!i->outbounds || !i->inbounds || !i->bridges || !i->watches)
        return -1;
    i->generation = generation_ref(g);
    return 0;
}

static void installation_watch(struct installation *i, bool elsewhere)
{
    const struct config *c = i->generation->config;
    for (size_t n = 0; n < c->bridge_count; n++)
        i->watches[i->watch_count++] =
            (struct api_watch){.kind = "bridge",
                               .tag = c->bridges[n].tag,
                               .carriers_slot = c->bridges[n].carriers_slot,
                               .visitors_slot = -1};
    for (size_t n = 0; n < c->outbound_count; n++) {
        const struct portal_conf *portal = c->outbounds[n].portal;
        if (c->outbounds[n].kind == OUT_PORTAL)
            i->watches[i->watch_count++] =
                (struct api_watch){.kind = "portal",
                                   .tag = portal->tag,
                                   .carriers_slot = portal->carriers_slot,
                                   .visitors_slot = portal->visitors_slot,
                                   .elsewhere = elsewhere};
    }
}

static int prepare_outbounds(struct worker *w, const struct plan *p, struct err *e)
{
    const struct config *c = p->to->config;
    for (size_t i = 0; i < c->outbound_count; i++) {
        struct outbound *kept =
            p->outbounds[i] == PLAN_NEW ? NULL : w->now.outbounds[p->outbounds[i]];
        w->next.outbounds[i] = kept ? kept : outbound_make(w, p->to, i);
        if (!w->next.outbounds[i])
            return err_set(e, ENOMEM, "outbound \"%s\": out of memory", c->outbounds[i].tag);
    }
    return 0;
}

static int prepare_inbounds(struct worker *w, const struct plan *p, struct err *e)
{
    const struct config *c = p->to->config;
    for (size_t i = 0; i < c->inbound_count; i++) {
        struct inbound *kept = p->inbounds[i] == PLAN_NEW ? NULL : w->now.inbounds[p->inbounds[i]];
        w->next.inbounds[i] = kept ? kept : inbound_make(w, p->to, i);
        if (!w->next.inbounds[i])
            return err_set(e, ENOMEM, "inbound \"%s\": out of memory", c->inbounds[i].tag);
    }
    return 0;
}

/* One worker observes for all. */
static int prepare_prober(struct worker *w, const struct plan *p, struct err *e)
{
    const struct config *c = p->to->config;
    if (w->loop.index > 0 || c->observatory.count == 0)
        return 0;
    w->next.prober = prober_new(&w->loop, &c->observatory, w->next.outbounds, config_policy(c, 0));
    return w->next.prober ? 0 : err_set(e, ENOMEM, "observatory: out of memory");
}

int worker_prepare(struct worker *w, const struct plan *p, struct err *e)
{
    if (installation_init(&w->next, p->to) < 0) {
        installation_free_lists(&w->next);
        return err_set(e, ENOMEM, "out of memory");
    }
    installation_watch(&w->next, w->cluster);
    if (prepare_outbounds(w, p, e) == 0 && prepare_inbounds(w, p, e) == 0 &&
        prepare_prober(w, p, e) == 0)
        return 0;
    worker_abandon(w, p);
    return -1;
}

void worker_abandon(struct worker *w, const struct plan *p)
{
    const struct config *c = p->to->config;
    struct installation *i = &w->next;
    if (!i->generation)
        return;
    for (size_t n = 0; n < c->inbound_count; n++)
        if (i->inbounds[n] && p->inbounds[n] == PLAN_NEW)
            i->inbounds[n]->ops->free(i->inbounds[n]);
    for (size_t n = 0; n < c->outbound_count; n++)
        if (i->outbounds[n] && p->outbounds[n] == PLAN_NEW)
            i->outbounds[n]->ops->free(i->outbounds[n]);
    prober_free(i->prober);
    generation_unref(i->generation);
    installation_free_lists(i);
}

static void change_outbounds(struct worker *w, const struct plan *p)
{
    const struct config *c = p->to->config;
    for (size_t i = 0; i < c->outbound_count; i++) {
        struct outbound *out = w->next.outbounds[i];
        if (p->outbounds[i] != PLAN_NEW)
            outbound_adopt(out, c, &c->outbounds[i]);
        else if (c->outbounds[i].kind == OUT_PORTAL)
            worker_join(w, out);
        outbound_settle(w, out, c, i);
    }
    w->dispatcher.rules = &c->rules;
    w->dispatcher.strategy = c->strategy;
    w->dispatcher.reserved = &c->reserved;
    w->dispatcher.links = &c->links;
    w->dispatcher.outbounds = w->next.outbounds;
    w->dispatcher.count = c->outbound_count;
    w->dispatcher.balancers = &c->balancers;
    w->dispatcher.fallback = c->has_default ? w->next.outbounds[0] : NULL;
    w->api_way.fallback = NULL;
    for (size_t i = 0; i < c->outbound_count; i++)
        if (c->outbounds[i].kind == OUT_API)
            w->api_way.fallback = w->next.outbounds[i];
}

static void change_inbounds(struct worker *w, const struct plan *p)
{
    const struct config *c = p->to->config;
    for (size_t i = 0; i < c->inbound_count; i++)
        if (p->inbounds[i] != PLAN_NEW)
            inbound_adopt(w, w->next.inbounds[i], p->to, i);
        else
            inbound_open(w, w->next.inbounds[i], &p->doors[i]);
}

static void change_bridges(struct worker *w, const struct plan *p)
{
    const struct config *c = p->to->config;
    for (size_t i = 0; i < c->bridge_count; i++) {
        struct inbound *kept = p->bridges[i] == PLAN_NEW ? NULL : w->now.bridges[p->bridges[i]];
        if (kept)
            bridge_renew(kept, c, i);
        w->next.bridges[i] = p->bridges[i] == PLAN_NEW ? bridge_make(w, c, i) : kept;
    }
}

static void change_dns(struct worker *w, const struct plan *p)
{
    const struct config *from = p->from ? p->from->config : NULL, *to = p->to->config;
    bool same = from && !from->dns == !to->dns && digest_equal(&from->dns_digest, &to->dns_digest);
    resolve_configure(&w->loop, to->dns, same);
}

static void drain_inbound(struct inbound *in)
{
    if (in && in->ops->drain)
        in->ops->drain(in);
}

/* Listeners take who waits there, by the rules under which he came. */
static void drain_old(struct worker *w, const struct plan *p)
{
    const struct config *from = p->from->config, *to = p->to->config;
    for (size_t i = 0; i < from->inbound_count; i++)
        if (!plan_keeps(p->inbounds, to->inbound_count, i))
            drain_inbound(w->now.inbounds[i]);
    for (size_t i = 0; i < from->bridge_count; i++)
        if (!plan_keeps(p->bridges, to->bridge_count, i))
            drain_inbound(w->now.bridges[i]);
}

/* What it still brings goes by the new rules, or nowhere when they cannot know it. */
static void end_inbound(struct worker *w, const struct plan *p, struct inbound *in)
{
    bool gone = !config_has_inbound(p->to->config, in->tag);
    in->dispatcher = gone ? &w->closed : &w->dispatcher;
    if (gone)
        seats_move(&w->dispatcher, &w->closed, in->tag);
    retire_inbound(&w->retirement, in, gone, p->to->config->drain, p->from);
}

static void end_outbound(struct worker *w, const struct plan *p, struct outbound *out)
{
    bool gone = !config_has_outbound(p->to->config, out->tag);
    if (out->ops->drain)
        out->ops->drain(out);
    retire_outbound(&w->retirement, out, gone, p->to->config->drain, p->from);
}

static void end_old(struct worker *w, const struct plan *p)
{
    const struct config *from = p->from->config, *to = p->to->config;
    for (size_t i = 0; i < from->inbound_count; i++)
        if (!plan_keeps(p->inbounds, to->inbound_count, i))
            end_inbound(w, p, w->now.inbounds[i]);
    for (size_t i = 0; i < from->bridge_count; i++)
        if (w->now.bridges[i] && !plan_keeps(p->bridges, to->bridge_count, i))
            end_inbound(w, p, w->now.bridges[i]);
    for (size_t i = 0; i < from->outbound_count; i++)
        if (!plan_keeps(p->outbounds, to->outbound_count, i)) {
            if (from->outbounds[i].kind == OUT_PORTAL)
                worker_unjoin(w, w->now.outbounds[i]);
            end_outbound(w, p, w->now.outbounds[i]);
        }
}

static void change_view(struct worker *w)
{
    w->view = (struct api_view){.stats = &w->now.generation->config->stats,
                                .counters = w->shared->counters,
                                .bases = w->shared->bases,
                                .loops = w->shared->count,
                                .watches = w->now.watches,
                                .watch_count = w->now.watch_count,
                                .started = w->shared->started,
                                .conf = w->now.generation->config->api,
                                .taker = w->shared->taker,
                                .unready = clustered_unready,
                                .with = w->shared};
}

static void change_prober(struct worker *w)
{
    prober_free(w->now.prober);
    if (w->next.prober)
        prober_start(w->next.prober);
}

/* The new inbounds come before the old ones drain, which thus have already given away their sockets. */
void worker_change(struct worker *w, const struct plan *p)
{
    change_inbounds(w, p);
    change_dns(w, p);
    if (p->from)
        drain_old(w, p);
    change_outbounds(w, p);
    change_bridges(w, p);
    change_prober(w);
    retirement_renew(&w->retirement, p->to->config, &w->dispatcher, &w->closed);
    if (p->from)
        end_old(w, p);
    generation_unref(w->now.generation);
    installation_free_lists(&w->now);
    w->now = w->next;
    w->next = (struct installation){0};
    change_view(w);
}

/* --- the end --- */

static const double GREETINGS = 1;       /* seconds for who has connected but not greeted */
static const double DATAGRAMS_QUIET = 5; /* seconds; then datagrams are no longer waited for */

static bool is_visitor(const struct flow *f, double now)
{
    return !f->carrier && !f->twin && !(f->packets && now - f->active > DATAGRAMS_QUIET);
}

static size_t worker_visitors(const struct worker *w)
{
    const struct config *c = w->now.generation->config;
    double now = loop_steady();
    size_t count = 0;
    for (struct list_item *i = list_first(&w->loop.flows); i; i = list_next(&w->loop.flows, i))
        count += is_visitor(container_of(i, struct flow, item), now);
    for (size_t i = 0; now - w->drained < GREETINGS && i < c->inbound_count; i++) {
        const struct inbound *in = w->now.inbounds[i];
        count += in->ops->busy && in->ops->busy(in);
    }
    for (size_t i = 0; i < c->outbound_count; i++) {
        const struct outbound *out = w->now.outbounds[i];
        count += out->ops->tells && out->ops->tells(out);
    }
    return count;
}

static size_t worker_links(const struct worker *w)
{
    const struct list *flows = &w->loop.flows, *others = &w->loop.stragglers;
    size_t count = 0;
    for (struct list_item *i = list_first(flows); i; i = list_next(flows, i))
        count += container_of(i, struct flow, item)->carrier;
    for (struct list_item *i = list_first(others); i; i = list_next(others, i))
        count += container_of(i, struct straggler, item)->of_link;
    return count;
}

static void on_count(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct worker *w = t->data;
    atomic_store_explicit(&w->visitors, w->parted ? worker_links(w) : worker_visitors(w),
                          memory_order_relaxed);
}

static void drain_outbounds(struct worker *w, bool portals_only)
{
    const struct config *c = w->now.generation->config;
    for (size_t i = 0; i < c->outbound_count; i++) {
        struct outbound *out = w->now.outbounds[i];
        if (out->ops->drain && (!portals_only || c->outbounds[i].kind == OUT_PORTAL))
            out->ops->drain(out);
    }
}

void worker_leave(struct worker *w)
{
    cluster_drain(w->cluster);
    drain_outbounds(w, true);
}

void worker_drain(struct worker *w)
{
    const struct config *c = w->now.generation->config;
    w->drained = loop_steady();
    prober_free(w->now.prober);
    w->now.prober = NULL;
    for (size_t i = 0; i < c->inbound_count; i++)
        drain_inbound(w->now.inbounds[i]);
    for (size_t i = 0; i < c->bridge_count; i++)
        drain_inbound(w->now.bridges[i]);
    drain_outbounds(w, false);
    on_count(w->loop.ev, &w->count, 0);
    ev_timer_again(w->loop.ev, &w->count);
}

/* Everything goes, in the order in which it depends on each other. */
static void installation_clear(struct worker *w, struct installation *i)
{
    const struct config *c = i->generation->config;
    prober_free(i->prober);
    for (size_t n = 0; n < c->outbound_count; n++)
        if (c->outbounds[n].kind == OUT_PORTAL)
            worker_unjoin(w, i->outbounds[n]);
    for (size_t n = 0; n < c->inbound_count; n++)
        i->inbounds[n]->ops->free(i->inbounds[n]);
    for (size_t n = 0; n < c->bridge_count; n++)
        if (i->bridges[n])
            i->bridges[n]->ops->free(i->bridges[n]);
    for (size_t n = 0; n < c->outbound_count; n++)
        i->outbounds[n]->ops->free(i->outbounds[n]);
    generation_unref(i->generation);
    installation_free_lists(i);
}

static void worker_clear_instances(struct worker *w)
{
    struct outbound *mux = w->dispatcher.mux;
    w->dispatcher = w->api_way = w->closed;
    retirement_fini(&w->retirement);
    if (w->now.generation)
        installation_clear(w, &w->now);
    if (w->cluster)
        cluster_free(w->cluster);
    w->cluster = NULL;
    if (mux)
        mux->ops->free(mux);
}

void worker_part(struct worker *w)
{
    w->parted = generation_ref(w->now.generation);
    worker_clear_instances(w);
    on_count(w->loop.ev, &w->count, 0);
}

void worker_clear(struct worker *w)
{
    struct err why;
    err_set(&why, ECANCELED, "v2c stops");
    ev_timer_stop(w->loop.ev, &w->count);
    resolve_configure(&w->loop, NULL, false);
    worker_clear_instances(w);
    flows_abort(&w->loop, &why);
    generation_unref(w->parted);
}

bool worker_settle(struct worker *w)
{
    return loop_finish(&w->loop);
}

void worker_fini(struct worker *w)
{
    loop_drop_stragglers(&w->loop);
    resolve_stop(&w->loop);
    dns_way_fini(&w->dns);
    sem_destroy(&w->answered);
    loop_fini(&w->loop);
}
