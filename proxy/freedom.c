#include "proxy/freedom.h"

#include <stdlib.h>

#include "proxy/announce.h"
#include "proxy/request.h"
#include "routing/dispatch.h"
#include "transport/udp.h"

struct freedom {
    struct outbound out;
    const struct freedom_conf *conf;
    const struct addr *send_through;
    const struct traffic *traffic;
};

static struct addr freedom_target(const struct freedom *fr, const struct flow *f)
{
    const struct addr *redirect = &fr->conf->redirect;
    struct addr to = redirect->type == ADDR_NONE ? f->meta.target : *redirect;
    to.port = redirect->port ? redirect->port : f->meta.target.port;
    return to;
}

static void freedom_refuse(struct flow *f, int code, const char *text)
{
    struct err why;
    err_set(&why, code, "%s", text);
    flow_refuse(f, &why);
}

/* Datagrams through another outbound need nothing of this one but the redirection. */
static void freedom_pass(struct outbound *out, struct flow *f, const struct addr *to)
{
    struct outbound *via = dispatcher_find(out->dispatcher, out->via);
    f->meta.target = *to;
    if (via)
        dispatch_through(via, f);
    else
        freedom_refuse(f, EHOSTUNREACH, "the outbound through which it dials is gone");
}

/* A stream; its target may want to know whose it is. */
static void freedom_dial(struct freedom *fr, struct flow *f, const struct addr *to)
{
    struct request_to how = {
        .addr = to, .from = fr->send_through, .family = fr->conf->family, .traffic = fr->traffic};
    int version = fr->conf->announces;
    struct codec *codec = version ? announce_new(version, &f->meta.source, to) : NULL;
    if (version && !codec)
        freedom_refuse(f, ENOMEM, "out of memory");
    else
        request_open(&fr->out, f, &how, codec);
}

static void freedom_open(struct outbound *out, struct flow *f)
{
    struct freedom *fr = container_of(out, struct freedom, out);
    struct addr to = freedom_target(fr, f);
    struct udp_to udp = {.carriage = out->carriage,
                         .addr = &to,
                         .from = fr->send_through,
                         .family = fr->conf->family,
                         .traffic = fr->traffic};
    if (f->packets && out->via)
        freedom_pass(out, f, &to);
    else if (f->packets)
        udp_request_open(out->loop, f, &udp);
    else
        freedom_dial(fr, f, &to);
}

static void freedom_free(struct outbound *out)
{
    free(container_of(out, struct freedom, out));
}

static const struct outbound_ops freedom_ops = {.open = freedom_open, .free = freedom_free};

struct outbound *freedom_new(struct loop *l, const char *tag, const struct freedom_conf *conf,
                             const struct addr *send_through, const struct traffic *traffic)
{
    struct freedom *fr = calloc(1, sizeof *fr);
    if (!fr)
        return NULL;
    fr->out = (struct outbound){.ops = &freedom_ops, .loop = l, .tag = tag};
    fr->conf = conf;
    fr->send_through = send_through;
    fr->traffic = traffic;
    return &fr->out;
}

void freedom_adopt(struct outbound *out, const struct freedom_conf *conf,
                   const struct traffic *traffic)
{
    struct freedom *fr = container_of(out, struct freedom, out);
    fr->conf = conf;
    fr->traffic = traffic;
}
