#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/init.h"
#include "conf/quick.h"
#include "conf/quick_place.h"

static char folder[64], key[80], said_to[80];
static struct quick q;

static int open_folder(void **state)
{
    (void)state;
    struct err e;
    strcpy(folder, "/tmp/v2c-quick-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(folder))
        return -1;
    snprintf(key, sizeof key, "%s/key", folder);
    snprintf(said_to, sizeof said_to, "%s/said", folder);
    const struct key_user home = {.name = "home"}, alice = {.name = "alice",
                                                            .tunnels = "web,$Private,team-*",
                                                            .hosts = "a.example"};
    return keyfile_add(key, &home, &e) + keyfile_add(key, &alice, &e);
}

static int close_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* --- a command line --- */

enum { WORDS_MAX = 40 };

struct line {
    char text[1024];
    char *words[WORDS_MAX + 1];
    int count;
};

/* Words divided by spaces; "KEY" is the key file. */
static void line_split(struct line *l, const char *text)
{
    static char own[80];
    strcpy(own, key);
    snprintf(l->text, sizeof l->text, "%s", text);
    l->count = 0;
    for (char *at = l->text, *word; (word = strsep(&at, " "));) {
        assert_true(l->count < WORDS_MAX);
        l->words[l->count++] = strcmp(word, "KEY") == 0 ? own : word;
    }
    l->words[l->count] = NULL;
}

static struct line line;

static enum quick_result read_line(const char *text)
{
    line_split(&line, text);
    return quick_read(&q, line.words[0], line.count - 1, line.words + 1);
}

/* What it says on standard error. */
static const char *complaint(const char *text)
{
    static char said[2048];
    fflush(stderr);
    int before = dup(STDERR_FILENO),
        to = open(said_to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(before >= 0 && to >= 0);
    dup2(to, STDERR_FILENO);
    enum quick_result result = read_line(text);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    ssize_t len = pread(to, said, sizeof said - 1, 0);
    close(before), close(to);
    assert_int_equal(result, QUICK_WRONG);
    assert_true(len > 0);
    said[len] = '\0';
    return said;
}

static json_t *json_of(const char *text)
{
    struct err e = {0};
    assert_int_equal(read_line(text), QUICK_RUN);
    struct source *s = q.maker.make(&q.maker, &e);
    if (!s)
        fail_msg("%s", e.text);
    json_t *root = json_loads(s->text, 0, NULL);
    assert_non_null(root);
    source_free(s);
    return root;
}

/* The value at "a/0/b". */
static const json_t *at(const json_t *o, const char *where)
{
    while (o && *where) {
        char name[64];
        size_t len = strcspn(where, "/");
        snprintf(name, sizeof name, "%.*s", (int)len, where);
        o = json_is_array(o) ? json_array_get(o, strtoul(name, NULL, 10))
                             : json_object_get(o, name);
        where += len + (where[len] == '/');
    }
    return o;
}

static const char *text_at(const json_t *o, const char *where)
{
    const char *text = json_string_value(at(o, where));
    return text ? text : "";
}

static void expect_loads(struct config_maker *m)
{
    char *said = NULL;
    size_t len;
    FILE *report = open_memstream(&said, &len);
    const struct config_source source = {.maker = m};
    struct config *c = config_load(&source, NULL, report);
    fclose(report);
    if (!c || len)
        fail_msg("%s", said);
    free(said);
    config_free(c);
}

/* --- places --- */

static void places_are_scheme_host_port_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum quick_scheme scheme;
        const char *host;
        uint16_t port;
        const char *path;
    } good[] = {
        {":8443", QUICK_TCP, "", 8443, "/"},
        {"a.example:1", QUICK_TCP, "a.example", 1, "/"},
        {"tcp://192.0.2.1:65535", QUICK_TCP, "192.0.2.1", 65535, "/"},
        {"[2001:db8::1]:443", QUICK_TCP, "2001:db8::1", 443, "/"},
        {"tls://a:443", QUICK_TLS, "a", 443, "/"},
        {"ws://:80", QUICK_WS, "", 80, "/"},
        {"wss://a.example:443/x/y?z", QUICK_WSS, "a.example", 443, "/x/y?z"},
    };
    struct quick_place p;
    struct err e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (quick_place_read(&p, good[i].text, &e) < 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_int_equal(p.scheme, good[i].scheme);
        assert_string_equal(p.host, good[i].host);
        assert_int_equal(p.port, good[i].port);
        assert_string_equal(p.path, good[i].path);
    }
    static const char *const bad[] = {
        "",       "8443",  "a",          "a:",          ":0",    ":65536",  "a:1x",
        "::1:80", "[::1]", "http://a:1", "tls://a:1/x", "a b:1", "[::1:80", "ws://a/x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quick_place_read(&p, bad[i], &e) == 0)
            fail_msg("%s is taken", bad[i]);
}

static void targets_are_servers_and_folders(void **state)
{
    (void)state;
    struct quick_target t;
    struct err e;
    char text[200];
    assert_int_equal(quick_target_read(&t, ":80", &e), 0);
    assert_string_equal(t.place, "127.0.0.1:80");
    assert_int_equal(quick_target_read(&t, "x.example=[::1]:80", &e), 0);
    assert_string_equal(t.place, "[::1]:80");
    assert_string_equal(t.name, "x.example");
    snprintf(text, sizeof text, ".x.example=file:%s/../%s", folder, strrchr(folder, '/') + 1);
    assert_int_equal(quick_target_read(&t, text, &e), 0);
    assert_true(t.folder);
    assert_string_equal(t.place, folder);
    static const char *const bad[] = {
        "", "a", "http://a", "file:", "file:/none/such", "file:/dev/null", "a b=:80", "=:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quick_target_read(&t, bad[i], &e) == 0)
            fail_msg("%s is taken", bad[i]);
}

/* --- configurations --- */

static void a_portal_has_claims_of_its_users_and_routes_of_its_flags(void **state)
{
    (void)state;
    json_t *root =
        json_of("portal --listen :8443 --listen=ws://127.0.0.1:81/t --entry :8000 --key KEY "
                "--domain t.example --route .example.com=web --route *=x");
    assert_string_equal(text_at(root, "reverse/portals/0/domain"), "*.tunnel.example");
    assert_string_equal(text_at(root, "reverse/portals/0/hostDomain"), "t.example");
    assert_string_equal(text_at(root, "reverse/portals/0/claims/0/user"), "home");
    assert_string_equal(text_at(root, "reverse/portals/0/claims/0/tunnels/0"), "*");
    assert_null(at(root, "reverse/portals/0/claims/0/hosts"));
    const json_t *alice = at(root, "reverse/portals/0/claims/1");
    assert_string_equal(text_at(alice, "tunnels/1"), "$Private");
    assert_string_equal(text_at(alice, "hosts/0"), "a.example");
    assert_int_equal(json_array_size(at(alice, "hosts")), 1);
    assert_int_equal(json_integer_value(at(root, "inbounds/0/port")), 8443);
    assert_int_equal(json_array_size(at(root, "inbounds/0/settings/clients")), 2);
    assert_null(at(root, "inbounds/0/streamSettings"));
    assert_string_equal(text_at(root, "inbounds/1/streamSettings/wsSettings/path"), "/t");
    assert_string_equal(text_at(root, "inbounds/2/protocol"), "ingress");
    assert_string_equal(text_at(root, "inbounds/2/settings/routes/0/host"), ".example.com");
    assert_string_equal(text_at(root, "inbounds/2/settings/routes/1/tunnel"), "x");
    assert_null(at(root, "inbounds/2/settings/routes/1/host"));
    assert_int_equal(json_array_size(at(root, "routing/rules")), 2);
    json_decref(root);
}

static void a_bridge_asks_for_its_hostnames_or_for_its_own(void **state)
{
    (void)state;
    json_t *root = json_of("bridge --to a.example:8443 --tunnel web --key KEY 192.0.2.1:80");
    assert_string_equal(text_at(root, "reverse/bridges/0/hosts/0"), "auto");
    assert_string_equal(text_at(root, "reverse/bridges/0/domain"), "web.tunnel.example");
    assert_string_equal(text_at(root, "outbounds/2/settings/redirect"), "192.0.2.1:80");
    json_decref(root);
    root = json_of(
        "bridge --to a.example:8443 --tunnel web --host b.example --host .c.example --key KEY :80");
    assert_string_equal(text_at(root, "reverse/bridges/0/hosts/0"), "b.example");
    assert_int_equal(json_array_size(at(root, "reverse/bridges/0/hosts")), 2);
    json_decref(root);
}

static void the_id_of_a_tunnel_may_be_its_secret(void **state)
{
    (void)state;
    json_t *root = json_of("bridge --to ws://a.example:80 --tunnel "
                           "381433e1-7980-11ee-bbdb-60f262c1e32d file:.");
    const char *id = "381433e1-7980-11ee-bbdb-60f262c1e32d";
    assert_string_equal(text_at(root, "outbounds/1/settings/vnext/0/users/0/id"), id);
    assert_memory_equal(text_at(root, "reverse/bridges/0/domain"), id, strlen(id));
    json_decref(root);
}

static void wss_verifies_the_portals_certificate(void **state)
{
    (void)state;
    json_t *root =
        json_of("bridge --to wss://a.example:443/t --to tls://192.0.2.1:444 --pin x --tunnel web "
                "--user alice --key KEY :80");
    const json_t *tls = at(root, "outbounds/1/streamSettings/tlsSettings");
    assert_string_equal(text_at(tls, "serverName"), "a.example");
    assert_string_equal(text_at(tls, "pinnedPeerCertificateChainSha256/0"), "x");
    assert_true(json_is_true(at(tls, "disableSystemRoot")));
    assert_null(at(tls, "allowInsecure"));
    assert_string_equal(text_at(root, "outbounds/1/streamSettings/network"), "ws");
    assert_string_equal(text_at(root, "outbounds/2/streamSettings/security"), "tls");
    assert_null(at(root, "outbounds/2/streamSettings/network"));
    assert_string_equal(text_at(root, "reverse/bridges/0/portals/1"), "portal-2");
    json_decref(root);
}

static void several_targets_are_routes(void **state)
{
    (void)state;
    json_t *root =
        json_of("bridge --to a.example:8443 --tunnel web --key KEY example.com=192.168.1.1:80 "
                "sub.example.com=file:/ 192.168.2.1:80");
    const json_t *routes = at(root, "outbounds/3/settings/routes");
    assert_string_equal(text_at(root, "outbounds/3/protocol"), "web");
    assert_string_equal(text_at(routes, "0/host"), "example.com");
    assert_string_equal(text_at(routes, "0/address"), "192.168.1.1:80");
    assert_string_equal(text_at(routes, "1/outboundTag"), text_at(root, "outbounds/2/tag"));
    assert_string_equal(text_at(root, "outbounds/2/settings/root"), "/");
    assert_null(at(routes, "2/host"));
    json_decref(root);
}

static void what_is_made_is_a_configuration(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "bridge --to a.example:8443 --tunnel web --key KEY 192.0.2.1:80",
        "bridge --to wss://a.example:443/t --to [::1]:1 --tunnel web --key KEY file:/",
        "bridge --to a.example:1 --tunnel web --key KEY --api 127.0.0.1:1 x.example=:80 :81 "
        ".y.example=file:/",
        "portal --listen :8443 --entry :8000 --key KEY",
        "portal --listen ws://[::1]:8443/t --entry 127.0.0.1:1 --entry :2 --key KEY --route *=web "
        "--route .a.example=$x",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(read_line(lines[i]), QUICK_RUN);
        expect_loads(&q.maker);
    }
}

static void a_portal_joins_others(void **state)
{
    (void)state;
    json_t *root =
        json_of("portal --listen :8443 --entry :8000 --key KEY --cluster-key KEY --peers "
                "a,b:7401 --peers c --redis redis://r --peer-listen :7400 --advertise "
                "192.0.2.1 --node n");
    assert_int_equal(strncmp(text_at(root, "cluster/key"), "file:/", 6), 0);
    assert_string_equal(text_at(root, "cluster/node"), "n");
    assert_string_equal(text_at(root, "cluster/listen"), ":7400");
    assert_string_equal(text_at(root, "cluster/advertise"), "192.0.2.1");
    assert_int_equal(json_array_size(at(root, "cluster/peers")), 3);
    assert_string_equal(text_at(root, "cluster/peers/1"), "b:7401");
    assert_string_equal(text_at(root, "cluster/registry/redis/0"), "redis://r");
    json_decref(root);
    root = json_of("portal --listen :8443 --entry :8000 --key KEY");
    assert_null(at(root, "cluster"));
    json_decref(root);
}

static void a_user_who_was_added_is_there_when_it_is_made_again(void **state)
{
    (void)state;
    struct err e;
    const struct key_user bob = {.name = "bob"};
    json_t *root = json_of("portal --listen :8443 --entry :8000 --key KEY");
    assert_int_equal(json_array_size(at(root, "inbounds/0/settings/clients")), 2);
    json_decref(root);
    assert_int_equal(keyfile_add(key, &bob, &e), 0);
    struct source *s = q.maker.make(&q.maker, &e);
    assert_non_null(s);
    assert_non_null(strstr(s->text, "\"bob\""));
    source_free(s);
    assert_int_equal(chmod(key, 0644), 0);
    assert_null(q.maker.make(&q.maker, &e));
    assert_int_equal(chmod(key, 0600), 0);
}

static void a_wrong_line_says_what_to_write(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"portal", "write --listen :8443, where bridges come; and --entry :8000, where visitors "
                   "come; and --key FILE"},
        {"portal --listen", "\"--listen\": it is no flag, or wants a value"},
        {"portal --listen 8443 --entry :8000 --key KEY", "--listen: want HOST:PORT or :PORT"},
        {"portal --listen :1 --entry tls://:2 --key KEY", "--entry: want HOST:PORT or :PORT"},
        {"portal --listen wss://:1 --entry :2 --key KEY", "write --cert FILE --cert-key FILE"},
        {"portal --listen :1 --entry :2 --key KEY --cert x --cert-key y",
         "--cert is of --listen tls://"},
        {"portal --listen :1 --entry :2 --key KEY --key KEY", "--key may stand there once"},
        {"portal --listen :1 --entry :2 --key KEY --to a:1", "--to is of \"v2c bridge\" only"},
        {"portal --listen :1 --entry :2 --key KEY --tunnel x", "go with --new-key"},
        {"portal --listen :1 --entry :2 --key KEY --route web",
         "want HOST=TUNNEL, like .example.com=web"},
        {"portal --listen :1 --entry :2 --key KEY --route a..b=web", "want HOST=TUNNEL"},
        {"portal --listen :1 --entry :2 --key KEY --route a=b/c", "want a tunnel's id"},
        {"portal --listen :1 --entry :2 --key KEY --domain a..b", "--domain: want a name"},
        {"portal --listen :1 --entry :2 --key KEY :80", "the bridge says"},
        {"portal --listen :1 --entry :2 --key KEY --peers a", "write --cluster-key FILE"},
        {"portal --listen :1 --entry :2 --key KEY --peers a --cluster-key KEY",
         "write --peer-listen :7400"},
        {"portal --listen :1 --entry :2 --key KEY --cluster-key KEY",
         "write --peers HOST:7400,HOST:7400 or --redis URL"},
        {"bridge --to a:1 --tunnel web --key KEY --peers a :80",
         "--peers is of \"v2c portal\" only"},
        {"portal --new-key KEY", "\"home\" is in it already"},
        {"bridge", "write --to HOST:8443, the portal's --listen; and --key FILE"},
        {"bridge --to a:1 --tunnel web :80", "write --key FILE"},
        {"bridge --to a:1 --tunnel 381433e1-7980-11ee-bbdb-60f262c1e32d --user bob :80",
         "somebody in a --key FILE"},
        {"bridge --to :1 --tunnel web --key KEY :80",
         "want the portal's name or address before \":1\""},
        {"bridge --to a:1 --key KEY :80", "write --tunnel ID once"},
        {"bridge --to a:1 --tunnel x --tunnel y --key KEY :80", "write --tunnel ID once"},
        {"bridge --to a:1 --tunnel x/y --key KEY :80", "want a tunnel's id"},
        {"bridge --to a:1 --tunnel web --key KEY",
         "where visitors are sent: 192.168.1.1:80 or file:FOLDER"},
        {"bridge --to a:1 --tunnel web --key KEY --host a:80 :80",
         "want a hostname without a port"},
        {"bridge --to a:1 --tunnel web --key KEY --pin x :80", "--pin is of --to tls://"},
        {"bridge --to a:1 --tunnel web --key KEY http://b",
         "without http://, and with a port: b:80"},
        {"bridge --to a:1 --tunnel web --key KEY --wat :80", "cannot use \"--wat\""},
        {"bridge --to a:1 --tunnel web --key /none :80 --show", "--key /none: cannot open"},
        {"bridge --to a:1 --tunnel web --key KEY --user zoe :80 --show", "nobody in --key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *said = complaint(bad[i].line);
        if (!strstr(said, bad[i].says))
            fail_msg("%s: %s", bad[i].line, said);
    }
}

/* --- init --- */

static struct source *make_from_file(struct config_maker *m, struct err *e)
{
    return source_read(m->name, e);
}

static void init_writes_a_pair_that_fits_once(void **state)
{
    (void)state;
    char dir[160], paths[2][160];
    struct source *texts[2];
    struct err e;
    snprintf(dir, sizeof dir, "init --dir %s/pair --to p.example:1 file:/", folder);
    line_split(&line, dir);
    assert_int_equal(init_run(line.count - 1, line.words + 1), 0);
    assert_int_not_equal(init_run(line.count - 1, line.words + 1), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/pair/%s.json", folder, i ? "bridge" : "portal");
        struct config_maker m = {.name = paths[i], .make = make_from_file};
        expect_loads(&m);
        texts[i] = source_read(paths[i], &e);
        assert_non_null(texts[i]);
        assert_false(texts[i]->shared);
    }
    const char *id = strstr(texts[0]->text, "\"id\": \"");
    assert_non_null(id);
    char own[60];
    snprintf(own, sizeof own, "%.44s", id);
    assert_non_null(strstr(texts[1]->text, own));
    source_free(texts[0]);
    source_free(texts[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_scheme_host_port_and_path),
        cmocka_unit_test(targets_are_servers_and_folders),
        cmocka_unit_test(a_portal_has_claims_of_its_users_and_routes_of_its_flags),
        cmocka_unit_test(a_bridge_asks_for_its_hostnames_or_for_its_own),
        cmocka_unit_test(the_id_of_a_tunnel_may_be_its_secret),
        cmocka_unit_test(wss_verifies_the_portals_certificate),
        cmocka_unit_test(several_targets_are_routes),
        cmocka_unit_test(what_is_made_is_a_configuration),
        cmocka_unit_test(a_portal_joins_others),
        cmocka_unit_test(a_user_who_was_added_is_there_when_it_is_made_again),
        cmocka_unit_test(a_wrong_line_says_what_to_write),
        cmocka_unit_test(init_writes_a_pair_that_fits_once),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
