#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/err.h"

static void fill(char *text, size_t len)
{
    memset(text, 'x', len);
    text[len] = '\0';
}

static void err_set_replaces_what_was_there(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, EPROTO, "a long first text"), -1);
    assert_int_equal(err_set(&e, EINVAL, "%d of %s", 3, "them"), -1);
    assert_int_equal(e.code, EINVAL);
    assert_string_equal(e.text, "3 of them");
}

static void err_sys_appends_the_text_of_errno(void **state)
{
    (void)state;
    struct err e;
    errno = ECONNREFUSED;
    assert_int_equal(err_sys(&e, "connect %s", "192.0.2.1:443"), -1);
    assert_int_equal(e.code, ECONNREFUSED);
    assert_string_equal(e.text, "connect 192.0.2.1:443: Connection refused");
}

static void err_wrap_puts_where_in_front_and_keeps_the_code(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ECONNREFUSED, "refused");
    assert_int_equal(err_wrap(&e, "connect %d", 7), -1);
    assert_int_equal(err_wrap(&e, "outbound"), -1);
    assert_int_equal(e.code, ECONNREFUSED);
    assert_string_equal(e.text, "outbound: connect 7: refused");
}

static void step_fail_says_fail(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(step_fail(&e, EPROTO, "length %u", 9U), STEP_FAIL);
    assert_int_equal(e.code, EPROTO);
    assert_string_equal(e.text, "length 9");
}

/* At every length: cut off, terminated, nothing written behind the text. */
static void texts_of_any_length_stay_in_bounds(void **state)
{
    (void)state;
    char outer[400], inner[400];
    for (size_t len = 0; len < sizeof outer - 1; len++) {
        struct {
            struct err e;
            char guard[8];
        } m = {.guard = "guard"};
        fill(outer, len);
        fill(inner, sizeof outer - 2 - len);
        err_set(&m.e, EPROTO, "%s", inner);
        assert_int_equal(strlen(m.e.text), strlen(inner) < 255 ? strlen(inner) : 255);
        err_wrap(&m.e, "%s", outer);
        assert_in_range(strlen(m.e.text), len < 255 ? len : 255, 255);
        assert_memory_equal(m.e.text, outer, len < 255 ? len : 255);
        errno = ENOENT;
        err_sys(&m.e, "%s", outer);
        assert_in_range(strlen(m.e.text), len < 255 ? len : 255, 255);
        assert_string_equal(m.guard, "guard");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_set_replaces_what_was_there),
        cmocka_unit_test(err_sys_appends_the_text_of_errno),
        cmocka_unit_test(err_wrap_puts_where_in_front_and_keeps_the_code),
        cmocka_unit_test(step_fail_says_fail),
        cmocka_unit_test(texts_of_any_length_stay_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
