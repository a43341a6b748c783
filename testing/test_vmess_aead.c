#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess_aead.h"
#include "testing/vectors.h"

static void chacha_key_is_that_of_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("primitives.txt");
    for (int i = 0; i < vectors_number(v, "chacha_key.count"); i++) {
        uint8_t key[16], wanted[32], out[32];
        vectors_bytes(v, key, sizeof key, "chacha_key.%d.key16", i);
        vectors_bytes(v, wanted, sizeof wanted, "chacha_key.%d.chacha_key32", i);
        assert_true(vmess_chacha_key(out, key));
        assert_memory_equal(out, wanted, sizeof wanted);
    }
    vectors_close(v);
}

static void aead_opens_only_what_was_sealed(void **state)
{
    (void)state;
    static const uint8_t key[16] = {1, 2, 3}, nonce[AEAD_NONCE] = {4, 5};
    for (int chacha = 0; chacha < 2; chacha++) {
        EVP_CIPHER_CTX *sealer = vmess_aead_new(chacha, key, true);
        EVP_CIPHER_CTX *opener = vmess_aead_new(chacha, key, false);
        for (size_t len = 0; len < 40; len++) {
            uint8_t plain[40 + AEAD_TAG] = {0}, wire[40 + AEAD_TAG];
            memset(plain, 'x', len);
            memcpy(wire, plain, sizeof wire);
            assert_true(vmess_aead_seal(sealer, nonce, wire, len));
            for (size_t at = 0; at < len + AEAD_TAG; at++) {
                uint8_t bad[40 + AEAD_TAG];
                memcpy(bad, wire, sizeof bad);
                bad[at] ^= 1;
                assert_false(vmess_aead_open(opener, nonce, bad, len));
            }
            assert_true(vmess_aead_open(opener, nonce, wire, len));
            assert_memory_equal(wire, plain, len);
        }
        EVP_CIPHER_CTX_free(sealer);
        EVP_CIPHER_CTX_free(opener);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chacha_key_is_that_of_the_vectors),
        cmocka_unit_test(aead_opens_only_what_was_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
