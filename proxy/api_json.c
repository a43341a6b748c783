#include "proxy/api_json.h"

#include <stdlib.h>
#include <string.h>

enum { RESERVE = 64 }; /* bytes: the end of the page */

/* Gauges cannot be set, and v2c's own counters are Prometheus's. */
static bool is_wanted(const struct stat_info *info, const char *pattern)
{
    return info->kind == STAT_COUNTER && strstr(info->name, pattern);
}

static void stat_item(struct page *p, const char *name, int64_t value)
{
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "name", name);
    page_member_number(p, "value", value);
    page_text(p, "}");
}

void api_json_stats(struct page *p, const struct api_view *v, const char *pattern)
{
    page_text(p, "{\"stat\": [");
    for (unsigned i = STAT_FIXED; i < v->stats->count; i++)
        if (is_wanted(&v->stats->info[i], pattern))
            stat_item(p, v->stats->info[i].name, api_count(v, i));
    page_text(p, "]}\n");
}

/* What is shown and what is taken off are the same number, whatever is counted meanwhile. */
void api_json_reset(struct page *p, const struct api_view *v, struct counter *bases,
                    const char *pattern)
{
    unsigned count = v->stats->count;
    int64_t *sums = calloc(count, sizeof *sums);
    p->failed |= !sums;
    page_text(p, "{\"stat\": [");
    for (unsigned i = STAT_FIXED; sums && i < count; i++) {
        if (!is_wanted(&v->stats->info[i], pattern))
            continue;
        sums[i] = api_sum(v, i);
        stat_item(p, v->stats->info[i].name,
                  sums[i] - atomic_load_explicit(&bases[i].value, memory_order_relaxed));
    }
    page_text(p, "]}\n");
    for (unsigned i = STAT_FIXED; !p->full && !p->failed && i < count; i++)
        if (is_wanted(&v->stats->info[i], pattern))
            atomic_store_explicit(&bases[i].value, sums[i], memory_order_relaxed);
    free(sums);
}

static void traffic_value(struct page *p, const struct api_view *v, const char *name, int slot)
{
    if (slot >= 0)
        page_member_number(p, name, api_count(v, (unsigned)slot));
}

void api_json_traffic(struct page *p, const struct api_view *v)
{
    struct traffic_row row;
    page_text(p, "[");
    for (unsigned i = STAT_FIXED; traffic_next(v, &i, &row);) {
        size_t from = p->len;
        if (traffic_is_of(&row.name, "user"))
            continue;
        page_item(p);
        page_text(p, "{");
        page_member(p, "kind");
        page_json(p, row.name.kind, row.name.kind_len);
        page_member(p, "tag");
        page_json(p, row.name.tag, row.name.tag_len);
        traffic_value(p, v, "up", row.up);
        traffic_value(p, v, "down", row.down);
        page_text(p, "}");
        if (p->full || p->len > PAGE_MAX - RESERVE) {
            p->len = from;
            p->full = false;
            break;
        }
    }
    page_text(p, "]");
}
