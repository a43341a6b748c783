#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "proxy/http_target.h"

static void a_path_is_between_the_host_and_the_query(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } targets[] = {
        {"/", "/", ""},
        {"/a?b", "/a", "?b"},
        {"/a?b?c/d", "/a", "?b?c/d"},
        {"http://host/a?b", "/a", "?b"},
        {"http://host", "", ""},
        {"http://host?b", "", ""}, /* a host that no reader of heads lets through */
        {"*", "*", ""},
        {"/http://host/a", "/http://host/a", ""},
    };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const char *text = targets[i].target;
        struct http1_span all = {0, strlen(text)};
        struct http1_span path = http_target_path((const uint8_t *)text, all);
        struct http1_span query = http_target_query(all, path);
        assert_int_equal(path.len, strlen(targets[i].path));
        assert_memory_equal(text + path.at, targets[i].path, path.len);
        assert_int_equal(query.len, strlen(targets[i].query));
        assert_memory_equal(text + query.at, targets[i].query, query.len);
    }
}

static void every_byte_comes_back_as_it_was_written(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char byte = (char)c;
        struct page p = {0};
        size_t took;
        http_target_write(&p, &byte, 1);
        assert_int_equal(http_target_byte((const uint8_t *)p.text, p.len, &took), c);
        assert_int_equal(took, p.len);
        assert_true(c == '/' || c == '?' || c == '%' || c == '"' || c == ':' ? p.len == 3 : true);
        page_free(&p);
    }
}

static void what_is_no_byte_is_told(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%4", "%4g", "%g4", "%%41"};
    size_t took;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_target_byte((const uint8_t *)bad[i], strlen(bad[i]), &took), -1);
    assert_int_equal(http_target_byte((const uint8_t *)"%aF", 3, &took), 0xaf);
    assert_int_equal(http_target_byte((const uint8_t *)"+", 1, &took), '+');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_between_the_host_and_the_query),
        cmocka_unit_test(every_byte_comes_back_as_it_was_written),
        cmocka_unit_test(what_is_no_byte_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
