/* routing/sniff_quic.c -- the ClientHello in a QUIC client's Initial packets. Their keys follow from the
 * connection id that they show, so that anybody may open them. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "routing/sniff.h"

enum {
    ID_MAX = 20,
    KEY = 16,
    IV = 12,
    TAG = 16,
    SECRET = 32,
    SAMPLE = 16,
    NUMBER_MAX = 4,     /* bytes of a packet number */
    PAYLOAD_MAX = 4096, /* of a packet */
};

/* --- keys --- */

struct version {
    uint32_t number;
    uint8_t initial; /* the packet type */
    uint8_t salt[20];
    const char *key, *iv, *hp;
};

static const struct version versions[] = {
    {1,
     0,
     {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
      0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
     "quic key",
     "quic iv",
     "quic hp"},
    {0x6b3343cf,
     1,
     {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
      0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
     "quicv2 key",
     "quicv2 iv",
     "quicv2 hp"},
};

struct keys {
    const struct version *version;
    uint8_t key[KEY], iv[IV], hp[KEY];
};

static bool hmac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len,
                 uint8_t out[SECRET])
{
    unsigned n = SECRET;
    return HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) && n == SECRET;
}

/* HKDF-Expand-Label of TLS 1.3 for what one block of HMAC gives. */
static bool expand(const uint8_t secret[SECRET], const char *label, uint8_t *out, size_t len)
{
    uint8_t info[64], block[SECRET];
    struct writer w = wr_of(info, sizeof info);
    wr_be16(&w, (uint16_t)len);
    wr_u8(&w, (uint8_t)(6 + strlen(label)));
    wr_bytes(&w, "tls13 ", 6);
    wr_bytes(&w, label, strlen(label));
    wr_u8(&w, 0);
    wr_u8(&w, 1);
    if (w.overflow || !hmac(secret, SECRET, info, wr_len(&w), block))
        return false;
    memcpy(out, block, len);
    return true;
}

static bool keys_make(struct keys *k, const struct version *v, struct cursor id)
{
    uint8_t initial[SECRET], client[SECRET];
    k->version = v;
    return hmac(v->salt, sizeof v->salt, id.p, cur_left(&id), initial) &&
           expand(initial, "client in", client, SECRET) && expand(client, v->key, k->key, KEY) &&
           expand(client, v->iv, k->iv, IV) && expand(client, v->hp, k->hp, KEY);
}

/* --- one packet --- */

/* A number of 1, 2, 4 or 8 bytes, by its two highest bits. */
static bool cur_varint(struct cursor *c, uint64_t *v)
{
    uint8_t byte;
    if (!cur_u8(c, &byte) || cur_left(c) < (1u << (byte >> 6)) - 1)
        return false;
    *v = byte & 0x3f;
    for (unsigned more = (1u << (byte >> 6)) - 1; more; more--) {
        *v = *v << 8 | *c->p;
        c->p++;
    }
    return true;
}

struct packet {
    const struct version *version;
    struct cursor id;     /* the destination's */
    struct cursor header; /* up to the packet number */
    struct cursor body;   /* the number, and what is sealed */
};

static bool take_id(struct cursor *c, struct cursor *id)
{
    uint8_t len;
    return cur_u8(c, &len) && len <= ID_MAX && cur_sub(c, len, id);
}

static bool take_counted(struct cursor *c, struct cursor *sub)
{
    uint64_t len;
    return cur_varint(c, &len) && len <= cur_left(c) && cur_sub(c, (size_t)len, sub);
}

/* Takes an Initial packet. False: it is another one, or none. */
static bool take_packet(struct cursor *in, struct packet *p)
{
    struct cursor c = *in, id, token;
    uint8_t first;
    uint32_t number;
    if (!cur_u8(&c, &first) || (first & 0xc0) != 0xc0 || !cur_be32(&c, &number))
        return false;
    p->version = NULL;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (versions[i].number == number && versions[i].initial == (first >> 4 & 3))
            p->version = &versions[i];
    if (!p->version || !take_id(&c, &p->id) || !take_id(&c, &id) || !take_counted(&c, &token) ||
        !take_counted(&c, &p->body) || cur_left(&p->body) < NUMBER_MAX + SAMPLE)
        return false;
    p->header = (struct cursor){in->p, p->body.p};
    *in = c;
    return true;
}

/* Which bits hide the first byte and the packet number. */
static bool packet_mask(const struct keys *k, const struct packet *p, uint8_t mask[SAMPLE])
{
    int n = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool well = c && EVP_EncryptInit_ex(c, EVP_aes_128_ecb(), NULL, k->hp, NULL) == 1 &&
                EVP_EncryptUpdate(c, mask, &n, p->body.p + NUMBER_MAX, SAMPLE) == 1 && n == SAMPLE;
    EVP_CIPHER_CTX_free(c);
    return well;
}

struct sealed {
    uint8_t first, number[NUMBER_MAX];
    size_t number_len;
    struct cursor between; /* of the header: from its second byte to the number */
    struct cursor text, tag;
};

static bool packet_unmask(const struct keys *k, const struct packet *p, struct sealed *s)
{
    uint8_t mask[SAMPLE];
    struct cursor body = p->body;
    if (!packet_mask(k, p, mask))
        return false;
    s->first = p->header.p[0] ^ (mask[0] & 0x0f);
    s->number_len = (size_t)(s->first & 3) + 1;
    cur_bytes(&body, s->number, s->number_len);
    for (size_t i = 0; i < s->number_len; i++)
        s->number[i] ^= mask[1 + i];
    s->between = (struct cursor){p->header.p + 1, p->header.end};
    return cur_sub(&body, cur_left(&body) - TAG, &s->text) && cur_sub(&body, TAG, &s->tag);
}

static bool sealed_open(const struct keys *k, const struct sealed *s, uint8_t *plain)
{
    int n;
    uint8_t nonce[IV], tag[TAG];
    memcpy(nonce, k->iv, IV);
    for (size_t i = 0; i < s->number_len; i++)
        nonce[IV - s->number_len + i] ^= s->number[i];
    memcpy(tag, s->tag.p, TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool well = c && EVP_DecryptInit_ex(c, EVP_aes_128_gcm(), NULL, k->key, nonce) == 1 &&
                EVP_DecryptUpdate(c, NULL, &n, &s->first, 1) == 1 &&
                EVP_DecryptUpdate(c, NULL, &n, s->between.p, (int)cur_left(&s->between)) == 1 &&
                EVP_DecryptUpdate(c, NULL, &n, s->number, (int)s->number_len) == 1 &&
                EVP_DecryptUpdate(c, plain, &n, s->text.p, (int)cur_left(&s->text)) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
                EVP_DecryptFinal_ex(c, plain + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    return well;
}

/* --- frames --- */

enum {
    FRAME_PADDING = 0,
    FRAME_PING = 1,
    FRAME_ACK = 2,
    FRAME_ACK_ECN = 3,
    FRAME_CRYPTO = 6,
    ACK_RANGES_MAX = 256,
};

static bool skip_varints(struct cursor *c, uint64_t count)
{
    uint64_t ignored;
    for (; count; count--)
        if (!cur_varint(c, &ignored))
            return false;
    return true;
}

static bool skip_ack(struct cursor *c, bool ecn)
{
    uint64_t ranges;
    return skip_varints(c, 2) && cur_varint(c, &ranges) && ranges <= ACK_RANGES_MAX &&
           skip_varints(c, 1 + 2 * ranges + (ecn ? 3 : 0));
}

static bool add_crypto(struct quic_hello *h, struct cursor *c)
{
    uint64_t at;
    struct cursor data;
    if (!cur_varint(c, &at) || !take_counted(c, &data) || at > QUIC_HELLO_MAX ||
        cur_left(&data) > QUIC_HELLO_MAX - at)
        return false;
    for (size_t i = (size_t)at; cur_left(&data); i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        if (!(h->have[i / 8] & bit))
            h->bytes[i] = *data.p; /* the first word stands: what was found stays found */
        h->have[i / 8] |= bit;
        data.p++;
    }
    while (h->whole < QUIC_HELLO_MAX && h->have[h->whole / 8] >> h->whole % 8 & 1)
        h->whole++;
    return true;
}

bool quic_hello_add(struct quic_hello *h, struct cursor frames)
{
    uint8_t type;
    while (cur_u8(&frames, &type)) {
        bool well = true;
        if (type == FRAME_ACK || type == FRAME_ACK_ECN)
            well = skip_ack(&frames, type == FRAME_ACK_ECN);
        else if (type == FRAME_CRYPTO)
            well = add_crypto(h, &frames);
        else if (type != FRAME_PADDING && type != FRAME_PING)
            return false;
        if (!well)
            return false;
    }
    return true;
}

/* --- datagrams --- */

static bool read_packet(const struct keys *k, const struct packet *p, struct quic_hello *h)
{
    struct sealed s;
    uint8_t plain[PAYLOAD_MAX];
    return packet_unmask(k, p, &s) && cur_left(&s.text) <= sizeof plain &&
           sealed_open(k, &s, plain) && quic_hello_add(h, cur_of(plain, cur_left(&s.text)));
}

/* The first Initial packet's id gives the keys of all: the client changes it only when it was answered. */
static bool read_datagram(struct cursor in, struct keys *k, struct quic_hello *h)
{
    struct packet p;
    bool read = false;
    while (take_packet(&in, &p)) {
        if (!k->version && !keys_make(k, p.version, p.id))
            return false;
        if (!read_packet(k, &p, h))
            return false;
        read = true;
    }
    return read;
}

enum step sniff_quic(const struct cursor *datagrams, size_t count, struct sniffed *s)
{
    struct keys k = {0};
    struct quic_hello h = {0};
    enum step step = STEP_MORE;
    for (size_t i = 0; i < count && step == STEP_MORE; i++) {
        bool read = read_datagram(datagrams[i], &k, &h);
        if (i == 0 && !read)
            return STEP_FAIL;
        step = sniff_hello(cur_of(h.bytes, h.whole), s);
    }
    return step;
}
