#include "testing/rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/file.h"

/* A root with a little of everything, and beside it what must not be reached:
 *   TOP/secret.txt   TOP/root/{a.txt, big.bin, .hidden, sub/index.html, list/{b <&>.txt, a.txt, .x, deep/}, out -> ../secret.txt,
 *   up -> .., near -> a.txt, pipe} */
struct place {
    struct rig rig;
    struct file_conf conf;
    struct outbound *out;
    struct rig_end in;
    char top[64], root[80];
};

enum { BIG = 3 * 1024 * 1024 + 17 };

static void put_file(const struct place *p, const char *name, const void *bytes, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->top, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
    put_file(p, name, text, strlen(text));
}

static void put_folder(const struct place *p, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->top, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void put_link(const struct place *p, const char *name, const char *to)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->top, name);
    assert_int_equal(symlink(to, path), 0);
}

static void put_big(const struct place *p)
{
    uint8_t *big = malloc(BIG);
    assert_non_null(big);
    rig_pattern(big, BIG, 0);
    put_file(p, "root/big.bin", big, BIG);
    free(big);
}

static void place_fill(struct place *p)
{
    char path[256];
    put_folder(p, "root");
    put_folder(p, "root/sub");
    put_folder(p, "root/list");
    put_folder(p, "root/list/deep");
    put_text(p, "secret.txt", "secret");
    put_text(p, "root/a.txt", "hello\n");
    put_text(p, "root/empty", "");
    put_text(p, "root/.hidden", "secret");
    put_text(p, "root/sub/index.html", "<p>index");
    put_text(p, "root/list/b <&>\".txt", "b");
    put_text(p, "root/list/a.txt", "a");
    put_text(p, "root/list/.x", "secret");
    put_link(p, "root/out", "../secret.txt");
    put_link(p, "root/up", "..");
    put_link(p, "root/away", "/etc/passwd");
    put_link(p, "root/near", "a.txt");
    put_link(p, "root/round", "round");
    put_big(p);
    snprintf(path, sizeof path, "%s/pipe", p->root);
    assert_int_equal(mkfifo(path, 0600), 0);
}

static int place_open(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    strcpy(p->top, "/tmp/v2c-file-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    snprintf(p->root, sizeof p->root, "%s/root", p->top);
    place_fill(p);
    rig_open(&p->rig);
    p->conf = (struct file_conf){.root = p->root, .listing = true};
    p->out = file_new(&p->rig.loop, "files", &p->conf);
    assert_non_null(p->out);
    *state = p;
    return 0;
}

static int place_close(void **state)
{
    struct place *p = *state;
    char command[160];
    if (p->out)
        p->out->ops->free(p->out);
    rig_close(&p->rig);
    rig_end_free(&p->in);
    snprintf(command, sizeof command, "rm -rf '%s'", p->top);
    int gone = system(command);
    free(p);
    return gone;
}

/* --- a visitor --- */

static void visit(struct place *p)
{
    rig_end_free(&p->in);
    p->in = (struct rig_end){0};
    struct flow *f = rig_flow(&p->rig, &p->in, NET_TCP);
    p->out->ops->open(p->out, f);
}

static void forget(struct place *p)
{
    p->in.len = p->in.count = 0;
}

static void say(struct place *p, const char *text)
{
    assert_true(end_write(&p->in.end, text, strlen(text)));
    rig_turn(&p->rig);
}

/* With a NUL behind it. */
static const char *heard(struct place *p)
{
    if (p->in.len == 0)
        return "";
    if (p->in.len == p->in.room) {
        p->in.got = realloc(p->in.got, ++p->in.room);
        assert_non_null(p->in.got);
    }
    p->in.got[p->in.len] = '\0';
    return (const char *)p->in.got;
}

static void leave(struct place *p)
{
    if (!p->in.left)
        rig_leave(&p->in, NULL);
    rig_turn(&p->rig);
}

/* One request on a connection of its own; the answer stays until the next. */
static const char *ask(struct place *p, const char *method, const char *target, const char *fields)
{
    char text[2048];
    visit(p);
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, fields);
    say(p, text);
    leave(p);
    return heard(p);
}

static int status(struct place *p, const char *target)
{
    const char *answer = ask(p, "GET", target, "");
    assert_memory_equal(answer, "HTTP/1.1 ", 9);
    return (int)strtol(answer + 9, NULL, 10);
}

static const char *body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* --- laws --- */

static void a_file_is_answered_with_its_type(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "GET", "/a.txt", "");
    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 6\r\n"));
    assert_non_null(strstr(answer, "\r\nETag: \""));
    assert_non_null(strstr(answer, "\r\nLast-Modified: "));
    assert_string_equal(body(answer), "hello\n");
    answer = ask(p, "GET", "/near?x=/../y", "");
    assert_string_equal(body(answer), "hello\n");
    assert_string_equal(body(ask(p, "GET", "http://any.host/a.txt", "")), "hello\n");
    answer = ask(p, "GET", "/empty", "");
    assert_non_null(strstr(answer, "\r\nContent-Length: 0\r\n"));
    assert_non_null(strstr(answer, "octet-stream"));
}

static void head_has_no_body(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "HEAD", "/big.bin", "");
    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(answer, "\r\nContent-Length: 3145745\r\n"));
    assert_string_equal(body(answer), "");
    assert_string_equal(body(ask(p, "HEAD", "/none", "")), "");
}

static void nothing_outside_of_the_root_is_shown(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *target;
        int status;
    } outside[] = {
        {"/../secret.txt", 404},
        {"/%2e%2e/secret.txt", 404},
        {"/..%2fsecret.txt", 400},
        {"/sub/../../secret.txt", 404},
        {"/.hidden", 404},
        {"/list/.x", 404},
        {"/out", 403},
        {"/up/secret.txt", 403},
        {"/up/", 403},
        {"/away", 403},
        {"/round", 403},
        {"/pipe", 403},
        {"/none", 404},
        {"/a.txt/", 404},
        {"/a.txt/b", 404},
    };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (status(p, outside[i].target) != outside[i].status)
            fail_msg("%s: %.40s", outside[i].target, heard(p));
        assert_null(strstr(heard(p), "secret"));
        assert_null(strstr(heard(p), "root:"));
    }
}

static void what_may_not_be_read_is_forbidden(void **state)
{
    struct place *p = *state;
    char path[256];
    if (geteuid() == 0) /* who may read all */
        skip();
    snprintf(path, sizeof path, "%s/a.txt", p->root);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(status(p, "/a.txt"), 403);
}

static void a_folder_shows_its_index_or_its_names(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "GET", "/sub/", "");
    assert_string_equal(body(answer), "<p>index");
    assert_non_null(strstr(answer, "text/html"));
    answer = ask(p, "GET", "/list/", "");
    const char *a = strstr(answer, "<a href=\"a.txt\">a.txt</a><td>1 B"),
               *b =
                   strstr(answer, "<a href=\"b%20%3C%26%3E%22.txt\">b &lt;&amp;&gt;&quot;.txt</a>"),
               *deep = strstr(answer, "<a href=\"deep/\">deep/</a>"),
               *up = strstr(answer, "<a href=\"../\">");
    assert_true(up && a && b && deep && up < a && a < b && b < deep);
    assert_null(strstr(answer, ".x"));
    assert_null(strstr(ask(p, "GET", "/", ""), "../"));
    assert_null(strstr(heard(p), ".hidden"));
    p->conf.listing = false;
    assert_int_equal(status(p, "/list/"), 403);
    assert_int_equal(status(p, "/sub/"), 200);
}

static void a_folder_without_its_slash_is_elsewhere_on_the_same_host(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "GET", "//list/deep?q=1", "");
    assert_memory_equal(answer, "HTTP/1.1 301 ", 13);
    assert_non_null(strstr(answer, "\r\nLocation: /list/deep/?q=1\r\n"));
}

static void a_root_that_is_not_there_is_503(void **state)
{
    struct place *p = *state;
    char aside[100];
    snprintf(aside, sizeof aside, "%s/aside", p->top);
    assert_int_equal(rename(p->root, aside), 0);
    assert_int_equal(status(p, "/a.txt"), 503);
    assert_int_equal(rename(aside, p->root), 0);
    assert_int_equal(status(p, "/a.txt"), 200);
}

static void other_methods_are_refused(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "DELETE", "/a.txt", "");
    assert_memory_equal(answer, "HTTP/1.1 405 ", 13);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
    assert_memory_equal(ask(p, "OPTIONS", "*", ""), "HTTP/1.1 405 ", 13);
    assert_memory_equal(ask(p, "GET", "*", ""), "HTTP/1.1 400 ", 13);
}

static void parts_and_conditions(void **state)
{
    struct place *p = *state;
    const char *answer = ask(p, "GET", "/a.txt", "Range: bytes=1-3\r\n");
    assert_memory_equal(answer, "HTTP/1.1 206 ", 13);
    assert_non_null(strstr(answer, "\r\nContent-Range: bytes 1-3/6\r\n"));
    assert_string_equal(body(answer), "ell");
    answer = ask(p, "GET", "/a.txt", "Range: bytes=6-\r\n");
    assert_memory_equal(answer, "HTTP/1.1 416 ", 13);
    assert_non_null(strstr(answer, "\r\nContent-Range: bytes */6\r\n"));
    answer = ask(p, "GET", "/a.txt", "If-None-Match: *\r\n");
    assert_memory_equal(answer, "HTTP/1.1 304 ", 13);
    assert_null(strstr(answer, "Content-Length"));
    assert_string_equal(body(answer), "");
}

static void many_requests_share_a_connection(void **state)
{
    struct place *p = *state;
    visit(p);
    for (int i = 0; i < 3; i++) {
        forget(p);
        say(p, "GET /a.txt HTTP/1.1\r\nHo");
        assert_int_equal(p->in.len, 0);
        say(p, "st: a\r\n\r\n");
        assert_string_equal(body(heard(p)), "hello\n");
    }
    forget(p);
    say(p,
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\nHEAD /a.txt "
        "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *second = strstr(heard(p), "hello\nHTTP/1.1 404 ");
    assert_non_null(second);
    const char *third = strstr(second, "HTTP/1.1 200 ");
    assert_true(third && strstr(third, "\r\nConnection: close\r\n"));
    assert_null(strstr(third + 1, "HTTP/1.1")); /* the last one was not asked for any more */
    assert_true(p->in.left && !p->in.failed);
}

static void a_head_that_is_wrong_is_answered_and_ends_it(void **state)
{
    struct place *p = *state;
    visit(p);
    say(p, "GET /a.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_memory_equal(heard(p), "HTTP/1.1 400 ", 13);
    assert_true(p->in.eof || p->in.left);
    leave(p);
    assert_false(p->in.failed);
    visit(p);
    say(p, "GET /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    say(p, "GET /");
    assert_string_equal(body(heard(p)), "hello\n");
    assert_non_null(strstr(heard(p), "\r\nConnection: close\r\n"));
    leave(p);
}

static void a_big_file_comes_as_the_visitor_reads(void **state)
{
    struct place *p = *state;
    visit(p);
    p->in.idle = true;
    assert_true(end_write(&p->in.end, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", 35));
    rig_turn(&p->rig);
    size_t waiting = end_waiting(&p->in.end);
    assert_true(waiting > 0 && waiting <= p->rig.policy.buffer_size + BUF_BYTES);
    p->in.idle = false;
    rig_take(&p->in);
    RIG_UNTIL(&p->rig, p->in.len > BIG);
    size_t head = (size_t)(body(heard(p)) - heard(p));
    assert_int_equal(p->in.len - head, BIG);
    rig_check_pattern(p->in.got + head, BIG, 0);
    leave(p);
}

static void a_file_that_becomes_shorter_is_a_cut(void **state)
{
    struct place *p = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/big.bin", p->root);
    visit(p);
    p->in.idle = true;
    assert_true(end_write(&p->in.end, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", 35));
    rig_turn(&p->rig);
    assert_int_equal(truncate(path, 100), 0);
    p->in.idle = false;
    rig_take(&p->in);
    RIG_UNTIL(&p->rig, p->in.left);
    assert_true(p->in.failed);
}

static void flows_outlive_the_outbound(void **state)
{
    struct place *p = *state;
    visit(p);
    say(p, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    p->out->ops->free(p->out);
    p->out = NULL;
    forget(p);
    say(p, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(body(heard(p)), "hello\n");
    leave(p);
}

static void datagrams_are_refused(void **state)
{
    struct place *p = *state;
    struct flow *f = rig_flow(&p->rig, &p->in, NET_UDP);
    p->out->ops->open(p->out, f);
    rig_turn(&p->rig);
    assert_true(p->in.left && p->in.failed);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, place_open, place_close)
    const struct CMUnitTest tests[] = {
        LAW(a_file_is_answered_with_its_type),
        LAW(head_has_no_body),
        LAW(nothing_outside_of_the_root_is_shown),
        LAW(what_may_not_be_read_is_forbidden),
        LAW(a_folder_shows_its_index_or_its_names),
        LAW(a_folder_without_its_slash_is_elsewhere_on_the_same_host),
        LAW(a_root_that_is_not_there_is_503),
        LAW(other_methods_are_refused),
        LAW(parts_and_conditions),
        LAW(many_requests_share_a_connection),
        LAW(a_head_that_is_wrong_is_answered_and_ends_it),
        LAW(a_big_file_comes_as_the_visitor_reads),
        LAW(a_file_that_becomes_shorter_is_a_cut),
        LAW(flows_outlive_the_outbound),
        LAW(datagrams_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
