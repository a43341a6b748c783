#include "transport/dial.h"

#include <unistd.h>

#include "core/loop.h"
#include "transport/race.h"
#include "transport/resolve.h"
#include "transport/sockopt.h"
#include "transport/stream.h"

static int dial_bind(int fd, const struct addr *from, const struct addr *to, struct err *e)
{
    struct sockaddr_storage ss;
    char text[ADDR_TEXT_MAX];
    if (!from || from->type == ADDR_NONE || to->type == ADDR_UNIX)
        return 0;
    struct addr any_port = *from;
    any_port.port = 0;
    socklen_t len = addr_to_sockaddr(&any_port, &ss);
    return bind(fd, (struct sockaddr *)&ss, len) == 0
               ? 0
               : err_sys(e, "send through %s", addr_host_text(from, text));
}

/* A socket on its way to an IP address or a unix socket; -1 and e. */
static int dial_connect(struct dial *d, const struct addr *to, struct err *e)
{
    struct sockaddr_storage ss;
    char text[ADDR_TEXT_MAX];
    socklen_t len = addr_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, d->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, "socket for %s", addr_text(to, text));
    d->tried = *to;
    if (d->socktype == SOCK_STREAM)
        stream_arm(fd);
    if (sockopt_dial(fd, d->socktype, d->sockopt, e) == 0 && dial_bind(fd, d->from, to, e) == 0) {
        if (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
            return fd;
        err_sys(e, "connect %s", addr_text(to, text));
    }
    close(fd);
    return -1;
}

static int on_race_connect(void *owner, const struct addr *to, struct err *e)
{
    return dial_connect(owner, to, e);
}

static void on_race_done(void *owner, int fd, const struct addr *to, const struct err *why)
{
    struct dial *d = owner;
    if (to)
        d->tried = *to;
    d->done(d->owner, fd, why);
}

static const struct race_ops race_ops = {.connect = on_race_connect, .done = on_race_done};

/* Datagrams have nothing that could connect: the first address that has a way there. */
static void dial_first(struct dial *d, const struct addr *addrs, size_t count)
{
    struct err why = {0};
    int fd = -1;
    for (size_t i = 0; i < count && fd < 0; i++)
        fd = dial_connect(d, &addrs[i], &why);
    d->done(d->owner, fd, &why);
}

static void on_resolved(void *owner, const struct resolve_answer *a)
{
    struct dial *d = owner;
    struct addr addrs[RESOLVE_MAX];
    d->query = NULL;
    for (size_t i = 0; i < a->count; i++) {
        addrs[i] = a->addrs[i];
        addrs[i].port = d->port;
    }
    if (!a->count)
        d->done(d->owner, -1, &a->why);
    else if (a->count > 1 && d->socktype == SOCK_STREAM)
        race_start(&d->race, d->loop, addrs, a->count, &race_ops, d);
    else
        dial_first(d, addrs, a->count);
}

void dial_start(struct dial *d, const struct addr *to, enum dial_family family)
{
    struct err why;
    d->port = to->port;
    if (addr_is_ip(to) || to->type == ADDR_UNIX) {
        int fd = dial_connect(d, to, &why);
        d->done(d->owner, fd, &why);
        return;
    }
    d->query = resolve_start(d->loop, to->name, family, on_resolved, d);
    if (d->query)
        return;
    err_set(&why, ENOMEM, "no resolver");
    d->done(d->owner, -1, &why);
}

void dial_stop(struct dial *d)
{
    if (d->query)
        resolve_cancel(d->query);
    d->query = NULL;
    race_stop(&d->race);
}
