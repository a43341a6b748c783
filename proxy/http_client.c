#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/http_proxy.h"

enum {
    RESPONSE_MAX = 16 * 1024,
    REQUEST_LINES = 2048, /* bytes of those that we write: two targets and a credential */
};

struct client {
    struct codec codec;
    bool agreed;
    size_t len;
    char request[]; /* holds the credential */
};

static struct client *client_of(struct codec *c)
{
    return (struct client *)(void *)c;
}

static int client_say(struct codec *c, struct buf *b, struct err *e)
{
    struct client *k = client_of(c);
    if (k->len > BUF_DATA)
        return err_set(e, EMSGSIZE, "a request of %zu bytes to the http proxy", k->len);
    buf_append(b, k->request, k->len);
    return 0;
}

/* --- the answer: HTTP/1.x STATUS, and fields that mean nothing here --- */

static enum step refused(unsigned status, struct err *e)
{
    if (status == 407)
        return step_fail(e, EACCES,
                         "the http proxy wants a user and password, or others than ours");
    if (status == 403)
        return step_fail(e, EACCES, "the http proxy says: forbidden");
    if (status == 504)
        return step_fail(e, ETIMEDOUT, "the http proxy says: the target does not answer");
    return step_fail(e, EHOSTUNREACH, "the http proxy says: status %u", status);
}

static bool read_status(const uint8_t *p, unsigned *status)
{
    bool digits = p[7] >= '0' && p[7] <= '9' && p[8] == ' ';
    *status = 0;
    for (int i = 9; i < 12; i++) {
        digits = digits && p[i] >= '0' && p[i] <= '9';
        *status = *status * 10 + (unsigned)(p[i] - '0');
    }
    return digits;
}

static enum step read_answer(struct client *k, const uint8_t *in, size_t n, size_t *used,
                             struct err *e)
{
    static const char version[] = "HTTP/1.", end[] = "\r\n\r\n";
    enum { VERSION = sizeof version - 1, STATUS_LINE = 12 };
    unsigned status;
    if (memcmp(in, version, n < VERSION ? n : VERSION) != 0)
        return step_fail(e, EPROTO, "this is no http proxy");
    if (n < STATUS_LINE)
        return STEP_MORE;
    if (!read_status(in, &status))
        return step_fail(e, EPROTO, "this is no http proxy");
    if (status / 100 != 2)
        return refused(status, e);
    const uint8_t *found = memmem(in, n, end, sizeof end - 1);
    if (!found)
        return STEP_MORE;
    *used = (size_t)(found - in) + sizeof end - 1;
    k->agreed = true;
    k->codec.marks_end = false;
    k->codec.signs = CODEC_PASSES;
    return STEP_DONE;
}

static enum step client_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    struct client *k = client_of(c);
    *out = (struct opened){.used = n, .data = in, .len = n};
    if (k->agreed)
        return STEP_DONE;
    out->len = 0;
    return read_answer(k, in, n, &out->used, e);
}

/* --- the codec --- */

static void client_free(struct codec *c)
{
    sodium_memzero(client_of(c)->request, client_of(c)->len);
    free(client_of(c));
}

static const struct codec_ops client_ops = {
    .say = client_say,
    .open = client_open,
    .free = client_free,
    .wire_max = RESPONSE_MAX,
};

static void put_text(struct writer *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

static void put_credential(struct writer *w, const struct login *login)
{
    enum { PLAIN = 2 * ACCOUNT_TEXT_MAX + 2 };
    char plain[PLAIN], text[sodium_base64_ENCODED_LEN(PLAIN, sodium_base64_VARIANT_ORIGINAL)];
    int len = snprintf(plain, sizeof plain, "%s:%s", login->name, login->pass);
    sodium_bin2base64(text, sizeof text, (uint8_t *)plain, (size_t)len,
                      sodium_base64_VARIANT_ORIGINAL);
    put_text(w, "Proxy-Authorization: Basic ");
    put_text(w, text);
    put_text(w, "\r\n");
    sodium_memzero(plain, sizeof plain);
    sodium_memzero(text, sizeof text);
}

static void write_request(struct writer *w, const struct login *login, const char *headers,
                          const struct addr *target)
{
    char host[ADDR_TEXT_MAX];
    addr_text(target, host);
    put_text(w, "CONNECT ");
    put_text(w, host);
    put_text(w, " HTTP/1.1\r\nHost: ");
    put_text(w, host);
    put_text(w, "\r\n");
    if (login)
        put_credential(w, login);
    put_text(w, headers);
    put_text(w, "\r\n");
}

struct codec *http_request_new(const struct login *login, const char *headers,
                               const struct addr *target)
{
    size_t room = REQUEST_LINES + strlen(headers);
    struct client *k = calloc(1, sizeof *k + room);
    if (!k)
        return NULL;
    k->codec =
        (struct codec){.ops = &client_ops, .signs = CODEC_SAYS | CODEC_MUTE, .marks_end = true};
    struct writer w = wr_of(k->request, room);
    write_request(&w, login, headers, target);
    k->len = wr_len(&w);
    return &k->codec;
}
