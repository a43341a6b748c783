#include "proxy/web.h"

#include <sodium.h>
#include <stdlib.h>

#include "proxy/web_visit.h"

struct web *web_new(struct dispatcher *d, const struct web_conf *conf, struct web_finder *finder)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct web){.conf = conf, .finder = finder};
    randombytes_buf(&w->ids, sizeof w->ids);
    ways_init(&w->ways, d, conf);
    return w;
}

enum { NESTED_MAX = 2 /* gateways before this one */ };

static struct visit *visit_of(struct list_item *i)
{
    return container_of(i, struct visit, item);
}

/* Those in use have numbers of another configuration from here on. */
static void web_let_go_of_ways(struct web *w)
{
    for (struct list_item *i = list_first(&w->visits); i; i = list_next(&w->visits, i))
        if (visit_of(i)->way)
            visit_of(i)->way->ways = NULL;
}

void web_adopt(struct web *w, const struct web_conf *conf)
{
    web_let_go_of_ways(w);
    ways_adopt(&w->ways, conf);
    w->conf = conf;
}

void web_drain(struct web *w)
{
    w->going = true;
    ways_end(&w->ways);
    for (struct list_item *i = list_first(&w->visits); i; i = list_next(&w->visits, i))
        visit_part(visit_of(i));
}

bool web_busy(const struct web *w)
{
    return list_first(&w->visits);
}

/* The finder may go as well: who waits for it is woken, and has no way. */
void web_free(struct web *w)
{
    struct list_item *i;
    web_let_go_of_ways(w);
    ways_end(&w->ways);
    while ((i = list_first(&w->visits))) {
        struct visit *v = visit_of(i);
        list_remove(i);
        v->web = NULL;
        lookup_forget(&v->wait);
        visit_part(v);
        end_wake(&v->end);
    }
    free(w);
}

/* Routes may lead from one gateway to another, and from that one back. */
void web_serve(struct web *w, struct flow *f, const char *sni)
{
    struct err why;
    bool lost = ways_before(f) > NESTED_MAX;
    if (!lost && visit_begin(w, f, sni))
        return;
    err_set(&why, lost ? ELOOP : ENOMEM,
            lost ? "the routes go round in a circle" : "out of memory");
    flow_refuse(f, &why);
}
