#include "transport/upgrade.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/list.h"
#include "transport/stream.h"

struct upgrade {
    struct layer layer;
    const struct upgrade_conf *conf;
    struct handshake shake;
    bool asked; /* a server that has read its request */
};

static struct upgrade *of_layer(struct layer *l)
{
    return container_of(l, struct upgrade, layer);
}

/* --- requests --- */

/* The port stands in Host unless everybody knows it. */
static bool say_host(struct handshake *h, const struct addr *to, bool tls)
{
    char text[ADDR_TEXT_MAX];
    if (to->type == ADDR_UNIX)
        return handshake_say(h, "Host: localhost\r\n");
    if (to->port != (tls ? 443 : 80))
        return handshake_say(h, "Host: %s\r\n", addr_text(to, text));
    addr_host_text(to, text);
    return handshake_say(h, to->type == ADDR_IPV6 ? "Host: [%s]\r\n" : "Host: %s\r\n", text);
}

bool upgrade_ask(struct handshake *h, const struct upgrade_conf *c, const struct addr *to, bool tls,
                 const char *more)
{
    bool said = handshake_say(h, "GET %s%s HTTP/1.1\r\n", c->path, more);
    said = said && (c->host ? handshake_say(h, "Host: %s\r\n", c->host) : say_host(h, to, tls));
    for (size_t i = 0; said && i < c->field_count; i++)
        said = handshake_say(h, "%s: %s\r\n", c->fields[i].name, c->fields[i].value);
    return said && handshake_say(h, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
}

/* No proxy in front of us may have read another request, nor a body where we read the first frames. */
static bool is_unambiguous(const struct head *h)
{
    const char *length = head_field(h, "Content-Length");
    return head_count(h, "Host") == 1 && !head_count(h, "Transfer-Encoding") &&
           (!length || (strcmp(length, "0") == 0 && head_count(h, "Content-Length") == 1));
}

const char *upgrade_asked(const struct head *h, const struct upgrade_conf *c, size_t *len)
{
    const char *target = h->first[1];
    size_t ours = strcspn(c->path, "?"), theirs = strcspn(target, "?");
    if (strcmp(h->first[0], "GET") != 0 || strcmp(h->first[2], "HTTP/1.1") != 0 || theirs < ours ||
        memcmp(target, c->path, ours) != 0)
        return NULL;
    if (!is_unambiguous(h) || (c->host && !head_is_for(h, c->host)) ||
        !head_lists(h, "Upgrade", "websocket") || !head_lists(h, "Connection", "upgrade"))
        return NULL;
    *len = theirs - ours;
    return target + ours;
}

/* What is mostly wrong where a server says this. */
static const char *upgrade_doubt(const char *status)
{
    if (strcmp(status, "400") == 0)
        return "does it want tls, or pass Upgrade and Connection on?";
    if (strcmp(status, "502") == 0 || strcmp(status, "503") == 0 || strcmp(status, "504") == 0)
        return "what is behind it does not answer";
    return "are path and host right?";
}

int upgrade_agreed(const struct head *h, struct err *e)
{
    const char *said = h->first[1];
    if (strcmp(said, "101") != 0)
        return err_set(e, EPROTO, "the server answers %.3s, want 101: %s", said,
                       upgrade_doubt(said));
    if (!head_lists(h, "Upgrade", "websocket") || !head_lists(h, "Connection", "upgrade"))
        return err_set(e, EPROTO, "the server's answer is not an upgrade");
    return 0;
}

/* Who a layer below was told of, else who the socket says. */
static struct addr peer_of(const struct stream *s)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr peer = {0};
    if (!stream_source(s, &peer) && s->fd >= 0 &&
        getpeername(s->fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_sockaddr(&peer, (struct sockaddr *)&ss);
    return peer;
}

void upgrade_find_source(struct layer *l, const struct head *h, const struct trusted *t)
{
    const char *list = head_field(h, "X-Forwarded-For");
    if (!list)
        return;
    struct addr source, peer = peer_of(l->stream);
    if (trusted_has(t, &peer) && forwarded_source(t, list, &source))
        layer_tell_source(l, &source);
}

/* --- the layer --- */

static enum step upgrade_ended(enum step s, struct err *e)
{
    if (s == STEP_FAIL)
        err_wrap(e, "httpupgrade");
    return s;
}

static enum step client_step(struct upgrade *u, struct err *e)
{
    struct head head;
    enum step s = handshake_send(&u->shake, &u->layer, e);
    if (s == STEP_DONE)
        s = handshake_read(&u->shake, &u->layer, e);
    if (s != STEP_DONE)
        return s;
    if (head_parse(&head, u->shake.in, u->shake.head, e) < 0 || upgrade_agreed(&head, e) < 0)
        return STEP_FAIL;
    return STEP_DONE;
}

static enum step client_shake(struct layer *l, struct err *e)
{
    return upgrade_ended(client_step(of_layer(l), e), e);
}

static enum step server_refuse(struct upgrade *u, struct err *e)
{
    return handshake_refuse(&u->shake, &u->layer, "a request that is not for us", e);
}

static enum step server_read(struct upgrade *u, struct err *e)
{
    struct head head;
    size_t more;
    enum step s = handshake_read(&u->shake, &u->layer, e);
    if (s != STEP_DONE)
        return s;
    bool whole = head_parse(&head, u->shake.in, u->shake.head, e) == 0;
    if (!whole || !upgrade_asked(&head, u->conf, &more) || more)
        return server_refuse(u, e);
    u->asked = true;
    upgrade_find_source(&u->layer, &head, &u->conf->trusted);
    return handshake_say(&u->shake, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                                    "Upgrade: websocket\r\n\r\n")
               ? STEP_DONE
               : step_fail(e, ENOMEM, "out of memory");
}

static enum step server_step(struct upgrade *u, struct err *e)
{
    if (u->shake.refuses)
        return server_refuse(u, e);
    enum step s = u->asked ? STEP_DONE : server_read(u, e);
    return s == STEP_DONE ? handshake_send(&u->shake, &u->layer, e) : s;
}

static enum step server_shake(struct layer *l, struct err *e)
{
    return upgrade_ended(server_step(of_layer(l), e), e);
}

static ssize_t upgrade_readv(struct layer *l, struct iovec *iov, int count)
{
    return handshake_readv(&of_layer(l)->shake, l, iov, count);
}

static ssize_t upgrade_writev(struct layer *l, struct iovec *iov, int count)
{
    return below_writev(l, iov, count);
}

static bool upgrade_waiting(const struct layer *l)
{
    return handshake_waiting(&container_of(l, struct upgrade, layer)->shake);
}

static void upgrade_free(struct layer *l, bool well)
{
    (void)well;
    handshake_fini(&of_layer(l)->shake);
    free(of_layer(l));
}

static const struct layer_ops client_ops = {.shake = client_shake,
                                            .readv = upgrade_readv,
                                            .writev = upgrade_writev,
                                            .waiting = upgrade_waiting,
                                            .free = upgrade_free};
static const struct layer_ops server_ops = {.shake = server_shake,
                                            .readv = upgrade_readv,
                                            .writev = upgrade_writev,
                                            .waiting = upgrade_waiting,
                                            .free = upgrade_free};

static struct upgrade *upgrade_new(const struct upgrade_conf *c, const struct layer_ops *ops)
{
    struct upgrade *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->layer.ops = ops;
    u->conf = c;
    return u;
}

struct layer *upgrade_client_new(const struct upgrade_conf *c, const struct addr *to, bool tls)
{
    struct upgrade *u = upgrade_new(c, &client_ops);
    if (u && upgrade_ask(&u->shake, c, to, tls, "") && handshake_say(&u->shake, "\r\n"))
        return &u->layer;
    if (u)
        upgrade_free(&u->layer, false);
    return NULL;
}

struct layer *upgrade_server_new(const struct upgrade_conf *c)
{
    struct upgrade *u = upgrade_new(c, &server_ops);
    return u ? &u->layer : NULL;
}
