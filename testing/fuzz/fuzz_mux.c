/* Any bytes on a carrier, in pieces. The first byte: bit 0 the role, bit 1 turmoil (the streams' other
 * ends write, stop reading, end and leave as the bytes say), bit 2 small pipes; the second: how many bytes a
 * piece has; the third: seeds the turmoil. The rest is what the peer sends.
 * Laws: no two streams share an id; without turmoil every stream gets just the bytes that a reader of the
 * whole input finds for it; what the mux writes is frames; no flow stays behind. */
#include <stdlib.h>
#include <string.h>

#include "mux/session.h"
#include "testing/mux_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VISITORS = 4, STREAMS_MAX = 600, IDS = 65536 };

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

/* --- what should happen --- */

struct model_stream {
    uint8_t *bytes;
    size_t len;
    size_t packet_len[RIG_PACKETS], packets;
    bool live, packets_only, eof;
};

struct model {
    struct model_stream streams[STREAMS_MAX];
    size_t count;
    uint16_t *of_id; /* number of its stream + 1; 0: none */
    bool client, broken;
    bool heard_hello;
};

static struct model_stream *model_find(struct model *m, uint16_t id)
{
    struct model_stream *s = m->of_id[id] ? &m->streams[m->of_id[id] - 1] : NULL;
    return s && s->live ? s : NULL;
}

static bool model_open(struct model *m, uint16_t id, bool packets, size_t room)
{
    if (m->count == STREAMS_MAX)
        return false;
    struct model_stream *s = &m->streams[m->count++];
    *s = (struct model_stream){.live = true, .packets_only = packets, .bytes = malloc(room + 1)};
    demand(s->bytes != NULL);
    m->of_id[id] = (uint16_t)m->count;
    return true;
}

static void model_deliver(struct model_stream *s, const uint8_t *data, size_t len, bool whole)
{
    if (s->packets_only && (!whole || !len || len > BUF_DATA || s->packets == RIG_PACKETS))
        return;
    if (s->packets_only)
        s->packet_len[s->packets++] = len;
    memcpy(s->bytes + s->len, data, len);
    s->len += len;
}

static struct model_stream *model_begin(struct model *m, const struct mux_frame *f, size_t room)
{
    struct model_stream *s = model_find(m, f->id);
    switch (f->status) {
    case MUX_NEW:
        if (m->client)
            return NULL;
        if (s) {
            s->live = false;
            return NULL;
        }
        return model_open(m, f->id, f->net == NET_UDP, room) ? model_find(m, f->id) : NULL;
    case MUX_KEEP:
        if (s && s->eof && f->data_len) {
            s->live = false;
            return NULL;
        }
        return s;
    case MUX_END:
        if (s)
            s->live = false;
        return NULL;
    default:
        return NULL;
    }
}

/* Of all that a peer may tell, only REFUSED changes what a stream gets. */
static void model_hear(struct model *m, struct cursor message)
{
    struct link_item i;
    if (!link_read_magic(&message))
        return;
    while (link_read(&message, &i)) {
        struct model_stream *s =
            m->client && m->heard_hello && i.type == LINK_REFUSED ? model_find(m, i.stream) : NULL;
        if (s)
            s->live = false;
        m->heard_hello = m->heard_hello || i.type == LINK_HELLO;
    }
}

static void model_run(struct model *m, const uint8_t *data, size_t size)
{
    struct cursor c = cur_of(data, size);
    struct mux_frame f;
    struct err e;
    enum step step;
    while ((step = mux_frame_read(&c, &f, &e)) == STEP_DONE) {
        struct model_stream *s = model_begin(m, &f, size);
        size_t part = cur_left(&c) < f.data_len ? cur_left(&c) : f.data_len;
        bool whole = part == f.data_len;
        if (s)
            model_deliver(s, c.p, part, whole);
        if (s && whole && (f.option & MUX_EOF))
            s->eof = true;
        if (f.status == MUX_KEEPALIVE && whole && part <= LINK_MAX)
            model_hear(m, cur_of(c.p, part));
        cur_skip(&c, part);
        if (!whole)
            return;
    }
    m->broken = step == STEP_FAIL;
}

/* --- what does happen --- */

struct run {
    struct rig rig;
    struct peer peer;
    struct far *wire, *visitors[VISITORS];
    bool turmoil;
    uint32_t dice;
};

static struct far *run_stream(struct run *r, size_t i)
{
    return r->peer.mux.client ? r->visitors[i] : r->peer.opened[i];
}

static size_t run_streams(const struct run *r)
{
    return r->peer.mux.client ? VISITORS : r->peer.opened_count;
}

static void check_ids(const struct run *r)
{
    unsigned live = 0;
    if (r->peer.closed)
        return;
    for (unsigned page = 0; page < MUX_PAGE; page++)
        for (unsigned i = 0; r->peer.mux.pages[page] && i < MUX_PAGE; i++) {
            const struct mux_session *s = r->peer.mux.pages[page][i];
            demand(!s || s->id == page * MUX_PAGE + i);
            live += s != NULL;
        }
    demand(live == r->peer.mux.sessions);
}

static void trouble(struct run *r)
{
    r->dice = r->dice * 1664525 + 1013904223;
    uint32_t die = r->dice >> 8;
    size_t count = run_streams(r);
    struct far *f = count ? run_stream(r, die % count) : r->wire;
    if (die >> 12 & 1)
        r->wire->refuses = die >> 13 & 1;
    if (!r->wire->left)
        end_wake(&r->wire->end);
    if (f->left)
        return;
    switch (die >> 8 & 7) {
    case 0:
        f->refuses = true;
        break;
    case 1:
        far_read_on(f);
        break;
    case 2:
        if (!end_sent_eof(&f->end))
            end_eof(&f->end);
        break;
    case 3:
        far_leave(f, die >> 14 & 1 ? ECONNRESET : 0);
        break;
    case 4:
        if (!r->peer.closed && r->peer.mux.stalled)
            ev_invoke(r->rig.loop.ev, &r->peer.mux.stall, EV_TIMER);
        break;
    default:
        if (!end_sent_eof(&f->end) && end_room(&f->end))
            far_put_packet(f, r->rig.loop.scratch, 1 + (die >> 3) % 5000);
    }
}

static void feed(struct run *r, const uint8_t *data, size_t size, size_t piece)
{
    for (size_t at = 0; at < size; at += piece) {
        far_say(r->wire, data + at, size - at < piece ? size - at : piece);
        if (r->turmoil)
            trouble(r);
        rig_turn(&r->rig);
        check_ids(r);
    }
}

/* Datagrams may be dropped where a queue is full: what came is a part of what was sent, in order. */
static void check_packets(const struct far *f, const struct model_stream *s)
{
    const uint8_t *got = f->bytes, *sent = s->bytes;
    size_t at = 0;
    if (s->packets == RIG_PACKETS)
        return;
    for (size_t i = 0; i < f->packets; i++, got += f->packet_len[i - 1]) {
        while (at < s->packets &&
               (s->packet_len[at] != f->packet_len[i] || memcmp(sent, got, f->packet_len[i]) != 0))
            sent += s->packet_len[at++];
        demand(at < s->packets);
        sent += s->packet_len[at++];
    }
}

static void check_bytes(struct run *r, const struct model *m)
{
    demand(run_streams(r) == m->count && r->peer.closed == m->broken);
    for (size_t i = 0; i < m->count; i++) {
        const struct far *f = run_stream(r, i);
        const struct model_stream *s = &m->streams[i];
        demand(f->left || s->live);
        if (s->packets_only)
            check_packets(f, s);
        else
            demand(f->len == s->len && (!f->len || memcmp(f->bytes, s->bytes, f->len) == 0));
    }
}

static void check_written(struct run *r)
{
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(r->wire, &f, &data))
        demand(f.status != MUX_NEW || r->peer.mux.client);
    demand(r->wire->read == r->wire->len || r->wire->left);
}

/* A client's visitors are there before the peer says a word. */
static void run_open(struct run *r, struct model *m, uint8_t how, uint8_t seed, size_t room)
{
    rig_init(&r->rig);
    if (how & 4)
        r->rig.policy.buffer_size = 600;
    memset(r->rig.loop.scratch, 'x', BUF_DATA);
    r->turmoil = how & 2;
    r->dice = seed;
    m->client = how & 1;
    peer_init(&r->rig, &r->peer, m->client);
    r->wire = peer_wire(&r->rig, &r->peer);
    mux_start(&r->peer.mux);
    for (int i = 0; m->client && i < VISITORS; i++) {
        r->visitors[i] = peer_visitor(&r->peer, i == 1 ? NET_UDP : NET_TCP);
        model_open(m, (uint16_t)(i + 1), i == 1, room);
    }
    rig_turn(&r->rig);
}

static void model_free(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->streams[i].bytes);
    free(m->of_id);
    free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct run *r = calloc(1, sizeof *r);
    struct model *m = calloc(1, sizeof *m);
    demand(r && m && (m->of_id = calloc(IDS, sizeof *m->of_id)));
    run_open(r, m, data[0], data[2], size);
    feed(r, data + 3, size - 3, 1 + (size_t)data[1] * data[1]);
    if (!r->turmoil) {
        model_run(m, data + 3, size - 3);
        check_bytes(r, m);
        check_written(r);
    }
    if (!r->wire->left) {
        r->wire->refuses = false;
        if (!end_sent_eof(&r->wire->end))
            end_eof(&r->wire->end);
        rig_turn(&r->rig);
    }
    if (!r->peer.closed)
        mux_close(&r->peer.mux, NULL);
    demand(rig_stat(&r->rig, RIG_VISITORS) == 0);
    demand(rig_fini(&r->rig));
    model_free(m);
    free(r);
    return 0;
}
