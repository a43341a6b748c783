#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

/* One bridge with these keys more. */
static struct run run_bridge(const char *keys)
{
    char text[4096];
    snprintf(
        text, sizeof text,
        "{\"reverse\": {\"bridges\": [{\"tag\": \"b\", \"domain\": \"t.example\", \"portals\": "
        "[\"up\"], %s}]}, \"outbounds\": [{\"protocol\": \"blackhole\"}, {\"tag\": \"up\", "
        "\"protocol\": \"vmess\", \"settings\": {\"address\": \"192.0.2.1\", \"port\": 1, "
        "\"id\": \"27848739-7e62-4138-9fd3-098a63964b6b\"}}]}",
        keys);
    return run_text(text);
}

static const struct bridge_conf *good(struct run *r, const char *keys)
{
    *r = run_bridge(keys);
    assert_non_null(r->config);
    return &r->config->bridges[0];
}

static void assert_wrong(const char *keys, const char *message)
{
    struct run r = run_bridge(keys);
    assert_null(r.config);
    if (!strstr(r.said, message))
        fail_msg("%s said %s, not %s", keys, r.said, message);
    run_free(&r);
}

static void a_bridge_that_says_nothing_has_no_names(void **state)
{
    (void)state;
    struct run r;
    const struct bridge_conf *b = good(&r, "\"node\": \"\"");
    assert_true(!b->node && !b->cluster && !b->tenant && !b->health && b->host_count == 0);
    assert_int_equal(b->weight, 1);
    run_free(&r);
}

static void names_and_hosts_come_in_their_normal_form(void **state)
{
    (void)state;
    struct run r;
    const struct bridge_conf *b = good(
        &r, "\"node\": \"Node-1\", \"cluster\": \"W_e.st\", \"tenant\": \"ACME\", \"weight\": 255,"
            "\"hosts\": [\"App.Example.\", \"*.Below.test\", \"auto\", \"b\xc3\xbc"
            "cher.example\"]");
    static const char *const hosts[] = {"app.example", ".below.test", "", "xn--bcher-kva.example"};
    assert_string_equal(b->node, "node-1");
    assert_string_equal(b->cluster, "w_e.st");
    assert_string_equal(b->tenant, "acme");
    assert_int_equal(b->weight, 255);
    assert_int_equal(b->host_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(b->hosts[i], hosts[i]);
    run_free(&r);
}

static void a_question_to_its_server_is_whole(void **state)
{
    (void)state;
    struct run r;
    const struct bridge_conf *b =
        good(&r, "\"health\": {\"address\": \"[2001:db8::1]:8080\", \"path\": \"/up?x\"}");
    const struct origin_conf *o = b->health;
    assert_int_equal(o->address.type, ADDR_IPV6);
    assert_int_equal(o->address.port, 8080);
    assert_string_equal(o->request, "GET /up?x HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nUser-Agent: "
                                    "v2c\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    assert_true(o->interval == 5 && o->timeout == 3 && o->rise == 2 && o->fall == 3);
    run_free(&r);
    assert_null(good(&r, "\"health\": {\"address\": \"localhost:80\"}")->health->request);
    run_free(&r);
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    char many[1024] = "\"hosts\": [";
    for (int i = 0; i < 65; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s\"h%d.e\"", i ? "," : "", i);
    strcat(many, "]");
    assert_wrong(many, "/hosts: error: want 1 to 64 names, got 65");
    assert_wrong("\"hosts\": [\"a.e\", \"A.e.\"]", "/hosts/1: error: \"A.e.\" stands here twice");
    assert_wrong("\"hosts\": [\".a.e\", \"*.a.e\"]",
                 "/hosts/1: error: \"*.a.e\" stands here twice");
    assert_wrong("\"hosts\": [\"192.0.2.1\"]", "/hosts/0: error: want a name without a port");
    assert_wrong("\"hosts\": [\"a.e:80\"]", "/hosts/0: error: want a name");
    assert_wrong("\"node\": \"a b\"", "/node: error: want 1 to 63 letters");
    assert_wrong("\"weight\": 0", "/weight: error: want a whole number 1..255");
    assert_wrong("\"health\": {}", "/health: error: want an \"address\"");
    assert_wrong("\"health\": {\"address\": \"web\"}", "/address: error: want \"host:port\"");
    assert_wrong("\"health\": {\"address\": \"web:80\", \"path\": \"up\"}",
                 "/path: error: want a path of at most 512 bytes");
    assert_wrong("\"health\": {\"address\": \"web:80\", \"path\": \"/a b\"}", "/path: error: want");
    assert_wrong("\"health\": {\"address\": \"web:80\", \"path\": \"/a\\r\\nb\"}",
                 "/path: error: want");
}

/* Carriers outlive configurations, and what says the same is the same. */
static void the_same_words_are_kept_once(void **state)
{
    (void)state;
    static const char keys[] = "\"node\": \"n\", \"hosts\": [\"a.e\"], \"health\": {\"address\": "
                               "\"web:80\", \"path\": \"/\"}";
    struct run one, other = {0};
    const struct bridge_conf *b = good(&one, keys);
    char path[] = "/tmp/v2c-bridge-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] =
        "{\"reverse\": {\"bridges\": [{\"tag\": \"b\", \"domain\": \"t.example\", \"node\": \"N\", "
        "\"hosts\": [\"A.e\"], \"health\": {\"address\": \"WEB:80\", \"path\": \"/\"}}]}}";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    const char *file = path;
    other.config =
        config_load(&(struct config_source){.files = &file, .file_count = 1}, one.config, stderr);
    unlink(path);
    assert_non_null(other.config);
    const struct bridge_conf *again = &other.config->bridges[0];
    assert_ptr_equal(b->node, again->node);
    assert_ptr_equal(b->hosts, again->hosts);
    assert_ptr_equal(b->health, again->health);
    run_free(&one);
    assert_string_equal(again->hosts[0], "a.e");
    run_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_that_says_nothing_has_no_names),
        cmocka_unit_test(names_and_hosts_come_in_their_normal_form),
        cmocka_unit_test(a_question_to_its_server_is_whole),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(the_same_words_are_kept_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
