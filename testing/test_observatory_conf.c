#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

#define CONFIG(observatory)                                                                        \
    "{\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":\"z\"},"                                    \
    "{\"protocol\":\"freedom\",\"tag\":\"p-2\"},{\"protocol\":\"freedom\",\"tag\":\"p-1\"}],"      \
    "\"observatory\":{" observatory "}}"
#define URL(url) CONFIG("\"subjectSelector\":[\"p\"],\"probeURL\":\"" url "\"")
#define INTERVAL(text)                                                                             \
    CONFIG("\"subjectSelector\":\"p\",\"probeURL\":\"http://a.example/\",\"probeInterval\":" text)

static void it_observes_what_is_selected(void **state)
{
    (void)state;
    struct run r;
    const struct prober_conf *o =
        &run_good(&r, CONFIG("\"subjectSelector\":[\"p-\"],\"probeUrl\":\"http://a.example/x?y\","
                             "\"enableConcurrency\":true"))
             ->observatory;
    assert_int_equal(o->count, 2);
    assert_int_equal(o->items[0].outbound, 2);
    assert_int_equal(o->items[1].outbound, 1);
    assert_true(o->concurrent && o->interval == 10);
    assert_string_equal(o->target.name, "a.example");
    assert_int_equal(o->target.port, 80);
    assert_non_null(strstr(o->request, "GET /x?y HTTP/1.1\r\nHost: a.example\r\n"));
    run_free(&r);
    run_good(&r, "{\"outbounds\":[{\"protocol\":\"freedom\"}]}");
    assert_int_equal(r.config->observatory.count, 0);
    run_free(&r);
}

static void urls_have_ports_and_addresses(void **state)
{
    (void)state;
    struct run r;
    const struct prober_conf *o = &run_good(&r, URL("http://192.0.2.7:8080"))->observatory;
    assert_int_equal(o->target.type, ADDR_IPV4);
    assert_int_equal(o->target.port, 8080);
    assert_non_null(strstr(o->request, "GET / HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n"));
    run_free(&r);
    o = &run_good(&r, URL("HTTP://[2001:db8::1]:81/#part"))->observatory;
    assert_int_equal(o->target.type, ADDR_IPV6);
    assert_int_equal(o->target.port, 81);
    assert_non_null(strstr(o->request, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n"));
    run_free(&r);
    o = &run_good(&r, URL("http://[2001:db8::1]?a"))->observatory;
    assert_int_equal(o->target.port, 80);
    assert_non_null(strstr(o->request, "GET /?a HTTP/1.1\r\n"));
    run_free(&r);
}

static void https_is_the_default(void **state)
{
    (void)state;
    struct run r;
    const struct prober_conf *o = &run_good(&r, CONFIG("\"subjectSelector\":\"p\""))->observatory;
    assert_string_equal(o->target.name, "api.v2fly.org");
    assert_int_equal(o->target.port, 443);
    assert_true(o->carriage && o->carriage->tls);
    run_free(&r);
    o = &run_good(&r, URL("http://a.example/"))->observatory;
    assert_null(o->carriage);
    run_free(&r);
}

static void what_is_no_url_is_refused(void **state)
{
    (void)state;
    assert_refused(URL("ftp://a.example/"),
                   "/observatory/probeURL: error: want \"https://host/path\"");
    assert_refused(URL("a.example"), "want \"https://host/path\"");
    assert_refused(URL("http://"), "want \"https://host/path\"");
    assert_refused(URL("http:///x"), "want \"https://host/path\"");
    assert_refused(URL("http://a.example:0/"), "want \"https://host/path\"");
    assert_refused(URL("http://a.example:70000/"), "want \"https://host/path\"");
    assert_refused(URL("http://a.example:1-2/"), "want \"https://host/path\"");
    assert_refused(URL("http://me:secret@a.example/"), "want \"https://host/path\"");
    assert_refused(URL("http://a.example/ HTTP/1.1\\r\\nX: y"), "want \"https://host/path\"");
    assert_refused(URL("http://a.example#x"), "want \"https://host/path\"");
}

static void intervals_are_written_as_in_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{INTERVAL("\"10s\""), 10},     {INTERVAL("\"1m30s\""), 90},
                 {INTERVAL("\"1.5h\""), 5400},  {INTERVAL("\"500ms\""), 0.5},
                 {INTERVAL("\"0s\""), 10},      {INTERVAL("\"200000us\""), 0.2},
                 {INTERVAL("\"1s500ms\""), 1.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        double got = run_good(&r, cases[i].text)->observatory.interval;
        assert_true(got > cases[i].seconds - 1e-6 && got < cases[i].seconds + 1e-6);
        run_free(&r);
    }
    assert_refused(INTERVAL("10"), "/observatory/probeInterval: error: want a duration as \"10s\"");
    assert_refused(INTERVAL("\"10\""), "want a duration as");
    assert_refused(INTERVAL("\"\""), "want a duration as");
    assert_refused(INTERVAL("\"s\""), "want a duration as");
    assert_refused(INTERVAL("\".s\""), "want a duration as");
    assert_refused(INTERVAL("\"1.2.3s\""), "want a duration as");
    assert_refused(INTERVAL("\"-1s\""), "want a duration as");
    assert_refused(INTERVAL("\"1d\""), "want a duration as");
    assert_refused(INTERVAL("\"1ms\""), "want a duration from \"100ms\" to \"24h\", got \"1ms\"");
    assert_refused(INTERVAL("\"25h\""), "want a duration from");
}

static void an_observatory_without_subjects_is_warned_about(void **state)
{
    (void)state;
    assert_warned(CONFIG(""), "/observatory: warning: observes nothing");
    assert_warned(CONFIG("\"subjectSelector\":[\"q\"]"),
                  "/observatory/subjectSelector/0: warning: no outbound or portal has a tag");
}

#define BALANCED(observatory)                                                                      \
    "{\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":\"p-1\"},"                                  \
    "{\"protocol\":\"freedom\",\"tag\":\"p-2\"}]," observatory                                     \
    "\"routing\":{\"balancers\":[{\"tag\":\"b\",\"selector\":[\"p\"],\"strategy\":{\"type\":"      \
    "\"leastPing\"}}],\"rules\":[{\"port\":80,\"balancerTag\":\"b\"}]}}"

static void least_ping_wants_an_observatory(void **state)
{
    (void)state;
    assert_warned(BALANCED(""), "leastPing without an observatory chooses at random");
    assert_warned(BALANCED("\"observatory\":{\"subjectSelector\":[\"p-1\"],\"probeURL\":"
                           "\"http://a.example/\"},"),
                  "the observatory does not observe \"p-2\": leastPing takes it last");
}

static void other_observatories_are_not_there_yet(void **state)
{
    (void)state;
    assert_refused("{\"burstObservatory\":{\"subjectSelector\":[\"a\"]}}",
                   "v2c has no burstObservatory yet");
    assert_refused("{\"multiObservatory\":{\"observers\":[{}]}}",
                   "v2c has no multiObservatory yet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_observes_what_is_selected),
        cmocka_unit_test(urls_have_ports_and_addresses),
        cmocka_unit_test(https_is_the_default),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(intervals_are_written_as_in_go),
        cmocka_unit_test(an_observatory_without_subjects_is_warned_about),
        cmocka_unit_test(least_ping_wants_an_observatory),
        cmocka_unit_test(other_observatories_are_not_there_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
