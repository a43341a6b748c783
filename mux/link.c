#include "mux/link.h"

static const uint8_t MAGIC[4] = {'v', '2', 'c', '1'};

static void token_write(struct writer *w, uint64_t token)
{
    wr_be32(w, (uint32_t)(token >> 32));
    wr_be32(w, (uint32_t)token);
}

static bool token_read(struct cursor *in, uint64_t *token)
{
    uint32_t high, low;
    if (!cur_be32(in, &high) || !cur_be32(in, &low))
        return false;
    *token = (uint64_t)high << 32 | low;
    return true;
}

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
        token_write(w, h->instance);
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
    token_read(in, &h->instance);
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

static void value_write(struct writer *w, const struct link_item *i)
{
    switch ((enum link_type)i->type) {
    case LINK_HELLO:
        hello_write(w, &i->hello);
        return;
    case LINK_PING:
    case LINK_PONG:
        token_write(w, i->token);
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
        return token_read(in, &i->token);
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
