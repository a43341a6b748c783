/* transport/fetch_reply.h -- the reply of an HTTP/1.1 server to a small question, whole: its length is said, or it comes in
 * chunks.
 * Thread: any. Ownership: plain values. */
#ifndef V2C_TRANSPORT_FETCH_REPLY_H
#define V2C_TRANSPORT_FETCH_REPLY_H

#include <stdbool.h>

#include "core/cursor.h"
#include "core/err.h"

enum {
    FETCH_REPLY_HEAD = 8 * 1024, /* bytes of the status line and headers, with what ends them */
    FETCH_REPLY_BODY = 64 * 1024,
    FETCH_REPLY_WIRE = FETCH_REPLY_HEAD + 2 * FETCH_REPLY_BODY, /* chunks may be small */
};

struct fetch_reply {
    unsigned status;
    size_t len;
    bool closes; /* the server sends nothing after it */
    uint8_t body[FETCH_REPLY_BODY];
};

/* A whole reply; `in` moves behind it. Of another status than 200 the body may be left out: it need not say its length. */
enum step fetch_reply_read(struct cursor *in, struct fetch_reply *r, struct err *e);

#endif
