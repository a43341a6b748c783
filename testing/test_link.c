#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "mux/frame.h"
#include "mux/link.h"
#include "testing/vectors.h"

enum { ITEMS_MAX = LINK_MAX / 3, TEXT_MAX = 600 };

struct message {
    struct link_item items[ITEMS_MAX];
    size_t count;
    bool ours;
};

/* The texts of an item, in turn. */
static struct link_text *item_part(struct link_item *i, unsigned which)
{
    struct link_text *names[] = {&i->names.node, &i->names.cluster, &i->names.tenant};
    struct link_text *node[] = {&i->node.name, &i->node.zone};
    struct link_text *ask[] = {&i->ask.tunnel.tenant, &i->ask.tunnel.name, &i->ask.host};
    struct link_text *have[] = {&i->have.holder.tenant, &i->have.holder.name};
    if (i->type == LINK_NAMES)
        return which < 3 ? names[which] : NULL;
    if (i->type == LINK_NODE)
        return which < 2 ? node[which] : NULL;
    if (i->type == LINK_ASK)
        return which < 3 ? ask[which] : NULL;
    if (i->type == LINK_HAVE && which >= 2)
        return which < 2u + i->have.count ? &i->have.at[which - 2].node : NULL;
    if (i->type == LINK_HAVE)
        return have[which];
    if (i->type == LINK_HOST || i->type == LINK_HOST_ANSWER)
        return which == 0 ? &i->host.name : NULL;
    return i->type == LINK_WHY && which == 0 ? &i->why : NULL;
}

/* What points into one copy points into the other. */
static void item_move(struct link_item *i, const uint8_t *from, const uint8_t *to)
{
    struct link_text *t;
    for (unsigned n = 0; (t = item_part(i, n)); n++)
        t->p = (const char *)to + ((const uint8_t *)t->p - from);
}

/* From memory of exactly that size. */
static struct message message_of(const uint8_t *bytes, size_t len)
{
    struct message m = {0};
    uint8_t *exact = test_malloc(len ? len : 1);
    if (len)
        memcpy(exact, bytes, len);
    struct cursor c = cur_of(exact, len);
    m.ours = link_read_magic(&c);
    while (m.ours && link_read(&c, &m.items[m.count])) {
        item_move(&m.items[m.count], exact, bytes);
        assert_true(++m.count < ITEMS_MAX);
    }
    test_free(exact);
    return m;
}

#define TEXT(t) (t).len, (t).p

static void answer_text(const struct link_answer *a, char text[TEXT_MAX])
{
    int len = snprintf(text, TEXT_MAX, "HAVE %llu %u %u %llu %u \"%.*s\" \"%.*s\"",
                       (unsigned long long)a->token, a->known, a->is_private,
                       (unsigned long long)a->portal, a->holder.by, TEXT(a->holder.tenant),
                       TEXT(a->holder.name));
    for (const struct link_place *p = a->at; p < a->at + a->count; p++)
        len += snprintf(text + len, (size_t)(TEXT_MAX - len), " %llu %u \"%.*s\"",
                        (unsigned long long)p->epoch, p->links, TEXT(p->node));
}

/* As the vectors have it: the type and its fields in order. */
/* What portals of a cluster say to each other. */
static void item_of_portals_text(const struct link_item *i, char text[TEXT_MAX])
{
    char place[ADDR_TEXT_MAX];
    switch (i->type) {
    case LINK_NODE:
        snprintf(text, TEXT_MAX, "NODE %u %u %llu %u %u %u %u \"%.*s\" \"%.*s\"", i->node.state,
                 i->node.version, (unsigned long long)i->node.epoch, i->node.portals,
                 i->node.wanted, i->node.spread, i->node.links, TEXT(i->node.name),
                 TEXT(i->node.zone));
        return;
    case LINK_ASK:
        snprintf(text, TEXT_MAX, "ASK %llu %u %llu %u \"%.*s\" \"%.*s\" \"%.*s\"",
                 (unsigned long long)i->ask.token, i->ask.kind, (unsigned long long)i->ask.portal,
                 i->ask.tunnel.by, TEXT(i->ask.tunnel.tenant), TEXT(i->ask.tunnel.name),
                 TEXT(i->ask.host));
        return;
    case LINK_HAVE:
        answer_text(&i->have, text);
        return;
    case LINK_PLACE:
        snprintf(text, TEXT_MAX, "PLACE %s", addr_text(&i->place, place));
        return;
    default:
        fail_msg("type %u was read", i->type);
    }
}

static void item_text(const struct link_item *i, char text[TEXT_MAX])
{
    const struct link_hello *h = &i->hello;
    switch (i->type) {
    case LINK_HELLO:
        snprintf(text, TEXT_MAX, "HELLO %u %u %u %u %u %u %u %llu", h->version, h->datagram_max,
                 h->features, h->window, h->streams, h->shard, h->shards,
                 (unsigned long long)h->instance);
        return;
    case LINK_WINDOW:
        snprintf(text, TEXT_MAX, "WINDOW %u %u", i->stream, i->credit);
        return;
    case LINK_BLOCKED:
        snprintf(text, TEXT_MAX, "BLOCKED %u", i->stream);
        return;
    case LINK_OPENED:
        snprintf(text, TEXT_MAX, "OPENED %u", i->stream);
        return;
    case LINK_REFUSED:
        snprintf(text, TEXT_MAX, "REFUSED %u %u", i->stream, i->refusal);
        return;
    case LINK_PING:
        snprintf(text, TEXT_MAX, "PING %llu", (unsigned long long)i->token);
        return;
    case LINK_PONG:
        snprintf(text, TEXT_MAX, "PONG %llu", (unsigned long long)i->token);
        return;
    case LINK_GOAWAY:
        snprintf(text, TEXT_MAX, "GOAWAY %u %u", i->going.reason, i->going.wait);
        return;
    case LINK_NAMES:
        snprintf(text, TEXT_MAX, "NAMES %u \"%.*s\" \"%.*s\" \"%.*s\"", i->names.weight,
                 TEXT(i->names.node), TEXT(i->names.cluster), TEXT(i->names.tenant));
        return;
    case LINK_HOST:
        snprintf(text, TEXT_MAX, "HOST \"%.*s\"", TEXT(i->host.name));
        return;
    case LINK_HOST_ANSWER:
        snprintf(text, TEXT_MAX, "HOST_ANSWER %u \"%.*s\"", i->host.answer, TEXT(i->host.name));
        return;
    case LINK_WEIGHT:
        snprintf(text, TEXT_MAX, "WEIGHT %u", i->weight);
        return;
    case LINK_WHY:
        snprintf(text, TEXT_MAX, "WHY \"%.*s\"", TEXT(i->why));
        return;
    default:
        item_of_portals_text(i, text);
    }
}

static size_t message_write(const struct message *m, uint8_t bytes[LINK_MAX])
{
    struct writer w = wr_of(bytes, LINK_MAX);
    link_write_magic(&w);
    for (size_t i = 0; i < m->count; i++)
        link_write(&w, &m->items[i]);
    assert_false(w.overflow);
    return wr_len(&w);
}

static void assert_same_items(const struct message *a, const struct message *b)
{
    char one[TEXT_MAX], other[TEXT_MAX];
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        item_text(&a->items[i], one), item_text(&b->items[i], other);
        assert_string_equal(one, other);
    }
}

static void each_good(void (*law)(struct vectors *v, int i, const uint8_t *bytes, size_t len))
{
    struct vectors *v = vectors_open("link.txt");
    for (int i = 0; i < vectors_number(v, "good.count"); i++) {
        uint8_t bytes[LINK_MAX];
        size_t len = vectors_bytes(v, bytes, sizeof bytes, "good.%d.message", i);
        law(v, i, bytes, len);
    }
    vectors_close(v);
}

static void reads_as_told(struct vectors *v, int i, const uint8_t *bytes, size_t len)
{
    struct message m = message_of(bytes, len);
    assert_true(m.ours);
    assert_int_equal(m.count, vectors_number(v, "good.%d.items", i));
    for (size_t j = 0; j < m.count; j++) {
        char text[TEXT_MAX];
        item_text(&m.items[j], text);
        assert_string_equal(text, vectors_text(v, "good.%d.item.%zu", i, j));
    }
}

static void every_message_reads_as_its_vector_says(void **state)
{
    (void)state;
    each_good(reads_as_told);
}

static void writes_the_same(struct vectors *v, int i, const uint8_t *bytes, size_t len)
{
    uint8_t again[LINK_MAX];
    struct message m = message_of(bytes, len);
    size_t wrote = message_write(&m, again);
    if (vectors_number(v, "good.%d.exact", i)) {
        assert_int_equal(wrote, len);
        assert_memory_equal(again, bytes, len);
    }
    struct message read = message_of(again, wrote);
    assert_same_items(&m, &read);
}

static void what_was_read_writes_as_the_same_bytes(void **state)
{
    (void)state;
    each_good(writes_the_same);
}

static void the_frame_is_ours(struct vectors *v, int i, const uint8_t *bytes, size_t len)
{
    uint8_t wire[LINK_MAX + 8];
    struct mux_frame f;
    struct err e;
    struct cursor c = cur_of(wire, vectors_bytes(v, wire, sizeof wire, "good.%d.frame", i));
    assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
    assert_int_equal(f.status, MUX_KEEPALIVE);
    assert_int_equal(f.id, 0);
    assert_int_equal(f.data_len, len);
    assert_int_equal(cur_left(&c), len);
    assert_memory_equal(c.p, bytes, len);
}

static void the_frame_around_a_message_is_a_keepalive_of_stream_0(void **state)
{
    (void)state;
    each_good(the_frame_is_ours);
}

/* How many items lie whole within the first `cut` bytes, known or not. */
static size_t whole_items(const uint8_t *bytes, size_t cut)
{
    size_t at = 4, count = 0;
    while (at + 3 <= cut && (at += 3u + (size_t)(bytes[at + 1] << 8 | bytes[at + 2])) <= cut)
        count++;
    return count;
}

static void cut_it_has_the_items_that_are_whole(struct vectors *v, int i, const uint8_t *bytes,
                                                size_t len)
{
    (void)v, (void)i;
    struct message all = message_of(bytes, len);
    bool only_known = whole_items(bytes, len) == all.count;
    for (size_t cut = 0; cut < len; cut++) {
        struct message part = message_of(bytes, cut);
        assert_int_equal(part.ours, cut >= 4);
        assert_true(part.count <= all.count);
        if (only_known && cut >= 4)
            assert_int_equal(part.count, whole_items(bytes, cut));
        struct message same = all;
        same.count = part.count;
        assert_same_items(&part, &same);
    }
}

static void a_message_cut_anywhere_has_the_items_that_are_whole(void **state)
{
    (void)state;
    each_good(cut_it_has_the_items_that_are_whole);
}

static void an_item_is_read_only_when_it_is_long_enough(void **state)
{
    (void)state;
    static const size_t shortest[] = {
        [LINK_HELLO] = 3,   [LINK_WINDOW] = 6, [LINK_BLOCKED] = 2, [LINK_OPENED] = 2,
        [LINK_REFUSED] = 3, [LINK_PING] = 8,   [LINK_PONG] = 8,    [LINK_GOAWAY] = 5,
        [LINK_NAMES] = 4,   [LINK_HOST] = 1,   [LINK_WEIGHT] = 1,  [LINK_HOST_ANSWER] = 2,
        [LINK_WHY] = 1,     [LINK_NODE] = 23,  [LINK_ASK] = 21,    [LINK_HAVE] = 21,
        [LINK_PLACE] = 255 /* zeros are no address */};
    for (unsigned type = 0; type < 256; type++)
        for (uint8_t len = 0; len < 40; len++) {
            bool text = type == LINK_HOST || type == LINK_WHY; /* its length comes first: 0 */
            uint8_t bytes[50] = {'v', '2', 'c', '1', (uint8_t)type, 0, len, !text};
            bool known = type >= LINK_HELLO && type <= LINK_PLACE;
            struct message m = message_of(bytes, 7u + len);
            assert_int_equal(m.count, known && len >= shortest[type]);
        }
}

static bool is_read(uint8_t type, const char *text, size_t len)
{
    uint8_t bytes[LINK_MAX] = {'v', '2', 'c', '1', type};
    struct writer w = wr_of(bytes + 5, sizeof bytes - 5);
    wr_be16(&w, (uint16_t)(1 + len));
    wr_u8(&w, (uint8_t)len);
    wr_bytes(&w, text, len);
    return message_of(bytes, 5 + wr_len(&w)).count == 1;
}

static void a_text_is_read_up_to_its_longest_and_when_it_is_printable(void **state)
{
    (void)state;
    char text[255];
    memset(text, 'a', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        assert_int_equal(is_read(LINK_HOST, text, len), len <= LINK_HOST_MAX);
        assert_int_equal(is_read(LINK_WHY, text, len), len <= LINK_WHY_MAX);
    }
    for (unsigned c = 0; c < 256; c++) {
        text[1] = (char)c;
        assert_int_equal(is_read(LINK_WHY, text, 3), c >= ' ' && c <= '~');
    }
}

static void names_are_read_when_they_are_names(void **state)
{
    (void)state;
    static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    char text[LINK_NAME_MAX + 1];
    for (unsigned which = 0; which < 3; which++)
        for (unsigned c = 0; c < 256; c++) {
            uint8_t bytes[LINK_MAX];
            struct message m = {.count = 1, .items = {{.type = LINK_NAMES}}};
            memset(text, 'n', sizeof text);
            text[5] = (char)c;
            *item_part(m.items, which) = (struct link_text){text, LINK_NAME_MAX};
            size_t len = message_write(&m, bytes);
            assert_int_equal(message_of(bytes, len).count, c && strchr(good, (int)c));
        }
    struct message m = {.count = 1, .items = {{.type = LINK_NAMES}}};
    uint8_t bytes[LINK_MAX];
    m.items[0].names.node = (struct link_text){text, LINK_NAME_MAX + 1};
    text[5] = 'n';
    assert_int_equal(message_of(bytes, message_write(&m, bytes)).count, 0);
}

static void what_is_not_ours_has_no_items(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("link.txt");
    for (int i = 0; i < vectors_number(v, "bad.count"); i++) {
        uint8_t bytes[LINK_MAX];
        size_t len = vectors_bytes(v, bytes, sizeof bytes, "bad.%d.message", i);
        assert_false(message_of(bytes, len).ours);
    }
    vectors_close(v);
}

static void any_bytes_behind_the_magic_are_harmless(void **state)
{
    (void)state;
    uint8_t bytes[LINK_MAX] = {'v', '2', 'c', '1'}, again[LINK_MAX];
    for (int i = 0; i < 5000; i++) {
        size_t len = randombytes_uniform(sizeof bytes - 4);
        randombytes_buf(bytes + 4, len);
        for (size_t at = 4; at + 2 < 4 + len; at += randombytes_uniform(12))
            bytes[at] %= 18, bytes[at + 1] = 0, bytes[at + 2] %= 40;
        struct message m = message_of(bytes, 4 + len);
        for (size_t j = 0; j < m.count; j++) {
            struct message one = {.items = {m.items[j]}, .count = 1}, read;
            read = message_of(again, message_write(&one, again));
            assert_same_items(&one, &read);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_reads_as_its_vector_says),
        cmocka_unit_test(what_was_read_writes_as_the_same_bytes),
        cmocka_unit_test(the_frame_around_a_message_is_a_keepalive_of_stream_0),
        cmocka_unit_test(a_message_cut_anywhere_has_the_items_that_are_whole),
        cmocka_unit_test(an_item_is_read_only_when_it_is_long_enough),
        cmocka_unit_test(a_text_is_read_up_to_its_longest_and_when_it_is_printable),
        cmocka_unit_test(names_are_read_when_they_are_names),
        cmocka_unit_test(what_is_not_ours_has_no_items),
        cmocka_unit_test(any_bytes_behind_the_magic_are_harmless),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
