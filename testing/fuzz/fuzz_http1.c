/* Any bytes, cut anywhere: the reader gives the same answer, and what it accepts is within the head and
 * made of the bytes that it promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static enum step read_exact(struct http1_head *h, const uint8_t *data, size_t size)
{
    struct err e = {0};
    uint8_t *exact = malloc(size ? size : 1);
    demand(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    enum step s = http1_read(h, exact, size, &e);
    demand((s == STEP_FAIL) == (h->status != 0));
    free(exact);
    return s;
}

static void check_head(const struct http1_head *h, const uint8_t *data, size_t size)
{
    demand(h->len <= size && h->len <= HTTP1_HEAD_MAX && h->len >= 4);
    demand(memcmp(data + h->len - 4, "\r\n\r\n", 4) == 0);
    demand(h->method.at == 0 && h->method.len > 0 && h->method.len <= HTTP1_METHOD_MAX);
    demand(h->target.at == h->method.len + 1 && h->target.len > 0);
    demand(h->host.at + h->host.len < h->len);
    demand(h->minor == 0 || h->host.len > 0);
    for (size_t i = 0; i < h->len; i++) {
        demand(data[i] >= 0x20 || data[i] == '\t' || data[i] == '\r' || data[i] == '\n');
        demand(data[i] != '\n' || (i > 0 && data[i - 1] == '\r'));
        demand(data[i] != '\r' || data[i + 1] == '\n');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http1_head whole = {0}, part = {0};
    enum step s = read_exact(&whole, data, size), t = STEP_MORE;
    if (s == STEP_DONE)
        check_head(&whole, data, size);
    size_t cut = size ? (size_t)data[size - 1] * size / 256 : 0, step = size / 7 + 1;
    for (; cut < size && t == STEP_MORE; cut += step)
        t = read_exact(&part, data, cut);
    if (t == STEP_MORE)
        t = read_exact(&part, data, size);
    demand(s == t && whole.status == part.status);
    demand(s != STEP_DONE || memcmp(&whole.method, &part.method, 3 * sizeof whole.method) == 0);
    demand(s != STEP_DONE || (whole.len == part.len && whole.keep_alive == part.keep_alive &&
                              whole.has_body == part.has_body));
    return 0;
}
