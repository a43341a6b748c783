#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/http_body.h"

static void check(struct http_body from, const char *text, size_t len, int end, size_t cut)
{
    struct err e;
    struct http_body b = from;
    size_t took = 0, more = 0;
    int step = http_body_take(&b, (const uint8_t *)text, cut, &took, &e);
    if (step == 0 && took == cut)
        step = http_body_take(&b, (const uint8_t *)text + cut, len - cut, &more, &e);
    assert_int_equal(step, end < 0 ? -1 : 0);
    if (end < 0)
        return;
    assert_int_equal(took + more, end);
    assert_int_equal(b.state == HTTP_BODY_DONE, (size_t)end < len || text[len - 1] == '.');
}

/* end: bytes of the body; -1: refused. A "." at the end stands for "and that was all". */
static const struct {
    const char *text;
    int end;
} chunked[] = {
    {"0\r\n\r\n.", 5},
    {"5\r\nhello\r\n0\r\n\r\n.", 15},
    {"00000005\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 22},
    {"A;name=value\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n.", 43},
    {"a ;x\r\n", -1},
    {"\r\n", -1},
    {"5\nhello", -1},
    {"0x5\r\n", -1},
    {"-1\r\n", -1},
    {"+5\r\n", -1},
    {"000000005\r\n", -1},
    {"5\r\nhello5", -1},
    {"5\r\nhello\r5", -1},
    {"5\r\nhello\n", -1},
    {"0\r\nA: b\n\r\n", -1},
    {"0\r\nA: b\r \r\n", -1},
    {"0\r\nA:\r\nB-c:d\r\n\r\n.", 16},
    {"0\r\nA\r\n\r\n", -1},
    {"0\r\nA : b\r\n\r\n", -1},
    {"0\r\n: b\r\n\r\n", -1},
    {"0\r\nA: b\r\n c\r\n\r\n", -1},
    {"0\r\nContent-Length: 5\r\n\r\n", -1},
    {"0\r\ntransfer_encoding: x\r\n\r\n", -1},
    {"0\r\nHost: b\r\n\r\n", -1},
    {"0\r\nX-Forwarded-Something-Long: b\r\n\r\n", -1},
    {"0\r\nContent-Length-And-Some-More: b\r\n\r\n.", 38},
    {"0\r\nA\1: b\r\n\r\n", -1},
    {"5;x\ny\r\n", -1},
};

static void chunks_survive_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chunked / sizeof *chunked; i++)
        for (size_t cut = 0; cut <= strlen(chunked[i].text); cut++)
            check(http_body_chunked(), chunked[i].text, strlen(chunked[i].text), chunked[i].end,
                  cut);
}

static void a_length_is_exact(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= 11; cut++) {
        check(http_body_counted(10), "0123456789.", 11, 10, cut);
        check(http_body_counted(0), "0123456789.", 11, 0, cut);
        check(http_body_counted(100), "0123456789x", 11, 11, cut);
    }
}

static void a_body_until_close_is_all_that_comes(void **state)
{
    (void)state;
    struct err e;
    struct http_body b = {.state = HTTP_BODY_UNTIL_CLOSE};
    size_t took;
    assert_int_equal(http_body_take(&b, (const uint8_t *)"0\r\n\r\n", 5, &took, &e), 0);
    assert_int_equal(took, 5);
    assert_true(http_body_whole(&b));
    b = http_body_counted(6);
    assert_int_equal(http_body_take(&b, (const uint8_t *)"0\r\n\r\n", 5, &took, &e), 0);
    assert_false(http_body_whole(&b));
    b = http_body_chunked();
    assert_int_equal(http_body_take(&b, (const uint8_t *)"0\r\n\r\n", 4, &took, &e), 0);
    assert_false(http_body_whole(&b));
}

static void extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    struct err e;
    size_t took;
    char text[10000];
    memset(text, 'x', sizeof text);
    struct http_body b = http_body_chunked();
    assert_int_equal(http_body_take(&b, (const uint8_t *)"1;", 2, &took, &e), 0);
    assert_int_equal(http_body_take(&b, (const uint8_t *)text, 257, &took, &e), -1);
    b = http_body_chunked();
    assert_int_equal(http_body_take(&b, (const uint8_t *)"0\r\n", 3, &took, &e), 0);
    assert_int_equal(http_body_take(&b, (const uint8_t *)text, sizeof text, &took, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_survive_any_split),
        cmocka_unit_test(a_length_is_exact),
        cmocka_unit_test(a_body_until_close_is_all_that_comes),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
