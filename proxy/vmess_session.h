/* proxy/vmess_session.h -- what the codecs of both sides have in common: the keys of the connection and
 * its two bodies, made at their first use so that an idle connection stays small.
 * Thread: the loop of the connection. The session is the first member of either side's codec. */
#ifndef V2C_PROXY_VMESS_SESSION_H
#define V2C_PROXY_VMESS_SESSION_H

#include "proxy/vmess_body.h"
#include "proxy/vmess_header.h"

struct vmess_session {
    struct codec codec;
    struct vmess_request request;
    uint8_t response_key[16], response_iv[16];
    struct vmess_body *request_body, *response_body; /* NULL before use */
};

/* After `request` is filled in: derives what the response needs. */
void vmess_session_start(struct vmess_session *s);
/* Frees the bodies and wipes `size` bytes from the session on: those of the struct it begins. */
void vmess_session_wipe(struct vmess_session *s, size_t size);

/* The body that this side opens is the request's on a server, the response's on a client. */
enum step vmess_session_open(struct vmess_session *s, bool server, uint8_t *in, size_t n,
                             struct opened *out, struct err *e);
int vmess_session_seal(struct vmess_session *s, bool server, struct buf *b, struct err *e);
int vmess_session_end(struct vmess_session *s, bool server, struct buf *b, struct err *e);

#endif
