#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "transport/dns_search.h"

static struct dns_search read_text(const char *text)
{
    struct dns_search s;
    FILE *in = fmemopen((char *)text, strlen(text), "r");
    assert_non_null(in);
    dns_search_read(&s, in);
    fclose(in);
    return s;
}

/* What is asked for, with commas between. */
static void expect(const struct dns_search *s, const char *name, const char *wanted)
{
    char got[2048] = "", candidate[ADDR_NAME_MAX + 1];
    for (unsigned i = 0; dns_search_candidate(s, name, i, candidate); i++) {
        strncat(got, i ? "," : "", sizeof got - strlen(got) - 1);
        strncat(got, candidate, sizeof got - strlen(got) - 1);
    }
    assert_string_equal(got, wanted);
}

static void without_a_file_names_are_whole(void **state)
{
    (void)state;
    struct dns_search s;
    dns_search_read(&s, NULL);
    expect(&s, "a", "a");
    expect(&s, "a.example", "a.example");
}

static void whole_names_are_asked_for_first_and_others_last(void **state)
{
    (void)state;
    struct dns_search s = read_text("# a comment\nnameserver 127.0.0.1\n"
                                    "search  Corp.Example.\tlan\n");
    expect(&s, "a", "a.corp.example,a.lan,a");
    expect(&s, "a.b", "a.b,a.b.corp.example,a.b.lan");
}

static void dots_decide_what_is_whole(void **state)
{
    (void)state;
    struct dns_search s = read_text("options edns0 ndots:2 rotate\nsearch x\n");
    expect(&s, "a.b", "a.b.x,a.b");
    expect(&s, "a.b.c", "a.b.c,a.b.c.x");
    s = read_text("options ndots:99\n");
    assert_int_equal(s.dots, DNS_SEARCH_DOTS);
}

static void the_last_line_counts_and_is_bounded(void **state)
{
    (void)state;
    struct dns_search s = read_text("search x y\ndomain z\n");
    expect(&s, "a", "a.z,a");
    s = read_text("search a b c d e f g h i j k\n");
    assert_int_equal(s.count, DNS_SEARCH_MAX);
    s = read_text("search .\nsearch\n");
    expect(&s, "a", "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_names_are_whole),
        cmocka_unit_test(whole_names_are_asked_for_first_and_others_last),
        cmocka_unit_test(dots_decide_what_is_whole),
        cmocka_unit_test(the_last_line_counts_and_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
