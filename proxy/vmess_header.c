#include "proxy/vmess_header.h"

#include <sodium.h>

#include "proxy/kdf.h"
#include "proxy/vmess_aead.h"

/* What the key and the nonce of one sealed part are derived from: labels, secrets, and the rest of
 * the path, which for a request are the auth id and the nonce. */
struct lock {
    const char *key_label, *nonce_label;
    const uint8_t *key, *nonce; /* 16 bytes each */
    const uint8_t *auth_id;     /* NULL in a response */
    const uint8_t *salt;
};

uint32_t vmess_fnv1a(const uint8_t *data, size_t len)
{
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 0x01000193;
    return hash;
}

static void lock_derive(const struct lock *l, const char *label, const uint8_t *secret,
                        uint8_t *out, size_t out_len)
{
    struct kdf_part path[KDF_DEPTH] = {
        {label, strlen(label)}, {l->auth_id, AUTH_ID}, {l->salt, REQUEST_NONCE}};
    kdf(out, out_len, secret, 16, path, l->auth_id ? 3 : 1);
}

/* data is len bytes with room for, or followed by, the tag. */
static bool lock_turn(const struct lock *l, bool seal, uint8_t *data, size_t len)
{
    uint8_t key[16], nonce[AEAD_NONCE];
    lock_derive(l, l->key_label, l->key, key, sizeof key);
    lock_derive(l, l->nonce_label, l->nonce, nonce, sizeof nonce);
    EVP_CIPHER_CTX *c = vmess_aead_new(false, key, seal);
    bool ok = c && vmess_aead_bind(c, nonce, l->auth_id, l->auth_id ? AUTH_ID : 0) &&
              (seal ? vmess_aead_seal(c, NULL, data, len) : vmess_aead_open(c, NULL, data, len));
    EVP_CIPHER_CTX_free(c);
    sodium_memzero(key, sizeof key);
    return ok;
}

static bool lock_open_length(const struct lock *l, const uint8_t wire[18], uint16_t *len)
{
    uint8_t plain[2 + AEAD_TAG];
    memcpy(plain, wire, sizeof plain);
    if (!lock_turn(l, false, plain, 2))
        return false;
    *len = (uint16_t)(plain[0] << 8 | plain[1]);
    return true;
}

static bool lock_seal_length(const struct lock *l, uint8_t out[18], size_t len)
{
    out[0] = (uint8_t)(len >> 8);
    out[1] = (uint8_t)len;
    return lock_turn(l, true, out, 2);
}

/* wire and plain may not overlap. */
static bool lock_open(const struct lock *l, uint8_t *plain, const uint8_t *wire, size_t len)
{
    memcpy(plain, wire, len + AEAD_TAG);
    return lock_turn(l, false, plain, len);
}

static bool lock_seal(const struct lock *l, uint8_t *out, const uint8_t *plain, size_t len)
{
    memcpy(out, plain, len);
    return lock_turn(l, true, out, len);
}

void vmess_request_write(struct writer *w, const struct vmess_request *r, const uint8_t *pad,
                         size_t pad_len)
{
    const uint8_t *start = w->p;
    wr_u8(w, 1); /* version */
    wr_bytes(w, r->iv, 16);
    wr_bytes(w, r->key, 16);
    wr_u8(w, r->proof);
    wr_u8(w, r->option);
    wr_u8(w, (uint8_t)(pad_len << 4 | r->security));
    wr_u8(w, 0); /* reserved */
    wr_u8(w, r->command);
    if (r->command != VMESS_MUX)
        addr_write_wire(w, &r->target);
    wr_bytes(w, pad, pad_len);
    wr_be32(w, vmess_fnv1a(start, (size_t)(w->p - start)));
}

static int check_request(const struct vmess_request *r, struct err *e)
{
    if (r->command < VMESS_TCP || r->command > VMESS_MUX)
        return err_set(e, EPROTO, "unknown command %u", r->command);
    if (r->security != VMESS_LEGACY && r->security != VMESS_GCM && r->security != VMESS_CHACHA &&
        r->security != VMESS_NONE)
        return err_set(e, EPROTO, "unknown security %u", r->security);
    if ((r->option & VMESS_PADDED) && !(r->option & VMESS_MASKED))
        return err_set(e, EPROTO, "padding without masking");
    return 0;
}

int vmess_request_read(struct vmess_request *r, const uint8_t *plain, size_t len, struct err *e)
{
    struct cursor c = cur_of(plain, len);
    uint8_t security = 0;
    uint32_t sum = 0;
    if (len < REQUEST_MIN)
        return err_set(e, EPROTO, "header of %zu bytes is too short", len);
    cur_skip(&c, 1); /* version: peers do not look at it either */
    cur_bytes(&c, r->iv, 16), cur_bytes(&c, r->key, 16);
    cur_u8(&c, &r->proof), cur_u8(&c, &r->option), cur_u8(&c, &security);
    cur_skip(&c, 1); /* reserved, likewise */
    cur_u8(&c, &r->command);
    r->security = security & 0x0f;
    if (r->security == 0)
        r->security = VMESS_LEGACY;
    if (check_request(r, e) < 0)
        return -1;
    r->target = (struct addr){.type = ADDR_NONE};
    if (r->command != VMESS_MUX) {
        enum step s = addr_read_wire(&c, &r->target, e);
        if (s == STEP_MORE)
            return err_set(e, EPROTO, "address is cut short");
        if (s == STEP_FAIL)
            return -1;
    }
    if (!cur_skip(&c, security >> 4))
        return err_set(e, EPROTO, "padding is cut short");
    size_t summed = (size_t)(c.p - plain);
    if (!cur_be32(&c, &sum) || sum != vmess_fnv1a(plain, summed))
        return err_set(e, EPROTO, "wrong checksum");
    return 0;
}

static struct lock request_length(const uint8_t cmd_key[16], const uint8_t *auth_id,
                                  const uint8_t *nonce)
{
    return (struct lock){.key_label = "VMess Header AEAD Key_Length",
                         .nonce_label = "VMess Header AEAD Nonce_Length",
                         .key = cmd_key,
                         .nonce = cmd_key,
                         .auth_id = auth_id,
                         .salt = nonce};
}

static struct lock request_body(const uint8_t cmd_key[16], const uint8_t *auth_id,
                                const uint8_t *nonce)
{
    return (struct lock){.key_label = "VMess Header AEAD Key",
                         .nonce_label = "VMess Header AEAD Nonce",
                         .key = cmd_key,
                         .nonce = cmd_key,
                         .auth_id = auth_id,
                         .salt = nonce};
}

int vmess_request_seal(uint8_t *out, const uint8_t cmd_key[16], const uint8_t auth_id[AUTH_ID],
                       const uint8_t nonce[REQUEST_NONCE], const uint8_t *plain, size_t len)
{
    struct lock length = request_length(cmd_key, auth_id, nonce);
    struct lock body = request_body(cmd_key, auth_id, nonce);
    memcpy(out, auth_id, AUTH_ID);
    memcpy(out + AUTH_ID + 18, nonce, REQUEST_NONCE);
    bool ok = lock_seal_length(&length, out + AUTH_ID, len) &&
              lock_seal(&body, out + REQUEST_FRONT, plain, len);
    return ok ? 0 : -1;
}

bool vmess_request_open_length(const uint8_t front[REQUEST_FRONT], const uint8_t cmd_key[16],
                               uint16_t *len)
{
    struct lock l = request_length(cmd_key, front, front + AUTH_ID + 18);
    return lock_open_length(&l, front + AUTH_ID, len);
}

bool vmess_request_open(uint8_t *plain, const uint8_t *wire, const uint8_t cmd_key[16], size_t len)
{
    struct lock l = request_body(cmd_key, wire, wire + AUTH_ID + 18);
    return lock_open(&l, plain, wire + REQUEST_FRONT, len);
}

void vmess_response_key(uint8_t out[16], const uint8_t in[16])
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, in, 16);
    memcpy(out, digest, 16);
    sodium_memzero(digest, sizeof digest);
}

static struct lock response_length(const uint8_t key[16], const uint8_t iv[16])
{
    return (struct lock){.key_label = "AEAD Resp Header Len Key",
                         .nonce_label = "AEAD Resp Header Len IV",
                         .key = key,
                         .nonce = iv};
}

static struct lock response_body(const uint8_t key[16], const uint8_t iv[16])
{
    return (struct lock){.key_label = "AEAD Resp Header Key",
                         .nonce_label = "AEAD Resp Header IV",
                         .key = key,
                         .nonce = iv};
}

int vmess_response_seal(uint8_t *out, const uint8_t key[16], const uint8_t iv[16],
                        const uint8_t *plain, size_t len)
{
    struct lock length = response_length(key, iv), body = response_body(key, iv);
    bool ok =
        lock_seal_length(&length, out, len) && lock_seal(&body, out + RESPONSE_FRONT, plain, len);
    return ok ? 0 : -1;
}

bool vmess_response_open_length(const uint8_t front[RESPONSE_FRONT], const uint8_t key[16],
                                const uint8_t iv[16], uint16_t *len)
{
    struct lock l = response_length(key, iv);
    return lock_open_length(&l, front, len);
}

bool vmess_response_open(uint8_t *plain, const uint8_t *wire, const uint8_t key[16],
                         const uint8_t iv[16], size_t len)
{
    struct lock l = response_body(key, iv);
    return lock_open(&l, plain, wire + RESPONSE_FRONT, len);
}
