#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

#define DATE "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} "

struct rig {
    char dir[32], error[64], access[64], text[1 << 20];
};

static int rig_open(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    snprintf(r->dir, sizeof r->dir, "/tmp/v2c-test-log-XXXXXX");
    if (!mkdtemp(r->dir))
        return -1;
    snprintf(r->error, sizeof r->error, "%s/error.log", r->dir);
    snprintf(r->access, sizeof r->access, "%s/access.log", r->dir);
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *r = *state;
    log_close();
    unlink(r->error);
    unlink(r->access);
    rmdir(r->dir);
    free(r);
    return 0;
}

static void rig_log(struct rig *r, enum log_level level)
{
    struct log_conf c = {.level = level, .error = r->error, .access = r->access};
    struct err e;
    assert_int_equal(log_open(&c, &e), 0);
}

static const char *rig_read(struct rig *r, const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, r->text, sizeof r->text - 1);
    assert_true(n >= 0);
    r->text[n] = '\0';
    close(fd);
    return r->text;
}

static void rig_clear(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void assert_like(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" is not like %s", text, pattern);
    regfree(&re);
}

static struct addr addr_of(const char *host, uint16_t port)
{
    struct addr a = {0};
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    a.port = port;
    return a;
}

/* --- the form of a line --- */

static void log_line_has_v2rays_form(void **state)
{
    struct rig *r = *state;
    rig_log(r, LOG_DEBUG);
    log_warn("portal-a: %s", "text");
    assert_like(rig_read(r, r->error), DATE "\\[Warning\\] portal-a: text\n$");
    rig_clear(r->error);
    log_line(LOG_INFO, 2005694014u, "taking detour");
    assert_like(rig_read(r, r->error), DATE "\\[Info\\] \\[2005694014\\] taking detour\n$");
    rig_clear(r->error);
    log_error("e");
    assert_like(rig_read(r, r->error), DATE "\\[Error\\] e\n$");
    rig_clear(r->error);
    log_debug(7, "d");
    assert_like(rig_read(r, r->error), DATE "\\[Debug\\] \\[7\\] d\n$");
}

static void log_level_lets_through_what_is_as_grave_or_graver(void **state)
{
    struct rig *r = *state;
    for (int level = LOG_NONE; level <= LOG_DEBUG; level++) {
        rig_log(r, (enum log_level)level);
        assert_false(log_on(LOG_NONE));
        for (int line = LOG_ERROR; line <= LOG_DEBUG; line++)
            assert_int_equal(log_on((enum log_level)line), line <= level);
    }
    rig_log(r, LOG_WARNING);
    log_info("not this");
    log_warn("this");
    assert_like(rig_read(r, r->error), DATE "\\[Warning\\] this\n$");
}

static int evaluated(int *times)
{
    return ++*times;
}

static void log_debug_does_not_evaluate_what_it_will_not_print(void **state)
{
    struct rig *r = *state;
    int times = 0;
    rig_log(r, LOG_INFO);
    log_debug(1, "%d", evaluated(&times));
    assert_int_equal(times, 0);
    rig_log(r, LOG_DEBUG);
    log_debug(1, "%d", evaluated(&times));
    assert_int_equal(times, 1);
}

static void log_line_stays_one_line_whatever_it_holds(void **state)
{
    struct rig *r = *state;
    char big[10000];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rig_log(r, LOG_INFO);
    log_info("a\nb\r\x1b[31m\tc");
    log_info("%s", big);
    log_info("last");
    const char *text = rig_read(r, r->error);
    assert_like(text, "\\[Info\\] a\\?b\\?\\?\\[31m\\?c\n");
    assert_like(text, "aaaa\n[0-9/]+ [0-9:]+ \\[Info\\] last\n$");
    const char *second = strchr(text, '\n') + 1;
    assert_int_equal(strchr(second, '\n') + 1 - second, 4096);
}

static void log_keeps_errno(void **state)
{
    struct rig *r = *state;
    rig_log(r, LOG_INFO);
    errno = ENOTTY;
    log_info("x");
    assert_int_equal(errno, ENOTTY);
}

/* --- the access log --- */

static void log_access_has_v2rays_form(void **state)
{
    struct rig *r = *state;
    const struct user user = {.email = "a@b"}, nobody = {.email = ""};
    struct meta m = {.net = NET_TCP,
                     .source = addr_of("203.0.113.9", 58324),
                     .target = addr_of("127.0.0.1", 80),
                     .inbound_tag = "",
                     .user = &user};
    rig_log(r, LOG_WARNING);
    log_access(&m, "portal", NULL);
    assert_like(rig_read(r, r->access),
                DATE "203\\.0\\.113\\.9:58324 accepted tcp:127\\.0\\.0\\.1:80 "
                     "\\[portal\\] email: a@b\n$");
    rig_clear(r->access);
    m.user = &nobody;
    m.net = NET_UDP;
    m.source.type = ADDR_NONE; /* on a bridge */
    log_access(&m, "", NULL);
    assert_like(rig_read(r, r->access), DATE " accepted udp:127\\.0\\.0\\.1:80\n$");
    rig_clear(r->access);
    m.user = NULL;
    log_access(&m, "out", "no bridge is connected");
    assert_like(rig_read(r, r->access),
                DATE " rejected udp:127\\.0\\.0\\.1:80 \\[out\\] no bridge is connected\n$");
    rig_clear(r->access);
    m.target.type = ADDR_NONE; /* the greeting never said */
    m.source = addr_of("::1", 9);
    log_access(&m, "", "invalid user");
    assert_like(rig_read(r, r->access), DATE "\\[::1\\]:9 rejected  invalid user\n$");
    assert_string_equal(rig_read(r, r->error), "");
}

static void log_level_none_turns_the_access_log_off_too(void **state)
{
    struct rig *r = *state;
    const struct meta m = {.net = NET_TCP, .inbound_tag = ""};
    rig_log(r, LOG_INFO);
    rig_log(r, LOG_NONE);
    log_access(&m, "", NULL);
    log_error("x");
    assert_string_equal(rig_read(r, r->access), "");
    assert_string_equal(rig_read(r, r->error), "");
}

static void log_target_none_writes_nowhere(void **state)
{
    struct rig *r = *state;
    const struct log_conf c = {.level = LOG_DEBUG, .error = "none", .access = r->access};
    const struct meta m = {.net = NET_TCP, .inbound_tag = ""};
    struct err e;
    assert_int_equal(log_open(&c, &e), 0);
    assert_false(log_on(LOG_ERROR));
    log_error("x");
    log_access(&m, "", NULL);
    assert_like(rig_read(r, r->access), DATE " accepted \n$");
    assert_int_equal(access(r->error, F_OK), -1);
}

/* --- opening --- */

static void log_open_that_fails_changes_nothing(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    rig_log(r, LOG_WARNING);
    const struct log_conf bad = {.level = LOG_DEBUG, .error = r->access, .access = r->dir};
    assert_int_equal(log_open(&bad, &e), -1);
    assert_int_equal(e.code, EISDIR);
    assert_non_null(strstr(e.text, r->dir));
    assert_false(log_on(LOG_INFO));
    log_warn("still here");
    assert_like(rig_read(r, r->error), DATE "\\[Warning\\] still here\n$");
    assert_string_equal(rig_read(r, r->access), "");
}

static void log_appends_and_hides_its_descriptors_from_children(void **state)
{
    struct rig *r = *state;
    rig_log(r, LOG_WARNING);
    log_warn("first");
    log_close();
    rig_log(r, LOG_WARNING);
    log_warn("second");
    assert_like(rig_read(r, r->error), "first\n.*second\n$");
    for (int fd = 3; fd < 64; fd++) {
        char link[64], path[128];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n <= 0 || (path[n] = '\0', strncmp(path, r->dir, strlen(r->dir)) != 0))
            continue;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
    }
}

static void log_reopen_after_a_rename_starts_a_new_file(void **state)
{
    struct rig *r = *state;
    char rotated[80];
    struct err e;
    snprintf(rotated, sizeof rotated, "%s.1", r->error);
    rig_log(r, LOG_WARNING);
    log_warn("old");
    assert_int_equal(rename(r->error, rotated), 0);
    log_warn("still old");
    assert_int_equal(log_reopen(&e), 0);
    log_warn("new");
    assert_like(rig_read(r, rotated), "old\n.*still old\n$");
    assert_like(rig_read(r, r->error), DATE "\\[Warning\\] new\n$");
    unlink(rotated);
}

static void log_reopen_that_fails_keeps_the_old_file(void **state)
{
    struct rig *r = *state;
    char rotated[80];
    struct err e;
    snprintf(rotated, sizeof rotated, "%s.1", r->error);
    rig_log(r, LOG_WARNING);
    assert_int_equal(rename(r->error, rotated), 0);
    assert_int_equal(mkdir(r->error, 0700), 0);
    assert_int_equal(log_reopen(&e), -1);
    log_warn("kept");
    assert_like(rig_read(r, rotated), "kept\n$");
    rmdir(r->error);
    unlink(rotated);
}

/* --- trouble --- */

/* Logs with stdout being `fd`; cmocka's own output goes there only outside of this. */
static int stdout_swap(int fd)
{
    fflush(stdout);
    int old = dup(STDOUT_FILENO);
    assert_true(old >= 0);
    assert_true(dup2(fd, STDOUT_FILENO) >= 0);
    return old;
}

static void stdout_restore(int old)
{
    dup2(old, STDOUT_FILENO);
    close(old);
}

static void log_until_dropped(void)
{
    uint64_t before = log_dropped();
    for (int i = 0; i < 100000 && log_dropped() == before; i++)
        log_warn("%01000d", i);
    assert_int_equal(log_dropped(), before + 1);
}

static void log_never_waits_for(int read_end, int write_end)
{
    const struct log_conf c = {.level = LOG_WARNING, .error = "", .access = "none"};
    static char bytes[1 << 20];
    struct err e;
    int flags = fcntl(write_end, F_GETFL), old = stdout_swap(write_end);
    int opened = log_open(&c, &e);
    if (opened == 0)
        log_until_dropped();
    int flags_then = fcntl(write_end, F_GETFL);
    stdout_restore(old);
    assert_int_equal(opened, 0);
    assert_int_equal(flags_then, flags);             /* others who write there still may block */
    ssize_t n = read(read_end, bytes, sizeof bytes); /* once there is room, lines pass again */
    assert_true(n > 0);
    assert_int_equal(bytes[n - 1], '\n'); /* no line was cut in two */
    uint64_t before = log_dropped();
    log_warn("again");
    assert_int_equal(log_dropped(), before);
    close(read_end); /* now it is broken: no signal ends us */
    log_warn("nobody hears");
    assert_int_equal(log_dropped(), before + 1);
    close(write_end);
    log_close();
}

static void log_never_waits_for_a_full_pipe_nor_dies_of_a_broken_one(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    log_never_waits_for(fds[0], fds[1]);
}

static void log_never_waits_for_a_full_socket_nor_dies_of_a_broken_one(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    log_never_waits_for(fds[0], fds[1]);
}

static void log_never_waits_for_a_fifo_without_reader(void **state)
{
    struct rig *r = *state;
    assert_int_equal(mkfifo(r->error, 0600), 0);
    rig_log(r, LOG_WARNING);
    log_until_dropped();
}

static void log_counts_what_a_full_disk_drops(void **state)
{
    (void)state;
    const struct log_conf c = {.level = LOG_WARNING, .error = "/dev/full", .access = "none"};
    struct err e;
    if (access("/dev/full", W_OK) < 0)
        skip();
    assert_int_equal(log_open(&c, &e), 0);
    uint64_t before = log_dropped();
    log_warn("x");
    assert_int_equal(log_dropped(), before + 1);
}

/* --- threads --- */

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *name)
{
    for (int i = 0; i < LINES; i++)
        log_warn("thread %s says %d", (const char *)name, i);
    return NULL;
}

static void log_lines_of_threads_stay_whole_across_reopens(void **state)
{
    struct rig *r = *state;
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t t[THREADS];
    struct err e;
    rig_log(r, LOG_WARNING);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(log_reopen(&e), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    int count = 0;
    char *rest = NULL, *text = r->text;
    rig_read(r, r->error);
    for (char *line; (line = strtok_r(text, "\n", &rest)); text = NULL, count++)
        assert_like(line, DATE "\\[Warning\\] thread [a-d] says [0-9]+$");
    assert_int_equal(count, THREADS * LINES);
}

/* --- escapes and limits --- */

static void log_escape_leaves_only_printable_ascii_and_no_doubt(void **state)
{
    (void)state;
    char out[300];
    assert_string_equal(log_escape("plain text ~", 12, out, sizeof out), "plain text ~");
    assert_string_equal(log_escape("a\\b", 3, out, sizeof out), "a\\x5cb");
    assert_string_equal(log_escape("\0\n\x7f\xc3\xa4", 5, out, sizeof out),
                        "\\x00\\x0a\\x7f\\xc3\\xa4");
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        log_escape(&one, 1, out, sizeof out);
        for (const char *p = out; *p; p++)
            assert_true(*p >= 0x20 && *p < 0x7f);
        assert_int_equal(strlen(out) == 4, c < 0x20 || c >= 0x7f || c == '\\');
    }
}

static void log_escape_is_cut_at_the_room_and_at_256_never_inside_an_escape(void **state)
{
    (void)state;
    char text[1000], out[600];
    memset(text, '\n', sizeof text);
    assert_int_equal(strlen(log_escape(text, sizeof text, out, sizeof out)), 256);
    text[0] = 'a';
    assert_int_equal(strlen(log_escape(text, sizeof text, out, sizeof out)), 253);
    for (size_t room = 1; room < 40; room++) {
        memset(out, '#', sizeof out);
        log_escape(text, sizeof text, out, room);
        assert_true(strlen(out) < room);
        assert_true(strlen(out) == 0 || strlen(out) % 4 == 1);
        assert_int_equal(out[room], '#');
    }
    assert_string_equal(log_escape(text, 5, out, 0), "");
}

static void log_allowed_passes_a_burst_each_second_and_says_what_it_left_out(void **state)
{
    struct rig *r = *state;
    struct log_limit limit = {0};
    rig_log(r, LOG_WARNING);
    for (int i = 0; i < 10; i++)
        assert_int_equal(log_allowed(&limit, 1000, 3), i < 3);
    assert_string_equal(rig_read(r, r->error), "");
    assert_int_equal(limit.suppressed, 7);
    assert_true(log_allowed(&limit, 1001, 3));
    assert_like(rig_read(r, r->error),
                DATE "\\[Warning\\] 7 lines like the next one were left out\n$");
    assert_int_equal(limit.suppressed, 0);
    assert_true(log_allowed(&limit, 1001, 3));
    assert_true(log_allowed(&limit, 1001, 3));
    assert_false(log_allowed(&limit, 1001, 3));
    assert_true(log_allowed(&limit, 999, 3)); /* the clock was set back */
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(log_line_has_v2rays_form),
        LOG_TEST(log_level_lets_through_what_is_as_grave_or_graver),
        LOG_TEST(log_debug_does_not_evaluate_what_it_will_not_print),
        LOG_TEST(log_line_stays_one_line_whatever_it_holds),
        LOG_TEST(log_keeps_errno),
        LOG_TEST(log_access_has_v2rays_form),
        LOG_TEST(log_level_none_turns_the_access_log_off_too),
        LOG_TEST(log_target_none_writes_nowhere),
        LOG_TEST(log_open_that_fails_changes_nothing),
        LOG_TEST(log_appends_and_hides_its_descriptors_from_children),
        LOG_TEST(log_reopen_after_a_rename_starts_a_new_file),
        LOG_TEST(log_reopen_that_fails_keeps_the_old_file),
        LOG_TEST(log_never_waits_for_a_full_pipe_nor_dies_of_a_broken_one),
        LOG_TEST(log_never_waits_for_a_full_socket_nor_dies_of_a_broken_one),
        LOG_TEST(log_never_waits_for_a_fifo_without_reader),
        LOG_TEST(log_counts_what_a_full_disk_drops),
        LOG_TEST(log_lines_of_threads_stay_whole_across_reopens),
        LOG_TEST(log_escape_leaves_only_printable_ascii_and_no_doubt),
        LOG_TEST(log_escape_is_cut_at_the_room_and_at_256_never_inside_an_escape),
        LOG_TEST(log_allowed_passes_a_burst_each_second_and_says_what_it_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
