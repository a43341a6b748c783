#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "routing/guide.h"

struct fixture {
    struct route_table *table;
    struct claims *claims;
    struct host_finder others; /* the cluster */
    enum lookup_state others_say;
    unsigned others_asked;
    struct guide_holders holders;
    struct guide *guide;
    struct guide_conf conf;
    struct lookups_asker asker;
    unsigned asked;
};

static bool on_ask(struct lookups_asker *a, const char *host)
{
    (void)host;
    container_of(a, struct fixture, asker)->asked++;
    return true;
}

static void on_use(struct lookups_asker *a, const struct lookups_conf *c, bool same)
{
    (void)a, (void)c, (void)same;
}

static void on_free(struct lookups_asker *a)
{
    a->lookups = NULL;
}

/* The cluster: all hosts are held by one tunnel of another tenant, or as the test says. */
static enum lookup_state on_find(struct host_finder *h, uint64_t portal, const char *host,
                                 const struct addr *source, double now,
                                 struct lookup_answer *answer, struct lookup_wait *w)
{
    struct fixture *f = container_of(h, struct fixture, others);
    (void)host, (void)source, (void)now, (void)w;
    assert_int_equal(portal, 99);
    f->others_asked++;
    *answer = (struct lookup_answer){
        .found = true, .tunnel = {.by = TUNNEL_BY_ID, .tenant = "other", .text = "elsewhere"}};
    return f->others_say;
}

static void route(struct routes *r, const char *host, const char *path, const char *id)
{
    struct hostname_pattern p;
    struct err e;
    struct route one = {.path = {path, strlen(path)}, .to = {.kind = ROUTE_TUNNEL, .outbound = 1}};
    if (host)
        assert_int_equal(hostname_read_pattern(&p, host, strlen(host), &e), 0);
    one.host = host ? &p : NULL;
    snprintf(one.to.tunnel.text, sizeof one.to.tunnel.text, "%s", id);
    assert_int_equal(routes_add(r, &one, &e), 0);
}

static void start(struct fixture *f, const char *url)
{
    struct routes *r = routes_new();
    route(r, "config.example", "/only", "by-config");
    route(r, ".wide.example", "", "by-wildcard");
    *f = (struct fixture){.table = route_table_new(r), .claims = claims_new(10)};
    f->asker = (struct lookups_asker){.ask = on_ask, .use = on_use, .free = on_free};
    f->conf =
        (struct guide_conf){.table = f->table, .has_portal = true, .portal = 2, .tenant = "t"};
    f->conf.lookups = (struct lookups_conf){.url = url, .ttl = 60, .negative_ttl = 10, .max = 10};
    f->holders = (struct guide_holders){.claims = f->claims, .portal = 99};
    f->others.find = on_find;
    f->guide = guide_new(&f->conf, &f->holders, &f->asker);
}

static void stop(struct fixture *f)
{
    guide_free(f->guide);
    claims_free(f->claims);
    route_table_free(f->table);
}

static void claim(struct fixture *f, const char *host, const char *id, bool is_private)
{
    struct hostname_pattern p;
    struct tunnel_name t = {.by = TUNNEL_BY_ID};
    struct err e;
    snprintf(t.text, sizeof t.text, "%s", id);
    assert_int_equal(hostname_read_pattern(&p, host, strlen(host), &e), 0);
    assert_int_equal(claims_take(f->claims, &p, &t, is_private, 0), CLAIM_GRANTED);
}

static void nobody(struct lookup_wait *w)
{
    (void)w;
}

static enum step ask(struct fixture *f, const char *host, const char *path, struct route_to *to)
{
    static struct lookup_wait w;
    struct route_asked asked = {.host = host, .path = {path, strlen(path)}, .head = {"", 0}};
    lookup_forget(&w);
    w.told = nobody;
    memset(to, 0, sizeof *to);
    return guide_ask(f->guide, &asked, 0, to, &w);
}

static enum step ask_claimed(struct fixture *f, const char *host, struct route_to *to)
{
    static struct lookup_wait w;
    struct route_asked asked = {.host = host, .path = {"/", 1}, .head = {"", 0}};
    return guide_claimed(f->guide, &asked, 0, to, &w);
}

static void found(struct fixture *f, const char *host, size_t outbound, const char *id)
{
    struct route_to to;
    assert_int_equal(ask(f, host, "/", &to), STEP_DONE);
    assert_int_equal(to.kind, ROUTE_TUNNEL);
    assert_int_equal(to.outbound, outbound);
    assert_string_equal(to.tunnel.text, id);
}

static void who_knows_the_host_first_decides(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    start(&f, "");
    claim(&f, "claimed.example", "by-claim", false);
    claim(&f, "config.example", "stolen", false);
    claim(&f, "x.wide.example", "stolen", false);
    found(&f, "claimed.example", 2, "by-claim");
    found(&f, "x.wide.example", 1, "by-wildcard");
    assert_int_equal(ask(&f, "config.example", "/other", &to), STEP_FAIL);
    assert_int_equal(to.kind, ROUTE_NONE);
    assert_int_equal(ask(&f, "stranger.example", "/", &to), STEP_FAIL);
    assert_int_equal(to.kind, ROUTE_NONE);
    assert_int_equal(f.asked, 0);
    stop(&f);
}

static void what_was_claimed_can_be_asked_for_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to = {0};
    start(&f, "http://service");
    claim(&f, "claimed.example", "by-claim", false);
    assert_int_equal(ask_claimed(&f, "claimed.example", &to), STEP_DONE);
    assert_int_equal(to.kind, ROUTE_TUNNEL);
    assert_int_equal(to.outbound, 2);
    assert_string_equal(to.tunnel.text, "by-claim");
    assert_int_equal(ask_claimed(&f, "config.example", &to), STEP_FAIL);
    assert_int_equal(ask_claimed(&f, "stranger.example", &to), STEP_FAIL);
    assert_int_equal(f.asked, 0);
    stop(&f);
}

static void the_default_comes_last(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    start(&f, "http://service");
    struct routes *r = routes_new();
    route(r, NULL, "", "by-default");
    route_table_set(f.table, r);
    claim(&f, "claimed.example", "by-claim", false);
    found(&f, "claimed.example", 2, "by-claim");
    found(&f, "", 1, "by-default");
    assert_int_equal(f.asked, 0);
    assert_int_equal(ask(&f, "stranger.example", "/", &to), STEP_MORE);
    lookups_told(f.asker.lookups, "stranger.example", &(struct lookup_answer){0}, 0);
    found(&f, "stranger.example", 1, "by-default");
    assert_int_equal(ask(&f, "other.example", "/", &to), STEP_MORE);
    lookups_told(f.asker.lookups, "other.example", NULL, 0);
    assert_int_equal(ask(&f, "other.example", "/", &to), STEP_FAIL);
    assert_int_equal(to.kind, ROUTE_AWAY);
    stop(&f);
}

static void the_service_names_tunnels_of_the_portal(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    struct lookup_answer a = {.found = true, .is_private = true};
    a.tunnel.by = TUNNEL_BY_NODE;
    snprintf(a.tunnel.text, sizeof a.tunnel.text, "%s", "n1");
    start(&f, "http://service");
    assert_int_equal(ask(&f, "a.example", "/", &to), STEP_MORE);
    lookups_told(f.asker.lookups, "a.example", &a, 0);
    found(&f, "a.example", 2, "n1");
    ask(&f, "a.example", "/", &to);
    assert_true(to.is_private);
    assert_int_equal(to.tunnel.by, TUNNEL_BY_NODE);
    assert_string_equal(to.tunnel.tenant, "t");
    struct guide_conf without = f.conf;
    without.lookups.url = "";
    guide_adopt(f.guide, &without, &f.holders);
    assert_int_equal(ask(&f, "a.example", "/", &to), STEP_FAIL);
    stop(&f);
}

static void a_private_claim_says_so(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    start(&f, "");
    claim(&f, "a.example", "secret", true);
    assert_int_equal(ask(&f, "a.example", "/", &to), STEP_DONE);
    assert_true(to.is_private);
    stop(&f);
}

static void the_cluster_is_asked_behind_own_claims_and_before_the_service(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    start(&f, "http://service");
    struct routes *r = routes_new();
    route(r, NULL, "", "by-default");
    route(r, "config.example", "", "by-config");
    route_table_set(f.table, r);
    f.holders.others = &f.others;
    guide_adopt(f.guide, &f.conf, &f.holders);
    claim(&f, "claimed.example", "by-claim", false);
    f.others_say = LOOKUP_FOUND;
    found(&f, "config.example", 1, "by-config");
    found(&f, "", 1, "by-default");
    found(&f, "claimed.example", 2, "by-claim");
    assert_int_equal(f.others_asked, 0);
    assert_int_equal(ask(&f, "far.example", "/", &to), STEP_DONE);
    assert_string_equal(to.tunnel.text, "elsewhere");
    assert_string_equal(to.tunnel.tenant, "other");
    assert_int_equal(to.outbound, 2);
    assert_true(to.by_claim);
    assert_int_equal(ask_claimed(&f, "far.example", &to), STEP_DONE);
    f.others_say = LOOKUP_WAITS;
    assert_int_equal(ask(&f, "far.example", "/", &to), STEP_MORE);
    assert_int_equal(ask_claimed(&f, "far.example", &to), STEP_MORE);
    f.others_say = LOOKUP_AWAY;
    assert_int_equal(ask(&f, "far.example", "/", &to), STEP_FAIL);
    assert_int_equal(to.kind, ROUTE_AWAY);
    assert_int_equal(f.asked, 0);
    f.others_say = LOOKUP_NOTHING;
    assert_int_equal(ask(&f, "far.example", "/", &to), STEP_MORE);
    assert_int_equal(f.asked, 1);
    lookups_told(f.asker.lookups, "far.example", &(struct lookup_answer){0}, 0);
    found(&f, "far.example", 1, "by-default");
    ask(&f, "far.example", "/", &to);
    assert_false(to.by_claim);
    stop(&f);
}

static void what_a_claim_leads_to_is_marked(void **state)
{
    (void)state;
    struct fixture f;
    struct route_to to;
    start(&f, "");
    claim(&f, "claimed.example", "by-claim", false);
    ask(&f, "claimed.example", "/", &to);
    assert_true(to.by_claim);
    ask(&f, "x.wide.example", "/", &to);
    assert_false(to.by_claim);
    stop(&f);
}

static void readers_see_the_new_table_at_their_next_look(void **state)
{
    (void)state;
    struct routes *one = routes_new(), *two = routes_new();
    struct route_table *t = route_table_new(one);
    struct route_reader a = {0}, b = {0};
    assert_ptr_equal(route_reader_now(&a, t), one);
    assert_ptr_equal(route_reader_now(&b, t), one);
    routes_ref(one);
    route_table_set(t, two);
    assert_ptr_equal(route_reader_now(&a, t), two);
    assert_ptr_equal(route_reader_now(&a, t), two);
    assert_int_equal(routes_count(b.routes), 0); /* still there for who has not looked */
    assert_ptr_equal(route_reader_now(&b, t), two);
    routes_unref(one);
    route_reader_fini(&a);
    route_reader_fini(&b);
    route_table_free(t);
}

/* --- threads --- */

enum { READERS = 3, CHANGES = 200 };

struct reader {
    pthread_t thread;
    struct route_table *table;
    atomic_bool *over;
    bool well;
};

/* All that it finds is of one table. */
static void *read_on(void *arg)
{
    struct reader *me = arg;
    struct route_reader r = {0};
    me->well = true;
    while (!atomic_load(me->over)) {
        const struct routes *now = route_reader_now(&r, me->table);
        struct route_to one = {0}, two = {0};
        struct route_asked asked = {.host = "one.example"};
        me->well &= routes_find(now, &asked, &one);
        asked.host = "two.example";
        me->well &= routes_find(now, &asked, &two);
        me->well &= strcmp(one.tunnel.text, two.tunnel.text) == 0;
    }
    route_reader_fini(&r);
    return NULL;
}

static struct routes *both_lead_to(unsigned n)
{
    char id[16];
    struct routes *r = routes_new();
    snprintf(id, sizeof id, "t%u", n);
    route(r, "one.example", "", id);
    route(r, "two.example", "", id);
    return r;
}

static void a_table_is_replaced_while_others_look(void **state)
{
    (void)state;
    struct reader readers[READERS];
    struct route_table *t = route_table_new(both_lead_to(0));
    atomic_bool over = false;
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.table = t, .over = &over};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (unsigned i = 1; i < CHANGES; i++)
        route_table_set(t, both_lead_to(i));
    atomic_store(&over, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].well);
    }
    route_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_knows_the_host_first_decides),
        cmocka_unit_test(what_was_claimed_can_be_asked_for_alone),
        cmocka_unit_test(the_default_comes_last),
        cmocka_unit_test(the_service_names_tunnels_of_the_portal),
        cmocka_unit_test(a_private_claim_says_so),
        cmocka_unit_test(the_cluster_is_asked_behind_own_claims_and_before_the_service),
        cmocka_unit_test(what_a_claim_leads_to_is_marked),
        cmocka_unit_test(readers_see_the_new_table_at_their_next_look),
        cmocka_unit_test(a_table_is_replaced_while_others_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
