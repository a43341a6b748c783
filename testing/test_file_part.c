#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proxy/file_part.h"
#include "proxy/http_words.h"

/* 2026-11-20 12:00:00, with a fraction that no date has. */
static const struct file_facts facts = {.size = 1000, .changed = {1795176000, 5}};

static struct file_part part_of(uint64_t size, const char *method, const char *fields)
{
    char text[2048];
    struct http1_head h = {0};
    struct err e;
    struct file_facts f = facts;
    f.size = size;
    snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);
    assert_int_equal(http1_read(&h, (const uint8_t *)text, strlen(text), &e), STEP_DONE);
    return file_part_of(&h, (const uint8_t *)text, &f);
}

static void expect(const char *fields, int status, uint64_t at, uint64_t len)
{
    struct file_part p = part_of(facts.size, "GET", fields);
    if (p.status != status || p.at != at || p.len != len)
        fail_msg("%s: %d %lu+%lu, want %d %lu+%lu", fields, p.status, (unsigned long)p.at,
                 (unsigned long)p.len, status, (unsigned long)at, (unsigned long)len);
}

static void ranges_are_cut_to_the_file(void **state)
{
    (void)state;
    expect("", 200, 0, 1000);
    expect("Range: bytes=0-0\r\n", 206, 0, 1);
    expect("Range: bytes=0-999\r\n", 206, 0, 1000);
    expect("Range: bytes=10-\r\n", 206, 10, 990);
    expect("Range: bytes=990-2000\r\n", 206, 990, 10);
    expect("Range: bytes=-1\r\n", 206, 999, 1);
    expect("Range: bytes=-5000\r\n", 206, 0, 1000);
    expect("Range: BYTES=5-5\r\n", 206, 5, 1);
    expect("Range: bytes=0-99999999999999999999999999\r\n", 206, 0, 1000);
    expect("Range: bytes=1000-\r\n", 416, 0, 0);
    expect("Range: bytes=99999999999999999999999999-\r\n", 416, 0, 0);
    expect("Range: bytes=-0\r\n", 416, 0, 0);
}

static void what_is_no_single_range_means_the_whole_file(void **state)
{
    (void)state;
    static const char *const odd[] = {"bytes=",     "bytes=-",     "bytes=5-4",  "bytes=a-b",
                                      "bytes 0-1",  "items=0-1",   "bytes=0-1x", "bytes=0-1,3-4",
                                      "bytes=+1-2", "bytes=1 - 2", "0-1",        "bytes=--1"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char field[64];
        snprintf(field, sizeof field, "Range: %s\r\n", odd[i]);
        expect(field, 200, 0, 1000);
    }
    expect("Range: bytes=0-1\r\nRange: bytes=0-2\r\n", 200, 0, 1000);
    assert_int_equal(part_of(1000, "HEAD", "Range: bytes=0-1\r\n").status, 200);
}

static void an_empty_file_has_no_part(void **state)
{
    (void)state;
    assert_int_equal(part_of(0, "GET", "").status, 200);
    assert_int_equal(part_of(0, "GET", "Range: bytes=0-\r\n").status, 416);
    assert_int_equal(part_of(0, "GET", "Range: bytes=-1\r\n").status, 416);
}

static void who_has_it_gets_304(void **state)
{
    (void)state;
    char tag[FILE_TAG_ROOM], fields[512];
    file_tag(&facts, tag);
    static const char *const lists[] = {"%s", "W/%s", "\"x\", %s", "\"x\",W/\"y\" , W/%s",
                                        "\"\",%s, \"z\""};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char list[256];
        const char *mark = strstr(lists[i], "%s");
        snprintf(list, sizeof list, "%.*s%s%s", (int)(mark - lists[i]), lists[i], tag, mark + 2);
        snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", list);
        expect(fields, 304, 0, 0);
    }
    expect("If-None-Match: *\r\n", 304, 0, 0);
    expect("If-None-Match: \"x\"\r\n", 200, 0, 1000);
    expect("If-None-Match:\r\n", 200, 0, 1000);
    expect("If-Modified-Since: Fri, 20 Nov 2026 12:00:00 GMT\r\n", 304, 0, 0);
    expect("If-Modified-Since: Fri, 20 Nov 2026 12:00:01 GMT\r\n", 304, 0, 0);
    expect("If-Modified-Since: Fri, 20 Nov 2026 11:59:59 GMT\r\n", 200, 0, 1000);
    expect("If-Modified-Since: Thu, 20 Nov 2026 12:00:00 GMT\r\n", 200, 0, 1000); /* no such day */
    expect("If-Modified-Since: yesterday\r\n", 200, 0, 1000);
    /* the tag decides where there is one */
    expect("If-None-Match: \"x\"\r\nIf-Modified-Since: Fri, 20 Nov 2026 12:00:00 GMT\r\n", 200, 0,
           1000);
}

static void a_part_is_of_the_file_that_he_knows(void **state)
{
    (void)state;
    char tag[FILE_TAG_ROOM], fields[256];
    snprintf(fields, sizeof fields, "Range: bytes=1-1\r\nIf-Range: %s\r\n", file_tag(&facts, tag));
    expect(fields, 206, 1, 1);
    snprintf(fields, sizeof fields, "Range: bytes=1-1\r\nIf-Range: W/%s\r\n", tag);
    expect(fields, 200, 0, 1000);
    expect("Range: bytes=1-1\r\nIf-Range: \"x\"\r\n", 200, 0, 1000);
    expect("Range: bytes=1-1\r\nIf-Range: Fri, 20 Nov 2026 12:00:00 GMT\r\n", 206, 1, 1);
    expect("Range: bytes=1-1\r\nIf-Range: Fri, 20 Nov 2026 12:00:01 GMT\r\n", 200, 0, 1000);
}

static void a_changed_file_has_another_tag(void **state)
{
    (void)state;
    char a[FILE_TAG_ROOM], b[FILE_TAG_ROOM];
    struct file_facts f = facts;
    f.changed.tv_nsec++;
    assert_string_not_equal(file_tag(&facts, a), file_tag(&f, b));
    f = facts;
    f.size++;
    assert_string_not_equal(file_tag(&facts, a), file_tag(&f, b));
}

static void dates_are_read_as_they_are_written(void **state)
{
    (void)state;
    char text[HTTP_DATE_ROOM];
    time_t back;
    for (time_t t = 0; t < 4000000000; t += 86400 * 97 + 12345) {
        http_date(t, text);
        assert_true(
            http_date_read((const uint8_t *)text, (struct http1_span){0, strlen(text)}, &back));
        assert_int_equal(back, t);
    }
    assert_string_equal(http_date(784111777, text), "Sun, 06 Nov 1994 08:49:37 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_cut_to_the_file),
        cmocka_unit_test(what_is_no_single_range_means_the_whole_file),
        cmocka_unit_test(an_empty_file_has_no_part),
        cmocka_unit_test(who_has_it_gets_304),
        cmocka_unit_test(a_part_is_of_the_file_that_he_knows),
        cmocka_unit_test(a_changed_file_has_another_tag),
        cmocka_unit_test(dates_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
