/* proxy/kdf.h -- VMess's key derivation: HMAC-SHA256 whose hash is again an HMAC, one level for each
 * part of a path. The path parts are the HMAC keys; the secret is the message.
 * Thread: any. Cannot fail. Wire: docs/vmess.md, "Keys". */
#ifndef V2C_PROXY_KDF_H
#define V2C_PROXY_KDF_H

#include <stddef.h>
#include <stdint.h>

enum { KDF_LEN = 32, KDF_DEPTH = 3 };

struct kdf_part {
    const void *data;
    size_t len;
};

/* The first out_len (at most KDF_LEN) bytes of the result; depth is at most KDF_DEPTH. */
void kdf(uint8_t *out, size_t out_len, const uint8_t *secret, size_t secret_len,
         const struct kdf_part *path, size_t depth);

#endif
