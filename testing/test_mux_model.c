/* Visitors and targets that do anything at any time, over two links that are slow, lost, old or short of
 * memory. Laws: what was said arrives, in order and unmixed, when its reader reads; nobody fails without a
 * reason; between v2c peers no stream holds another up; queues keep to their windows; in the end nothing is
 * left, of flows, bufs and promises.
 * The seed of each episode is printed when it fails; V2C_SEED=n runs that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "mux/session.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum {
    EPISODES = 250,
    STEPS = 400,
    TALKS = 60,
    LINKS = 2,
    UP = 0,
    DOWN = 1,
    BEFORE_ANSWER = 16 * 1024, /* bytes that a stream gets before it was answered */
    UNSENT_MAX = 64 * 1024,
    OVERFLOW = 4 * 1024 * 1024, /* what an old peer's stream may queue when there is memory */
};

/* A visitor and its target. */
struct talk {
    struct far *ends[2]; /* visitor, target; the target is there when its link says so */
    size_t said[2];      /* by whom */
    bool packets;
    bool may_fail;
    bool lossy[2]; /* what this one says need not arrive */
};

struct model {
    struct rig rig;
    struct budget budget;
    size_t hog; /* bytes of the budget that somebody else uses */
    struct peer clients[LINKS], servers[LINKS];
    struct relay *relays[LINKS];
    size_t seen[LINKS]; /* of a server's `opened` */
    struct talk talks[TALKS];
    size_t talk_count;
    uint32_t dice;
    bool v2c;      /* both sides are, and have said so before the first stream */
    bool refusing; /* servers refuse streams at times */
    bool lost;     /* a link was */
};

static uint32_t roll(struct model *m, uint32_t sides)
{
    m->dice ^= m->dice << 13;
    m->dice ^= m->dice >> 17;
    m->dice ^= m->dice << 5;
    return m->dice % sides;
}

/* --- bytes that tell whose they are, and where they belong --- */

static uint8_t byte_at(size_t talk, int way, size_t at)
{
    return (uint8_t)(talk * 37 + (size_t)way * 101 + at * 7 + (at >> 8) * 13 + (at >> 16) * 29);
}

static void fill(uint8_t *bytes, size_t len, size_t talk, int way, size_t from)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(talk, way, from + i);
}

static void assert_stream(const struct model *m, size_t i, int way)
{
    const struct talk *t = &m->talks[i];
    const struct far *reader = t->ends[!way];
    assert_true(reader->len <= t->said[way]);
    for (size_t at = 0; at < reader->len; at++)
        if (reader->bytes[at] != byte_at(i, way, at))
            fail_msg("talk %zu, way %d: byte %zu of %zu is wrong", i, way, at, reader->len);
}

/* A datagram: two bytes of length, then what is like any other's of this talk and way. */
static void assert_datagrams(const struct model *m, size_t i, int way)
{
    const struct far *reader = m->talks[i].ends[!way];
    for (size_t at = 0; at < reader->len;) {
        size_t len = (size_t)(reader->bytes[at] << 8 | reader->bytes[at + 1]);
        assert_true(len >= 3 && len <= reader->len - at);
        for (size_t k = 2; k < len; k++)
            assert_int_equal(reader->bytes[at + k], byte_at(i, way, k));
        at += len;
    }
}

static void assert_talk(const struct model *m, size_t i)
{
    const struct talk *t = &m->talks[i];
    for (int way = UP; way <= DOWN; way++)
        if (t->ends[!way] && t->packets)
            assert_datagrams(m, i, way);
        else if (t->ends[!way])
            assert_stream(m, i, way);
}

/* --- who is who --- */

static bool speaks(const struct far *f)
{
    return f && !f->left && !end_sent_eof(&f->end);
}

static bool opened(const struct far *visitor)
{
    return visitor->left ? visitor->was_opened : end_is_opened(&visitor->end);
}

static bool talk_failed(const struct talk *t)
{
    return t->ends[UP]->failed || (t->ends[DOWN] && t->ends[DOWN]->failed);
}

/* A stream that was given back before the server heard of it: another link has it now. */
static bool is_stale(const struct model *m, int link, const struct mux_frame *f)
{
    for (int i = 0; i < LINKS; i++) {
        const struct mux *client = &m->clients[i].mux;
        const struct mux_session *s = m->clients[i].closed ? NULL : session_next(client, 0);
        for (; s; s = session_next(client, s->id + 1u))
            if (s->end.flow->meta.target.port == f->target.port)
                return i != link || s->id != f->id;
    }
    return false;
}

/* Targets that servers opened since the last time. A stream that another link opens anew begins anew. */
static void find_targets(struct model *m)
{
    for (int link = 0; link < LINKS; link++) {
        const struct peer *s = &m->servers[link];
        for (; m->seen[link] < s->opened_count; m->seen[link]++) {
            struct talk *t = &m->talks[s->frames[m->seen[link]].target.port];
            struct far *target = s->opened[m->seen[link]];
            if (is_stale(m, link, &s->frames[m->seen[link]]) || (t->ends[DOWN] && target->failed))
                continue;
            t->ends[DOWN] = target;
            t->said[DOWN] = 0;
            t->lossy[UP] = false;
            t->lossy[DOWN] = t->ends[UP]->left;
        }
    }
}

/* --- what may happen --- */

static void do_open(struct model *m)
{
    struct peer *client = &m->clients[roll(m, LINKS)];
    if (m->talk_count == TALKS || mux_is_ending(&client->mux))
        return;
    struct talk *t = &m->talks[m->talk_count];
    enum net net = roll(m, 6) ? NET_TCP : NET_UDP;
    t->packets = net == NET_UDP;
    t->ends[UP] = peer_visitor_to(client, net, (uint16_t)m->talk_count++);
}

static void say_datagram(struct model *m, size_t i, int way)
{
    uint8_t bytes[2048];
    size_t len = 3 + roll(m, sizeof bytes - 3);
    fill(bytes, len, i, way, 0);
    bytes[0] = (uint8_t)(len >> 8), bytes[1] = (uint8_t)len;
    far_put_packet(m->talks[i].ends[way], bytes, len);
}

static void say_bytes(struct model *m, size_t i, int way, size_t len)
{
    uint8_t bytes[16 * 1024];
    struct talk *t = &m->talks[i];
    while (len && end_room(&t->ends[way]->end)) {
        size_t part = len < sizeof bytes ? len : sizeof bytes;
        fill(bytes, part, i, way, t->said[way]);
        far_say(t->ends[way], bytes, part);
        t->said[way] += part;
        len -= part;
    }
}

static void do_say(struct model *m, size_t i, int way)
{
    struct far *f = m->talks[i].ends[way];
    if (!speaks(f) || !end_room(&f->end))
        return;
    if (way == DOWN)
        far_reached(f);
    if (m->talks[i].packets)
        say_datagram(m, i, way);
    else
        say_bytes(m, i, way, 1 + roll(m, roll(m, 2) ? 300 : 150000));
}

static void do_eof(struct model *m, size_t i, int way)
{
    struct talk *t = &m->talks[i];
    if (!speaks(t->ends[way]) || t->packets || roll(m, 4))
        return;
    if (way == DOWN)
        far_reached(t->ends[way]);
    end_eof(&t->ends[way]->end);
    if (!m->v2c && way == DOWN)
        t->lossy[UP] = true; /* it is the end of both ways */
}

static void do_leave(struct model *m, size_t i, int way)
{
    struct talk *t = &m->talks[i];
    if (!t->ends[way] || t->ends[way]->left || roll(m, 4))
        return;
    bool reset = roll(m, 2);
    t->may_fail = t->may_fail || reset;
    t->lossy[!way] = true;
    far_leave(t->ends[way], reset ? ECONNRESET : 0);
}

static void do_reading(struct model *m, size_t i, int way)
{
    struct far *f = m->talks[i].ends[way];
    if (!f || f->left)
        return;
    f->refuses = roll(m, 2);
    if (!f->refuses)
        far_read_on(f);
}

static void do_lose_link(struct model *m)
{
    int i = (int)roll(m, LINKS);
    if (m->lost || roll(m, 30))
        return;
    m->lost = true;
    mux_close(roll(m, 2) ? &m->clients[i].mux : &m->servers[i].mux, NULL);
}

static void do_give_back(struct model *m)
{
    struct peer *client = &m->clients[roll(m, LINKS)];
    uint32_t most = roll(m, 3) ? 0 : roll(m, 10);
    while (m->v2c && !m->lost && most-- && mux_give_back(&client->mux, NULL, NULL))
        ;
}

static void do_pause(struct model *m)
{
    struct relay *r = m->relays[roll(m, LINKS)];
    r->paused = roll(m, 2);
    if (!r->paused)
        relay_go(r);
}

static void do_refuse(struct model *m)
{
    struct peer *server = &m->servers[roll(m, LINKS)];
    if (m->refusing)
        server->refuses = roll(m, 2) ? 0 : (int)(1 + roll(m, 5));
}

static void use_memory(struct model *m, size_t percent)
{
    size_t hog = m->budget.limit / 100 * percent;
    budget_add(&m->budget, (ptrdiff_t)hog - (ptrdiff_t)m->hog);
    m->hog = hog;
}

static void step(struct model *m)
{
    size_t i = m->talk_count ? roll(m, (uint32_t)m->talk_count) : TALKS;
    int way = (int)roll(m, 2);
    uint32_t what = roll(m, 32);
    if (what < 3)
        do_open(m);
    else if (what == 3)
        do_pause(m);
    else if (what == 4)
        do_lose_link(m);
    else if (what == 5)
        do_give_back(m);
    else if (what == 6)
        do_refuse(m);
    else if (what == 7 && roll(m, 4) == 0)
        use_memory(m, roll(m, 2) ? roll(m, 110) : 0);
    else if (what == 8)
        clock_forward(roll(m, 30) / 1000.0);
    else if (i < TALKS && what < 18)
        do_say(m, i, way);
    else if (i < TALKS && what < 22)
        do_reading(m, i, way);
    else if (i < TALKS && what == 22)
        do_eof(m, i, way);
    else if (i < TALKS && what == 23)
        do_leave(m, i, way);
    else if (i < TALKS && what == 24 && m->talks[i].ends[DOWN])
        far_reached(m->talks[i].ends[DOWN]);
    else if (what < 28)
        ev_run(m->rig.loop.ev, EVRUN_NOWAIT);
    else
        rig_turn(&m->rig);
    find_targets(m);
}

/* --- what must hold --- */

static void assert_queue(const struct model *m, const struct mux_session *s)
{
    size_t unread = end_unread(&s->end), most = WINDOW_MAX;
    if (m->budget.limit && m->budget.limit / 8 < most)
        most = m->budget.limit / 8 > WINDOW_FIRST ? m->budget.limit / 8 : WINDOW_FIRST;
    if (!session_has_windows(s)) {
        assert_true(unread <= OVERFLOW + m->rig.policy.buffer_size + BUF_BYTES);
        return;
    }
    assert_true(s->credit.sent <= s->credit.limit || !m->v2c);
    assert_true(end_total(&s->end) <= s->window.granted || !m->v2c);
    assert_true(unread <= most || !m->v2c);
    assert_true(end_waiting(&s->end) <= UNSENT_MAX + 2 * BUF_BYTES || !m->v2c);
}

static size_t assert_mux(const struct model *m, const struct peer *p)
{
    const struct mux_session *s;
    size_t promised = 0;
    if (p->closed)
        return 0;
    assert_true(!m->v2c || !p->mux.stalled);
    for (s = session_next(&p->mux, 0); s; s = session_next(&p->mux, s->id + 1u)) {
        assert_queue(m, s);
        promised += s->window.size - WINDOW_FIRST;
    }
    return promised;
}

static void assert_always(const struct model *m)
{
    size_t promised = 0;
    for (int i = 0; i < LINKS; i++)
        promised += assert_mux(m, &m->clients[i]) + assert_mux(m, &m->servers[i]);
    assert_int_equal(m->budget.promised, m->budget.limit ? promised : 0);
}

/* Why a stream may have failed, that nobody gave up. Who has left is not taken to another link. */
static bool is_excused(struct model *m, const struct talk *t)
{
    const struct far *visitor = t->ends[UP];
    bool refusing = m->refusing || m->servers[0].full || m->servers[1].full;
    return t->may_fail || rig_stat(&m->rig, STAT_mux_shed) || rig_stat(&m->rig, STAT_mux_stalled) ||
           (refusing && (!opened(visitor) || t->packets || !m->v2c)) ||
           (m->lost && (opened(visitor) || visitor->left || !m->v2c)) ||
           visitor->tries == RIG_TRIES;
}

/* Everybody who reads has all that was said to him. */
static void assert_arrived(struct model *m)
{
    for (size_t i = 0; i < m->talk_count; i++) {
        const struct talk *t = &m->talks[i];
        if (talk_failed(t)) {
            if (!is_excused(m, t))
                fail_msg("talk %zu failed: %s%s; its target: %s", i, t->ends[UP]->why,
                         t->ends[UP]->left ? " (left)" : "",
                         t->ends[DOWN] ? t->ends[DOWN]->why : "none");
            continue;
        }
        for (int way = UP; way <= DOWN && !t->packets; way++) {
            const struct far *reader = t->ends[!way];
            bool may = way == DOWN || opened(t->ends[UP]) || t->said[UP] <= BEFORE_ANSWER;
            if (!reader && !t->lossy[UP] && !t->ends[UP]->left)
                fail_msg("talk %zu has no target", i);
            if (reader && !reader->refuses && !t->lossy[way] && may && reader->len != t->said[way])
                fail_msg("talk %zu, way %d: %zu of %zu bytes came", i, way, reader->len,
                         t->said[way]);
        }
    }
}

static void settle(struct model *m)
{
    for (int i = 0; i < LINKS; i++)
        relay_go(m->relays[i]);
    for (int i = 0; i < 3; i++) {
        rig_turn(&m->rig);
        clock_forward(0.02);
        rig_turn(&m->rig);
        find_targets(m);
    }
    assert_always(m);
}

/* --- an episode --- */

static void model_link(struct model *m, int i, bool near, bool away)
{
    static const size_t pieces[] = {700, 3000, 16384};
    struct peer *client = &m->clients[i], *server = &m->servers[i];
    peer_init(&m->rig, client, true);
    peer_init(&m->rig, server, false);
    client->elsewhere = &m->clients[!i];
    server->slow = roll(m, 2);
    m->relays[i] = peers_join(&m->rig, client, server, pieces[roll(m, 3)]);
    if (near)
        mux_start(&client->mux);
    if (away)
        mux_start(&server->mux);
}

static void model_open(struct model *m, uint32_t seed)
{
    static const size_t pipes[] = {2048, 20000, 65536, 512 * 1024};
    static const size_t limits[] = {0, 2 << 20, 16 << 20, 128 << 20};
    *m = (struct model){.dice = seed};
    rig_init(&m->rig);
    m->rig.policy.buffer_size = pipes[roll(m, 4)];
    m->budget.limit = limits[roll(m, 4)];
    if (roll(m, 4))
        m->rig.loop.bufs.budget = &m->budget;
    else
        m->budget.limit = 0;
    m->refusing = roll(m, 3) == 0;
    bool near = roll(m, 5), away = roll(m, 5), early = roll(m, 5) == 0;
    for (int i = 0; i < LINKS; i++)
        model_link(m, i, near, away);
    m->v2c = near && away && !early;
    if (!early)
        rig_turn(&m->rig);
}

/* Nobody hinders anybody any more. */
static void model_settle(struct model *m)
{
    use_memory(m, 0);
    for (size_t i = 0; i < m->talk_count; i++)
        for (int way = UP; way <= DOWN; way++) {
            struct far *f = m->talks[i].ends[way];
            if (f && !f->left)
                far_read_on(f);
        }
    settle(m);
    for (size_t i = 0; i < m->talk_count; i++)
        if (m->talks[i].ends[DOWN])
            far_reached(m->talks[i].ends[DOWN]);
    settle(m);
    for (int i = 0; i < LINKS; i++)
        assert_true(m->clients[i].closed ||
                    (!m->clients[i].mux.stalled && !list_first(&m->clients[i].mux.unanswered)));
}

static void model_end_talks(struct model *m)
{
    for (size_t i = 0; i < m->talk_count; i++)
        for (int way = UP; way <= DOWN; way++) {
            struct far *f = m->talks[i].ends[way];
            if (f && m->talks[i].packets && !f->left)
                far_leave(f, 0);
            else if (speaks(f))
                end_eof(&f->end);
        }
    settle(m);
    for (int i = 0; i < LINKS && m->v2c; i++) {
        assert_true(m->clients[i].closed || m->clients[i].mux.sessions == 0);
        assert_true(m->servers[i].closed || m->servers[i].mux.sessions == 0);
    }
}

static void model_close(struct model *m)
{
    for (int i = 0; i < LINKS; i++) {
        if (!m->clients[i].closed)
            mux_close(&m->clients[i].mux, NULL);
        if (!m->servers[i].closed)
            mux_close(&m->servers[i].mux, NULL);
    }
    assert_int_equal(rig_stat(&m->rig, RIG_VISITORS), 0);
    assert_true(rig_fini(&m->rig));
    assert_int_equal(m->budget.used, 0);
    assert_int_equal(m->budget.promised, 0);
}

static void episode(struct model *m, uint32_t seed)
{
    model_open(m, seed);
    for (int i = 0; i < STEPS; i++) {
        step(m);
        assert_always(m);
        if (m->v2c && roll(m, 40) == 0) {
            settle(m);
            assert_arrived(m);
        }
    }
    model_settle(m);
    assert_arrived(m);
    for (size_t i = 0; i < m->talk_count; i++)
        assert_talk(m, i);
    model_end_talks(m);
    model_close(m);
}

static void whatever_happens_the_laws_hold(void **state)
{
    (void)state;
    const char *asked = getenv("V2C_SEED");
    struct model *m = test_malloc(sizeof *m);
    for (int i = 0; i < (asked ? 1 : EPISODES); i++) {
        uint32_t seed = asked ? (uint32_t)strtoul(asked, NULL, 0) : 1 + randombytes_random() / 2;
        print_message("V2C_SEED=%u\r", seed);
        episode(m, seed);
    }
    test_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_the_laws_hold),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
