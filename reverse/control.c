#include "reverse/control.h"

#include <string.h>

enum { FIELD_STATE = 1, FIELD_RANDOM = 99 };
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static const char *const names[] = {
    "reverse.internal.v2fly.org",   /* V2Ray from 4.35, Xray before 25.9.10 */
    "reverse.internal.v2ray.com",   /* V2Ray up to 4.34 */
    "reverse",                      /* Xray from 25.9.10 */
    "reverse.internal.example.com", /* Xray up to 1.5.3 */
};

const char *control_name(size_t i)
{
    return i < sizeof names / sizeof *names ? names[i] : NULL;
}

bool control_is_name(const char *name)
{
    for (size_t i = 0; control_name(i); i++)
        if (strcmp(name, control_name(i)) == 0)
            return true;
    return false;
}

static void varint_write(struct writer *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        wr_u8(w, (uint8_t)(v | 0x80));
    wr_u8(w, (uint8_t)v);
}

static bool varint_read(struct cursor *in, uint64_t *v)
{
    uint8_t byte;
    *v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!cur_u8(in, &byte))
            return false;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

void control_write(struct writer *w, enum control_state s, const uint8_t *filler, size_t len)
{
    if (s != CONTROL_ACTIVE) {
        varint_write(w, FIELD_STATE << 3 | WIRE_VARINT);
        varint_write(w, s);
    }
    if (!len)
        return;
    varint_write(w, FIELD_RANDOM << 3 | WIRE_BYTES);
    varint_write(w, len);
    wr_bytes(w, filler, len);
}

static bool field_skip(struct cursor *in, unsigned wire)
{
    uint64_t len;
    switch (wire) {
    case WIRE_VARINT:
        return varint_read(in, &len);
    case WIRE_FIXED64:
        return cur_skip(in, 8);
    case WIRE_BYTES:
        return varint_read(in, &len) && len <= CONTROL_MAX && cur_skip(in, (size_t)len);
    case WIRE_FIXED32:
        return cur_skip(in, 4);
    default:
        return false;
    }
}

bool control_read(struct cursor in, enum control_state *s)
{
    uint64_t tag, value;
    *s = CONTROL_ACTIVE;
    while (cur_left(&in)) {
        if (!varint_read(&in, &tag) || tag >> 3 == 0)
            return false;
        if (tag == (FIELD_STATE << 3 | WIRE_VARINT)) {
            if (!varint_read(&in, &value))
                return false;
            *s = value == CONTROL_DRAIN ? CONTROL_DRAIN : CONTROL_ACTIVE;
        } else if (!field_skip(&in, tag & 7)) {
            return false;
        }
    }
    return true;
}
