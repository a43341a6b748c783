#include <stdlib.h>

#include "proxy/entry_inside.h"
#include "routing/sniff.h"
#include "transport/stream.h"
#include "transport/tls.h"

enum { TLS_HANDSHAKE = 22 }; /* the first byte of a ClientHello's record; no method begins so */

static struct hello *of_first(struct first_bytes *f)
{
    return container_of(f, struct hello, first);
}

static enum step chosen(struct hello *h, enum hello_kind kind)
{
    h->kind = kind;
    h->entry = NULL;
    list_remove(&h->item);
    return STEP_DONE;
}

/* What OpenSSL would say: clients show it as "unrecognized name". */
static enum step refuse_name(struct hello *h, struct err *e)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2 /* fatal */, 112 /* unrecognized_name */};
    below_write(&h->first.layer, alert, sizeof alert);
    return step_fail(e, EACCES,
                     *h->name.text ? "tls: it asks for a name that is neither routed nor ours"
                                   : "tls: it asks for no name, and there is no certificate");
}

static enum step end_here(struct hello *h, struct err *e)
{
    struct layer *tls = tls_accept(h->carriage->tls, e);
    if (!tls)
        return STEP_FAIL;
    if (stream_put_layer(h->first.layer.stream, tls) < 0)
        return step_fail(e, ENOMEM, "out of memory");
    return chosen(h, HELLO_ENDS);
}

static enum step find_passing(struct hello *h)
{
    const struct stream *s = h->first.layer.stream;
    struct addr source;
    if (!stream_source(s, &source))
        stream_peer(s, &source);
    return entry_find_passing(h->entry, h->name.text, &source, &h->wait, &h->to);
}

static enum step choose_tls(struct hello *h, struct err *e)
{
    bool ours = h->carriage && h->carriage->tls;
    enum step s = STEP_FAIL;
    if (*h->name.text && !(ours && tls_covers(h->carriage->tls, h->name.text)))
        s = find_passing(h);
    if (s == STEP_MORE)
        h->first.waits = true;
    if (s == STEP_DONE)
        return chosen(h, HELLO_PASSES);
    if (s == STEP_MORE)
        return s;
    return ours ? end_here(h, e) : refuse_name(h, e);
}

static enum step hello_look(struct first_bytes *f, const uint8_t *bytes, size_t len, struct err *e)
{
    struct hello *h = of_first(f);
    struct sniffed found = {0};
    struct err no_name;
    if (*bytes != TLS_HANDSHAKE)
        return chosen(h, HELLO_PLAIN);
    enum step s = sniff_tls(cur_of(bytes, len), &found);
    if (s == STEP_FAIL)
        return step_fail(e, EPROTO, "tls: no ClientHello");
    if (s == STEP_MORE)
        return s;
    if (hostname_read_bare(&h->name, found.name, strlen(found.name), &no_name) < 0)
        h->name = (struct hostname){0};
    return choose_tls(h, e);
}

static void on_found(struct lookup_wait *w)
{
    struct hello *h = container_of(w, struct hello, wait);
    layer_event(&h->first.layer, true, false);
}

static void hello_free(struct first_bytes *f)
{
    struct hello *h = of_first(f);
    list_remove(&h->item);
    lookup_forget(&h->wait);
    free(h);
}

static const struct first_bytes_ops hello_ops = {.look = hello_look, .free = hello_free};

int hello_put(struct accept_inbound *a, struct stream *s, const struct carriage *c, struct err *e)
{
    struct hello *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ENOMEM, "out of memory");
    first_bytes_init(&h->first, &hello_ops);
    h->entry = container_of(a, struct entry, accept);
    h->carriage = c;
    h->wait.told = on_found;
    list_append(&h->entry->hellos, &h->item);
    return stream_put_layer(s, &h->first.layer) < 0 ? err_set(e, ENOMEM, "out of memory") : 0;
}

struct hello *hello_of(const struct stream *s)
{
    struct first_bytes *f = first_bytes_of(s, &hello_ops);
    return f ? of_first(f) : NULL;
}
