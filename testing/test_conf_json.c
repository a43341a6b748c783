#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conf/json.h"

struct parsed {
    struct source *source;
    struct arena *arena;
    struct report report;
    struct node *root;
    char *said;
    size_t len;
};

static struct parsed parse_bytes(const char *text, size_t len)
{
    struct parsed p = {.source = source_of("f.json", text, len), .arena = arena_new()};
    assert_non_null(p.source);
    assert_non_null(p.arena);
    report_init(&p.report, false);
    p.root = json_parse(p.source, p.arena, &p.report);
    FILE *out = open_memstream(&p.said, &p.len);
    report_print(&p.report, out);
    fclose(out);
    return p;
}

static void parsed_free(struct parsed *p)
{
    source_free(p->source);
    arena_free(p->arena);
    report_fini(&p->report);
    free(p->said);
}

static struct parsed parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void says(const char *text, bool good, const char *message)
{
    struct parsed p = parse(text);
    assert_int_equal(p.root != NULL, good);
    assert_string_equal(p.said, message);
    parsed_free(&p);
}

static void every_value_knows_its_place_and_pointer(void **state)
{
    (void)state;
    struct parsed p = parse("{\n  // note\n  \"a\": [ 1,\n   {\"b/c~\": true} ]\n}");
    char pointer[NODE_POINTER_MAX];
    const struct node *b = node_get(node_get(p.root, "A")->last, "B/C~");
    assert_string_equal(node_pointer(b, pointer), "/a/1/b~1c~0");
    assert_true(b->truth);
    struct position at = source_position(p.source, b->offset);
    assert_int_equal(at.line, 4);
    assert_int_equal(at.column, 13);
    at = source_position(p.source, b->key_offset);
    assert_int_equal(at.column, 5);
    assert_int_equal(p.len, 0);
    parsed_free(&p);
}

static void comments_go_only_outside_strings(void **state)
{
    (void)state;
    struct parsed p = parse("/**/{ # x\n\"a\":\"http://h/#\\\"//\" /* ** / */, // \"\n"
                            "\"b\"/**/:/* } */[]}# end\n// end");
    assert_non_null(p.root);
    assert_string_equal(node_get(p.root, "a")->text, "http://h/#\"//");
    assert_int_equal(node_get(p.root, "b")->type, NODE_ARRAY);
    assert_int_equal(p.len, 0);
    parsed_free(&p);
    says("{} /* a", false, "f.json:1:4: error: this comment has no end: want */\n");
    says("/*/ {}", false, "f.json:1:1: error: this comment has no end: want */\n");
}

static void what_v2ray_forgives_or_should_is_read(void **state)
{
    (void)state;
    says("\xef\xbb\xbf{}", true, "");
    says("{\"a\":[1,],\"b\":{},}", true,
         "f.json:1:8: /a: warning: trailing comma: V2Ray refuses a file with it\n"
         "f.json:1:17: warning: trailing comma: V2Ray refuses a file with it\n");
    says("{}\n{", true,
         "f.json:2:1: warning: content after the end of the configuration is ignored\n");
}

static void a_mistake_is_named_where_it_stands(void **state)
{
    (void)state;
    says("", false, "f.json:1:1: error: configuration is empty\n");
    says(" // only\n", false, "f.json:1:1: error: configuration is empty\n");
    says("[]", false, "f.json:1:1: error: want an object: '{', got invalid character '['\n");
    says("{'a':1}", false,
         "f.json:1:2: error: want a key in double quotes, got ': use double quotes\n");
    says("{\"a\":'b'}", false, "f.json:1:6: error: want a value, got ': use double quotes\n");
    says("{\"a\":1 / }", false, "f.json:1:8: error: want ',' or '}', got invalid character '/'\n");
    says("{\"a\"\n 1}", false,
         "f.json:2:2: error: want ':' behind the key, got invalid character '1'\n");
    says("{\"a\":[1", false, "f.json:1:8: /a: error: want ',' or ']', got the end of the file\n");
    says("{\"a\":[,]}", false, "f.json:1:7: /a: error: want a value, got invalid character ','\n");
    says("{\"a\":99999999999999999999}", false,
         "f.json:1:6: error: got a number that is too large\n");
    says("{\"a\":\"\\u0000\"}", false, "f.json:1:6: error: got text with a NUL (\\u0000) in it\n");
    says("{\"a\":\"\xff\"}", false, "f.json:1:6: error: got text that is not valid UTF-8\n");
}

static void words_and_numbers_are_json_s(void **state)
{
    (void)state;
    static const char *const bad[] = {"tru", "True", "nul",     "01",       "+1",     "1e",  "-",
                                      "\"",  "\"\\", "\"\\x\"", "\"a\nb\"", "\"\t\"", "NaN", "0x1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"a\":%s}", bad[i]);
        struct parsed p = parse(text);
        assert_null(p.root);
        assert_int_equal(p.report.errors, 1);
        parsed_free(&p);
    }
}

static void a_nul_byte_is_no_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"a\":\"x\0y\"}", "{\"a\0\":1}", "{\"a\":1,\0}"};
    static const size_t sizes[] = {11, 8, 9};
    for (size_t i = 0; i < 3; i++) {
        struct parsed p = parse_bytes(texts[i], sizes[i]);
        assert_null(p.root);
        assert_int_equal(p.report.errors, 1);
        parsed_free(&p);
    }
}

static char *nested(size_t depth)
{
    char *text = calloc(1, depth * 2 + 16), *p = text;
    assert_non_null(text);
    memcpy(p, "{\"a\":", 5);
    p += 5;
    memset(p, '[', depth);
    memset(p + depth, ']', depth);
    p[depth * 2] = '}';
    return text;
}

static void depth_has_a_bound(void **state)
{
    (void)state;
    char *good = nested(JSON_DEPTH_MAX - 1), *bad = nested(JSON_DEPTH_MAX);
    char *deep = nested(100000);
    struct parsed p = parse(good), q = parse(bad), r = parse(deep);
    assert_non_null(p.root);
    assert_null(q.root);
    assert_null(r.root);
    assert_non_null(strstr(q.said, "nested deeper than 64"));
    parsed_free(&p), parsed_free(&q), parsed_free(&r);
    free(good), free(bad), free(deep);
}

static void the_number_of_values_has_a_bound(void **state)
{
    (void)state;
    size_t len = 2 * (size_t)JSON_VALUES_MAX + 8;
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + i, "1,", 2);
    memcpy(text, "{\"a\":[", 6);
    text[len] = '\0';
    struct parsed p = parse(text);
    assert_null(p.root);
    assert_non_null(strstr(p.said, "more than 524288 values"));
    parsed_free(&p);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_knows_its_place_and_pointer),
        cmocka_unit_test(comments_go_only_outside_strings),
        cmocka_unit_test(what_v2ray_forgives_or_should_is_read),
        cmocka_unit_test(a_mistake_is_named_where_it_stands),
        cmocka_unit_test(words_and_numbers_are_json_s),
        cmocka_unit_test(a_nul_byte_is_no_json),
        cmocka_unit_test(depth_has_a_bound),
        cmocka_unit_test(the_number_of_values_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
