#include "testing/mux_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mux/link.h"

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

/* --- the loop --- */

void rig_init(struct rig *r)
{
    struct err e;
    *r = (struct rig){.policy = POLICY_DEFAULT};
    demand(loop_init(&r->loop, 0, RIG_SLOTS, &e) == 0);
}

/* With `busy` running, each pass returns at once. */
void rig_turn(struct rig *r)
{
    for (int i = 0; i < 2 || loop_is_busy(&r->loop); i++)
        ev_run(r->loop.ev, EVRUN_NOWAIT);
}

int64_t rig_stat(struct rig *r, int slot)
{
    struct counter *const counters[] = {r->loop.counters};
    return stat_sum(counters, 1, (unsigned)slot);
}

bool rig_fini(struct rig *r)
{
    for (struct far *f = r->fars; f; f = f->next)
        if (f->flow && !f->left)
            far_leave(f, ECANCELED);
    rig_turn(r);
    bool clean = rig_stat(r, STAT_flows_live) == 0 && !list_first(&r->loop.flows);
    while (r->fars) {
        struct far *f = r->fars;
        r->fars = f->next;
        free(f->bytes);
        free(f);
    }
    loop_fini(&r->loop);
    return clean;
}

/* --- a test's end --- */

struct far *far_new(struct rig *r)
{
    struct far *f = calloc(1, sizeof *f);
    demand(f != NULL);
    f->next = r->fars;
    r->fars = f;
    return f;
}

static void far_record(struct far *f, const struct buf *b)
{
    if (f->room - f->len < b->len) {
        f->room = 2 * f->room + b->len;
        f->bytes = realloc(f->bytes, f->room);
        demand(f->bytes != NULL);
    }
    if (b->len)
        memcpy(f->bytes + f->len, b->data, b->len);
    f->len += b->len;
    if (f->flow->packets && f->packets < RIG_PACKETS)
        f->packet_len[f->packets++] = b->len;
}

void far_leave(struct far *f, int code)
{
    struct err why;
    err_set(&why, code, "the test says so");
    f->left = true;
    f->failed = end_failed(&f->end);
    f->was_opened = end_is_opened(&f->end);
    f->tries = f->flow->tries;
    snprintf(f->why, sizeof f->why, "%s", f->failed ? f->flow->why : "");
    end_leave(&f->end, &why);
}

static void far_wake(struct end *e)
{
    struct far *f = container_of(e, struct far, end);
    struct buf *b;
    while (!f->refuses && (b = end_take(e))) {
        far_record(f, b);
        buf_free(&end_loop(e)->bufs, b);
    }
    f->eof = end_at_eof(e);
    if (end_failed(e) || (f->eof && (end_peer_left(e) || end_sent_eof(e))))
        far_leave(f, 0);
}

static void far_drain(struct end *e)
{
    container_of(e, struct far, end)->drains++;
}

static const struct end_ops far_ops = {.wake = far_wake, .drain = far_drain};

struct flow *far_flow(struct rig *r, struct far *f, const struct meta *m)
{
    struct flow *flow = flow_new(&r->loop, &f->end, &far_ops, m, &r->policy);
    demand(flow != NULL);
    return f->flow = flow;
}

void far_join(struct far *f, struct flow *flow)
{
    f->flow = flow;
    flow_join(flow, &f->end, &far_ops);
}

void far_say(struct far *f, const void *bytes, size_t len)
{
    if (!f->left)
        demand(end_write(&f->end, bytes, len));
}

void far_put_packet(struct far *f, const void *bytes, size_t len)
{
    struct buf *b = buf_new(&f->flow->loop->bufs);
    demand(b && len <= BUF_DATA);
    buf_append(b, bytes, len);
    end_put(&f->end, b);
}

void far_read_on(struct far *f)
{
    f->refuses = false;
    end_wake(&f->end);
}

bool far_next_frame(struct far *f, struct mux_frame *frame, const uint8_t **data)
{
    struct err e;
    if (f->len == f->read)
        return false;
    struct cursor c = cur_of(f->bytes + f->read, f->len - f->read);
    if (mux_frame_read(&c, frame, &e) != STEP_DONE)
        return false;
    *data = c.p;
    if (!cur_skip(&c, frame->data_len))
        return false;
    f->read = (size_t)(c.p - f->bytes);
    return true;
}

void far_say_frame(struct far *f, const struct mux_frame *frame, const void *data)
{
    uint8_t head[MUX_HEAD_MAX];
    struct writer w = wr_of(head, sizeof head);
    mux_frame_write(&w, frame);
    far_say(f, head, wr_len(&w));
    if (frame->data_len)
        far_say(f, data, frame->data_len);
}

void far_reached(struct far *f)
{
    if (!f->left)
        end_opened(&f->end);
}

void far_say_item(struct far *f, const struct link_item *i)
{
    uint8_t message[LINK_MAX];
    struct writer w = wr_of(message, sizeof message);
    link_write_magic(&w);
    link_write(&w, i);
    far_say_frame(f,
                  &(struct mux_frame){.status = MUX_KEEPALIVE,
                                      .option = MUX_DATA,
                                      .data_len = (uint16_t)wr_len(&w)},
                  message);
}

/* By hand: link_write() has no version 1. */
void far_say_hello(struct far *f, uint16_t datagram_max)
{
    uint8_t message[] = {'v', '2', 'c', '1', LINK_HELLO, 0, 3, 1, 0, 0};
    struct writer w = wr_of(message + 8, 2);
    wr_be16(&w, datagram_max);
    far_say_frame(f,
                  &(struct mux_frame){
                      .status = MUX_KEEPALIVE, .option = MUX_DATA, .data_len = sizeof message},
                  message);
}

void far_say_features(struct far *f, uint16_t features, uint32_t window)
{
    far_say_item(f, &(struct link_item){.type = LINK_HELLO,
                                        .hello = {.version = LINK_VERSION,
                                                  .datagram_max = BUF_DATA,
                                                  .features = features,
                                                  .window = window,
                                                  .streams = MUX_STREAMS_MAX}});
}

/* --- a mux's owner --- */

static struct peer *peer_of(struct mux *m)
{
    return container_of(m, struct peer, mux);
}

static void tell(struct mux *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct mux *m, const char *format, ...)
{
    struct peer *p = peer_of(m);
    size_t len = strlen(p->told);
    va_list args;
    va_start(args, format);
    vsnprintf(p->told + len, sizeof p->told - len, format, args);
    va_end(args);
}

static void tell_route(struct mux *m, const struct link_route *r)
{
    tell(m, "routed %llu %llu %u %u %.*s/%.*s\n", (unsigned long long)r->portal,
         (unsigned long long)r->epoch, r->by_claim, r->tunnel.by, r->tunnel.tenant.len,
         r->tunnel.tenant.p, r->tunnel.name.len, r->tunnel.name.p);
}

static int on_opened(struct mux *m, const struct mux_frame *frame)
{
    struct peer *p = peer_of(m);
    const struct meta meta = {.net = frame->net, .target = frame->target, .inbound_tag = "server"};
    if (p->refuses || p->opened_count == sizeof p->opened / sizeof *p->opened)
        return p->refuses ? p->refuses : REFUSED_NO_ROOM;
    struct flow *flow = mux_accept(m, frame, &meta, &p->rig->policy);
    p->full += !flow;
    if (!flow)
        return REFUSED_NO_ROOM;
    struct far *f = far_new(p->rig);
    far_join(f, flow);
    if (frame->routed)
        tell_route(m, &frame->route);
    p->frames[p->opened_count] = *frame;
    p->opened[p->opened_count++] = f;
    if (!p->slow)
        end_opened(&f->end);
    return 0;
}

static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    struct peer *p = peer_of(m);
    struct err why;
    err_set(&why, ECONNREFUSED, "not opened");
    p->unopened++;
    p->returned = refusal;
    p->tries = seat->flow->tries;
    if (!p->elsewhere || mux_is_ending(&p->elsewhere->mux) || p->tries == RIG_TRIES ||
        !mux_take_over(&p->elsewhere->mux, seat))
        end_leave(seat, &why);
}

static void on_answered(struct mux *m, int refusal)
{
    struct peer *p = peer_of(m);
    p->answered += refusal == 0;
    p->refused += refusal != 0;
    p->refusal = refusal;
}

static void on_going(struct mux *m, int reason, uint32_t wait)
{
    peer_of(m)->going++;
    peer_of(m)->wait = wait;
    peer_of(m)->reason = reason;
}

/* --- what it hears of names --- */

static void on_met(struct mux *m)
{
    tell(m, "met\n");
}

static void on_named(struct mux *m, const struct link_names *n)
{
    tell(m, "named %u %.*s/%.*s/%.*s\n", n->weight, n->node.len, n->node.p, n->cluster.len,
         n->cluster.p, n->tenant.len, n->tenant.p);
}

static void on_host_wanted(struct mux *m, struct link_text name)
{
    tell(m, "wanted %.*s\n", name.len, name.p);
}

static void on_host_answered(struct mux *m, struct link_text name, int answer)
{
    tell(m, "answered %.*s %d\n", name.len, name.p, answer);
}

static void on_weighed(struct mux *m, uint8_t weight)
{
    tell(m, "weighed %u\n", weight);
}

static void on_told_why(struct mux *m, struct link_text why)
{
    tell(m, "why %.*s\n", why.len, why.p);
}

static void on_node_told(struct mux *m, const struct link_node *n)
{
    tell(m, "node %.*s of %u\n", n->name.len, n->name.p, n->portals);
}

static void on_asked(struct mux *m, const struct link_question *q)
{
    tell(m, "asked %llu for %.*s%.*s\n", (unsigned long long)q->token, q->tunnel.name.len,
         q->tunnel.name.p, q->host.len, q->host.p);
}

static void on_answer_told(struct mux *m, const struct link_answer *a)
{
    tell(m, "answer %llu: %u, %u places\n", (unsigned long long)a->token, a->known, a->count);
}

static void on_place_told(struct mux *m, const struct addr *place)
{
    char text[ADDR_TEXT_MAX];
    tell(m, "at %s\n", addr_text(place, text));
}

static void on_silence(struct mux *m)
{
    peer_of(m)->silences++;
}

static void on_control(struct mux *m, const uint8_t *data, size_t len)
{
    (void)data;
    peer_of(m)->control_len += len;
    peer_of(m)->control_count++;
}

static void on_control_refused(struct mux *m)
{
    peer_of(m)->control_refused++;
}

static void on_alive(struct mux *m)
{
    demand(!peer_of(m)->alive);
    peer_of(m)->alive = true;
}

static void on_closed(struct mux *m, const struct err *why)
{
    demand(!peer_of(m)->closed);
    peer_of(m)->closed = true;
    peer_of(m)->why = why ? why->code : 0;
}

#define NAME_OPS                                                                                   \
    .met = on_met, .named = on_named, .host_wanted = on_host_wanted,                               \
    .host_answered = on_host_answered, .weighed = on_weighed, .told_why = on_told_why,             \
    .node_told = on_node_told, .asked = on_asked, .answer_told = on_answer_told,                   \
    .place_told = on_place_told

static const struct mux_ops client_ops = {
    NAME_OPS,          .unopened = on_unopened, .answered = on_answered,
    .going = on_going, .silence = on_silence,   .control_refused = on_control_refused,
    .alive = on_alive, .closed = on_closed};
static const struct mux_ops server_ops = {NAME_OPS,
                                          .opened = on_opened,
                                          .going = on_going,
                                          .silence = on_silence,
                                          .control = on_control,
                                          .alive = on_alive,
                                          .closed = on_closed};

void peer_init(struct rig *r, struct peer *p, bool client)
{
    static const struct traffic traffic = {.up = RIG_UP, .down = RIG_DOWN};
    *p = (struct peer){.rig = r};
    mux_init(&p->mux, client ? &client_ops : &server_ops, client, client ? &traffic : NULL,
             client ? RIG_VISITORS : -1);
}

static const struct meta carrier_meta = {.net = NET_TCP, .inbound_tag = "carrier"};

struct far *peer_wire(struct rig *r, struct peer *p)
{
    struct far *wire = far_new(r);
    if (p->mux.client) {
        flow_join(far_flow(r, wire, &carrier_meta), &p->mux.end, &mux_end_ops);
        return wire;
    }
    struct flow *f = flow_new(&r->loop, &p->mux.end, &mux_end_ops, &carrier_meta, &r->policy);
    demand(f != NULL);
    far_join(wire, f);
    return wire;
}

struct far *peer_visitor(struct peer *client, enum net net)
{
    return peer_visitor_to(client, net, 80);
}

struct far *peer_visitor_to(struct peer *client, enum net net, uint16_t port)
{
    struct meta m = {.net = net, .inbound_tag = "visitor"};
    struct err e;
    demand(addr_parse_host(&m.target, "target.example", 14, &e) == 0);
    m.target.port = port;
    struct far *f = far_new(client->rig);
    demand(mux_open(&client->mux, far_flow(client->rig, f, &m)));
    return f;
}

/* --- the relay --- */

static void relay_leave(struct relay *r, const struct err *why)
{
    for (int i = 0; i < 2; i++) {
        if (!r->left[i])
            end_leave(&r->ends[i], why);
        r->left[i] = true;
    }
}

static void relay_pass(struct relay *r, struct end *from, struct end *to, struct buf *b)
{
    while (b->len) {
        r->dice = r->dice * 1664525 + 1013904223;
        size_t part = 1 + (r->dice >> 8) % r->piece;
        if (part > b->len)
            part = b->len;
        struct buf *piece = buf_new(&end_loop(from)->bufs);
        demand(piece != NULL);
        buf_append(piece, b->data, part);
        /* One buf each, so that the mux sees the pieces: joined they would be whole again. */
        bufq_put(&to->flow->pipes[!to->side].q, piece);
        to->flow->pipes[!to->side].total += part;
        buf_pull(b, part);
    }
    end_wake(to->flow->ends[!to->side]);
    buf_free(&end_loop(from)->bufs, b);
}

static void relay_move(struct relay *r, struct end *from, struct end *to)
{
    struct buf *b;
    while (!end_peer_left(to) && end_room(to) && (b = end_take(from)))
        relay_pass(r, from, to, b);
    if (end_at_eof(from))
        end_eof(to);
}

static void relay_wake(struct relay *r)
{
    struct err why;
    if (end_failed(&r->ends[0]) || end_failed(&r->ends[1])) {
        err_set(&why, ECONNRESET, "the connection broke");
        relay_leave(r, &why);
        return;
    }
    if (r->paused)
        return;
    relay_move(r, &r->ends[0], &r->ends[1]);
    relay_move(r, &r->ends[1], &r->ends[0]);
    if ((end_at_eof(&r->ends[0]) && end_at_eof(&r->ends[1])) ||
        (end_peer_left(&r->ends[0]) && end_peer_left(&r->ends[1])))
        relay_leave(r, NULL);
}

static void on_first(struct end *e)
{
    relay_wake(container_of(e, struct relay, ends[0]));
}

static void on_second(struct end *e)
{
    relay_wake(container_of(e, struct relay, ends[1]));
}

static const struct end_ops first_ops = {.wake = on_first}, second_ops = {.wake = on_second};

void relay_go(struct relay *r)
{
    r->paused = false;
    if (!r->left[0])
        end_wake(&r->ends[0]);
}

struct relay *peers_join(struct rig *r, struct peer *client, struct peer *server, size_t piece)
{
    demand(r->relay_count < RIG_RELAYS);
    struct relay *y = &r->relays[r->relay_count++];
    *y = (struct relay){.piece = piece, .dice = (uint32_t)piece};
    struct flow *near = flow_new(&r->loop, &y->ends[0], &first_ops, &carrier_meta, &r->policy);
    struct flow *away =
        flow_new(&r->loop, &server->mux.end, &mux_end_ops, &carrier_meta, &r->policy);
    demand(near && away);
    flow_join(near, &client->mux.end, &mux_end_ops);
    flow_join(away, &y->ends[1], &second_ops);
    return y;
}
