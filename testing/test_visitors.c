#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/carrier.h"
#include "testing/clock.h"
#include "testing/portal_rig.h"

struct test {
    struct portal_rig at;
    struct portal_shards *shards;
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    t->shards = portal_shards_new(1);
    portal_rig_init(&t->at, t->shards, 0);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    bool clean = portal_rig_fini(&t->at);
    portal_shards_free(t->shards);
    free(t);
    return clean ? 0 : -1;
}

static int64_t retried(struct test *t)
{
    return rig_stat(&t->at.rig, STAT_streams_retried);
}

/* A visitor whose stream is opened at once; on which bridge it must be. */
static struct far *served_by(struct test *t, struct far *wire)
{
    struct far *visitor = visitor_comes(&t->at);
    say_opened(wire, newest(&t->at, wire));
    rig_turn(&t->at.rig);
    assert_false(visitor->left);
    return visitor;
}

static void refuse_next(struct test *t, struct far *wire, enum link_refusal why)
{
    visitor_comes(&t->at);
    say_refused(wire, newest(&t->at, wire), why);
    rig_turn(&t->at.rig);
}

static void eject(struct test *t, struct far *wire)
{
    for (int i = 0; i < 5; i++)
        refuse_next(t, wire, REFUSED_TARGET);
}

/* --- picking --- */

static void a_full_bridge_gets_no_more_streams_than_it_takes(void **state)
{
    struct test *t = *state;
    struct far *small = bridge_of_streams(&t->at, 2), *large = bridge_v2c(&t->at);
    for (int i = 0; i < 6; i++)
        visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, small)->new_count, 2);
    assert_int_equal(hear(&t->at, large)->new_count, 4);
    far_leave(large, ECONNRESET);
    rig_turn(&t->at.rig);
    struct far *waits = visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, small)->new_count, 0);
    assert_false(waits->left);
}

static void the_links_of_a_bridge_share_its_visitors(void **state)
{
    struct test *t = *state;
    struct far *links[3];
    for (int i = 0; i < 3; i++)
        links[i] = bridge_link(&t->at, 7);
    for (int i = 0; i < 150; i++)
        visitor_comes(&t->at);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hear(&t->at, links[i])->new_count, 50);
}

static void bridges_share_visitors_however_many_links_they_have(void **state)
{
    struct test *t = *state;
    struct far *alone = bridge_link(&t->at, 7);
    unsigned with_many = 0;
    struct far *links[3];
    for (int i = 0; i < 3; i++)
        links[i] = bridge_link(&t->at, 8);
    for (int i = 0; i < 40; i++)
        visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, alone)->new_count, 20);
    for (int i = 0; i < 3; i++)
        with_many += hear(&t->at, links[i])->new_count;
    assert_int_equal(with_many, 20);
}

static void as_many_bridges_as_there_are_share_visitors(void **state)
{
    struct test *t = *state;
    struct far *bridges[BRIDGES_MAX];
    for (uint64_t i = 0; i < BRIDGES_MAX; i++)
        bridges[i] = i % 2 ? bridge_comes(&t->at) : bridge_link(&t->at, 1 + i * 64);
    for (int i = 0; i < 2 * BRIDGES_MAX; i++)
        visitor_comes(&t->at);
    for (int i = 0; i < BRIDGES_MAX; i++)
        assert_int_equal(hear(&t->at, bridges[i])->new_count, 2);
}

static void a_link_that_carries_bulk_is_left_alone(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_link(&t->at, 7), *busy = bridge_link(&t->at, 7);
    visitor_comes(&t->at);
    uint16_t id = newest(&t->at, busy);
    static const char piece[16 * 1024];
    for (int i = 0; i < 512; i++) {
        far_say_frame(
            busy,
            &(struct mux_frame){
                .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = sizeof piece},
            piece);
        rig_turn(&t->at.rig);
    }
    visitor_comes(&t->at), visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, other)->new_count, 2);
    say_end(busy, id, false);
    rig_turn(&t->at.rig);
    visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, busy)->new_count, 1);
}

static void a_bridge_whose_ids_are_used_up_gets_no_streams(void **state)
{
    struct test *t = *state;
    struct far *worn = bridge_v2c(&t->at);
    struct portal *p = container_of(t->at.portal, struct portal, out);
    container_of(list_first(&p->carriers), struct carrier, item)->mux.last_id = 65534;
    visitor_comes(&t->at);
    assert_int_equal(newest(&t->at, worn), 65535);
    struct far *waits = visitor_comes(&t->at), *fresh = bridge_v2c(&t->at);
    assert_false(waits->left);
    assert_true(hear(&t->at, fresh)->new_count >= 1);
}

/* It answers its control stream late: there is no id left for one under another name. */
static void ids_never_begin_anew(void **state)
{
    struct test *t = *state;
    struct far *old = bridge_comes(&t->at);
    struct portal *p = container_of(t->at.portal, struct portal, out);
    struct mux *m = &container_of(list_first(&p->carriers), struct carrier, item)->mux;
    uint16_t control = (uint16_t)m->control_id;
    visitor_comes(&t->at);
    m->last_id = 65535;
    say_end(old, control, false);
    rig_turn(&t->at.rig);
    assert_int_equal(m->last_id, 65535);
    assert_int_equal(m->control_id, -1);
    hear(&t->at, old);
    visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, old)->new_count, 0);
}

/* Its visitor does not read what came before there was a HELLO: nothing is read from that bridge. */
static struct far *stalled_bridge(struct test *t)
{
    struct far *wire = bridge_comes(&t->at), *visitor = visitor_comes(&t->at);
    uint16_t id = newest(&t->at, wire);
    visitor->refuses = true;
    static const char piece[16 * 1024];
    for (int i = 0; i < 40; i++)
        far_say_frame(
            wire,
            &(struct mux_frame){
                .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = sizeof piece},
            piece);
    rig_turn(&t->at.rig);
    return wire;
}

static struct far *silent_bridge(struct test *t)
{
    struct far *wire = bridge_v2c(&t->at);
    wire->refuses = true;     /* what is written is not heard, and not answered */
    portal_wait(&t->at, 7.5); /* after 8 s it would be closed */
    wire->refuses = false;
    rig_turn(&t->at.rig);
    hear(&t->at, wire);
    wire->refuses = true;
    return wire;
}

static struct far *draining_bridge(struct test *t)
{
    struct far *wire = bridge_v2c(&t->at);
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_STOPS, 0}});
    rig_turn(&t->at.rig);
    return wire;
}

static struct far *ejected_bridge(struct test *t)
{
    struct far *wire = bridge_v2c(&t->at);
    eject(t, wire);
    return wire;
}

static void the_better_a_bridge_the_sooner_it_is_picked(void **state)
{
    struct test *t = *state;
    struct far *silent = silent_bridge(t);
    struct far *ejected = ejected_bridge(t);
    struct far *draining = draining_bridge(t);
    struct far *stalled = stalled_bridge(t);
    struct far *good = bridge_v2c(&t->at);
    struct far *order[] = {good, stalled, ejected, draining};
    for (size_t i = 0; i < 4; i++) {
        visitor_comes(&t->at), visitor_comes(&t->at); /* more streams there make no difference */
        struct said *s = hear(&t->at, order[i]);
        assert_true(s->new_count >= 2);
        for (unsigned k = 0; k < s->new_count; k++)
            say_opened(order[i], s->news[k]);
        rig_turn(&t->at.rig);
        far_leave(order[i], ECONNRESET);
        rig_turn(&t->at.rig);
    }
    visitor_comes(&t->at);
    far_read_on(silent);
    assert_int_equal(hear(&t->at, silent)->new_count, 1);
}

/* --- ejection --- */

static void five_failures_in_a_row_eject_a_bridge_for_five_seconds(void **state)
{
    struct test *t = *state;
    struct far *bad = bridge_v2c(&t->at);
    eject(t, bad);
    struct far *good = bridge_v2c(&t->at);
    served_by(t, good), served_by(t, good);
    portal_wait(&t->at, 4.8);
    served_by(t, good);
    portal_wait(&t->at, 0.4);
    served_by(t, bad);
}

static void four_failures_and_a_success_eject_nobody(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            refuse_next(t, wire, REFUSED_TARGET);
        far_leave(served_by(t, wire), ECONNRESET);
    }
    rig_turn(&t->at.rig);
    struct far *other = bridge_v2c(&t->at);
    served_by(t, other); /* the newest at a tie */
    served_by(t, wire);
}

static void what_the_rules_of_a_bridge_forbid_is_not_its_failure(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at);
    for (int i = 0; i < 20; i++)
        refuse_next(t, wire, REFUSED_RULES);
    struct far *other = bridge_v2c(&t->at);
    served_by(t, other);
    served_by(t, wire);
}

static void a_bridge_is_ejected_for_longer_each_time_up_to_a_minute(void **state)
{
    struct test *t = *state;
    static const double lasts[] = {5, 10, 20, 40, 60, 60, 60};
    struct far *bad = bridge_v2c(&t->at);
    for (size_t i = 0; i < sizeof lasts / sizeof *lasts; i++) {
        eject(t, bad);
        struct far *good = bridge_v2c(&t->at);
        portal_wait(&t->at, lasts[i] - 0.5);
        served_by(t, good);
        portal_wait(&t->at, 0.7);
        refuse_next(t, bad, REFUSED_RULES);
        far_leave(good, ECONNRESET);
        rig_turn(&t->at.rig);
    }
}

static void a_success_after_the_ejection_makes_the_next_one_short_again(void **state)
{
    struct test *t = *state;
    struct far *bad = bridge_v2c(&t->at);
    for (int i = 0; i < 3; i++) {
        eject(t, bad);
        struct far *good = bridge_v2c(&t->at);
        portal_wait(&t->at, 4.8);
        served_by(t, good);
        portal_wait(&t->at, 0.4);
        far_leave(served_by(t, bad), ECONNRESET);
        far_leave(good, ECONNRESET);
        rig_turn(&t->at.rig);
    }
}

static void an_ejected_bridge_serves_when_there_is_no_other(void **state)
{
    struct test *t = *state;
    struct far *bad = bridge_v2c(&t->at);
    for (int i = 0; i < 4; i++)
        eject(t, bad);
    served_by(t, bad);
}

/* --- another try --- */

static void assert_retried_at(struct test *t, struct far *wire, struct far *visitor)
{
    struct said *s = hear(&t->at, wire);
    assert_int_equal(s->new_count, 1);
    assert_string_equal(s->data, "first bytes");
    uint16_t id = s->news[0];
    say_opened(wire, id);
    say_data(wire, id, "answer");
    rig_turn(&t->at.rig);
    assert_int_equal(visitor->len, 6);
    assert_memory_equal(visitor->bytes, "answer", 6);
    assert_false(visitor->left);
}

static void an_unanswered_stream_of_a_link_that_ends_goes_to_another(void **state)
{
    struct test *t = *state;
    for (int how = 0; how < 3; how++) {
        struct far *other = bridge_v2c(&t->at), *first = bridge_v2c(&t->at);
        struct far *visitor = visitor_says(&t->at, "first bytes");
        assert_string_equal(hear(&t->at, first)->data, "first bytes");
        if (how == 0)
            far_leave(first, ECONNRESET);
        else if (how == 1)
            end_eof(&first->end);
        else
            far_say(first, "\xff\xff\xff\xff", 4); /* not a frame */
        rig_turn(&t->at.rig);
        assert_retried_at(t, other, visitor);
        assert_int_equal(retried(t), how + 1);
        far_leave(visitor, 0);
        far_leave(other, 0);
        rig_turn(&t->at.rig);
    }
}

static void an_answered_stream_is_not_tried_again(void **state)
{
    struct test *t = *state;
    for (int how = 0; how < 2; how++) {
        struct far *other = bridge_v2c(&t->at), *first = bridge_v2c(&t->at);
        struct far *visitor = visitor_says(&t->at, "first bytes");
        uint16_t id = newest(&t->at, first);
        how ? say_opened(first, id) : say_data(first, id, "x");
        rig_turn(&t->at.rig);
        far_leave(first, ECONNRESET);
        rig_turn(&t->at.rig);
        assert_true(visitor->failed);
        assert_int_equal(hear(&t->at, other)->new_count, 0);
        assert_int_equal(retried(t), 0);
        far_leave(other, 0);
        rig_turn(&t->at.rig);
    }
}

static void a_bridge_without_answers_gets_no_second_chance(void **state)
{
    struct test *t = *state;
    bridge_comes(&t->at);
    struct far *first = bridge_comes(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    far_leave(first, ECONNRESET);
    rig_turn(&t->at.rig);
    assert_true(visitor->failed);
    assert_int_equal(retried(t), 0);
}

static void a_bridge_without_room_or_that_goes_is_not_the_last_one(void **state)
{
    struct test *t = *state;
    for (enum link_refusal why = REFUSED_NO_ROOM; why <= REFUSED_GOING; why++) {
        struct far *other = bridge_v2c(&t->at), *first = bridge_v2c(&t->at);
        struct far *visitor = visitor_says(&t->at, "first bytes");
        say_refused(first, newest(&t->at, first), why);
        rig_turn(&t->at.rig);
        assert_retried_at(t, other, visitor);
        far_leave(visitor, 0);
        far_leave(other, 0), far_leave(first, 0);
        rig_turn(&t->at.rig);
    }
}

/* The one that refused has one stream less than before and would be picked again. */
static void a_busier_bridge_serves_what_the_other_has_no_room_for(void **state)
{
    struct test *t = *state;
    struct far *busy = bridge_v2c(&t->at);
    for (int i = 0; i < 8; i++)
        served_by(t, busy);
    struct far *first = bridge_v2c(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    say_refused(first, newest(&t->at, first), REFUSED_NO_ROOM);
    rig_turn(&t->at.rig);
    assert_int_equal(hear(&t->at, first)->new_count, 0);
    assert_retried_at(t, busy, visitor);
}

static void a_refusal_for_good_resets_the_visitor_at_once(void **state)
{
    struct test *t = *state;
    for (enum link_refusal why = REFUSED_TARGET; why <= REFUSED_RULES; why++) {
        struct far *other = bridge_v2c(&t->at), *first = bridge_v2c(&t->at);
        struct far *visitor = visitor_says(&t->at, "first bytes");
        say_refused(first, newest(&t->at, first), why);
        rig_turn(&t->at.rig);
        assert_true(visitor->failed);
        assert_int_equal(hear(&t->at, other)->new_count, 0);
        far_leave(other, 0), far_leave(first, 0);
        rig_turn(&t->at.rig);
    }
    assert_int_equal(retried(t), 0);
}

static void unknown_reasons_are_for_good(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at), *visitor = visitor_comes(&t->at);
    say_refused(wire, newest(&t->at, wire), (enum link_refusal)77);
    rig_turn(&t->at.rig);
    assert_true(visitor->failed);
}

static void three_links_are_tried_and_no_fourth(void **state)
{
    struct test *t = *state;
    struct far *wires[5], *visitor;
    for (int i = 0; i < 5; i++)
        wires[i] = bridge_v2c(&t->at);
    visitor = visitor_says(&t->at, "first bytes");
    for (int i = 4; i >= 2; i--) {
        assert_false(visitor->left);
        assert_string_equal(hear(&t->at, wires[i])->data, "first bytes");
        far_leave(wires[i], ECONNRESET);
        rig_turn(&t->at.rig);
    }
    assert_true(visitor->failed);
    assert_int_equal(hear(&t->at, wires[0])->new_count + hear(&t->at, wires[1])->new_count, 0);
}

static void no_more_than_16_kib_go_out_before_the_answer_and_all_of_it_again(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_v2c(&t->at), *first = bridge_v2c(&t->at);
    struct far *visitor = visitor_comes(&t->at);
    char upload[30 * 1024 + 1];
    for (size_t i = 0; i < sizeof upload; i++)
        upload[i] = (char)('a' + i % 23);
    upload[sizeof upload - 1] = '\0';
    far_say(visitor, upload, sizeof upload - 1);
    end_eof(&visitor->end);
    struct said *s = hear(&t->at, first);
    assert_int_equal(s->len, 16 * 1024);
    assert_memory_equal(s->data, upload, s->len);
    far_leave(first, ECONNRESET);
    s = hear(&t->at, other);
    assert_int_equal(s->len, 16 * 1024);
    assert_memory_equal(s->data, upload, s->len);
    say_opened(other, s->news[0]);
    s = hear(&t->at, other);
    assert_int_equal(s->len, sizeof upload - 1 - 16 * 1024);
    assert_memory_equal(s->data, upload + 16 * 1024, s->len);
}

/* --- silence --- */

static void the_streams_of_a_silent_link_go_elsewhere_within_three_seconds(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_v2c(&t->at), *frozen = bridge_v2c(&t->at);
    struct far *visitor = visitor_says(&t->at, "first bytes");
    hear(&t->at, frozen);
    frozen->refuses = true;
    portal_wait(&t->at, 1.2);
    assert_int_equal(hear(&t->at, other)->new_count, 0);
    portal_wait(&t->at, 1.8);
    assert_retried_at(t, other, visitor);
    far_read_on(frozen);
    struct said *s = hear(&t->at, frozen);
    assert_int_equal(s->end_count, 1);
    assert_true(s->ends[0].error); /* whoever wakes up there has nothing to do any more */
    served_by(t, other);
}

static void what_silences_one_link_of_a_bridge_casts_doubt_on_the_others(void **state)
{
    struct test *t = *state;
    struct far *second = bridge_link(&t->at, 7), *first = bridge_link(&t->at, 7);
    struct far *other = bridge_link(&t->at, 8);
    for (int i = 0; i < 6; i++)
        visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, first)->new_count + hear(&t->at, second)->new_count, 3);
    assert_int_equal(hear(&t->at, other)->new_count, 3);
    first->refuses = second->refuses = true; /* the process is frozen */
    portal_wait(&t->at, 3);
    assert_int_equal(hear(&t->at, other)->new_count, 3);
    second->refuses = false;
    far_read_on(second);
    rig_turn(&t->at.rig);
    assert_int_equal(hear(&t->at, second)->new_count, 0);
}

static void a_link_that_speaks_again_is_a_link_like_any_other(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_v2c(&t->at), *wire = silent_bridge(t);
    served_by(t, other), served_by(t, other);
    far_read_on(wire);
    portal_wait(&t->at, 0.1);
    served_by(t, wire), served_by(t, wire);
}

static void without_an_alternative_a_stream_stays_with_the_silent_link(void **state)
{
    struct test *t = *state;
    struct far *frozen = bridge_v2c(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    uint16_t id = newest(&t->at, frozen);
    frozen->refuses = true;
    portal_wait(&t->at, 20);
    assert_false(visitor->left);
    far_read_on(frozen);
    say_opened(frozen, id);
    say_data(frozen, id, "late");
    rig_turn(&t->at.rig);
    assert_int_equal(visitor->len, 4);
    assert_int_equal(retried(t), 0);
}

static void a_bridge_that_comes_takes_the_streams_of_a_silent_one(void **state)
{
    struct test *t = *state;
    struct far *frozen = bridge_v2c(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    hear(&t->at, frozen);
    frozen->refuses = true;
    portal_wait(&t->at, 4);
    assert_retried_at(t, bridge_v2c(&t->at), visitor);
}

static void a_bridge_that_goes_serves_what_it_was_asked_for(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_v2c(&t->at), *goes = bridge_v2c(&t->at);
    struct far *stays = served_by(t, goes);
    served_by(t, other);
    struct far *visitor = visitor_says(&t->at, "first bytes");
    uint16_t id = newest(&t->at, goes);
    far_say_item(goes, &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_STOPS, 0}});
    rig_turn(&t->at.rig);
    assert_int_equal(hear(&t->at, other)->new_count, 0);
    say_opened(goes, id);
    visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, other)->new_count, 1);
    portal_wait(&t->at, 5);
    assert_false(stays->left || visitor->left || goes->left);
    far_leave(stays, 0), far_leave(visitor, 0);
    portal_wait(&t->at, 2.1);
    assert_true(goes->left && !goes->failed); /* it is empty */
}

/* A bridge that is full is as good as none; the streams must not go in circles. */
static void no_stream_uses_up_its_tries_between_a_silent_and_a_full_bridge(void **state)
{
    struct test *t = *state;
    struct far *frozen = bridge_v2c(&t->at), *visitors[6];
    for (int i = 0; i < 6; i++)
        visitors[i] = visitor_comes(&t->at);
    frozen->refuses = true;
    portal_wait(&t->at, 4);
    struct far *small = bridge_of_streams(&t->at, 2);
    assert_true(hear(&t->at, small)->new_count <= 2);
    portal_wait(&t->at, 1);
    for (int i = 0; i < 6; i++)
        assert_false(visitors[i]->left);
}

/* Full is not ill: what waits there for its answer stays. */
static void the_streams_of_a_full_bridge_stay_when_another_comes(void **state)
{
    struct test *t = *state;
    struct far *small = bridge_of_streams(&t->at, 2);
    visitor_comes(&t->at), visitor_comes(&t->at);
    hear(&t->at, small);
    struct far *other = bridge_v2c(&t->at);
    assert_int_equal(hear(&t->at, small)->end_count, 0);
    assert_int_equal(hear(&t->at, other)->new_count, 0);
    assert_int_equal(retried(t), 0);
}

/* Nor is worn, or ejected: the target may have the first bytes already, and would have them twice. */
static void the_streams_of_a_lively_bridge_stay_when_a_better_one_comes(void **state)
{
    for (int how = 0; how < 2; how++) {
        struct test *t = *state;
        struct far *first = bridge_v2c(&t->at);
        struct portal *p = container_of(t->at.portal, struct portal, out);
        struct carrier *c = container_of(list_first(&p->carriers), struct carrier, item);
        visitor_says(&t->at, "first bytes");
        if (how)
            c->mux.opened = 60001;
        else
            c->ejected_until = loop_steady() + 5;
        visitor_comes(&t->at);
        assert_int_equal(hear(&t->at, first)->new_count, 2);
        struct far *other = bridge_v2c(&t->at);
        assert_int_equal(hear(&t->at, other)->new_count, 0);
        assert_int_equal(hear(&t->at, first)->end_count, 0);
        assert_int_equal(retried(t), 0);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

/* --- waiting --- */

static void a_stream_without_another_link_waits_for_one_to_come(void **state)
{
    struct test *t = *state;
    struct far *first = bridge_v2c(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    far_leave(first, ECONNRESET);
    portal_wait(&t->at, 2.5);
    assert_false(visitor->left);
    assert_retried_at(t, bridge_v2c(&t->at), visitor);
}

static void it_waits_three_seconds(void **state)
{
    struct test *t = *state;
    struct far *first = bridge_v2c(&t->at), *visitor = visitor_says(&t->at, "first bytes");
    far_leave(first, ECONNRESET);
    portal_wait(&t->at, 2.9);
    assert_false(visitor->left);
    portal_wait(&t->at, 0.2);
    assert_true(visitor->failed);
}

static void who_waits_for_room_gets_the_first_that_there_is(void **state)
{
    struct test *t = *state;
    struct far *small = bridge_of_streams(&t->at, 1), *first = served_by(t, small);
    struct far *second = visitor_comes(&t->at);
    assert_int_equal(hear(&t->at, small)->new_count, 0);
    far_leave(first, 0);
    portal_wait(&t->at, 2.1);
    assert_int_equal(hear(&t->at, small)->new_count, 1);
    portal_wait(&t->at, 5);
    assert_false(second->left);
}

static void a_portal_that_ends_tries_nothing_again(void **state)
{
    struct test *t = *state;
    bridge_v2c(&t->at);
    bridge_v2c(&t->at);
    struct far *a = visitor_comes(&t->at), *b = visitor_comes(&t->at);
    portal_rig_stop(&t->at);
    assert_true(a->failed && b->failed);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_full_bridge_gets_no_more_streams_than_it_takes),
        LAW(the_links_of_a_bridge_share_its_visitors),
        LAW(bridges_share_visitors_however_many_links_they_have),
        LAW(as_many_bridges_as_there_are_share_visitors),
        LAW(a_link_that_carries_bulk_is_left_alone),
        LAW(a_bridge_whose_ids_are_used_up_gets_no_streams),
        LAW(ids_never_begin_anew),
        LAW(the_better_a_bridge_the_sooner_it_is_picked),
        LAW(five_failures_in_a_row_eject_a_bridge_for_five_seconds),
        LAW(four_failures_and_a_success_eject_nobody),
        LAW(what_the_rules_of_a_bridge_forbid_is_not_its_failure),
        LAW(a_bridge_is_ejected_for_longer_each_time_up_to_a_minute),
        LAW(a_success_after_the_ejection_makes_the_next_one_short_again),
        LAW(an_ejected_bridge_serves_when_there_is_no_other),
        LAW(an_unanswered_stream_of_a_link_that_ends_goes_to_another),
        LAW(an_answered_stream_is_not_tried_again),
        LAW(a_bridge_without_answers_gets_no_second_chance),
        LAW(a_bridge_without_room_or_that_goes_is_not_the_last_one),
        LAW(a_busier_bridge_serves_what_the_other_has_no_room_for),
        LAW(a_refusal_for_good_resets_the_visitor_at_once),
        LAW(unknown_reasons_are_for_good),
        LAW(three_links_are_tried_and_no_fourth),
        LAW(no_more_than_16_kib_go_out_before_the_answer_and_all_of_it_again),
        LAW(the_streams_of_a_silent_link_go_elsewhere_within_three_seconds),
        LAW(what_silences_one_link_of_a_bridge_casts_doubt_on_the_others),
        LAW(a_link_that_speaks_again_is_a_link_like_any_other),
        LAW(without_an_alternative_a_stream_stays_with_the_silent_link),
        LAW(a_bridge_that_comes_takes_the_streams_of_a_silent_one),
        LAW(a_bridge_that_goes_serves_what_it_was_asked_for),
        LAW(no_stream_uses_up_its_tries_between_a_silent_and_a_full_bridge),
        LAW(the_streams_of_a_full_bridge_stay_when_another_comes),
        LAW(the_streams_of_a_lively_bridge_stay_when_a_better_one_comes),
        LAW(a_stream_without_another_link_waits_for_one_to_come),
        LAW(it_waits_three_seconds),
        LAW(who_waits_for_room_gets_the_first_that_there_is),
        LAW(a_portal_that_ends_tries_nothing_again),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
