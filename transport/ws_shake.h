/* transport/ws_shake.h -- the handshake of ws: requests, answers, early data. For ws.c.
 * Thread: the stream's loop. Ownership: embedded in the layer, which calls ws_shake_fini().
 * Wire: RFC 6455, sections 4.1 and 4.2. */
#ifndef V2C_TRANSPORT_WS_SHAKE_H
#define V2C_TRANSPORT_WS_SHAKE_H

#include "transport/ws.h"

enum {
    WS_KEY_TEXT = 25,    /* 16 bytes in base64, with a NUL */
    WS_ACCEPT_TEXT = 29, /* 20 bytes */
};

struct ws_shake {
    const struct ws_conf *conf;
    const struct addr *to; /* NULL: a server */
    bool tls;
    bool began; /* asked, or was asked */
    struct handshake heads;
    char key[WS_KEY_TEXT];
    uint8_t *early; /* what came with the request; owned */
    size_t early_len, early_taken;
};

/* What a server says to this key. */
void ws_accept_of(const char *key, char out[WS_ACCEPT_TEXT]);
/* Makes the request, with these bytes of early data, at most WS_EARLY_MAX. -1 and e. */
int ws_ask(struct ws_shake *s, const uint8_t *early, size_t len, struct err *e);
/* Sends and reads until it is over. */
enum step ws_client_shake(struct ws_shake *s, struct layer *l, struct err *e);
enum step ws_server_shake(struct ws_shake *s, struct layer *l, struct err *e);
/* Early data, then what came behind the head, then what is below; see handshake_readv(). *framed: it is in frames. */
ssize_t ws_shake_readv(struct ws_shake *s, struct layer *l, struct iovec *iov, bool *framed);
bool ws_shake_waiting(const struct ws_shake *s);
void ws_shake_fini(struct ws_shake *s);

#endif
