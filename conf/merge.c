#include "conf/merge.h"

#include <string.h>
#include <strings.h>

static const char *element_tag(const struct node *element)
{
    const struct node *tag = node_get(element, "tag");
    return node_is(tag, NODE_TEXT) ? tag->text : "";
}

static bool replace(struct node_list *list, const struct node *element)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(element_tag(list->items[i]), element_tag(element)) != 0)
            continue;
        list->items[i] = element;
        return true;
    }
    return false;
}

/* Elements of one file never replace each other: those are mistakes, and found as such. */
static void merge_list(struct arena *a, struct node_list *all, const struct node_list *later,
                       bool in_front)
{
    struct node_list fresh = {0}, out = {0};
    for (size_t i = 0; i < later->count; i++)
        if (!replace(all, later->items[i]))
            node_list_add(&fresh, a, later->items[i]);
    const struct node_list *first = in_front ? &fresh : all, *second = in_front ? all : &fresh;
    for (size_t i = 0; i < first->count; i++)
        node_list_add(&out, a, first->items[i]);
    for (size_t i = 0; i < second->count; i++)
        node_list_add(&out, a, second->items[i]);
    *all = out;
}

static void warn_replaced(struct report *r, const struct node_list *all,
                          const struct node_list *later, const struct node *array)
{
    if (all->count > 0 && later->count > 1 && array)
        report_warn(r, array,
                    "merged with the earlier files element by element; V2Ray 4.34 would drop "
                    "theirs");
}

static bool name_has_tail(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcasestr(slash ? slash + 1 : path, "tail");
}

static void take(const struct node **all, const struct node *later)
{
    if (later)
        *all = later;
}

void merge_roots(struct report *r, struct arena *a, struct root *all, const struct root *later)
{
    if (!all->at) {
        *all = *later;
        return;
    }
    take(&all->log, later->log);
    take(&all->routing, later->routing);
    take(&all->reverse, later->reverse);
    take(&all->policy, later->policy);
    take(&all->stats, later->stats);
    take(&all->api, later->api);
    take(&all->dns, later->dns);
    take(&all->transport, later->transport);
    take(&all->observatory, later->observatory);
    take(&all->cluster, later->cluster);
    take(&all->workers, later->workers);
    take(&all->memory, later->memory);
    take(&all->drain, later->drain);
    warn_replaced(r, &all->inbounds, &later->inbounds, later->inbound_array);
    warn_replaced(r, &all->outbounds, &later->outbounds, later->outbound_array);
    merge_list(a, &all->inbounds, &later->inbounds, false);
    merge_list(a, &all->outbounds, &later->outbounds, !name_has_tail(later->at->source->name));
}
