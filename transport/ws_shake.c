#include "transport/ws_shake.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char protocol_field[] = "Sec-WebSocket-Protocol";

enum {
    KEY = 16,  /* random bytes of a request */
    SHA1 = 20, /* bytes of the hash */
    /* Early data in base64 */
    EARLY_TEXT = sodium_base64_ENCODED_LEN(WS_EARLY_MAX, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
};

void ws_accept_of(const char *key, char out[WS_ACCEPT_TEXT])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WS_KEY_TEXT + sizeof guid];
    uint8_t hash[SHA1] = {0};
    int len = snprintf(text, sizeof text, "%.24s%s", key, guid);
    EVP_Digest(text, (size_t)len, hash, NULL, EVP_sha1(), NULL);
    sodium_bin2base64(out, WS_ACCEPT_TEXT, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
}

/* --- client --- */

static const char *early_text(const uint8_t *early, size_t len, char out[EARLY_TEXT])
{
    *out = '\0';
    return sodium_bin2base64(out, EARLY_TEXT, early, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int ws_ask(struct ws_shake *s, const uint8_t *early, size_t len, struct err *e)
{
    const struct ws_conf *c = s->conf;
    uint8_t key[KEY];
    char text[EARLY_TEXT];
    randombytes_buf(key, sizeof key);
    sodium_bin2base64(s->key, sizeof s->key, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
    early_text(early, len, text);
    bool said = upgrade_ask(&s->heads, &c->to, s->to, s->tls, c->early_field ? "" : text);
    if (said && c->early_field && len)
        said = handshake_say(&s->heads, "%s: %s\r\n", c->early_field, text);
    said =
        said && handshake_say(&s->heads,
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", s->key);
    s->began = said;
    return said ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int check_answer(const struct ws_shake *s, const struct head *h, struct err *e)
{
    const char *said = head_field(h, "Sec-WebSocket-Accept");
    char want[WS_ACCEPT_TEXT];
    if (upgrade_agreed(h, e) < 0)
        return -1;
    ws_accept_of(s->key, want);
    if (!said || strcmp(said, want) != 0)
        return err_set(
            e, EPROTO,
            "the server's Sec-WebSocket-Accept does not answer our key: is it httpupgrade?");
    if (head_field(h, "Sec-WebSocket-Extensions"))
        return err_set(e, EPROTO, "the server uses an extension that was not offered");
    return 0;
}

enum step ws_client_shake(struct ws_shake *s, struct layer *l, struct err *e)
{
    struct head head;
    if (!s->began && ws_ask(s, NULL, 0, e) < 0)
        return STEP_FAIL;
    enum step sent = handshake_send(&s->heads, l, e);
    if (sent == STEP_DONE)
        sent = handshake_read(&s->heads, l, e);
    if (sent != STEP_DONE)
        return sent;
    if (head_parse(&head, s->heads.in, s->heads.head, e) < 0 || check_answer(s, &head, e) < 0)
        return STEP_FAIL;
    return STEP_DONE;
}

/* --- server --- */

/* False: it is no early data. */
static bool keep_early(struct ws_shake *s, const char *text, size_t len)
{
    size_t most = len / 4 * 3 + 3;
    uint8_t *early = malloc(most);
    const char *end;
    if (!early)
        return false;
    if (sodium_base642bin(early, most, text, len, NULL, &s->early_len, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0 ||
        end != text + len) {
        free(early);
        s->early_len = 0;
        return false;
    }
    s->early = early;
    return true;
}

/* Behind the path only if the configuration says so, as in V2Ray; else in its field, or in Xray's. Returns the
 * field, which is to be answered if it is Sec-WebSocket-Protocol. */
static const char *early_field(const struct ws_shake *s, const struct head *h)
{
    const char *ours = s->conf->early_field, *said = ours ? head_field(h, ours) : NULL;
    return said ? said : head_field(h, protocol_field);
}

static bool take_early(struct ws_shake *s, const struct head *h, const char *more, size_t len)
{
    const char *field = early_field(s, h);
    if (len && (!s->conf->early_max || s->conf->early_field || !keep_early(s, more, len)))
        return false;
    if (!len && field && *field)
        keep_early(s, field, strlen(field));
    return true;
}

static bool is_key(const char *key)
{
    uint8_t bytes[KEY];
    size_t len = 0;
    return key &&
           sodium_base642bin(bytes, sizeof bytes, key, strlen(key), NULL, &len, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           len == KEY;
}

static bool is_asked(struct ws_shake *s, const struct head *h)
{
    size_t len = 0;
    const char *more = upgrade_asked(h, &s->conf->to, &len);
    const char *version = head_field(h, "Sec-WebSocket-Version");
    return more && version && strcmp(version, "13") == 0 &&
           head_count(h, "Sec-WebSocket-Key") == 1 && is_key(head_field(h, "Sec-WebSocket-Key")) &&
           take_early(s, h, more, len);
}

static bool say_accept(struct ws_shake *s, const struct head *h)
{
    const char *protocol = head_field(h, protocol_field);
    char accept[WS_ACCEPT_TEXT];
    ws_accept_of(head_field(h, "Sec-WebSocket-Key"), accept);
    bool said = handshake_say(&s->heads,
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
                              accept);
    if (said && protocol && s->early)
        said = handshake_say(&s->heads, "%s: %s\r\n", protocol_field, protocol);
    return said && handshake_say(&s->heads, "\r\n");
}

static enum step refuse(struct ws_shake *s, struct layer *l, struct err *e)
{
    return handshake_refuse(&s->heads, l, "a request that is not for us", e);
}

static enum step read_request(struct ws_shake *s, struct layer *l, struct err *e)
{
    struct head head;
    enum step read = handshake_read(&s->heads, l, e);
    if (read != STEP_DONE)
        return read;
    if (head_parse(&head, s->heads.in, s->heads.head, e) < 0 || !is_asked(s, &head))
        return refuse(s, l, e);
    s->began = true;
    upgrade_find_source(l, &head, &s->conf->to.trusted);
    return say_accept(s, &head) ? STEP_DONE : step_fail(e, ENOMEM, "out of memory");
}

enum step ws_server_shake(struct ws_shake *s, struct layer *l, struct err *e)
{
    if (s->heads.refuses)
        return refuse(s, l, e);
    enum step read = s->began ? STEP_DONE : read_request(s, l, e);
    return read == STEP_DONE ? handshake_send(&s->heads, l, e) : read;
}

/* --- afterwards --- */

ssize_t ws_shake_readv(struct ws_shake *s, struct layer *l, struct iovec *iov, bool *framed)
{
    size_t left = s->early_len - s->early_taken, n = left < iov->iov_len ? left : iov->iov_len;
    *framed = !left;
    if (!left)
        return handshake_readv(&s->heads, l, iov, 1);
    memcpy(iov->iov_base, s->early + s->early_taken, n);
    s->early_taken += n;
    if (n == left) {
        free(s->early);
        s->early = NULL;
    }
    return (ssize_t)n;
}

bool ws_shake_waiting(const struct ws_shake *s)
{
    return s->early_taken < s->early_len || handshake_waiting(&s->heads);
}

void ws_shake_fini(struct ws_shake *s)
{
    handshake_fini(&s->heads);
    free(s->early);
}
