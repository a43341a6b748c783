#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/attrs.h"

static const char HEAD[] = "GET /ads/pic.jpg?x=1 HTTP/1.1\r\n"
                           "Host: www.example.com\r\n"
                           "Accept: text/html, image/png\r\n"
                           "X-Empty:\r\n"
                           "X-Quote: it's \"so\" \\\r\n"
                           "\r\n";

static bool says(const char *expression)
{
    struct err e = {0};
    struct attrs *a = attrs_new(expression, &e);
    if (!a)
        fail_msg("%s: %s", expression, e.text);
    bool matched = attrs_match(a, HEAD, sizeof HEAD - 1);
    attrs_free(a);
    return matched;
}

static void assert_true_of(const char *expression)
{
    if (!says(expression))
        fail_msg("not true: %s", expression);
}

static void assert_not_true_of(const char *expression)
{
    if (says(expression))
        fail_msg("true: %s", expression);
}

static void attrs_compare_whole_texts(void **state)
{
    (void)state;
    assert_true_of("attrs[':method'] == 'GET'");
    assert_true_of("attrs[\":method\"]==\"GET\"");
    assert_true_of("'GET' == attrs[':method']");
    assert_true_of("attrs[':method'] != 'POST'");
    assert_true_of("attrs['x-empty'] == ''");
    assert_true_of("attrs['HOST'] == 'www.example.com'");
    assert_true_of("attrs['x-quote'] == 'it\\'s \"so\" \\\\'");
    assert_true_of("attrs['host'] != attrs['accept']");
    assert_not_true_of("attrs[':method'] == 'get'");
    assert_not_true_of("attrs[':method'] == 'GE'");
    assert_not_true_of("attrs[':method'] != 'GET'");
}

static void attrs_know_the_path_without_its_query(void **state)
{
    (void)state;
    assert_true_of("attrs[':path'] == '/ads/pic.jpg'");
    assert_true_of("attrs[':path'].startswith('/ads')");
    assert_true_of("attrs[':path'].endswith('.jpg')");
    assert_not_true_of("attrs[':path'].startswith('ads')");
    assert_not_true_of("attrs[':path'].endswith('x=1')");
    assert_true_of("attrs[':path'].startswith('')");
}

static void attrs_look_for_parts(void **state)
{
    (void)state;
    assert_true_of("'text/html' in attrs['accept']");
    assert_true_of("'text' not in attrs['host']");
    assert_not_true_of("'text/css' in attrs['accept']");
    assert_true_of("attrs['accept'].index('image') >= 0");
    assert_true_of("attrs['accept'].find('image') >= 0");
    assert_not_true_of("attrs['accept'].find('video') >= 0");
    assert_true_of("not attrs['accept'].find('video') >= 0");
    assert_not_true_of("not attrs['accept'].index('video') >= 0");
    assert_true_of("'' in attrs['x-empty']");
}

static void attrs_know_which_names_there_are(void **state)
{
    (void)state;
    assert_true_of("'Accept' in attrs");
    assert_true_of("':path' in attrs");
    assert_true_of("'cookie' not in attrs");
    assert_true_of("'cookie' in attrs or 'host' in attrs");
    assert_not_true_of("'cookie' in attrs");
    assert_not_true_of("':nothing' in attrs");
}

static void attrs_know_lists(void **state)
{
    (void)state;
    assert_true_of("attrs[':method'] in ['HEAD', 'GET']");
    assert_true_of("attrs[':method'] in ('HEAD', 'GET')");
    assert_true_of("attrs[':method'] in ('GET',)");
    assert_true_of("attrs[':method'] in ['GET']");
    assert_true_of("attrs[':method'] not in ['POST', 'PUT']");
    assert_not_true_of("attrs[':method'] in ['POST', 'PUT']");
}

/* A, B and C in the form become true or false. */
static void expand(char *to, const char *form, unsigned values)
{
    static const char *const texts[] = {"'cookie' in attrs", "':path' in attrs"};
    for (; *form; form++) {
        if (*form >= 'A' && *form <= 'C')
            to = stpcpy(to, texts[values >> ('C' - *form) & 1]);
        else
            *to++ = *form;
    }
    *to = '\0';
}

static void attrs_combine_as_in_python(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        bool value[8]; /* for ABC = 000, 001, ... 111 */
    } cases[] = {
        {"A and B or C", {0, 1, 0, 1, 0, 1, 1, 1}},
        {"A or B and C", {0, 0, 0, 1, 1, 1, 1, 1}},
        {"(A or B) and C", {0, 0, 0, 1, 0, 1, 0, 1}},
        {"not A and B or C", {0, 1, 1, 1, 0, 1, 0, 1}},
        {"not (A or not B and C)", {1, 0, 1, 1, 0, 0, 0, 0}},
        {"not not (A)and(B)and not(C)", {0, 0, 0, 0, 0, 0, 1, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned values = 0; values < 8; values++) {
            char text[256];
            expand(text, cases[i].form, values);
            if (says(text) != cases[i].value[values])
                fail_msg("%s: not %d", text, cases[i].value[values]);
        }
}

/* In V2Ray a missing name is an error, which ends the whole; and so it never is true. */
static void attrs_that_are_missing_decide_at_once(void **state)
{
    (void)state;
    assert_not_true_of("attrs['cookie'] == 'a'");
    assert_not_true_of("attrs['cookie'] != 'a'");
    assert_not_true_of("not attrs['cookie'] == 'a'");
    assert_not_true_of("attrs['cookie'] == 'a' or 'host' in attrs");
    assert_true_of("'host' in attrs or attrs['cookie'] == 'a'");
    assert_not_true_of("not ('host' in attrs and attrs['cookie'] == 'a')");
    assert_true_of("not ('cookie' in attrs and attrs['cookie'] == 'a')");
}

static void assert_refused(const char *expression, const char *why)
{
    struct err e = {0};
    struct attrs *a = attrs_new(expression, &e);
    if (a)
        fail_msg("accepted: %s", expression);
    if (e.code == 0 || !strstr(e.text, why))
        fail_msg("%s: %s", expression, e.text);
}

static void attrs_refuse_the_rest_and_say_where(void **state)
{
    (void)state;
    assert_refused("", "at character 1 (\"\"): want attrs['name'] or a text in quotes");
    assert_refused("attrs[", "at character 7 (\"\"): want a text in quotes");
    assert_refused("attrs[':method'", "want ]");
    assert_refused("attrs[':method']", "at character 17 (\"\"): want ==, !=, in");
    assert_refused("attrs[':method'] = 'GET'", "at character 18 (\"= 'GET'\"): want ==");
    assert_refused("attrs[':method'] == GET", "at character 21 (\"GET\")");
    assert_refused("attrs[':method'] == 'GET", "want a closing quote");
    assert_refused("attrs[':method'] == 'a\\n'", "after a backslash");
    assert_refused("attrs[':path'].lower() == 'a'", "want startswith, endswith, find or index");
    assert_refused("attrs[':path'].startswith '/a'", "want (");
    assert_refused("attrs[':path'].startswith('/a'", "want )");
    assert_refused("attrs[':path'].index('a')", "want >= 0");
    assert_refused("attrs[':path'].find('a') > 0", "want >= 0");
    assert_refused("'a' == 'a' and", "want attrs");
    assert_refused("('a' == 'a'", "want and, or or )");
    assert_refused("'a' == 'a')", "want and, or, or the end");
    assert_refused("'a' == 'a' 'b' == 'b'", "want and, or, or the end");
    assert_refused("'a' in 'b'", "want attrs");
    assert_refused("'a' not attrs", "want in");
    assert_refused("attrs['a'] in attrs", "want attrs['name'] after");
    assert_refused("attrs['a'] in ('b')", "want , in a list");
    assert_refused("attrs['a'] in []", "want attrs");
    assert_refused("attrs['a'] in ['b'", "want ]");
    assert_refused("attrs.get('a') == 'b'", "want attrs['name']");
    assert_refused("len(attrs) > 0", "at character 1");
    assert_refused("attrsx['a'] == 'b'", "at character 1");
    assert_refused("not", "want attrs");
    assert_refused("nothing == 'a'", "at character 1");
}

static void attrs_are_bounded(void **state)
{
    (void)state;
    char text[ATTRS_TEXT_MAX + 2], *p = text;
    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_refused(text, "at most 4096");
    text[ATTRS_TEXT_MAX] = '\0';
    assert_refused(text, "more than 32 deep");
    for (int i = 0; i < ATTRS_TEXT_MAX / 4 - 1; i++, p += 4)
        memcpy(p, "not ", 5);
    assert_refused(text, "more than 32 deep");
    p = text;
    for (int i = 0; i < 130; i++, p += strlen(p))
        memcpy(p, "''==''or ", 10);
    memcpy(p, "''==''", 7);
    assert_refused(text, "more than 256 conditions");
    p = text;
    for (int i = 0; i < 100; i++, p += strlen(p))
        memcpy(p, "''=='x'or ", 11);
    memcpy(p, "''==''", 7);
    assert_true_of(text);
}

static bool map_says(const char *name, const char *pattern, const char *name2, const char *pattern2)
{
    struct err e;
    struct attrs *a = attrs_map_new();
    assert_non_null(a);
    assert_int_equal(attrs_map_add(a, name, pattern, &e), 0);
    assert_int_equal(attrs_map_add(a, name2, pattern2, &e), 0);
    bool matched = attrs_match(a, HEAD, sizeof HEAD - 1);
    attrs_free(a);
    return matched;
}

static void attrs_of_a_map_must_all_be_found(void **state)
{
    (void)state;
    assert_true(map_says(":method", "GET|POST", "Accept", "html"));
    assert_true(map_says(":path", "^/ads/", "x-empty", "^$"));
    assert_false(map_says(":method", "GET|POST", "accept", "HTML"));
    assert_false(map_says(":method", "get", "accept", "html"));
    assert_false(map_says(":method", "GET", "cookie", ".*"));
    struct err e;
    struct attrs *a = attrs_map_new();
    assert_int_equal(attrs_map_add(a, "x", "(?=a)", &e), -1);
    assert_non_null(strstr(e.text, "look-ahead"));
    attrs_free(a);
    attrs_free(NULL);
}

static void attrs_survive_any_head(void **state)
{
    (void)state;
    struct err e;
    struct attrs *a = attrs_new("'host' in attrs and attrs[':path'] == '/ads/pic.jpg'", &e);
    const size_t host_end = (size_t)(strstr(HEAD, "Host:") - HEAD) + 5;
    for (size_t cut = 0; cut < sizeof HEAD; cut++) {
        char *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, HEAD, cut);
        assert_int_equal(attrs_match(a, copy, cut), cut >= host_end);
        free(copy);
    }
    attrs_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attrs_compare_whole_texts),
        cmocka_unit_test(attrs_know_the_path_without_its_query),
        cmocka_unit_test(attrs_look_for_parts),
        cmocka_unit_test(attrs_know_which_names_there_are),
        cmocka_unit_test(attrs_know_lists),
        cmocka_unit_test(attrs_combine_as_in_python),
        cmocka_unit_test(attrs_that_are_missing_decide_at_once),
        cmocka_unit_test(attrs_refuse_the_rest_and_say_where),
        cmocka_unit_test(attrs_are_bounded),
        cmocka_unit_test(attrs_of_a_map_must_all_be_found),
        cmocka_unit_test(attrs_survive_any_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
