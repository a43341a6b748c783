#include "mux/frame.h"

enum { META_MIN = 4 };

/* What does not read as an address is somebody else's extension. */
static bool source_read(struct cursor *meta, uint8_t of, struct addr *source)
{
    struct cursor c = *meta;
    uint8_t net;
    struct err ignored;
    if (!cur_u8(&c, &net) || net != of || addr_read_wire(&c, source, &ignored) != STEP_DONE ||
        source->type == ADDR_NAME)
        return false;
    *meta = c;
    return true;
}

/* Xray has something of its own behind the target of datagrams: without a route it is no source. */
static void more_read(struct cursor *meta, struct mux_frame *f)
{
    struct addr source;
    bool told = source_read(meta, f->net, &source);
    f->routed = link_read_route(meta, &f->route);
    if (told && (f->net == NET_TCP || f->routed))
        f->source = source;
}

static enum step meta_read(struct cursor *meta, struct mux_frame *f, struct err *e)
{
    cur_be16(meta, &f->id), cur_u8(meta, &f->status), cur_u8(meta, &f->option); /* META_MIN holds */
    if (f->status < MUX_NEW || f->status > MUX_KEEPALIVE)
        return step_fail(e, EPROTO, "mux status %u", f->status);
    if (f->status != MUX_NEW)
        return STEP_DONE; /* what may follow here belongs to extensions we do not know */
    if (!cur_u8(meta, &f->net) || (f->net != NET_TCP && f->net != NET_UDP))
        return step_fail(e, EPROTO, "mux network %u", f->net);
    switch (addr_read_wire(meta, &f->target, e)) {
    case STEP_DONE:
        more_read(meta, f);
        return STEP_DONE;
    case STEP_MORE:
        return step_fail(e, EPROTO, "mux target cut off");
    default:
        return STEP_FAIL;
    }
}

enum step mux_frame_read(struct cursor *in, struct mux_frame *f, struct err *e)
{
    struct cursor c = *in, meta;
    uint16_t meta_len;
    if (!cur_be16(&c, &meta_len))
        return STEP_MORE;
    if (meta_len < META_MIN || meta_len > MUX_META_MAX)
        return step_fail(e, EPROTO, "mux metadata of %u bytes", meta_len);
    if (!cur_sub(&c, meta_len, &meta))
        return STEP_MORE;
    *f = (struct mux_frame){0};
    if (meta_read(&meta, f, e) != STEP_DONE)
        return STEP_FAIL;
    if ((f->option & MUX_DATA) && !cur_be16(&c, &f->data_len))
        return STEP_MORE;
    *in = c;
    return STEP_DONE;
}

static void meta_write(struct writer *w, const struct mux_frame *f)
{
    wr_be16(w, f->id);
    wr_u8(w, f->status);
    wr_u8(w, f->option);
    if (f->status != MUX_NEW)
        return;
    wr_u8(w, f->net);
    addr_write_wire(w, &f->target);
    if (f->source.type != ADDR_NONE) {
        wr_u8(w, f->net);
        addr_write_wire(w, &f->source);
    }
    if (f->routed)
        link_write_route(w, &f->route);
}

void mux_frame_write(struct writer *w, const struct mux_frame *f)
{
    uint8_t meta[MUX_META_MAX];
    struct writer m = wr_of(meta, sizeof meta);
    meta_write(&m, f);
    wr_be16(w, (uint16_t)wr_len(&m));
    wr_bytes(w, meta, wr_len(&m));
    if (f->option & MUX_DATA)
        wr_be16(w, f->data_len);
}

void mux_keep_head(uint8_t head[MUX_KEEP_HEAD], uint16_t id, uint16_t data_len)
{
    struct writer w = wr_of(head, MUX_KEEP_HEAD);
    mux_frame_write(&w,
                    &(struct mux_frame){
                        .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = data_len});
}
