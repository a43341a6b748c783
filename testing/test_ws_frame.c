#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "transport/ws_frame.h"

static void a_head_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 125, 126, 65535, 65536, (size_t)1 << 40};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        for (int masked = 0; masked < 2; masked++) {
            uint8_t out[WS_HEAD_MAX];
            struct ws_head h;
            struct err e;
            size_t len = ws_head_write(out, WS_BINARY, lens[i], masked ? mask : NULL);
            for (size_t cut = 0; cut < len; cut++) {
                struct cursor c = cur_of(out, cut);
                assert_int_equal(ws_head_read(&c, &h, &e), STEP_MORE);
                assert_int_equal(cur_left(&c), cut);
            }
            struct cursor c = cur_of(out, len);
            assert_int_equal(ws_head_read(&c, &h, &e), STEP_DONE);
            assert_int_equal(cur_left(&c), 0);
            assert_true(h.final && h.opcode == WS_BINARY && h.masked == masked);
            assert_true(h.len == lens[i] && (!masked || memcmp(h.mask, mask, 4) == 0));
        }
}

static void half_a_code_is_no_close(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0x88, 1, 3};
    struct cursor c = cur_of(wire, sizeof wire);
    struct ws_head h;
    struct err e;
    assert_int_equal(ws_head_read(&c, &h, &e), STEP_FAIL);
}

static void a_mask_is_its_own_inverse_at_every_place_and_length(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0xde, 0xad, 0xbe, 0xef};
    for (size_t len = 0; len < 40; len++)
        for (size_t at = 0; at < 9; at++)
            for (size_t shift = 0; shift < 15; shift++) {
                uint8_t mem[64], plain[64];
                for (size_t i = 0; i < sizeof plain; i++)
                    plain[i] = (uint8_t)(i * 7);
                ws_mask(mem + shift, plain, len, mask, at);
                for (size_t i = 0; i < len; i++)
                    assert_int_equal(mem[shift + i], plain[i] ^ mask[(at + i) & 3]);
                ws_mask(mem, mem + shift, len, mask, at); /* down, over itself */
                assert_memory_equal(mem, plain, len);
            }
}

/* "hello, world" in three frames, with a ping of "beat" in between. */
static size_t conversation(uint8_t *out)
{
    static const uint8_t mask[4] = {9, 8, 7, 6};
    static const struct {
        uint8_t first;
        const char *text;
    } frames[] = {{WS_BINARY, "hello"},
                  {0x80 | WS_PING, "beat"},
                  {WS_CONTINUATION, ", "},
                  {0x80 | WS_CONTINUATION, "world"},
                  {0x80 | WS_CLOSE, "\x03\xe8"}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        size_t len = strlen(frames[i].text);
        size_t head = ws_head_write(out + used, WS_BINARY, len, mask);
        out[used] = frames[i].first;
        ws_mask(out + used + head, (const uint8_t *)frames[i].text, len, mask, 0);
        used += head + len;
    }
    return used;
}

struct listener {
    struct ws_reader reader;
    char heard[16];
    unsigned pings;
};

static void on_heard(struct ws_reader *r, enum ws_opcode opcode, const uint8_t *payload, size_t len)
{
    struct listener *l = (struct listener *)(void *)r;
    assert_int_equal(opcode, WS_PING);
    memcpy(l->heard, payload, len);
    l->heard[len] = '\0';
    l->pings++;
}

static void payload_is_the_same_however_frames_are_split(void **state)
{
    (void)state;
    uint8_t wire[128];
    size_t len = conversation(wire);
    for (size_t one = 0; one <= len; one++)
        for (size_t two = one; two <= len; two++) {
            struct listener l = {.reader = {.masked = true, .heard = on_heard}};
            size_t cuts[] = {0, one, two, len}, have = 0;
            uint8_t got[128];
            for (int i = 0; i < 3; i++) {
                struct err e;
                uint8_t mem[128];
                memcpy(mem, wire + cuts[i], cuts[i + 1] - cuts[i]);
                ssize_t n = ws_read(&l.reader, mem, cuts[i + 1] - cuts[i], &e);
                assert_true(n >= 0);
                memcpy(got + have, mem, (size_t)n);
                have += (size_t)n;
            }
            assert_int_equal(have, 12);
            assert_memory_equal(got, "hello, world", 12);
            assert_int_equal(l.pings, 1);
            assert_string_equal(l.heard, "beat");
            assert_true(l.reader.closed && l.reader.close_code == 1000);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read_as_it_was_written),
        cmocka_unit_test(half_a_code_is_no_close),
        cmocka_unit_test(a_mask_is_its_own_inverse_at_every_place_and_length),
        cmocka_unit_test(payload_is_the_same_however_frames_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
