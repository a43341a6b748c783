#include "testing/rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/proxy_in.h"
#include "transport/stream.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

struct text {
    const char *bytes;
    size_t len;
};

#define TEXT(t) ((struct text){(t), sizeof(t) - 1})

static enum step read_all(struct text t, struct proxy_header *h, size_t *used)
{
    struct err e;
    struct cursor c = cur_of(t.bytes, t.len);
    enum step s = proxy_header_read(&c, h, &e);
    *used = t.len - cur_left(&c);
    return s;
}

static void assert_told(struct text t, const char *source, const char *dest)
{
    struct proxy_header h;
    char text[ADDR_TEXT_MAX];
    size_t used;
    assert_int_equal(read_all(t, &h, &used), STEP_DONE);
    assert_true(h.told);
    assert_string_equal(addr_text(&h.source, text), source);
    assert_string_equal(addr_text(&h.dest, text), dest);
}

static void assert_untold(struct text t, uint16_t skip)
{
    struct proxy_header h;
    size_t used;
    assert_int_equal(read_all(t, &h, &used), STEP_DONE);
    assert_false(h.told);
    assert_int_equal(h.skip, skip);
}

static void assert_refused(struct text t)
{
    struct proxy_header h;
    size_t used;
    assert_int_equal(read_all(t, &h, &used), STEP_FAIL);
}

static void a_header_tells_both_addresses(void **state)
{
    (void)state;
    assert_told(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\r\n"), "192.0.2.1:1234",
                "198.51.100.7:443");
    assert_told(TEXT("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"), "[2001:db8::1]:65535",
                "[2001:db8::2]:0");
    assert_told(TEXT(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x04\xd2\x01\xbb"),
                "192.0.2.1:1234", "198.51.100.7:443");
    assert_told(TEXT(SIGNATURE "\x21\x21\x00\x24"
                               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x04\xd2\x01\xbb"),
                "[2001:db8::1]:1234", "[2001:db8::2]:443");
}

static void a_header_may_tell_nothing(void **state)
{
    (void)state;
    assert_untold(TEXT("PROXY UNKNOWN\r\n"), 0);
    assert_untold(TEXT("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n"), 0);
    assert_untold(TEXT(SIGNATURE "\x20\x00\x00\x00"), 0);
    assert_untold(TEXT(SIGNATURE "\x20\x11\x00\x0c"),
                  12); /* LOCAL: what addresses say is nothing */
    assert_untold(TEXT(SIGNATURE "\x21\x31\x00\xd8"), 216); /* unix sockets */
    assert_untold(TEXT(SIGNATURE "\x21\x00\xff\xff"), 65535);
}

static void values_behind_the_addresses_are_to_be_skipped(void **state)
{
    (void)state;
    struct proxy_header h;
    size_t used;
    struct text t =
        TEXT(SIGNATURE "\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x07\x04\xd2\x01\xbb"
                       "\x04\x00\x01x");
    assert_int_equal(read_all(t, &h, &used), STEP_DONE);
    assert_int_equal(h.skip, 4);
    assert_int_equal(used, t.len - 4);
}

static void what_is_no_header_is_refused(void **state)
{
    (void)state;
    char line[200] = "PROXY UNKNOWN ";
    memset(line + 14, 'x', sizeof line - 14);
    assert_refused((struct text){line, sizeof line});
    assert_refused(TEXT("GET / HTTP/1.1\r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234\r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 443 \r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1  198.51.100.7 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 65536\r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 +443\r\n"));
    assert_refused(TEXT("PROXY TCP4 example.com 198.51.100.7 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP6 [2001:db8::1] ::1 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP4 ::1 ::1 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP6 192.0.2.1 198.51.100.7 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP4 \t192.0.2.1 198.51.100.7\v 1234 443\r\n"));
    assert_refused(TEXT("PROXY UDP4 192.0.2.1 198.51.100.7 1234 443\r\n"));
    assert_refused(TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\n"));
    assert_refused(TEXT("PROXY \r\n"));
    assert_refused(TEXT("PROXY \n"));
    assert_refused(TEXT(SIGNATURE "\x31\x11\x00\x0c"));
    assert_refused(TEXT(SIGNATURE "\x22\x11\x00\x0c"));
    assert_refused(TEXT(SIGNATURE "\x21\x11\x00\x0b"));
    assert_refused(TEXT(SIGNATURE "\x21\x21\x00\x23"));
}

static void a_header_is_read_the_same_however_it_is_split(void **state)
{
    (void)state;
    static const struct text headers[] = {
        TEXT("PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\r\n"),
        TEXT(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x04\xd2\x01\xbb"),
    };
    for (size_t i = 0; i < 2; i++)
        for (size_t cut = 0; cut < headers[i].len; cut++) {
            struct proxy_header h;
            size_t used;
            assert_int_equal(read_all((struct text){headers[i].bytes, cut}, &h, &used), STEP_MORE);
            assert_int_equal(used, 0);
        }
}

/* --- writing --- */

static struct addr address(const char *host, uint16_t port)
{
    struct addr a = {0};
    struct err e;
    if (*host)
        assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    a.port = port;
    return a;
}

static void assert_line(const char *source, const char *dest, const char *line)
{
    uint8_t out[PROXY_HEADER_MAX];
    struct addr from = address(source, 1234), to = address(dest, 443);
    size_t len = proxy_header_write(out, 1, &from, &to);
    assert_int_equal(len, strlen(line));
    assert_memory_equal(out, line, len);
}

static void version_1_is_a_line(void **state)
{
    (void)state;
    assert_line("192.0.2.1", "198.51.100.7", "PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\r\n");
    assert_line("2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 1234 443\r\n");
    assert_line("192.0.2.1", "::1", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1234 443\r\n");
    assert_line("::1", "192.0.2.1", "PROXY TCP6 ::1 ::ffff:192.0.2.1 1234 443\r\n");
    assert_line("192.0.2.1", "example.com", "PROXY TCP4 192.0.2.1 0.0.0.0 1234 443\r\n");
    assert_line("::1", "", "PROXY TCP6 ::1 :: 1234 443\r\n");
    assert_line("", "192.0.2.1", "PROXY UNKNOWN\r\n");
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "127.0.0.1"};
    for (int version = 1; version <= 2; version++)
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++) {
                uint8_t out[PROXY_HEADER_MAX];
                struct addr from = address(hosts[i], 1), to = address(hosts[j], 65535);
                struct proxy_header h;
                size_t used, len = proxy_header_write(out, version, &from, &to);
                struct text t = {(char *)out, len};
                assert_int_equal(read_all(t, &h, &used), STEP_DONE);
                assert_int_equal(used, len);
                assert_true(h.told && addr_equal(&h.source, &from) && addr_equal(&h.dest, &to));
            }
}

static void nobody_knows_is_said_in_version_2_as_the_proxys_own(void **state)
{
    (void)state;
    uint8_t out[PROXY_HEADER_MAX];
    struct addr none = {0}, to = address("192.0.2.1", 443);
    assert_int_equal(proxy_header_write(out, 2, &none, &to), 16);
    assert_memory_equal(out, SIGNATURE "\x20\x00\x00\x00", 16);
}

/* --- the layer --- */

struct wire {
    struct rig rig;
    struct stream stream;
    int peer;
    unsigned called;
};

static void on_ready(struct stream *s, bool readable, bool writable)
{
    (void)readable, (void)writable;
    container_of(s, struct wire, stream)->called++;
}

static void wire_open(struct wire *w)
{
    int fds[2];
    memset(w, 0, sizeof *w);
    rig_open(&w->rig);
    rig_pair(fds);
    w->peer = fds[1];
    stream_open(&w->stream, &w->rig.loop, fds[0], on_ready);
    assert_int_equal(stream_put_layer(&w->stream, proxy_in_new()), 0);
    stream_want(&w->stream, true, false);
}

static void wire_close(struct wire *w)
{
    stream_close(&w->stream);
    close(w->peer);
    rig_close(&w->rig);
}

static ssize_t wire_read(struct wire *w, char *to, size_t len)
{
    struct iovec iov = {to, len};
    return stream_readv(&w->stream, &iov, 1);
}

static void the_visitor_is_the_source_and_his_bytes_follow(void **state)
{
    (void)state;
    static const char header[] = "PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\r\nhello";
    for (size_t cut = 1; cut < sizeof header - 1; cut++) {
        struct wire w;
        struct addr source;
        char got[16], text[ADDR_TEXT_MAX];
        wire_open(&w);
        rig_send(&w.rig, w.peer, header, cut);
        rig_turn(&w.rig);
        rig_send(&w.rig, w.peer, header + cut, sizeof header - 1 - cut);
        RIG_UNTIL(&w.rig, w.called);
        assert_true(stream_source(&w.stream, &source));
        assert_string_equal(addr_text(&source, text), "192.0.2.1:1234");
        assert_int_equal(wire_read(&w, got, sizeof got), 5);
        assert_memory_equal(got, "hello", 5);
        wire_close(&w);
    }
}

static void long_values_are_skipped(void **state)
{
    (void)state;
    static char values[60000];
    struct wire w;
    char got[8];
    wire_open(&w);
    rig_send(&w.rig, w.peer, SIGNATURE "\x20\x00\xea\x60", 16);
    rig_send(&w.rig, w.peer, values, sizeof values);
    rig_say(&w.rig, w.peer, "abc");
    RIG_UNTIL(&w.rig, w.called);
    assert_int_equal(wire_read(&w, got, sizeof got), 3);
    wire_close(&w);
}

static void without_a_header_the_stream_fails(void **state)
{
    (void)state;
    struct wire w;
    char got[8];
    wire_open(&w);
    rig_say(&w.rig, w.peer, "GET / HTTP/1.1\r\n\r\n");
    RIG_UNTIL(&w.rig, w.called);
    assert_int_equal(wire_read(&w, got, sizeof got), STREAM_ERROR);
    assert_string_equal(stream_why(&w.stream).text, "PROXY header: no header");
    wire_close(&w);
}

static void an_end_within_the_header_is_a_cut(void **state)
{
    (void)state;
    struct wire w;
    char got[8];
    wire_open(&w);
    rig_say(&w.rig, w.peer, "PROXY TC");
    rig_turn(&w.rig);
    shutdown(w.peer, SHUT_WR);
    RIG_UNTIL(&w.rig, w.called);
    assert_int_equal(wire_read(&w, got, sizeof got), STREAM_ERROR);
    assert_int_equal(errno, ECONNRESET);
    wire_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_tells_both_addresses),
        cmocka_unit_test(a_header_may_tell_nothing),
        cmocka_unit_test(values_behind_the_addresses_are_to_be_skipped),
        cmocka_unit_test(what_is_no_header_is_refused),
        cmocka_unit_test(a_header_is_read_the_same_however_it_is_split),
        cmocka_unit_test(version_1_is_a_line),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(nobody_knows_is_said_in_version_2_as_the_proxys_own),
        cmocka_unit_test(the_visitor_is_the_source_and_his_bytes_follow),
        cmocka_unit_test(long_values_are_skipped),
        cmocka_unit_test(without_a_header_the_stream_fails),
        cmocka_unit_test(an_end_within_the_header_is_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
