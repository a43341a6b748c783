#include "cluster/nodes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const double FORGOTTEN = 300; /* seconds after which nobody remembers a dead node */

/* One life of a node. */
struct life {
    struct node_view v;
    unsigned links;      /* on all loops */
    double leased_until; /* 0: the registry never said so */
    double lease;        /* seconds */
    double seen;         /* when it was last said to be alive */
};

struct nodes {
    pthread_mutex_t lock;
    char self[NODE_NAME_MAX + 1];
    bool well;    /* the registry answers */
    double since; /* when that last changed */
    unsigned count;
    struct life lives[NODES_MAX];
};

struct nodes *nodes_new(const char *self)
{
    struct nodes *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    pthread_mutex_init(&n->lock, NULL);
    strncpy(n->self, self, NODE_NAME_MAX);
    return n;
}

void nodes_free(struct nodes *n)
{
    if (!n)
        return;
    pthread_mutex_destroy(&n->lock);
    free(n);
}

/* --- alive --- */

/* Without a registry no life has ever been leased. */
static bool is_leased(const struct nodes *n, const struct life *l, double now)
{
    return l->leased_until > (n->well ? now : n->since);
}

static bool is_alive(const struct nodes *n, const struct life *l, double now)
{
    return l->links > 0 || is_leased(n, l, now);
}

void nodes_registry(struct nodes *n, bool well, double now)
{
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; well && !n->well && i < n->count; i++) {
        struct life *l = &n->lives[i];
        if (is_leased(n, l, now) && l->leased_until < now + l->lease)
            l->leased_until = now + l->lease; /* it has had no chance to renew it */
    }
    if (well != n->well)
        n->since = now;
    n->well = well;
    pthread_mutex_unlock(&n->lock);
}

/* --- lives --- */

static struct life *find(struct nodes *n, const char *name, uint64_t epoch)
{
    for (unsigned i = 0; i < n->count; i++)
        if (n->lives[i].v.epoch == epoch && strcmp(n->lives[i].v.name, name) == 0)
            return &n->lives[i];
    return NULL;
}

/* The one that has been dead for longest. NULL: all are alive. */
static struct life *oldest_dead(struct nodes *n, double now)
{
    struct life *oldest = NULL;
    for (unsigned i = 0; i < n->count; i++) {
        struct life *l = &n->lives[i];
        if (!is_alive(n, l, now) && (!oldest || l->seen < oldest->seen))
            oldest = l;
    }
    return oldest;
}

/* NULL: there is no room, or it is this node itself. */
static struct life *find_or_add(struct nodes *n, const struct node_view *v, double now)
{
    struct life *l = find(n, v->name, v->epoch);
    if (l || strcmp(v->name, n->self) == 0)
        return l;
    l = n->count < NODES_MAX ? &n->lives[n->count++] : oldest_dead(n, now);
    if (l)
        *l = (struct life){.v = *v};
    return l;
}

static void heard(struct life *l, const struct node_view *v, double now)
{
    l->seen = now;
    l->v.state = v->state;
    l->v.version = v->version;
    l->v.links = v->links;
    memcpy(l->v.zone, v->zone, sizeof l->v.zone);
}

void nodes_leased(struct nodes *n, const struct node_view *v, double now, double lease)
{
    pthread_mutex_lock(&n->lock);
    struct life *l = find_or_add(n, v, now);
    if (l) {
        heard(l, v, now);
        l->v.at = v->at;
        l->lease = lease;
        l->leased_until = now + lease;
    }
    for (unsigned i = 0; l && i < n->count; i++) /* a name is leased to one life */
        if (&n->lives[i] != l && strcmp(n->lives[i].v.name, v->name) == 0)
            n->lives[i].leased_until = 0;
    pthread_mutex_unlock(&n->lock);
}

void nodes_left(struct nodes *n, const char *name, uint64_t epoch)
{
    pthread_mutex_lock(&n->lock);
    struct life *l = find(n, name, epoch);
    if (l)
        l->leased_until = 0;
    pthread_mutex_unlock(&n->lock);
}

void nodes_linked(struct nodes *n, const struct node_view *v, enum nodes_link what, double now)
{
    pthread_mutex_lock(&n->lock);
    struct life *l = what == NODE_LINK_UP ? find_or_add(n, v, now) : find(n, v->name, v->epoch);
    if (l && what == NODE_LINK_WENT) {
        l->links -= l->links > 0;
    } else if (l) {
        l->links += what == NODE_LINK_UP;
        l->v.rtt = v->rtt > 0 ? v->rtt : l->v.rtt;
        l->v.is_static |= v->is_static;
        if (v->at.type != ADDR_NONE)
            l->v.at = v->at;
    }
    if (l)
        heard(l, v, now);
    pthread_mutex_unlock(&n->lock);
}

/* --- questions --- */

bool nodes_alive(struct nodes *n, const char *name, uint64_t epoch, double now)
{
    pthread_mutex_lock(&n->lock);
    const struct life *l = find(n, name, epoch);
    bool alive = l && is_alive(n, l, now);
    pthread_mutex_unlock(&n->lock);
    return alive;
}

/* Some life of its name is alive. */
static bool name_lives(const struct nodes *n, const char *name, double now)
{
    for (unsigned i = 0; i < n->count; i++)
        if (strcmp(n->lives[i].v.name, name) == 0 && is_alive(n, &n->lives[i], now))
            return true;
    return false;
}

static void forget(struct nodes *n, double now)
{
    for (unsigned i = 0; i < n->count;) {
        const struct life *l = &n->lives[i];
        bool over =
            !is_alive(n, l, now) && (now - l->seen > FORGOTTEN || name_lives(n, l->v.name, now));
        if (over)
            n->lives[i] = n->lives[--n->count];
        else
            i++;
    }
}

unsigned nodes_list(struct nodes *n, struct node_view *to, unsigned max, double now)
{
    pthread_mutex_lock(&n->lock);
    forget(n, now);
    unsigned count = n->count < max ? n->count : max;
    for (unsigned i = 0; i < count; i++) {
        const struct life *l = &n->lives[i];
        to[i] = l->v;
        to[i].linked = l->links > 0;
        to[i].leased = is_leased(n, l, now);
        to[i].alive = to[i].linked || to[i].leased;
        to[i].sought = to[i].alive || !n->well;
    }
    pthread_mutex_unlock(&n->lock);
    return count;
}

/* Of a node that just began anew two lives may be alive, as long as nobody has noticed. */
static bool is_counted(const struct nodes *n, const struct life *l, double now)
{
    if (l->v.state == NODE_DRAINS || !is_alive(n, l, now))
        return false;
    for (const struct life *before = n->lives; before < l; before++)
        if (strcmp(before->v.name, l->v.name) == 0 && is_counted(n, before, now))
            return false;
    return true;
}

unsigned nodes_count(struct nodes *n, double now)
{
    unsigned count = 1;
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < n->count; i++)
        count += is_counted(n, &n->lives[i], now);
    pthread_mutex_unlock(&n->lock);
    return count;
}

void nodes_links(struct nodes *n, double now, uint64_t *all, uint64_t *least)
{
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < n->count; i++)
        if (is_counted(n, &n->lives[i], now)) {
            uint64_t links = n->lives[i].v.links;
            *all += links;
            *least = links < *least ? links : *least;
        }
    pthread_mutex_unlock(&n->lock);
}
