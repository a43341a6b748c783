#include "proxy/blackhole.h"

#include <stdlib.h>

static const char FORBIDDEN[] = "HTTP/1.1 403 Forbidden\r\n"
                                "Connection: close\r\n"
                                "Cache-Control: max-age=3600, public\r\n"
                                "Content-Length: 0\r\n"
                                "\r\n";

struct blackhole {
    struct outbound out;
    const struct blackhole_conf *conf;
};

/* Takes the seat only to answer and leave. */
static void on_wake(struct end *e)
{
    end_write(e, FORBIDDEN, sizeof FORBIDDEN - 1);
    end_leave(e, NULL);
    free(e);
}

static const struct end_ops blackhole_end_ops = {.wake = on_wake};

static void blackhole_open(struct outbound *out, struct flow *f)
{
    struct blackhole *b = container_of(out, struct blackhole, out);
    struct end *e = b->conf->http && !f->packets ? malloc(sizeof *e) : NULL;
    if (e)
        flow_join(f, e, &blackhole_end_ops);
    else
        flow_refuse(f, NULL);
}

static void blackhole_free(struct outbound *out)
{
    free(container_of(out, struct blackhole, out));
}

static const struct outbound_ops blackhole_ops = {.open = blackhole_open, .free = blackhole_free};

struct outbound *blackhole_new(struct loop *l, const char *tag, const struct blackhole_conf *conf)
{
    struct blackhole *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->out = (struct outbound){.ops = &blackhole_ops, .loop = l, .tag = tag};
    b->conf = conf;
    return &b->out;
}

void blackhole_adopt(struct outbound *out, const struct blackhole_conf *conf)
{
    container_of(out, struct blackhole, out)->conf = conf;
}
