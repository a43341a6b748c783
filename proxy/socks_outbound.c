#include "proxy/socks_outbound.h"

#include <sodium.h>
#include <stdlib.h>

#include "proxy/request.h"
#include "proxy/socks_datagrams.h"

struct socks_outbound {
    struct outbound out;
    const struct socks_out_conf *conf;
    const struct addr *send_through;
    const struct traffic *traffic;
    size_t next; /* server */
};

static void socks_outbound_open(struct outbound *out, struct flow *f)
{
    struct socks_outbound *s = container_of(out, struct socks_outbound, out);
    const struct login *login;
    const struct login_server *server = login_pick(&s->conf->servers, &s->next, &login);
    struct err why;
    struct request_to how = {.addr = &server->addr,
                             .from = s->send_through,
                             .family = DIAL_AS_IS,
                             .traffic = s->traffic,
                             .carrier = f->carrier};
    struct codec *codec = socks_request_new(login, &f->meta.target, f->packets);
    if (codec && f->packets) {
        socks_datagrams_open(out, f, &how, codec);
    } else if (codec) {
        request_open(out, f, &how, codec);
    } else {
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
    }
}

static void socks_outbound_free(struct outbound *out)
{
    free(container_of(out, struct socks_outbound, out));
}

static const struct outbound_ops socks_outbound_ops = {.open = socks_outbound_open,
                                                       .free = socks_outbound_free};

struct outbound *socks_outbound_new(struct loop *l, const char *tag,
                                    const struct socks_out_conf *conf,
                                    const struct addr *send_through, const struct traffic *traffic)
{
    struct socks_outbound *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->out = (struct outbound){.ops = &socks_outbound_ops, .loop = l, .tag = tag};
    s->conf = conf;
    s->send_through = send_through;
    s->traffic = traffic;
    s->next = randombytes_random() % conf->servers.count;
    return &s->out;
}

void socks_outbound_adopt(struct outbound *out, const struct socks_out_conf *conf,
                          const struct traffic *traffic)
{
    struct socks_outbound *s = container_of(out, struct socks_outbound, out);
    s->conf = conf;
    s->traffic = traffic;
}
