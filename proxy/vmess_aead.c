#include "proxy/vmess_aead.h"

#include <sodium.h>

static EVP_CIPHER_CTX *cipher_new(const EVP_CIPHER *cipher, const uint8_t *key, const uint8_t *iv,
                                  bool seal)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c && EVP_CipherInit_ex(c, cipher, NULL, key, iv, seal) == 1)
        return c;
    EVP_CIPHER_CTX_free(c);
    return NULL;
}

bool vmess_chacha_key(uint8_t out[32], const uint8_t key[16])
{
    unsigned len = 0;
    return EVP_Digest(key, 16, out, &len, EVP_md5(), NULL) == 1 &&
           EVP_Digest(out, 16, out + 16, &len, EVP_md5(), NULL) == 1;
}

EVP_CIPHER_CTX *vmess_aead_new(bool chacha, const uint8_t key[16], bool seal)
{
    EVP_CIPHER_CTX *c = NULL;
    uint8_t wide[32];
    if (!chacha)
        return cipher_new(EVP_aes_128_gcm(), key, NULL, seal);
    if (vmess_chacha_key(wide, key))
        c = cipher_new(EVP_chacha20_poly1305(), wide, NULL, seal);
    sodium_memzero(wide, sizeof wide);
    return c;
}

EVP_CIPHER_CTX *vmess_cfb_new(const uint8_t key[16], const uint8_t iv[16], bool seal)
{
    return cipher_new(EVP_aes_128_cfb128(), key, iv, seal);
}

bool vmess_aead_bind(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad,
                     size_t len)
{
    int n;
    return EVP_CipherInit_ex(c, NULL, NULL, NULL, nonce, -1) == 1 &&
           (len == 0 || EVP_CipherUpdate(c, NULL, &n, aad, (int)len) == 1);
}

bool vmess_aead_seal(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], uint8_t *data, size_t len)
{
    int n, rest;
    return (!nonce || EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1) &&
           EVP_EncryptUpdate(c, data, &n, data, (int)len) == 1 &&
           EVP_EncryptFinal_ex(c, data + n, &rest) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, data + len) == 1;
}

bool vmess_aead_open(EVP_CIPHER_CTX *c, const uint8_t nonce[AEAD_NONCE], uint8_t *data, size_t len)
{
    int n, rest;
    return (!nonce || EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) == 1) &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, data + len) == 1 &&
           EVP_DecryptUpdate(c, data, &n, data, (int)len) == 1 &&
           EVP_DecryptFinal_ex(c, data + n, &rest) == 1;
}
