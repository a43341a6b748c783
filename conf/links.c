#include "conf/links.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/process.h"
#include "reverse/view.h"

/* --- from the loops --- */

static struct link_row *links_add(struct links *l)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        struct link_row *rows = realloc(l->rows, room * sizeof *rows);
        l->failed |= !rows;
        if (!rows)
            return NULL;
        l->rows = rows;
        l->room = room;
    }
    l->rows[l->count] = (struct link_row){0};
    return &l->rows[l->count++];
}

struct looker {
    struct links *links;
    unsigned worker;
    enum link_kind kind;
};

static void text_copy(char to[TUNNEL_NAME_MAX + 1], const char *from)
{
    strncpy(to, from ? from : "", TUNNEL_NAME_MAX);
}

static void on_link(void *with, const struct link_view *v)
{
    const struct looker *k = with;
    struct link_row *r = links_add(k->links);
    if (!r)
        return;
    r->kind = k->kind;
    r->worker = k->worker;
    r->up = v->up;
    r->streams = v->streams;
    r->weight = v->weight;
    r->tag = v->tag;
    r->outbound = v->flow->meta.outbound_tag;
    r->tenant = v->tenant;
    text_copy(r->tunnel, v->tunnel);
    text_copy(r->node, v->node);
    text_copy(r->cluster, v->cluster);
}

static void on_way(void *with, const char *tag, const char *outbound)
{
    const struct looker *k = with;
    struct link_row *r = links_add(k->links);
    if (!r)
        return;
    r->kind = LINK_WAY;
    r->worker = k->worker;
    r->tag = tag;
    r->outbound = outbound;
}

static int look(struct worker *w, void *with)
{
    struct links *shares = with;
    struct looker k = {.links = &shares[w->loop.index], .worker = w->loop.index};
    const struct config *c = w->now.generation ? w->now.generation->config : NULL;
    for (size_t i = 0; c && i < c->bridge_count; i++) {
        k.kind = LINK_BRIDGE;
        if (!w->now.bridges[i])
            continue;
        bridge_look_at_ways(w->now.bridges[i], on_way, &k);
        bridge_look(w->now.bridges[i], on_link, &k);
    }
    k.kind = LINK_CARRIER;
    for (size_t i = 0; c && i < c->outbound_count; i++)
        if (c->outbounds[i].kind == OUT_PORTAL)
            portal_look_at(w->now.outbounds[i], on_link, &k);
    return 0;
}

static void links_join(struct links *all, const struct links *share)
{
    for (size_t i = 0; i < share->count; i++) {
        struct link_row *r = links_add(all);
        if (r)
            *r = share->rows[i];
    }
    all->failed |= share->failed;
}

void links_gather(struct process *p, struct links *all)
{
    struct links *shares = calloc(p->made, sizeof *shares);
    *all = (struct links){.failed = !shares};
    if (!shares)
        return;
    process_ask(p, look, shares);
    for (unsigned i = 0; i < p->made; i++) {
        links_join(all, &shares[i]);
        links_free(&shares[i]);
    }
    free(shares);
}

void links_free(struct links *all)
{
    free(all->rows);
    *all = (struct links){0};
}

/* --- their counts --- */

struct tally {
    const char *name;
    int64_t value;
};

struct tallies {
    struct arena *arena;
    struct tally *items;
    size_t count, room;
};

static void tally_add(struct tallies *t, int64_t value, const char *name)
{
    if (name && t->count < t->room)
        t->items[t->count++] = (struct tally){name, value};
}

/* What is counted: of all workers, and of each. */
struct counted {
    const char *first, *all, *one;
};

/* Under this name, of all workers and of the row's. */
static void tally(struct tallies *t, const struct link_row *r, const struct counted *what,
                  const char *name, const char *state, int64_t value)
{
    tally_add(t, value, arena_printf(t->arena, "%s.%s.%s%s", what->first, what->all, name, state));
    tally_add(t, value,
              arena_printf(t->arena, "%s.worker_%u.%s.%s%s", what->first, r->worker, what->one,
                           name, state));
}

static const struct outbound_conf *outbound_of(const struct config *c, const char *tag)
{
    for (size_t i = 0; i < c->outbound_count; i++)
        if (c->outbounds[i].tag == tag)
            return &c->outbounds[i];
    return NULL;
}

static void tally_state(struct tallies *t, const struct link_row *r, const struct counted *what,
                        const char *name)
{
    bool link = r->kind == LINK_BRIDGE;
    tally(t, r, what, name, ".connected", link && r->up);
    tally(t, r, what, name, ".connecting", link && !r->up);
}

static void tally_way(struct tallies *t, const struct link_row *r, const struct config *c)
{
    static const struct counted clusters = {"downstream_reverse_connection", "cluster", "cluster"},
                                hosts = {"downstream_reverse_connection", "host", "host"};
    const struct outbound_conf *o = outbound_of(c, r->outbound);
    char host[ADDR_TEXT_MAX];
    if (!*r->outbound)
        return;
    tally_state(t, r, &clusters, r->outbound);
    if (o && o->kind == OUT_VMESS && o->vmess.count)
        tally_state(t, r, &hosts, addr_text(&o->vmess.servers[0].addr, host));
}

static void tally_name(struct tallies *t, const struct link_row *r, const struct counted *what,
                       const char *name)
{
    char whole[2 * TUNNEL_NAME_MAX + 2];
    if (!*name)
        return;
    snprintf(whole, sizeof whole, "%s%s%s", r->tenant ? r->tenant : "", r->tenant ? "/" : "", name);
    tally(t, r, what, whole, "", 1);
}

static void tally_carrier(struct tallies *t, const struct link_row *r)
{
    static const struct counted clusters = {"reverse_connections", "clusters", "cluster"},
                                nodes = {"reverse_connections", "nodes", "node"};
    tally_name(t, r, &clusters, r->cluster);
    tally_name(t, r, &nodes, r->node);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tally *)a)->name, ((const struct tally *)b)->name);
}

static void tallies_print(struct page *to, const struct tallies *t)
{
    for (size_t i = 0; i < t->count;) {
        const char *name = t->items[i].name;
        int64_t sum = 0;
        for (; i < t->count && strcmp(t->items[i].name, name) == 0; i++)
            sum += t->items[i].value;
        page_text(to, name);
        page_format(to, ": %" PRId64 "\n", sum);
    }
}

void links_page(struct page *to, const struct links *all, const struct process *p)
{
    enum { NAMES_OF_ONE = 8 };
    struct tallies t = {.arena = arena_new(), .room = NAMES_OF_ONE * all->count};
    t.items = t.arena ? arena_array(t.arena, t.room, sizeof *t.items) : NULL;
    for (size_t i = 0; t.items && i < all->count; i++)
        if (all->rows[i].kind == LINK_CARRIER)
            tally_carrier(&t, &all->rows[i]);
        else
            tally_way(&t, &all->rows[i], p->generation->config);
    if (t.count)
        qsort(t.items, t.count, sizeof *t.items, by_name);
    to->failed |= all->failed || !t.items || t.arena->failed;
    tallies_print(to, &t);
    if (t.arena)
        arena_free(t.arena);
}
