#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/domain.h"

static struct domain_set *set_of(const char *const *conditions)
{
    struct domain_set *s = domain_set_new();
    assert_non_null(s);
    for (; *conditions; conditions++) {
        struct err e = {0};
        if (domain_set_add(s, *conditions, &e) < 0)
            fail_msg("%s: %s", *conditions, e.text);
    }
    return s;
}

#define SET(...) set_of((const char *const[]){__VA_ARGS__, NULL})

static void assert_matches(struct domain_set *s, const char *const *yes, const char *const *no)
{
    for (; *yes; yes++)
        if (!domain_set_match(s, *yes))
            fail_msg("%s did not match", *yes);
    for (; *no; no++)
        if (domain_set_match(s, *no))
            fail_msg("%s matched", *no);
    domain_set_free(s);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void domain_full_matches_that_name_only(void **state)
{
    (void)state;
    assert_matches(
        SET("full:a.example.com"), NAMES("a.example.com"),
        NAMES("example.com", "b.a.example.com", "aa.example.com", "a.example.com.x", ""));
}

static void domain_domain_matches_it_and_its_sub_domains(void **state)
{
    (void)state;
    assert_matches(SET("domain:example.com"),
                   NAMES("example.com", "a.example.com", "b.a.example.com", ".example.com"),
                   NAMES("xexample.com", "example.com.net", "com", "example.co", ".", "com."));
}

static void domain_full_and_domain_of_one_name_add_up(void **state)
{
    (void)state;
    assert_matches(SET("full:a.com", "domain:a.com", "domain:b.com", "full:b.com", "full:b.com"),
                   NAMES("a.com", "x.a.com", "b.com", "x.b.com"), NAMES("c.com"));
}

static void domain_plain_and_keyword_are_substrings(void **state)
{
    (void)state;
    assert_matches(SET("goo", "keyword:le.co"), NAMES("goo", "google.com", "apple.com", "le.co"),
                   NAMES("go.com", "apple.net"));
}

static void domain_empty_plain_matches_every_name(void **state)
{
    (void)state;
    assert_matches(SET(""), NAMES("a", "a.b", ""), NAMES(NULL));
}

static void domain_dotless_matches_names_without_a_dot(void **state)
{
    (void)state;
    assert_matches(SET("dotless:pc"), NAMES("pc", "mypc7"), NAMES("pc.lan", "p", ""));
    assert_matches(SET("dotless:"), NAMES("pc", "localhost"), NAMES("pc.lan", "."));
}

static void domain_regexp_is_unanchored(void **state)
{
    (void)state;
    assert_matches(SET("regexp:goo+gle", "regexp:^x\\.(com|net)$"),
                   NAMES("a.gooogle.com", "google", "x.com", "x.net"),
                   NAMES("gogle.com", "ax.com", "x.org"));
}

static void domain_conditions_are_brought_into_the_normal_form(void **state)
{
    (void)state;
    assert_matches(SET("full:A.Com.", "domain:B.COM.", "keyword:KEY", "PLAIN", "dotless:DOT",
                       "regexp:^RE\\D$"),
                   NAMES("a.com", "x.b.com", "monkey.net", "plain", "dot", "rex"), NAMES("re1"));
}

static void assert_refused(const char *condition, int code, const char *why)
{
    struct err e = {0};
    struct domain_set *s = domain_set_new();
    assert_int_equal(domain_set_add(s, condition, &e), -1);
    assert_int_equal(e.code, code);
    if (!strstr(e.text, why))
        fail_msg("%s: %s", condition, e.text);
    assert_false(domain_set_match(s, "example.com"));
    domain_set_free(s);
}

static void domain_refuses_empty_conditions(void **state)
{
    (void)state;
    assert_refused("full:", EINVAL, "empty full domain type of rule");
    assert_refused("full:.", EINVAL, "empty full domain type of rule");
    assert_refused("domain:", EINVAL, "empty domain type of rule");
    assert_refused("keyword:", EINVAL, "empty keyword type of rule");
    assert_refused("regexp:", EINVAL, "empty regexp type of rule");
}

static void domain_refuses_what_it_cannot_keep(void **state)
{
    (void)state;
    char longer[300] = "full:";
    memset(longer + 5, 'a', 256);
    assert_refused(longer, EINVAL, "256 bytes");
    assert_refused("dotless:a.b", EINVAL, "substr in dotless rule should not contain a dot");
    assert_refused("regexp:(?=a)", EINVAL, "look-ahead");
    assert_refused("geosite:cn", ENOTSUP, "geosite: lists are not possible here");
    assert_refused("ext:file.dat:cn", ENOTSUP, "ext: lists are not possible here");
    assert_refused("ext-domain:file.dat:cn", ENOTSUP, "ext-domain: lists are not possible here");
}

static void domain_longest_names_match_too(void **state)
{
    (void)state;
    char condition[300] = "full:";
    char *name = condition + 5;
    memset(name, 'a', 255);
    struct domain_set *s = SET(condition, "domain:b");
    assert_true(domain_set_match(s, name));
    name[254] = 'c';
    assert_false(domain_set_match(s, name));
    memcpy(name + 253, ".b", 2);
    assert_true(domain_set_match(s, name));
    domain_set_free(s);
}

static void domain_many_conditions_are_all_found(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    char text[64];
    struct err e;
    struct domain_set *s = domain_set_new();
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%s:host-%d.example", i % 2 ? "full" : "domain", i);
        assert_int_equal(domain_set_add(s, text, &e), 0);
    }
    for (int i = 0; i < 2 * MANY; i++) {
        snprintf(text, sizeof text, "host-%d.example", i);
        assert_int_equal(domain_set_match(s, text), i < MANY);
        snprintf(text, sizeof text, "www.host-%d.example", i);
        assert_int_equal(domain_set_match(s, text), i < MANY && i % 2 == 0);
    }
    domain_set_free(s);
}

static void domain_empty_set_matches_nothing(void **state)
{
    (void)state;
    struct domain_set *s = domain_set_new();
    assert_false(domain_set_match(s, ""));
    assert_false(domain_set_match(s, "a.b"));
    domain_set_free(s);
    domain_set_free(NULL);
}

static void domain_an_included_list_outlives_its_maker(void **state)
{
    (void)state;
    struct err e;
    struct domain_set *list = SET("domain:list.example", "keyword:word");
    struct domain_set *one = SET("full:own.example", "full:other.example");
    struct domain_set *two = SET("full:two.example", "full:zwei.example");
    assert_int_equal(domain_set_include(one, list, &e), 0);
    assert_int_equal(domain_set_include(two, list, &e), 0);
    domain_set_free(list);
    assert_true(domain_set_match(one, "own.example"));
    assert_true(domain_set_match(one, "www.list.example"));
    assert_false(domain_set_match(one, "two.example"));
    domain_set_free(one);
    assert_true(domain_set_match(two, "a-word-b"));
    assert_false(domain_set_match(two, "own.example"));
    domain_set_free(two);
}

static void count_one(void *to, enum domain_kind kind, const char *text, size_t len)
{
    assert_true(kind <= DOMAIN_DOTLESS && len > 0 && !memchr(text, 0, len));
    ++*(size_t *)to;
}

static void domain_visits_all_or_says_no(void **state)
{
    (void)state;
    struct err e;
    size_t count = 0;
    struct domain_set *list = SET("full:a.b", "dotless:x"), *s = SET("a", "domain:c.d");
    assert_int_equal(domain_set_include(s, list, &e), 0);
    assert_true(domain_set_each(s, 4, count_one, &count));
    assert_int_equal(count, 4);
    count = 0;
    assert_false(domain_set_each(s, 3, count_one, &count));
    assert_int_equal(count, 0);
    assert_int_equal(domain_set_add(list, "regexp:x", &e), 0);
    assert_false(domain_set_each(s, 9, count_one, &count));
    domain_set_free(list);
    domain_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domain_full_matches_that_name_only),
        cmocka_unit_test(domain_domain_matches_it_and_its_sub_domains),
        cmocka_unit_test(domain_full_and_domain_of_one_name_add_up),
        cmocka_unit_test(domain_plain_and_keyword_are_substrings),
        cmocka_unit_test(domain_empty_plain_matches_every_name),
        cmocka_unit_test(domain_dotless_matches_names_without_a_dot),
        cmocka_unit_test(domain_regexp_is_unanchored),
        cmocka_unit_test(domain_conditions_are_brought_into_the_normal_form),
        cmocka_unit_test(domain_refuses_empty_conditions),
        cmocka_unit_test(domain_refuses_what_it_cannot_keep),
        cmocka_unit_test(domain_longest_names_match_too),
        cmocka_unit_test(domain_many_conditions_are_all_found),
        cmocka_unit_test(domain_empty_set_matches_nothing),
        cmocka_unit_test(domain_an_included_list_outlives_its_maker),
        cmocka_unit_test(domain_visits_all_or_says_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
