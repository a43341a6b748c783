#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "routing/ports.h"

static struct port_set set_of(const char *text)
{
    struct port_set s = {0};
    struct err e = {0};
    if (port_set_add(&s, text, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    return s;
}

static void ports_list_matches_its_items_and_their_borders(void **state)
{
    (void)state;
    struct port_set s = set_of("53,443,1000-2000");
    static const uint16_t yes[] = {53, 443, 1000, 1500, 2000}, no[] = {0, 52, 54, 999, 2001, 65535};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(port_set_match(&s, yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(port_set_match(&s, no[i]));
    port_set_fini(&s);
    assert_int_equal(s.count, 0);
}

static void ports_all_ports_can_be_meant(void **state)
{
    (void)state;
    struct port_set s = set_of("0-65535");
    for (unsigned port = 0; port <= UINT16_MAX; port++)
        assert_true(port_set_match(&s, (uint16_t)port));
    port_set_fini(&s);
}

static void ports_0_is_a_port(void **state)
{
    (void)state;
    struct port_set s = set_of("0");
    assert_true(port_set_match(&s, 0));
    assert_false(port_set_match(&s, 1));
    port_set_fini(&s);
}

static void ports_spaces_and_nothing_around_commas_are_ignored(void **state)
{
    (void)state;
    struct port_set s = set_of(" 53 ,, 80-81\t,");
    assert_int_equal(s.count, 2);
    assert_true(port_set_match(&s, 53));
    assert_true(port_set_match(&s, 81));
    port_set_fini(&s);
}

static void ports_added_texts_add_up(void **state)
{
    (void)state;
    struct err e;
    struct port_set s = set_of("53");
    assert_int_equal(port_set_add(&s, "80", &e), 0);
    assert_true(port_set_match(&s, 53));
    assert_true(port_set_match(&s, 80));
    port_set_fini(&s);
}

static void ports_reversed_range_is_told_and_never_matches(void **state)
{
    (void)state;
    struct err e = {0};
    struct port_set s = {0};
    assert_int_equal(port_set_add(&s, "80-70", &e), -1);
    assert_int_equal(e.code, ERANGE);
    assert_string_equal(e.text, "invalid port range: 80-70: the first port is above the last");
    assert_int_equal(s.count, 1);
    for (unsigned port = 0; port <= UINT16_MAX; port++)
        assert_false(port_set_match(&s, (uint16_t)port));
    port_set_fini(&s);
}

static void ports_reversed_range_does_not_hide_its_neighbours(void **state)
{
    (void)state;
    struct err e = {0};
    struct port_set s = {0};
    assert_int_equal(port_set_add(&s, "1,80-70,443", &e), -1);
    assert_int_equal(e.code, ERANGE);
    assert_true(port_set_match(&s, 1));
    assert_true(port_set_match(&s, 443));
    assert_false(port_set_match(&s, 75));
    port_set_fini(&s);
}

static void ports_empty_text_is_told_and_never_matches(void **state)
{
    (void)state;
    static const char *const texts[] = {"", " ", ",", " , "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err e = {0};
        struct port_set s = {0};
        assert_int_equal(port_set_add(&s, texts[i], &e), -1);
        assert_int_equal(e.code, ERANGE);
        assert_non_null(strstr(e.text, "invalid port range: "));
        assert_int_equal(s.count, 1);
        for (unsigned port = 0; port <= UINT16_MAX; port++)
            assert_false(port_set_match(&s, (uint16_t)port));
        port_set_fini(&s);
    }
}

static void ports_refuse_what_is_no_range(void **state)
{
    (void)state;
    static const char *const texts[] = {"80-",     "-80",       "-",
                                        "80 - 90", "80- 90",    "65536",
                                        "1-65536", "80-90-100", "http",
                                        "+80",     "0x50",      "99999999999999999999",
                                        "1e3",     "80.0",      "443,80-70,80-"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err e = {0};
        struct port_set s = {0};
        assert_int_equal(port_set_add(&s, texts[i], &e), -1);
        if (e.code != EINVAL)
            fail_msg("%s: %s", texts[i], e.text);
        assert_int_equal(strncmp(e.text, "invalid port range: ", 20), 0);
        port_set_fini(&s);
    }
}

static void ports_errors_name_the_item(void **state)
{
    (void)state;
    struct err e = {0};
    struct port_set s = {0};
    assert_int_equal(port_set_add(&s, "53, 80- ,1", &e), -1);
    assert_string_equal(e.text, "invalid port range: 80-, want \"80\" or \"80-90\"");
    port_set_fini(&s);
}

static void ports_range_is_parsed_within_its_length(void **state)
{
    (void)state;
    struct err e = {0};
    struct port_range r;
    assert_int_equal(port_range_parse(&r, "1080-10909", 9, &e), 0);
    assert_int_equal(r.from, 1080);
    assert_int_equal(r.to, 1090);
    assert_int_equal(port_range_parse(&r, "", 0, &e), -1);
    assert_int_equal(e.code, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_list_matches_its_items_and_their_borders),
        cmocka_unit_test(ports_all_ports_can_be_meant),
        cmocka_unit_test(ports_0_is_a_port),
        cmocka_unit_test(ports_spaces_and_nothing_around_commas_are_ignored),
        cmocka_unit_test(ports_added_texts_add_up),
        cmocka_unit_test(ports_reversed_range_is_told_and_never_matches),
        cmocka_unit_test(ports_reversed_range_does_not_hide_its_neighbours),
        cmocka_unit_test(ports_empty_text_is_told_and_never_matches),
        cmocka_unit_test(ports_refuse_what_is_no_range),
        cmocka_unit_test(ports_errors_name_the_item),
        cmocka_unit_test(ports_range_is_parsed_within_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
