#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "mux/frame.h"
#include "testing/vectors.h"

enum { WIRE_MAX = 4096, ROUTE_TEXT = 300 };

struct sample {
    uint8_t wire[WIRE_MAX], data[WIRE_MAX];
    size_t len, data_len;
    struct mux_frame frame; /* all but its route: */
    char route[ROUTE_TEXT];
};

/* which: what the keys of this address begin with. */
static void sample_address(struct vectors *v, int i, const char *which, struct addr *a)
{
    uint8_t bytes[ADDR_NAME_MAX];
    size_t len = vectors_bytes(v, bytes, sizeof bytes, "good.%d.%saddress", i, which);
    bool target = *which == '\0';
    a->type = (uint8_t)vectors_number(v, "good.%d.%stype", i, target ? "address_" : which);
    a->port = (uint16_t)vectors_number(v, "good.%d.%sport", i, which);
    if (a->type == ADDR_NAME) {
        memcpy(a->name, bytes, len);
        a->name[len] = '\0';
    } else {
        memcpy(a->ip, bytes, len);
    }
}

static void sample_read(struct vectors *v, int i, struct sample *s)
{
    *s = (struct sample){0};
    s->len = vectors_bytes(v, s->wire, sizeof s->wire, "good.%d.wire", i);
    if (vectors_has(v, "good.%d.data", i))
        s->data_len = vectors_bytes(v, s->data, sizeof s->data, "good.%d.data", i);
    s->frame.id = (uint16_t)vectors_number(v, "good.%d.id", i);
    s->frame.status = (uint8_t)vectors_number(v, "good.%d.status", i);
    vectors_bytes(v, &s->frame.option, 1, "good.%d.option", i);
    s->frame.data_len = (uint16_t)s->data_len;
    if (s->frame.status != MUX_NEW)
        return;
    s->frame.net = (uint8_t)vectors_number(v, "good.%d.network", i);
    sample_address(v, i, "", &s->frame.target);
    if (vectors_has(v, "good.%d.source_type", i))
        sample_address(v, i, "source_", &s->frame.source);
    s->frame.routed = vectors_has(v, "good.%d.route", i);
    snprintf(s->route, sizeof s->route, "%s",
             s->frame.routed ? vectors_text(v, "good.%d.route", i) : "");
}

/* As the vectors have it: the fields in order. */
static void assert_route(const struct mux_frame *f, const char *wanted)
{
    const struct link_route *r = &f->route;
    const struct link_tunnel *t = &r->tunnel;
    char text[ROUTE_TEXT] = "";
    if (f->routed)
        snprintf(text, sizeof text, "%llu %llu %u %u \"%.*s\" \"%.*s\"",
                 (unsigned long long)r->portal, (unsigned long long)r->epoch, r->by_claim, t->by,
                 t->tenant.len, t->tenant.p, t->name.len, t->name.p);
    assert_string_equal(text, wanted);
}

static void assert_frame(const struct mux_frame *f, const struct mux_frame *wanted)
{
    assert_int_equal(f->id, wanted->id);
    assert_int_equal(f->status, wanted->status);
    assert_int_equal(f->option, wanted->option);
    assert_int_equal(f->data_len, wanted->data_len);
    assert_int_equal(f->net, wanted->net);
    assert_int_equal(f->target.type, wanted->target.type);
    if (wanted->target.type)
        assert_true(addr_equal(&f->target, &wanted->target));
    assert_int_equal(f->source.type, wanted->source.type);
    if (wanted->source.type)
        assert_true(addr_equal(&f->source, &wanted->source));
}

static void each_sample(void (*law)(const struct sample *s))
{
    struct vectors *v = vectors_open("mux.txt");
    struct sample s;
    for (int i = 0; i < vectors_number(v, "good.count"); i++) {
        sample_read(v, i, &s);
        law(&s);
    }
    vectors_close(v);
}

static void reads_as_told(const struct sample *s)
{
    struct cursor c = cur_of(s->wire, s->len);
    struct mux_frame f;
    struct err e;
    assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
    assert_frame(&f, &s->frame);
    assert_route(&f, s->route);
    assert_int_equal(cur_left(&c), s->data_len);
    assert_memory_equal(c.p, s->data, s->data_len);
}

static void every_good_frame_reads_as_its_vector_says(void **state)
{
    (void)state;
    each_sample(reads_as_told);
}

/* Memory of exactly the size that is shown, so that a sanitizer sees a read behind it. */
static void waits_when_cut(const struct sample *s)
{
    size_t head = s->len - s->data_len;
    for (size_t cut = 0; cut < head; cut++) {
        uint8_t *part = test_malloc(cut ? cut : 1);
        memcpy(part, s->wire, cut);
        struct cursor c = cur_of(part, cut);
        struct mux_frame f;
        struct err e;
        assert_int_equal(mux_frame_read(&c, &f, &e), STEP_MORE);
        assert_ptr_equal(c.p, part);
        test_free(part);
    }
}

static void a_frame_cut_anywhere_waits_and_consumes_nothing(void **state)
{
    (void)state;
    each_sample(waits_when_cut);
}

/* What the extensions of others append to the metadata is dropped, so the copy may be shorter. */
static void same_when_written(const struct sample *s)
{
    uint8_t again[MUX_HEAD_MAX];
    struct writer w = wr_of(again, sizeof again);
    struct cursor told = cur_of(s->wire, s->len);
    struct mux_frame f;
    struct err e;
    mux_frame_read(&told, &f, &e);
    mux_frame_write(&w, &f);
    assert_false(w.overflow);
    size_t head = s->len - s->data_len;
    assert_true(wr_len(&w) <= head);
    if (wr_len(&w) == head)
        assert_memory_equal(again, s->wire, head);
    struct cursor c = cur_of(again, wr_len(&w));
    assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
    assert_frame(&f, &s->frame);
    assert_route(&f, s->route);
    assert_int_equal(cur_left(&c), 0);
}

static void what_was_read_writes_as_the_same_bytes(void **state)
{
    (void)state;
    each_sample(same_when_written);
}

static void every_bad_frame_fails_and_consumes_nothing(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("mux.txt");
    for (int i = 0; i < vectors_number(v, "bad.count"); i++) {
        uint8_t wire[WIRE_MAX];
        size_t len = vectors_bytes(v, wire, sizeof wire, "bad.%d.wire", i);
        struct cursor c = cur_of(wire, len);
        struct mux_frame f;
        struct err e = {0};
        assert_int_equal(mux_frame_read(&c, &f, &e), STEP_FAIL);
        assert_ptr_equal(c.p, wire);
        assert_int_not_equal(e.code, 0);
        assert_true(strlen(e.text) > 0);
    }
    vectors_close(v);
}

static void every_status_option_and_metadata_length_has_a_verdict(void **state)
{
    (void)state;
    uint8_t wire[MUX_HEAD_MAX + 8] = {0};
    struct mux_frame f;
    struct err e;
    for (unsigned meta = 0; meta <= MUX_META_MAX + 1; meta++) {
        for (unsigned status = 0; status <= 6; status++) {
            wire[0] = (uint8_t)(meta >> 8), wire[1] = (uint8_t)meta;
            wire[4] = (uint8_t)status, wire[5] = MUX_DATA;
            struct cursor c = cur_of(wire, sizeof wire);
            bool fine =
                meta >= 4 && meta <= MUX_META_MAX && status >= MUX_KEEP && status <= MUX_KEEPALIVE;
            assert_int_equal(mux_frame_read(&c, &f, &e), fine ? STEP_DONE : STEP_FAIL);
        }
    }
}

static void unknown_options_are_kept_and_do_no_harm(void **state)
{
    (void)state;
    for (unsigned option = 0; option < 256; option++) {
        const uint8_t wire[] = {0, 4, 1, 2, MUX_KEEP, (uint8_t)option, 0, 9};
        struct cursor c = cur_of(wire, sizeof wire);
        struct mux_frame f;
        struct err e;
        assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
        assert_int_equal(f.option, option);
        assert_int_equal(f.data_len, option & MUX_DATA ? 9 : 0);
    }
}

/* Whatever others append to New, and wherever it is cut, the target is read and the frame ends where its
 * length says. */
static void any_extension_behind_the_target_is_harmless(void **state)
{
    (void)state;
    uint8_t wire[MUX_HEAD_MAX] = {0, 0, 0, 1, MUX_NEW, 0, NET_TCP, 0, 80, 1, 10, 9, 8, 7};
    for (unsigned round = 0; round < 20000; round++) {
        size_t more = randombytes_uniform(40);
        uint8_t *exact = test_malloc(14 + more);
        struct mux_frame f;
        struct err e;
        randombytes_buf(wire + 14, more);
        if (more && randombytes_uniform(2))
            wire[14] = NET_TCP;
        if (more > 3)
            wire[17] %= 5;
        wire[1] = (uint8_t)(12 + more), wire[6] = round % 2 ? NET_TCP : NET_UDP;
        memcpy(exact, wire, 14 + more);
        struct cursor c = cur_of(exact, 14 + more);
        assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
        assert_int_equal(cur_left(&c), 0);
        assert_true(f.target.type == ADDR_IPV4 && f.target.port == 80);
        assert_true(f.source.type == ADDR_NONE || (f.net == NET_TCP && wire[14] == NET_TCP));
        assert_int_not_equal(f.source.type, ADDR_NAME);
        test_free(exact);
    }
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    struct mux_frame f = {.id = 7, .status = MUX_NEW, .net = NET_TCP}, again;
    f.target.type = ADDR_NAME;
    memset(f.target.name, 'a', ADDR_NAME_MAX);
    f.source = (struct addr){.type = ADDR_IPV6, .port = 1};
    uint8_t wire[MUX_HEAD_MAX];
    struct writer w = wr_of(wire, sizeof wire);
    struct err e;
    mux_frame_write(&w, &f);
    struct cursor c = cur_of(wire, wr_len(&w));
    assert_false(w.overflow);
    assert_int_equal(mux_frame_read(&c, &again, &e), STEP_DONE);
    assert_frame(&again, &f);
}

static void a_keep_head_is_the_frame_written(void **state)
{
    (void)state;
    static const uint16_t values[] = {0, 1, 255, 256, 0x1234, 65535};
    for (size_t i = 0; i < 6; i++) {
        uint8_t head[MUX_KEEP_HEAD], frame[MUX_HEAD_MAX];
        struct writer w = wr_of(frame, sizeof frame);
        mux_keep_head(head, values[i], values[5 - i]);
        mux_frame_write(&w, &(struct mux_frame){.id = values[i],
                                                .status = MUX_KEEP,
                                                .option = MUX_DATA,
                                                .data_len = values[5 - i]});
        assert_int_equal(wr_len(&w), MUX_KEEP_HEAD);
        assert_memory_equal(head, frame, MUX_KEEP_HEAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_good_frame_reads_as_its_vector_says),
        cmocka_unit_test(a_frame_cut_anywhere_waits_and_consumes_nothing),
        cmocka_unit_test(what_was_read_writes_as_the_same_bytes),
        cmocka_unit_test(every_bad_frame_fails_and_consumes_nothing),
        cmocka_unit_test(every_status_option_and_metadata_length_has_a_verdict),
        cmocka_unit_test(unknown_options_are_kept_and_do_no_harm),
        cmocka_unit_test(any_extension_behind_the_target_is_harmless),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(a_keep_head_is_the_frame_written),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
