#include "cluster/tenants.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/list.h"
#include "reverse/tunnels.h"

/* Found as if it were a tunnel's name. */
struct tenant {
    struct tunnel_item item;
    struct tunnel_name name;
};

struct tenants {
    pthread_mutex_t lock;
    struct tunnels table;
};

struct tenants *tenants_new(void)
{
    struct tenants *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    tunnels_init(&t->table);
    return t;
}

void tenants_free(struct tenants *t)
{
    struct tunnel_item *next;
    if (!t)
        return;
    for (size_t row = 0; row < t->table.row_count; row++)
        for (struct tunnel_item *i = t->table.rows[row]; i; i = next) {
            next = i->next;
            free(container_of(i, struct tenant, item));
        }
    tunnels_fini(&t->table);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static const char *add(struct tunnels *table, const struct tunnel_name *name)
{
    struct tenant *added = table->count < TENANTS_MAX ? calloc(1, sizeof *added) : NULL;
    if (!added)
        return NULL;
    added->name = *name;
    added->item.name = &added->name;
    if (tunnels_add(table, &added->item))
        return added->name.text;
    free(added);
    return NULL;
}

bool tenants_keep(struct tenants *t, const char *name, size_t len, const char **kept)
{
    struct tunnel_name n = {.by = TUNNEL_UNNAMED};
    *kept = NULL;
    if (len == 0 || len > TUNNEL_NAME_MAX)
        return len == 0;
    memcpy(n.text, name, len);
    pthread_mutex_lock(&t->lock);
    const struct tunnel_item *i = tunnels_find(&t->table, &n);
    *kept = i ? i->name->text : add(&t->table, &n);
    pthread_mutex_unlock(&t->lock);
    return *kept;
}
