#include "proxy/api_pages.h"

#include "proxy/api_counters.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include <string.h>

#ifdef PACKAGE_VERSION
#define VERSION_TEXT PACKAGE_VERSION
#else
#define VERSION_TEXT "unknown"
#endif

const char api_version[] = VERSION_TEXT;

enum { STATUS_RESERVE = 16 * 1024 /* of the status page's cap, so that its end is always there */ };

/* Of an inbound or outbound. Users are no business of a scraper, nor of a visitor. */
static bool traffic_public(struct traffic_name *t, const char *name)
{
    return traffic_split(t, name) && !traffic_is_of(t, "user");
}

/* --- /stats, /ready --- */

void api_page_stats(struct page *p, const struct api_view *v, const struct api_moment *m)
{
    for (unsigned i = 0; i < v->stats->count; i++) {
        page_text(p, v->stats->info[i].name);
        page_format(p, ": %lld\n", (long long)api_count(v, i));
    }
    page_format(p, "log_dropped: %llu\n", (unsigned long long)m->log_dropped);
    page_cut_line(p);
}

bool api_page_ready(struct page *p, const struct api_view *v)
{
    const char *instead = v->unready ? v->unready(v->with) : NULL;
    bool ready = !instead;
    if (instead)
        page_format(p, "v2c %s\n", instead);
    for (size_t i = 0; i < v->watch_count; i++) {
        const struct api_watch *w = &v->watches[i];
        if (w->elsewhere || api_sum(v, (unsigned)w->carriers_slot) > 0)
            continue;
        page_format(p, "%s ", w->kind);
        page_text(p, w->tag);
        page_text(p, " has no carrier\n");
        ready = false;
    }
    if (ready)
        page_text(p, "ready\n");
    page_cut_line(p);
    return ready;
}

/* --- /metrics: Prometheus text format 0.0.4 --- */

static void metric_head(struct page *p, const char *name, const char *type, const char *help)
{
    page_format(p, "# HELP v2c_%s %s\n# TYPE v2c_%s %s\n", name, help, name, type);
}

static void metric_fixed(struct page *p, const struct stat_info *info, int64_t value)
{
    bool counts = info->kind == STAT_COUNTER;
    const char *suffix = counts ? "_total" : "";
    page_format(p, "# HELP v2c_%s%s %s\n", info->name, suffix, info->help);
    page_format(p, "# TYPE v2c_%s%s %s\n", info->name, suffix, counts ? "counter" : "gauge");
    page_format(p, "v2c_%s%s %lld\n", info->name, suffix, (long long)value);
}

static void metrics_traffic(struct page *p, const struct api_view *v)
{
    struct traffic_name t;
    metric_head(p, "traffic_bytes_total", "counter", "bytes carried, by tag and direction");
    for (unsigned i = STAT_FIXED; i < v->stats->count; i++) {
        if (!traffic_public(&t, v->stats->info[i].name))
            continue;
        page_text(p, "v2c_traffic_bytes_total{kind=\"");
        page_label(p, t.kind, t.kind_len);
        page_text(p, "\",tag=\"");
        page_label(p, t.tag, t.tag_len);
        page_format(p, "\",direction=\"%s\"} %lld\n", t.direction, (long long)api_sum(v, i));
    }
}

static void metric_watch(struct page *p, const struct api_view *v, const char *name,
                         const struct api_watch *w, int slot)
{
    if (slot < 0)
        return;
    page_format(p, "v2c_%s{kind=\"%s\",tag=\"", name, w->kind);
    page_label(p, w->tag, strlen(w->tag));
    page_format(p, "\"} %lld\n", (long long)api_sum(v, (unsigned)slot));
}

void api_page_metrics(struct page *p, const struct api_view *v, const struct api_moment *m)
{
    for (unsigned i = 0; i < STAT_FIXED; i++)
        metric_fixed(p, &v->stats->info[i], api_sum(v, i));
    metric_head(p, "log_dropped_total", "counter", "log lines lost: disk full, or a slow reader");
    page_format(p, "v2c_log_dropped_total %llu\n", (unsigned long long)m->log_dropped);
    metric_head(p, "start_time_seconds", "gauge", "when the process started, in Unix time");
    page_format(p, "v2c_start_time_seconds %.3f\n", v->started);
    metric_head(p, "build_info", "gauge", "always 1; the version is a label");
    page_text(p, "v2c_build_info{version=\"" VERSION_TEXT "\"} 1\n");
    metric_head(p, "carriers", "gauge", "connections between bridge and portal that are up");
    for (size_t i = 0; i < v->watch_count; i++)
        metric_watch(p, v, "carriers", &v->watches[i], v->watches[i].carriers_slot);
    metric_head(p, "visitors", "gauge", "visitors that a portal serves now");
    for (size_t i = 0; i < v->watch_count; i++)
        metric_watch(p, v, "visitors", &v->watches[i], v->watches[i].visitors_slot);
    metrics_traffic(p, v);
    page_cut_line(p);
}

/* --- / --- */

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1c2330;--soft:#5d6778;"
    "--line:#e3e7ed;--ok:#14713d;--okbg:#ddf3e5;--bad:#9c3a06;--badbg:#fdeadb;--link:#1d5fc4}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1b1f27;--text:#e5e9f0;"
    "--soft:#98a2b3;--line:#2c323d;--ok:#7fdca4;--okbg:#153524;--bad:#ffb27d;--badbg:#41240f;"
    "--link:#8ab8ff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--text);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif}\n"
    "main{max-width:56rem;margin:0 auto;padding:2.5rem 1.25rem}\n"
    "header{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem .9rem;margin-bottom:1.25rem}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0;letter-spacing:-.02em}\n"
    "h2{font-size:1rem;margin:1.75rem 0 .5rem}\n"
    "header p{margin:0;color:var(--soft)}\n"
    ".pill{padding:.1rem .7rem;border-radius:1rem;font-size:.85rem;font-weight:600;"
    "white-space:nowrap}\n"
    ".ok{color:var(--ok);background:var(--okbg)}.bad{color:var(--bad);background:var(--badbg)}\n"
    ".note{margin:0 0 1rem;padding:.7rem 1rem;border-radius:.6rem}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "th,td{padding:.5rem 1rem;text-align:left;border-top:1px solid var(--line);"
    "overflow-wrap:break-word}\n"
    "@media(max-width:36rem){th,td{padding:.5rem .7rem}}\n"
    ".words td::first-letter{text-transform:uppercase}\n"
    "tr:first-child>*{border-top:0}\n"
    "th{font-size:.8rem;font-weight:600;color:var(--soft)}\n"
    ".num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".soft{color:var(--soft)}\n"
    "footer{margin-top:1.75rem;color:var(--soft);font-size:.9rem}a{color:var(--link)}\n"
    "footer a{margin-right:.9rem}\n"
    "</style>\n";

static bool came_by_tunnel(const struct api_view *v, const char *inbound_tag)
{
    for (size_t i = 0; i < v->watch_count; i++)
        if (strcmp(v->watches[i].kind, "bridge") == 0 &&
            strcmp(v->watches[i].tag, inbound_tag) == 0)
            return true;
    return false;
}

static bool all_carried(const struct api_view *v)
{
    for (size_t i = 0; i < v->watch_count; i++)
        if (api_sum(v, (unsigned)v->watches[i].carriers_slot) <= 0)
            return false;
    return true;
}

static void status_head(struct page *p, const struct api_view *v, const struct api_moment *m)
{
    page_text(p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                 "<title>v2c</title>\n");
    page_text(p, style);
    page_text(p, "</head>\n<body>\n<main>\n<header>\n<h1>v2c</h1>\n");
    if (v->watch_count && all_carried(v))
        page_text(p, "<span class=\"pill ok\">connected</span>\n");
    else if (v->watch_count)
        page_text(p, "<span class=\"pill bad\">waiting for a carrier</span>\n");
    page_text(p, "<p>version " VERSION_TEXT ", up for ");
    page_duration(p, m->now - v->started);
    page_text(p, "</p>\n</header>\n");
    if (came_by_tunnel(v, m->inbound_tag)) {
        page_text(p, "<p class=\"note ok\">This page was served through the tunnel, by bridge <b>");
        page_html(p, m->inbound_tag, strlen(m->inbound_tag));
        page_text(p, "</b>.</p>\n");
    }
}

static bool status_has_room(const struct page *p)
{
    return p->len < PAGE_MAX - STATUS_RESERVE;
}

static void cell_count(struct page *p, const struct api_view *v, int slot)
{
    page_text(p, "<td class=\"num\">");
    if (slot < 0)
        page_text(p, "<span class=\"soft\">&ndash;</span>");
    else
        page_count(p, api_sum(v, (unsigned)slot));
    page_text(p, "</td>");
}

static void status_watches(struct page *p, const struct api_view *v)
{
    page_text(p, "<h2>Bridges and portals</h2>\n<div class=\"card\">\n<table>\n");
    page_text(p, v->watch_count ? "<tr><th>Tag</th><th>Kind</th><th>State</th>"
                                  "<th class=\"num\">Carriers</th><th class=\"num\">Visitors</th>"
                                  "</tr>\n"
                                : "<tr><td class=\"soft\">none configured</td></tr>\n");
    for (size_t i = 0; i < v->watch_count && status_has_room(p); i++) {
        const struct api_watch *w = &v->watches[i];
        bool up = api_sum(v, (unsigned)w->carriers_slot) > 0;
        page_text(p, "<tr><td>");
        page_html(p, w->tag, strlen(w->tag));
        page_format(p, "</td><td>%s</td><td><span class=\"pill %s\">%s</span></td>", w->kind,
                    up ? "ok" : "bad", up ? "connected" : "no carrier");
        cell_count(p, v, w->carriers_slot);
        cell_count(p, v, w->visitors_slot);
        page_text(p, "</tr>\n");
    }
    page_text(p, "</table>\n</div>\n");
}

static void cell_size(struct page *p, const struct api_view *v, int slot)
{
    page_text(p, "<td class=\"num\">");
    if (slot < 0)
        page_text(p, "<span class=\"soft\">&ndash;</span>");
    else
        page_size(p, api_count(v, (unsigned)slot));
    page_text(p, "</td>");
}

static void traffic_cells(struct page *p, const struct api_view *v, const struct traffic_row *row)
{
    page_text(p, "<tr><td>");
    page_html(p, row->name.tag, row->name.tag_len);
    page_text(p, "</td><td>");
    page_html(p, row->name.kind, row->name.kind_len);
    page_text(p, "</td>");
    cell_size(p, v, row->up);
    cell_size(p, v, row->down);
    page_text(p, "</tr>\n");
}

static void status_traffic(struct page *p, const struct api_view *v)
{
    struct traffic_row row;
    bool any = false;
    for (unsigned i = STAT_FIXED; status_has_room(p) && traffic_next(v, &i, &row);) {
        if (traffic_is_of(&row.name, "user"))
            continue;
        if (!any)
            page_text(p,
                      "<h2>Traffic</h2>\n<div class=\"card\">\n<table>\n<tr><th>Tag</th>"
                      "<th>Kind</th><th class=\"num\">Up</th><th class=\"num\">Down</th></tr>\n");
        any = true;
        traffic_cells(p, v, &row);
    }
    if (any)
        page_text(p, "</table>\n</div>\n");
}

static void status_counters(struct page *p, const struct api_view *v)
{
    page_text(p, "<h2>Counters</h2>\n<div class=\"card\">\n<table class=\"words\">\n");
    for (unsigned i = 0; i < STAT_FIXED; i++) {
        page_text(p, "<tr><td>");
        page_html(p, v->stats->info[i].help, strlen(v->stats->info[i].help));
        page_text(p, "</td>");
        cell_count(p, v, (int)i);
        page_text(p, "</tr>\n");
    }
    page_text(p, "</table>\n</div>\n");
}

void api_page_status(struct page *p, const struct api_view *v, const struct api_moment *m)
{
    status_head(p, v, m);
    status_watches(p, v);
    status_traffic(p, v);
    status_counters(p, v);
    page_text(p, "<footer><a href=\"/stats\">stats</a><a href=\"/metrics\">metrics</a>"
                 "<a href=\"/ready\">ready</a><a href=\"/live\">live</a></footer>\n"
                 "</main>\n</body>\n</html>\n");
    page_cut_line(p);
}
