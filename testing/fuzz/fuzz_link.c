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
    }
    return false;
}

static void try_item(const struct link_item *i)
{
    uint8_t message[LINK_MAX];
    struct writer w = wr_of(message, sizeof message);
    struct link_item again;
    demand(i->type >= LINK_HELLO && i->type <= LINK_WHY);
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
