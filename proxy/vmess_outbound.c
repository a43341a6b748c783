#include "proxy/vmess_outbound.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/request.h"

struct vmess_outbound {
    struct outbound out;
    const struct vmess_out_conf *conf;
    const struct addr *send_through;
    const struct traffic *traffic;
    size_t next; /* server */
};

static void vmess_outbound_open(struct outbound *out, struct flow *f)
{
    struct vmess_outbound *v = container_of(out, struct vmess_outbound, out);
    const struct vmess_server_conf *server = &v->conf->servers[v->next++ % v->conf->count];
    const struct vmess_user *user = &server->users[randombytes_uniform((uint32_t)server->count)];
    struct request_to how = {.addr = &server->addr,
                             .from = v->send_through,
                             .family = DIAL_AS_IS,
                             .traffic = v->traffic,
                             .carrier = f->carrier};
    struct codec *codec =
        vmess_request_new(user, f->meta.net, &f->meta.target, (int64_t)time(NULL));
    struct err why;
    if (codec) {
        request_open(out, f, &how, codec);
        return;
    }
    err_set(&why, ENOMEM, "out of memory");
    flow_refuse(f, &why);
}

static void vmess_outbound_free(struct outbound *out)
{
    free(container_of(out, struct vmess_outbound, out));
}

static const struct outbound_ops vmess_outbound_ops = {.open = vmess_outbound_open,
                                                       .free = vmess_outbound_free};

struct outbound *vmess_outbound_new(struct loop *l, const char *tag,
                                    const struct vmess_out_conf *conf,
                                    const struct addr *send_through, const struct traffic *traffic)
{
    struct vmess_outbound *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->out = (struct outbound){.ops = &vmess_outbound_ops, .loop = l, .tag = tag};
    v->conf = conf;
    v->send_through = send_through;
    v->traffic = traffic;
    v->next = randombytes_random() % conf->count;
    return &v->out;
}

void vmess_outbound_adopt(struct outbound *out, const struct vmess_out_conf *conf,
                          const struct traffic *traffic)
{
    struct vmess_outbound *v = container_of(out, struct vmess_outbound, out);
    v->conf = conf;
    v->traffic = traffic;
}
