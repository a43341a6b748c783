/* A mux, what its streams do, and a peer that says anything. Each byte of the input is an operation, and the
 * bytes behind it say how. The first byte: bit 0 the role, bit 1 we say HELLO, bit 2 small pipes, bit 3 streams
 * given back come to the same link; the second: the memory there is.
 * Laws: no two streams share an id; what peers may send is promised once and given back; a queue holds no more
 * than its window, or what a peer without windows may have; what the mux writes is frames; nothing is left. */
#include <stdlib.h>
#include <string.h>

#include "mux/session.h"
#include "testing/mux_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    VISITORS_MAX = 200,
    OPERATIONS_MAX = 3000,
    OVERFLOW = 4 * 1024 * 1024,
    FRAME_DATA_MAX = 65535,
};

struct run {
    struct rig rig;
    struct budget budget;
    size_t hog;
    struct peer peer;
    struct far *wire, *visitors[VISITORS_MAX];
    size_t visitor_count;
    struct cursor in;
    uint8_t *junk; /* FRAME_DATA_MAX bytes */
};

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static uint8_t next(struct run *r)
{
    uint8_t byte = 0;
    cur_u8(&r->in, &byte);
    return byte;
}

/* Of all sizes, the borders too. */
static uint32_t next_number(struct run *r)
{
    static const uint32_t some[] = {0,     1,     100,     8192,     16384,     32768,
                                    65535, 65536, 1 << 17, 16 << 20, INT32_MAX, UINT32_MAX};
    uint8_t byte = next(r);
    return byte < 200 ? byte * 331u : some[byte % (sizeof some / sizeof *some)];
}

/* Few, so that they meet. */
static uint16_t next_id(struct run *r)
{
    uint8_t byte = next(r);
    return byte == 255 ? 65535 : byte % 16;
}

/* --- what the peer says --- */

static void say_raw(struct run *r)
{
    struct cursor part;
    size_t len = next(r);
    if (len > cur_left(&r->in))
        len = cur_left(&r->in);
    if (cur_sub(&r->in, len, &part))
        far_say(r->wire, part.p, len);
}

static void say_item(struct run *r, uint8_t type)
{
    struct link_item i = {.type = type, .stream = next_id(r)};
    if (type == LINK_HELLO)
        i.hello = (struct link_hello){.version = (uint8_t)(1 + i.stream),
                                      .datagram_max = (uint16_t)next_number(r),
                                      .features = next(r),
                                      .window = next_number(r)};
    else if (type == LINK_WINDOW)
        i.credit = next_number(r);
    else if (type == LINK_REFUSED)
        i.refusal = next(r) % 6;
    else if (type == LINK_GOAWAY)
        i.going.wait = next_number(r);
    far_say_item(r->wire, &i);
}

static void say_frame(struct run *r, uint8_t status, uint8_t option)
{
    struct mux_frame f = {.id = next_id(r), .status = status, .option = option, .net = NET_TCP};
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {10, 9, 8, 7}};
    if (status == MUX_NEW && f.id % 4 == 3)
        f.net = NET_UDP;
    if (option & MUX_DATA)
        f.data_len = (uint16_t)next_number(r);
    far_say_frame(r->wire, &f, r->junk);
}

/* --- what the streams do --- */

static struct far *next_far(struct run *r)
{
    size_t count = r->peer.mux.client ? r->visitor_count : r->peer.opened_count;
    size_t i = count ? next(r) % count : 0;
    if (!count)
        return r->wire;
    return r->peer.mux.client ? r->visitors[i] : r->peer.opened[i];
}

static void open_visitor(struct run *r)
{
    enum net net = next(r) % 4 ? NET_TCP : NET_UDP;
    if (r->peer.mux.client && r->visitor_count < VISITORS_MAX && mux_ids_left(&r->peer.mux) &&
        !mux_is_ending(&r->peer.mux))
        r->visitors[r->visitor_count++] = peer_visitor(&r->peer, net);
}

static void say_some(struct run *r, struct far *f)
{
    size_t len = next_number(r) % (4 * BUF_DATA);
    if (f == r->wire || end_sent_eof(&f->end) || !end_room(&f->end))
        return;
    if (f->flow->packets)
        far_put_packet(f, r->junk, len % BUF_DATA);
    else
        far_say(f, r->junk, len);
}

static void move_far(struct run *r, struct far *f, uint8_t how)
{
    if (f->left)
        return;
    switch (how % 6) {
    case 0:
        f->refuses = true;
        return;
    case 1:
        far_read_on(f);
        return;
    case 2:
        if (f != r->wire && !end_sent_eof(&f->end))
            end_eof(&f->end);
        return;
    case 3:
        if (f != r->wire)
            far_leave(f, how & 64 ? ECONNRESET : 0);
        return;
    case 4:
        if (f->end.side == 1)
            far_reached(f);
        return;
    default:
        say_some(r, f);
    }
}

/* --- what time and memory do --- */

static void pass_time(struct run *r, double seconds)
{
    struct mux *m = &r->peer.mux;
    if (r->peer.closed)
        return;
    m->heard_at -= seconds;
    m->asked_at -= m->asked_at > 0 ? seconds : 0;
    if (ev_is_active(&m->answer))
        ev_invoke(r->rig.loop.ev, &m->answer, EV_TIMER);
    if (m->stalled && seconds > 1)
        ev_invoke(r->rig.loop.ev, &m->stall, EV_TIMER);
    if (ev_is_active(&m->look))
        ev_invoke(r->rig.loop.ev, &m->look, EV_TIMER);
}

static void use_memory(struct run *r, size_t percent)
{
    size_t hog = r->budget.limit / 100 * percent;
    budget_add(&r->budget, (ptrdiff_t)hog - (ptrdiff_t)r->hog);
    r->hog = hog;
}

static void owner_acts(struct run *r, uint8_t how)
{
    struct mux *m = &r->peer.mux;
    if (r->peer.closed)
        return;
    switch (how % 5) {
    case 0:
        mux_give_back(m, NULL, NULL);
        return;
    case 1:
        mux_say_going(m, GOING_STOPS, how);
        return;
    case 2:
        r->peer.refuses = how / 5 % 5;
        return;
    case 3:
        r->peer.slow = how & 64;
        return;
    case 4:
        if (how > 250)
            mux_close(m, NULL);
    }
}

static void operate(struct run *r, uint8_t what)
{
    static const uint8_t options[] = {0, MUX_DATA, MUX_EOF, MUX_DATA | MUX_EOF, MUX_ERROR};
    if (what < 8 && !r->wire->left)
        say_raw(r);
    else if (what < 70 && !r->wire->left)
        say_item(r, (uint8_t)(1 + what % 8));
    else if (what < 130 && !r->wire->left)
        say_frame(r, (uint8_t)(MUX_NEW + what % 3), options[what / 3 % 5]);
    else if (what < 200)
        move_far(r, next_far(r), what);
    else if (what < 206)
        move_far(r, r->wire, what % 2);
    else if (what < 216)
        open_visitor(r);
    else if (what < 222)
        pass_time(r, next(r) / 20.0);
    else if (what < 228)
        use_memory(r, next(r) % 130);
    else if (what < 238)
        owner_acts(r, next(r));
    else
        rig_turn(&r->rig);
}

/* --- what must hold --- */

static size_t queue_max(const struct run *r, const struct mux_session *s)
{
    size_t most = r->rig.policy.buffer_size + FRAME_DATA_MAX + BUF_BYTES;
    if (s->end.flow->packets)
        return 64 * BUF_BYTES;
    if (session_has_windows(s))
        most += s->window.granted < WINDOW_MAX ? s->window.granted : WINDOW_MAX;
    return most + OVERFLOW;
}

static void check(const struct run *r)
{
    const struct mux *m = &r->peer.mux;
    const struct mux_session *s;
    size_t promised = 0;
    unsigned live = 0;
    if (r->peer.closed) {
        demand(r->budget.promised == 0);
        return;
    }
    for (s = session_next(m, 0); s; s = session_next(m, s->id + 1u), live++) {
        demand(session_find(m, s->id) == s);
        demand(end_unread(&s->end) <= queue_max(r, s));
        demand(!s->kept || s->kept->len <= KEPT_MAX);
        demand(s->answered != list_holds(&s->unanswered) || !m->client);
        demand(s->window.size >= WINDOW_FIRST && s->window.size <= WINDOW_MAX);
        promised += s->window.size - WINDOW_FIRST;
    }
    demand(live == m->sessions);
    demand(r->budget.promised == (r->budget.limit ? promised : 0));
}

static void check_written(struct run *r)
{
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(r->wire, &f, &data))
        demand(f.status != MUX_NEW || r->peer.mux.client);
    demand(r->wire->read == r->wire->len || r->wire->left);
}

/* --- a run --- */

static void run_open(struct run *r, uint8_t how, uint8_t memory)
{
    rig_init(&r->rig);
    if (how & 4)
        r->rig.policy.buffer_size = 600;
    r->budget.limit = (size_t)(memory % 16) << (14 + memory / 32);
    r->rig.loop.bufs.budget = memory & 16 ? NULL : &r->budget;
    if (memory & 16)
        r->budget.limit = 0;
    peer_init(&r->rig, &r->peer, how & 1);
    r->wire = peer_wire(&r->rig, &r->peer);
    r->peer.elsewhere = how & 8 ? &r->peer : NULL;
    if (how & 2)
        mux_start(&r->peer.mux);
    rig_turn(&r->rig);
}

static void run_close(struct run *r)
{
    if (!r->wire->left) {
        far_read_on(r->wire);
        rig_turn(&r->rig);
    }
    check_written(r);
    if (!r->peer.closed)
        mux_close(&r->peer.mux, NULL);
    demand(rig_stat(&r->rig, RIG_VISITORS) == 0);
    use_memory(r, 0);
    demand(rig_fini(&r->rig));
    demand(r->budget.used == 0 && r->budget.promised == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct run *r = calloc(1, sizeof *r);
    demand(r && (r->junk = calloc(1, FRAME_DATA_MAX)));
    r->in = cur_of(data + 2, size - 2);
    run_open(r, data[0], data[1]);
    for (int i = 0; cur_left(&r->in) && i < OPERATIONS_MAX; i++) {
        operate(r, next(r));
        check(r);
    }
    run_close(r);
    free(r->junk);
    free(r);
    return 0;
}
