#include "transport/dial.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/loop.h"
#include "transport/resolve.h"
#include "transport/stream.h"

static int dial_bind(int fd, const struct addr *from, struct err *e)
{
    struct sockaddr_storage ss;
    char text[ADDR_TEXT_MAX];
    if (!from || from->type == ADDR_NONE)
        return 0;
    struct addr any_port = *from;
    any_port.port = 0;
    socklen_t len = addr_to_sockaddr(&any_port, &ss);
    return bind(fd, (struct sockaddr *)&ss, len) == 0
               ? 0
               : err_sys(e, "send through %s", addr_host_text(from, text));
}

/* A socket on its way to an IP address; -1 and e. */
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
    if (dial_bind(fd, d->from, e) == 0) {
        if (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
            return fd;
        err_sys(e, "connect %s", addr_text(to, text));
    }
    close(fd);
    return -1;
}

static void dial_next(struct dial *d, struct err *why)
{
    while (d->next < d->rest_count) {
        int fd = dial_connect(d, &d->rest[d->next++], why);
        if (fd >= 0) {
            d->done(d->owner, fd, NULL);
            return;
        }
    }
    d->done(d->owner, -1, why);
}

static void on_resolved(void *owner, const struct resolve_answer *a)
{
    struct dial *d = owner;
    struct err why = a->why;
    d->query = NULL;
    d->rest = a->count ? malloc(a->count * sizeof *d->rest) : NULL;
    if (a->count && !d->rest)
        err_set(&why, ENOMEM, "out of memory");
    for (size_t i = 0; d->rest && i < a->count; i++) {
        d->rest[i] = a->addrs[i];
        d->rest[i].port = d->port;
        d->rest_count = i + 1;
    }
    dial_next(d, &why);
}

void dial_start(struct dial *d, const struct addr *to, enum dial_family family)
{
    struct err why;
    d->port = to->port;
    if (addr_is_ip(to)) {
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

void dial_again(struct dial *d, const struct err *why)
{
    struct err last = *why;
    dial_next(d, &last);
}

void dial_stop(struct dial *d)
{
    if (d->query)
        resolve_cancel(d->query);
    d->query = NULL;
    free(d->rest);
    d->rest = NULL;
    d->rest_count = d->next = 0;
}
