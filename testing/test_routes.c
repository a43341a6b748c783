#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/routes.h"

static const char tenant[] = "a";

static struct head_text text_of(const char *text)
{
    return (struct head_text){text, strlen(text)};
}

/* host: NULL for the default. id: "node:" a header names the node. */
static int try_add(struct routes *r, const char *host, const char *path, const char *header,
                   const char *value, const char *id)
{
    struct hostname_pattern p;
    struct err e;
    struct route one = {.path = text_of(path), .header = text_of(header), .value = text_of(value)};
    if (host)
        assert_int_equal(hostname_read_pattern(&p, host, strlen(host), &e), 0);
    one.host = host ? &p : NULL;
    one.to = (struct route_to){.kind = ROUTE_TUNNEL, .outbound = 7};
    one.to.tunnel.tenant = tenant;
    one.to.tunnel.by = strcmp(id, "node:") == 0 ? TUNNEL_BY_NODE : TUNNEL_BY_ID;
    if (one.to.tunnel.by == TUNNEL_BY_ID)
        snprintf(one.to.tunnel.text, sizeof one.to.tunnel.text, "%s", id);
    return routes_add(r, &one, &e) == 0 ? 0 : e.code;
}

static void add(struct routes *r, const char *host, const char *path, const char *id)
{
    assert_int_equal(try_add(r, host, path, "", "", id), 0);
}

static const char *ask(const struct routes *r, const char *host, const char *path, const char *head)
{
    static struct route_to to;
    struct route_asked asked = {host, text_of(path), text_of(head), NULL};
    memset(&to, 0, sizeof to);
    if (!routes_find(r, &asked, &to)) {
        assert_int_equal(to.kind, ROUTE_NONE);
        return "";
    }
    assert_int_equal(to.kind, ROUTE_TUNNEL);
    assert_int_equal(to.outbound, 7);
    assert_ptr_equal(to.tunnel.tenant, tenant);
    return to.tunnel.text;
}

static const char *leads(const struct routes *r, const char *host)
{
    return ask(r, host, "/", "GET / HTTP/1.1\r\n\r\n");
}

static const char *path_leads(const struct routes *r, const char *path)
{
    return ask(r, "a.example", path, "");
}

static void an_empty_table_knows_nobody(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    assert_string_equal(leads(r, "a.example"), "");
    assert_string_equal(leads(r, ""), "");
    assert_int_equal(routes_count(r), 0);
    routes_unref(r);
}

static void where_some_route_leads_is_known(void **state)
{
    (void)state;
    static const char *const hosts[] = {NULL, "a.example", ".a.example", "b.example"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct routes *r = routes_new();
        struct hostname_pattern p;
        struct err e;
        assert_int_equal(hostname_read_pattern(&p, "a.example", 9, &e), 0);
        struct route one = {.host = &p, .path = {"/x", 2}};
        one.to = (struct route_to){.kind = ROUTE_OUTBOUND, .outbound = 3};
        assert_false(routes_lead(r, 3));
        assert_int_equal(routes_add(r, &one, &e), 0);
        assert_true(routes_lead(r, 3));
        assert_false(routes_lead(r, 7));
        add(r, hosts[i], "/y", "t");
        assert_true(routes_lead(r, 7));
        assert_true(routes_lead(r, 3));
        assert_false(routes_lead(r, 0));
        routes_unref(r);
    }
}

static void the_best_host_decides(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    add(r, "a.example", "", "exact");
    add(r, ".example", "", "wide");
    add(r, "*.b.example", "", "narrow");
    add(r, "192.0.2.1", "", "four");
    add(r, "[2001:db8::1]", "", "six");
    assert_string_equal(leads(r, "a.example"), "exact");
    assert_string_equal(leads(r, "x.a.example"), "wide");
    assert_string_equal(leads(r, "example"), "wide");
    assert_string_equal(leads(r, "b.example"), "narrow");
    assert_string_equal(leads(r, "x.b.example"), "narrow");
    assert_string_equal(leads(r, "y.x.b.example"), "narrow");
    assert_string_equal(leads(r, "bb.example"), "wide");
    assert_string_equal(leads(r, "aexample"), "");
    assert_string_equal(leads(r, "192.0.2.1"), "four");
    assert_string_equal(leads(r, "[2001:db8::1]"), "six");
    assert_string_equal(leads(r, "stranger.test"), "");
    add(r, NULL, "", "default");
    assert_string_equal(leads(r, "stranger.test"), "default");
    assert_string_equal(leads(r, ""), "default");
    assert_string_equal(leads(r, "a.example"), "exact");
    add(r, "b.example", "", "apex");
    assert_string_equal(leads(r, "b.example"), "apex");
    assert_string_equal(leads(r, "x.b.example"), "narrow");
    routes_unref(r);
}

static void the_best_host_decides_alone(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    add(r, "a.example", "/only", "exact");
    add(r, ".example", "", "wide");
    add(r, NULL, "", "default");
    assert_string_equal(path_leads(r, "/only/this"), "exact");
    assert_string_equal(path_leads(r, "/other"), "");
    routes_unref(r);
}

static void the_longest_path_decides_by_whole_segments(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    add(r, "a.example", "/api", "api");
    add(r, "a.example", "", "rest");
    add(r, "a.example", "/api/v1/", "v1");
    add(r, "a.example", "/a%2Fb", "slash");
    static const struct {
        const char *path, *id;
    } cases[] = {
        {"/", "rest"},      {"*", "rest"},         {"", "rest"},           {"/api", "api"},
        {"/api/", "api"},   {"/api?x=/y", "api"},  {"/apis", "rest"},      {"/API", "rest"},
        {"/%61pi", "api"},  {"/%61p%69/x", "api"}, {"/api%2fv1/", "rest"}, {"/api/v1", "api"},
        {"/api/v1/", "v1"}, {"/api/v1/x", "v1"},   {"/a%2fb/c", "slash"},  {"/a/b/c", "rest"},
        {"/api%", "rest"},  {"/%6", "rest"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(path_leads(r, cases[i].path), cases[i].id);
    routes_unref(r);
}

static void a_header_chooses_among_routes_of_one_path(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    add(r, "a.example", "", "plain");
    assert_int_equal(try_add(r, "a.example", "", "x-part", "blue", "blue"), 0);
    assert_int_equal(try_add(r, "a.example", "", "x-part", "red", "red"), 0);
    assert_int_equal(try_add(r, "a.example", "", "x-node", "", "node:"), 0);
    add(r, "a.example", "/deep", "deep");
    static const struct {
        const char *path, *fields, *id;
    } cases[] = {
        {"/", "X-Part: blue\r\n", "blue"},     {"/", "x-part:red \r\n", "red"},
        {"/", "x-part: Red\r\n", "plain"},     {"/", "x-partly: red\r\n", "plain"},
        {"/", "x-node: Node-1\r\n", "node-1"}, {"/", "x-node: $secret\r\n", "plain"},
        {"/", "x-node:\r\n", "plain"},         {"/", "x-node: red\r\nx-part: red\r\n", "red"},
        {"/deep", "x-part: red\r\n", "deep"},  {"/", "", "plain"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a.example\r\n%s\r\n", cases[i].fields);
        assert_string_equal(ask(r, "a.example", cases[i].path, head), cases[i].id);
    }
    routes_unref(r);
}

static void two_routes_for_the_same_are_refused(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    add(r, "a.example", "/x", "one");
    assert_int_equal(try_add(r, "A.example.", "/%78", "", "", "two"), EEXIST);
    assert_int_equal(try_add(r, "a.example", "/y", "", "", "two"), 0);
    assert_int_equal(try_add(r, ".a.example", "/x", "", "", "two"), 0);
    assert_int_equal(try_add(r, "a.example", "/x", "x-a", "", "node:"), 0);
    assert_int_equal(try_add(r, "a.example", "/x", "x-a", "1", "two"), 0);
    assert_int_equal(try_add(r, "a.example", "/x", "x-a", "1", "three"), EEXIST);
    assert_int_equal(try_add(r, NULL, "", "", "", "any"), 0);
    assert_int_equal(try_add(r, NULL, "", "", "", "any"), EEXIST);
    assert_string_equal(path_leads(r, "/x"), "one");
    assert_int_equal(routes_count(r), 6);
    routes_unref(r);
}

static void outbounds_and_addresses_come_back_whole(void **state)
{
    (void)state;
    static const char *const addresses[] = {"192.0.2.1", "2001:db8::1", "web.internal"};
    struct routes *r = routes_new();
    struct route one = {.to = {.kind = ROUTE_OUTBOUND, .outbound = 3}};
    struct route_to to;
    struct err e;
    assert_int_equal(routes_add(r, &one, &e), 0);
    for (size_t i = 0; i < 3; i++) {
        struct route with = {.path = {"/abc", 2 + i}, .to = {.kind = ROUTE_ADDRESS, .outbound = 4}};
        assert_int_equal(addr_parse_host(&with.to.address, addresses[i], strlen(addresses[i]), &e),
                         0);
        with.to.address.port = 8080;
        assert_int_equal(routes_add(r, &with, &e), 0);
        struct route_asked asked = {"", with.path, {"", 0}, NULL};
        assert_true(routes_find(r, &asked, &to));
        assert_int_equal(to.kind, ROUTE_ADDRESS);
        assert_int_equal(to.outbound, 4);
        assert_true(addr_equal(&to.address, &with.to.address));
    }
    struct route_asked asked = {"any.test", {"/", 1}, {"", 0}, NULL};
    assert_true(routes_find(r, &asked, &to));
    assert_int_equal(to.kind, ROUTE_OUTBOUND);
    assert_int_equal(to.outbound, 3);
    routes_unref(r);
}

static void private_tunnels_say_so(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    struct route one = {.to = {.kind = ROUTE_TUNNEL, .is_private = true}};
    struct route_asked asked = {"", {"/", 1}, {"", 0}, NULL};
    struct route_to to = {0};
    struct err e;
    snprintf(one.to.tunnel.text, sizeof one.to.tunnel.text, "%s", "secret");
    assert_int_equal(routes_add(r, &one, &e), 0);
    assert_true(routes_find(r, &asked, &to));
    assert_true(to.is_private);
    routes_unref(r);
}

static void a_copy_is_added_to_alone(void **state)
{
    (void)state;
    struct routes *empty = routes_new(), *r = routes_copy(empty);
    add(r, "a.example", "", "one");
    assert_string_equal(leads(empty, "a.example"), "");
    struct routes *copy = routes_copy(r);
    add(copy, "b.example", "", "two");
    add(copy, ".a.example", "", "three");
    assert_string_equal(leads(r, "b.example"), "");
    routes_unref(r);
    assert_string_equal(leads(copy, "a.example"), "one");
    assert_string_equal(leads(copy, "b.example"), "two");
    assert_string_equal(leads(copy, "x.a.example"), "three");
    routes_unref(routes_ref(copy));
    assert_string_equal(leads(copy, "a.example"), "one");
    routes_unref(copy);
    routes_unref(empty);
}

static void whether_a_host_has_routes_of_its_own(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    struct hostname_pattern p;
    struct err e;
    add(r, "a.example", "/x", "one");
    add(r, ".b.example", "", "two");
    static const struct {
        const char *host;
        bool has;
    } cases[] = {{"a.example", true},  {".a.example", false}, {"b.example", false},
                 {".b.example", true}, {"*.b.example", true}, {"x.b.example", false},
                 {"c.example", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hostname_read_pattern(&p, cases[i].host, strlen(cases[i].host), &e);
        assert_int_equal(routes_have(r, &p), cases[i].has);
    }
    routes_unref(r);
}

static void many_hosts_are_found(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    char host[64], id[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(host, sizeof host, "%sh%u.example", i % 2 ? "." : "", i);
        snprintf(id, sizeof id, "t%u", i);
        add(r, host, "", id);
    }
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(host, sizeof host, "%sh%u.example", i % 2 ? "www." : "", i);
        snprintf(id, sizeof id, "t%u", i);
        assert_string_equal(leads(r, host), id);
    }
    assert_string_equal(leads(r, "h20000.example"), "");
    routes_unref(r);
}

static void one_host_has_not_too_many_routes(void **state)
{
    (void)state;
    struct routes *r = routes_new();
    char path[16];
    for (unsigned i = 0; i < ROUTES_OF_HOST_MAX; i++) {
        snprintf(path, sizeof path, "/%u", i);
        add(r, "a.example", path, "x");
    }
    assert_int_equal(try_add(r, "a.example", "/more", "", "", "x"), E2BIG);
    assert_int_equal(try_add(r, "b.example", "/more", "", "", "x"), 0);
    routes_unref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_knows_nobody),
        cmocka_unit_test(where_some_route_leads_is_known),
        cmocka_unit_test(the_best_host_decides),
        cmocka_unit_test(the_best_host_decides_alone),
        cmocka_unit_test(the_longest_path_decides_by_whole_segments),
        cmocka_unit_test(a_header_chooses_among_routes_of_one_path),
        cmocka_unit_test(two_routes_for_the_same_are_refused),
        cmocka_unit_test(outbounds_and_addresses_come_back_whole),
        cmocka_unit_test(private_tunnels_say_so),
        cmocka_unit_test(a_copy_is_added_to_alone),
        cmocka_unit_test(whether_a_host_has_routes_of_its_own),
        cmocka_unit_test(many_hosts_are_found),
        cmocka_unit_test(one_host_has_not_too_many_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
