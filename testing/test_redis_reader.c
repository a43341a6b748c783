#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/redis.h"
#include "cluster/redis_reader.h"

/* What it says to these bytes, given in pieces: the replies as text, and then why there are no more. */
static void read_all(const char *bytes, size_t len, size_t piece, char *said, size_t room)
{
    struct redis_reader reader;
    struct err e = {0};
    redisReply *r;
    size_t used = 0;
    enum step s = STEP_MORE;
    said[0] = '\0';
    assert_true(redis_reader_init(&reader));
    for (size_t at = 0; at < len && s != STEP_FAIL; at += piece) {
        assert_true(redis_reader_feed(&reader, bytes + at, len - at < piece ? len - at : piece));
        while ((s = redis_reader_next(&reader, &r, &e)) == STEP_DONE) {
            used += (size_t)snprintf(said + used, room - used, "%d:%lld:%zu:%s|", r->type,
                                     r->integer, r->elements, r->str ? r->str : "");
            freeReplyObject(r);
        }
    }
    snprintf(said + used, room - used, "%s", s == STEP_FAIL ? e.text : "more");
    redis_reader_fini(&reader);
}

static void replies_are_the_same_however_they_are_split(void **state)
{
    (void)state;
    static const char bytes[] = "+OK\r\n:-42\r\n$5\r\nhello\r\n$-1\r\n*3\r\n$1\r\na\r\n*0\r\n:7\r\n"
                                "*-1\r\n-ERR no\r\n$0\r\n\r\n";
    char whole[512], split[512];
    read_all(bytes, sizeof bytes - 1, sizeof bytes, whole, sizeof whole);
    assert_string_equal(whole, "5:0:0:OK|3:-42:0:|1:0:0:hello|4:0:0:|2:0:3:|4:0:0:|6:0:0:ERR no|"
                               "1:0:0:|more");
    for (size_t piece = 1; piece < sizeof bytes; piece++) {
        read_all(bytes, sizeof bytes - 1, piece, split, sizeof split);
        assert_string_equal(split, whole);
    }
}

static void what_is_no_reply_ends_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 400 Bad Request\r\n", "$-2\r\n", "*-2\r\n", "$x\r\n",
        "*99999999999999999999\r\n",    "\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char said[512];
        read_all(texts[i], strlen(texts[i]), 1, said, sizeof said);
        assert_non_null(strstr(said, "not Redis'"));
    }
}

static void elements_are_bounded_in_all_arrays_together(void **state)
{
    (void)state;
    char said[512];
    read_all("*10001\r\n", 8, 8, said, sizeof said);
    assert_string_equal(said, "an answer with too many elements");
    read_all("*2147483647\r\n", 13, 13, said, sizeof said);
    assert_string_equal(said, "an answer with too many elements");
    read_all("*10000\r\n", 8, 8, said, sizeof said);
    assert_string_equal(said, "more");
    read_all("*5000\r\n*5000\r\n", 14, 14, said, sizeof said);
    assert_string_equal(said, "more");
    read_all("*5000\r\n*5001\r\n", 14, 14, said, sizeof said);
    assert_string_equal(said, "an answer with too many elements");
}

static void each_reply_has_the_whole_bound(void **state)
{
    (void)state;
    struct redis_reader reader;
    struct err e;
    redisReply *r;
    assert_true(redis_reader_init(&reader));
    for (int i = 0; i < 3; i++) {
        char *bytes = malloc(16 + 4 * REDIS_ELEMENTS);
        int len = sprintf(bytes, "*%d\r\n", REDIS_ELEMENTS);
        for (int n = 0; n < REDIS_ELEMENTS; n++, len += 4)
            memcpy(bytes + len, ":1\r\n", 4);
        assert_true(redis_reader_feed(&reader, bytes, (size_t)len));
        assert_int_equal(redis_reader_next(&reader, &r, &e), STEP_DONE);
        assert_int_equal(r->elements, REDIS_ELEMENTS);
        freeReplyObject(r);
        free(bytes);
    }
    redis_reader_fini(&reader);
}

static void arrays_are_four_deep_at_most(void **state)
{
    (void)state;
    char said[512];
    static const char four[] = "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                      five[] = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n";
    read_all(four, sizeof four - 1, 1, said, sizeof said);
    assert_string_equal(said, "2:0:1:|more");
    read_all(five, sizeof five - 1, 1, said, sizeof said);
    assert_string_equal(said, "an answer with too many elements");
}

/* Of a bulk that is announced with more, and of a line without an end. */
static void bytes_of_a_reply_are_bounded(void **state)
{
    (void)state;
    static const char *const begins[] = {"$900000000\r\n", "+", "*2\r\n$900000\r\n"};
    size_t len = REDIS_REPLY + 64 * 1024;
    char *bytes = malloc(len), said[512];
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        memset(bytes, 'x', len);
        memcpy(bytes, begins[i], strlen(begins[i]));
        if (i == 2)
            memcpy(bytes + strlen(begins[i]) + 900000, "\r\n$900000\r\n", 11);
        read_all(bytes, len, 16 * 1024, said, sizeof said);
        assert_string_equal(said, "an answer of more than 1048576 bytes");
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_the_same_however_they_are_split),
        cmocka_unit_test(what_is_no_reply_ends_it),
        cmocka_unit_test(elements_are_bounded_in_all_arrays_together),
        cmocka_unit_test(each_reply_has_the_whole_bound),
        cmocka_unit_test(arrays_are_four_deep_at_most),
        cmocka_unit_test(bytes_of_a_reply_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
