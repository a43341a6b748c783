/* mux/frame.h -- Mux.Cool frames: pure, no state.
 *   metaLen(2) id(2) status(1) option(1) [New: network(1) port(2) type(1) address ...] [data bit: len(2) data]
 * Thread: any. Source of the format: docs/mux.md; V2Ray 4.34, v5 and Xray agree on it. */
#ifndef V2C_MUX_FRAME_H
#define V2C_MUX_FRAME_H

#include "core/addr.h"
#include "core/meta.h"
#include "mux/link.h"

enum mux_status { MUX_NEW = 1, MUX_KEEP = 2, MUX_END = 3, MUX_KEEPALIVE = 4 };

enum mux_option {
    MUX_DATA = 0x01,  /* a length and that many bytes follow */
    MUX_ERROR = 0x02, /* on End: abnormally */
    MUX_EOF = 0x04,   /* on Keep, between v2c peers: this side ended, the other stays open */
};

enum {
    MUX_META_MAX = 512,
    MUX_HEAD_MAX = 2 + MUX_META_MAX + 2, /* all of a frame but its data */
    MUX_KEEP_HEAD = 8,                   /* a Keep frame with data, before the data */
};

struct mux_frame {
    uint16_t id;
    uint8_t status, option;
    uint8_t net;             /* New: enum net */
    struct addr target;      /* New */
    struct addr source;      /* New: the visitor's address, see docs/link.md; ADDR_NONE: not told */
    bool routed;             /* New between portals: */
    struct link_route route; /* texts point into what was read */
    uint16_t data_len;       /* 0 without the data bit */
};

/* Reads a frame up to its data. MORE: not whole, nothing consumed. FAIL: the link cannot go on. */
enum step mux_frame_read(struct cursor *in, struct mux_frame *f, struct err *e);
/* Writes it, at most MUX_HEAD_MAX bytes; the data follows by the caller's hand. */
void mux_frame_write(struct writer *w, const struct mux_frame *f);
/* Writes the head of a Keep frame with data: exactly MUX_KEEP_HEAD bytes. */
void mux_keep_head(uint8_t head[MUX_KEEP_HEAD], uint16_t id, uint16_t data_len);

#endif
