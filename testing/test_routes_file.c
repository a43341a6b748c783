#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/config.h"
#include "conf/guides.h"
#include "conf/idn.h"

static const struct route_home home = {.has_portal = true, .portal = 4, .tenant = "t"};

/* The text as a file; its path begins messages. */
struct file {
    int fd;
    char path[64];
};

static void file_write(const struct file *f, const char *text)
{
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(pwrite(f->fd, text, strlen(text), 0), strlen(text));
}

static struct file file_of(const char *text)
{
    struct file f = {.fd = memfd_create("routes", MFD_CLOEXEC)};
    assert_true(f.fd >= 0);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    file_write(&f, text);
    return f;
}

static struct routes *read_with(const char *text, const struct routes *in_place, size_t *left_out,
                                struct err *e)
{
    struct file f = file_of(text);
    struct routes *r = routes_file_read(f.path, in_place, &home, left_out, e);
    close(f.fd);
    return r;
}

/* "portal tunnel", "address", or "". */
static const char *leads(const struct routes *r, const char *host, const char *path)
{
    static char text[ADDR_TEXT_MAX + 64];
    struct route_asked asked = {host, {path, strlen(path)}, {"", 0}, NULL};
    struct route_to to = {0};
    if (!routes_find(r, &asked, &to))
        return "";
    if (to.kind == ROUTE_ADDRESS)
        return addr_text(&to.address, text);
    assert_string_equal(to.tunnel.tenant, "t");
    snprintf(text, sizeof text, "%zu %s%s", to.outbound, to.is_private ? "$" : "", to.tunnel.text);
    return text;
}

static void each_line_is_a_route(void **state)
{
    (void)state;
    static const char text[] = "# a comment\n"
                               "\n"
                               "  \t \r\n"
                               "example.com 4D21094E-b74c\r\n"
                               "\texample.org/api\t192.168.1.1:80   # behind it\n"
                               "*.Wide.example. $secret\n"
                               "six.example [2001:db8::1]:8080\n"
                               "name.example web.lan:81\n"
                               "b\xc3\xbc"
                               "cher.example books\n"
                               "*/deep deep\n"
                               "* rest";
    struct err e = {0};
    size_t left_out;
    struct routes *none = routes_new(), *r = read_with(text, none, &left_out, &e);
    assert_string_equal(e.text, "");
    assert_non_null(r);
    assert_int_equal(routes_count(r), 8);
    assert_int_equal(left_out, 0);
    assert_string_equal(leads(r, "example.com", "/"), "4 4d21094e-b74c");
    assert_string_equal(leads(r, "example.org", "/api/x"), "192.168.1.1:80");
    assert_string_equal(leads(r, "example.org", "/"), "");
    assert_string_equal(leads(r, "a.wide.example", "/"), "4 $secret");
    assert_string_equal(leads(r, "six.example", "/"), "[2001:db8::1]:8080");
    assert_string_equal(leads(r, "name.example", "/"), "web.lan:81");
    assert_string_equal(leads(r, "xn--bcher-kva.example", "/"), "4 books");
    assert_string_equal(leads(r, "stranger.test", "/deep"), "4 deep");
    assert_string_equal(leads(r, "stranger.test", "/"), "4 rest");
    routes_unref(r);
    routes_unref(none);
}

static void a_wrong_line_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"a.example", ":1: want \"HOST"},
        {"a.example one\nb.example one two\n", ":2: want \"HOST"},
        {"a.example # one\n", ":1: want \"HOST"},
        {"\n\na_.example/ x/y", ":3: want a name"},
        {"a..example one\n", ":1: a label"},
        {"a.example:80 one\n", ":1: something stands behind"},
        {"a.example/x?y one\n", ":1: a path with a byte"},
        {"a.example 192.168.1.1\n", ":1: an address without a port"},
        {"a.example web:\n", ":1: the port"},
        {"a.example web:80:80\n", ":1: the port"},
        {"a.example one\nA.example. two\n", ":2: another route is for the same"},
        {"* one\n* two\n", ":2: another route is for the same"},
        {"\xff\xfe.example one\n", ":1: a host is no internationalised name"},
    };
    struct routes *none = routes_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        size_t left_out;
        assert_null(read_with(cases[i].text, none, &left_out, &e));
        if (!strstr(e.text, cases[i].where))
            fail_msg("case %zu: %s", i, e.text);
    }
    routes_unref(none);
}

static void routes_in_place_win_over_the_file(void **state)
{
    (void)state;
    struct routes *in_place = routes_new();
    struct hostname_pattern p;
    struct route one = {.host = &p, .to = {.kind = ROUTE_TUNNEL, .outbound = 9}};
    struct err e = {0};
    size_t left_out;
    assert_int_equal(host_pattern_read(&p, "a.example", 9, &e), 0);
    snprintf(one.to.tunnel.text, sizeof one.to.tunnel.text, "%s", "mine");
    one.to.tunnel.tenant = "t";
    assert_int_equal(routes_add(in_place, &one, &e), 0);
    struct routes *r = read_with("a.example/x file\n.a.example file\n", in_place, &left_out, &e);
    assert_non_null(r);
    assert_int_equal(left_out, 1);
    assert_string_equal(leads(r, "a.example", "/x"), "9 mine");
    assert_string_equal(leads(r, "b.a.example", "/x"), "4 file");
    assert_string_equal(leads(in_place, "b.a.example", "/x"), "");
    routes_unref(r);
    routes_unref(in_place);
}

static void a_file_that_is_none_is_refused(void **state)
{
    (void)state;
    struct routes *none = routes_new();
    struct err e = {0};
    size_t left_out;
    assert_null(routes_file_read("/nonexistent/routes", none, &home, &left_out, &e));
    assert_non_null(strstr(e.text, "/nonexistent/routes: cannot be read"));
    assert_null(routes_file_read("/", none, &home, &left_out, &e));
    assert_non_null(strstr(e.text, "is no regular file"));
    routes_unref(none);
}

/* A configuration with one guide that watches the file. */
static struct config watching(struct guide_set *g, const struct file *f)
{
    size_t left_out;
    struct err e;
    g->file = f->path;
    g->home = home;
    g->routes = routes_new();
    g->read = g->seen = 0;
    g->conf.table = route_table_new(routes_file_read(f->path, g->routes, &home, &left_out, &e));
    return (struct config){.guides = g};
}

static const char *now(struct guide_set *g, const char *host)
{
    struct route_reader reader = {0};
    const char *text = leads(route_reader_now(&reader, g->conf.table), host, "/");
    route_reader_fini(&reader);
    return text;
}

static void a_changed_file_is_read_once_it_rests(void **state)
{
    (void)state;
    struct file f = file_of("a.example one\n");
    struct guide_set g = {0};
    struct config c = watching(&g, &f);
    assert_true(guides_watch(&c));
    guides_look(&c);
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 one");
    file_write(&f, "a.example changed\n");
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 one"); /* somebody may be writing */
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 changed");
    file_write(&f, "a.example wrong line\n");
    guides_look(&c);
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 changed");
    file_write(&f, "a.example three\nb.example three\n");
    guides_look(&c);
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 three");
    assert_string_equal(now(&g, "b.example"), "4 three");
    close(f.fd);
    guides_look(&c);
    guides_look(&c);
    assert_string_equal(now(&g, "a.example"), "4 three");
    guides_free(&g);
}

static void hosts_of_people_become_those_of_the_wire(void **state)
{
    (void)state;
    static const struct {
        const char *written, *text;
        bool below;
    } cases[] = {
        {"B\xc3\x9c"
         "cher.Example",
         "xn--bcher-kva.example", false},
        {"*.b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example", true},
        {".stra\xc3\x9f"
         "e.example",
         "xn--strae-oqa.example", true},
        {"\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah",
         false},
        {"Example.com.", "example.com", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hostname_pattern p;
        struct err e = {0};
        const char *text = cases[i].written;
        if (host_pattern_read(&p, text, strlen(text), &e) < 0)
            fail_msg("%s: %s", text, e.text);
        assert_string_equal(p.host.text, cases[i].text);
        assert_int_equal(p.below, cases[i].below);
    }
    static const char *const wrong[] = {
        "\xc3\xbc..example",          "*.*.\xc3\xbc", "\xc3\xbc b", "\xc3\xbc:80",
        "\xe2\x98\x95\xef\xb8\x8f/x", "\xc3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct hostname_pattern p;
        struct err e = {0};
        assert_int_equal(host_pattern_read(&p, wrong[i], strlen(wrong[i]), &e), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_route),
        cmocka_unit_test(a_wrong_line_is_named),
        cmocka_unit_test(routes_in_place_win_over_the_file),
        cmocka_unit_test(a_file_that_is_none_is_refused),
        cmocka_unit_test(a_changed_file_is_read_once_it_rests),
        cmocka_unit_test(hosts_of_people_become_those_of_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
