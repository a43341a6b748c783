/* What a portal's control message may be: any bytes. One that is read, written again and read again says
 * the same. */
#include <stdint.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_control(data, size);
    return 0;
}
