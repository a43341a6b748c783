/* proxy/vmess_header.h -- the two sealed headers of VMess, as bytes: the request, which carries the keys
 * of the connection and its target, and the response, which proves that the server could read it.
 * Every random input is an argument. Thread: any. Wire: docs/vmess.md. */
#ifndef V2C_PROXY_VMESS_HEADER_H
#define V2C_PROXY_VMESS_HEADER_H

#include <stdbool.h>

#include "core/addr.h"
#include "core/cursor.h"
#include "core/err.h"
#include "proxy/vmess_auth.h"

enum {
    REQUEST_NONCE = 8,
    REQUEST_FRONT = AUTH_ID + 18 + REQUEST_NONCE, /* auth id, sealed length, nonce */
    REQUEST_MIN = 42,                             /* plain bytes; no address, no padding */
    REQUEST_MAX = 2048, /* plain bytes we read; what we write is shorter */
    REQUEST_PAD_MAX = 15,
    REQUEST_WIRE_MAX = REQUEST_FRONT + REQUEST_MAX + 16,
    RESPONSE_FRONT = 18, /* the sealed length */
    RESPONSE_MAX = 512,
    RESPONSE_LEN = 4, /* plain bytes of the one we write */
    RESPONSE_WIRE = RESPONSE_FRONT + RESPONSE_LEN + 16,
};

enum vmess_command { VMESS_TCP = 1, VMESS_UDP = 2, VMESS_MUX = 3 };

enum vmess_option {
    VMESS_CHUNKED = 0x01, /* framed, with a terminal chunk */
    VMESS_MASKED = 0x04,  /* lengths are masked */
    VMESS_PADDED = 0x08,  /* random bytes behind each chunk; needs VMESS_MASKED */
    VMESS_SEALED = 0x10,  /* lengths are sealed */
};

struct vmess_request {
    uint8_t iv[16], key[16];
    uint8_t proof; /* the server sends it back */
    uint8_t option;
    uint8_t security;   /* enum vmess_security; VMESS_LEGACY also where the wire says 0 */
    uint8_t command;    /* enum vmess_command */
    struct addr target; /* unused with VMESS_MUX */
};

uint32_t vmess_fnv1a(const uint8_t *data, size_t len);

/* The plain header with its checksum. pad_len is at most REQUEST_PAD_MAX. */
void vmess_request_write(struct writer *w, const struct vmess_request *r, const uint8_t *pad,
                         size_t pad_len);
/* Fills r from a plain header. -1: not valid. What follows the checksum is ignored, as peers do. */
int vmess_request_read(struct vmess_request *r, const uint8_t *plain, size_t len, struct err *e);

/* plain to wire. out has REQUEST_FRONT + len + 16 bytes; -1: the crypto library failed (memory). */
int vmess_request_seal(uint8_t *out, const uint8_t cmd_key[16], const uint8_t auth_id[AUTH_ID],
                       const uint8_t nonce[REQUEST_NONCE], const uint8_t *plain, size_t len);
/* The plain length from the first REQUEST_FRONT bytes; false: not sealed with this key. */
bool vmess_request_open_length(const uint8_t front[REQUEST_FRONT], const uint8_t cmd_key[16],
                               uint16_t *len);
/* plain gets len bytes and must have 16 more; wire is REQUEST_FRONT + len + 16 bytes. */
bool vmess_request_open(uint8_t *plain, const uint8_t *wire, const uint8_t cmd_key[16], size_t len);

/* Key or IV of the response direction from that of the request. */
void vmess_response_key(uint8_t out[16], const uint8_t in[16]);
/* out has RESPONSE_FRONT + len + 16 bytes. key and iv are those of the response direction. */
int vmess_response_seal(uint8_t *out, const uint8_t key[16], const uint8_t iv[16],
                        const uint8_t *plain, size_t len);
bool vmess_response_open_length(const uint8_t front[RESPONSE_FRONT], const uint8_t key[16],
                                const uint8_t iv[16], uint16_t *len);
bool vmess_response_open(uint8_t *plain, const uint8_t *wire, const uint8_t key[16],
                         const uint8_t iv[16], size_t len);

#endif
