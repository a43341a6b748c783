/* What stands before a connection that a proxy passes on: any bytes. However they are split, they say the same; and what
 * was told can be told on. */
#include <stdint.h>

#include "transport/proxy_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void tell_on(const struct proxy_header *h, int version)
{
    uint8_t out[PROXY_HEADER_MAX];
    struct proxy_header again;
    struct err e;
    struct cursor c = cur_of(out, proxy_header_write(out, version, &h->source, &h->dest));
    demand(proxy_header_read(&c, &again, &e) == STEP_DONE && again.told && cur_left(&c) == 0);
    demand(addr_equal(&again.source, &h->source) && addr_equal(&again.dest, &h->dest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    struct err e;
    struct cursor c = cur_of(data, size);
    enum step said = proxy_header_read(&c, &whole, &e);
    size_t used = size - cur_left(&c);
    demand(said == STEP_DONE || used == 0);
    for (size_t cut = 0; cut < size && cut <= PROXY_HEADER_MAX; cut++) {
        c = cur_of(data, cut);
        enum step s = proxy_header_read(&c, &part, &e);
        demand(s == STEP_MORE || s == said);
        demand(s != STEP_DONE || cut >= used);
    }
    if (said == STEP_DONE && whole.told) {
        tell_on(&whole, 1);
        tell_on(&whole, 2);
    }
    demand(said != STEP_MORE || size < PROXY_HEADER_MAX);
    return 0;
}
