#include "routing/seat.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "routing/sniff.h"

struct seat {
    struct end end;
    struct dispatcher *dispatcher;
    ev_timer patience;
    void *look_up;                /* that runs; NULL: none */
    bool sniffs;                  /* the first bytes may still say something */
    const char *protocol;         /* what they said; NULL: nothing */
    size_t head_len;              /* the same: so many of them are an HTTP request's head */
    char name[ADDR_NAME_MAX + 1]; /* the same; "": no name that counts */
    size_t given_len;             /* meta's head, which does not outlive dispatch() */
    char given[];
};

/* --- what is not known --- */

static bool is_reserved(const struct dispatcher *d, const char *name)
{
    return name && strings_have(d->reserved, name);
}

/* A mask of what can be found in the flow's bytes and has a name that counts. */
static unsigned names_wanted(const struct meta *m)
{
    static const unsigned in_packets = SNIFF_QUIC;
    const struct sniff_conf *c = m->sniffing;
    if (c->ips_excluded && cidr_set_match(c->ips_excluded, &m->target))
        return 0;
    return c->names & (m->net == NET_UDP ? in_packets : ~in_packets);
}

/* Which facts the first bytes may bring. */
static unsigned sniff_facts(const struct meta *m)
{
    unsigned facts = FACT_PROTOCOL;
    if (names_wanted(m))
        facts |= FACT_NAME;
    if (m->net == NET_TCP && !m->head)
        facts |= FACT_HEAD;
    return facts;
}

/* Names that belong to this process are not looked up: there is nothing to find. */
static bool may_look_up(const struct dispatcher *d, const struct query *q)
{
    return d->strategy != AS_IS && d->resolver && q->name && !q->ips &&
           q->meta->target.type == ADDR_NAME && !q->meta->no_look_up && !is_reserved(d, q->name);
}

static bool lacks_sniffing(const struct dispatcher *d, const struct query *q)
{
    const struct meta *m = q->meta;
    if (!m->sniffing || is_reserved(d, q->name))
        return false;
    if (names_wanted(m) && !m->sniffing->route_only)
        return true;
    unsigned facts = sniff_facts(m);
    return rules_lack(d->rules, q, facts | (may_look_up(d, q) ? FACT_IPS : 0)) & facts;
}

/* V2Ray looks names up when it meets the first rule for IPs, or when no rule matched. Addresses can only
 * make a rule match that did not before; where none of those that are asked has IPs, nothing changes. */
static bool lacks_ips(const struct dispatcher *d, const struct query *q)
{
    return may_look_up(d, q) && (d->strategy == IP_ON_DEMAND || !rules_match(d->rules, q)) &&
           rules_lack(d->rules, q, FACT_IPS);
}

enum seat_need seat_needed(const struct dispatcher *d, const struct query *q)
{
    if (lacks_sniffing(d, q))
        return SEAT_SNIFFS;
    return lacks_ips(d, q) ? SEAT_LOOKS_UP : SEAT_NONE;
}

/* --- its end --- */

static void seat_free(struct seat *s)
{
    ev_timer_stop(s->dispatcher->loop->ev, &s->patience);
    if (s->look_up)
        s->dispatcher->resolver->cancel(s->look_up);
    free(s);
}

static void seat_leave(struct seat *s)
{
    end_leave(&s->end, NULL);
    seat_free(s);
}

/* --- the first bytes --- */

/* They lie in one buf, or are copied together into the loop's scratch memory. */
static struct cursor seat_bytes(const struct seat *s)
{
    const struct buf *b = end_peek(&s->end);
    if (!b || !b->next)
        return b ? cur_of(b->data, b->len) : (struct cursor){0};
    struct writer w = wr_of(end_loop(&s->end)->scratch, SNIFF_MAX);
    for (; b; b = b->next) {
        size_t room = (size_t)(w.end - w.p);
        wr_bytes(&w, b->data, b->len < room ? b->len : room);
    }
    return cur_of(w.start, wr_len(&w));
}

static enum step seat_sniff(const struct seat *s, struct sniffed *found)
{
    struct cursor datagrams[SNIFF_DATAGRAMS];
    size_t count = 0;
    if (!s->end.flow->packets) {
        struct cursor bytes = seat_bytes(s);
        return sniff_stream(bytes.p, cur_left(&bytes), found);
    }
    for (const struct buf *b = end_peek(&s->end); b && count < SNIFF_DATAGRAMS; b = b->next)
        datagrams[count++] = cur_of(b->data, b->len);
    return sniff_datagrams(datagrams, count, found);
}

/* A stranger's bytes can name anything: not what makes a carrier, speaks to one, or asks for mux. */
static bool name_counts(const struct seat *s, const struct sniffed *found)
{
    const struct meta *m = &s->end.flow->meta;
    const struct domain_set *excluded = m->sniffing->domains_excluded;
    if (!*found->name || !(names_wanted(m) & found->kind))
        return false;
    if (is_reserved(s->dispatcher, found->name)) {
        stat_add(s->dispatcher->loop->counters, STAT_names_refused, 1);
        return false;
    }
    return !excluded || !domain_set_match(excluded, found->name);
}

static void seat_redirect(struct seat *s)
{
    struct meta *m = &s->end.flow->meta;
    struct addr to = {.type = ADDR_NAME, .port = m->target.port};
    memcpy(to.name, s->name, sizeof s->name);
    if (addr_equal(&to, &m->target))
        return; /* it was asked for */
    m->target = to;
    m->guessed = true;
}

static void seat_use(struct seat *s, const struct sniffed *found)
{
    s->protocol = sniff_protocol(found->kind);
    s->head_len = found->head_len;
    log_debug(s->end.flow->id, "sniffed %s \"%s\"", s->protocol, found->name);
    if (!name_counts(s, found))
        return;
    memcpy(s->name, found->name, sizeof s->name);
    if (!s->end.flow->meta.sniffing->route_only)
        seat_redirect(s);
}

/* --- the choice --- */

/* name: as for query_of(). What was sniffed lies in the flow still, or again in scratch memory. */
static struct query seat_query(const struct seat *s, char name[ADDR_NAME_MAX + 1])
{
    struct query q = query_of(&s->end.flow->meta, name);
    q.protocol = s->protocol;
    if (*s->name)
        q.name = s->name;
    if (s->given_len) {
        q.head = s->given;
        q.head_len = s->given_len;
    } else if (s->head_len) {
        q.head = (const char *)seat_bytes(s).p;
        q.head_len = s->head_len;
    }
    return q;
}

static void seat_choose(struct seat *s, const struct addr *ips, size_t count)
{
    char name[ADDR_NAME_MAX + 1];
    struct dispatcher *d = s->dispatcher;
    struct flow *f = s->end.flow;
    struct query q = seat_query(s, name);
    q.ips = ips;
    q.ip_count = count;
    const struct rule *r = rules_match(d->rules, &q);
    end_vacate(&s->end);
    seat_free(s);
    dispatch_by(d, f, r);
}

void seat_resolved(struct seat *s, const struct addr *ips, size_t count)
{
    s->look_up = NULL;
    seat_choose(s, ips, count);
}

static void seat_wait(struct seat *s, int ms)
{
    struct ev_loop *ev = s->dispatcher->loop->ev;
    ev_timer_stop(ev, &s->patience);
    ev_timer_set(&s->patience, ms / 1000.0, 0);
    ev_timer_start(ev, &s->patience);
}

/* All that the bytes can say is known. */
static void seat_go_on(struct seat *s)
{
    char name[ADDR_NAME_MAX + 1];
    const struct dispatcher *d = s->dispatcher;
    struct query q = seat_query(s, name);
    s->sniffs = false;
    if (lacks_ips(d, &q))
        s->look_up = d->resolver->start(d->loop, q.name, s);
    if (s->look_up)
        seat_wait(s, SEAT_LOOK_UP_MS);
    else
        seat_choose(s, NULL, 0);
}

static void seat_look(struct seat *s)
{
    struct sniffed found;
    enum step step = seat_sniff(s, &found);
    if (step == STEP_MORE && !s->end.flow->pipes[1].eof)
        return;
    if (step == STEP_DONE)
        seat_use(s, &found);
    seat_go_on(s);
}

static void on_wake(struct end *e)
{
    struct seat *s = container_of(e, struct seat, end);
    if (end_failed(e) || (end_peer_left(e) && !end_has(e)))
        seat_leave(s);
    else if (s->sniffs)
        seat_look(s);
}

static const struct end_ops seat_ops = {.wake = on_wake};

static void on_patience(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct seat *s = t->data;
    if (s->sniffs)
        seat_go_on(s);
    else
        seat_choose(s, NULL, 0);
}

/* --- its beginning --- */

static struct seat *seat_new(struct dispatcher *d, struct meta *m)
{
    size_t len = m->head ? m->head_len : 0;
    struct seat *s = calloc(1, sizeof *s + len);
    if (!s)
        return NULL;
    s->dispatcher = d;
    s->given_len = len;
    if (len)
        memcpy(s->given, m->head, len);
    ev_init(&s->patience, on_patience);
    s->patience.data = s;
    return s;
}

void seat_take(struct dispatcher *d, struct flow *f, enum seat_need need)
{
    struct seat *s = seat_new(d, &f->meta);
    if (!s) {
        struct err why;
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
        return;
    }
    s->sniffs = need == SEAT_SNIFFS;
    f->meta.head = NULL;
    f->meta.head_len = 0;
    flow_join(f, &s->end, &seat_ops);
    if (!s->sniffs) {
        seat_go_on(s);
        return;
    }
    end_ask(&s->end);
    seat_wait(s, SEAT_SNIFF_MS);
}

void seats_move(struct dispatcher *from, struct dispatcher *to, const char *inbound_tag)
{
    const struct list *flows = &from->loop->flows;
    for (struct list_item *i = list_first(flows); i; i = list_next(flows, i)) {
        const struct flow *f = container_of(i, struct flow, item);
        if (!f->ends[1] || f->ends[1]->ops != &seat_ops || f->meta.inbound_tag != inbound_tag)
            continue;
        struct seat *s = container_of(f->ends[1], struct seat, end);
        if (s->dispatcher == from)
            s->dispatcher = to;
    }
}
