#include "proxy/http_outbound.h"

#include <sodium.h>
#include <stdlib.h>

#include "proxy/request.h"

struct http_outbound {
    struct outbound out;
    const struct http_out_conf *conf;
    const struct addr *send_through;
    const struct traffic *traffic;
    size_t next; /* server */
};

static void refuse(struct flow *f, int code, const char *text)
{
    struct err why;
    err_set(&why, code, "%s", text);
    flow_refuse(f, &why);
}

static void http_outbound_open(struct outbound *out, struct flow *f)
{
    struct http_outbound *h = container_of(out, struct http_outbound, out);
    const struct login *login;
    const struct login_server *server = login_pick(&h->conf->servers, &h->next, &login);
    struct request_to how = {.addr = &server->addr,
                             .from = h->send_through,
                             .family = DIAL_AS_IS,
                             .traffic = h->traffic,
                             .carrier = f->carrier};
    if (f->packets) {
        refuse(f, EOPNOTSUPP, "an http proxy takes no UDP");
        return;
    }
    struct codec *codec = http_request_new(login, h->conf->headers, &f->meta.target);
    if (codec)
        request_open(out, f, &how, codec);
    else
        refuse(f, ENOMEM, "out of memory");
}

static void http_outbound_free(struct outbound *out)
{
    free(container_of(out, struct http_outbound, out));
}

static const struct outbound_ops http_outbound_ops = {.open = http_outbound_open,
                                                      .free = http_outbound_free};

struct outbound *http_outbound_new(struct loop *l, const char *tag,
                                   const struct http_out_conf *conf,
                                   const struct addr *send_through, const struct traffic *traffic)
{
    struct http_outbound *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->out = (struct outbound){.ops = &http_outbound_ops, .loop = l, .tag = tag};
    h->conf = conf;
    h->send_through = send_through;
    h->traffic = traffic;
    h->next = randombytes_random() % conf->servers.count;
    return &h->out;
}

void http_outbound_adopt(struct outbound *out, const struct http_out_conf *conf,
                         const struct traffic *traffic)
{
    struct http_outbound *h = container_of(out, struct http_outbound, out);
    h->conf = conf;
    h->traffic = traffic;
}
