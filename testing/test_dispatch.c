#include "testing/rig.h"

#include "routing/dispatch.h"

/* Two outbounds, one more for mux; a rule sends what "door" accepted to the second. */
struct junction {
    struct rig rig;
    struct rig_outbound outs[3];
    struct rig_end ends[3], in;
    struct outbound *numbered[2];
    const char *tag;
    struct rule rule;
    struct rules rules;
    struct dispatcher dispatcher;
};

static void junction_open(struct junction *j)
{
    static const char *const tags[] = {"first", "second", "mux"};
    memset(j, 0, sizeof *j);
    rig_open(&j->rig);
    for (int i = 0; i < 3; i++) {
        rig_outbound_init(&j->outs[i], &j->rig, &j->ends[i], 1);
        j->outs[i].out.tag = tags[i];
    }
    j->numbered[0] = &j->outs[0].out;
    j->numbered[1] = &j->outs[1].out;
    j->tag = "door";
    j->rule = (struct rule){.inbound_tags = {&j->tag, 1}, .outbound = 1};
    j->rules = (struct rules){&j->rule, 1, 0, NULL};
    j->dispatcher = (struct dispatcher){.loop = &j->rig.loop,
                                        .rules = &j->rules,
                                        .outbounds = j->numbered,
                                        .fallback = j->numbered[0],
                                        .mux = &j->outs[2].out};
}

static void junction_close(struct junction *j)
{
    if (!j->in.left)
        rig_leave(&j->in, NULL);
    rig_turn(&j->rig);
    for (int i = 0; i < 3; i++)
        rig_end_free(&j->ends[i]);
    rig_close(&j->rig);
}

static struct flow *junction_send(struct junction *j, const struct meta *m)
{
    struct flow *f = flow_new(&j->rig.loop, &j->in.end, &rig_end_ops, m, &j->rig.policy);
    assert_non_null(f);
    dispatch(&j->dispatcher, f);
    return f;
}

static void a_rule_that_matches_chooses_its_outbound(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    struct flow *f = junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "door"});
    assert_int_equal(j.outs[1].count, 1);
    assert_string_equal(f->meta.outbound_tag, "second");
    assert_true(f->meta.by_rule);
    junction_close(&j);
}

static void what_no_rule_matches_takes_the_default(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    struct flow *f = junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "window"});
    assert_int_equal(j.outs[0].count, 1);
    assert_string_equal(f->meta.outbound_tag, "first");
    assert_false(f->meta.by_rule);
    junction_close(&j);
}

static void without_a_default_it_is_refused(void **state)
{
    (void)state;
    struct junction j;
    junction_open(&j);
    j.dispatcher.fallback = NULL;
    junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "window"});
    assert_false(j.in.left); /* nobody is called up */
    rig_turn(&j.rig);
    assert_true(j.in.left && j.in.failed);
    junction_close(&j);
}

/* Only the users of a tunnel may ask for many streams on one connection; case does not matter. Nobody else can name it:
 * an outbound would ask for the same in our name. */
static void the_mux_name_is_for_users_only(void **state)
{
    (void)state;
    static const struct user tunnel = {.email = "a@b", .traffic = {-1, -1}, .may_link = true};
    static const struct user proxy = {.email = "a@b", .traffic = {-1, -1}};
    static const struct {
        const char *name;
        enum net net;
        const struct user *user;
        unsigned mux, fallback;
    } cases[] = {
        {"v1.mux.cool", NET_TCP, &tunnel, 1, 0},   {"V1.Mux.COOL", NET_TCP, &tunnel, 1, 0},
        {"v1.mux.cool", NET_TCP, NULL, 0, 0},      {"v1.mux.cool", NET_UDP, &tunnel, 0, 0},
        {"v1.mux.cool", NET_TCP, &proxy, 0, 0},    {"V1.MUX.cool.", NET_TCP, &proxy, 0, 0},
        {"v1.mux.cool.a", NET_TCP, &tunnel, 0, 1}, {"192.0.2.1", NET_TCP, &tunnel, 0, 1},
        {"v1.mux.cool.a", NET_TCP, NULL, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct junction j;
        junction_open(&j);
        junction_send(&j, &(struct meta){.net = cases[i].net,
                                         .inbound_tag = "",
                                         .target = rig_addr(cases[i].name, 9527),
                                         .user = cases[i].user});
        assert_int_equal(j.outs[2].count, cases[i].mux);
        assert_int_equal(j.outs[0].count, cases[i].fallback);
        junction_close(&j);
    }
}

/* In normal form or not: an outbound would make a bridge of whoever named it. */
static void a_bridges_domain_is_for_its_links(void **state)
{
    (void)state;
    static const struct user tunnel = {.email = "a@b", .traffic = {-1, -1}, .may_link = true};
    static const struct user proxy = {.email = "a@b", .traffic = {-1, -1}};
    static const struct {
        const char *name;
        const struct user *user;
        bool link;
        unsigned passes;
    } cases[] = {
        {"tunnel.test", NULL, false, 0},   {"TUNNEL.test.", NULL, false, 0},
        {"tunnel.test", &proxy, false, 0}, {"tunnel.test", &tunnel, false, 1},
        {"tunnel.test", NULL, true, 1},    {"a.tunnel.test", NULL, false, 1},
        {"other.test", NULL, false, 1},
    };
    const char *names[] = {"some.test", "tunnel.test"};
    const struct string_list links = {names, 2};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct junction j;
        junction_open(&j);
        j.dispatcher.links = &links;
        struct meta m = {.net = NET_TCP,
                         .inbound_tag = "",
                         .target = rig_addr(cases[i].name, 0),
                         .user = cases[i].user};
        struct flow *f = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        f->carrier = cases[i].link;
        dispatch(&j.dispatcher, f);
        assert_int_equal(j.outs[0].count, cases[i].passes);
        assert_int_equal(rig_stat(&j.rig, STAT_names_refused), !cases[i].passes);
        junction_close(&j);
    }
}

static void the_shorter_idle_time_holds(void **state)
{
    (void)state;
    struct policy shorter = POLICY_DEFAULT, longer = POLICY_DEFAULT;
    shorter.conn_idle = 5;
    longer.conn_idle = 5000;
    struct junction j;
    junction_open(&j);
    j.outs[1].out.policy = &shorter;
    struct flow *f = junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "door"});
    assert_ptr_equal(f->policy, &shorter);
    junction_close(&j);
    junction_open(&j);
    j.outs[1].out.policy = &longer;
    f = junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "door"});
    assert_ptr_equal(f->policy, &j.rig.policy);
    junction_close(&j);
}

/* A bridge that names its portals asks no rule. */
static void an_outbound_that_is_named_needs_no_rule(void **state)
{
    (void)state;
    for (size_t out = 0; out < 2; out++) {
        struct junction j;
        junction_open(&j);
        struct policy shorter = POLICY_DEFAULT;
        shorter.conn_idle = 5;
        j.outs[out].out.policy = &shorter;
        j.dispatcher.fallback = NULL;
        struct meta m = {.net = NET_TCP, .inbound_tag = out ? "window" : "door"};
        struct flow *f = flow_new(&j.rig.loop, &j.in.end, &rig_end_ops, &m, &j.rig.policy);
        assert_non_null(f);
        dispatch_to(&j.dispatcher, f, out);
        assert_int_equal(j.outs[out].count, 1);
        assert_int_equal(j.outs[!out].count, 0);
        assert_string_equal(f->meta.outbound_tag, out ? "second" : "first");
        assert_true(f->meta.by_rule);
        assert_ptr_equal(f->policy, &shorter);
        junction_close(&j);
    }
}

/* Not even the default: it may lead somewhere else. */
static void a_balancer_with_nobody_alive_refuses(void **state)
{
    (void)state;
    struct junction j;
    const size_t candidates[] = {1};
    junction_open(&j);
    struct balancer b = {.tag = "b", .outbounds = candidates, .count = 1};
    b.state = balance_state_new();
    j.rule.balancer = &b;
    j.outs[1].out.health = health_new();
    health_failed(j.outs[1].out.health, "no route", 1);
    junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "door"});
    rig_turn(&j.rig);
    assert_true(j.in.left && j.in.failed);
    assert_non_null(strstr(j.in.why, "none of the balancer's outbounds is alive"));
    assert_int_equal(j.outs[0].count + j.outs[1].count, 0);
    health_unref(j.outs[1].out.health);
    junction_close(&j);

    junction_open(&j);
    j.rule.balancer = &b;
    j.rule.outbound = 0;
    struct flow *f = junction_send(&j, &(struct meta){.net = NET_TCP, .inbound_tag = "door"});
    assert_int_equal(j.outs[1].count, 1);
    assert_string_equal(f->meta.outbound_tag, "second");
    assert_true(f->meta.by_rule);
    junction_close(&j);
    balance_state_unref(b.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_matches_chooses_its_outbound),
        cmocka_unit_test(the_shorter_idle_time_holds),
        cmocka_unit_test(what_no_rule_matches_takes_the_default),
        cmocka_unit_test(without_a_default_it_is_refused),
        cmocka_unit_test(the_mux_name_is_for_users_only),
        cmocka_unit_test(a_bridges_domain_is_for_its_links),
        cmocka_unit_test(an_outbound_that_is_named_needs_no_rule),
        cmocka_unit_test(a_balancer_with_nobody_alive_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
