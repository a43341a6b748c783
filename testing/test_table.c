#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "conf/show.h"
#include "conf/table.h"

static char *said;
static size_t said_len;

static FILE *open_page(void)
{
    free(said);
    said = NULL;
    return open_memstream(&said, &said_len);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    static const char *const heads[] = {"NAME", "-N", "LAST", NULL};
    struct table t;
    FILE *out = open_page();
    table_init(&t, heads);
    table_add(&t, "a");
    table_add_number(&t, 12345);
    table_add(&t, "x");
    table_add(&t, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6");
    table_add_size(&t, 7);
    table_add(&t, "\x1b[2Jy");
    table_add(&t, "a row that is not whole is not shown");
    table_print(&t, out);
    fclose(out);
    assert_string_equal(said, "NAME       N  LAST\n"
                              "a      12345  x\n"
                              "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6    7 B  ?[2Jy\n");
    table_fini(&t);
}

static void show(const char *answer, void (*how)(const json_t *answer, FILE *out))
{
    FILE *out = open_page();
    json_t *json = json_loads(answer, 0, NULL);
    assert_non_null(json);
    how(json, out);
    json_decref(json);
    fclose(out);
}

static void a_status_is_tables_of_what_there_is(void **state)
{
    (void)state;
    show("{\"version\": \"1\", \"uptime\": 61, \"workers\": 2, \"flows\": 3, \"bridges\": [],"
         " \"portals\": [{\"tag\": \"p\", \"domain\": \"d\", \"carriers\": 0, \"visitors\": 0}],"
         " \"carriers\": [{\"id\": \"0-1\", \"tag\": \"p\", \"state\": \"up\", \"peer\": \"\","
         " \"user\": \"u\", \"tunnel\": \"t\", \"node\": \"\", \"streams\": 4, \"rtt\": 0.0012, "
         "\"age\": 5, \"up\": 2048,"
         " \"down\": 1}], \"hosts\": [{\"host\": \"h\", \"bridge\": \"b\","
         " \"outbound\": \"\", \"state\": \"taken\"}], \"tunnels\": [{\"portal\": \"p\", "
         "\"tunnel\": \"t\", \"tenant\": \"\","
         " \"carriers\": 3, \"streams\": 4, \"servers\": [{\"node\": \"m\", \"cluster\": \"\"},"
         " {\"node\": \"n\", \"cluster\": \"c\"}]}], \"tunnelCount\": 8, \"traffic\": [{\"kind\": "
         "\"portal\", \"tag\": \"p\", \"up\": 5,"
         " \"down\": 6}, {\"kind\": \"inbound\", \"tag\": \"i\", \"down\": 7}]}",
         show_status);
    assert_string_equal(
        said, "V2C  UP FOR     WORKERS  FLOWS\n"
              "1    1 min 1 s        2      3\n"
              "\n"
              "PORTAL  STATE       CARRIERS  VISITORS   UP  DOWN  DOMAIN\n"
              "p       no carrier         0         0  5 B   6 B  d\n"
              "\n"
              "HOST  OF  BY  STATE\n"
              "h     b   -   taken\n"
              "\n"
              "TUNNEL  OF  TENANT  NODES  CLUSTERS  CARRIERS  STREAMS\n"
              "t       p   -       m,n    c                3        4\n"
              "... and 7 more\n"
              "\n"
              "CARRIER  OF  STATE  PEER  USER  TUNNEL  NODE  STREAMS     RTT  AGE       UP"
              "  DOWN\n"
              "0-1      p   up     -     u     t       -           4  1.2 ms  5 s  2.0 KiB"
              "   1 B\n"
              "\n"
              "TRAFFIC  KIND     UP  DOWN\n"
              "i        inbound   -   7 B\n");
}

static void an_answer_of_something_else_harms_nothing(void **state)
{
    (void)state;
    static const char odd[] = "{\"flows\": [1, null, {}], \"stat\": [[]],"
                              " \"carriers\": [\"x\"], \"total\": \"x\"}";
    static const char *const answers[] = {"{}", "[]",
                                          "{\"flows\": 7, \"stat\": {}, \"bridges\": 1}", odd};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        show(answers[i], show_status);
        show(answers[i], show_stats);
        show(answers[i], show_flows);
        show(answers[i], show_words);
    }
    free(said);
    said = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(a_status_is_tables_of_what_there_is),
        cmocka_unit_test(an_answer_of_something_else_harms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
