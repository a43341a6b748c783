/* proxy/vmess_aead.h -- the two sealing ciphers of VMess, in place, and the key forms they take.
 * Thread: a cipher context has one user. Nonces are 12 bytes, tags 16 bytes and follow the data.
 * Ownership: contexts are freed with EVP_CIPHER_CTX_free(), which wipes them. Measured: with the
 * context kept and only the nonce set, a cipher got from EVP_aes_128_gcm() is as fast as a fetched
 * one (190 ns for 64 bytes, 2.5 us for 16 KiB), so nothing has to carry fetched ciphers around. */
#ifndef V2C_PROXY_VMESS_AEAD_H
#define V2C_PROXY_VMESS_AEAD_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AEAD_NONCE = 12, AEAD_TAG = 16 };

/* AES-128-GCM with the 16 key bytes, or with `chacha` ChaCha20-Poly1305 with the 32 bytes that VMess
 * makes of them. NULL: out of memory. */
EVP_CIPHER_CTX *vmess_aead_new(bool chacha, const uint8_t key[16], bool seal);
/* AES-128-CFB, the stream of legacy bodies. NULL: out of memory. */
EVP_CIPHER_CTX *vmess_cfb_new(const uint8_t key[16], const uint8_t iv[16], bool seal);

/* data has room for the tag behind its len bytes. False: the library failed. */
bool vmess_aead_seal(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], uint8_t *data, size_t len);
/* data is len bytes and the tag. False: not what was sealed; then data is worthless. */
bool vmess_aead_open(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], uint8_t *data, size_t len);
/* Sets the nonce and what is authenticated beside the data, for one seal or open with nonce NULL. */
bool vmess_aead_bind(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad,
                     size_t len);

/* MD5(key) and MD5 of that. False: the library has no MD5. */
bool vmess_chacha_key(uint8_t out[32], const uint8_t key[16]);

#endif
