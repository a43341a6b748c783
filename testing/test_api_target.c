#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "proxy/api_target.h"

static struct api_target target;

static bool read_text(const char *text)
{
    return api_target_read(&target, (const uint8_t *)text, (struct http1_span){0, strlen(text)});
}

static void a_path_is_its_pieces(void **state)
{
    (void)state;
    assert_true(read_text("/v1/inbounds/a%2Fb/users/x%40y?end=true&&z&q=1=2"));
    assert_int_equal(target.piece_count, 5);
    assert_string_equal(target.pieces[0], "v1");
    assert_string_equal(target.pieces[2], "a/b");
    assert_string_equal(target.pieces[4], "x@y");
    assert_int_equal(target.option_count, 3);
    assert_string_equal(api_option(&target, "end"), "true");
    assert_string_equal(api_option(&target, "z"), "");
    assert_string_equal(api_option(&target, "q"), "1=2");
    assert_string_equal(api_option(&target, "absent"), "");
    assert_true(read_text("http://host:1/v1/"));
    assert_int_equal(target.piece_count, 2);
    assert_string_equal(target.pieces[1], "");
    assert_true(read_text("/%C3%A4"));
    assert_string_equal(target.pieces[0], "\xc3\xa4");
}

static void what_is_no_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"*",
                                      "v1",
                                      "/%00",
                                      "/%",
                                      "/%4",
                                      "/%4g",
                                      "/%ff",
                                      "/%c3",
                                      "/%c3/",
                                      "/%80",
                                      "/a?b=%00",
                                      "/a?%f8=1",
                                      "http:",
                                      "/1/2/3/4/5/6/7/8/9",
                                      "/?1&2&3&4&5&6&7&8&9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(read_text(bad[i]));
}

static void a_long_target_is_refused_not_cut(void **state)
{
    (void)state;
    char text[2 * API_TARGET_MAX];
    for (size_t len = API_TARGET_MAX - 4; len < API_TARGET_MAX + 4; len++) {
        memset(text, 'x', len);
        text[0] = '/';
        text[len] = '\0';
        assert_int_equal(read_text(text), len <= API_TARGET_MAX);
        text[len / 2] = '?';
        assert_int_equal(read_text(text), len < API_TARGET_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_its_pieces),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(a_long_target_is_refused_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
