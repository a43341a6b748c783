#include "transport/listen.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/sockopt.h"
#include "transport/stream.h"

enum {
    ORIGINAL_DST = 80
}; /* of Linux' netfilter, for IPv4 and IPv6: its headers do not go with libc's */

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    CROWD = 16,      /* accepted in one turn: the others have waited for long */
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

/* What a socket is opened with, and why it could not be when errno does not say. */
struct opening {
    int socktype;
    const struct listen_conf *conf;
    struct err why;
};

static bool set_options(struct opening *o, int fd, int family)
{
    int on = 1, off = 0;
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (family == AF_UNIX && o->conf->mode >= 0)
        fchmod(fd, (mode_t)o->conf->mode); /* so the file is never more open than that */
    if (o->socktype !=
        SOCK_DGRAM) { /* there SO_REUSEADDR would let a second socket take the port */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        stream_prepare(fd);
        stream_limit_unsent(fd);
    }
    return sockopt_listen(fd, o->socktype, o->conf->sockopt, &o->why) == 0;
}

static bool bind_and_listen(struct opening *o, int fd, const struct sockaddr *sa, socklen_t len)
{
    return bind(fd, sa, len) == 0 && (o->socktype == SOCK_DGRAM || listen(fd, BACKLOG) == 0);
}

/* shared: beside a socket of ours that has the port already. */
static int open_at(struct opening *o, const struct sockaddr *sa, socklen_t len, bool shared)
{
    int fd = socket(sa->sa_family, o->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (set_options(o, fd, sa->sa_family) && bind_and_listen(o, fd, sa, len))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* --- unix sockets --- */

static const char *file_of(const struct sockaddr_un *un)
{
    return un->sun_family == AF_UNIX && un->sun_path[0] ? un->sun_path : NULL;
}

/* A file that nobody listens behind was left by a process that could not remove it. */
static bool is_stale(const struct sockaddr *sa, socklen_t len)
{
    struct stat st;
    const char *path = file_of((const struct sockaddr_un *)(const void *)sa);
    if (!path || stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, sa, len) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int open_unix(struct opening *o, const struct sockaddr *sa, socklen_t len)
{
    const char *path = file_of((const struct sockaddr_un *)(const void *)sa);
    int fd = open_at(o, sa, len, false);
    bool taken = fd < 0 && errno == EADDRINUSE;
    if (taken && is_stale(sa, len) && unlink(path) == 0)
        fd = open_at(o, sa, len, false);
    else if (taken)
        errno = EADDRINUSE;
    mode_t mode = (mode_t)o->conf->mode;
    if (fd < 0 || !path || o->conf->mode < 0 ||
        fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) == 0)
        return fd; /* who may write to the folder could have put a link in its place */
    err_sys(&o->why, "chmod %s", path);
    close(fd);
    unlink(path);
    return -1;
}

/* With a unix socket goes its file. */
static void remove_file(int fd)
{
    struct sockaddr_un un;
    socklen_t len = sizeof un;
    memset(&un, 0, sizeof un);
    if (getsockname(fd, (struct sockaddr *)&un, &len) < 0)
        return;
    const char *path = file_of(&un);
    if (path)
        unlink(path);
}

/* --- sockets of IP --- */

/* One socket for both families; on a host without IPv6 the IPv4 half of it. */
static int open_any(struct opening *o, uint16_t port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = open_at(o, (struct sockaddr *)&v6, sizeof v6, false);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        fd = open_at(o, (struct sockaddr *)&v4, sizeof v4, false);
    if (fd >= 0 && o->socktype == SOCK_DGRAM)
        tell_here(fd);
    return fd;
}

static int open_first(struct opening *o, const struct addr *at)
{
    struct sockaddr_storage ss;
    if (at->type == ADDR_NONE)
        return open_any(o, at->port);
    socklen_t len = addr_to_sockaddr(at, &ss);
    if (at->type == ADDR_UNIX)
        return open_unix(o, (struct sockaddr *)&ss, len);
    return open_at(o, (struct sockaddr *)&ss, len, false);
}

/* The first socket took the port without SO_REUSEPORT, which only one process can; only then do the others
 * come beside it. */
static bool share(int fds[], unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        if (fds[i] < 0)
            return false;
    }
    return true;
}

static bool open_others(struct opening *o, const struct addr *at, int fds[], unsigned count)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int on = 1;
    if (count == 1)
        return true;
    if (at->type == ADDR_UNIX)
        return share(fds, count);
    if (getsockname(fds[0], (struct sockaddr *)&ss, &len) < 0 ||
        setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        return false;
    for (unsigned i = 1; i < count; i++) {
        fds[i] = open_at(o, (struct sockaddr *)&ss, len, true);
        if (fds[i] < 0)
            return false;
        if (at->type == ADDR_NONE && o->socktype == SOCK_DGRAM)
            tell_here(fds[i]);
    }
    return true;
}

static int listen_failed(const struct opening *o, const struct addr *at, struct err *e)
{
    char text[ADDR_TEXT_MAX];
    int code = errno;
    if (o->why.code)
        *e = o->why;
    else
        err_set(e, code, "%s", strerror(code));
    if (at->type == ADDR_NONE)
        return err_wrap(e, "listen on port %u of every address", at->port);
    return err_wrap(e, "listen on %s", addr_text(at, text));
}

int listen_open_as(const struct addr *at, int socktype, const struct listen_conf *conf, int fds[],
                   unsigned count, struct err *e)
{
    struct opening o = {.socktype = socktype, .conf = conf};
    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    fds[0] = open_first(&o, at);
    if (fds[0] >= 0 && open_others(&o, at, fds, count))
        return 0;
    listen_failed(&o, at, e);
    listen_close(fds, count);
    return -1;
}

int listen_open(const struct addr *at, int socktype, int fds[], unsigned count, struct err *e)
{
    static const struct listen_conf nothing = {.mode = -1};
    return listen_open_as(at, socktype, &nothing, fds, count, e);
}

void listen_close(int fds[], unsigned count)
{
    if (count && fds[0] >= 0)
        remove_file(fds[0]);
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

/* What is done for who has reset his connection is in vain, and others wait for it, and go as well. */
static bool has_gone(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error;
}

/* False: nothing more to accept now. */
static bool listen_accept(struct listener *ln, bool crowd)
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
    if (crowd && has_gone(fd)) {
        close(fd);
        return true;
    }
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
    for (int i = 0; i < ACCEPTS_PER_TURN && listen_accept(w->data, i >= CROWD); i++)
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
    for (int i = 0; i < BACKLOG && listen_accept(ln, i >= CROWD); i++)
        ;
    listen_stop(ln);
}

/* One of the loops that share a unix socket removes its file. */
void listen_stop(struct listener *ln)
{
    bool first = ln->loop->index == 0;
    int fd = listen_release(ln);
    if (first)
        remove_file(fd);
    close(fd);
}
