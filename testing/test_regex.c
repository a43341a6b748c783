#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/regex.h"

static void assert_match(const char *pattern, const char *text, bool expected)
{
    struct err e = {0};
    struct regex *r = regex_new(pattern, &e);
    if (!r)
        fail_msg("%s: %s", pattern, e.text);
    if (regex_match(r, text, strlen(text)) != expected)
        fail_msg("%s on %s: not %d", pattern, text, expected);
    regex_free(r);
}

static void assert_refused(const char *pattern, const char *why)
{
    struct err e = {0};
    struct regex *r = regex_new(pattern, &e);
    if (r)
        fail_msg("%s was accepted", pattern);
    assert_int_equal(e.code, EINVAL);
    if (!strstr(e.text, why) || strncmp(e.text, "error parsing regexp: ", 22) != 0)
        fail_msg("%s: %s", pattern, e.text);
}

static void regex_finds_the_pattern_anywhere(void **state)
{
    (void)state;
    assert_match("b.d", "abcde", true);
    assert_match("^b", "abc", false);
    assert_match("c$", "abc", true);
    assert_match("^$", "", true);
    assert_match("$", "a\n", true);
    assert_match("a$", "a\n", false);
    assert_match("(^|\\.)x\\.com$", "y.x.com", true);
    assert_match("(^|\\.)x\\.com$", "yx.com", false);
}

static void regex_is_blind_to_case(void **state)
{
    (void)state;
    assert_match("^EXAMPLE[A-Z]$", "examplex", true);
    assert_match("^\\D$", "a", true);
    assert_match("(?-i)A", "a", false);
}

static void regex_takes_the_common_syntax(void **state)
{
    (void)state;
    assert_match("^a{2,3}?b{1,}c{2}$", "aabcc", true);
    assert_match("^(?:a|b)*?c+?d??$", "ababc", true);
    assert_match("^(?P<x>a)(?<y>b)(?i:C)(?i)D$", "abcd", true);
    assert_match("^[]a]+[^]b]$", "]a]c", true);
    assert_match("^[[:alpha:]]+[[:^alpha:]_\\d\\-]$", "ab-", true);
    assert_match("\\Qa.b\\E$", "xa.b", true);
    assert_match("\\Q(?=", "(?=", true);
    assert_match("^\\x61\\x{62}\\0?\\.\\_\\w\\W\\pL\\p{L}$", "ab._c-de", true);
    assert_match("\\Aa\\b.\\Bb\\z", "a--b", false);
    assert_match("\\Aa\\b-\\B-\\bb\\z", "a--b", true);
    assert_match("()|a", "", true);
}

static void regex_refuses_what_needs_backtracking(void **state)
{
    (void)state;
    assert_refused("(?=a)", "look-ahead");
    assert_refused("a(?!b)", "look-ahead is not supported: `(?!b)`");
    assert_refused("(?<=a)", "look-behind");
    assert_refused("(?<!a)", "look-behind");
    assert_refused("(a)\\1", "back-references");
    assert_refused("(?P<n>a)(?P=n)", "back-references");
    assert_refused("(?P<n>a)\\k<n>", "back-references");
    assert_refused("(a)\\g1", "back-references");
    assert_refused("(?R)", "recursion");
    assert_refused("(a)(?1)", "invalid or unsupported Perl syntax");
    assert_refused("(a)(?-1)", "invalid or unsupported Perl syntax");
    assert_refused("(?P<n>a)(?&n)", "recursion");
    assert_refused("(?P<n>a)(?P>n)", "recursion");
    assert_refused("(?>a)", "atomic groups");
    assert_refused("(a)?(?(1)b|c)", "conditionals");
    assert_refused("a*+", "invalid nested repetition operator");
    assert_refused("a++", "invalid nested repetition operator");
    assert_refused("a?+", "invalid nested repetition operator");
    assert_refused("a{1,2}+", "invalid nested repetition operator");
}

static void regex_refuses_what_only_pcre_knows(void **state)
{
    (void)state;
    static const char *const letters[] = {"\\C",     "\\R", "\\X", "\\K",   "\\G",
                                          "\\h",     "\\N", "\\Z", "\\e",   "\\cA",
                                          "\\o{12}", "\\E", "\\u", "[\\b]", "[\\Q]"};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        assert_refused(letters[i], "invalid escape sequence");
    assert_refused("(*FAIL)", "missing argument to repetition operator");
    assert_refused("(*LIMIT_MATCH=9)a", "missing argument to repetition operator");
    assert_refused("(?#text)", "invalid or unsupported Perl syntax");
    assert_refused("(?|a)", "invalid or unsupported Perl syntax");
    assert_refused("(?C1)", "invalid or unsupported Perl syntax");
    assert_refused("(?x)a", "invalid or unsupported Perl syntax");
    assert_refused("(?)", "invalid or unsupported Perl syntax");
    assert_refused("[[:<:]]", "invalid character class range");
    assert_refused("a{,3}", "invalid repeat count");
}

static void regex_refuses_broken_patterns(void **state)
{
    (void)state;
    assert_refused("[", "missing closing ]");
    assert_refused("[]", "missing closing ]");
    assert_refused("[^]", "missing closing ]");
    assert_refused("[a\\", "trailing backslash");
    assert_refused("[[:alpha", "invalid character class range");
    assert_refused("(", "missing closing )");
    assert_refused("(?", "invalid or unsupported Perl syntax");
    assert_refused("(?i", "invalid or unsupported Perl syntax");
    assert_refused("(?P<", "");
    assert_refused("a)", "unexpected )");
    assert_refused("a)|(b", "unexpected )");
    assert_refused("\\", "trailing backslash");
    assert_refused("\\x{61", "missing closing }");
    assert_refused("\\x6", "invalid escape sequence");
    assert_refused("\\x", "invalid escape sequence");
    assert_refused("\\p", "invalid escape sequence");
    assert_refused("\\p{", "missing closing }");
    assert_refused("\\p{Klingon}", "property");
    assert_refused("*a", "missing argument");
    assert_refused("a|*", "missing argument");
    assert_refused("(?i)*", "missing argument");
    assert_refused("a**", "invalid nested repetition operator");
    assert_refused("a{2}{3}", "invalid nested repetition operator");
    assert_refused("a???", "invalid nested repetition operator");
    assert_refused("a{", "invalid repeat count");
    assert_refused("a{2", "invalid repeat count");
    assert_refused("a{3,2}", "invalid repeat count");
    assert_refused("a{1001}", "invalid repeat count");
    assert_refused("a{99999999999999999999}", "invalid repeat count");
    assert_refused("[z-a]", "range");
}

/* The work of such a pattern doubles with each letter for a matcher that backtracks. */
static void regex_ends_soon_on_hostile_text(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'a', 255);
    memcpy(text + 252, "x-", 3);
    assert_match("^(a|aa)+x$", text, false);
    assert_match("(a|a?b?)*x$", text, false);
}

static void regex_that_outgrows_its_memory_does_not_match(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'a', 255);
    memcpy(text + 252, "x", 2);
    assert_match("^([a-z]+)+x$", text, false);
    assert_match("^([a-z]+)+x$", "abcx", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regex_finds_the_pattern_anywhere),
        cmocka_unit_test(regex_is_blind_to_case),
        cmocka_unit_test(regex_takes_the_common_syntax),
        cmocka_unit_test(regex_refuses_what_needs_backtracking),
        cmocka_unit_test(regex_refuses_what_only_pcre_knows),
        cmocka_unit_test(regex_refuses_broken_patterns),
        cmocka_unit_test(regex_ends_soon_on_hostile_text),
        cmocka_unit_test(regex_that_outgrows_its_memory_does_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
