#include "transport/listen.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transport/stream.h"

enum {
    ORIGINAL_DST = 80
}; /* of Linux' netfilter, for IPv4 and IPv6: its headers do not go with libc's */

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    FD_RESERVE = 64, /* descriptors that visitors may not take: carriers, the admin, log files */
};

static const double PAUSE = 0.1; /* seconds without accepting when descriptors are short */

/* --- sockets --- */

/* The answer to a datagram must come from the address to which it was sent. */
static void tell_here(int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) < 0)
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on); /* a host without IPv6 */
}

static bool bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len, int socktype)
{
    int on = 1, off = 0;
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (socktype == SOCK_DGRAM) /* here SO_REUSEADDR would let a second socket take the port over */
        return bind(fd, sa, len) == 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    stream_prepare(fd);
    stream_limit_unsent(fd);
    return bind(fd, sa, len) == 0 && listen(fd, BACKLOG) == 0;
}

/* shared: beside a socket of ours that has the port already. */
static int open_at(const struct sockaddr *sa, socklen_t len, int socktype, bool shared)
{
    int fd = socket(sa->sa_family, socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind_and_listen(fd, sa, len, socktype))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* One socket for both families; on a host without IPv6 the IPv4 half of it. */
static int open_any(uint16_t port, int socktype)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = open_at((struct sockaddr *)&v6, sizeof v6, socktype, false);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        fd = open_at((struct sockaddr *)&v4, sizeof v4, socktype, false);
    if (fd >= 0 && socktype == SOCK_DGRAM)
        tell_here(fd);
    return fd;
}

static int open_first(const struct addr *at, int socktype)
{
    struct sockaddr_storage ss;
    if (at->type == ADDR_NONE)
        return open_any(at->port, socktype);
    socklen_t len = addr_to_sockaddr(at, &ss);
    return open_at((struct sockaddr *)&ss, len, socktype, false);
}

/* The first socket took the port without SO_REUSEPORT, which only one process can; only then do the others
 * come beside it. */
static bool open_others(const struct addr *at, int socktype, int fds[], unsigned count)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int on = 1;
    if (count == 1)
        return true;
    if (getsockname(fds[0], (struct sockaddr *)&ss, &len) < 0 ||
        setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        return false;
    for (unsigned i = 1; i < count; i++) {
        fds[i] = open_at((struct sockaddr *)&ss, len, socktype, true);
        if (fds[i] < 0)
            return false;
        if (at->type == ADDR_NONE && socktype == SOCK_DGRAM)
            tell_here(fds[i]);
    }
    return true;
}

int listen_open(const struct addr *at, int socktype, int fds[], unsigned count, struct err *e)
{
    char text[ADDR_TEXT_MAX];
    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    fds[0] = open_first(at, socktype);
    if (fds[0] >= 0 && open_others(at, socktype, fds, count))
        return 0;
    if (at->type == ADDR_NONE)
        err_sys(e, "listen on port %u of every address", at->port);
    else
        err_sys(e, "listen on %s", addr_text(at, text));
    listen_close(fds, count);
    return -1;
}

void listen_close(int fds[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* --- a listener --- */

/* The first descriptor number that is left to others than visitors. */
static int fd_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    return limit.rlim_cur > 2 * FD_RESERVE ? (int)limit.rlim_cur - FD_RESERVE : (int)limit.rlim_cur;
}

static void listen_pause(struct listener *ln, const char *why)
{
    ev_io_stop(ln->loop->ev, &ln->io);
    ev_timer_again(ln->loop->ev, &ln->pause);
    stat_add(ln->loop->counters, STAT_accepts_paused, 1);
    if (log_allowed(&ln->complained, (int64_t)loop_now(ln->loop), 1))
        log_warn("not accepting for a moment: %s; raise the limit of open files", why);
}

static void on_pause_over(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct listener *ln = w->data;
    ev_timer_stop(ev, w);
    ev_io_start(ev, &ln->io);
}

static bool out_of_descriptors(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* False: nothing more to accept now. */
static bool listen_accept(struct listener *ln)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr from;
    int fd = accept4(ln->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (out_of_descriptors(errno))
            listen_pause(ln, strerror(errno));
        return errno == ECONNABORTED || errno == EPROTO || errno == EINTR;
    }
    if (fd >= ln->fd_max) {
        listen_refuse(fd);
        listen_pause(ln, "descriptors are short");
        return false;
    }
    stat_add(ln->loop->counters, STAT_accepts, 1);
    addr_from_sockaddr(&from, (struct sockaddr *)&ss);
    ln->accepted(ln, fd, &from);
    return true;
}

static bool original(int fd, int level, struct addr *a)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockopt(fd, level, ORIGINAL_DST, &ss, &len) < 0)
        return false;
    addr_from_sockaddr(a, (struct sockaddr *)&ss);
    return addr_is_ip(a);
}

/* What came here by itself was going here: following that would go round in circles. */
bool listen_redirected(int fd, struct addr *to)
{
    struct sockaddr_storage ss;
    struct addr here, there;
    socklen_t len = sizeof ss;
    if (!original(fd, IPPROTO_IP, &there) && !original(fd, IPPROTO_IPV6, &there))
        return false;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return false;
    addr_from_sockaddr(&here, (struct sockaddr *)&ss);
    if (addr_equal(&here, &there))
        return false;
    *to = there;
    return true;
}

void listen_refuse(int fd)
{
    close(fd); /* the linger option inherited from the listener makes this a reset */
}

static void on_acceptable(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && listen_accept(w->data); i++)
        ;
}

void listen_start(struct listener *ln, struct loop *l, int fd, listen_accepted *accepted,
                  void *owner)
{
    *ln = (struct listener){
        .loop = l, .fd = fd, .fd_max = fd_max(), .accepted = accepted, .owner = owner};
    ev_io_init(&ln->io, on_acceptable, ln->fd, EV_READ);
    ln->io.data = ln;
    ev_set_priority(&ln->io, LOOP_BEGINNERS);
    ev_io_start(l->ev, &ln->io);
    ev_timer_init(&ln->pause, on_pause_over, 0, PAUSE);
    ln->pause.data = ln;
}

int listen_release(struct listener *ln)
{
    int fd = ln->fd;
    ev_io_stop(ln->loop->ev, &ln->io);
    ev_timer_stop(ln->loop->ev, &ln->pause);
    ln->fd = -1;
    return fd;
}

void listen_drain(struct listener *ln)
{
    for (int i = 0; i < BACKLOG && listen_accept(ln); i++)
        ;
    listen_stop(ln);
}

void listen_stop(struct listener *ln)
{
    close(listen_release(ln));
}
