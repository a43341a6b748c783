#include "transport/listen.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transport/stream.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    FD_RESERVE = 64, /* descriptors that visitors may not take: carriers, the admin, log files */
};

static const double PAUSE = 0.1; /* seconds without accepting when descriptors are short */

static int bound_socket(const struct sockaddr *sa, socklen_t len, int socktype, bool shared)
{
    int fd = socket(sa->sa_family, socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (fd < 0)
        return -1;
    if (socktype == SOCK_STREAM) /* for datagrams it would let a second socket take the port over */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, sa, len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* One socket for both families; on a host without IPv6 the IPv4 half of it. */
static int bind_any(uint16_t port, int socktype, bool shared)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = bound_socket((struct sockaddr *)&v6, sizeof v6, socktype, shared);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    return bound_socket((struct sockaddr *)&v4, sizeof v4, socktype, shared);
}

int listen_bind(const struct addr *at, int socktype, bool shared, struct err *e)
{
    char text[ADDR_TEXT_MAX];
    struct sockaddr_storage ss;
    int fd;
    if (at->type == ADDR_NONE) {
        fd = bind_any(at->port, socktype, shared);
        return fd >= 0 ? fd : err_sys(e, "listen on port %u of every address", at->port);
    }
    socklen_t len = addr_to_sockaddr(at, &ss);
    fd = bound_socket((struct sockaddr *)&ss, len, socktype, shared);
    return fd >= 0 ? fd : err_sys(e, "listen on %s", addr_text(at, text));
}

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

int listen_start(struct listener *ln, struct loop *l, const struct addr *at, bool shared,
                 listen_accepted *accepted, void *owner, struct err *e)
{
    char text[ADDR_TEXT_MAX];
    *ln = (struct listener){.loop = l, .fd_max = fd_max(), .accepted = accepted, .owner = owner};
    ln->fd = listen_bind(at, SOCK_STREAM, shared, e);
    if (ln->fd < 0)
        return -1;
    stream_prepare(ln->fd);
    if (listen(ln->fd, BACKLOG) < 0) {
        err_sys(e, "listen on %s", addr_text(at, text));
        close(ln->fd);
        return -1;
    }
    ev_io_init(&ln->io, on_acceptable, ln->fd, EV_READ);
    ln->io.data = ln;
    ev_io_start(l->ev, &ln->io);
    ev_timer_init(&ln->pause, on_pause_over, 0, PAUSE);
    ln->pause.data = ln;
    return 0;
}

void listen_stop(struct listener *ln)
{
    ev_io_stop(ln->loop->ev, &ln->io);
    ev_timer_stop(ln->loop->ev, &ln->pause);
    close(ln->fd);
}
