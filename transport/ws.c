#include "transport/ws.h"

#include <ev.h>
#include <sodium.h>
#include <stdlib.h>

#include "core/list.h"
#include "transport/stream.h"
#include "transport/ws_frame.h"
#include "transport/ws_shake.h"

enum {
    FRAME = 256 * 1024, /* bytes of payload in one frame, and so in one write */
    PIECES = 32,        /* of payload in one write */
    MASKS = 16,         /* drawn at once */
    CONTROLS = 10,      /* a second, from the peer */
    READS = 16,         /* of one readv(), that brought no payload */
    NORMAL = 1000,      /* codes of Close */
    GOING_AWAY = 1001,
    PROTOCOL_ERROR = 1002,
};

struct ws {
    struct layer layer;
    struct ws_shake shake;
    bool client, open;
    bool said_close;
    struct ws_reader reader;

    uint8_t head[WS_HEAD_MAX]; /* of the frame that is being written */
    size_t head_len, head_sent;
    size_t len, left;   /* bytes of its payload, and those that have not gone below */
    struct bufq masked; /* what a client has left of it, masked */
    size_t early;       /* bytes that went with the request; the user offers them once more */
    uint8_t control[WS_HEAD_MAX + WS_CONTROL_MAX]; /* to be sent between frames */
    size_t control_len, control_sent;
    uint8_t pong[WS_CONTROL_MAX]; /* what the last ping said; it waits to be answered */
    size_t pong_len;
    bool pong_due;

    uint8_t masks[MASKS][4];
    unsigned masks_used;
    double heard_since; /* the second in which control frames are counted */
    unsigned heard;
    ev_timer beat;
    bool quiet; /* nothing was written since the last beat */
};

static struct ws *of_layer(struct layer *l)
{
    return container_of(l, struct ws, layer);
}

static struct loop *loop_of(const struct ws *w)
{
    return w->layer.stream->loop;
}

/* --- writing --- */

/* NULL for a server, which does not mask. */
static const uint8_t *next_mask(struct ws *w)
{
    if (!w->client)
        return NULL;
    if (w->masks_used == MASKS) {
        randombytes_buf(w->masks, sizeof w->masks);
        w->masks_used = 0;
    }
    return w->masks[w->masks_used++];
}

static void make_control(struct ws *w, enum ws_opcode opcode, const uint8_t *payload, size_t len)
{
    const uint8_t *mask = next_mask(w);
    size_t head = ws_head_write(w->control, opcode, len, mask);
    if (mask)
        ws_mask(w->control + head, payload, len, mask, 0);
    else if (len)
        memcpy(w->control + head, payload, len);
    w->control_len = head + len;
    w->control_sent = 0;
}

static void make_pong(struct ws *w)
{
    if (!w->pong_due || w->control_len || w->said_close)
        return;
    make_control(w, WS_PONG, w->pong, w->pong_len);
    w->pong_due = false;
}

/* All of the frame has gone. */
static bool between_frames(const struct ws *w)
{
    return w->head_sent == w->head_len && !w->left;
}

static size_t bytes_of(const struct iovec *iov, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* Views of `len` bytes of iov from `at` on; returns how many, at most `most`. */
static int slice(const struct iovec *iov, int count, size_t at, size_t len, struct iovec *to,
                 int most)
{
    int n = 0;
    for (int i = 0; i < count && len && n < most; i++) {
        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        size_t piece = iov[i].iov_len - at;
        to[n] = (struct iovec){(uint8_t *)iov[i].iov_base + at, piece < len ? piece : len};
        len -= to[n++].iov_len;
        at = 0;
    }
    return n;
}

static struct buf_pool *pool_of(const struct ws *w)
{
    return &loop_of(w)->bufs;
}

/* The next bytes of the frame, as many as fit. */
static size_t fill_masked(struct buf *b, const struct iovec *iov, int count, size_t at, size_t len,
                          const uint8_t mask[4], size_t done)
{
    struct iovec piece;
    size_t room = len < BUF_DATA ? len : BUF_DATA;
    while (b->len < room) {
        slice(iov, count, at + b->len, room - b->len, &piece, 1);
        ws_mask(b->data + b->len, piece.iov_base, piece.iov_len, mask, done + b->len);
        b->len += piece.iov_len;
    }
    return b->len;
}

/* Into bufs, of which the loop has warm ones: what the user offers stays as it is. */
static bool copy_masked(struct ws *w, const struct iovec *iov, int count, size_t at,
                        const uint8_t mask[4])
{
    for (size_t done = 0; done < w->len;) {
        struct buf *b = buf_new(pool_of(w));
        if (!b) {
            bufq_free(&w->masked, pool_of(w));
            return false;
        }
        done += fill_masked(b, iov, count, at + done, w->len - done, mask, done);
        bufq_put(&w->masked, b);
    }
    return true;
}

static int masked_pieces(const struct ws *w, struct iovec *to)
{
    int n = 0;
    for (const struct buf *b = w->masked.head; b && n < PIECES; b = b->next)
        to[n++] = (struct iovec){b->data, b->len};
    return n;
}

static void masked_gone(struct ws *w, size_t n)
{
    while (n) {
        struct buf *b = bufq_take(&w->masked);
        if (b->len > n) {
            buf_pull(b, n);
            bufq_unget(&w->masked, b);
            return;
        }
        n -= b->len;
        buf_free(pool_of(w), b);
    }
}

/* The bytes of iov from `at` on become a frame. */
static bool begin_frame(struct ws *w, const struct iovec *iov, int count, size_t at)
{
    const uint8_t *mask = next_mask(w);
    size_t len = bytes_of(iov, count) - at;
    w->len = len < FRAME ? len : FRAME;
    if (mask && !copy_masked(w, iov, count, at, mask))
        return false;
    w->head_len = ws_head_write(w->head, WS_BINARY, w->len, mask);
    w->head_sent = 0;
    w->left = w->len;
    return true;
}

/* Whatever is first in line and n bytes of it. */
static size_t gone_of(size_t *sent, size_t len, size_t *n)
{
    size_t gone = len - *sent < *n ? len - *sent : *n;
    *sent += gone;
    *n -= gone;
    return gone;
}

static void control_gone(struct ws *w, size_t *n)
{
    gone_of(&w->control_sent, w->control_len, n);
    if (w->control_sent == w->control_len)
        w->control_len = w->control_sent = 0;
}

/* One write of the frame under way, a control frame in front of it if one waits and it has not begun. Returns how
 * much payload has gone, or as below_writev(). */
static ssize_t push_frame(struct ws *w, const struct iovec *iov, int count, size_t at)
{
    struct iovec out[PIECES + 2];
    int n = 0;
    if (!w->head_sent && w->control_len)
        out[n++] = (struct iovec){w->control + w->control_sent, w->control_len - w->control_sent};
    if (w->head_sent < w->head_len)
        out[n++] = (struct iovec){w->head + w->head_sent, w->head_len - w->head_sent};
    if (w->client)
        n += masked_pieces(w, out + n);
    else
        n += slice(iov, count, at, w->left, out + n, PIECES);
    ssize_t wrote = below_writev(&w->layer, out, n);
    if (wrote < 0)
        return wrote;
    size_t rest = (size_t)wrote;
    if (!w->head_sent)
        control_gone(w, &rest);
    gone_of(&w->head_sent, w->head_len, &rest);
    w->left -= rest;
    if (w->client)
        masked_gone(w, rest);
    return (ssize_t)rest;
}

static ssize_t write_frames(struct ws *w, const struct iovec *iov, int count)
{
    size_t whole = bytes_of(iov, count), gone = 0;
    while (gone < whole) {
        if (between_frames(w)) {
            make_pong(w);
            if (!begin_frame(w, iov, count, gone)) {
                errno = ENOMEM;
                return STREAM_ERROR;
            }
        }
        ssize_t n = push_frame(w, iov, count, gone);
        if (n == STREAM_ERROR)
            return n;
        gone += n > 0 ? (size_t)n : 0;
        if (n == STREAM_AGAIN || !between_frames(w))
            break;
    }
    return gone ? (ssize_t)gone : STREAM_AGAIN;
}

/* What waits between frames. MORE: it has not all gone. */
static enum step send_control(struct ws *w)
{
    if (!between_frames(w))
        return STEP_MORE;
    make_pong(w);
    while (w->control_len) {
        ssize_t n =
            below_write(&w->layer, w->control + w->control_sent, w->control_len - w->control_sent);
        if (n == STREAM_AGAIN)
            return STEP_MORE;
        if (n < 0)
            return STEP_FAIL; /* reading or writing will tell */
        size_t rest = (size_t)n;
        control_gone(w, &rest);
        w->quiet = false;
        make_pong(w);
    }
    return STEP_DONE;
}

static enum step say_close(struct ws *w, uint16_t code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    enum step s = send_control(w);
    if (s != STEP_DONE || w->said_close)
        return s;
    w->said_close = true;
    make_control(w, WS_CLOSE, payload, sizeof payload);
    return send_control(w);
}

static ssize_t ws_fail(struct ws *w, struct err *why)
{
    err_wrap(why, "ws");
    layer_fail(&w->layer, why);
    errno = why->code;
    return STREAM_ERROR;
}

/* --- the handshake --- */

static void on_beat(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct ws *w = t->data;
    if (w->said_close || w->reader.closed)
        return;
    if (w->quiet && between_frames(w) && !w->control_len)
        make_control(w, WS_PING, NULL, 0);
    send_control(w);
    w->quiet = true;
}

/* Two beats in each period: so it never takes longer. */
static void ws_open(struct ws *w)
{
    double beat = w->shake.conf->heartbeat / 2;
    w->open = true;
    if (beat <= 0)
        return;
    ev_timer_init(&w->beat, on_beat, beat, beat);
    w->beat.data = w;
    ev_timer_start(loop_of(w)->ev, &w->beat);
}

static enum step ws_shake(struct layer *l, struct err *e)
{
    struct ws *w = of_layer(l);
    bool early = w->client && w->shake.conf->early_max && !w->shake.began;
    l->greets_late = early;
    if (early) /* the first bytes are to go with the request */
        return STEP_DONE;
    enum step s = w->client ? ws_client_shake(&w->shake, l, e) : ws_server_shake(&w->shake, l, e);
    if (s == STEP_DONE)
        ws_open(w);
    if (s == STEP_FAIL)
        err_wrap(e, "ws");
    return s;
}

static size_t gather(const struct iovec *iov, int count, uint8_t *to, size_t most)
{
    size_t done = 0;
    struct iovec piece;
    while (done < most && slice(iov, count, done, most - done, &piece, 1)) {
        memcpy(to + done, piece.iov_base, piece.iov_len);
        done += piece.iov_len;
    }
    return done;
}

/* The first bytes go with the request; for the rest it is too early. */
static ssize_t write_early(struct ws *w, const struct iovec *iov, int count)
{
    uint8_t early[WS_EARLY_MAX];
    unsigned most = w->shake.conf->early_max;
    struct err why;
    w->early = gather(iov, count, early, most < sizeof early ? most : sizeof early);
    if (ws_ask(&w->shake, early, w->early, &why) < 0)
        return ws_fail(w, &why);
    w->layer.wants_write = true;
    layer_greet_again(&w->layer);
    return STREAM_AGAIN;
}

static ssize_t ws_writev(struct layer *l, struct iovec *iov, int count)
{
    struct ws *w = of_layer(l);
    if (!w->open)
        return write_early(w, iov, count);
    if (w->early) {
        size_t early = w->early;
        w->early = 0;
        return (ssize_t)early;
    }
    if (w->said_close) {
        errno = EPIPE;
        return STREAM_ERROR;
    }
    ssize_t n = write_frames(w, iov, count);
    w->quiet = false;
    return n;
}

/* --- reading --- */

static void on_control(struct ws_reader *r, enum ws_opcode opcode, const uint8_t *payload,
                       size_t len)
{
    struct ws *w = container_of(r, struct ws, reader);
    double now = loop_now(loop_of(w));
    if (now < w->heard_since || now >= w->heard_since + 1) {
        w->heard_since = now;
        w->heard = 0;
    }
    w->heard++;
    if (opcode != WS_PING)
        return;
    memcpy(w->pong, payload, len);
    w->pong_len = len;
    w->pong_due = true;
}

static ssize_t take_frames(struct ws *w, uint8_t *mem, size_t n)
{
    struct err why;
    ssize_t len = ws_read(&w->reader, mem, n, &why);
    if (len >= 0 && w->heard > CONTROLS)
        len = err_set(&why, EPROTO, "more than %d control frames in a second", CONTROLS);
    if (len < 0) {
        say_close(w, PROTOCOL_ERROR);
        return ws_fail(w, &why);
    }
    if (w->pong_due)
        send_control(w);
    return len;
}

/* The peer said why. */
static ssize_t ws_closed(struct ws *w)
{
    struct err why;
    uint16_t code = w->reader.close_code;
    if (!code || code == NORMAL || code == GOING_AWAY)
        return 0;
    err_set(&why, ECONNRESET, "the peer closed it with code %u", code);
    return ws_fail(w, &why);
}

static ssize_t ws_readv(struct layer *l, struct iovec *iov, int count)
{
    struct ws *w = of_layer(l);
    struct err why;
    bool framed;
    (void)count; /* what follows is read by the next call */
    if (!w->open)
        return write_early(w, NULL, 0); /* who reads had nothing to say first */
    for (int i = 0; !w->reader.closed && i < READS; i++) {
        ssize_t n = ws_shake_readv(&w->shake, l, iov, &framed);
        if (n == 0) {
            err_set(&why, ECONNRESET, "the connection ended without Close");
            return ws_fail(w, &why);
        }
        if (n < 0 || !framed)
            return n;
        n = take_frames(w, iov->iov_base, (size_t)n);
        if (n)
            return n;
    }
    return w->reader.closed ? ws_closed(w) : STREAM_AGAIN;
}

/* Close is also the answer to the peer's: it waits until we have nothing more to say. */
static enum step ws_finish(struct layer *l)
{
    struct ws *w = of_layer(l);
    return w->open ? say_close(w, NORMAL) : STEP_DONE;
}

static bool ws_waiting(const struct layer *l)
{
    const struct ws *w = container_of(l, struct ws, layer);
    return ws_shake_waiting(&w->shake) || w->reader.closed; /* which came with the last bytes */
}

static void ws_free(struct layer *l, bool well)
{
    struct ws *w = of_layer(l);
    (void)well;
    if (ev_is_active(&w->beat))
        ev_timer_stop(loop_of(w)->ev, &w->beat);
    ws_shake_fini(&w->shake);
    if (w->masked.head)
        bufq_free(&w->masked, pool_of(w));
    free(w);
}

static const struct layer_ops ws_ops = {
    .shake = ws_shake,
    .readv = ws_readv,
    .writev = ws_writev,
    .finish = ws_finish,
    .waiting = ws_waiting,
    .free = ws_free,
};

static struct ws *ws_new(const struct ws_conf *c, bool client)
{
    struct ws *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->layer.ops = &ws_ops;
    w->shake.conf = c;
    w->client = client;
    w->reader.masked = !client;
    w->reader.heard = on_control;
    w->masks_used = MASKS;
    return w;
}

struct layer *ws_client_new(const struct ws_conf *c, const struct addr *to, bool tls)
{
    struct ws *w = ws_new(c, true);
    if (!w)
        return NULL;
    w->shake.to = to;
    w->shake.tls = tls;
    return &w->layer;
}

struct layer *ws_server_new(const struct ws_conf *c)
{
    struct ws *w = ws_new(c, false);
    return w ? &w->layer : NULL;
}
