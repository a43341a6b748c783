#include "proxy/vmess_body.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "proxy/kdf.h"
#include "proxy/shake.h"
#include "proxy/vmess.h"
#include "proxy/vmess_aead.h"
#include "proxy/vmess_header.h"

enum {
    PAD_SPAN = 64, /* padding is 0..63 bytes */
    POOL = 512,    /* random bytes made at once, for some 16 chunks */
    SIZE_MAX_WIRE = 65535,
    SUM = 4, /* FNV-1a of a legacy chunk */
    SEALED_FIELD = 2 + AEAD_TAG,
};

/* How security, options and command shape the stream. */
struct shape {
    bool chunked; /* else raw bytes */
    bool aead, cfb;
    bool masked, padded, sealed;
    bool ends; /* a terminal chunk closes it */
    bool packets;
    uint8_t field;    /* bytes of the length field */
    uint8_t front;    /* of what is between the length field and the data */
    uint8_t overhead; /* of front and tag together */
};

struct vmess_body {
    struct shape shape;
    EVP_CIPHER_CTX *cipher; /* AEAD or CFB; NULL with "none" */
    EVP_CIPHER_CTX *length; /* of sealed lengths, else NULL */
    struct shake words;
    uint8_t nonce[AEAD_NONCE], length_nonce[AEAD_NONCE]; /* the first two bytes count */
    uint64_t count;
    /* reading: the length field was taken from the stream, its chunk is not whole yet */
    bool sized, eof;
    uint16_t size;
    uint8_t pad;
    /* writing */
    void (*fill)(void *arg, uint8_t *to, size_t len);
    void *fill_arg;
    uint8_t *pool;
    size_t pool_left;
};

static struct shape shape_of(const struct vmess_params *p)
{
    bool aead = p->security == VMESS_GCM || p->security == VMESS_CHACHA;
    bool cfb = p->security == VMESS_LEGACY;
    bool chunked = aead || (p->option & VMESS_CHUNKED);
    bool sealed = aead && (p->option & VMESS_SEALED);
    return (struct shape){
        .chunked = chunked,
        .aead = aead,
        .cfb = cfb,
        .sealed = sealed,
        .masked = (p->option & VMESS_MASKED) && !sealed,
        .padded = (p->option & VMESS_PADDED) && (aead || cfb || p->packets),
        .ends = p->option & VMESS_CHUNKED,
        .packets = p->packets,
        .field = sealed ? SEALED_FIELD : 2,
        .front = cfb ? SUM : 0,
        .overhead = aead  ? AEAD_TAG
                    : cfb ? SUM
                          : 0,
    };
}

static EVP_CIPHER_CTX *length_cipher(const struct vmess_params *p, bool seal)
{
    static const struct kdf_part path = {"auth_len", 8};
    uint8_t key[16];
    kdf(key, sizeof key, p->request_key, sizeof p->request_key, &path, 1);
    EVP_CIPHER_CTX *c = vmess_aead_new(p->security == VMESS_CHACHA, key, seal);
    sodium_memzero(key, sizeof key);
    return c;
}

static bool make_ciphers(struct vmess_body *b, const struct vmess_params *p, bool seal)
{
    if (b->shape.aead)
        b->cipher = vmess_aead_new(p->security == VMESS_CHACHA, p->key, seal);
    else if (b->shape.cfb)
        b->cipher = vmess_cfb_new(p->key, p->iv, seal);
    if (b->shape.sealed)
        b->length = length_cipher(p, seal);
    return (b->cipher || !(b->shape.aead || b->shape.cfb)) && (b->length || !b->shape.sealed);
}

struct vmess_body *vmess_body_new(const struct vmess_params *p, bool seal)
{
    struct vmess_body *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->shape = shape_of(p);
    if (!make_ciphers(b, p, seal)) {
        vmess_body_free(b);
        return NULL;
    }
    shake_init(&b->words, p->iv, sizeof p->iv);
    memcpy(b->nonce + 2, p->iv + 2, AEAD_NONCE - 2);
    memcpy(b->length_nonce + 2, p->request_iv + 2, AEAD_NONCE - 2);
    return b;
}

void vmess_body_free(struct vmess_body *b)
{
    if (!b)
        return;
    EVP_CIPHER_CTX_free(b->cipher);
    EVP_CIPHER_CTX_free(b->length);
    if (b->pool)
        sodium_memzero(b->pool, POOL + randombytes_SEEDBYTES);
    free(b->pool);
    sodium_memzero(b, sizeof *b);
    free(b);
}

void vmess_body_pad_from(struct vmess_body *b, void (*fill)(void *arg, uint8_t *to, size_t len),
                         void *arg)
{
    b->fill = fill;
    b->fill_arg = arg;
}

uint64_t vmess_body_count(const struct vmess_body *b)
{
    return b->count;
}

/* Sets both nonces to this chunk's and moves on. The 16 bits wrap, as those of every peer do. */
static void next_chunk(struct vmess_body *b)
{
    b->nonce[0] = b->length_nonce[0] = (uint8_t)(b->count >> 8);
    b->nonce[1] = b->length_nonce[1] = (uint8_t)b->count;
    b->count++;
}

static uint8_t next_pad(struct vmess_body *b)
{
    return b->shape.padded ? (uint8_t)(shake_word(&b->words) % PAD_SPAN) : 0;
}

/* --- opening --- */

/* The size field of the next chunk, from its `field` bytes. */
static bool open_field(struct vmess_body *b, const uint8_t *in, size_t *size, struct err *e)
{
    uint8_t field[SEALED_FIELD];
    int n;
    memcpy(field, in, b->shape.field);
    if (b->shape.sealed && !vmess_aead_open(b->length, b->length_nonce, field, 2)) {
        err_set(e, EBADMSG, "chunk %llu: length does not open", (unsigned long long)b->count);
        return false;
    }
    if (b->shape.cfb && EVP_DecryptUpdate(b->cipher, field, &n, field, 2) != 1) {
        err_set(e, ENOMEM, "cipher failed");
        return false;
    }
    *size = (size_t)(field[0] << 8 | field[1]);
    if (b->shape.masked)
        *size ^= shake_word(&b->words);
    if (b->shape.sealed)
        *size += AEAD_TAG;
    return true;
}

/* Takes the length field from the stream: its words and its place in the ciphers are used up. */
static enum step open_size(struct vmess_body *b, const uint8_t *in, size_t n, struct err *e)
{
    size_t size = 0;
    if (n < b->shape.field)
        return STEP_MORE;
    next_chunk(b);
    b->pad = next_pad(b); /* before the mask word */
    if (!open_field(b, in, &size, e))
        return STEP_FAIL;
    if (size < (size_t)b->shape.overhead + b->pad || size > SIZE_MAX_WIRE)
        return step_fail(e, EPROTO, "chunk size %zu is not in %d..%d", size,
                         b->shape.overhead + b->pad, SIZE_MAX_WIRE);
    b->size = (uint16_t)size;
    b->sized = true;
    return STEP_DONE;
}

/* Opens the chunk's `sealed` bytes in place; data is where its plain bytes begin. */
static bool open_data(struct vmess_body *b, uint8_t *chunk, uint8_t *data, size_t len)
{
    int n;
    if (b->shape.aead)
        return vmess_aead_open(b->cipher, b->nonce, data, len);
    if (!b->shape.cfb)
        return true;
    if (EVP_DecryptUpdate(b->cipher, chunk, &n, chunk, b->size) != 1)
        return false;
    uint32_t sum =
        (uint32_t)chunk[0] << 24 | (uint32_t)chunk[1] << 16 | (uint32_t)chunk[2] << 8 | chunk[3];
    return sum == vmess_fnv1a(data, len);
}

static enum step open_raw(struct vmess_body *b, uint8_t *in, size_t n, struct opened *out,
                          struct err *e)
{
    int done;
    if (n == 0)
        return STEP_MORE;
    if (n > SIZE_MAX_WIRE)
        n = SIZE_MAX_WIRE;
    if (b->shape.cfb && EVP_DecryptUpdate(b->cipher, in, &done, in, (int)n) != 1)
        return step_fail(e, ENOMEM, "cipher failed");
    *out = (struct opened){.used = n, .data = in, .len = n};
    return STEP_DONE;
}

enum step vmess_body_open(struct vmess_body *b, uint8_t *in, size_t n, struct opened *out,
                          struct err *e)
{
    if (!b->shape.chunked)
        return open_raw(b, in, n, out, e);
    if (b->eof) { /* peers ignore what follows the terminal chunk */
        *out = (struct opened){.used = n, .data = in, .eof = true};
        return STEP_DONE;
    }
    if (!b->sized) {
        enum step s = open_size(b, in, n, e);
        if (s != STEP_DONE)
            return s;
    }
    size_t whole = (size_t)b->shape.field + b->size;
    if (n < whole)
        return STEP_MORE;
    uint8_t *chunk = in + b->shape.field, *data = chunk + b->shape.front;
    size_t len = (size_t)b->size - b->shape.overhead - b->pad;
    if (!open_data(b, chunk, data, len))
        return step_fail(e, EBADMSG, "chunk %llu does not open", (unsigned long long)b->count - 1);
    b->sized = false;
    b->eof = len == 0;
    *out = (struct opened){.used = whole, .data = data, .len = len, .eof = b->eof};
    return STEP_DONE;
}

/* --- sealing --- */

/* The pool is ChaCha20 output that also gives the seed of the next pool; the first seed is the
 * kernel's. A system call for every few chunks would cost as much as sealing them. */
static bool refill_pool(struct vmess_body *b)
{
    uint8_t seed[randombytes_SEEDBYTES];
    if (b->pool) {
        memcpy(seed, b->pool + POOL, sizeof seed);
    } else {
        b->pool = malloc(POOL + sizeof seed);
        if (!b->pool)
            return false;
        randombytes_buf(seed, sizeof seed);
    }
    randombytes_buf_deterministic(b->pool, POOL + sizeof seed, seed);
    sodium_memzero(seed, sizeof seed);
    b->pool_left = POOL;
    return true;
}

static bool fill_pad(struct vmess_body *b, uint8_t *to, size_t len)
{
    if (len == 0)
        return true;
    if (b->fill) {
        b->fill(b->fill_arg, to, len);
        return true;
    }
    if (b->pool_left < len && !refill_pool(b))
        return false;
    b->pool_left -= len;
    memcpy(to, b->pool + b->pool_left, len);
    return true;
}

/* Puts the length field at `to`. */
static bool seal_field(struct vmess_body *b, uint8_t *to, size_t size)
{
    if (b->shape.sealed)
        size -= AEAD_TAG;
    if (b->shape.masked)
        size ^= shake_word(&b->words);
    to[0] = (uint8_t)(size >> 8);
    to[1] = (uint8_t)size;
    return !b->shape.sealed || vmess_aead_seal(b->length, b->length_nonce, to, 2);
}

static int seal_chunk(struct vmess_body *b, struct buf *buf, struct err *e)
{
    assert(buf_headroom(buf) >= VMESS_HEAD);
    assert(buf->data + buf->len + VMESS_TAIL <= buf->mem + sizeof buf->mem);
    int n;
    next_chunk(b);
    uint8_t pad = next_pad(b); /* before the mask word */
    size_t len = buf->len, size = len + b->shape.overhead + pad;
    uint8_t *data = buf->data, *start = data - b->shape.front - b->shape.field;
    bool ok = true;
    if (b->shape.aead) {
        ok = vmess_aead_seal(b->cipher, b->nonce, data, len);
    } else if (b->shape.cfb) {
        struct writer w = wr_of(data - SUM, SUM);
        wr_be32(&w, vmess_fnv1a(data, len));
    }
    ok = ok && seal_field(b, start, size) && fill_pad(b, start + b->shape.field + size - pad, pad);
    buf_push(buf, (size_t)(data - start));
    buf->len = b->shape.field + size;
    if (ok && b->shape.cfb)
        ok = EVP_EncryptUpdate(b->cipher, start, &n, start, (int)buf->len) == 1;
    return ok ? 0 : err_set(e, ENOMEM, "sealing failed");
}

int vmess_body_seal(struct vmess_body *b, struct buf *buf, struct err *e)
{
    int n;
    if (buf->len == 0) /* would be a terminal chunk */
        return 0;
    if (b->shape.packets && buf->len > VMESS_DATAGRAM_MAX)
        return err_set(e, EMSGSIZE, "datagram of %zu bytes; peers take %d", buf->len,
                       VMESS_DATAGRAM_MAX);
    if (b->shape.chunked)
        return seal_chunk(b, buf, e);
    if (b->shape.cfb && EVP_EncryptUpdate(b->cipher, buf->data, &n, buf->data, (int)buf->len) != 1)
        return err_set(e, ENOMEM, "sealing failed");
    return 0;
}

int vmess_body_end(struct vmess_body *b, struct buf *buf, struct err *e)
{
    return b->shape.chunked && b->shape.ends ? seal_chunk(b, buf, e) : 0;
}
