#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "core/buf.h"

static struct buf *buf_with(struct buf_pool *pool, size_t len, uint8_t fill)
{
    struct buf *b = buf_new(pool);
    assert_non_null(b);
    memset(b->data, fill, len);
    b->len = len;
    return b;
}

/* All bytes of the queue, in order; empties it. */
static size_t bufq_drain(struct bufq *q, struct buf_pool *pool, uint8_t *to)
{
    struct buf *b;
    size_t len = 0;
    while ((b = bufq_take(q))) {
        memcpy(to + len, b->data, b->len);
        len += b->len;
        buf_free(pool, b);
    }
    assert_int_equal(q->bytes, 0);
    assert_int_equal(q->count, 0);
    assert_null(q->head);
    return len;
}

static void a_new_buf_is_empty_with_room_on_both_sides(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct buf *b = buf_with(&pool, 100, 1);
    buf_push(b, 10);
    buf_free(&pool, b);
    struct buf *again = buf_new(&pool);
    assert_ptr_equal(again, b); /* from the pool, and like new */
    assert_int_equal(again->len, 0);
    assert_int_equal(buf_headroom(again), BUF_HEAD);
    assert_int_equal(buf_room(again), BUF_ROOM);
    assert_null(again->next);
    buf_free(&pool, again);
    buf_free(&pool, NULL);
    buf_pool_shrink(&pool, 0);
}

static void push_and_pull_move_the_start(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct buf *b = buf_new(&pool);
    buf_append(b, "world", 5);
    memcpy(buf_push(b, 6), "hello ", 6);
    assert_int_equal(buf_headroom(b), BUF_HEAD - 6);
    assert_int_equal(b->len, 11);
    assert_memory_equal(b->data, "hello world", 11);
    assert_int_equal(buf_room(b), BUF_ROOM - 5);
    buf_pull(b, 6);
    assert_memory_equal(b->data, "world", 5);
    assert_int_equal(b->len, 5);
    buf_free(&pool, b);
    buf_pool_shrink(&pool, 0);
}

static void a_full_buf_has_its_tail_untouched(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct buf *b = buf_with(&pool, BUF_ROOM, 1);
    assert_int_equal(buf_room(b), 0);
    assert_int_equal(b->mem + BUF_BYTES - (b->data + b->len), BUF_TAIL);
    buf_free(&pool, b);
    buf_pool_shrink(&pool, 0);
}

static void the_pool_keeps_no_more_than_its_bound(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct buf_pool pool = {0};
    struct buf *bufs[MANY];
    for (int i = 0; i < MANY; i++)
        bufs[i] = buf_with(&pool, 1, 1);
    for (int i = 0; i < MANY; i++)
        buf_free(&pool, bufs[i]);
    assert_in_range(pool.kept, 1, 128);
    size_t kept = pool.kept;
    for (size_t i = 0; i < kept; i++)
        bufs[i] = buf_new(&pool);
    assert_int_equal(pool.kept, 0);
    assert_null(pool.free);
    for (size_t i = 0; i < kept; i++)
        buf_free(&pool, bufs[i]);
    buf_pool_shrink(&pool, 0);
    assert_int_equal(pool.kept, 0);
}

static void the_budget_counts_the_bufs_that_there_are(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct budget budget = {0};
    struct buf_pool one = {.budget = &budget}, other = {.budget = &budget};
    struct buf *bufs[MANY];
    for (size_t i = 0; i < MANY; i++) {
        bufs[i] = buf_new(i % 2 ? &one : &other);
        assert_int_equal(budget.used, (i + 1) * sizeof(struct buf));
    }
    for (int i = 0; i < MANY; i++) /* a buf may end up in another pool of the same budget */
        buf_free(i % 3 ? &one : &other, bufs[i]);
    assert_int_equal(budget.used, (one.kept + other.kept) * sizeof(struct buf));
    buf_pool_shrink(&one, 3);
    buf_pool_shrink(&other, 0);
    assert_int_equal(budget.used, 3 * sizeof(struct buf));
    buf_pool_shrink(&one, 0);
    assert_int_equal(budget.used, 0);
}

static void no_more_than_half_of_the_budget_is_promised(void **state)
{
    (void)state;
    struct budget b = {.limit = 1000}, none = {0};
    assert_true(budget_promise(&b, 300) && budget_promise(&b, 200));
    assert_false(budget_promise(&b, 1) || budget_promise(&b, 1000000));
    budget_release(&b, 1);
    assert_true(budget_promise(&b, 1));
    budget_release(&b, 500);
    assert_int_equal(b.promised, 0);
    assert_true(budget_promise(&none, SIZE_MAX) && budget_promise(NULL, SIZE_MAX));
    budget_release(&none, SIZE_MAX), budget_release(NULL, 1);
    assert_int_equal(none.promised, 0);
}

static void memory_is_scarce_above_a_share_of_the_budget_and_never_without_one(void **state)
{
    (void)state;
    struct budget b = {.limit = 1000}, none = {.used = 1 << 30};
    budget_add(&b, 500);
    assert_false(budget_above(&b, 50));
    budget_add(&b, 1);
    assert_true(budget_above(&b, 50));
    assert_false(budget_above(&b, 51));
    budget_add(&b, -1);
    assert_false(budget_above(&b, 50));
    budget_add(NULL, 1);
    assert_false(budget_above(&none, 0) || budget_above(NULL, 0));
}

static void a_queue_gives_in_the_order_of_putting(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct bufq q = {0};
    uint8_t got[64];
    assert_null(bufq_take(&q));
    bufq_put(&q, buf_with(&pool, 2, 'b'));
    bufq_put(&q, buf_with(&pool, 1, 'c'));
    bufq_unget(&q, buf_with(&pool, 1, 'a'));
    assert_int_equal(q.bytes, 4);
    assert_int_equal(q.count, 3);
    assert_int_equal(bufq_drain(&q, &pool, got), 4);
    assert_memory_equal(got, "abbc", 4);
    bufq_unget(&q, buf_with(&pool, 1, 'x')); /* the only one is also the last */
    bufq_put(&q, buf_with(&pool, 1, 'y'));
    assert_int_equal(bufq_drain(&q, &pool, got), 2);
    assert_memory_equal(got, "xy", 2);
    buf_pool_shrink(&pool, 0);
}

static void small_bufs_are_joined_large_ones_are_not(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct bufq q = {0};
    uint8_t got[64 * 1024];
    for (int i = 0; i < 10; i++)
        bufq_put_joined(&q, &pool, buf_with(&pool, 100, (uint8_t)i));
    assert_int_equal(q.count, 1);
    bufq_put_joined(&q, &pool, buf_with(&pool, BUF_DATA, 77));
    assert_int_equal(q.count, 2);
    bufq_put_joined(&q, &pool, buf_with(&pool, 100, 78)); /* no room in the last */
    assert_int_equal(q.count, 3);
    assert_int_equal(q.bytes, 1000 + BUF_DATA + 100);
    assert_int_equal(bufq_drain(&q, &pool, got), 1000 + BUF_DATA + 100);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(got[i], i / 100);
    assert_int_equal(got[1000], 77);
    assert_int_equal(got[1000 + BUF_DATA], 78);
    buf_pool_shrink(&pool, 0);
}

static void appending_splits_what_is_larger_than_a_buf(void **state)
{
    (void)state;
    struct buf_pool pool = {0};
    struct bufq q = {0};
    size_t len = 3 * BUF_ROOM + 5;
    uint8_t *from = malloc(len), *got = malloc(len + 10);
    randombytes_buf(from, len);
    assert_true(bufq_append(&q, &pool, "0123456789", 10));
    assert_true(bufq_append(&q, &pool, from, len));
    for (struct buf *b = q.head; b; b = b->next)
        assert_in_range(b->len, 1, BUF_ROOM);
    assert_int_equal(bufq_drain(&q, &pool, got), len + 10);
    assert_memory_equal(got, "0123456789", 10);
    assert_memory_equal(got + 10, from, len);
    free(from);
    free(got);
    buf_pool_shrink(&pool, 0);
}

/* The queue against an array of bytes. */
static void any_sequence_of_operations_keeps_every_byte(void **state)
{
    (void)state;
    enum { RUNS = 300, STEPS = 60, MOST = 20000 };
    static const uint32_t sizes[] = {1, 100, 4096, 4097, BUF_DATA, MOST};
    struct buf_pool pool = {0};
    uint8_t *model = malloc(STEPS * MOST), *from = malloc(MOST);
    for (int run = 0; run < RUNS; run++) {
        struct bufq q = {0};
        size_t start = 0, end = 0;
        for (int step = 0; step < STEPS; step++) {
            size_t most = sizes[randombytes_uniform(6)],
                   len = 1 + randombytes_uniform((uint32_t)most);
            struct buf *b;
            switch (randombytes_uniform(5)) {
            case 0:
            case 1:
                len = len < BUF_DATA ? len : BUF_DATA;
                b = buf_with(&pool, len, 0);
                randombytes_buf(b->data, len);
                memcpy(model + end, b->data, len);
                end += len;
                bufq_put_joined(&q, &pool, b);
                break;
            case 2:
                randombytes_buf(from, len);
                memcpy(model + end, from, len);
                end += len;
                assert_true(bufq_append(&q, &pool, from, len));
                break;
            default:
                if (!(b = bufq_take(&q)))
                    break;
                assert_memory_equal(b->data, model + start, b->len);
                size_t used = randombytes_uniform((uint32_t)b->len + 1);
                start += used;
                buf_pull(b, used);
                if (b->len)
                    bufq_unget(&q, b);
                else
                    buf_free(&pool, b);
            }
            assert_int_equal(q.bytes, end - start);
            assert_true(!q.head == !q.bytes);
        }
        bufq_free(&q, &pool);
        assert_int_equal(q.bytes, 0);
    }
    free(model);
    free(from);
    buf_pool_shrink(&pool, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buf_is_empty_with_room_on_both_sides),
        cmocka_unit_test(push_and_pull_move_the_start),
        cmocka_unit_test(a_full_buf_has_its_tail_untouched),
        cmocka_unit_test(the_pool_keeps_no_more_than_its_bound),
        cmocka_unit_test(the_budget_counts_the_bufs_that_there_are),
        cmocka_unit_test(no_more_than_half_of_the_budget_is_promised),
        cmocka_unit_test(memory_is_scarce_above_a_share_of_the_budget_and_never_without_one),
        cmocka_unit_test(a_queue_gives_in_the_order_of_putting),
        cmocka_unit_test(small_bufs_are_joined_large_ones_are_not),
        cmocka_unit_test(appending_splits_what_is_larger_than_a_buf),
        cmocka_unit_test(any_sequence_of_operations_keeps_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
