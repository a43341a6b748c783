#include "transport/dns_client.h"

#include <sodium.h>
#include <stdlib.h>

#include "transport/dns_channel.h"
#include "transport/dns_https.h"
#include "transport/dns_search.h"

struct dns_client {
    struct loop *loop;
    const struct dns_server *server;
    struct dns_channel *channel, *by_tcp; /* made when first needed */
    struct dns_https *https;
    struct dns_search *search; /* of the system */
    struct list parts;
};

/* One question of an ask. Lives until c-ares has told how it ended, and that is delivered. */
struct dns_part {
    struct list_item item; /* in its client's list */
    struct dns_client *client;
    struct dns_ask *ask; /* NULL: cancelled */
    struct dns_question question;
    unsigned candidate; /* of the system: which one is asked for */
    struct task later;  /* carries the news out of c-ares' own calls */
};

/* --- parts --- */

static void part_forget(struct dns_part *p)
{
    struct dns_ask *a = p->ask;
    for (size_t i = 0; a && i < 2; i++)
        if (a->parts[i] == p)
            a->parts[i] = NULL;
    p->ask = NULL;
}

static void part_free(struct dns_part *p)
{
    part_forget(p);
    list_remove(&p->item);
    loop_unready(&p->later);
    free(p);
}

static void part_deliver(struct task *t)
{
    struct dns_part *p = container_of(t, struct dns_part, later);
    struct dns_ask *a = p->ask;
    part_free(p);
    if (!a)
        return;
    a->open--;
    a->news(a);
}

static void part_end(struct dns_part *p)
{
    loop_ready(p->client->loop, &p->later);
}

static void part_fail(struct dns_part *p, const struct err *why)
{
    if (p->ask) {
        p->ask->failed = true;
        p->ask->why = *why;
    }
    part_end(p);
}

static struct dns_part *part_new(struct dns_client *c, struct dns_ask *a)
{
    struct dns_part *p = calloc(1, sizeof *p);
    if (!p) {
        a->failed = true;
        err_set(&a->why, ENOMEM, "out of memory");
        return NULL;
    }
    *p = (struct dns_part){.client = c, .ask = a, .later = {.run = part_deliver}};
    a->parts[a->open++] = p;
    list_append(&c->parts, &p->item);
    return p;
}

void dns_ask_cancel(struct dns_ask *a)
{
    for (size_t i = 0; i < 2; i++)
        if (a->parts[i])
            part_forget(a->parts[i]);
    a->open = 0;
}

/* --- a server --- */

static void part_send(struct dns_part *p, bool tcp);
static bool part_search(struct dns_part *p);

static void on_message(void *owner, const struct dns_told *t)
{
    struct dns_part *p = owner;
    struct err why = t->why;
    enum dns_said said = DNS_FAILED;
    if (t->destroyed)
        return;
    if (t->message && p->ask)
        said = dns_answer_read(cur_of(t->message, t->len), &p->question, &p->ask->records, &why);
    if (said == DNS_RECASED)
        part_send(p, true);
    else if (said == DNS_FAILED)
        part_fail(p, &why);
    else if (said == DNS_SAID || !part_search(p))
        part_end(p);
}

static struct dns_channel *channel_of(struct dns_client *c, bool tcp)
{
    struct dns_channel **to = tcp ? &c->by_tcp : &c->channel;
    if (!*to)
        *to = dns_channel_new(c->loop, &c->server->at, tcp, c->server->timeout);
    return *to;
}

static void part_ask(struct dns_part *p, const char *name, bool tcp)
{
    uint8_t bytes[DNS_QUESTION_MAX];
    struct writer w = wr_of(bytes, sizeof bytes);
    struct dns_client *c = p->client;
    struct dns_channel *channel = channel_of(c, tcp);
    bool mixed = c->server->kind == DNS_UDP && !tcp;
    struct err why;
    uint16_t id;
    err_set(&why, ENOMEM, "out of memory");
    if (!channel || dns_question_init(&p->question, name, p->question.family, mixed, &why) < 0) {
        part_fail(p, &why);
        return;
    }
    randombytes_buf(&id, sizeof id);
    dns_question_write(&p->question, id, &c->server->client, &w);
    dns_channel_ask(channel, bytes, wr_len(&w), on_message, p);
}

/* By TCP nobody can forge an answer without seeing the question: there case proves nothing. */
static void part_send(struct dns_part *p, bool tcp)
{
    part_ask(p, p->ask->name, tcp);
}

/* The next name that the system would try. False: there is none. */
static bool part_search(struct dns_part *p)
{
    char name[ADDR_NAME_MAX + 1];
    const struct dns_search *s = p->client->search;
    if (!s || !dns_search_candidate(s, p->ask->name, p->candidate++, name))
        return false;
    part_ask(p, name, false);
    return true;
}

/* --- a server by HTTPS --- */

/* The id is 0, so that caches on the way find equal questions equal. */
static void part_send_https(struct dns_part *p)
{
    uint8_t bytes[DNS_QUESTION_MAX];
    struct writer w = wr_of(bytes, sizeof bytes);
    struct dns_client *c = p->client;
    struct err why;
    if (dns_question_init(&p->question, p->ask->name, p->question.family, false, &why) < 0) {
        part_fail(p, &why);
        return;
    }
    dns_question_write(&p->question, 0, &c->server->client, &w);
    dns_https_ask(c->https, bytes, wr_len(&w), on_message, p);
}

/* --- asking --- */

/* All is there; but news come later. */
static void ask_nobody(struct dns_client *c, struct dns_ask *a)
{
    struct dns_part *p = part_new(c, a);
    if (p)
        part_end(p);
}

static void ask_server(struct dns_client *c, struct dns_ask *a)
{
    for (unsigned family = DNS_A; family <= DNS_AAAA; family++) {
        struct dns_part *p = a->families & family ? part_new(c, a) : NULL;
        if (!p)
            continue;
        p->question.family = family;
        if (c->https)
            part_send_https(p);
        else if (c->search)
            part_search(p);
        else
            part_send(p, c->server->kind == DNS_TCP);
    }
}

void dns_client_ask(struct dns_client *c, struct dns_ask *a)
{
    a->open = 0;
    a->failed = false;
    a->records.count = 0;
    a->records.ttl = UINT32_MAX;
    if (c->search && dns_channel_files(c->channel, a->name, a->families, &a->records))
        ask_nobody(c, a);
    else
        ask_server(c, a);
}

static bool system_init(struct dns_client *c)
{
    c->channel = dns_channel_new(c->loop, NULL, false, c->server->timeout);
    c->search = calloc(1, sizeof *c->search);
    if (!c->search)
        return false;
    FILE *in = fopen("/etc/resolv.conf", "re");
    dns_search_read(c->search, in);
    if (in)
        fclose(in);
    return c->channel;
}

static bool client_init(struct dns_client *c, const struct resolve_way *way)
{
    switch (c->server->kind) {
    case DNS_SYSTEM:
        return system_init(c);
    case DNS_HTTPS:
        c->https = way ? dns_https_new(c->loop, c->server, way) : NULL;
        return c->https;
    case DNS_UDP:
    case DNS_TCP:
        break;
    }
    return true;
}

struct dns_client *dns_client_new(struct loop *l, const struct dns_server *server,
                                  const struct resolve_way *way)
{
    struct dns_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct dns_client){.loop = l, .server = server};
    if (client_init(c, way))
        return c;
    dns_client_free(c);
    return NULL;
}

void dns_client_adopt(struct dns_client *c, const struct dns_server *server)
{
    c->server = server;
    if (c->https)
        dns_https_adopt(c->https, server);
}

void dns_client_free(struct dns_client *c)
{
    struct list_item *first;
    if (!c)
        return;
    dns_channel_free(c->channel);
    dns_channel_free(c->by_tcp);
    dns_https_free(c->https);
    while ((first = list_first(&c->parts)))
        part_free(container_of(first, struct dns_part, item));
    free(c->search);
    free(c);
}
