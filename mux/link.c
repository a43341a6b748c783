#include "mux/link.h"

static const uint8_t MAGIC[4] = {'v', '2', 'c', '1'};

static void hello_write(struct writer *w, const struct link_hello *h)
{
    wr_u8(w, h->version);
    wr_be16(w, h->datagram_max);
    wr_be16(w, h->features);
    wr_be32(w, h->window);
    wr_be16(w, h->streams);
    wr_u8(w, h->shard);
    wr_u8(w, h->shards);
    if (h->instance)
        wr_be64(w, h->instance);
}

/* Version 1 ends behind the datagram size. */
static bool hello_read(struct cursor *in, struct link_hello *h)
{
    *h = (struct link_hello){0};
    if (!cur_u8(in, &h->version) || h->version == 0 || !cur_be16(in, &h->datagram_max))
        return false;
    struct link_hello more = *h;
    if (cur_be16(in, &more.features) && cur_be32(in, &more.window) && cur_be16(in, &more.streams) &&
        cur_u8(in, &more.shard) && cur_u8(in, &more.shards))
        *h = more;
    cur_be64(in, &h->instance);
    return true;
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool printable(char c)
{
    return c >= ' ' && c <= '~';
}

static void text_write(struct writer *w, struct link_text t)
{
    wr_u8(w, t.len);
    wr_bytes(w, t.len ? t.p : "", t.len);
}

static bool text_read(struct cursor *in, struct link_text *t, uint8_t max, bool (*good)(char))
{
    struct cursor text;
    if (!cur_u8(in, &t->len) || t->len > max || !cur_sub(in, t->len, &text))
        return false;
    t->p = (const char *)text.p;
    for (uint8_t i = 0; i < t->len; i++)
        if (!good(t->p[i]))
            return false;
    return true;
}

static void names_write(struct writer *w, const struct link_names *n)
{
    wr_u8(w, n->weight);
    text_write(w, n->node);
    text_write(w, n->cluster);
    text_write(w, n->tenant);
}

static bool names_read(struct cursor *in, struct link_names *n)
{
    return cur_u8(in, &n->weight) && text_read(in, &n->node, LINK_NAME_MAX, name_byte) &&
           text_read(in, &n->cluster, LINK_NAME_MAX, name_byte) &&
           text_read(in, &n->tenant, LINK_NAME_MAX, name_byte);
}

static void node_write(struct writer *w, const struct link_node *n)
{
    wr_u8(w, n->state);
    wr_u8(w, n->version);
    wr_be64(w, n->epoch);
    wr_be16(w, n->portals);
    wr_u8(w, n->wanted);
    wr_be32(w, n->spread);
    wr_be32(w, n->links);
    text_write(w, n->name);
    text_write(w, n->zone);
}

static bool node_read(struct cursor *in, struct link_node *n)
{
    return cur_u8(in, &n->state) && cur_u8(in, &n->version) && cur_be64(in, &n->epoch) &&
           cur_be16(in, &n->portals) && cur_u8(in, &n->wanted) && cur_be32(in, &n->spread) &&
           cur_be32(in, &n->links) && text_read(in, &n->name, LINK_NAME_MAX, name_byte) &&
           text_read(in, &n->zone, LINK_NAME_MAX, name_byte);
}

static void tunnel_write(struct writer *w, const struct link_tunnel *t)
{
    wr_u8(w, t->by);
    text_write(w, t->tenant);
    text_write(w, t->name);
}

static bool tunnel_read(struct cursor *in, struct link_tunnel *t)
{
    return cur_u8(in, &t->by) && text_read(in, &t->tenant, LINK_NAME_MAX, name_byte) &&
           text_read(in, &t->name, LINK_NAME_MAX, name_byte);
}

static void question_write(struct writer *w, const struct link_question *q)
{
    wr_be64(w, q->token);
    wr_u8(w, q->kind);
    wr_be64(w, q->portal);
    tunnel_write(w, &q->tunnel);
    text_write(w, q->host);
}

static bool question_read(struct cursor *in, struct link_question *q)
{
    return cur_be64(in, &q->token) && cur_u8(in, &q->kind) && cur_be64(in, &q->portal) &&
           tunnel_read(in, &q->tunnel) && text_read(in, &q->host, LINK_HOST_MAX, printable);
}

enum { ANSWER_KNOWN = 1, ANSWER_PRIVATE = 2 };

static void answer_write(struct writer *w, const struct link_answer *a)
{
    wr_be64(w, a->token);
    wr_u8(w, (uint8_t)((a->known ? ANSWER_KNOWN : 0) | (a->is_private ? ANSWER_PRIVATE : 0)));
    wr_be64(w, a->portal);
    tunnel_write(w, &a->holder);
    wr_u8(w, a->count);
    for (const struct link_place *p = a->at; p < a->at + a->count; p++) {
        wr_be64(w, p->epoch);
        wr_be16(w, p->links);
        text_write(w, p->node);
    }
}

static bool place_read(struct cursor *in, struct link_place *p)
{
    return cur_be64(in, &p->epoch) && cur_be16(in, &p->links) &&
           text_read(in, &p->node, LINK_NAME_MAX, name_byte);
}

static bool answer_read(struct cursor *in, struct link_answer *a)
{
    uint8_t flags;
    if (!cur_be64(in, &a->token) || !cur_u8(in, &flags) || !cur_be64(in, &a->portal) ||
        !tunnel_read(in, &a->holder) || !cur_u8(in, &a->count) || a->count > LINK_PLACES_MAX)
        return false;
    a->known = flags & ANSWER_KNOWN;
    a->is_private = flags & ANSWER_PRIVATE;
    for (unsigned i = 0; i < a->count; i++)
        if (!place_read(in, &a->at[i]))
            return false;
    return true;
}

enum {
    ROUTE_MARK = 0x80,
    ROUTE_BY_CLAIM = 1
}; /* the mark is no network, which a source begins with */

void link_write_route(struct writer *w, const struct link_route *r)
{
    wr_u8(w, ROUTE_MARK);
    wr_u8(w, r->by_claim ? ROUTE_BY_CLAIM : 0);
    wr_be64(w, r->portal);
    wr_be64(w, r->epoch);
    tunnel_write(w, &r->tunnel);
}

bool link_read_route(struct cursor *in, struct link_route *r)
{
    struct cursor c = *in;
    uint8_t mark, flags;
    if (!cur_u8(&c, &mark) || mark != ROUTE_MARK || !cur_u8(&c, &flags) ||
        !cur_be64(&c, &r->portal) || !cur_be64(&c, &r->epoch) || !tunnel_read(&c, &r->tunnel))
        return false;
    r->by_claim = flags & ROUTE_BY_CLAIM;
    *in = c;
    return true;
}

static bool address_read(struct cursor *in, struct addr *place)
{
    struct err e;
    return addr_read_wire(in, place, &e) == STEP_DONE && place->port > 0;
}

static void value_write(struct writer *w, const struct link_item *i)
{
    switch ((enum link_type)i->type) {
    case LINK_HELLO:
        hello_write(w, &i->hello);
        return;
    case LINK_PING:
    case LINK_PONG:
        wr_be64(w, i->token);
        return;
    case LINK_GOAWAY:
        wr_u8(w, i->going.reason);
        wr_be32(w, i->going.wait);
        return;
    case LINK_WINDOW:
        wr_be16(w, i->stream);
        wr_be32(w, i->credit);
        return;
    case LINK_REFUSED:
        wr_be16(w, i->stream);
        wr_u8(w, i->refusal);
        return;
    case LINK_NAMES:
        names_write(w, &i->names);
        return;
    case LINK_HOST_ANSWER:
        wr_u8(w, i->host.answer);
        text_write(w, i->host.name);
        return;
    case LINK_HOST:
        text_write(w, i->host.name);
        return;
    case LINK_WEIGHT:
        wr_u8(w, i->weight);
        return;
    case LINK_WHY:
        text_write(w, i->why);
        return;
    case LINK_NODE:
        node_write(w, &i->node);
        return;
    case LINK_ASK:
        question_write(w, &i->ask);
        return;
    case LINK_HAVE:
        answer_write(w, &i->have);
        return;
    case LINK_PLACE:
        addr_write_wire(w, &i->place);
        return;
    case LINK_BLOCKED:
    case LINK_OPENED:
        wr_be16(w, i->stream);
    }
}

static bool value_read(struct cursor *in, struct link_item *i)
{
    switch ((enum link_type)i->type) {
    case LINK_HELLO:
        return hello_read(in, &i->hello);
    case LINK_PING:
    case LINK_PONG:
        return cur_be64(in, &i->token);
    case LINK_GOAWAY:
        return cur_u8(in, &i->going.reason) && cur_be32(in, &i->going.wait);
    case LINK_WINDOW:
        return cur_be16(in, &i->stream) && cur_be32(in, &i->credit);
    case LINK_REFUSED:
        return cur_be16(in, &i->stream) && cur_u8(in, &i->refusal);
    case LINK_NAMES:
        return names_read(in, &i->names);
    case LINK_HOST_ANSWER:
        return cur_u8(in, &i->host.answer) &&
               text_read(in, &i->host.name, LINK_HOST_MAX, printable);
    case LINK_HOST:
        return text_read(in, &i->host.name, LINK_HOST_MAX, printable);
    case LINK_WEIGHT:
        return cur_u8(in, &i->weight);
    case LINK_WHY:
        return text_read(in, &i->why, LINK_WHY_MAX, printable);
    case LINK_NODE:
        return node_read(in, &i->node);
    case LINK_ASK:
        return question_read(in, &i->ask);
    case LINK_HAVE:
        return answer_read(in, &i->have);
    case LINK_PLACE:
        return address_read(in, &i->place);
    case LINK_BLOCKED:
    case LINK_OPENED:
        return cur_be16(in, &i->stream);
    }
    return false;
}

void link_write_magic(struct writer *w)
{
    wr_bytes(w, MAGIC, sizeof MAGIC);
}

void link_write(struct writer *w, const struct link_item *i)
{
    uint8_t value[LINK_MAX];
    struct writer v = wr_of(value, sizeof value);
    value_write(&v, i);
    wr_u8(w, i->type);
    wr_be16(w, (uint16_t)wr_len(&v));
    wr_bytes(w, value, wr_len(&v));
}

bool link_read_magic(struct cursor *in)
{
    uint8_t magic[sizeof MAGIC];
    return cur_bytes(in, magic, sizeof magic) && memcmp(magic, MAGIC, sizeof magic) == 0;
}

bool link_read(struct cursor *in, struct link_item *i)
{
    uint16_t len;
    struct cursor value;
    while (cur_u8(in, &i->type) && cur_be16(in, &len) && cur_sub(in, len, &value))
        if (value_read(&value, i))
            return true;
    return false;
}
