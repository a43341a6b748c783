#include "proxy/request.h"

#include <stdlib.h>
#include <sys/socket.h>

struct request {
    struct conn conn;
    struct dial dial;
    bool carrier;
};

static void request_release(struct conn *c)
{
    struct request *r = container_of(c, struct request, conn);
    dial_stop(&r->dial);
    free(r);
}

static bool request_retry(struct conn *c, struct err *why)
{
    struct request *r = container_of(c, struct request, conn);
    char text[ADDR_TEXT_MAX];
    err_wrap(why, "connect %s", addr_text(&r->dial.tried, text));
    if (r->dial.next >= r->dial.rest_count)
        return false;
    stream_reset(&c->stream);
    c->blocked = false;
    dial_again(&r->dial, why);
    return true;
}

static void on_dialled(void *owner, int fd, const struct err *why)
{
    struct request *r = owner;
    if (fd < 0) {
        conn_fail(&r->conn, why);
        return;
    }
    conn_attach(&r->conn, fd);
    r->conn.stream.connecting = r->conn.stream.fresh = true;
    if (r->carrier)
        stream_prepare_carrier(&r->conn.stream);
    conn_start(&r->conn, NULL, 0);
}

static void request_no_memory(struct flow *f, struct codec *codec)
{
    struct err why;
    if (codec)
        codec->ops->free(codec);
    err_set(&why, ENOMEM, "out of memory");
    flow_refuse(f, &why);
}

void request_open(struct outbound *out, struct flow *f, const struct request_to *to,
                  struct codec *codec)
{
    struct err why;
    struct request *r = calloc(1, sizeof *r);
    if (!r) {
        request_no_memory(f, codec);
        return;
    }
    conn_init(&r->conn, out->loop, codec, to->traffic, request_release);
    r->conn.retry = request_retry;
    r->carrier = to->carrier;
    r->dial = (struct dial){.loop = out->loop,
                            .socktype = SOCK_STREAM,
                            .from = to->from,
                            .done = on_dialled,
                            .owner = r};
    flow_join(f, &r->conn.end, &conn_end_ops);
    if (codec && conn_greet(&r->conn, &why) < 0) {
        conn_fail(&r->conn, &why);
        return;
    }
    dial_start(&r->dial, to->addr, to->family);
}
