#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conf/compile.h"
#include "conf/json.h"
#include "conf/keys.h"
#include "conf/nearest.h"

struct thing {
    bool on;
    int64_t size;
    const char *name;
    int colour;
    const struct node *more;
    int64_t inner;
};

static const struct field_name colours[] = {
    {"red", 1},
    {"green", 2},
    {"grey", NAME_LATER},
    {NULL, 0},
};

static const struct field inner_fields[] = {
    FIELD_NUMBER("depth", struct thing, inner, -5, 5, 3),
    FIELD_LATER_WHAT("enabled", "inner things"),
    FIELD_END,
};

static const struct field thing_fields[] = {
    FIELD_BOOL("on", struct thing, on, true),
    FIELD_NUMBER("size", struct thing, size, 1, 9, 7),
    FIELD_TEXT("name", struct thing, name, "none"),
    FIELD_NAME("colour", struct thing, colour, colours, 2),
    FIELD_NODE("more", struct thing, more, "text"),
    FIELD_OBJECT("inner", inner_fields),
    FIELD_IGNORED("weight"),
    FIELD_LATER("rocket"),
    FIELD_LATER_UNLESS("mode", "other mode", "plain"),
    FIELD_END,
};

static struct thing read_thing(const char *text, bool strict, char **said, unsigned *errors)
{
    struct thing t;
    struct report r;
    size_t len;
    struct source *s = source_of("t", text, strlen(text));
    struct arena *a = arena_new();
    report_init(&r, strict);
    struct node *root = json_parse(s, a, &r);
    assert_non_null(root);
    fields_read(&r, root, thing_fields, &t);
    t.name = strcmp(t.name, "none") == 0 ? "none" : "other"; /* the arena goes */
    t.more = NULL;
    FILE *out = open_memstream(said, &len);
    report_print(&r, out);
    fclose(out);
    *errors = r.errors;
    report_fini(&r);
    arena_free(a);
    source_free(s);
    return t;
}

static void says(const char *text, const char *message, unsigned want_errors)
{
    char *said;
    unsigned errors;
    read_thing(text, false, &said, &errors);
    assert_string_equal(said, message);
    assert_int_equal(errors, want_errors);
    free(said);
}

static void an_absent_key_and_null_mean_the_default(void **state)
{
    (void)state;
    char *said;
    unsigned errors;
    struct thing t = read_thing("{\"on\":null,\"inner\":{},\"size\":null}", false, &said, &errors);
    assert_true(t.on);
    assert_int_equal(t.size, 7);
    assert_string_equal(t.name, "none");
    assert_int_equal(t.colour, 2);
    assert_int_equal(t.inner, 3);
    assert_string_equal(said, "");
    free(said);
}

static void keys_and_words_are_found_whatever_their_case(void **state)
{
    (void)state;
    char *said;
    unsigned errors;
    struct thing t = read_thing("{\"ON\":false,\"Colour\":\"RED\",\"iNNer\":{\"DEPTH\":-5}}", false,
                                &said, &errors);
    assert_false(t.on);
    assert_int_equal(t.colour, 1);
    assert_int_equal(t.inner, -5);
    assert_string_equal(said, "");
    free(said);
}

static void of_several_the_last_counts_and_a_warning_says_so(void **state)
{
    (void)state;
    char *said;
    unsigned errors;
    struct thing t = read_thing("{\"size\":2,\"Size\":4}", false, &said, &errors);
    assert_int_equal(t.size, 4);
    assert_string_equal(said, "t:1:11: /Size: warning: duplicate key: the last one counts\n");
    free(said);
}

static void a_wrong_value_is_an_error_and_all_are_told(void **state)
{
    (void)state;
    says("{\"on\":1,\"size\":10,\"name\":[],\"colour\":\"blue\",\"inner\":5}",
         "t:1:7: /on: error: want true or false, got the number 1\n"
         "t:1:16: /size: error: want a whole number 1..9, got the number 10\n"
         "t:1:26: /name: error: want text, got an array\n"
         "t:1:38: /colour: error: want one of red, green, got \"blue\"\n"
         "t:1:53: /inner: error: want an object, got the number 5\n",
         5);
    says("{\"size\":2.0}", "t:1:9: /size: error: want a whole number 1..9, got the number 2\n", 1);
}

static void what_v2c_has_not_yet_is_an_error_unless_off(void **state)
{
    (void)state;
    says("{\"rocket\":false,\"mode\":\"Plain\",\"inner\":{\"enabled\":0},\"weight\":[1]}", "", 0);
    says("{\"rocket\":{},\"mode\":\"\"}", "", 0);
    says("{\"rocket\":1,\"mode\":\"fast\",\"colour\":\"grey\",\"inner\":{\"enabled\":true}}",
         "t:1:11: /rocket: error: v2c has no rocket yet\n"
         "t:1:20: /mode: error: v2c has no other mode yet\n"
         "t:1:36: /colour: error: v2c has no colour \"grey\" yet\n"
         "t:1:62: /inner/enabled: error: v2c has no inner things yet\n",
         4);
}

static void an_unknown_key_is_warned_about_with_the_nearest(void **state)
{
    (void)state;
    says("{\"colr\":1,\"_note\":1,\"//x\":1,\"$schema\":1,\"Remarks\":1,\"ps\":1,\"zzz\":1}",
         "t:1:2: /colr: warning: unknown key, it is ignored; did you mean \"colour\"?\n"
         "t:1:60: /zzz: warning: unknown key, it is ignored\n",
         0);
}

static void strict_makes_warnings_errors(void **state)
{
    (void)state;
    char *said;
    unsigned errors;
    read_thing("{\"zzz\":1}", true, &said, &errors);
    assert_int_equal(errors, 1);
    assert_string_equal(said, "t:1:2: /zzz: error: unknown key, it is ignored\n");
    free(said);
}

static void distance_counts_edits_whatever_the_case(void **state)
{
    (void)state;
    char longer[NEAREST_LEN_MAX + 2];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("kitten", "SITTING"), 3);
    assert_int_equal(nearest_distance("domainx", "domain"), 1);
    assert_int_equal(nearest_distance(longer, "a"), NEAREST_FAR);
}

static void no_message_shows_an_id_or_a_control_byte(void **state)
{
    (void)state;
    says("{\"27848739-7e62-4138-9fd3-098a63964b6b\":1,\"a\\n\\u001b[0m\":2}",
         "t:1:2: /************************************: warning: unknown key, it is ignored\n"
         "t:1:43: /a??[0m: warning: unknown key, it is ignored\n",
         0);
}

static void messages_are_bounded_in_number(void **state)
{
    (void)state;
    struct report r;
    struct source *s = source_of("t", "{}", 2);
    char *said;
    size_t len;
    report_init(&r, false);
    for (int i = 0; i < REPORT_MAX + 7; i++)
        report_error_at(&r, s, 0, NULL, "number %d", i);
    report_error_at(&r, s, 0, NULL, "number 0");
    assert_int_equal(r.errors, REPORT_MAX + 8);
    FILE *out = open_memstream(&said, &len);
    report_print(&r, out);
    fclose(out);
    assert_non_null(strstr(said, "\n... and 8 more\n"));
    free(said);
    report_fini(&r);
    source_free(s);
}

static void names_that_are_equal_are_told_once_each(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[\"x\",\"y\",\"x\",\"X\",\"x\",\"\",\"\"]}";
    struct source *s = source_of("t", text, sizeof text - 1);
    struct arena *a = arena_new();
    struct report r;
    struct names n = {0};
    report_init(&r, false);
    const struct node *list = node_get(json_parse(s, a, &r), "a");
    for (const struct node *e = list->first; e; e = e->next)
        assert_true(names_add(&n, a, e->text, e, e->index));
    names_seal(&n);
    names_report_doubles(&n, &r, "word");
    assert_int_equal(r.errors, 2);
    assert_int_equal(names_find(&n, "x")->index, 0);
    assert_int_equal(names_find(&n, "X")->index, 3);
    assert_null(names_find(&n, "z"));
    assert_null(names_find(&n, ""));
    report_fini(&r);
    arena_free(a);
    source_free(s);
}

static size_t field_count(const struct field *fields)
{
    size_t count = 0;
    while (fields[count].key)
        count++;
    return count;
}

static void tables_fit_the_reader(void **state)
{
    (void)state;
    assert_true(field_count(root_fields) < FIELDS_MAX);
    assert_true(field_count(rule_fields) < FIELDS_MAX);
    assert_true(field_count(stream_fields) < FIELDS_MAX);
    assert_true(field_count(inbound_fields) < FIELDS_MAX);
    assert_true(field_count(outbound_fields) < FIELDS_MAX);
}

static void every_listed_key_has_four_words(void **state)
{
    (void)state;
    char *said, line[256], a[128], b[64], c[64], d[64], rest[8];
    size_t len;
    unsigned lines = 0;
    FILE *out = open_memstream(&said, &len);
    conf_keys_print(out);
    fclose(out);
    FILE *in = fmemopen(said, len, "r");
    while (fgets(line, sizeof line, in)) {
        assert_int_equal(sscanf(line, "%127s %63s %63s %63s %7s", a, b, c, d, rest), 4);
        lines++;
    }
    fclose(in);
    assert_true(lines > 80);
    assert_non_null(strstr(said, "policy.levels{} connIdle number 300\n"));
    assert_non_null(strstr(said, "reverse.portals[] controlDomain text -\n"));
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_key_and_null_mean_the_default),
        cmocka_unit_test(keys_and_words_are_found_whatever_their_case),
        cmocka_unit_test(of_several_the_last_counts_and_a_warning_says_so),
        cmocka_unit_test(a_wrong_value_is_an_error_and_all_are_told),
        cmocka_unit_test(what_v2c_has_not_yet_is_an_error_unless_off),
        cmocka_unit_test(an_unknown_key_is_warned_about_with_the_nearest),
        cmocka_unit_test(strict_makes_warnings_errors),
        cmocka_unit_test(distance_counts_edits_whatever_the_case),
        cmocka_unit_test(no_message_shows_an_id_or_a_control_byte),
        cmocka_unit_test(messages_are_bounded_in_number),
        cmocka_unit_test(names_that_are_equal_are_told_once_each),
        cmocka_unit_test(tables_fit_the_reader),
        cmocka_unit_test(every_listed_key_has_four_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
