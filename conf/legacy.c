#include "conf/legacy.h"

static void collect(struct report *r, struct arena *a, struct node_list *list,
                    const struct node *single, const struct node *detours, const struct node *array)
{
    if (single && single->type == NODE_OBJECT)
        node_list_add(list, a, single);
    else if (single)
        report_wrong(r, single, "an object");
    value_objects(r, a, detours, list);
    value_objects(r, a, array, list);
}

/* The top level's port is that of the first inbound, when it has none of its own. */
static void lend_port(struct arena *a, struct root *root)
{
    const struct node *own = NULL;
    if (!root->port || root->inbounds.count == 0)
        return;
    own = node_get(root->inbounds.items[0], "port");
    if (own && own->type != NODE_NULL)
        return;
    struct node *inbound = arena_alloc(a, sizeof *inbound);
    struct node *port = arena_alloc(a, sizeof *port);
    if (!inbound || !port)
        return;
    *inbound = *root->inbounds.items[0];
    *port = *root->port;
    node_append(inbound, port);
    root->inbounds.items[0] = inbound;
}

void legacy_collect(struct report *r, struct arena *a, struct root *root)
{
    collect(r, a, &root->inbounds, root->inbound, root->inbound_detour, root->inbound_array);
    collect(r, a, &root->outbounds, root->outbound, root->outbound_detour, root->outbound_array);
    lend_port(a, root);
}
