/* Any bytes, read as a request and as an answer, cut anywhere: the reader gives the same, and what it accepts is within
 * the head and made of the bytes that it promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum step (*reader)(struct http1_head *h, const uint8_t *data, size_t len, struct err *e);

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static enum step read_exact(reader read, struct http1_head *h, const uint8_t *data, size_t size)
{
    struct err e = {0};
    uint8_t *exact = malloc(size ? size : 1);
    demand(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    enum step s = read(h, exact, size, &e);
    demand((s == STEP_FAIL) == (h->status != 0));
    free(exact);
    return s;
}

static void check_lines(const struct http1_head *h, const uint8_t *data)
{
    for (size_t i = 0; i < h->len; i++) {
        bool control = data[i] < 0x20 && data[i] != '\t' && data[i] != '\r' && data[i] != '\n';
        demand(!control || (h->answer && h->reason.len == 0)); /* one that is not said again */
        demand(data[i] != '\n' || (i > 0 && data[i - 1] == '\r'));
        demand(data[i] != '\r' || data[i + 1] == '\n');
    }
}

static void check_head(const struct http1_head *h, const uint8_t *data, size_t size)
{
    demand(h->len <= size && h->len <= HTTP1_HEAD_MAX && h->len >= 4);
    demand(memcmp(data + h->len - 4, "\r\n\r\n", 4) == 0);
    check_lines(h, data);
    if (h->answer) {
        demand(h->code >= 100 && h->code <= 999 && h->reason.at + h->reason.len < h->len);
        return;
    }
    demand(h->method.at == 0 && h->method.len > 0 && h->method.len <= HTTP1_METHOD_MAX);
    demand(h->target.at == h->method.len + 1 && h->target.len > 0);
    demand(h->host.at + h->host.len < h->len);
    demand(h->minor == 0 || h->host.len > 0);
}

static void check_same(const struct http1_head *a, const struct http1_head *b)
{
    demand(memcmp(&a->method, &b->method, 3 * sizeof a->method) == 0);
    demand(a->code == b->code && memcmp(&a->reason, &b->reason, sizeof a->reason) == 0);
    demand(a->len == b->len && a->keep_alive == b->keep_alive && a->has_body == b->has_body);
    demand(a->upgrade == b->upgrade && a->expects == b->expects && a->counted == b->counted);
    demand(a->listed == b->listed && a->content_length == b->content_length);
}

static void check_reader(reader read, const uint8_t *data, size_t size)
{
    struct http1_head whole = {0}, part = {0};
    enum step s = read_exact(read, &whole, data, size), t = STEP_MORE;
    if (s == STEP_DONE)
        check_head(&whole, data, size);
    size_t cut = size ? (size_t)data[size - 1] * size / 256 : 0, step = size / 7 + 1;
    for (; cut < size && t == STEP_MORE; cut += step) {
        t = read_exact(read, &part, data, cut);
        if (t == STEP_MORE) /* less than before is nothing new */
            demand(read_exact(read, &part, data, cut / 2) == STEP_MORE);
    }
    if (t == STEP_MORE)
        t = read_exact(read, &part, data, size);
    demand(s == t && whole.status == part.status);
    if (s == STEP_DONE)
        check_same(&whole, &part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_reader(http1_read, data, size);
    check_reader(http1_read_answer, data, size);
    return 0;
}
