/* What a stranger may say to ws and its like: any bytes, as requests, answers and frames. Heads stay within their
 * bounds; frames say the same however they are split; what is masked twice is as it was. */
#include <stdint.h>
#include <stdlib.h>

#include "transport/forwarded.h"
#include "transport/handshake.h"
#include "transport/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096 };

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void try_head(const uint8_t *data, size_t size)
{
    struct head h;
    struct err e;
    char text[INPUT_MAX];
    struct addr source;
    struct trusted nobody = {0};
    memcpy(text, data, size);
    if (head_parse(&h, text, size, &e) < 0)
        return;
    demand(h.count <= HEAD_FIELDS);
    for (size_t i = 0; i < h.count; i++) {
        demand(head_field(&h, h.fields[i].name));
        head_lists(&h, h.fields[i].name, "upgrade");
        forwarded_source(&nobody, h.fields[i].value, &source);
    }
    head_is_for(&h, "example.com");
}

struct listener {
    struct ws_reader reader;
    uint8_t got[INPUT_MAX];
    size_t len;
    unsigned heard;
    bool failed;
};

static void on_heard(struct ws_reader *r, enum ws_opcode opcode, const uint8_t *payload, size_t len)
{
    (void)payload;
    demand((opcode == WS_PING || opcode == WS_PONG) && len <= WS_CONTROL_MAX);
    ((struct listener *)(void *)r)->heard++;
}

static void feed(struct listener *l, const uint8_t *data, size_t len)
{
    struct err e;
    uint8_t *mem = malloc(len ? len : 1); /* exactly this much: what lies behind it is not ours */
    demand(mem);
    memcpy(mem, data, len);
    ssize_t n = l->failed ? 0 : ws_read(&l->reader, mem, len, &e);
    l->failed |= n < 0;
    if (n > 0) {
        demand((size_t)n <= len);
        memcpy(l->got + l->len, mem, (size_t)n);
        l->len += (size_t)n;
    }
    free(mem);
}

static void try_frames(const uint8_t *data, size_t size, bool masked, size_t step)
{
    static struct listener whole, split; /* large, for a stack */
    whole = split = (struct listener){.reader = {.masked = masked, .heard = on_heard}};
    feed(&whole, data, size);
    for (size_t at = 0; at < size; at += step)
        feed(&split, data + at, step < size - at ? step : size - at);
    demand(whole.failed == split.failed && whole.heard == split.heard);
    if (whole.failed)
        return;
    demand(whole.reader.closed == split.reader.closed && whole.len == split.len);
    demand(memcmp(whole.got, split.got, whole.len) == 0);
}

static void try_mask(const uint8_t *data, size_t size)
{
    uint8_t mem[INPUT_MAX];
    if (size < 5)
        return;
    size_t len = size - 5;
    ws_mask(mem, data + 5, len, data, data[4]);
    ws_mask(mem, mem, len, data, data[4]);
    demand(memcmp(mem, data + 5, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > INPUT_MAX)
        return 0;
    try_head(data, size);
    try_mask(data, size);
    for (size_t step = 1; step < 40; step = step * 2 + 1) {
        try_frames(data, size, true, step);
        try_frames(data, size, false, step);
    }
    return 0;
}
