#include "testing/certs.h"
#include "testing/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cursor.h"
#include "proxy/entry_inside.h"
#include "transport/tls.h"

enum { ENDS = 512, HELLO_MAX = 1024 };

/* An ingress, and an outbound of the test to which all of its routes lead. */
struct town {
    struct rig rig;
    struct rules rules;
    struct dispatcher dispatcher;
    struct rig_outbound out;
    struct rig_end ends[ENDS];
    struct outbound *outbounds[1];
    struct string_list reserved;
    const char *tags[1];
    struct entry_conf conf;
    struct policy policy;
    struct traffic traffic;
    struct inbound *in;
    struct addr at;
};

/* --- routes --- */

static struct routes *routes_of(const char *const *hosts)
{
    struct routes *r = routes_new();
    struct err e;
    assert_non_null(r);
    for (; *hosts; hosts += 2) {
        struct hostname_pattern host;
        static const struct head_text any = {"", 0};
        struct route one = {
            .host = &host, .path = any, .header = any, .value = any, .to = {.kind = ROUTE_TUNNEL}};
        assert_int_equal(hostname_read_pattern(&host, hosts[0], strlen(hosts[0]), &e), 0);
        one.to.is_private = hosts[1][0] == '$';
        one.to.tunnel.by = TUNNEL_BY_ID;
        const char *id = hosts[1] + one.to.is_private;
        const char *slash = strchr(id, '/');
        one.to.tunnel.tenant = !slash ? NULL : id[0] == 'a' ? "a" : "b";
        snprintf(one.to.tunnel.text, sizeof one.to.tunnel.text, "%s", slash ? slash + 1 : id);
        assert_int_equal(routes_add(r, &one, &e), 0);
    }
    return r;
}

/* --- the town --- */

static void asker_use(struct lookups_asker *a, const struct lookups_conf *conf, bool same)
{
    (void)a, (void)conf, (void)same;
}

static void asker_free(struct lookups_asker *a)
{
    free(a);
}

static struct lookups_asker *nobody_to_ask(void)
{
    struct lookups_asker *a = calloc(1, sizeof *a);
    *a = (struct lookups_asker){.use = asker_use, .free = asker_free};
    return a;
}

static void town_conf(struct town *t, struct entry_conf *c, const char *const *hosts)
{
    struct guide_conf *g = calloc(1, sizeof *g);
    g->lookups.url = "";
    g->table = route_table_new(routes_of(hosts));
    assert_non_null(g->table);
    *c = (struct entry_conf){.rules = &t->rules, .guide = g};
    c->web.tags = t->tags;
    c->web.tag_count = 1;
}

static void town_forget(struct entry_conf *c)
{
    route_table_free(c->guide->table);
    free((void *)c->guide);
}

static struct inbound *town_inbound(struct town *t, const struct entry_conf *c)
{
    struct inbound *in =
        entry_new(&t->rig.loop, &t->dispatcher, "ingress", c, &(struct guide_holders){0},
                  nobody_to_ask(), 1, &t->policy, &t->traffic);
    assert_non_null(in);
    return in;
}

static void town_open(struct town *t, const char *const *hosts)
{
    struct err e;
    struct addr at = rig_addr("127.0.0.1", 0);
    int fd;
    memset(t, 0, sizeof *t);
    rig_open(&t->rig);
    rig_outbound_init(&t->out, &t->rig, t->ends, ENDS);
    t->policy = POLICY_DEFAULT;
    t->traffic = (struct traffic){-1, -1};
    t->outbounds[0] = &t->out.out;
    t->tags[0] = t->out.out.tag;
    t->dispatcher = (struct dispatcher){.loop = &t->rig.loop,
                                        .rules = &t->rules,
                                        .outbounds = t->outbounds,
                                        .count = 1,
                                        .reserved = &t->reserved};
    town_conf(t, &t->conf, hosts);
    t->in = town_inbound(t, &t->conf);
    assert_int_equal(listen_open(&at, SOCK_STREAM, &fd, 1, &e), 0);
    accept_listen(accept_of(t->in), 0, fd);
    t->at = rig_addr_of(fd);
}

static void town_close(struct town *t)
{
    struct err why;
    t->in->ops->free(t->in);
    err_set(&why, ECANCELED, "stops");
    flows_abort(&t->rig.loop, &why);
    loop_settle(&t->rig.loop);
    loop_drop_stragglers(&t->rig.loop);
    for (size_t i = 0; i < t->out.count; i++)
        rig_end_free(&t->ends[i]);
    town_forget(&t->conf);
    rig_close(&t->rig);
}

static unsigned greeting(const struct town *t)
{
    return accept_of(t->in)->greeting_count;
}

/* --- a ClientHello --- */

static uint8_t *put(uint8_t *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

static uint8_t *put16(uint8_t *to, size_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

/* As short as one can be; name NULL: it asks for none. */
static size_t hello_make(uint8_t to[HELLO_MAX], const char *name)
{
    uint8_t body[HELLO_MAX], *p = body;
    size_t len = name ? strlen(name) : 0;
    p = put(p, "\3\3", 2);
    memset(p, 7, 32);
    p = put(p + 32, "\0\0\2\x13\x01\1\0", 7);
    p = put16(p, name ? len + 9 : 0);
    if (name) {
        p = put16(put16(put16(p, 0), len + 5), len + 3);
        *p++ = 0;
        p = put(put16(p, len), name, len);
    }
    size_t whole = (size_t)(p - body);
    uint8_t *w = put(to, "\x16\3\1", 3);
    w = put16(w, whole + 4);
    w = put(w, "\1\0", 2);
    w = put(put16(w, whole), body, whole);
    return (size_t)(w - to);
}

/* Says hello in two pieces; what becomes of it. */
static int say_hello(struct town *t, const char *name, size_t cut)
{
    uint8_t hello[HELLO_MAX];
    size_t len = hello_make(hello, name);
    int fd = rig_connect(&t->at);
    cut = cut < len ? cut : len;
    rig_send(&t->rig, fd, hello, cut);
    RIG_UNTIL(&t->rig, greeting(t) > 0 || cut == len);
    rig_send(&t->rig, fd, hello + cut, len - cut);
    return fd;
}

static const uint8_t no_such_name[] = {21, 3, 3, 0, 2, 2, 112};

static void assert_refused(struct town *t, const char *name)
{
    int fd = say_hello(t, name, HELLO_MAX);
    rig_expect(&t->rig, fd, no_such_name, sizeof no_such_name);
    rig_drain(&t->rig, fd, NULL);
    close(fd);
    assert_int_equal(t->out.count, 0);
}

/* --- laws --- */

static const char *const usual[] = {"a.example", "one",    ".b.example", "two",
                                    "p.example", "$three", NULL};

static void tls_for_a_routed_name_is_passed_on_as_it_came(void **state)
{
    (void)state;
    uint8_t hello[HELLO_MAX];
    size_t len = hello_make(hello, "A.example");
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    for (size_t cut = 0; cut <= len; cut++) {
        int fd = say_hello(t, "A.example", cut);
        RIG_UNTIL(&t->rig, t->out.count == cut + 1 && t->ends[cut].len == len);
        struct rig_end *e = &t->ends[cut];
        const struct meta *m = &e->end.flow->meta;
        assert_memory_equal(e->got, hello, len);
        assert_string_equal(m->tunnel.text, "one");
        assert_int_equal(m->tunnel.by, TUNNEL_BY_ID);
        assert_string_equal(m->target.name, "a.example");
        assert_int_equal(m->target.port, 443);
        assert_true(end_write(&e->end, "answer", 6));
        rig_hear(&t->rig, fd, "answer");
        rig_say(&t->rig, fd, "more");
        RIG_UNTIL(&t->rig, e->len == len + 4);
        close(fd);
        RIG_UNTIL(&t->rig, e->eof);
    }
    assert_int_equal(greeting(t), 0);
    town_close(t);
    free(t);
}

static void tls_for_a_name_that_leads_nowhere_is_refused_in_its_own_words(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    assert_refused(t, "c.example");
    assert_refused(t, NULL);
    town_close(t);
    free(t);
}

static void no_public_way_leads_to_a_private_tunnel(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    assert_refused(t, "p.example");
    int fd = rig_connect(&t->at);
    rig_say(&t->rig, fd, "GET / HTTP/1.1\r\nHost: p.example\r\n\r\n");
    rig_hear(&t->rig, fd, "HTTP/1.1 404 ");
    close(fd);
    town_close(t);
    free(t);
}

static void names_of_this_process_are_not_hosts(void **state)
{
    (void)state;
    const char *names[] = {"x.b.example"};
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    t->reserved = (struct string_list){names, 1};
    assert_refused(t, "x.b.example");
    town_close(t);
    free(t);
}

static void what_is_no_tls_is_http(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    int fd = rig_connect(&t->at);
    rig_say(&t->rig, fd, "GET / HTTP/1.1\r\nHost: x.b.example:8000\r\n\r\n");
    RIG_UNTIL(&t->rig, t->out.count == 1 && t->ends[0].len > 20);
    const struct meta *m = &t->ends[0].end.flow->meta;
    assert_string_equal(m->tunnel.text, "two");
    assert_string_equal(m->target.name, "x.b.example");
    end_write(&t->ends[0].end, "HTTP/1.1 204 No Content\r\n\r\n", 27);
    rig_hear(&t->rig, fd, "HTTP/1.1 204 No Content\r\n");
    close(fd);
    fd = rig_connect(&t->at);
    rig_say(&t->rig, fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    rig_hear(&t->rig, fd, "HTTP/1.1 505 ");
    rig_drain(&t->rig, fd, NULL);
    close(fd);
    town_close(t);
    free(t);
}

/* --- TLS that ends here --- */

struct lock { /* a certificate and what has it */
    struct cert cert;
    struct carriage *carriage;
};

static void lock_open(struct lock *l, struct town *t, const char *names)
{
    struct err e;
    struct tls_settings set = {.server = true};
    cert_make(&l->cert, &(struct cert_for){.names = names});
    struct tls_source s = {.usage = TLS_OURS, .cert = l->cert.pem, .key = l->cert.key};
    struct tls_material *m = tls_material_load(&s, &e);
    assert_non_null(m);
    l->carriage = carriage_new();
    l->carriage->picks_tls = true;
    l->carriage->tls = tls_conf_new(&set, &m, 1, &e);
    assert_non_null(l->carriage->tls);
    tls_material_unref(m);
    accept_of(t->in)->carriage = l->carriage;
}

static void lock_close(struct lock *l)
{
    carriage_unref(l->carriage);
    cert_free(&l->cert);
}

/* A minimal hello has no key exchange: who ends TLS here sends an alert of OpenSSL's, which is none of ours. */
static bool ends_here(struct town *t, const char *name)
{
    uint8_t got[7];
    int fd = say_hello(t, name, HELLO_MAX);
    RIG_UNTIL(&t->rig, rig_readable(fd) || t->out.count);
    bool answers = rig_readable(fd) && recv(fd, got, sizeof got, 0) == sizeof got;
    close(fd);
    return answers && memcmp(got, no_such_name, sizeof got) != 0;
}

static void tls_ends_here_for_names_of_our_certificates(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    struct lock l;
    town_open(t, usual);
    lock_open(&l, t, "DNS:a.example");
    assert_true(ends_here(t, "a.example"));
    assert_true(ends_here(t, "c.example")); /* nobody has it: the first certificate is shown */
    assert_true(ends_here(t, NULL));
    assert_int_equal(t->out.count, 0);
    int fd = say_hello(t, "x.b.example", 1);
    RIG_UNTIL(&t->rig, t->out.count == 1);
    close(fd);
    town_close(t);
    lock_close(&l);
    free(t);
}

/* --- whose hosts a TLS connection may ask for --- */

/* 0: *to; else the status that is answered. */
static int found(struct town *t, const char *sni, const char *host)
{
    struct gate *g = container_of(t->in, struct entry, accept.in)->gate;
    const struct web_asked asked = {.route = {.host = host, .path = {"", 0}, .head = {"", 0}},
                                    .sni = sni};
    struct route_to to;
    struct lookup_wait w = {0};
    int status = 0;
    return g->finder.find(&g->finder, &asked, &w, &to, &status) == STEP_DONE ? 0 : status;
}

static const char *const tenants[] = {"a.example", "a/one",  "b.example", "b/two", "c.example",
                                      "a/three",   "d.test", "four",      NULL};

static void a_tls_connection_is_for_one_certificate_and_one_tenant(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    struct lock l;
    town_open(t, tenants);
    lock_open(&l, t, "DNS:a.example,DNS:b.example,DNS:c.example,DNS:e.example");
    assert_int_equal(found(t, "a.example", "a.example"), 0);
    assert_int_equal(found(t, "a.example", "c.example"), 0);
    assert_int_equal(found(t, "a.example", "b.example"), 421);
    assert_int_equal(found(t, "b.example", "a.example"), 421);
    assert_int_equal(found(t, "a.example", "d.test"), 421);
    assert_int_equal(found(t, "e.example", "a.example"), 421); /* which is nobody's */
    assert_int_equal(found(t, "d.test", "d.test"), 0);
    assert_int_equal(found(t, "", "b.example"), 0);
    assert_int_equal(found(t, "", "d.test"), 421);
    assert_int_equal(found(t, "a.example", "e.example"), 404);
    assert_int_equal(found(t, NULL, "b.example"), 0); /* without TLS */
    town_close(t);
    lock_close(&l);
    free(t);
}

/* --- from one configuration to the next --- */

static const char *const others[] = {"a.example", "three", NULL};

static void who_is_there_goes_by_the_next_configuration(void **state)
{
    (void)state;
    struct town *t = malloc(sizeof *t);
    uint8_t hello[HELLO_MAX];
    struct entry_conf next;
    town_open(t, usual);
    size_t len = hello_make(hello, "a.example");
    int tls = rig_connect(&t->at), http = rig_connect(&t->at);
    rig_send(&t->rig, tls, hello, 10);
    rig_say(&t->rig, http, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    RIG_UNTIL(&t->rig, greeting(t) == 1 && t->out.count == 1);
    assert_string_equal(t->ends[0].end.flow->meta.tunnel.text, "one");

    town_conf(t, &next, others);
    struct inbound *in = town_inbound(t, &next);
    accept_listen(accept_of(in), 0, accept_release(accept_of(t->in), 0));
    entry_inherit(in, t->in);
    assert_false(t->in->ops->busy(t->in));
    t->in->ops->free(t->in);
    town_forget(&t->conf);
    t->in = in;
    t->conf = next;
    accept_of(in)->carriage = NULL;

    rig_send(&t->rig, tls, hello + 10, len - 10);
    RIG_UNTIL(&t->rig, t->out.count == 2);
    assert_string_equal(t->ends[1].end.flow->meta.tunnel.text, "three");
    end_write(&t->ends[0].end, "HTTP/1.1 204 No Content\r\n\r\n", 27);
    rig_hear(&t->rig, http, "HTTP/1.1 204 No Content\r\n");
    rig_say(&t->rig, http, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    RIG_UNTIL(&t->rig, t->out.count == 3);
    assert_string_equal(t->ends[2].end.flow->meta.tunnel.text, "three");
    close(tls);
    close(http);
    t->conf = next;
    town_close(t);
    free(t);
}

static void an_ingress_of_the_past_leads_nowhere(void **state)
{
    (void)state;
    struct rules new_rules = {0};
    struct town *t = malloc(sizeof *t);
    town_open(t, usual);
    t->dispatcher.rules = &new_rules;
    assert_refused(t, "a.example");
    int fd = rig_connect(&t->at);
    rig_say(&t->rig, fd, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    rig_hear(&t->rig, fd, "HTTP/1.1 503 ");
    close(fd);
    town_close(t);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_for_a_routed_name_is_passed_on_as_it_came),
        cmocka_unit_test(tls_for_a_name_that_leads_nowhere_is_refused_in_its_own_words),
        cmocka_unit_test(no_public_way_leads_to_a_private_tunnel),
        cmocka_unit_test(names_of_this_process_are_not_hosts),
        cmocka_unit_test(what_is_no_tls_is_http),
        cmocka_unit_test(tls_ends_here_for_names_of_our_certificates),
        cmocka_unit_test(a_tls_connection_is_for_one_certificate_and_one_tenant),
        cmocka_unit_test(who_is_there_goes_by_the_next_configuration),
        cmocka_unit_test(an_ingress_of_the_past_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
