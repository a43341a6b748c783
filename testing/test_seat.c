#include "testing/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "routing/seat.h"
#include "routing/sniff.h"
#include "testing/vectors.h"

enum { OUTS = 4 };

/* Outbound 0 is the default. Rules: names below a.example go to 1, IPs of 192.0.2.0/24 to 2; a test may change
 * them. The resolver is the test. */
struct junction {
    struct rig rig;
    struct rig_outbound outs[OUTS];
    struct rig_end ends[OUTS], in;
    struct outbound *numbered[OUTS];
    struct rule items[4];
    struct rules rules;
    const char *reserved_names[4];
    struct string_list reserved;
    struct sniff_conf sniffing;
    struct dispatcher dispatcher;
    struct flow *flow;
};

static struct {
    struct seat *seat;
    char name[ADDR_NAME_MAX + 1];
    unsigned started, cancelled;
    bool fails;
} names;

static void *on_start(struct loop *l, const char *name, struct seat *s)
{
    (void)l;
    names.started++;
    if (names.fails)
        return NULL;
    names.seat = s;
    strcpy(names.name, name);
    return &names;
}

static void on_cancel(void *look_up)
{
    assert_ptr_equal(look_up, &names);
    names.cancelled++;
    names.seat = NULL;
}

static const struct resolver resolver = {.start = on_start, .cancel = on_cancel};

static struct domain_set *domains(const char *text)
{
    struct err e;
    struct domain_set *s = domain_set_new();
    assert_non_null(s);
    assert_int_equal(domain_set_add(s, text, &e), 0);
    return s;
}

static struct cidr_set *ips(const char *text)
{
    struct err e;
    struct cidr_set *s = cidr_set_new();
    assert_non_null(s);
    assert_int_equal(cidr_set_add(s, text, &e), 0);
    assert_int_equal(cidr_set_seal(s), 0);
    return s;
}

static void junction_open(struct junction *j)
{
    memset(j, 0, sizeof *j);
    memset(&names, 0, sizeof names);
    rig_open(&j->rig);
    for (int i = 0; i < OUTS; i++) {
        rig_outbound_init(&j->outs[i], &j->rig, &j->ends[i], 1);
        j->outs[i].out.tag = "";
        j->numbered[i] = &j->outs[i].out;
    }
    j->items[0] = (struct rule){.domains = domains("domain:a.example"), .outbound = 1};
    j->items[1] = (struct rule){.ips = ips("192.0.2.0/24"), .outbound = 2};
    j->rules = (struct rules){.items = j->items, .count = 2};
    j->reserved_names[0] = "v1.mux.cool";
    j->reserved_names[1] = "magic.a.example";
    j->reserved = (struct string_list){j->reserved_names, 2};
    j->sniffing = (struct sniff_conf){.names = SNIFF_HTTP | SNIFF_TLS | SNIFF_QUIC};
    j->dispatcher = (struct dispatcher){.loop = &j->rig.loop,
                                        .rules = &j->rules,
                                        .outbounds = j->numbered,
                                        .fallback = j->numbered[0],
                                        .resolver = &resolver,
                                        .reserved = &j->reserved};
}

static void junction_close(struct junction *j)
{
    if (!j->in.left)
        rig_leave(&j->in, NULL);
    rig_turn(&j->rig);
    for (int i = 0; i < OUTS; i++)
        rig_end_free(&j->ends[i]);
    rig_end_free(&j->in);
    rig_close(&j->rig);
    for (size_t i = 0; i < j->rules.count; i++)
        rule_fini(&j->items[i]);
}

/* Another flow of the same inbound. */
static void junction_send(struct junction *j, enum net net, const char *host)
{
    struct meta m = {.net = net,
                     .inbound_tag = "door",
                     .target = rig_addr(host, 80),
                     .sniffing = j->sniffing.names ? &j->sniffing : NULL};
    j->flow = flow_new(&j->rig.loop, &j->in.end, &rig_end_ops, &m, &j->rig.policy);
    assert_non_null(j->flow);
    dispatch(&j->dispatcher, j->flow);
}

/* Which outbound has a flow; -1: none. */
static int junction_chosen(const struct junction *j)
{
    for (int i = 0; i < OUTS; i++)
        if (j->outs[i].count)
            return i;
    return -1;
}

static void say(struct junction *j, const char *text)
{
    assert_true(end_write(&j->in.end, text, strlen(text)));
    rig_turn(&j->rig);
}

static void assert_got(struct junction *j, int out, const char *text)
{
    rig_turn(&j->rig);
    assert_int_equal(junction_chosen(j), out);
    assert_int_equal(j->ends[out].len, strlen(text));
    assert_memory_equal(j->ends[out].got, text, strlen(text));
}

#define REQUEST "GET / HTTP/1.1\r\nHost: x.A.example:8080\r\n\r\n"

/* --- sniffing --- */

static void the_first_bytes_choose_and_are_untouched(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= strlen(REQUEST); piece++) {
        struct junction j;
        junction_open(&j);
        j.sniffing.route_only = true;
        junction_send(&j, NET_TCP, "198.51.100.1");
        for (size_t at = 0; at < strlen(REQUEST); at += piece) {
            char part[64] = "";
            rig_turn(&j.rig);
            assert_int_equal(junction_chosen(&j), -1);
            strncat(part, &REQUEST[at], piece);
            say(&j, part);
        }
        assert_got(&j, 1, REQUEST);
        assert_int_equal(j.flow->meta.target.type, ADDR_IPV4);
        assert_false(j.flow->meta.guessed);
        assert_true(j.flow->meta.by_rule);
        say(&j, "more");
        assert_got(&j, 1, REQUEST "more");
        junction_close(&j);
    }
}

static void an_override_changes_the_target(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.rules.count = 1;
    junction_send(&j, NET_TCP, "198.51.100.1");
    say(&j, REQUEST);
    assert_got(&j, 1, REQUEST);
    assert_string_equal(j.flow->meta.target.name, "x.a.example");
    assert_int_equal(j.flow->meta.target.port, 80);
    assert_true(j.flow->meta.guessed);
    j.rules.count = 2;
    junction_close(&j);
}

/* Who asked for the name has not been guessed about. */
static void a_target_that_was_named_is_not_guessed(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    junction_send(&j, NET_TCP, "X.a.example.");
    say(&j, REQUEST);
    assert_int_equal(junction_chosen(&j), 1);
    assert_string_equal(j.flow->meta.target.name, "X.a.example.");
    assert_false(j.flow->meta.guessed);
    junction_close(&j);
}

/* Whoever would not be treated otherwise is not kept waiting. */
static void nobody_waits_where_nothing_can_change(void **state)
{
    (void)state;
    const struct string_list other_door = {(const char *[]){"window"}, 1};
    for (int i = 0; i < 6; i++) {
        struct junction j;
        junction_open(&j);
        j.sniffing.route_only = true;
        const char *host = "198.51.100.1";
        if (i == 0)
            j.sniffing.names = 0; /* nothing is to be sniffed */
        if (i == 1)
            j.items[0].networks = NET_UDP;
        if (i == 2)
            j.items[0].inbound_tags = other_door;
        if (i == 3)
            assert_int_equal(port_set_add(&j.items[0].ports, "443", &(struct err){0}), 0);
        if (i == 4)
            j.sniffing.ips_excluded = ips("198.51.100.0/24");
        if (i == 5)
            host = "Magic.a.example"; /* its own link: no stranger's bytes tell more */
        junction_send(&j, NET_TCP, host);
        assert_int_equal(junction_chosen(&j), i == 5 ? 1 : 0);
        j.items[0].inbound_tags = (struct string_list){0};
        cidr_set_free((struct cidr_set *)j.sniffing.ips_excluded);
        junction_close(&j);
    }
}

static void a_rule_that_comes_first_is_not_waited_for(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.sniffing.route_only = true;
    struct rule first = j.items[1];
    j.items[1] = j.items[0];
    j.items[0] = first;
    junction_send(&j, NET_TCP, "192.0.2.7");
    assert_int_equal(junction_chosen(&j), 2);
    junction_close(&j);
}

static void silence_is_not_waited_for_long(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    double before = loop_steady();
    junction_send(&j, NET_TCP, "198.51.100.1");
    assert_int_equal(junction_chosen(&j), -1);
    RIG_UNTIL(&j.rig, junction_chosen(&j) == 0);
    double waited = loop_steady() - before;
    assert_true(waited > 0.15 && waited < 5);
    say(&j, REQUEST);
    assert_got(&j, 0, REQUEST);
    junction_close(&j);
}

static void what_is_nothing_goes_on_at_once(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    junction_send(&j, NET_TCP, "198.51.100.1");
    say(&j, "SSH-2");
    assert_got(&j, 0, "SSH-2");
    junction_close(&j);
}

static void after_the_end_nothing_more_is_waited_for(void **state)
{
    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        struct junction j;
        junction_open(&j);
        junction_send(&j, NET_TCP, "198.51.100.1");
        say(&j, "GET /");
        assert_int_equal(junction_chosen(&j), -1);
        if (leaves)
            rig_leave(&j.in, NULL);
        else
            end_eof(&j.in.end);
        assert_got(&j, 0, "GET /");
        assert_true(j.ends[0].eof);
        junction_close(&j);
    }
}

static void a_flow_may_die_under_its_seat(void **state)
{
    (void)state;
    struct err why;
    err_set(&why, ECONNRESET, "reset");
    for (int how = 0; how < 4; how++) {
        struct junction j;
        junction_open(&j);
        j.dispatcher.strategy = how < 2 ? AS_IS : IP_ON_DEMAND;
        junction_send(&j, NET_TCP, how < 2 ? "198.51.100.1" : "b.example");
        if (how >= 2)
            say(&j, "SSH-2");
        assert_int_equal(names.started, how >= 2);
        if (how == 0)
            rig_leave(&j.in, NULL);
        else if (how == 1 || how == 2)
            rig_leave(&j.in, &why);
        else
            flows_abort(&j.rig.loop, &why);
        rig_turn(&j.rig);
        assert_int_equal(junction_chosen(&j), -1);
        assert_int_equal(names.cancelled, how >= 2);
        assert_true(j.in.left);
        junction_close(&j);
    }
}

/* --- what else rules see --- */

static struct attrs *attrs(const char *text)
{
    struct err e;
    struct attrs *a = attrs_new(text, &e);
    assert_non_null(a);
    return a;
}

static void put(struct junction *j, const char *bytes, size_t len)
{
    struct buf *b = buf_new(&j->rig.loop.bufs);
    assert_non_null(b);
    buf_append(b, bytes, len);
    end_put(&j->in.end, b);
}

static void rules_see_the_protocol_without_any_name(void **state)
{
    (void)state;
    static const char *const words[][2] = {{"http", REQUEST},
                                           {"bittorrent", "\023BitTorrent protocol"}};
    for (size_t i = 0; i < 4; i++) {
        struct junction j;
        junction_open(&j);
        j.sniffing.names = 0;
        domain_set_free(j.items[0].domains);
        j.items[0] = (struct rule){.outbound = 1};
        j.items[0].protocols.items = calloc(1, sizeof *j.items[0].protocols.items);
        j.items[0].protocols.items[0] = strdup(words[i % 2][0]);
        j.items[0].protocols.count = 1;
        struct meta m = {.net = NET_TCP,
                         .inbound_tag = "door",
                         .target = rig_addr("198.51.100.1", 80),
                         .sniffing = &j.sniffing};
        j.flow = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        dispatch(&j.dispatcher, j.flow);
        assert_int_equal(junction_chosen(&j), -1);
        say(&j, words[i / 2][1]);
        assert_int_equal(junction_chosen(&j), i % 2 == i / 2);
        assert_int_equal(j.flow->meta.target.type, ADDR_IPV4);
        junction_close(&j);
    }
}

/* The head that an inbound has read is gone when dispatch() has returned; one that is sniffed lies in the flow,
 * in several bufs if need be. */
static void rules_see_the_head_as_long_as_they_need_it(void **state)
{
    (void)state;
    for (int given = 0; given < 2; given++) {
        struct junction j;
        char head[BUF_DATA - 100];
        memset(head, 'a', sizeof head);
        memcpy(head, "GET /x HTTP/1.1\r\nA: ", 20);
        memcpy(head + sizeof head - 5, "\r\n\r\n", 5);
        junction_open(&j);
        j.dispatcher.strategy = IP_ON_DEMAND;
        j.items[1].attrs = attrs("attrs[':path'] == '/x'");
        struct meta m = {.net = NET_TCP,
                         .inbound_tag = "door",
                         .target = rig_addr("b.example", 80),
                         .sniffing = given ? NULL : &j.sniffing,
                         .head = given ? head : NULL,
                         .head_len = given ? strlen(head) : 0};
        j.flow = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        dispatch(&j.dispatcher, j.flow);
        if (!given) {
            put(&j, head, 9000);
            put(&j, head + 9000, strlen(head) - 9000);
            assert_int_equal(j.flow->pipes[1].q.count, 2);
            rig_turn(&j.rig);
        }
        memset(head, 'X', sizeof head);
        assert_null(j.flow->meta.head);
        assert_int_equal(names.started, 1);
        struct addr found = rig_addr("192.0.2.1", 0);
        seat_resolved(names.seat, &found, 1);
        assert_int_equal(junction_chosen(&j), 2);
        junction_close(&j);
    }
}

/* --- names that do not count --- */

static void excluded_names_change_nothing(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    struct domain_set *excluded = domains("full:x.a.example");
    j.sniffing.domains_excluded = excluded;
    junction_send(&j, NET_TCP, "198.51.100.1");
    say(&j, REQUEST);
    assert_int_equal(junction_chosen(&j), 0);
    assert_int_equal(j.flow->meta.target.type, ADDR_IPV4);
    domain_set_free(excluded);
    junction_close(&j);
}

static void a_protocol_that_is_not_named_gives_no_name(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.sniffing.names = SNIFF_TLS;
    junction_send(&j, NET_TCP, "198.51.100.1");
    say(&j, REQUEST);
    assert_int_equal(junction_chosen(&j), 0);
    assert_int_equal(j.flow->meta.target.type, ADDR_IPV4);
    junction_close(&j);
}

/* What makes carriers and speaks to them is not for strangers to name: the flow goes where it would have gone
 * without any name. */
static void a_stranger_names_nothing_of_ours(void **state)
{
    (void)state;
    static const char *const hosts[] = {"magic.a.example",  "MAGIC.A.EXAMPLE",
                                        "magic.a.example.", "Magic.a.Example.:80",
                                        "v1.mux.cool",      "V1.Mux.COOL."};
    for (size_t i = 0; i < 2 * sizeof hosts / sizeof *hosts; i++) {
        struct junction j;
        char request[128];
        static const struct user user = {.email = "a@b", .traffic = {-1, -1}, .may_link = true};
        junction_open(&j);
        j.sniffing.route_only = i % 2;
        j.dispatcher.mux = j.numbered[3];
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i / 2]);
        struct meta m = {.net = NET_TCP,
                         .inbound_tag = "door",
                         .user = &user,
                         .target = rig_addr("198.51.100.1", 9527),
                         .sniffing = &j.sniffing};
        j.flow = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        dispatch(&j.dispatcher, j.flow);
        say(&j, request);
        assert_got(&j, 0, request);
        assert_int_equal(j.flow->meta.target.type, ADDR_IPV4);
        assert_int_equal(rig_stat(&j.rig, STAT_names_refused), 1);
        junction_close(&j);
    }
}

static void what_was_guessed_asks_for_no_mux(void **state)
{
    (void)state;
    static const struct user user = {.email = "a@b", .traffic = {-1, -1}, .may_link = true};
    struct meta m = {.net = NET_TCP, .user = &user, .target = rig_addr("v1.mux.cool", 9527)};
    assert_true(asks_for_mux(&m));
    m.guessed = true;
    assert_false(asks_for_mux(&m));
}

/* --- datagrams --- */

static void packet(struct junction *j, const char *key)
{
    struct vectors *v = vectors_open("sniff.txt");
    struct buf *b = buf_new(&j->rig.loop.bufs);
    assert_non_null(b);
    b->len = vectors_bytes(v, b->data, BUF_DATA, "%s", key);
    vectors_close(v);
    end_put(&j->in.end, b);
    rig_turn(&j->rig);
}

static void datagrams_wait_for_each_other(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    domain_set_free(j.items[0].domains);
    j.items[0].domains = domains("full:example.com");
    junction_send(&j, NET_UDP, "198.51.100.1");
    packet(&j, "quic_split_0");
    assert_int_equal(junction_chosen(&j), -1);
    packet(&j, "quic_split_1");
    rig_turn(&j.rig);
    assert_int_equal(junction_chosen(&j), 1);
    assert_int_equal(j.ends[1].count, 2);
    assert_in_range(j.ends[1].sizes[0], 1200, 1400);
    assert_string_equal(j.flow->meta.target.name, "example.com");
    junction_close(&j);
}

static void a_datagram_of_another_kind_goes_on_at_once(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    junction_send(&j, NET_UDP, "198.51.100.1");
    say(&j, REQUEST);
    assert_got(&j, 0, REQUEST);
    junction_close(&j);
}

/* --- addresses of names --- */

static void answer(const char *const *texts, size_t count)
{
    struct addr found[4];
    struct seat *s = names.seat;
    names.seat = NULL;
    for (size_t i = 0; i < count; i++)
        found[i] = rig_addr(texts[i], 0);
    seat_resolved(s, found, count);
}

static const char *const inside[] = {"198.51.100.1", "192.0.2.1"}, *const outside[] = {"::1"};

static void addresses_are_looked_up_when_no_rule_matches(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *const *found;
        size_t count;
        int chosen, started;
    } cases[] = {
        {"b.example", inside, 2, 2, 1},  {"b.example", outside, 1, 0, 1},
        {"b.example", NULL, 0, 0, 1},    {"a.example", NULL, 0, 1, 0},
        {"192.0.2.1", NULL, 0, 2, 0},    {"192.0.3.1", NULL, 0, 0, 0},
        {"V1.mux.cool", NULL, 0, -1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct junction j;
        junction_open(&j);
        j.sniffing.names = 0;
        j.dispatcher.strategy = IP_IF_NON_MATCH;
        junction_send(&j, NET_TCP, cases[i].target);
        assert_int_equal(names.started, cases[i].started);
        if (names.seat) {
            assert_string_equal(names.name, "b.example");
            say(&j, "bytes");
            assert_int_equal(junction_chosen(&j), -1);
            answer(cases[i].found, cases[i].count);
            assert_got(&j, cases[i].chosen, "bytes");
        }
        assert_int_equal(junction_chosen(&j), cases[i].chosen);
        assert_int_equal(names.cancelled, 0);
        junction_close(&j);
    }
}

/* A server of names that has a name: it would wait for itself. */
static void what_looks_up_is_not_looked_up(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.dispatcher.strategy = IP_ON_DEMAND;
    struct meta m = {.net = NET_TCP,
                     .inbound_tag = "dns",
                     .target = rig_addr("b.example", 443),
                     .no_look_up = true};
    j.flow = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
    dispatch(&j.dispatcher, j.flow);
    assert_int_equal(names.started, 0);
    assert_int_equal(junction_chosen(&j), 0);
    junction_close(&j);
}

static void a_look_up_that_cannot_begin_finds_nothing(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.sniffing.names = 0;
    j.dispatcher.strategy = IP_ON_DEMAND;
    names.fails = true;
    junction_send(&j, NET_TCP, "b.example");
    assert_int_equal(junction_chosen(&j), 0);
    junction_close(&j);
}

/* A name that was sniffed is looked up like one that was asked for, unless only rules may see it: then the
 * target's own address counts. */
static void what_was_sniffed_is_looked_up(void **state)
{
    (void)state;
    for (int route_only = 0; route_only < 2; route_only++) {
        struct junction j;
        junction_open(&j);
        j.dispatcher.strategy = IP_IF_NON_MATCH;
        j.sniffing.route_only = route_only;
        junction_send(&j, NET_TCP, "198.51.100.1");
        say(&j, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert_int_equal(names.started, !route_only);
        if (!route_only)
            answer(inside, 2);
        assert_int_equal(junction_chosen(&j), route_only ? 0 : 2);
        junction_close(&j);
    }
}

/* Rules made at random: "on demand" chooses what rules that know the addresses from the start choose, and looks
 * up no name where that cannot matter. */
static void on_demand_chooses_as_if_all_were_known(void **state)
{
    (void)state;
    static const char *const targets[] = {"a.example", "b.example", "198.51.100.9"};
    unsigned looked_up = 0;
    srandom(1);
    for (int round = 0; round < 2000; round++) {
        struct junction j;
        junction_open(&j);
        j.sniffing.names = 0;
        j.dispatcher.strategy = IP_ON_DEMAND;
        for (size_t i = 0; i < 2; i++)
            rule_fini(&j.items[i]);
        j.rules.count = 3;
        for (size_t i = 0; i < 3; i++) {
            long r = random();
            j.items[i] = (struct rule){.outbound = i + 1};
            j.items[i].domains = r & 1 ? domains(r & 2 ? "full:a.example" : "b.exam") : NULL;
            j.items[i].ips = r & 4 ? ips(r & 8 ? "192.0.2.0/24" : "!192.0.2.0/24") : NULL;
            j.items[i].networks = r & 16 ? NET_TCP : r & 32 ? NET_UDP : 0;
        }
        struct meta m = {
            .net = NET_TCP, .inbound_tag = "door", .target = rig_addr(targets[random() % 3], 80)};
        char name[ADDR_NAME_MAX + 1];
        struct addr found[] = {rig_addr(inside[random() % 2], 0)};
        struct query q = query_of(&m, name), without = q;
        q.ips = m.target.type == ADDR_NAME ? found : NULL;
        q.ip_count = q.ips ? 1 : 0;
        const struct rule *oracle = rules_match(&j.rules, &q);
        const struct rule *blind = rules_match(&j.rules, &without);
        j.flow = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        dispatch(&j.dispatcher, j.flow);
        assert_true(oracle == blind || names.started);
        looked_up += names.started;
        if (names.seat)
            seat_resolved(names.seat, found, 1);
        assert_int_equal(junction_chosen(&j), oracle ? (int)oracle->outbound : 0);
        junction_close(&j);
    }
    assert_in_range(looked_up, 100, 1900);
}

/* --- another configuration --- */

static void an_inbound_that_goes_takes_its_seats_along(void **state)
{
    (void)state;
    struct junction j;
    struct dispatcher closed;
    static const struct rules none;
    junction_open(&j);
    closed = (struct dispatcher){.loop = &j.rig.loop, .rules = &none, .resolver = &resolver};
    junction_send(&j, NET_TCP, "198.51.100.1");
    seats_move(&j.dispatcher, &closed, "window");
    seats_move(&j.dispatcher, &closed, j.flow->meta.inbound_tag);
    say(&j, REQUEST);
    assert_int_equal(junction_chosen(&j), -1);
    assert_true(j.in.left && j.in.failed);
    junction_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_bytes_choose_and_are_untouched),
        cmocka_unit_test(an_override_changes_the_target),
        cmocka_unit_test(a_target_that_was_named_is_not_guessed),
        cmocka_unit_test(nobody_waits_where_nothing_can_change),
        cmocka_unit_test(a_rule_that_comes_first_is_not_waited_for),
        cmocka_unit_test(silence_is_not_waited_for_long),
        cmocka_unit_test(what_is_nothing_goes_on_at_once),
        cmocka_unit_test(after_the_end_nothing_more_is_waited_for),
        cmocka_unit_test(a_flow_may_die_under_its_seat),
        cmocka_unit_test(rules_see_the_protocol_without_any_name),
        cmocka_unit_test(rules_see_the_head_as_long_as_they_need_it),
        cmocka_unit_test(excluded_names_change_nothing),
        cmocka_unit_test(a_protocol_that_is_not_named_gives_no_name),
        cmocka_unit_test(a_stranger_names_nothing_of_ours),
        cmocka_unit_test(what_was_guessed_asks_for_no_mux),
        cmocka_unit_test(datagrams_wait_for_each_other),
        cmocka_unit_test(a_datagram_of_another_kind_goes_on_at_once),
        cmocka_unit_test(addresses_are_looked_up_when_no_rule_matches),
        cmocka_unit_test(what_looks_up_is_not_looked_up),
        cmocka_unit_test(a_look_up_that_cannot_begin_finds_nothing),
        cmocka_unit_test(what_was_sniffed_is_looked_up),
        cmocka_unit_test(on_demand_chooses_as_if_all_were_known),
        cmocka_unit_test(an_inbound_that_goes_takes_its_seats_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
