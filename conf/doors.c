#include "conf/doors.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "transport/listen.h"

static struct door *doors_of(size_t ports)
{
    struct door *d = calloc(ports, sizeof *d);
    for (size_t i = 0; d && i < ports; i++)
        d[i].heir_of = DOOR_NEW;
    return d;
}

int doors_init(struct doors *d, const struct inbound_conf *in, unsigned loops)
{
    unsigned networks = inbound_networks(in);
    *d = (struct doors){.ports = inbound_ports(in), .loops = loops};
    d->tcp = networks & NET_TCP ? doors_of(d->ports) : NULL;
    d->udp = networks & NET_UDP ? doors_of(d->ports) : NULL;
    if ((networks & NET_TCP && !d->tcp) || (networks & NET_UDP && !d->udp))
        return -1;
    return 0;
}

static bool same_host(const struct addr *a, const struct addr *b)
{
    struct addr x = *a, y = *b;
    x.port = y.port = 0;
    return addr_equal(&x, &y);
}

static void inherit(struct door *d, const struct inbound_conf *in, const struct inbound_conf *old,
                    ptrdiff_t old_index)
{
    for (size_t i = 0; d && i < inbound_ports(in); i++) {
        size_t port = in->ports.from + i;
        if (port < old->ports.from || port > old->ports.to)
            continue;
        d[i].heir_of = old_index;
        d[i].heir_port = port - old->ports.from;
    }
}

void doors_inherit(struct doors *d, const struct inbound_conf *in, const struct inbound_conf *old,
                   ptrdiff_t old_index)
{
    if (!same_host(&in->listen, &old->listen))
        return;
    if (inbound_networks(old) & NET_TCP)
        inherit(d->tcp, in, old, old_index);
    if (inbound_networks(old) & NET_UDP)
        inherit(d->udp, in, old, old_index);
}

static int door_open(struct door *d, const struct addr *at, int socktype,
                     const struct listen_conf *conf, unsigned loops, struct err *e)
{
    if (d->heir_of != DOOR_NEW)
        return 0;
    int *fds = calloc(loops, sizeof *fds);
    if (!fds)
        return err_set(e, ENOMEM, "out of memory");
    if (listen_open_as(at, socktype, conf, fds, loops, e) < 0) {
        free(fds);
        return -1;
    }
    d->fds = fds;
    return 0;
}

int doors_open(struct doors *d, const struct inbound_conf *in, struct err *e)
{
    struct addr at = in->listen;
    struct listen_conf conf = {in->carriage ? &in->carriage->sockopt : NULL, in->unix_mode};
    for (size_t i = 0; i < d->ports; i++) {
        at.port = (uint16_t)(in->ports.from + i);
        if ((d->tcp && door_open(&d->tcp[i], &at, SOCK_STREAM, &conf, d->loops, e) < 0) ||
            (d->udp && door_open(&d->udp[i], &at, SOCK_DGRAM, &conf, d->loops, e) < 0))
            return err_wrap(e, "inbound %s \"%s\"", in->pointer, in->tag);
    }
    return 0;
}

int door_take(struct door *d, unsigned loop)
{
    int fd = d->fds[loop];
    d->fds[loop] = -1;
    return fd;
}

static void doors_close(struct door *d, size_t ports, unsigned loops)
{
    for (size_t i = 0; d && i < ports; i++) {
        if (d[i].fds)
            listen_close(d[i].fds, loops);
        free(d[i].fds);
    }
    free(d);
}

void doors_fini(struct doors *d)
{
    doors_close(d->tcp, d->ports, d->loops);
    doors_close(d->udp, d->ports, d->loops);
    *d = (struct doors){0};
}
