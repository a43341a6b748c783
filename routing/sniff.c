#include "routing/sniff.h"

const char *sniff_protocol(enum sniff_kind kind)
{
    switch (kind) {
    case SNIFF_HTTP:
        return "http1";
    case SNIFF_TLS:
        return "tls";
    case SNIFF_BITTORRENT:
        return "bittorrent";
    case SNIFF_QUIC:
        return "quic";
    }
    return "";
}

/* --- names --- */

enum { LABEL_MAX = 63, NAME_MAX_LEN = 253 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* "7", "0x7f": with such a last label old resolvers read the whole as an IPv4 address. */
static bool is_number(const char *label)
{
    if (label[0] == '0' && label[1] == 'x')
        return !label[2 + strspn(label + 2, "0123456789abcdef")];
    return !label[strspn(label, "0123456789")];
}

bool sniff_name(const void *text, size_t len, char out[ADDR_NAME_MAX + 1])
{
    if (len == 0 || len > NAME_MAX_LEN + 1 || memchr(text, '\0', len))
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    addr_normalise_name(out);
    const char *label = out;
    for (const char *p = out;; p++) {
        if (is_label_byte(*p))
            continue;
        if ((*p && *p != '.') || p == label || p - label > LABEL_MAX)
            return false;
        if (!*p)
            return p - out <= NAME_MAX_LEN && !is_number(label);
        label = p + 1;
    }
}

/* --- all together --- */

static enum step sniff_bittorrent(struct cursor in)
{
    static const char hello[] = "\023BitTorrent protocol";
    size_t len = cur_left(&in) < sizeof hello - 1 ? cur_left(&in) : sizeof hello - 1;
    if (memcmp(in.p, hello, len) != 0)
        return STEP_FAIL;
    return len < sizeof hello - 1 ? STEP_MORE : STEP_DONE;
}

/* Their first bytes differ, so that at most one of them wants more or is done. */
static enum step sniff_any(struct cursor in, struct sniffed *s)
{
    enum step step;
    s->kind = SNIFF_HTTP;
    if ((step = sniff_http(in, s)) != STEP_FAIL)
        return step;
    s->kind = SNIFF_TLS;
    if ((step = sniff_tls(in, s)) != STEP_FAIL)
        return step;
    s->kind = SNIFF_BITTORRENT;
    return sniff_bittorrent(in);
}

enum step sniff_stream(const uint8_t *data, size_t len, struct sniffed *s)
{
    *s = (struct sniffed){0};
    if (len == 0)
        return STEP_MORE;
    enum step step = sniff_any(cur_of(data, len < SNIFF_MAX ? len : SNIFF_MAX), s);
    return step == STEP_MORE && len >= SNIFF_MAX ? STEP_FAIL : step;
}

enum step sniff_datagrams(const struct cursor *datagrams, size_t count, struct sniffed *s)
{
    *s = (struct sniffed){.kind = SNIFF_QUIC};
    size_t some = count < SNIFF_DATAGRAMS ? count : SNIFF_DATAGRAMS;
    enum step step = sniff_quic(datagrams, some, s);
    return step == STEP_MORE && count >= SNIFF_DATAGRAMS ? STEP_FAIL : step;
}
