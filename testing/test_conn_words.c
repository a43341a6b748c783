/* A codec that has words of its own: what its conn makes of them. */
#include "testing/rig.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/conn.h"

/* A server that says "yes" or "no", and a client that says "may I" and waits for "K". */
struct polite {
    struct codec codec;
    const char *word;
    unsigned *freed;
};

static struct polite *polite_of(struct codec *c)
{
    return (struct polite *)(void *)c;
}

static int polite_say(struct codec *c, struct buf *b, struct err *e)
{
    (void)e;
    buf_append(b, polite_of(c)->word, strlen(polite_of(c)->word));
    return 0;
}

static void polite_answer(struct codec *c, const struct err *why)
{
    polite_of(c)->word = why ? "no" : "yes";
    c->signs = CODEC_SAYS | (why ? 0 : CODEC_PASSES);
}

static enum step polite_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    *out = (struct opened){.used = n, .data = in, .len = n};
    if (c->ops->answer || !(c->signs & CODEC_MUTE))
        return STEP_DONE;
    if (*in != 'K')
        return step_fail(e, EACCES, "impolite");
    *out = (struct opened){.used = 1};
    c->marks_end = false;
    c->signs = CODEC_PASSES;
    return STEP_DONE;
}

static void polite_free(struct codec *c)
{
    ++*polite_of(c)->freed;
    free(c);
}

static const struct codec_ops server_ops = {
    .say = polite_say, .answer = polite_answer, .open = polite_open, .free = polite_free};
static const struct codec_ops client_ops = {
    .say = polite_say, .open = polite_open, .free = polite_free, .wire_max = 1};

struct line {
    struct rig rig;
    struct conn conn;
    struct rig_end far;
    struct traffic traffic;
    int peer;
    unsigned freed, released;
};

static void on_release(struct conn *c)
{
    container_of(c, struct line, conn)->released++;
}

static struct codec *polite_new(struct line *l, bool server)
{
    struct polite *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->codec.ops = server ? &server_ops : &client_ops;
    p->codec.signs = CODEC_MUTE | (server ? 0 : CODEC_SAYS);
    p->codec.marks_end = !server;
    p->word = "may I";
    p->freed = &l->freed;
    return &p->codec;
}

static void line_open(struct line *l, bool server)
{
    int fds[2];
    const struct meta m = {.net = NET_TCP, .inbound_tag = "in"};
    memset(l, 0, sizeof *l);
    rig_open(&l->rig);
    rig_pair(fds);
    stream_prepare(fds[0]);
    l->peer = fds[1];
    l->traffic = (struct traffic){-1, -1};
    l->rig.policy.handshake = 0.05;
    conn_init(&l->conn, &l->rig.loop, polite_new(l, server), &l->traffic, on_release);
    conn_attach(&l->conn, fds[0]);
    if (server) {
        struct flow *f = flow_new(&l->rig.loop, &l->conn.end, &conn_end_ops, &m, &l->rig.policy);
        rig_join(f, &l->far);
    } else {
        flow_join(rig_flow(&l->rig, &l->far, NET_TCP), &l->conn.end, &conn_end_ops);
        l->conn.stream.connecting = true;
    }
    conn_start(&l->conn, NULL, 0);
    rig_turn(&l->rig);
}

static void line_close(struct line *l)
{
    struct err why;
    err_set(&why, ECANCELED, "the test is over");
    flows_abort(&l->rig.loop, &why);
    loop_settle(&l->rig.loop);
    if (!l->far.left)
        rig_leave(&l->far, NULL);
    loop_drop_stragglers(&l->rig.loop);
    assert_int_equal(l->released, 1);
    assert_int_equal(l->freed, 1);
    close(l->peer);
    rig_end_free(&l->far);
    rig_close(&l->rig);
}

/* --- a server --- */

enum { OPENED, ASKED, ANSWERS, WAYS };

static void it_answers_when_there_is_a_word_to_give(void **state)
{
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct line l;
        line_open(&l, true);
        rig_say(&l.rig, l.peer, "early");
        RIG_UNTIL(&l.rig, l.far.len == 5); /* nobody keeps the client from talking */
        assert_false(rig_readable(l.peer));
        if (way == OPENED)
            end_opened(&l.far.end);
        else if (way == ASKED)
            end_ask(&l.far.end);
        else
            assert_true(end_write(&l.far.end, "!", 1));
        rig_hear(&l.rig, l.peer, way == ANSWERS ? "yes!" : "yes");
        assert_null(l.conn.codec); /* it has done its work: from here on all is plain */
        rig_say(&l.rig, l.peer, "more");
        RIG_UNTIL(&l.rig, l.far.len == 9);
        assert_true(end_write(&l.far.end, "end", 3));
        rig_hear(&l.rig, l.peer, "end");
        line_close(&l);
    }
}

static void it_says_no_and_closes_in_order(void **state)
{
    (void)state;
    for (int well = 0; well < 2; well++) {
        struct line l;
        struct err why;
        line_open(&l, true);
        err_set(&why, ECONNREFUSED, "refused");
        rig_leave(&l.far, well ? NULL : &why);
        rig_hear(&l.rig, l.peer, "no");
        assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
        shutdown(l.peer, SHUT_WR);
        RIG_UNTIL(&l.rig, l.released);
        line_close(&l);
    }
}

static void after_its_answer_a_failure_is_a_reset(void **state)
{
    (void)state;
    struct line l;
    struct err why;
    line_open(&l, true);
    end_opened(&l.far.end);
    rig_hear(&l.rig, l.peer, "yes");
    err_set(&why, ECONNRESET, "reset");
    rig_leave(&l.far, &why);
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), ECONNRESET);
    line_close(&l);
}

static void nobody_waits_for_a_word_after_the_loop(void **state)
{
    (void)state;
    struct line l;
    struct err why;
    line_open(&l, true);
    err_set(&why, ECANCELED, "stops");
    rig_leave(&l.far, &why);
    rig_turn(&l.rig); /* it lingers: the peer has not closed */
    assert_int_equal(l.released, 0);
    line_close(&l);
}

/* --- a client --- */

static void nothing_is_sent_or_reached_before_the_peer_agrees(void **state)
{
    (void)state;
    struct line l;
    line_open(&l, false);
    assert_true(end_write(&l.far.end, "bytes", 5));
    end_eof(&l.far.end);
    rig_hear(&l.rig, l.peer, "may I");
    rig_turn(&l.rig);
    assert_false(rig_readable(l.peer));
    assert_false(end_is_opened(&l.far.end));
    rig_say(&l.rig, l.peer, "Kanswer");
    rig_hear(&l.rig, l.peer, "bytes");
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
    RIG_UNTIL(&l.rig, l.far.len == 6);
    assert_true(end_is_opened(&l.far.end));
    assert_null(l.conn.codec);
    line_close(&l);
}

static void a_peer_that_refuses_or_leaves_fails_the_flow(void **state)
{
    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        struct line l;
        line_open(&l, false);
        if (leaves)
            shutdown(l.peer, SHUT_WR);
        else
            rig_say(&l.rig, l.peer, "X");
        RIG_UNTIL(&l.rig, l.far.left);
        assert_true(l.far.failed);
        assert_string_equal(l.far.why, leaves ? "connection cut off" : "impolite");
        line_close(&l);
    }
}

static void a_peer_that_is_silent_is_given_up(void **state)
{
    (void)state;
    struct line l;
    line_open(&l, false);
    RIG_UNTIL(&l.rig, l.far.left);
    assert_string_equal(l.far.why, "connected, but no answer within 0.05 s");
    line_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_when_there_is_a_word_to_give),
        cmocka_unit_test(it_says_no_and_closes_in_order),
        cmocka_unit_test(after_its_answer_a_failure_is_a_reset),
        cmocka_unit_test(nobody_waits_for_a_word_after_the_loop),
        cmocka_unit_test(nothing_is_sent_or_reached_before_the_peer_agrees),
        cmocka_unit_test(a_peer_that_refuses_or_leaves_fails_the_flow),
        cmocka_unit_test(a_peer_that_is_silent_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
