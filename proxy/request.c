#include "proxy/request.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "routing/dispatch.h"
#include "transport/carriage.h"
#include "transport/flow_layer.h"

struct request {
    struct conn conn;
    struct dial dial;
    struct carriage *carriage; /* what it needs of it; NULL: plain tcp */
    struct addr *to;           /* as asked for; only with a carriage; owned */
    bool carrier;
};

static void request_release(struct conn *c)
{
    struct request *r = container_of(c, struct request, conn);
    dial_stop(&r->dial);
    carriage_unref(r->carriage);
    free(r->to);
    free(r);
}

static void request_unreached(struct conn *c, struct err *why)
{
    const struct request *r = container_of(c, struct request, conn);
    char text[ADDR_TEXT_MAX];
    err_wrap(why, "connect %s", addr_text(&r->dial.tried, text));
}

/* The stream has a socket, or what stands for it. */
static void request_start(struct request *r)
{
    struct err why;
    r->conn.stream.connecting = true;
    if (carriage_dialled(&r->conn.stream, r->carriage, r->to, &why) < 0)
        conn_fail(&r->conn, &why);
    else
        conn_start(&r->conn, NULL, 0);
}

static void on_dialled(void *owner, int fd, const struct err *why)
{
    struct request *r = owner;
    if (fd < 0) {
        conn_fail(&r->conn, why);
        return;
    }
    conn_attach(&r->conn, fd);
    r->conn.stream.fresh = true;
    if (r->carrier)
        stream_prepare_carrier(&r->conn.stream);
    sockopt_keep(&r->conn.stream, r->dial.sockopt);
    request_start(r);
}

/* --- through another outbound --- */

/* What is dialled there is a flow of its own, below this one. */
static struct flow *lower_flow(const struct flow *upper, const struct addr *to, struct layer *l)
{
    struct flow *f = flow_twin(upper);
    if (!f)
        return NULL;
    f->packets = f->opened = false;
    f->tries = 0;
    f->meta.net = NET_TCP;
    f->meta.target = *to;
    f->meta.guessed = false;
    flow_start(f, upper->loop, flow_layer_end(l), &flow_layer_end_ops);
    return f;
}

static void request_through(struct request *r, struct outbound *via, const struct addr *to)
{
    struct err why;
    struct layer *l = flow_layer_new();
    struct flow *f = l ? lower_flow(r->conn.end.flow, to, l) : NULL;
    r->dial.tried = *to; /* what a failure names */
    conn_attach(&r->conn, -1);
    if (!f || stream_put_layer(&r->conn.stream, l) < 0) {
        if (l && !f)
            l->ops->free(l, false);
        if (f)
            flow_refuse(f, NULL);
        err_set(&why, ENOMEM, "out of memory");
        conn_fail(&r->conn, &why);
        return;
    }
    request_start(r);
    dispatch_through(via, f);
}

/* What dialling and its layers need, however long they take. False: out of memory. */
static bool request_keep(struct request *r, const struct outbound *out, const struct addr *to)
{
    if (!out->carriage)
        return true;
    r->carriage = carriage_ref(out->carriage);
    r->to = malloc(sizeof *r->to);
    if (r->to)
        *r->to = *to;
    return r->to;
}

static void request_refuse(struct flow *f, struct codec *codec, int code, const char *reason)
{
    struct err why;
    if (codec)
        codec->ops->free(codec);
    err_set(&why, code, "%s", reason);
    flow_refuse(f, &why);
}

static struct request *request_new(struct outbound *out, const struct request_to *to,
                                   struct codec *codec)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    if (!request_keep(r, out, to->addr)) {
        carriage_unref(r->carriage);
        free(r);
        return NULL;
    }
    conn_init(&r->conn, out->loop, codec, to->traffic, request_release);
    r->conn.unreached = request_unreached;
    r->carrier = to->carrier;
    r->dial = (struct dial){.loop = out->loop,
                            .socktype = SOCK_STREAM,
                            .from = to->from,
                            .sockopt = r->carriage ? &r->carriage->sockopt : NULL,
                            .done = on_dialled,
                            .owner = r};
    return r;
}

/* The address, unless the carriage has another place. */
static const struct addr *dialled(const struct request *r, const struct addr *to)
{
    return r->carriage && r->carriage->path ? r->carriage->path : to;
}

void request_open(struct outbound *out, struct flow *f, const struct request_to *to,
                  struct codec *codec)
{
    struct outbound *via = out->via ? dispatcher_find(out->dispatcher, out->via) : NULL;
    if (out->via && !via) {
        request_refuse(f, codec, EHOSTUNREACH, "the outbound through which it dials is gone");
        return;
    }
    struct request *r = request_new(out, to, codec);
    if (!r) {
        request_refuse(f, codec, ENOMEM, "out of memory");
        return;
    }
    flow_join(f, &r->conn.end, &conn_end_ops);
    if (via)
        request_through(r, via, to->addr);
    else
        dial_start(&r->dial, dialled(r, to->addr), to->family);
}
