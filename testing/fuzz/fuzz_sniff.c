/* A client's first bytes, cut anywhere, and its datagrams, and the frames of a packet that opened: once the
 * answer is not "more" it stays, and a name is a domain in normal form. The first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "routing/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static enum step sniff_exact(const uint8_t *data, size_t size, struct sniffed *s)
{
    uint8_t *exact = malloc(size ? size : 1);
    demand(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    enum step step = sniff_stream(exact, size, s);
    free(exact);
    return step;
}

static void check_name(const struct sniffed *s)
{
    char again[ADDR_NAME_MAX + 1];
    if (*s->name)
        demand(sniff_name(s->name, strlen(s->name), again) && strcmp(again, s->name) == 0);
}

static void check_same(enum step s, const struct sniffed *a, enum step t, const struct sniffed *b)
{
    demand(s == t);
    demand(s != STEP_DONE ||
           (a->kind == b->kind && a->head_len == b->head_len && strcmp(a->name, b->name) == 0));
}

static void fuzz_stream(const uint8_t *data, size_t size)
{
    struct sniffed all, some;
    enum step s = sniff_exact(data, size, &all), t = STEP_MORE;
    if (s == STEP_DONE)
        check_name(&all);
    demand(s != STEP_DONE || all.head_len <= size);
    for (size_t cut = 0; cut < size && t == STEP_MORE; cut += size / 17 + 1)
        t = sniff_exact(data, cut, &some);
    if (t == STEP_MORE)
        t = sniff_exact(data, size, &some);
    check_same(s, &all, t, &some);
}

static void fuzz_datagrams(struct cursor in)
{
    struct cursor datagrams[SNIFF_DATAGRAMS + 1];
    struct sniffed all, some;
    size_t count = 0;
    uint16_t len;
    while (count <= SNIFF_DATAGRAMS && cur_be16(&in, &len) && cur_sub(&in, len, &datagrams[count]))
        count++;
    enum step s = sniff_datagrams(datagrams, count, &all), t = STEP_MORE;
    if (s == STEP_DONE)
        check_name(&all);
    for (size_t i = 0; i <= count && t == STEP_MORE; i++)
        t = sniff_datagrams(datagrams, i, &some);
    check_same(s, &all, t, &some);
}

static void fuzz_frames(struct cursor in)
{
    static struct quic_hello h;
    struct cursor packet;
    struct sniffed s = {0};
    uint16_t len;
    memset(&h, 0, sizeof h);
    while (cur_be16(&in, &len) && cur_sub(&in, len, &packet)) {
        size_t before = h.whole;
        quic_hello_add(&h, packet);
        demand(h.whole >= before && h.whole <= sizeof h.bytes);
    }
    if (sniff_hello(cur_of(h.bytes, h.whole), &s) == STEP_DONE)
        check_name(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] == 'd')
        fuzz_datagrams(cur_of(data + 1, size - 1));
    else if (size && data[0] == 'f')
        fuzz_frames(cur_of(data + 1, size - 1));
    else if (size)
        fuzz_stream(data + 1, size - 1);
    return 0;
}
