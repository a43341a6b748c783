#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/head.h"

/* "-": it is not there. */
static void assert_attr(const char *head, const char *name, const char *want)
{
    char room[HEAD_PATH_MAX], got[256];
    struct head_text value, of = {head, strlen(head)}, by = {name, strlen(name)};
    if (!head_attr(of, by, &value))
        value = (struct head_text){"-", 1};
    else if (!strcmp(name, ":path"))
        value = head_path_decode(value, room);
    snprintf(got, sizeof got, "%.*s", (int)value.len, value.text);
    assert_string_equal(got, want);
}

static void head_says_method_and_headers(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHOST: a.b\r\nAccept: \t x, y \t\r\nEmpty:\r\n"
                               "Accept: second\r\nno colon\r\n: nameless\r\n\r\nBody: no\r\n";
    assert_attr(head, ":method", "GET");
    assert_attr(head, "host", "a.b");
    assert_attr(head, "accept", "x, y");
    assert_attr(head, "empty", "");
    assert_attr(head, "body", "-");
    assert_attr(head, "accep", "-");
    assert_attr(head, "no colon", "-");
    assert_attr(head, ":other", "-");
    assert_attr("GET / HTTP/1.1\nA: b\n\n", "a", "b");
    assert_attr("GET / HTTP/1.1\r\nA: cu", "a", "cu");
    assert_attr("", ":method", "-");
    assert_attr("\x16\x03\x01", ":method", "-");
    assert_attr("\r\nGET / HTTP/1.1\r\n", ":method", "-");
}

/* As V2Ray 4.34 has it. */
static void head_path_is_that_of_the_url(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/", "/"},
        {"/x?y=1", "/x"},
        {"/x#f", "/x"},
        {"http://a.b/x/y?z", "/x/y"},
        {"http://a.b", ""},
        {"http://a.b?x=/y", ""},
        {"/x?u=http://a.b/c", "/x"},
        {"/a://b", "/a://b"},
        {"/%61dmin%2Fx", "/admin/x"},
        {"/%zz%4", "/%zz%4"},
        {"/%", "/%"},
        {"*", "*"},
        {"a.b:443", "a.b:443"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[128];
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n\r\n", cases[i][0]);
        assert_attr(head, ":path", cases[i][1]);
        snprintf(head, sizeof head, "GET %s", cases[i][0]);
        assert_attr(head, ":path", cases[i][1]);
    }
}

static void head_path_is_cut_when_it_is_decoded(void **state)
{
    (void)state;
    static char path[3 * HEAD_PATH_MAX + 7], room[HEAD_PATH_MAX];
    for (size_t i = 0; i + 3 < sizeof path; i += 3)
        memcpy(path + i, "%61", 3);
    struct head_text all = {path, sizeof path - 1}, got = head_path_decode(all, room);
    assert_int_equal(got.len, HEAD_PATH_MAX);
    assert_int_equal(got.text[0], 'a');
    assert_int_equal(got.text[got.len - 1], 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_says_method_and_headers),
        cmocka_unit_test(head_path_is_that_of_the_url),
        cmocka_unit_test(head_path_is_cut_when_it_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
