#include "proxy/announce.h"

#include <stdlib.h>

#include "transport/proxy_in.h"

struct announce {
    struct codec codec;
    int version;
    struct addr source, dest;
};

static struct announce *announce_of(struct codec *c)
{
    return (struct announce *)(void *)c;
}

/* Not before: a name has many addresses, and one of them is the header's. */
static void announce_connected(struct codec *c, const struct addr *peer)
{
    if (addr_is_ip(peer))
        announce_of(c)->dest = *peer;
    c->signs = CODEC_SAYS | CODEC_PASSES;
}

static int announce_say(struct codec *c, struct buf *b, struct err *e)
{
    const struct announce *a = announce_of(c);
    (void)e;
    b->len = proxy_header_write(b->data, a->version, &a->source, &a->dest);
    return 0;
}

static enum step announce_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                               struct err *e)
{
    (void)c, (void)e;
    *out = (struct opened){.used = n, .data = in, .len = n};
    return STEP_DONE;
}

static void announce_free(struct codec *c)
{
    free(announce_of(c));
}

static const struct codec_ops announce_ops = {
    .say = announce_say,
    .connected = announce_connected,
    .open = announce_open,
    .free = announce_free,
};

struct codec *announce_new(int version, const struct addr *source, const struct addr *target)
{
    struct announce *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->codec = (struct codec){.ops = &announce_ops, .signs = CODEC_MUTE};
    a->version = version;
    a->source = *source;
    a->dest = *target;
    return &a->codec;
}
