#include "testing/rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testing/names.h"
#include "transport/dns.h"
#include "transport/resolve.h"

/* Two servers, of which the first is that of `names`; sets are texts. */
struct two {
    struct names names;
    int fd; /* of the second server */
    struct dns_server servers[2];
    struct dns_host hosts[2];
    struct addr ips[3];
    struct dns_conf conf;
};

static bool match_name(const void *domains, const char *name)
{
    return strstr(name, domains);
}

static bool match_ip(const void *ips, const struct addr *ip)
{
    char text[ADDR_TEXT_MAX];
    return strcmp(addr_host_text(ip, text), ips) == 0;
}

static void two_open(struct two *t)
{
    memset(t, 0, sizeof *t);
    names_open(&t->names);
    struct addr first = rig_addr_of(t->names.fd), second;
    t->fd = rig_udp(&second);
    const struct addr ats[] = {first, second};
    for (size_t i = 0; i < 2; i++)
        t->servers[i] = (struct dns_server){.kind = DNS_UDP,
                                            .label = i ? "second" : "first",
                                            .at = ats[i],
                                            .families = DNS_BOTH,
                                            .timeout = 10};
    t->ips[0] = rig_addr("192.0.2.1", 0);
    t->ips[1] = rig_addr("2001:db8::1", 0);
    t->ips[2] = rig_addr("192.0.2.3", 0);
    t->hosts[0] = (struct dns_host){.name = "alias.example", .alias = "own.example"};
    t->hosts[1] = (struct dns_host){.name = "own.example", .ips = t->ips, .ip_count = 3};
    t->conf = (struct dns_conf){.servers = t->servers,
                                .server_count = 2,
                                .names = t->hosts,
                                .name_count = 2,
                                .families = DNS_BOTH,
                                .caches = true,
                                .match_name = match_name,
                                .match_ip = match_ip};
}

static void two_start(struct two *t)
{
    struct err e;
    assert_int_equal(resolve_init(&t->names.rig.loop, NULL, &e), 0);
    resolve_configure(&t->names.rig.loop, &t->conf, false);
}

static void two_close(struct two *t)
{
    close(t->fd);
    names_close(&t->names);
}

/* The second server's turn. */
static void second_answer(struct two *t, size_t count)
{
    struct names other = {.fd = t->fd};
    names_answer(&other, count);
}

struct asked {
    unsigned calls;
    struct resolve_answer answer;
};

static void on_answer(void *owner, const struct resolve_answer *a)
{
    struct asked *q = owner;
    q->calls++;
    q->answer = *a;
}

static struct resolve_query *ask(struct two *t, const char *name, enum dial_family family,
                                 struct asked *q)
{
    *q = (struct asked){0};
    struct resolve_query *query = resolve_start(&t->names.rig.loop, name, family, on_answer, q);
    assert_non_null(query);
    assert_int_equal(q->calls, 0); /* later, from the loop */
    return query;
}

static void hosts_answer_without_asking(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    two_start(&t);
    ask(&t, "Alias.Example.", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 3);
    assert_true(addr_equal(&q.answer.addrs[0], &t.ips[0]));
    assert_int_equal(q.answer.addrs[1].type, ADDR_IPV6); /* families take turns */
    ask(&t, "own.example", DIAL_IPV6, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 1);
    assert_false(rig_readable(t.names.fd));
    two_close(&t);
}

static void aliases_that_go_round_fail(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.hosts[1] = (struct dns_host){.name = "own.example", .alias = "alias.example"};
    two_start(&t);
    ask(&t, "own.example", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.why.code, ELOOP);
    two_close(&t);
}

static void the_first_server_is_asked_first(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    two_start(&t);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (names_answer(&t.names, 2), q.calls));
    assert_int_equal(q.answer.count, 2);
    assert_false(rig_readable(t.fd));
    two_close(&t);
}

static void domains_come_before_the_order(void **state)
{
    (void)state;
    for (int others = 0; others < 2; others++) {
        struct two t;
        struct asked q;
        two_open(&t);
        t.servers[1].domains = "corp";
        t.conf.no_fallback_if_match = !others;
        two_start(&t);
        ask(&t, "a.corp", DIAL_IPV4, &q);
        RIG_UNTIL(&t.names.rig, rig_readable(t.fd));
        assert_false(rig_readable(t.names.fd));
        second_answer(&t, 1);
        RIG_UNTIL(&t.names.rig, q.calls);
        assert_int_equal(q.answer.count, 1);
        two_close(&t);
    }
}

static void without_fallback_only_domains_count(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.servers[1].domains = "corp";
    t.conf.no_fallback = true;
    two_start(&t);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 0);
    assert_non_null(strstr(q.answer.why.text, "no dns server"));
    two_close(&t);
}

static void silence_leads_to_the_next_server(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.servers[0].timeout = 0.05;
    two_start(&t);
    ask(&t, "a.example", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, (second_answer(&t, 1), q.calls));
    assert_int_equal(q.answer.count, 1);
    two_close(&t);
}

static void the_last_servers_failure_is_told(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.servers[0].timeout = t.servers[1].timeout = 0.05;
    two_start(&t);
    ask(&t, "a.example", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 0);
    assert_non_null(strstr(q.answer.why.text, "dns second: no answer within"));
    two_close(&t);
}

static void unexpected_addresses_lead_to_the_next_server(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.servers[0].expected = "127.0.0.9";
    t.servers[1].expected = "127.0.0.2";
    two_start(&t);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (names_answer(&t.names, 3), second_answer(&t, 3), q.calls));
    assert_int_equal(q.answer.count, 1);
    assert_int_equal(q.answer.addrs[0].ip[3], 2);
    two_close(&t);
}

static void that_there_is_nothing_is_an_answer(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    two_start(&t);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (names_answer(&t.names, 0), q.calls));
    assert_int_equal(q.answer.count, 0);
    assert_false(rig_readable(t.fd));
    two_close(&t);
}

static void a_name_is_asked_for_once_and_kept(void **state)
{
    (void)state;
    struct two t;
    struct asked q[5];
    two_open(&t);
    two_start(&t);
    for (int i = 0; i < 4; i++)
        ask(&t, "a.example", DIAL_IPV4, &q[i]);
    resolve_cancel(ask(&t, "a.example", DIAL_IPV4, &q[4]));
    RIG_UNTIL(&t.names.rig, rig_readable(t.names.fd));
    names_answer(&t.names, 1);
    RIG_UNTIL(&t.names.rig, q[3].calls);
    for (int i = 0; i < 4; i++)
        assert_int_equal(q[i].answer.count, 1);
    ask(&t, "a.example", DIAL_IPV4, &q[0]);
    RIG_UNTIL(&t.names.rig, q[0].calls);
    assert_int_equal(q[0].answer.count, 1);
    assert_int_equal(q[4].calls, 0);
    assert_false(rig_readable(t.names.fd));
    two_close(&t);
}

static void a_changed_configuration_forgets_and_asks_again(void **state)
{
    (void)state;
    struct two t;
    struct asked q, waits;
    two_open(&t);
    struct dns_conf same = t.conf, other = t.conf;
    other.servers = &t.servers[1];
    other.server_count = 1;
    two_start(&t);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (names_answer(&t.names, 1), q.calls));
    ask(&t, "b.example", DIAL_IPV4, &waits);
    RIG_UNTIL(&t.names.rig, rig_readable(t.names.fd));
    resolve_configure(&t.names.rig.loop, &same, true);
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(waits.calls, 0);
    resolve_configure(&t.names.rig.loop, &other, false);
    assert_int_equal(waits.calls, 0); /* nobody is called from here */
    ask(&t, "a.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (second_answer(&t, 2), q.calls && waits.calls));
    assert_int_equal(q.answer.count, 2);
    assert_int_equal(waits.answer.count, 2);
    two_close(&t);
}

static void own_names_do_not_need_a_server_by_the_rules(void **state)
{
    (void)state;
    static const char *own[] = {"proxy.example"};
    struct two t;
    struct asked q;
    two_open(&t);
    t.servers[0].kind = DNS_HTTPS; /* there is no way to it here */
    t.conf.server_count = 1;
    t.conf.own = own;
    t.conf.own_count = 1;
    two_start(&t);
    ask(&t, "proxy.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, (names_answer(&t.names, 1), q.calls)); /* the system's server */
    assert_int_equal(q.answer.count, 1);
    ask(&t, "other.example", DIAL_IPV4, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 0);
    two_close(&t);
}

static void the_strategy_limits_families(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    t.conf.families = DNS_A;
    two_start(&t);
    ask(&t, "own.example", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 2);
    ask(&t, "a.example", DIAL_IPV6, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_int_equal(q.answer.count, 0);
    assert_false(rig_readable(t.names.fd));
    two_close(&t);
}

static void a_loop_that_ends_frees_what_waits(void **state)
{
    (void)state;
    struct two t;
    struct asked q[3];
    two_open(&t);
    two_start(&t);
    ask(&t, "a.example", DIAL_ANY, &q[0]);
    ask(&t, "own.example", DIAL_ANY, &q[1]);
    ask(&t, "a..example", DIAL_ANY, &q[2]); /* fails later, too */
    two_close(&t);
    for (int i = 0; i < 3; i++)
        assert_int_equal(q[i].calls, 0);
}

static void what_is_no_name_fails(void **state)
{
    (void)state;
    struct two t;
    struct asked q;
    two_open(&t);
    two_start(&t);
    ask(&t, "a..example", DIAL_ANY, &q);
    RIG_UNTIL(&t.names.rig, q.calls);
    assert_non_null(strstr(q.answer.why.text, "no name"));
    two_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_answer_without_asking),
        cmocka_unit_test(aliases_that_go_round_fail),
        cmocka_unit_test(the_first_server_is_asked_first),
        cmocka_unit_test(domains_come_before_the_order),
        cmocka_unit_test(without_fallback_only_domains_count),
        cmocka_unit_test(silence_leads_to_the_next_server),
        cmocka_unit_test(the_last_servers_failure_is_told),
        cmocka_unit_test(unexpected_addresses_lead_to_the_next_server),
        cmocka_unit_test(that_there_is_nothing_is_an_answer),
        cmocka_unit_test(a_name_is_asked_for_once_and_kept),
        cmocka_unit_test(a_changed_configuration_forgets_and_asks_again),
        cmocka_unit_test(own_names_do_not_need_a_server_by_the_rules),
        cmocka_unit_test(the_strategy_limits_families),
        cmocka_unit_test(a_loop_that_ends_frees_what_waits),
        cmocka_unit_test(what_is_no_name_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
