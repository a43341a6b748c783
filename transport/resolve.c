#include "transport/resolve.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "transport/dns_cache.h"
#include "transport/dns_client.h"
#include "transport/dns_hosts.h"

enum {
    SYSTEM = DNS_SERVERS_MAX, /* the number of what is asked without any server */
    CLIENTS = DNS_SERVERS_MAX + 1,
    LOOKUPS_MAX = 4096,
};

/* One family's addresses are there and the other's not yet: seconds that it gets. */
static const double OTHER_FAMILY = 0.3;

static const struct dns_server system_server = {
    .kind = DNS_SYSTEM, .label = "localhost", .families = DNS_BOTH, .timeout = 8};
static const struct dns_conf system_conf = {
    .servers = &system_server, .server_count = 1, .families = DNS_BOTH, .caches = true};

struct dns_resolver {
    struct loop *loop;
    const struct dns_conf *conf;
    const struct resolve_way *way;
    struct dns_client *clients[CLIENTS]; /* made when first asked */
    struct dns_cache cache;
    struct list lookups;
    size_t lookup_count;
    struct list answered; /* queries whose answer was known at once */
};

/* A name that is being looked up. */
struct lookup {
    struct list_item item; /* in the resolver's list */
    struct dns_resolver *resolver;
    struct list waiting; /* queries */
    struct dns_ask ask;
    ev_timer deadline;
    uint8_t order[CLIENTS]; /* servers to ask */
    size_t count, next;
    bool again; /* the servers are others now */
    struct err why;
    unsigned families;
    char name[ADDR_NAME_MAX + 1];
};

struct resolve_query {
    struct list_item item; /* in its lookup's list, or in `answered` */
    resolve_done *done;
    void *owner;
    struct task later; /* delivers an answer that was known at once */
    struct resolve_answer *answer;
};

static void query_free(struct resolve_query *q)
{
    list_remove(&q->item);
    loop_unready(&q->later);
    free(q->answer);
    free(q);
}

static void queries_free(struct list *l)
{
    struct list_item *first;
    while ((first = list_first(l)))
        query_free(container_of(first, struct resolve_query, item));
}

/* --- answers --- */

static void answer_fill(struct resolve_answer *a, const struct dns_records *r)
{
    a->count = r->count < RESOLVE_MAX ? r->count : RESOLVE_MAX;
    for (size_t i = 0; i < a->count; i++)
        a->addrs[i] = dns_ip_addr(&r->ips[i]);
    if (!a->count)
        err_set(&a->why, EHOSTUNREACH, "no such name, or no address of the wanted family");
}

/* An IPv6 address that we would reach from one of the same kind; else IPv4 is the better guess (RFC 6724). */
static bool prefers_ipv6(const struct dns_ip *ip)
{
    struct addr to = dns_ip_addr(ip), from;
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&to, &ss);
    bool global = (ip->ip[0] & 0xe0) == 0x20, good = false;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ((struct sockaddr_in6 *)&ss)->sin6_port = htons(53); /* any: nothing is sent */
    if (connect(fd, (struct sockaddr *)&ss, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
        addr_from_sockaddr(&from, (struct sockaddr *)&ss);
        good = from.type == ADDR_IPV6 && ((from.ip[0] & 0xe0) == 0x20) == global;
    }
    close(fd);
    return good;
}

static const struct dns_ip *first_of_type(const struct dns_records *r, uint8_t type)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->ips[i].type == type)
            return &r->ips[i];
    return NULL;
}

/* The families take turns, so that a dead one costs one attempt (RFC 8305). sorted: the order says which is better. */
static void arrange(struct dns_records *r, bool sorted)
{
    const struct dns_ip *v6 = first_of_type(r, ADDR_IPV6), *v4 = first_of_type(r, ADDR_IPV4);
    struct dns_records from = *r;
    if (!v6 || !v4)
        return;
    bool v6_first = sorted ? v6 < v4 : prefers_ipv6(v6);
    size_t next[2] = {0, 0};
    r->count = 0;
    for (unsigned turn = !v6_first; r->count < from.count; turn = !turn) {
        uint8_t type = turn == 0 ? ADDR_IPV6 : ADDR_IPV4;
        while (next[turn] < from.count && from.ips[next[turn]].type != type)
            next[turn]++;
        if (next[turn] < from.count)
            r->ips[r->count++] = from.ips[next[turn]++];
    }
}

/* --- the end of a lookup --- */

static void lookup_free(struct lookup *k)
{
    dns_ask_cancel(&k->ask);
    ev_timer_stop(k->resolver->loop->ev, &k->deadline);
    queries_free(&k->waiting);
    list_remove(&k->item);
    k->resolver->lookup_count--;
    free(k);
}

/* What is called may ask for the same name again: that is a new lookup. */
static void lookup_end(struct lookup *k, const struct resolve_answer *a)
{
    struct list_item *first;
    list_remove(&k->item);
    while ((first = list_first(&k->waiting))) {
        struct resolve_query *q = container_of(first, struct resolve_query, item);
        resolve_done *done = q->done;
        void *owner = q->owner;
        query_free(q);
        done(owner, a);
    }
    lookup_free(k);
}

static void lookup_fail(struct lookup *k)
{
    struct resolve_answer a = {.why = k->why};
    lookup_end(k, &a);
}

/* whole: nothing of the answer is missing. */
static void lookup_succeed(struct lookup *k, bool whole)
{
    struct dns_resolver *r = k->resolver;
    struct dns_records *records = &k->ask.records;
    struct resolve_answer a;
    arrange(records, false);
    if (records->count > RESOLVE_MAX)
        records->count = RESOLVE_MAX;
    if (whole && r->conf->caches)
        dns_cache_add(&r->cache, k->name, k->families, loop_steady(), records);
    answer_fill(&a, records);
    lookup_end(k, &a);
}

/* --- which servers --- */

static const struct dns_server *server_of(const struct dns_resolver *r, size_t n)
{
    return n == SYSTEM ? &system_server : &r->conf->servers[n];
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, *(const char *const *)b);
}

static bool is_own(const struct dns_conf *c, const char *name)
{
    return c->own_count && bsearch(name, c->own, c->own_count, sizeof *c->own, by_text);
}

/* Asking for one of our own names must not need that name. */
static bool needs_names(const struct dns_server *s)
{
    return s->kind == DNS_HTTPS && (!s->direct || !addr_is_ip(&s->at));
}

static bool is_for(const struct dns_conf *c, const struct dns_server *s, const char *name)
{
    return s->domains && c->match_name(s->domains, name);
}

/* First those whose domains have the name, then the others, each in the order of the configuration. */
static void lookup_choose(struct lookup *k)
{
    const struct dns_conf *c = k->resolver->conf;
    bool own = is_own(c, k->name);
    k->count = k->next = 0;
    for (size_t i = 0; i < c->server_count; i++)
        if (is_for(c, &c->servers[i], k->name) && !(own && needs_names(&c->servers[i])))
            k->order[k->count++] = (uint8_t)i;
    bool others = !c->no_fallback && !(c->no_fallback_if_match && k->count > 0);
    for (size_t i = 0; others && i < c->server_count; i++)
        if (!c->servers[i].skips_fallback && !is_for(c, &c->servers[i], k->name) &&
            !(own && needs_names(&c->servers[i])))
            k->order[k->count++] = (uint8_t)i;
    if (k->count == 0 && (own || c->server_count == 0))
        k->order[k->count++] = SYSTEM;
    err_set(&k->why, EHOSTUNREACH, "no dns server is asked for it");
}

/* --- asking --- */

static void lookup_wait(struct lookup *k, double seconds)
{
    struct ev_loop *ev = k->resolver->loop->ev;
    ev_timer_stop(ev, &k->deadline);
    ev_timer_set(&k->deadline, seconds, 0);
    ev_timer_start(ev, &k->deadline);
}

static struct dns_client *client_of(struct dns_resolver *r, size_t n)
{
    if (!r->clients[n])
        r->clients[n] = dns_client_new(r->loop, server_of(r, n), r->way);
    return r->clients[n];
}

static const struct dns_server *asked_server(const struct lookup *k)
{
    return server_of(k->resolver, k->order[k->next - 1]);
}

static void lookup_blame(struct lookup *k, const struct err *why)
{
    k->why = *why;
    err_wrap(&k->why, "dns %s", asked_server(k)->label);
}

/* False: there is nobody to ask any more. */
static bool lookup_ask(struct lookup *k)
{
    while (k->next < k->count) {
        struct dns_client *client = client_of(k->resolver, k->order[k->next++]);
        const struct dns_server *s = asked_server(k);
        k->ask.families = k->families & s->families;
        err_set(&k->ask.why, EHOSTUNREACH, "it is not asked for this family");
        if (client && k->ask.families)
            dns_client_ask(client, &k->ask);
        if (k->ask.open) {
            lookup_wait(k, s->timeout);
            return true;
        }
        lookup_blame(k, &k->ask.why);
    }
    return false;
}

static void lookup_next(struct lookup *k)
{
    if (!lookup_ask(k))
        lookup_fail(k);
}

static void keep_expected(struct lookup *k)
{
    const void *expected = asked_server(k)->expected;
    struct dns_records *r = &k->ask.records;
    size_t kept = 0;
    for (size_t i = 0; expected && i < r->count; i++) {
        struct addr ip = dns_ip_addr(&r->ips[i]);
        if (k->resolver->conf->match_ip(expected, &ip))
            r->ips[kept++] = r->ips[i];
    }
    if (expected)
        r->count = kept;
}

/* All that will come from this server has come. missing: what it would have said is not known. */
static void lookup_conclude(struct lookup *k, const struct err *missing)
{
    bool had = k->ask.records.count > 0;
    struct err unexpected;
    keep_expected(k);
    if (k->ask.records.count || (!had && !missing)) {
        lookup_succeed(k, !missing);
        return;
    }
    err_set(&unexpected, EHOSTUNREACH, "none of the expected addresses");
    lookup_blame(k, had ? &unexpected : missing);
    lookup_next(k);
}

static void on_news(struct dns_ask *a)
{
    struct lookup *k = container_of(a, struct lookup, ask);
    if (a->open == 0)
        lookup_conclude(k, a->failed ? &a->why : NULL);
    else if (a->records.count)
        lookup_wait(k, OTHER_FAMILY);
}

static void on_deadline(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct lookup *k = w->data;
    struct err late;
    dns_ask_cancel(&k->ask);
    if (k->again) {
        k->again = false;
        lookup_next(k);
        return;
    }
    err_set(&late, ETIMEDOUT, "no answer within %g s", asked_server(k)->timeout);
    lookup_conclude(k, &late);
}

/* --- queries --- */

static void query_deliver(struct task *t)
{
    struct resolve_query *q = container_of(t, struct resolve_query, later);
    struct resolve_answer answer = *q->answer;
    resolve_done *done = q->done;
    void *owner = q->owner;
    query_free(q);
    done(owner, &answer);
}

/* The answer is known already: NULL, or these records. */
static bool query_answer(struct dns_resolver *r, struct resolve_query *q,
                         const struct dns_records *records, const struct err *why)
{
    q->answer = calloc(1, sizeof *q->answer);
    if (!q->answer)
        return false;
    if (records)
        answer_fill(q->answer, records);
    else
        q->answer->why = *why;
    list_append(&r->answered, &q->item);
    q->later.run = query_deliver;
    loop_ready(r->loop, &q->later);
    return true;
}

static struct lookup *lookup_find(struct dns_resolver *r, const char *name, unsigned families)
{
    for (struct list_item *i = list_first(&r->lookups); i; i = list_next(&r->lookups, i)) {
        struct lookup *k = container_of(i, struct lookup, item);
        if (k->families == families && strcmp(k->name, name) == 0)
            return k;
    }
    return NULL;
}

static struct lookup *lookup_new(struct dns_resolver *r, const char *name, unsigned families)
{
    struct lookup *k = r->lookup_count < LOOKUPS_MAX ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return NULL;
    k->resolver = r;
    k->families = families;
    memcpy(k->name, name, strlen(name) + 1);
    k->ask.name = k->name;
    k->ask.news = on_news;
    ev_timer_init(&k->deadline, on_deadline, 0, 0);
    k->deadline.data = k;
    list_append(&r->lookups, &k->item);
    r->lookup_count++;
    lookup_choose(k);
    return k;
}

/* False: out of memory. */
static bool query_wait(struct dns_resolver *r, struct resolve_query *q, const char *name,
                       unsigned families)
{
    struct lookup *k = lookup_find(r, name, families);
    struct err why;
    if (!k) {
        k = lookup_new(r, name, families);
        if (!k)
            return false;
        if (!lookup_ask(k)) {
            why = k->why;
            lookup_free(k);
            return query_answer(r, q, NULL, &why);
        }
    }
    list_append(&k->waiting, &q->item);
    return true;
}

static bool query_begin(struct dns_resolver *r, struct resolve_query *q,
                        char name[ADDR_NAME_MAX + 1], unsigned families)
{
    struct dns_records records;
    struct err why;
    switch (dns_hosts_find(r->conf, name, families, &records, &why)) {
    case DNS_HOSTS_FOUND:
        arrange(&records, true);
        return query_answer(r, q, &records, NULL);
    case DNS_HOSTS_FAIL:
        return query_answer(r, q, NULL, &why);
    case DNS_HOSTS_NONE:
        break;
    }
    if (r->conf->caches && dns_cache_find(&r->cache, name, families, loop_steady(), &records))
        return query_answer(r, q, &records, NULL);
    return query_wait(r, q, name, families);
}

static struct dns_resolver *resolver_new(struct loop *l)
{
    struct dns_resolver *r = calloc(1, sizeof *r);
    if (r)
        *r = (struct dns_resolver){.loop = l, .conf = &system_conf};
    return r;
}

static unsigned families_of(enum dial_family family)
{
    return family == DIAL_IPV4 ? DNS_A : family == DIAL_IPV6 ? DNS_AAAA : DNS_BOTH;
}

struct resolve_query *resolve_start(struct loop *l, const char *name, enum dial_family family,
                                    resolve_done *done, void *owner)
{
    char normal[ADDR_NAME_MAX + 1];
    if (!l->dns)
        l->dns = resolver_new(l);
    struct resolve_query *q = l->dns ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return NULL;
    q->done = done;
    q->owner = owner;
    snprintf(normal, sizeof normal, "%s", name);
    addr_normalise_name(normal);
    unsigned families = families_of(family) & l->dns->conf->families;
    if (query_begin(l->dns, q, normal, families))
        return q;
    query_free(q);
    return NULL;
}

void resolve_cancel(struct resolve_query *q)
{
    query_free(q);
}

/* --- beginning, change and end --- */

int resolve_init(struct loop *l, const struct resolve_way *way, struct err *e)
{
    l->dns = resolver_new(l);
    if (!l->dns)
        return err_set(e, ENOMEM, "out of memory");
    l->dns->way = way;
    return 0;
}

static void clients_free(struct dns_resolver *r)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        dns_client_free(r->clients[i]);
        r->clients[i] = NULL;
    }
}

/* From the timer, for who waits must not be called now. */
static void lookups_again(struct dns_resolver *r)
{
    for (struct list_item *i = list_first(&r->lookups); i; i = list_next(&r->lookups, i)) {
        struct lookup *k = container_of(i, struct lookup, item);
        dns_ask_cancel(&k->ask);
        lookup_choose(k);
        k->again = true;
        lookup_wait(k, 0);
    }
}

void resolve_configure(struct loop *l, const struct dns_conf *conf, bool same)
{
    struct dns_resolver *r = l->dns;
    r->conf = conf ? conf : &system_conf;
    for (size_t i = 0; same && i < r->conf->server_count; i++)
        if (r->clients[i])
            dns_client_adopt(r->clients[i], &r->conf->servers[i]);
    if (same)
        return;
    dns_cache_clear(&r->cache);
    lookups_again(r);
    clients_free(r);
}

void resolve_stop(struct loop *l)
{
    struct dns_resolver *r = l->dns;
    struct list_item *first;
    if (!r)
        return;
    l->dns = NULL;
    while ((first = list_first(&r->lookups)))
        lookup_free(container_of(first, struct lookup, item));
    queries_free(&r->answered);
    clients_free(r);
    dns_cache_clear(&r->cache);
    free(r);
}
