/* What a portal's control message and a peer's link message may be: any bytes. A control message that
 * is read, written again and read again says the same. */
#include <stdint.h>

#include "mux/link.h"
#include "reverse/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void try_control(const uint8_t *data, size_t size)
{
    enum control_state s, again;
    uint8_t message[CONTROL_MAX];
    struct writer w = wr_of(message, sizeof message);
    if (!control_read(cur_of(data, size), &s))
        return;
    demand(s == CONTROL_ACTIVE || s == CONTROL_DRAIN);
    control_write(&w, s, data, size < CONTROL_FILLER_MAX ? size : CONTROL_FILLER_MAX);
    demand(!w.overflow && control_read(cur_of(message, wr_len(&w)), &again) && again == s);
}

static void try_hello(const uint8_t *data, size_t size)
{
    struct link_hello h, again;
    uint8_t message[LINK_MAX];
    struct writer w = wr_of(message, sizeof message);
    if (!link_hello_read(cur_of(data, size), &h))
        return;
    demand(h.version >= LINK_VERSION);
    link_hello_write(&w, &h);
    demand(!w.overflow && link_hello_read(cur_of(message, wr_len(&w)), &again));
    demand(again.version == h.version && again.datagram_max == h.datagram_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_control(data, size);
    try_hello(data, size);
    return 0;
}
