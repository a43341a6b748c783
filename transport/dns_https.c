#include "transport/dns_https.h"

#include <stdio.h>
#include <stdlib.h>

#include "transport/fetch.h"

enum { LINKS_MAX = 8 };

struct dns_https {
    const struct dns_server *server;
    struct fetch_server at; /* as the server says */
    struct fetch *fetch;
};

struct question {
    dns_tell *tell;
    void *owner;
};

/* --- requests --- */

static void put(struct writer *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

void dns_request_write(const struct dns_server *s, const uint8_t *question, size_t len,
                       struct writer *w)
{
    char length[16];
    snprintf(length, sizeof length, "%zu", len);
    put(w, "POST "), put(w, s->path), put(w, " HTTP/1.1\r\nHost: ");
    fetch_host_write(w, &s->at, 443);
    put(w, "\r\nAccept: application/dns-message\r\nContent-Type: application/dns-message\r\n"
           "Content-Length: ");
    put(w, length), put(w, "\r\n\r\n");
    wr_bytes(w, question, len);
}

/* --- questions --- */

static void on_reply(void *owner, const struct fetch_told *reply)
{
    struct question *q = owner;
    struct dns_told t = {.destroyed = reply->destroyed, .why = reply->why};
    if (reply->body && reply->status == 200) {
        t.message = reply->body;
        t.len = reply->len;
    } else if (reply->body) {
        err_set(&t.why, EPROTO, "it says HTTP status %u", reply->status);
    }
    q->tell(q->owner, &t);
    free(q);
}

static void fail(dns_tell *tell, void *owner, int code, const char *why)
{
    struct dns_told t = {0};
    err_set(&t.why, code, "%s", why);
    tell(owner, &t);
}

void dns_https_ask(struct dns_https *h, const uint8_t *question, size_t len, dns_tell *tell,
                   void *owner)
{
    uint8_t request[DNS_REQUEST_MAX];
    struct writer w = wr_of(request, sizeof request);
    dns_request_write(h->server, question, len, &w);
    struct question *q = w.overflow ? NULL : calloc(1, sizeof *q);
    if (!q) {
        fail(tell, owner, w.overflow ? EMSGSIZE : ENOMEM,
             w.overflow ? "its path is too long" : "out of memory");
        return;
    }
    *q = (struct question){tell, owner};
    fetch_ask(h->fetch, request, wr_len(&w), on_reply, q);
}

/* --- beginning and end --- */

void dns_https_adopt(struct dns_https *h, const struct dns_server *server)
{
    h->server = server;
    h->at = (struct fetch_server){.at = server->at,
                                  .direct = server->direct,
                                  .tag = server->tag,
                                  .carriage = server->carriage,
                                  .timeout = server->timeout,
                                  .links = LINKS_MAX};
}

struct dns_https *dns_https_new(struct loop *l, const struct dns_server *server,
                                const struct resolve_way *way)
{
    struct dns_https *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    dns_https_adopt(h, server);
    h->fetch = fetch_new(l, &h->at, way);
    if (h->fetch)
        return h;
    free(h);
    return NULL;
}

void dns_https_free(struct dns_https *h)
{
    if (!h)
        return;
    fetch_free(h->fetch);
    free(h);
}
