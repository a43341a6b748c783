#include <stdlib.h>

#include "proxy/web.h"

struct web_outbound {
    struct outbound out;
    struct web *web;
};

static struct web *web_of(const struct outbound *out)
{
    return container_of(out, struct web_outbound, out)->web;
}

static void web_outbound_open(struct outbound *out, struct flow *f)
{
    struct err why;
    if (!f->packets) {
        web_serve(web_of(out), f, NULL);
        return;
    }
    err_set(&why, EPROTONOSUPPORT, "web: HTTP goes by TCP only");
    flow_refuse(f, &why);
}

static void web_outbound_drain(struct outbound *out)
{
    web_drain(web_of(out));
}

static bool web_outbound_busy(const struct outbound *out)
{
    return web_busy(web_of(out));
}

static void web_outbound_free(struct outbound *out)
{
    web_free(web_of(out));
    free(container_of(out, struct web_outbound, out));
}

static const struct outbound_ops web_outbound_ops = {.open = web_outbound_open,
                                                     .drain = web_outbound_drain,
                                                     .busy = web_outbound_busy,
                                                     .free = web_outbound_free};

struct outbound *web_outbound_new(struct dispatcher *d, const char *tag,
                                  const struct web_conf *conf)
{
    struct web_outbound *w = calloc(1, sizeof *w);
    struct web *web = w ? web_new(d, conf, NULL) : NULL;
    if (!web) {
        free(w);
        return NULL;
    }
    w->out = (struct outbound){.ops = &web_outbound_ops, .loop = d->loop, .tag = tag};
    w->web = web;
    return &w->out;
}

void web_outbound_adopt(struct outbound *out, const struct web_conf *conf)
{
    web_adopt(web_of(out), conf);
}
