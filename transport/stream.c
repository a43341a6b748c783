#include "transport/stream.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/stack.h"

enum {
    KEEPALIVE_IDLE = 15,    /* seconds, as Go's default, which peers use */
    KEEPALIVE_INTERVAL = 5, /* seconds */
    KEEPALIVE_PROBES = 3,
    USER_TIMEOUT = 20 * 1000, /* milliseconds without an acknowledgement */
    UNSENT = 128 * 1024,      /* bytes that wait in the kernel for a reader that may have stopped */
    CARRIER_UNSENT = 256 * 1024, /* ... for many readers */
    SOME = 64 * 1024,            /* bytes written before a limit is worth a system call */
    BULK = 1024 * 1024,          /* bytes written after which the peer is known to read */
    BULK_UNSENT = 512 * 1024,    /* ... for one that reads much */
};

static void set_option(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof value); /* what a kernel lacks, it does without */
}

static void set_linger(int fd, int on)
{
    struct linger linger = {.l_onoff = on, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void set_lasting(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
}

void stream_arm(int fd)
{
    set_linger(fd, 1);
}

void stream_prepare(int fd)
{
    set_lasting(fd);
    stream_arm(fd);
}

/* The first write of a connection is not delayed in any case. */
void stream_prepare_lasting(struct stream *s)
{
    if (s->fresh)
        set_lasting(s->fd);
    s->fresh = false;
}

void stream_limit_unsent(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT);
}

void stream_prepare_carrier(struct stream *s)
{
    stream_prepare_lasting(s);
    set_option(s->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL);
    set_option(s->fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set_option(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT);
    set_option(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, CARRIER_UNSENT);
}

void stream_pace(struct stream *s, uint64_t before, uint64_t now)
{
    if (before < SOME && now >= SOME)
        stream_limit_unsent(s->fd);
    if (before < BULK && now >= BULK)
        set_option(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, BULK_UNSENT);
}

static void stream_event(struct stream *s, bool readable, bool writable)
{
    if (s->stack)
        stack_event(s->stack, readable, writable);
    else
        s->ready(s, readable, writable);
}

static void on_readable(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    stream_event(container_of(w, struct stream, rd), true, false);
}

static void on_writable(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    stream_event(container_of(w, struct stream, wr), false, true);
}

void stream_open(struct stream *s, struct loop *l, int fd,
                 void (*ready)(struct stream *s, bool readable, bool writable))
{
    *s = (struct stream){.fd = fd, .loop = l, .ready = ready};
    ev_io_init(&s->rd, on_readable, fd, EV_READ);
    ev_io_init(&s->wr, on_writable, fd, EV_WRITE);
}

static ssize_t stream_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_ERROR;
}

int stream_put_layer(struct stream *s, struct layer *l)
{
    return stack_put(s, l);
}

void stream_bare(struct stream *s)
{
    if (s->stack)
        stack_free(s->stack, false);
    s->stack = NULL;
}

bool stream_is_open(const struct stream *s)
{
    return s->fd >= 0 || s->stack;
}

bool stream_source(const struct stream *s, struct addr *source)
{
    if (!s->stack || s->stack->source.type == ADDR_NONE)
        return false;
    *source = s->stack->source;
    return true;
}

struct certificate stream_certificate(const struct stream *s)
{
    return s->stack ? s->stack->certificate : (struct certificate){0};
}

struct err stream_why(const struct stream *s)
{
    return s->stack ? s->stack->why : (struct err){0};
}

ssize_t socket_readv(struct stream *s, struct iovec *iov, int count)
{
    ssize_t n = stream_result(readv(s->fd, iov, count));
    if (n > 0 && s->read)
        stream_prepare_lasting(s);
    s->read |= n > 0;
    return n;
}

ssize_t stream_readv(struct stream *s, struct iovec *iov, int count)
{
    return s->stack ? stack_readv(s->stack, iov, count) : socket_readv(s, iov, count);
}

ssize_t socket_writev(struct stream *s, struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    if (s->wrote)
        stream_prepare_lasting(s);
    ssize_t n = stream_result(sendmsg(s->fd, &msg, MSG_NOSIGNAL));
    s->wrote |= n > 0;
    return n;
}

ssize_t stream_writev(struct stream *s, struct iovec *iov, int count)
{
    return s->stack ? stack_writev(s->stack, iov, count) : socket_writev(s, iov, count);
}

ssize_t stream_splice_in(struct stream *s, int pipe, size_t len)
{
    return stream_result(splice(s->fd, NULL, pipe, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

ssize_t stream_splice_out(struct stream *s, int pipe, size_t len)
{
    return stream_result(splice(pipe, NULL, s->fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

int socket_error(const struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

int stream_connected(struct stream *s)
{
    int error = s->stack ? stack_connected(s->stack) : socket_error(s);
    if (!error)
        s->connecting = false;
    return error;
}

static void watch(struct loop *l, ev_io *w, bool want)
{
    if (want == !!ev_is_active(w))
        return;
    if (want)
        ev_io_start(l->ev, w);
    else
        ev_io_stop(l->ev, w);
}

void socket_want(struct stream *s, bool readable, bool writable)
{
    watch(s->loop, &s->rd, readable);
    watch(s->loop, &s->wr, writable);
}

void stream_want(struct stream *s, bool readable, bool writable)
{
    if (s->stack)
        stack_want(s->stack, readable, writable);
    else
        socket_want(s, readable, writable);
}

void stream_peer(const struct stream *s, struct addr *peer)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    *peer = (struct addr){0};
    if (getpeername(s->fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_sockaddr(peer, (struct sockaddr *)&ss);
}

void stream_local(const struct stream *s, struct addr *local)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    *local = (struct addr){0};
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_sockaddr(local, (struct sockaddr *)&ss);
}

size_t stream_unacknowledged(const struct stream *s)
{
    int bytes = 0;
    return ioctl(s->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

bool stream_shut(struct stream *s)
{
    if (s->stack && !stack_finish(s->stack))
        return false;
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_WR);
    return true;
}

static void stream_end(struct stream *s, bool well)
{
    if (s->stack)
        stack_free(s->stack, well);
    s->stack = NULL;
    if (s->fd < 0)
        return;
    socket_want(s, false, false);
    if (well)
        set_linger(s->fd, 0);
    close(s->fd);
    s->fd = -1;
}

void stream_close(struct stream *s)
{
    stream_end(s, true);
}

void stream_reset(struct stream *s)
{
    stream_end(s, false);
}
