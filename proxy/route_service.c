#include "proxy/route_service.h"

#include <jansson.h>
#include <stdlib.h>

#include "core/log.h"
#include "transport/fetch.h"

enum { REQUEST_MAX = 4096 };

struct route_service {
    struct lookups_asker asker;
    struct loop *loop;
    const struct resolve_way *way;
    const struct route_service_conf *conf;
    struct fetch_server server; /* as conf says */
    struct fetch *fetch;        /* NULL: there is no service */
    struct list answered;       /* to be told */
    struct task tell;
    bool silent; /* it gave no answer to the last question */
};

/* One host that is asked for. */
struct asked {
    struct route_service *service;
    struct list_item item; /* once it is answered */
    bool well;
    struct lookup_answer answer;
    char host[];
};

/* --- answers --- */

static bool name_read(const json_t *v, uint8_t by, struct lookup_answer *answer)
{
    const char *text = json_string_value(v);
    size_t len = json_string_length(v);
    bool marked = len > 0 && *text == '$' && by == TUNNEL_BY_ID;
    if (!v)
        return false;
    answer->found = true;
    answer->is_private = marked;
    answer->tunnel.by = by;
    return text && tunnel_text_read(answer->tunnel.text, text + marked, len - marked);
}

static bool object_read(const json_t *object, struct lookup_answer *answer)
{
    static const struct {
        const char *key;
        uint8_t by;
    } keys[] = {
        {"tunnel", TUNNEL_BY_ID},
        {"node", TUNNEL_BY_NODE},
        {"cluster", TUNNEL_BY_CLUSTER},
    };
    unsigned there = 0;
    bool well = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *v = json_object_get(object, keys[i].key);
        there += v != NULL;
        well |= name_read(v, keys[i].by, answer);
    }
    return well && there == 1;
}

bool route_answer_read(const char *body, size_t len, struct lookup_answer *answer)
{
    json_error_t e;
    *answer = (struct lookup_answer){0};
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, &e);
    bool well = root && object_read(root, answer);
    json_decref(root);
    return well;
}

static void told(struct asked *a, bool well)
{
    a->well = well;
    list_append(&a->service->answered, &a->item);
    loop_ready(a->service->loop, &a->service->tell);
}

/* why NULL: it answered. */
static void note(struct route_service *s, const char *why)
{
    if (why && !s->silent)
        log_warn("routes: the service gives no answer, old ones go on: %s", why);
    else if (!why && s->silent)
        log_warn("routes: the service answers again");
    s->silent = why;
}

static void on_reply(void *owner, const struct fetch_told *t)
{
    struct asked *a = owner;
    if (t->destroyed) {
        free(a);
        return;
    }
    bool nothing = t->body && t->status == 404;
    bool found =
        t->body && t->status == 200 && route_answer_read((const char *)t->body, t->len, &a->answer);
    note(a->service, nothing || found   ? NULL
                     : !t->body         ? t->why.text
                     : t->status == 200 ? "what it says is no {\"tunnel\": \"ID\"}"
                                        : "its status is neither 200 nor 404");
    told(a, nothing || found);
}

static void on_tell(struct task *t)
{
    struct route_service *s = container_of(t, struct route_service, tell);
    struct list_item *i;
    while ((i = list_first(&s->answered))) {
        struct asked *a = container_of(i, struct asked, item);
        list_remove(i);
        lookups_told(s->asker.lookups, a->host, a->well ? &a->answer : NULL, loop_steady());
        free(a);
    }
}

/* --- questions --- */

static void put(struct writer *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

/* The brackets of an IPv6 address have no place in a query. */
static void put_host(struct writer *w, const char *host)
{
    for (; *host; host++)
        if (*host == '[' || *host == ']')
            put(w, *host == '[' ? "%5B" : "%5D");
        else
            wr_u8(w, (uint8_t)*host);
}

static size_t request_write(const struct route_service *s, const char *host, uint8_t *to,
                            size_t room)
{
    struct writer w = wr_of(to, room);
    put(&w, "GET "), put(&w, s->conf->path), put_host(&w, host), put(&w, " HTTP/1.1\r\nHost: ");
    fetch_host_write(&w, &s->conf->at, s->conf->carriage ? 443 : 80);
    put(&w, "\r\nAccept: application/json\r\n\r\n");
    return w.overflow ? 0 : wr_len(&w);
}

static bool on_ask(struct lookups_asker *asker, const char *host)
{
    struct route_service *s = container_of(asker, struct route_service, asker);
    uint8_t request[REQUEST_MAX];
    size_t len = strlen(host) + 1;
    struct asked *a = calloc(1, sizeof *a + len);
    if (!a)
        return false;
    a->service = s;
    memcpy(a->host, host, len);
    len = s->fetch ? request_write(s, host, request, sizeof request) : 0;
    if (len)
        fetch_ask(s->fetch, request, len, on_reply, a);
    else
        told(a, false);
    return true;
}

/* --- beginning and end --- */

static void forget(struct route_service *s)
{
    struct list_item *i;
    fetch_free(s->fetch);
    s->fetch = NULL;
    loop_unready(&s->tell);
    while ((i = list_first(&s->answered))) {
        list_remove(i);
        free(container_of(i, struct asked, item));
    }
}

static void on_use(struct lookups_asker *asker, const struct lookups_conf *conf, bool same)
{
    struct route_service *s = container_of(asker, struct route_service, asker);
    if (!same)
        forget(s);
    s->conf = conf->service;
    if (!*conf->url)
        return;
    s->server = (struct fetch_server){.at = s->conf->at,
                                      .direct = true,
                                      .tag = "",
                                      .carriage = s->conf->carriage,
                                      .timeout = s->conf->timeout,
                                      .links = LOOKUPS_ASKED_MAX};
    if (s->fetch)
        fetch_adopt(s->fetch, &s->server);
    else
        s->fetch = fetch_new(s->loop, &s->server, s->way);
}

static void on_free(struct lookups_asker *asker)
{
    struct route_service *s = container_of(asker, struct route_service, asker);
    forget(s);
    free(s);
}

struct lookups_asker *route_service_new(struct loop *l, const struct resolve_way *way)
{
    struct route_service *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct route_service){.loop = l, .way = way, .tell = {.run = on_tell}};
    s->asker = (struct lookups_asker){.ask = on_ask, .use = on_use, .free = on_free};
    return &s->asker;
}
