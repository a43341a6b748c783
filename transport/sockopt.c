#include "transport/sockopt.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/stream.h"

enum { FAST_OPEN_QUEUE = 256 };

static const char *advice_for(int name)
{
    if (errno == EPERM)
        return "; it needs CAP_NET_ADMIN";
    if (errno == ENOENT && name == TCP_CONGESTION)
        return "; /proc/sys/net/ipv4/tcp_available_congestion_control has those that there are";
    return "";
}

static int set_bytes(int fd, int level, int name, const void *value, size_t len, const char *key,
                     struct err *e)
{
    if (setsockopt(fd, level, name, value, (socklen_t)len) == 0)
        return 0;
    const char *advice = advice_for(name);
    return err_set(e, errno, "sockopt %s: %s%s", key, strerror(errno), advice);
}

static int set_number(int fd, int level, int name, int value, const char *key, struct err *e)
{
    return set_bytes(fd, level, name, &value, sizeof value, key, e);
}

/* What is not said is not set. */
static int set_said(int fd, int level, int name, int value, const char *key, struct err *e)
{
    return value > 0 ? set_number(fd, level, name, value, key, e) : 0;
}

static int set_way(int fd, const struct sockopt_conf *c, struct err *e)
{
    if (c->mark && set_bytes(fd, SOL_SOCKET, SO_MARK, &c->mark, sizeof c->mark, "mark", e) < 0)
        return -1;
    if (!c->interface)
        return 0;
    return set_bytes(fd, SOL_SOCKET, SO_BINDTODEVICE, c->interface, strlen(c->interface),
                     "interface", e);
}

static int set_keepalive(int fd, const struct sockopt_conf *c, struct err *e)
{
    if (c->keepalive_idle < 0 || c->keepalive_interval < 0)
        return set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 0, "tcpKeepAliveIdle", e);
    if (set_said(fd, IPPROTO_TCP, TCP_KEEPIDLE, c->keepalive_idle, "tcpKeepAliveIdle", e) < 0)
        return -1;
    return set_said(fd, IPPROTO_TCP, TCP_KEEPINTVL, c->keepalive_interval, "tcpKeepAliveInterval",
                    e);
}

static int set_congestion(int fd, const struct sockopt_conf *c, struct err *e)
{
    if (!c->congestion)
        return 0;
    return set_bytes(fd, IPPROTO_TCP, TCP_CONGESTION, c->congestion, strlen(c->congestion),
                     "tcpCongestion", e);
}

static int set_tcp(int fd, const struct sockopt_conf *c, struct err *e)
{
    if (set_keepalive(fd, c, e) < 0 || set_congestion(fd, c, e) < 0 ||
        set_said(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, c->user_timeout, "tcpUserTimeout", e) < 0 ||
        set_said(fd, IPPROTO_TCP, TCP_MAXSEG, c->max_seg, "tcpMaxSeg", e) < 0)
        return -1;
    return set_said(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, c->window_clamp, "tcpWindowClamp", e);
}

/* The options of IP mean nothing to other sockets. */
static bool is_inet(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           (domain == AF_INET || domain == AF_INET6);
}

int sockopt_dial(int fd, int socktype, const struct sockopt_conf *c, struct err *e)
{
    if (!c || !is_inet(fd))
        return 0;
    if (set_way(fd, c, e) < 0)
        return -1;
    if (socktype == SOCK_DGRAM)
        return 0;
    if (c->fast_open > 0 &&
        set_number(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1, "tcpFastOpen", e) < 0)
        return -1;
    return set_tcp(fd, c, e);
}

static int listen_fast_open(int fd, const struct sockopt_conf *c, struct err *e)
{
    int queue = c->fast_open < 0 ? 0 : c->fast_open > 1 ? c->fast_open : FAST_OPEN_QUEUE;
    return c->fast_open ? set_number(fd, IPPROTO_TCP, TCP_FASTOPEN, queue, "tcpFastOpen", e) : 0;
}

int sockopt_listen(int fd, int socktype, const struct sockopt_conf *c, struct err *e)
{
    int on = 1;
    if (!c || !is_inet(fd))
        return 0;
    if (c->v6only)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on); /* fails on what is IPv4 */
    if (set_way(fd, c, e) < 0)
        return -1;
    if (socktype == SOCK_DGRAM)
        return 0;
    return listen_fast_open(fd, c, e) < 0 ? -1 : set_tcp(fd, c, e);
}

void sockopt_keep(struct stream *s, const struct sockopt_conf *c)
{
    struct err ignored;
    if (!c || s->fd < 0 || !is_inet(s->fd))
        return;
    stream_prepare_lasting(s);
    set_keepalive(s->fd, c, &ignored);
    set_said(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, c->user_timeout, "tcpUserTimeout", &ignored);
}
