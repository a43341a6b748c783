#include "proxy/api_counters.h"

#include <string.h>

int64_t api_sum(const struct api_view *v, unsigned slot)
{
    return stat_sum(v->counters, v->loops, slot);
}

int64_t api_count(const struct api_view *v, unsigned slot)
{
    int64_t base = v->bases ? atomic_load_explicit(&v->bases[slot].value, memory_order_relaxed) : 0;
    return api_sum(v, slot) - base;
}

bool traffic_split(struct traffic_name *t, const char *name)
{
    static const char sign[] = ">>>", middle[] = ">>>traffic>>>";
    const char *tag = strstr(name, sign), *end = NULL;
    if (!tag)
        return false;
    tag += strlen(sign);
    for (const char *at = tag; (at = strstr(at, middle)); at++)
        end = at;
    if (!end)
        return false;
    *t = (struct traffic_name){.kind = name,
                               .tag = tag,
                               .direction = end + strlen(middle),
                               .kind_len = (size_t)(tag - name) - strlen(sign),
                               .tag_len = (size_t)(end - tag)};
    return strcmp(t->direction, "uplink") == 0 || strcmp(t->direction, "downlink") == 0;
}

static bool traffic_same(const struct traffic_name *a, const struct traffic_name *b)
{
    return a->kind_len == b->kind_len && memcmp(a->kind, b->kind, a->kind_len) == 0 &&
           a->tag_len == b->tag_len && memcmp(a->tag, b->tag, a->tag_len) == 0;
}

bool traffic_is_of(const struct traffic_name *t, const char *kind)
{
    return t->kind_len == strlen(kind) && memcmp(t->kind, kind, t->kind_len) == 0;
}

bool traffic_next(const struct api_view *v, unsigned *slot, struct traffic_row *row)
{
    struct traffic_name next;
    unsigned i = *slot, count = v->stats->count;
    while (i < count && !traffic_split(&row->name, v->stats->info[i].name))
        i++;
    *slot = i;
    row->up = row->down = -1;
    for (; i < count && i < *slot + 2; i++) {
        if (!traffic_split(&next, v->stats->info[i].name) || !traffic_same(&row->name, &next))
            break;
        *(strcmp(next.direction, "uplink") == 0 ? &row->up : &row->down) = (int)i;
    }
    bool any = i > *slot;
    *slot = i;
    return any;
}
