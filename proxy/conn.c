#include "proxy/conn.h"

#include <stdlib.h>

#include "core/log.h"
#include "proxy/splice.h"

enum {
    FILL_BUFS = 4,  /* one read from a plain socket: 64 KiB */
    FILL_LONG = 16, /* ... when nobody else on the loop reads */
    FILL_RUN = 8,   /* reads in a row, each of FILL_RUN_MIN bytes, that prove it */
    FILL_RUN_MIN = 48 * 1024,
    OUT_MAX = 256 * 1024, /* sealed bytes that wait for the socket */
    WRITE_BUFS = 32,      /* bufs of one write */
    LINGER_MAX =
        4 * 1024 * 1024, /* bytes that are read and dropped while the peer takes our last ones */
};

static const double LINGER = 3;   /* seconds */
static const double CONNECT = 16; /* seconds, as V2Ray */

static struct buf_pool *conn_pool(struct conn *c)
{
    return &c->stream.loop->bufs;
}

/* --- beginning and end --- */

void conn_init(struct conn *c, struct loop *l, struct codec *codec, const struct traffic *traffic,
               void (*release)(struct conn *c))
{
    *c = (struct conn){.codec = codec, .traffic = traffic, .release = release, .alone = true};
    c->stream.loop = l;
    c->stream.fd = -1;
}

void conn_drop(struct conn *c, bool well)
{
    struct loop *l = c->stream.loop;
    ev_timer_stop(l->ev, &c->deadline);
    loop_disown(&c->straggler);
    if (well)
        stream_close(&c->stream);
    else
        stream_reset(&c->stream);
    bufq_free(&c->out, &l->bufs);
    if (c->codec)
        c->codec->ops->free(c->codec);
    free(c->rest);
    c->release(c);
}

static void conn_leave(struct conn *c, const struct err *why)
{
    splice_leave(c);
    end_leave(&c->end, why);
}

void conn_fail(struct conn *c, const struct err *why)
{
    conn_leave(c, why);
    conn_drop(c, false);
}

static void conn_arm(struct conn *c, double seconds, void (*cb)(struct ev_loop *, ev_timer *, int))
{
    struct ev_loop *ev = c->stream.loop->ev;
    ev_timer_stop(ev, &c->deadline);
    ev_timer_init(&c->deadline, cb, seconds, 0);
    c->deadline.data = c;
    ev_timer_start(ev, &c->deadline);
}

/* --- lingering: our last bytes are on their way; closing with unread input would destroy them --- */

/* On a slow way there may be more in the kernel than it takes in that time: as long as it gets less, we wait. */
static void on_linger_over(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct conn *c = w->data;
    size_t left = stream_unacknowledged(&c->stream);
    if (!left || left >= c->unacknowledged) {
        conn_drop(c, true);
        return;
    }
    c->unacknowledged = left;
    ev_timer_set(w, LINGER, 0);
    ev_timer_start(ev, w);
}

static void on_lingering(struct stream *s, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct conn *c = container_of(s, struct conn, stream);
    struct iovec iov = {s->loop->scratch, LOOP_SCRATCH};
    ssize_t n = stream_readv(s, &iov, 1);
    if (n == STREAM_AGAIN)
        return;
    c->lingered += n > 0 ? (size_t)n : 0;
    if (n <= 0 || c->lingered > LINGER_MAX)
        conn_drop(c, true);
    else
        stream_want(s, true, false);
}

static void on_loop_end(struct straggler *n)
{
    conn_drop(container_of(n, struct conn, straggler), true);
}

/* Out of its flow: closes once the peer has, or has had time to. */
static void conn_await_close(struct conn *c)
{
    c->unacknowledged = stream_unacknowledged(&c->stream);
    c->straggler.drop = on_loop_end;
    loop_adopt(c->stream.loop, &c->straggler);
    c->alone = true;
    stream_shut(&c->stream);
    c->stream.ready = on_lingering;
    stream_want(&c->stream, true, false);
    conn_arm(c, LINGER, on_linger_over);
}

static void conn_linger(struct conn *c)
{
    c->straggler.of_link = c->end.flow->carrier;
    conn_leave(c, NULL);
    conn_await_close(c);
}

/* --- what the codec itself has to say --- */

static bool conn_is_mute(const struct conn *c)
{
    return c->codec && c->codec->signs & CODEC_MUTE;
}

int conn_say(struct conn *c, struct err *e)
{
    if (!(c->codec->signs & CODEC_SAYS))
        return 0;
    c->codec->signs &= ~(unsigned)CODEC_SAYS;
    struct buf *b = buf_new(conn_pool(c));
    if (!b)
        return err_set(e, ENOMEM, "out of memory");
    if (c->codec->ops->say(c->codec, b, e) < 0) {
        buf_free(conn_pool(c), b);
        return -1;
    }
    c->hold = false;
    if (b->len)
        bufq_put(&c->out, b);
    else
        buf_free(conn_pool(c), b);
    return 0;
}

int conn_speak(struct conn *c, struct err *e)
{
    struct buf *b;
    if (conn_say(c, e) < 0)
        return -1;
    while ((b = bufq_take(&c->out))) {
        struct iovec iov = {b->data, b->len};
        bool whole = stream_writev(&c->stream, &iov, 1) == (ssize_t)b->len;
        buf_free(conn_pool(c), b);
        if (!whole)
            return err_set(e, EPROTO, "the peer does not read");
    }
    return 0;
}

void conn_bow_out(struct conn *c)
{
    struct err why;
    if (conn_speak(c, &why) < 0)
        conn_drop(c, false);
    else
        conn_await_close(c);
}

/* The client waits for a word about its target: here it gets one, as soon as there is one to give. */
static void conn_answer(struct conn *c)
{
    struct err refused;
    if (end_is_opened(&c->end) || end_is_asked(&c->end) || end_has(&c->end)) {
        c->codec->ops->answer(c->codec, NULL);
    } else if (end_at_eof(&c->end)) {
        err_set(&refused, EACCES, "refused");
        c->codec->ops->answer(c->codec, &refused);
    }
}

static void conn_let_go(struct conn *c)
{
    c->codec->ops->free(c->codec);
    c->codec = NULL;
    c->shuts = true;
}

/* What the codec's signs ask for, before the flow's bytes go. */
static int conn_heed(struct conn *c, struct err *why)
{
    if (conn_is_mute(c) && c->end.side == 0)
        conn_answer(c);
    if (conn_say(c, why) < 0)
        return -1;
    if (c->codec->signs == CODEC_PASSES)
        conn_let_go(c);
    return 0;
}

/* The flow failed. Who waits for an answer gets that one; to all others it is a reset. */
static void conn_give_up(struct conn *c)
{
    struct err why = {.code = c->end.flow->why_code};
    if (!conn_is_mute(c) || c->end.side != 0) {
        conn_fail(c, NULL);
        return;
    }
    c->codec->ops->answer(c->codec, &why);
    conn_leave(c, NULL);
    conn_bow_out(c);
}

/* --- socket to flow --- */

static void conn_count(struct conn *c, bool up, ssize_t n)
{
    if (c->traffic)
        stat_add(c->stream.loop->counters, up ? c->traffic->up : c->traffic->down, n);
}

/* What a client sends is uplink, what a target sends is downlink. */
static void conn_count_read(struct conn *c, ssize_t n)
{
    conn_count(c, c->end.side == 0, n);
}

static void conn_count_written(struct conn *c, ssize_t n)
{
    uint64_t before = c->written;
    c->written += (uint64_t)n;
    if (!c->end.flow->carrier)
        stream_pace(&c->stream, before, c->written);
    conn_count(c, c->end.side != 0, n);
}

static void conn_rx_end(struct conn *c)
{
    c->rx_ended = true;
    end_eof(&c->end);
}

/* The socket's end. A codec that marks ends was cut off, unless we had ended our side: then peers just
 * close. */
static int conn_fin(struct conn *c, struct err *why)
{
    if (c->rest_len || (c->codec && c->codec->marks_end && !c->tx_ended))
        return err_set(why, ECONNRESET, "connection cut off");
    conn_rx_end(c);
    return 0;
}

/* Why reading or writing failed: a layer may know better than errno. */
static int conn_error(const struct conn *c, struct err *why, const char *doing)
{
    struct err layer = stream_why(&c->stream);
    if (!layer.code)
        return err_sys(why, "%s", doing);
    *why = layer;
    return -1;
}

/* What a read answered: 1 that it brought bytes, 0 that it did not, -1 that the connection broke. */
static int conn_read_said(struct conn *c, ssize_t n, struct err *why)
{
    if (n == STREAM_AGAIN)
        return 0;
    if (n == STREAM_ERROR)
        return conn_error(c, why, "read");
    if (n == 0)
        return conn_fin(c, why);
    conn_count_read(c, n);
    return 1;
}

static void conn_note_pieces(struct conn *c)
{
    const struct codec *k = c->codec;
    c->end.flow->pieces = k->opened > k->sealed ? k->opened : k->sealed;
}

static bool conn_deliver(struct conn *c, const uint8_t *data, size_t len)
{
    if (!c->end.flow->packets)
        return end_write(&c->end, data, len);
    struct buf *b = len <= BUF_ROOM && end_room(&c->end) ? buf_new(conn_pool(c)) : NULL;
    if (!b) {
        stat_add(c->stream.loop->counters, STAT_datagrams_dropped, 1);
        return true;
    }
    buf_append(b, data, len);
    end_put(&c->end, b);
    return true;
}

/* Opens the whole pieces of [in, in + n); *used says how many bytes they were. */
static int conn_open_pieces(struct conn *c, uint8_t *in, size_t n, size_t *used, struct err *why)
{
    struct opened piece;
    enum step s = STEP_DONE;
    for (*used = 0; *used < n && !c->rx_ended; *used += piece.used) {
        s = c->codec->ops->open(c->codec, in + *used, n - *used, &piece, why);
        if (s != STEP_DONE)
            break;
        if (piece.len && !conn_deliver(c, piece.data, piece.len))
            return err_set(why, ENOMEM, "out of memory");
        if (piece.eof)
            conn_rx_end(c);
    }
    conn_note_pieces(c);
    if (c->rx_ended)
        *used = n; /* whatever follows the end mark means nothing */
    return s == STEP_FAIL ? -1 : 0;
}

static int conn_keep_rest(struct conn *c, const uint8_t *from, size_t len, struct err *why)
{
    if (len > c->codec->ops->wire_max)
        return err_set(why, EPROTO, "a piece of more than %zu bytes", c->codec->ops->wire_max);
    uint8_t *kept = len ? malloc(len) : NULL;
    if (len && !kept)
        return err_set(why, ENOMEM, "out of memory");
    if (len)
        memcpy(kept, from, len);
    free(c->rest);
    c->rest = kept;
    c->rest_len = len;
    return 0;
}

static int conn_feed(struct conn *c, uint8_t *in, size_t n, struct err *why)
{
    size_t used;
    if (conn_open_pieces(c, in, n, &used, why) < 0)
        return -1;
    return conn_keep_rest(c, in + used, n - used, why);
}

static int conn_fill_sealed(struct conn *c, struct err *why)
{
    uint8_t *mem = c->stream.loop->scratch;
    struct iovec iov = {mem + c->rest_len, LOOP_SCRATCH - c->rest_len};
    ssize_t n = stream_readv(&c->stream, &iov, 1);
    int bytes = conn_read_said(c, n, why);
    if (bytes <= 0)
        return bytes;
    if (c->rest_len)
        memcpy(mem, c->rest, c->rest_len);
    return conn_feed(c, mem, c->rest_len + (size_t)n, why);
}

/* Whoever alone reads much on its loop reads more at once: that saves system calls and wake-ups. Beside
 * others, what one read brings is ahead of their bytes and stays small. */
static int conn_fill_count(const struct conn *c)
{
    const struct loop *l = c->stream.loop;
    return l->bulk == c && l->bulk_run >= FILL_RUN ? FILL_LONG : FILL_BUFS;
}

static void conn_note_read(struct conn *c, ssize_t n)
{
    struct loop *l = c->stream.loop;
    if (l->bulk != c || n < FILL_RUN_MIN)
        l->bulk_run = 0;
    if (n > 0)
        c->last_read = (uint32_t)n;
    l->bulk = c;
    l->bulk_run += l->bulk_run < FILL_RUN;
}

static int conn_new_bufs(struct conn *c, struct buf *bufs[FILL_LONG], struct iovec iov[FILL_LONG])
{
    int count = 0, most = conn_fill_count(c);
    while (count < most && (bufs[count] = buf_new(conn_pool(c)))) {
        iov[count] = (struct iovec){bufs[count]->data, BUF_DATA};
        count++;
    }
    return count;
}

/* Puts n bytes that lie in bufs into the flow and frees the unused bufs; the last first, so that the next
 * read finds the same memory warm. */
static void conn_put_bufs(struct conn *c, struct buf *bufs[], int count, size_t n)
{
    int used = (int)((n + BUF_DATA - 1) / BUF_DATA);
    for (int i = count - 1; i >= used; i--)
        buf_free(conn_pool(c), bufs[i]);
    for (int i = 0; i < used; i++) {
        bufs[i]->len = n < BUF_DATA ? n : BUF_DATA;
        n -= bufs[i]->len;
        end_put(&c->end, bufs[i]);
    }
}

static ssize_t conn_read_bufs(struct conn *c)
{
    struct buf *bufs[FILL_LONG];
    struct iovec iov[FILL_LONG];
    int count = conn_new_bufs(c, bufs, iov);
    if (!count) {
        errno = ENOMEM;
        return STREAM_ERROR;
    }
    ssize_t n = stream_readv(&c->stream, iov, count);
    conn_put_bufs(c, bufs, count, n > 0 ? (size_t)n : 0);
    return n;
}

static int conn_fill_plain(struct conn *c, struct err *why)
{
    ssize_t n = splice_fill(c);
    if (n == SPLICE_NONE)
        n = conn_read_bufs(c);
    conn_note_read(c, n);
    return conn_read_said(c, n, why) < 0 ? -1 : 0;
}

static bool conn_has_room(struct conn *c)
{
    return c->rx ? splice_has_room(c) : end_room(&c->end) > 0;
}

static int conn_fill(struct conn *c, struct err *why)
{
    if (c->rx_ended || !conn_has_room(c))
        return 0;
    c->read_turn = c->stream.loop->turn;
    return c->codec ? conn_fill_sealed(c, why) : conn_fill_plain(c, why);
}

/* --- flow to socket --- */

/* Empty stays only the datagram that a codec cannot say; queued, it would be written for ever. */
static int conn_seal(struct conn *c, struct buf *b, struct err *why)
{
    int sealed = c->codec && c->codec->ops->seal ? c->codec->ops->seal(c->codec, b, why) : 0;
    if (sealed == 0 && b->len) {
        bufq_put(&c->out, b);
        return 0;
    }
    buf_free(conn_pool(c), b);
    if (sealed < 0 && why->code != EMSGSIZE)
        return -1;
    stat_add(c->stream.loop->counters, STAT_datagrams_dropped, 1);
    return 0;
}

/* What ends our side: the protocol's mark, else the socket is shut once all is written. */
static int conn_tx_end(struct conn *c, struct err *why)
{
    c->tx_ended = true;
    c->hold = false;
    if (!c->codec)
        return 0;
    if (!c->codec->ops->end) {
        c->shuts = true;
        return 0;
    }
    struct buf *b = buf_new(conn_pool(c));
    if (!b)
        return err_set(why, ENOMEM, "out of memory");
    if (c->codec->ops->end(c->codec, b, why) < 0) {
        buf_free(conn_pool(c), b);
        return -1;
    }
    c->shuts = b->len == 0;
    if (b->len)
        bufq_put(&c->out, b);
    else
        buf_free(conn_pool(c), b);
    return 0;
}

static int conn_collect(struct conn *c, struct err *why)
{
    struct buf *b;
    if (c->codec && c->codec->signs && conn_heed(c, why) < 0)
        return -1;
    if (conn_is_mute(c))
        return 0;
    while (c->out.bytes < OUT_MAX && (b = end_take(&c->end))) {
        c->hold = false;
        if (conn_seal(c, b, why) < 0)
            return -1;
    }
    if (c->codec)
        conn_note_pieces(c);
    return end_at_eof(&c->end) && !c->tx && !c->tx_ended ? conn_tx_end(c, why) : 0;
}

static void conn_written(struct conn *c, size_t n)
{
    while (n) {
        struct buf *b = bufq_take(&c->out);
        if (b->len > n) {
            buf_pull(b, n);
            bufq_unget(&c->out, b);
            return;
        }
        n -= b->len;
        buf_free(conn_pool(c), b);
    }
}

/* One write of what is in `out`; sets `blocked` when the socket took less than all of it. */
static int conn_write(struct conn *c, struct err *why)
{
    struct iovec iov[WRITE_BUFS];
    int count = 0;
    size_t bytes = 0;
    for (struct buf *b = c->out.head; b && count < WRITE_BUFS; b = b->next) {
        iov[count++] = (struct iovec){b->data, b->len};
        bytes += b->len;
    }
    ssize_t n = stream_writev(&c->stream, iov, count);
    if (n == STREAM_ERROR)
        return conn_error(c, why, "write");
    c->blocked = n < (ssize_t)bytes;
    if (n <= 0)
        return 0;
    c->stream.connecting = false;
    conn_count_written(c, n);
    conn_written(c, (size_t)n);
    return 0;
}

static int conn_drain(struct conn *c, struct err *why)
{
    ssize_t n = splice_drain(c);
    if (n == STREAM_ERROR)
        return err_sys(why, "write");
    if (n > 0)
        conn_count_written(c, n);
    return 0;
}

/* What the socket does not take waits in the flow, where it counts as not taken. */
static int conn_blocked(struct conn *c)
{
    if (!c->codec)
        end_untake_all(&c->end, &c->out);
    return 0;
}

/* Not before the connection is made, which shutdown(2) would throw away. When the peer has ended, closing a
 * socket says as much; layers have a word of their own for it. */
static void conn_shut(struct conn *c)
{
    bool says = c->shuts && (!c->rx_ended || c->stream.stack);
    c->tx_done = !says || stream_shut(&c->stream);
    c->blocked = !c->tx_done;
}

static int conn_flush(struct conn *c, struct err *why)
{
    for (;;) {
        if (c->blocked)
            return conn_blocked(c);
        if (conn_collect(c, why) < 0)
            return -1;
        bool waits = c->out.head && !c->hold;
        if (!waits && !c->tx)
            break;
        if ((waits ? conn_write(c, why) : conn_drain(c, why)) < 0)
            return -1;
    }
    if (c->tx_ended && !c->tx_done && !c->stream.connecting)
        conn_shut(c);
    return 0;
}

/* --- events --- */

static void conn_watch(struct conn *c)
{
    c->paused = !c->rx_ended && !conn_has_room(c);
    stream_want(&c->stream, !c->rx_ended && !c->paused, c->blocked || c->stream.connecting);
}

/* Either the connection never came to be, or it broke. */
static void conn_broke(struct conn *c, struct err *why)
{
    if (c->stream.connecting && c->unreached)
        c->unreached(c, why);
    conn_fail(c, why);
}

static void on_connect_timeout(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct conn *c = w->data;
    struct err why;
    err_set(&why, ETIMEDOUT, "no answer within %g s", CONNECT);
    conn_broke(c, &why);
}

static void on_agree_timeout(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct conn *c = w->data;
    struct err why;
    err_set(&why, ETIMEDOUT, "connected, but no answer within %g s",
            c->end.flow->policy->handshake);
    conn_fail(c, &why);
}

/* The target is reached, unless the codec has yet to agree with its peer about that. */
static void conn_reached(struct conn *c)
{
    if (conn_is_mute(c)) {
        conn_arm(c, c->end.flow->policy->handshake, on_agree_timeout);
        return;
    }
    ev_timer_stop(c->stream.loop->ev, &c->deadline);
    end_opened(&c->end);
}

static void conn_connected(struct conn *c)
{
    struct addr peer;
    if (c->codec && c->codec->ops->connected) {
        stream_peer(&c->stream, &peer);
        c->codec->ops->connected(c->codec, &peer);
    }
    conn_reached(c);
}

static bool conn_check_connect(struct conn *c)
{
    struct err why;
    int error = stream_connected(&c->stream);
    if (error == EINPROGRESS)
        return true;
    if (!error) {
        conn_connected(c);
        return true;
    }
    why = stream_why(&c->stream);
    if (!why.code)
        err_set(&why, error, "%s", strerror(error));
    conn_broke(c, &why);
    return false;
}

static void conn_finish(struct conn *c)
{
    if (c->tx_done && c->rx_ended) {
        conn_leave(c, NULL);
        conn_drop(c, true);
    } else if (c->tx_done && end_peer_left(&c->end)) {
        conn_linger(c);
    } else {
        conn_watch(c);
    }
}

/* Everything that can move, moves; then the watchers are derived from what could not. */
static void conn_pass(struct conn *c, bool readable)
{
    struct err why = {0};
    bool was_connecting = c->stream.connecting, was_mute = conn_is_mute(c);
    if (end_failed(&c->end)) {
        conn_give_up(c);
        return;
    }
    if (conn_flush(c, &why) < 0 || (readable && conn_fill(c, &why) < 0) ||
        (was_mute && conn_flush(c, &why) < 0)) {
        conn_broke(c, &why);
        return;
    }
    if (was_connecting && !c->stream.connecting)
        conn_connected(c);
    else if (was_mute && !conn_is_mute(c) && c->end.side == 1)
        conn_reached(c);
    conn_finish(c);
}

static void on_stream(struct stream *s, bool readable, bool writable)
{
    struct conn *c = container_of(s, struct conn, stream);
    if (writable) {
        c->blocked = false;
        if (s->connecting && !conn_check_connect(c))
            return;
    }
    conn_pass(c, readable);
}

/* Others that are ready in this turn may have bytes for the same carrier: they leave in one write. */
static bool conn_waits(struct conn *c)
{
    struct loop *l = c->stream.loop;
    if (c->waited || !c->end.flow->carrier || !loop_is_busy(l)) {
        c->waited = false;
        return false;
    }
    c->waited = true;
    end_wake(&c->end);
    return true;
}

static void on_wake(struct end *e)
{
    struct conn *c = container_of(e, struct conn, end);
    if (!stream_is_open(&c->stream)) { /* still looking up the address */
        if (end_failed(e))
            conn_fail(c, NULL);
        return;
    }
    if (conn_waits(c))
        return;
    conn_pass(c, c->paused && c->read_turn != e->flow->loop->turn);
}

const struct end_ops conn_end_ops = {.wake = on_wake};

void conn_attach(struct conn *c, int fd)
{
    stream_open(&c->stream, c->stream.loop, fd, on_stream);
}

void conn_start(struct conn *c, uint8_t *more, size_t len)
{
    struct err why = {0};
    c->alone = false;
    c->stream.ready = on_stream;
    c->shuts = !c->codec;
    if (c->stream.connecting)
        conn_arm(c, CONNECT, on_connect_timeout);
    else
        ev_timer_stop(c->stream.loop->ev, &c->deadline);
    if (len && conn_feed(c, more, len, &why) < 0) {
        conn_fail(c, &why);
        return;
    }
    conn_pass(c, !len && !c->stream.connecting);
}
