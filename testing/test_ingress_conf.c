#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/certs.h"
#include "testing/conf_rig.h"

#define ENTRY(settings, more)                                                                      \
    "{\"inbounds\":[{\"port\":80,\"protocol\":\"ingress\",\"settings\":{" settings "}" more        \
    "}],\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\"}]}"
#define ROUTES "\"routes\":[{\"host\":\"a.example\",\"outboundTag\":\"out\"}]"

static void assert_wrong(const char *text, const char *message)
{
    struct run r = run_text(text);
    assert_null(r.config);
    if (!strstr(r.said, message))
        print_error("want: %s\ngot: %s", message, r.said);
    assert_non_null(strstr(r.said, message));
    run_free(&r);
}

static const struct inbound_conf *load(struct run *r, const char *text)
{
    return &run_good(r, text)->inbounds[0];
}

static void it_leads_where_its_routes_say(void **state)
{
    (void)state;
    struct run r;
    const struct inbound_conf *in = load(&r, ENTRY(ROUTES, ""));
    struct route_reader reader = {0};
    struct route_asked asked = {"a.example", {"", 0}, {"", 0}, NULL};
    struct route_to to;
    assert_int_equal(in->kind, IN_INGRESS);
    assert_true(routes_find(route_reader_now(&reader, in->ingress.guide->table), &asked, &to));
    assert_int_equal(to.kind, ROUTE_OUTBOUND);
    assert_ptr_equal(in->ingress.rules, &r.config->rules);
    assert_null(in->carriage);
    route_reader_fini(&reader);
    run_free(&r);
}

static void one_that_leads_nowhere_is_an_error(void **state)
{
    (void)state;
    static const char want[] = "error: leads nowhere: want \"routes\", or the \"portal\"";
    assert_wrong(ENTRY("", ""), want);
    assert_wrong(ENTRY("\"routes\":[]", ""), want);
    assert_wrong("{\"inbounds\":[{\"port\":80,\"protocol\":\"ingress\"}]}", want);
}

static void its_bytes_travel_in_one_way_only(void **state)
{
    (void)state;
    struct run r;
    assert_wrong(ENTRY(ROUTES, ",\"streamSettings\":{\"network\":\"ws\"}"),
                 "/inbounds/0/streamSettings: error: an ingress is HTTP itself");
    const struct inbound_conf *in =
        load(&r, ENTRY(ROUTES, ",\"streamSettings\":{\"sockopt\":{\"acceptProxyProtocol\":true}}"));
    assert_true(in->carriage->takes_proxy);
    run_free(&r);
}

static void a_visitor_has_ten_seconds_unless_a_level_is_less_patient(void **state)
{
    (void)state;
    struct run r;
    assert_true(load(&r, ENTRY(ROUTES, ""))->policy->handshake == ENTRY_GREETING);
    run_free(&r);
    run_good(&r, "{\"policy\":{\"levels\":{\"0\":{\"handshake\":3}}},\"inbounds\":[{\"port\":80,"
                 "\"protocol\":\"ingress\",\"settings\":{" ROUTES
                 "}}],\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\"}]}");
    assert_true(r.config->inbounds[0].policy->handshake == 3);
    run_free(&r);
}

/* Lines of PEM as JSON has them. */
static void put_lines(char *to, const char *pem)
{
    for (*to++ = '['; *pem; pem += strcspn(pem, "\n") + 1)
        to += sprintf(to, "\"%.*s\",", (int)strcspn(pem, "\n"), pem);
    to[-1] = ']';
    *to = '\0';
}

static void tls_is_put_on_some_connections_and_speaks_http1(void **state)
{
    (void)state;
    static char text[16384], pem[4096], key[4096];
    struct cert c;
    struct run r;
    cert_make(&c, &(struct cert_for){.names = "DNS:a.example"});
    put_lines(pem, c.pem);
    put_lines(key, c.key);
    snprintf(text, sizeof text,
             ENTRY(ROUTES ",\"tls\":{\"certificates\":[{\"certificate\":%s,\"key\":%s}]}", ""), pem,
             key);
    const struct inbound_conf *in = load(&r, text);
    assert_true(in->carriage->picks_tls);
    assert_non_null(in->carriage->tls);
    run_free(&r);
    snprintf(text, sizeof text,
             ENTRY(ROUTES, ",\"streamSettings\":{\"security\":\"tls\",\"tlsSettings\":{"
                           "\"certificates\":[{\"certificate\":%s,\"key\":%s}]}}"),
             pem, key);
    assert_wrong(text, "error: an ingress takes HTTP and TLS on one port: want \"tls\" in its");
    assert_wrong(ENTRY(ROUTES ",\"tls\":{}", ""), "error: a server wants a certificate");
    cert_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_leads_where_its_routes_say),
        cmocka_unit_test(one_that_leads_nowhere_is_an_error),
        cmocka_unit_test(its_bytes_travel_in_one_way_only),
        cmocka_unit_test(a_visitor_has_ten_seconds_unless_a_level_is_less_patient),
        cmocka_unit_test(tls_is_put_on_some_connections_and_speaks_http1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
