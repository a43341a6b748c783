/* What a v2c peer's link message may be: any bytes. An item that is read, written again and read again says
 * the same; a message has no more items than fit into it. */
#include <stdint.h>

#include "mux/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static bool same_hello(const struct link_hello *a, const struct link_hello *b)
{
    return a->version == b->version && a->datagram_max == b->datagram_max &&
           a->features == b->features && a->window == b->window && a->streams == b->streams &&
           a->shard == b->shard && a->shards == b->shards;
}

static bool same_text(struct link_text a, struct link_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static bool same_names(const struct link_names *a, const struct link_names *b)
{
    return a->weight == b->weight && same_text(a->node, b->node) &&
           same_text(a->cluster, b->cluster) && same_text(a->tenant, b->tenant);
}

static bool same_node(const struct link_node *a, const struct link_node *b)
{
    return a->state == b->state && a->version == b->version && a->epoch == b->epoch &&
           a->portals == b->portals && a->wanted == b->wanted && a->spread == b->spread &&
           a->links == b->links && same_text(a->name, b->name) && same_text(a->zone, b->zone);
}

static bool same_tunnel(const struct link_tunnel *a, const struct link_tunnel *b)
{
    return a->by == b->by && same_text(a->tenant, b->tenant) && same_text(a->name, b->name);
}

static bool same_question(const struct link_question *a, const struct link_question *b)
{
    return a->token == b->token && a->kind == b->kind && a->portal == b->portal &&
           same_tunnel(&a->tunnel, &b->tunnel) && same_text(a->host, b->host);
}

static bool same_answer(const struct link_answer *a, const struct link_answer *b)
{
    bool same = a->token == b->token && a->known == b->known && a->is_private == b->is_private &&
                a->portal == b->portal && same_tunnel(&a->holder, &b->holder) &&
                a->count == b->count && a->count <= LINK_PLACES_MAX;
    for (unsigned i = 0; same && i < a->count; i++)
        same = a->at[i].epoch == b->at[i].epoch && a->at[i].links == b->at[i].links &&
               same_text(a->at[i].node, b->at[i].node);
    return same;
}

static bool same_item(const struct link_item *a, const struct link_item *b)
{
    if (a->type != b->type)
        return false;
    switch ((enum link_type)a->type) {
    case LINK_HELLO:
        return same_hello(&a->hello, &b->hello);
    case LINK_WINDOW:
        return a->stream == b->stream && a->credit == b->credit;
    case LINK_REFUSED:
        return a->stream == b->stream && a->refusal == b->refusal;
    case LINK_BLOCKED:
    case LINK_OPENED:
        return a->stream == b->stream;
    case LINK_PING:
    case LINK_PONG:
        return a->token == b->token;
    case LINK_GOAWAY:
        return a->going.reason == b->going.reason && a->going.wait == b->going.wait;
    case LINK_NAMES:
        return same_names(&a->names, &b->names);
    case LINK_HOST_ANSWER:
        return a->host.answer == b->host.answer && same_text(a->host.name, b->host.name);
    case LINK_HOST:
        return same_text(a->host.name, b->host.name);
    case LINK_WEIGHT:
        return a->weight == b->weight;
    case LINK_WHY:
        return same_text(a->why, b->why);
    case LINK_NODE:
        return same_node(&a->node, &b->node);
    case LINK_ASK:
        return same_question(&a->ask, &b->ask);
    case LINK_HAVE:
        return same_answer(&a->have, &b->have);
    case LINK_PLACE:
        return addr_equal(&a->place, &b->place);
    }
    return false;
}

static void try_item(const struct link_item *i)
{
    uint8_t message[LINK_MAX];
    struct writer w = wr_of(message, sizeof message);
    struct link_item again;
    demand(i->type >= LINK_HELLO && i->type <= LINK_PLACE);
    demand(i->type != LINK_HELLO || i->hello.version > 0);
    link_write_magic(&w);
    link_write(&w, i);
    struct cursor c = cur_of(message, wr_len(&w));
    demand(!w.overflow && link_read_magic(&c) && link_read(&c, &again) && same_item(i, &again));
    demand(cur_left(&c) == 0 && !link_read(&c, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cur_of(data, size);
    struct link_item i;
    size_t items = 0;
    if (!link_read_magic(&c))
        return 0;
    for (; link_read(&c, &i); items++)
        try_item(&i);
    demand(items <= (size - 4) / 4);
    return 0;
}
