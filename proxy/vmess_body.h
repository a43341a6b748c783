/* proxy/vmess_body.h -- one direction of a VMess body: plain bytes to chunks and back, in place.
 * Thread: one loop. A body either seals or opens; its counters and its SHAKE128 stream are its own.
 * Errors: what a peer sent wrong is EPROTO or EBADMSG and ends the connection; EMSGSIZE from sealing
 * means that nothing was done and the body goes on. Wire: docs/vmess.md. */
#ifndef V2C_PROXY_VMESS_BODY_H
#define V2C_PROXY_VMESS_BODY_H

#include "proxy/codec.h"

enum {
    VMESS_DATAGRAM_MAX = 1967,   /* what V2Ray's 2 KiB buffers take with any padding */
    VMESS_WIRE_MAX = 18 + 65535, /* the largest chunk that a reader meets */
    VMESS_HEAD = 18 + 4,         /* what sealing puts before the data, at most */
    VMESS_TAIL = 16 + 63,        /* and behind */
};

/* All that decides how a direction looks. */
struct vmess_params {
    uint8_t security;                        /* enum vmess_security, none that is only for config */
    uint8_t option;                          /* enum vmess_option */
    bool packets;                            /* command UDP: a chunk is a datagram */
    uint8_t key[16], iv[16];                 /* of this direction */
    uint8_t request_key[16], request_iv[16]; /* sealed lengths use these both ways */
};

struct vmess_body;

/* NULL: out of memory. */
struct vmess_body *vmess_body_new(const struct vmess_params *p, bool seal);
void vmess_body_free(struct vmess_body *b);
/* Tests: where padding bytes come from instead of the random pool. */
void vmess_body_pad_from(struct vmess_body *b, void (*fill)(void *arg, uint8_t *to, size_t len),
                         void *arg);

/* As codec_ops.open: at most one chunk a call. After MORE the same bytes come again, with more behind
 * them. */
enum step vmess_body_open(struct vmess_body *b, uint8_t *in, size_t n, struct opened *out,
                          struct err *e);
/* As codec_ops.seal; an empty buf stays empty. EMSGSIZE: too long for one chunk. */
int vmess_body_seal(struct vmess_body *b, struct buf *buf, struct err *e);
/* The terminal chunk, into an empty buf; nothing when this framing has none. */
int vmess_body_end(struct vmess_body *b, struct buf *buf, struct err *e);
/* Chunks so far, the terminal one included; 0 for ever when there are none. */
uint64_t vmess_body_count(const struct vmess_body *b);

#endif
