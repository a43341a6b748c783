#include "testing/rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/first_bytes.h"
#include "transport/stream.h"

/* A stream whose first line is looked at: "yes..." is taken, "no..." is not, and "ask..." waits for an answer. */
struct desk {
    struct rig rig;
    struct stream stream;
    struct first_bytes first;
    int peer;
    unsigned looks, ready, freed;
    bool asked, answered;
    char got[64];
    size_t len, piece;
    ssize_t last;
};

static bool begins(const uint8_t *bytes, const char *with)
{
    return memcmp(bytes, with, strlen(with)) == 0;
}

static enum step desk_look(struct first_bytes *f, const uint8_t *bytes, size_t len, struct err *e)
{
    struct desk *d = container_of(f, struct desk, first);
    d->looks++;
    if (!memchr(bytes, '\n', len))
        return STEP_MORE;
    if (begins(bytes, "ask") && !d->answered) {
        d->asked = f->waits = true;
        return STEP_MORE;
    }
    return begins(bytes, "no") ? step_fail(e, EACCES, "it said no") : STEP_DONE;
}

static void desk_free(struct first_bytes *f)
{
    container_of(f, struct desk, first)->freed++;
}

static const struct first_bytes_ops desk_ops = {.look = desk_look, .free = desk_free};

static void on_ready(struct stream *s, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct desk *d = container_of(s, struct desk, stream);
    d->ready++;
    struct iovec iov = {d->got + d->len, d->piece};
    d->last = stream_readv(s, &iov, 1);
    d->len += d->last > 0 ? (size_t)d->last : 0;
    stream_want(s, d->last > 0 || d->last == STREAM_AGAIN, false);
}

static void desk_open(struct desk *d)
{
    int fds[2];
    *d = (struct desk){.piece = sizeof d->got};
    rig_open(&d->rig);
    rig_pair(fds);
    stream_open(&d->stream, &d->rig.loop, fds[0], on_ready);
    d->peer = fds[1];
    first_bytes_init(&d->first, &desk_ops);
    assert_int_equal(stream_put_layer(&d->stream, &d->first.layer), 0);
    assert_ptr_equal(first_bytes_of(&d->stream, &desk_ops), &d->first);
    stream_want(&d->stream, true, false);
}

static void desk_close(struct desk *d)
{
    stream_close(&d->stream);
    assert_int_equal(d->freed, 1);
    close(d->peer);
    rig_close(&d->rig);
}

static void what_was_looked_at_is_read_all_the_same(void **state)
{
    (void)state;
    static const char wire[] = "yes, I do\nand more";
    for (size_t cut = 0; cut < sizeof wire; cut++) {
        for (size_t piece = 1; piece < 40; piece += 19) {
            struct desk d;
            desk_open(&d);
            d.piece = piece;
            rig_send(&d.rig, d.peer, wire, cut);
            RIG_UNTIL(&d.rig, !cut || d.looks || d.ready);
            assert_int_equal(d.ready > 0, cut > 9);
            rig_send(&d.rig, d.peer, wire + cut, sizeof wire - 1 - cut);
            RIG_UNTIL(&d.rig, d.len == sizeof wire - 1);
            assert_memory_equal(d.got, wire, sizeof wire - 1);
            shutdown(d.peer, SHUT_WR);
            RIG_UNTIL(&d.rig, d.last == 0);
            desk_close(&d);
        }
    }
}

static void who_is_not_wanted_is_told_why(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    rig_say(&d.rig, d.peer, "no\n");
    RIG_UNTIL(&d.rig, d.ready);
    assert_int_equal(d.last, STREAM_ERROR);
    assert_string_equal(stream_why(&d.stream).text, "it said no");
    desk_close(&d);
}

static void first_bytes_that_say_nothing_are_bounded(void **state)
{
    (void)state;
    struct desk d;
    char much[FIRST_BYTES_MAX];
    memset(much, 'x', sizeof much);
    desk_open(&d);
    rig_send(&d.rig, d.peer, much, sizeof much);
    rig_send(&d.rig, d.peer, much, 1);
    RIG_UNTIL(&d.rig, d.ready);
    assert_int_equal(d.last, STREAM_ERROR);
    assert_int_equal(stream_why(&d.stream).code, EMSGSIZE);
    desk_close(&d);
}

static void who_ends_first_is_cut(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    rig_say(&d.rig, d.peer, "ye");
    RIG_UNTIL(&d.rig, d.looks);
    shutdown(d.peer, SHUT_WR);
    RIG_UNTIL(&d.rig, d.ready);
    assert_int_equal(stream_why(&d.stream).code, ECONNRESET);
    desk_close(&d);
}

/* Who waits for something else does not read, and so does not spin. */
static void a_choice_may_wait_for_an_answer(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    rig_say(&d.rig, d.peer, "ask\n");
    RIG_UNTIL(&d.rig, d.asked);
    rig_say(&d.rig, d.peer, "more");
    unsigned looks = d.looks;
    for (int i = 0; i < 5; i++)
        rig_step(&d.rig);
    assert_int_equal(d.looks, looks);
    d.answered = true;
    layer_event(&d.first.layer, true, false);
    RIG_UNTIL(&d.rig, d.len == 8);
    assert_memory_equal(d.got, "ask\nmore", 8);
    desk_close(&d);
}

static void a_stream_goes_on_without_its_layers(void **state)
{
    (void)state;
    struct desk d;
    desk_open(&d);
    rig_say(&d.rig, d.peer, "yes\n");
    RIG_UNTIL(&d.rig, d.len == 4);
    stream_bare(&d.stream);
    assert_null(d.stream.stack);
    assert_int_equal(d.freed, 1);
    stream_want(&d.stream, true, false);
    rig_say(&d.rig, d.peer, "more");
    RIG_UNTIL(&d.rig, d.len == 8);
    assert_memory_equal(d.got, "yes\nmore", 8);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_looked_at_is_read_all_the_same),
        cmocka_unit_test(who_is_not_wanted_is_told_why),
        cmocka_unit_test(first_bytes_that_say_nothing_are_bounded),
        cmocka_unit_test(who_ends_first_is_cut),
        cmocka_unit_test(a_choice_may_wait_for_an_answer),
        cmocka_unit_test(a_stream_goes_on_without_its_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
