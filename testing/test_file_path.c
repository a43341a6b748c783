#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "proxy/file_path.h"

static struct file_path path;

static int read_text(const char *text)
{
    return file_path_read(&path, (const uint8_t *)text, (struct http1_span){0, strlen(text)});
}

static void a_path_is_a_name_below_the_root(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool folder;
    } good[] = {
        {"/", ".", true},
        {"", ".", true}, /* of "http://host" */
        {"//", ".", true},
        {"/a", "a", false},
        {"/a/", "a", true},
        {"//a///b//", "a/b", true},
        {"/a%20b/c+d", "a b/c+d", false},
        {"/%C3%A4.txt", "\xc3\xa4.txt", false},
        {"/a.b/c..d", "a.b/c..d", false},
        {"/%41", "A", false},
        {"/a%5c..%5cb", "a\\..\\b", false}, /* a byte like any other */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(read_text(good[i].from), 0);
        assert_string_equal(path.text, good[i].to);
        assert_int_equal(path.len, strlen(good[i].to));
        assert_int_equal(path.folder, good[i].folder);
    }
}

static void nothing_leads_up_and_nothing_hidden_is_there(void **state)
{
    (void)state;
    static const char *const bad[] = {"/.",      "/..",       "/../a",        "/a/../b", "/a/./b",
                                      "/%2e%2e", "/%2E%2e/a", "/.git/config", "/a/.b",   "/...",
                                      "/a/%2e",  "//../a",    "/a%09b",       "/a%7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(bad[i]), 404);
}

static void what_is_no_path_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"*",    "a",      "/%",     "/%4",   "/%4g",
                                      "/%00", "/a%2fb", "/a%2Fb", "/..%2f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(bad[i]), 400);
}

static void a_long_path_is_refused_not_cut(void **state)
{
    (void)state;
    char text[FILE_PATH_ROOM + 2];
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[FILE_PATH_ROOM] = '\0';
    assert_int_equal(read_text(text), 0);
    assert_int_equal(path.len, FILE_PATH_ROOM - 1);
    text[FILE_PATH_ROOM] = 'a';
    text[FILE_PATH_ROOM + 1] = '\0';
    assert_int_equal(read_text(text), 404);
    text[FILE_PATH_ROOM - 1] = '/';
    assert_int_equal(read_text(text), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_a_name_below_the_root),
        cmocka_unit_test(nothing_leads_up_and_nothing_hidden_is_there),
        cmocka_unit_test(what_is_no_path_is_refused),
        cmocka_unit_test(a_long_path_is_refused_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
