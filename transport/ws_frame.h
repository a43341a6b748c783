/* transport/ws_frame.h -- WebSocket frames as a pure codec: heads written and read, masks, and payload taken out of
 * a stream of frames in place, without putting messages together.
 * Thread: any. Ownership: the caller's memory. Errors: what RFC 6455 forbids is never valid; e says what it was.
 * Wire: RFC 6455, section 5. */
#ifndef V2C_TRANSPORT_WS_FRAME_H
#define V2C_TRANSPORT_WS_FRAME_H

#include <sys/types.h>

#include "core/cursor.h"
#include "core/err.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

enum {
    WS_HEAD_MAX = 14,     /* bytes of a head */
    WS_CONTROL_MAX = 125, /* bytes that a control frame may have */
};

struct ws_head {
    uint8_t opcode; /* enum ws_opcode */
    bool final, masked;
    uint64_t len;
    uint8_t mask[4];
};

/* DONE: `in` stands behind the head. */
enum step ws_head_read(struct cursor *in, struct ws_head *h, struct err *e);
/* A whole message, in one frame. mask NULL: not masked. Returns the length. */
size_t ws_head_write(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len,
                     const uint8_t *mask);
/* to may be `from`, or before it; at: how many bytes of the frame came before. */
void ws_mask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4], uint64_t at);

/* Takes payload out of frames. */
struct ws_reader {
    bool masked;               /* what the peer's frames must be */
    bool in_message;           /* the next data frame continues one */
    bool closed;               /* the peer's Close came; whatever follows means nothing */
    uint16_t close_code;       /* what it said; 0: nothing */
    struct ws_head head;       /* the frame under way */
    uint64_t left, at;         /* its bytes to come, and those that came */
    uint8_t part[WS_HEAD_MAX]; /* a head that is not whole */
    size_t part_len;
    uint8_t control[WS_CONTROL_MAX]; /* what came of a control frame */
    /* A whole control frame that is not Close. */
    void (*heard)(struct ws_reader *r, enum ws_opcode opcode, const uint8_t *payload, size_t len);
};

/* Takes all of mem[0..n) and leaves the payload at its start; returns its length. -1 and e: never valid. */
ssize_t ws_read(struct ws_reader *r, uint8_t *mem, size_t n, struct err *e);

#endif
