/* conf/control_tunnels.c -- the tunnels of portals that have many, each with what all workers have of it. */
#include <stdlib.h>
#include <string.h>

#include "conf/control.h"
#include "conf/links.h"
#include "conf/process.h"

enum { LIMIT = 500, LIMIT_MAX = 5000, IN_STATUS = 100 }; /* tunnels in one answer */

static int compare_tenants(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

static int compare_tunnels(const struct link_row *a, const struct link_row *b)
{
    int tag = strcmp(a->tag, b->tag), tenant = compare_tenants(a->tenant, b->tenant);
    return tag ? tag : tenant ? tenant : strcmp(a->tunnel, b->tunnel);
}

/* Those of one tunnel, and of one node of it, stand together. */
static int compare_rows(const void *one, const void *other)
{
    const struct link_row *a = one, *b = other;
    int tunnel = compare_tunnels(a, b), cluster = strcmp(a->cluster, b->cluster);
    return tunnel ? tunnel : cluster ? cluster : strcmp(a->node, b->node);
}

static bool is_wanted(const struct link_row *r, const char *tunnel)
{
    return r->kind == LINK_CARRIER && *r->tunnel && (!*tunnel || strcmp(r->tunnel, tunnel) == 0);
}

static void links_pick(struct links *all, const char *tunnel)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (is_wanted(&all->rows[i], tunnel))
            all->rows[count++] = all->rows[i];
    all->count = count;
    if (count)
        qsort(all->rows, count, sizeof *all->rows, compare_rows);
}

/* Who serves it: nodes that are one here, and bridges that have no name, too. Answers how many rows. */
static size_t say_server(struct page *p, const struct link_row *r, size_t left)
{
    size_t count = 0;
    unsigned streams = 0;
    while (count < left && compare_rows(r, &r[count]) == 0)
        streams += r[count++].streams;
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "node", r->node);
    page_member_text(p, "cluster", r->cluster);
    page_member_number(p, "weight", r->weight);
    page_member_number(p, "carriers", (int64_t)count);
    page_member_number(p, "streams", streams);
    page_text(p, "}");
    return count;
}

static void say_tunnel(struct page *p, const struct link_row *r, size_t count)
{
    unsigned streams = 0;
    for (size_t i = 0; i < count; i++)
        streams += r[i].streams;
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "portal", r->tag);
    page_member_text(p, "tunnel", r->tunnel);
    page_member_text(p, "tenant", r->tenant ? r->tenant : "");
    page_member_number(p, "carriers", (int64_t)count);
    page_member_number(p, "streams", streams);
    page_member(p, "servers");
    page_text(p, "[");
    for (size_t i = 0; i < count;)
        i += say_server(p, r + i, count - i);
    page_text(p, "]}");
}

/* So many behind those that are skipped; answers how many there are. */
static size_t say_tunnels(struct page *p, const struct links *all, size_t skip, size_t limit)
{
    size_t tunnels = 0, next;
    page_text(p, "[");
    for (size_t i = 0; i < all->count; i = next) {
        for (next = i + 1; next < all->count; next++)
            if (compare_tunnels(&all->rows[i], &all->rows[next]) != 0)
                break;
        if (tunnels >= skip && tunnels - skip < limit)
            say_tunnel(p, &all->rows[i], next - i);
        tunnels++;
    }
    page_text(p, "]");
    return tunnels;
}

static void say_all(struct process *p, struct page *to, const char *tunnel, size_t skip,
                    size_t limit)
{
    struct links all;
    links_gather(p, &all);
    links_pick(&all, tunnel);
    to->failed |= all.failed;
    page_member(to, "tunnels");
    size_t total = say_tunnels(to, &all, skip, limit);
    page_member_number(to, "tunnelCount", (int64_t)total);
    links_free(&all);
}

void control_say_tunnels(struct process *p, struct page *to)
{
    say_all(p, to, "", 0, IN_STATUS);
}

void control_tunnels(struct process *p, struct errand *e)
{
    const struct api_target *t = &e->target;
    uint32_t limit, skip;
    if (!control_number(api_option(t, "limit"), LIMIT, LIMIT_MAX, &limit) ||
        !control_number(api_option(t, "skip"), 0, UINT32_MAX, &skip)) {
        control_refuse(e, 422, "want limit from 0 to %d, and skip from 0", LIMIT_MAX);
        return;
    }
    page_text(&e->page, "{");
    say_all(p, &e->page, api_option(t, "tunnel"), skip, limit);
    page_text(&e->page, "}\n");
}
