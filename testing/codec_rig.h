/* testing/codec_rig.h -- a codec without a socket: its driver's duties, done by hand. */
#ifndef V2C_TESTING_CODEC_RIG_H
#define V2C_TESTING_CODEC_RIG_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/codec.h"

enum { CODEC_HEARS = 64 * 1024 };

struct codec_rig {
    struct codec *codec;
    struct meta meta;
    uint8_t in[CODEC_HEARS]; /* not yet used */
    size_t in_len;
    uint8_t said[4096]; /* what the codec itself sent */
    size_t said_len;
    uint8_t got[CODEC_HEARS]; /* plain bytes */
    size_t got_len;
    struct err why;
    enum step step; /* of accept() */
};

static inline void codec_rig_say(struct codec_rig *r)
{
    struct buf *b;
    struct buf_pool pool = {0};
    if (!(r->codec->signs & CODEC_SAYS))
        return;
    r->codec->signs &= ~(unsigned)CODEC_SAYS;
    b = buf_new(&pool);
    assert(b && r->codec->ops->say(r->codec, b, &r->why) == 0);
    assert(r->said_len + b->len <= sizeof r->said);
    memcpy(r->said + r->said_len, b->data, b->len);
    r->said_len += b->len;
    free(b);
}

static inline void codec_rig_open(struct codec_rig *r)
{
    struct opened out = {0};
    size_t used = 0;
    enum step s = STEP_DONE;
    uint8_t *exact = malloc(r->in_len ? r->in_len : 1);
    memcpy(exact, r->in, r->in_len);
    while (used < r->in_len && (s = r->codec->ops->open(r->codec, exact + used, r->in_len - used,
                                                        &out, &r->why)) == STEP_DONE) {
        assert(out.used && out.used <= r->in_len - used);
        assert(r->got_len + out.len <= sizeof r->got);
        if (out.len)
            memcpy(r->got + r->got_len, out.data, out.len);
        r->got_len += out.len;
        used += out.used;
        codec_rig_say(r);
    }
    assert(s != STEP_MORE || r->in_len - used <= r->codec->ops->wire_max || r->codec->ops->accept);
    assert(s != STEP_FAIL || r->why.code);
    memcpy(r->in, exact + used, r->in_len - used);
    r->in_len -= used;
    free(exact);
    r->step = s == STEP_FAIL ? STEP_FAIL : r->step;
}

/* As accept.c does it: MORE may have used something. */
static inline void codec_rig_accept(struct codec_rig *r)
{
    uint8_t *exact = malloc(r->in_len ? r->in_len : 1);
    memcpy(exact, r->in, r->in_len);
    struct cursor c = cur_of(exact, r->in_len);
    r->step = r->codec->ops->accept(r->codec, &c, &r->meta, &r->why);
    assert(r->step != STEP_FAIL || r->why.code);
    r->in_len = cur_left(&c);
    memcpy(r->in, exact + (c.p - exact), r->in_len);
    free(exact);
    codec_rig_say(r);
}

/* The peer sends; a server greets first, and then passes on. */
static inline void codec_rig_feed(struct codec_rig *r, const void *bytes, size_t len)
{
    if (r->step == STEP_FAIL)
        return;
    assert(r->in_len + len <= sizeof r->in);
    memcpy(r->in + r->in_len, bytes, len);
    r->in_len += len;
    codec_rig_say(r);
    if (r->codec->ops->accept && r->step != STEP_DONE)
        codec_rig_accept(r);
    if (r->step != STEP_FAIL && (!r->codec->ops->accept || r->step == STEP_DONE))
        codec_rig_open(r);
}

static inline void codec_rig_answer(struct codec_rig *r, int code)
{
    struct err why = {.code = code};
    r->codec->ops->answer(r->codec, code ? &why : NULL);
    codec_rig_say(r);
}

static inline void codec_rig_free(struct codec_rig *r)
{
    r->codec->ops->free(r->codec);
    free(r);
}

/* A server's step begins as MORE; a client has none but FAIL. */
static inline struct codec_rig *codec_rig_new(struct codec *codec)
{
    struct codec_rig *r = calloc(1, sizeof *r);
    assert(r && codec);
    r->codec = codec;
    r->step = codec->ops->accept ? STEP_MORE : STEP_DONE;
    return r;
}

#endif
