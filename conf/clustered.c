#include "conf/clustered.h"

#include <stdlib.h>

#include "cluster/view.h"
#include "conf/cluster_settings.h"
#include "transport/listen.h"

/* --- the start --- */

/* One socket for each loop. NULL and e: the port is not free. */
static int *open_doors(const struct cluster_conf *conf, unsigned loops, struct err *e)
{
    int *fds = calloc(loops, sizeof *fds);
    if (!fds) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    if (listen_open(&conf->listen, SOCK_STREAM, fds, loops, e) == 0)
        return fds;
    err_wrap(e, "%s/listen", conf->pointer);
    free(fds);
    return NULL;
}

static int make_all(struct process *p, const struct cluster_conf *conf, struct err *e)
{
    p->shared.cluster = cluster_shared_new(conf, p->made);
    for (unsigned i = 0; p->shared.cluster && i < p->made; i++) {
        struct worker *w = &p->workers[i];
        w->cluster = cluster_new(&w->loop, conf, p->shared.cluster);
        if (!w->cluster)
            return err_set(e, ENOMEM, "out of memory");
    }
    return p->shared.cluster ? 0 : err_set(e, ENOMEM, "out of memory");
}

int clustered_start(struct process *p, struct err *e)
{
    const struct cluster_settings *s = p->generation->config->cluster;
    int *fds = NULL;
    if (!s || make_all(p, &s->conf, e) < 0)
        return s ? -1 : 0;
    if (!s->conf.listen.port)
        return 0;
    fds = open_doors(&s->conf, p->made, e);
    for (unsigned i = 0; fds && i < p->made; i++)
        cluster_listen(p->workers[i].cluster, fds[i]);
    free(fds);
    return fds ? 0 : -1;
}

void clustered_free(struct process *p)
{
    cluster_shared_free(p->shared.cluster);
    p->shared.cluster = NULL;
}

/* --- the end --- */

static int leave(struct worker *w, void *with)
{
    (void)with;
    worker_leave(w);
    return 0;
}

double clustered_leave(struct process *p)
{
    if (!p->shared.cluster)
        return 0;
    bool alone = cluster_others(p->shared.cluster) == 0;
    process_ask(p, leave, NULL);
    return alone ? 0 : p->generation->config->cluster->conf.spread;
}

const char *clustered_unready(void *with)
{
    const struct worker_shared *s = with;
    if (s->ends)
        return "ends";
    return s->cluster && cluster_state(s->cluster) == NODE_STARTS ? "starts" : NULL;
}

/* --- portals --- */

void worker_join(struct worker *w, struct outbound *portal)
{
    if (w->cluster)
        cluster_join(w->cluster, portal);
}

void worker_unjoin(struct worker *w, struct outbound *portal)
{
    if (w->cluster)
        cluster_leave(w->cluster, portal);
}
