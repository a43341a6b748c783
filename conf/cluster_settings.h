/* conf/cluster_settings.h -- what "cluster" says, compiled, as one object that several configurations share: a process keeps
 * the one it began with, for its nodes and links know it.
 * Thread: built on the main thread, then immutable, counted by any. Ownership: a share each; the last one wipes it. */
#ifndef V2C_CONF_CLUSTER_SETTINGS_H
#define V2C_CONF_CLUSTER_SETTINGS_H

#include <stdatomic.h>

#include "cluster/cluster.h"
#include "conf/arena.h"
#include "conf/digest.h"

struct cluster_settings {
    _Atomic unsigned shares;
    struct cluster_conf conf;
    struct registry_conf registry; /* conf.registry, if that is not NULL */
    struct carriage *tls;          /* of its servers; NULL: none wants it */
    struct digest digest;          /* with what the files say that it names */
    struct arena *memory;          /* what conf points to; holds secrets */
};

struct cluster_settings *cluster_settings_new(void); /* one share; NULL: out of memory */
struct cluster_settings *cluster_settings_ref(struct cluster_settings *s);
void cluster_settings_unref(struct cluster_settings *s); /* s may be NULL */
/* Both may be NULL: stands alone. */
bool cluster_settings_same(const struct cluster_settings *a, const struct cluster_settings *b);

#endif
