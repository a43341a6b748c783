#include "transport/ws_frame.h"

enum {
    FINAL = 0x80,
    RESERVED = 0x70,
    OPCODE = 0x0f,
    MASKED = 0x80,
    LEN = 0x7f,
    LEN_16 = 126, /* two bytes of length follow */
    LEN_64 = 127, /* eight do */
};

static bool is_control(uint8_t opcode)
{
    return opcode >= WS_CLOSE;
}

static bool is_known(uint8_t opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static bool read_len(struct cursor *c, uint8_t said, uint64_t *len)
{
    uint16_t len16;
    uint32_t high, low;
    *len = said & LEN;
    if (*len == LEN_16) {
        if (!cur_be16(c, &len16))
            return false;
        *len = len16;
    } else if (*len == LEN_64) {
        if (!cur_be32(c, &high) || !cur_be32(c, &low))
            return false;
        *len = (uint64_t)high << 32 | low;
    }
    return true;
}

static enum step check_head(const struct ws_head *h, uint8_t first, struct err *e)
{
    if (first & RESERVED)
        return step_fail(e, EPROTO, "reserved bits in a frame");
    if (!is_known(h->opcode))
        return step_fail(e, EPROTO, "a frame of unknown kind %u", h->opcode);
    if (is_control(h->opcode) && (!h->final || h->len > WS_CONTROL_MAX))
        return step_fail(e, EPROTO, "a control frame that is too long, or a fragment");
    if (h->opcode == WS_CLOSE && h->len == 1)
        return step_fail(e, EPROTO, "a Close with half a code");
    if (h->len >> 63)
        return step_fail(e, EPROTO, "a frame of 2^63 bytes or more");
    return STEP_DONE;
}

enum step ws_head_read(struct cursor *in, struct ws_head *h, struct err *e)
{
    struct cursor c = *in;
    uint8_t first, second;
    if (!cur_u8(&c, &first) || !cur_u8(&c, &second) || !read_len(&c, second, &h->len))
        return STEP_MORE;
    h->final = first & FINAL;
    h->opcode = first & OPCODE;
    h->masked = second & MASKED;
    if (h->masked && !cur_bytes(&c, h->mask, sizeof h->mask))
        return STEP_MORE;
    enum step s = check_head(h, first, e);
    if (s == STEP_DONE)
        *in = c;
    return s;
}

size_t ws_head_write(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len,
                     const uint8_t *mask)
{
    struct writer w = wr_of(out, WS_HEAD_MAX);
    uint8_t bit = mask ? MASKED : 0;
    wr_u8(&w, (uint8_t)(FINAL | opcode));
    if (len < LEN_16) {
        wr_u8(&w, (uint8_t)(bit | len));
    } else if (len <= UINT16_MAX) {
        wr_u8(&w, bit | LEN_16);
        wr_be16(&w, (uint16_t)len);
    } else {
        wr_u8(&w, bit | LEN_64);
        wr_be32(&w, (uint32_t)((uint64_t)len >> 32));
        wr_be32(&w, (uint32_t)len);
    }
    if (mask)
        wr_bytes(&w, mask, 4);
    return wr_len(&w);
}

enum { WORDS = 4 }; /* at a time: compilers make vectors of them */

/* All are read before any is written, which allows `to` before `from`. */
static void mask_words(uint8_t *to, const uint8_t *from, uint64_t key)
{
    uint64_t words[WORDS];
    memcpy(words, from, sizeof words);
    for (size_t i = 0; i < WORDS; i++)
        words[i] ^= key;
    memcpy(to, words, sizeof words);
}

void ws_mask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4], uint64_t at)
{
    enum { PIECE = WORDS * sizeof(uint64_t) };
    uint8_t turned[sizeof(uint64_t)];
    uint64_t key;
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(at + i) & 3];
    memcpy(&key, turned, sizeof key);
    for (; len >= PIECE; to += PIECE, from += PIECE, len -= PIECE)
        mask_words(to, from, key);
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] ^ turned[i & 3];
}

/* --- payload out of frames --- */

static enum step begin_frame(struct ws_reader *r, struct err *e)
{
    const struct ws_head *h = &r->head;
    if (h->masked != r->masked)
        return step_fail(e, EPROTO,
                         r->masked ? "a frame that is not masked" : "a masked frame from a server");
    if (!is_control(h->opcode)) {
        if (r->in_message != (h->opcode == WS_CONTINUATION))
            return step_fail(e, EPROTO, "a message inside another, or a part of none");
        r->in_message = !h->final;
    }
    r->left = h->len;
    r->at = 0;
    return STEP_DONE;
}

/* A head that lies in two reads is put together in `part`. */
static enum step read_head(struct ws_reader *r, struct cursor *in, struct err *e)
{
    uint8_t *part = r->part;
    size_t had = r->part_len, more = sizeof r->part - had;
    if (more > cur_left(in))
        more = cur_left(in);
    memcpy(part + had, in->p, more);
    struct cursor c = cur_of(part, had + more);
    enum step s = ws_head_read(&c, &r->head, e);
    if (s == STEP_FAIL)
        return s;
    if (s == STEP_MORE) {
        r->part_len = had + more;
        cur_skip(in, more);
        return s;
    }
    r->part_len = 0;
    cur_skip(in, (size_t)(c.p - part) - had);
    return begin_frame(r, e);
}

static void end_control(struct ws_reader *r)
{
    struct cursor c = cur_of(r->control, (size_t)r->head.len);
    if (r->head.opcode == WS_CLOSE) {
        r->closed = true;
        cur_be16(&c, &r->close_code);
    } else if (r->heard) {
        r->heard(r, r->head.opcode, r->control, (size_t)r->head.len);
    }
}

/* The next bytes of the frame, at `to`. Returns how many are payload. */
static size_t read_payload(struct ws_reader *r, struct cursor *in, uint8_t *to)
{
    bool control = is_control(r->head.opcode);
    size_t n = r->left < cur_left(in) ? (size_t)r->left : cur_left(in);
    if (control)
        to = r->control + r->at;
    if (r->head.masked)
        ws_mask(to, in->p, n, r->head.mask, r->at);
    else if (to != in->p)
        memmove(to, in->p, n);
    cur_skip(in, n);
    r->left -= n;
    r->at += n;
    if (control && !r->left)
        end_control(r);
    return control ? 0 : n;
}

/* Between frames there is nothing left of one; a control frame without payload ends with its head. */
ssize_t ws_read(struct ws_reader *r, uint8_t *mem, size_t n, struct err *e)
{
    struct cursor in = cur_of(mem, n);
    uint8_t *to = mem;
    while (cur_left(&in) && !r->closed) {
        if (!r->left) {
            enum step s = read_head(r, &in, e);
            if (s == STEP_FAIL)
                return -1;
            if (s == STEP_MORE)
                break;
        }
        to += read_payload(r, &in, to);
    }
    return to - mem;
}
