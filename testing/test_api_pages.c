#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api_pages.h"

enum { SLOTS = 20000 };

struct rig {
    struct stats stats;
    struct counter a[SLOTS], b[SLOTS];
    struct counter *loops[2];
    struct api_watch watches[2];
    struct api_view view;
    struct api_moment moment;
    struct page page;
};

static int rig_open(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    if (!r || stats_init(&r->stats, NULL) < 0)
        return -1;
    r->loops[0] = r->a, r->loops[1] = r->b;
    r->view = (struct api_view){.stats = &r->stats,
                                .counters = r->loops,
                                .loops = 2,
                                .watches = r->watches,
                                .started = 1000};
    r->moment = (struct api_moment){.now = 1000, .inbound_tag = ""};
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *r = *state;
    stats_fini(&r->stats);
    page_free(&r->page);
    free(r);
    return 0;
}

static int rig_slot(struct rig *r, const char *name, int64_t value)
{
    int slot = stats_slot(&r->stats, name);
    assert_in_range(slot, STAT_FIXED, SLOTS - 1);
    stat_add(r->a, slot, value - value / 2);
    stat_add(r->b, slot, value / 2);
    return slot;
}

static void rig_watch(struct rig *r, const char *kind, const char *tag, int carriers, int visitors)
{
    r->watches[r->view.watch_count++] = (struct api_watch){
        .kind = kind, .tag = tag, .carriers_slot = carriers, .visitors_slot = visitors};
}

typedef void page_maker(struct page *p, const struct api_view *v, const struct api_moment *m);

static const char *rig_page(struct rig *r, page_maker *make)
{
    page_free(&r->page);
    make(&r->page, &r->view, &r->moment);
    page_bytes(&r->page, "", 1);
    assert_false(r->page.failed);
    return r->page.text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" in:\n%s", part, text);
}

/* --- numbers for people --- */

static void assert_page(struct page *p, const char *want)
{
    page_bytes(p, "", 1);
    assert_string_equal(p->text, want);
    page_free(p);
}

static void page_numbers_read_well(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *count, *size;
    } cases[] = {
        {0, "0", "0 B"},
        {999, "999", "999 B"},
        {1023, "1,023", "1023 B"},
        {1024, "1,024", "1.0 KiB"},
        {1048575, "1,048,575", "1.0 MiB"},
        {1572864, "1,572,864", "1.5 MiB"},
        {-1234, "-1,234", "-1234 B"},
        {INT64_MAX, "9,223,372,036,854,775,807", "8.0 EiB"},
    };
    static const struct {
        double seconds;
        const char *text;
    } spans[] = {{-5, "0 s"},           {59.9, "59 s"},      {60, "1 min 0 s"},
                 {3599, "59 min 59 s"}, {3600, "1 h 0 min"}, {86399, "23 h 59 min"},
                 {86400, "1 d 0 h"},    {1e6, "11 d 13 h"}};
    struct page p = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        page_count(&p, cases[i].n);
        assert_page(&p, cases[i].count);
        page_size(&p, cases[i].n);
        assert_page(&p, cases[i].size);
    }
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        page_duration(&p, spans[i].seconds);
        assert_page(&p, spans[i].text);
    }
}

static void page_escapes_what_could_leave_its_place(void **state)
{
    (void)state;
    struct page p = {0};
    page_html(&p, "<a href=\"x\">'&\n", 15);
    assert_page(&p, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#xfffd;");
    page_label(&p, "a\\b\"c\nd<", 8);
    assert_page(&p, "a\\\\b\\\"c\\nd<");
}

static void page_never_outgrows_its_cap(void **state)
{
    (void)state;
    struct page p = {0};
    for (int i = 0; i < 200000; i++)
        page_text(&p, "seventeen bytes.\n");
    assert_true(p.full);
    assert_true(p.len <= PAGE_MAX && p.len > PAGE_MAX - 17);
    page_text(&p, "x"); /* nothing may follow a gap */
    assert_int_equal(p.len % 17, 0);
    page_free(&p);
    for (int i = 0; i < PAGE_MAX; i++)
        page_text(&p, i % 1000 == 999 ? "\n" : "y");
    page_text(&p, "z");
    page_cut_line(&p);
    assert_int_equal(p.len % 1000, 0);
    assert_true(p.len > PAGE_MAX - 1000);
    page_free(&p);
}

/* --- /stats --- */

static void stats_page_lists_every_counter_summed_over_the_loops(void **state)
{
    struct rig *r = *state;
    rig_slot(r, "user>>>a@b>>>traffic>>>uplink", 77);
    stat_add(r->a, STAT_accepts, 2);
    stat_add(r->b, STAT_accepts, 3);
    const char *text = rig_page(r, api_page_stats);
    assert_has(text, "\naccepts: 5\n");
    assert_has(text, "\nuser>>>a@b>>>traffic>>>uplink: 77\n");
    for (unsigned i = 0; i < r->stats.count; i++)
        assert_has(text, r->stats.info[i].name);
}

static void stats_page_stops_at_a_whole_line_when_too_long(void **state)
{
    struct rig *r = *state;
    char name[600];
    for (int i = 0; i < 2500; i++) {
        snprintf(name, sizeof name, "inbound>>>%0500d>>>traffic>>>uplink", i);
        rig_slot(r, name, 1);
    }
    rig_page(r, api_page_stats);
    assert_true(r->page.full && r->page.len <= PAGE_MAX && r->page.len > PAGE_MAX - 600);
    assert_int_equal(r->page.text[r->page.len - 1], '\n');
}

/* --- /metrics --- */

static void metrics_have_prometheus_names_and_types(void **state)
{
    struct rig *r = *state;
    stat_add(r->a, STAT_flows_opened, 9);
    stat_add(r->b, STAT_flows_live, 4);
    r->moment.log_dropped = 3;
    const char *text = rig_page(r, api_page_metrics);
    assert_has(text,
               "# HELP v2c_flows_opened_total flows begun: one visitor, stream or carrier each\n"
               "# TYPE v2c_flows_opened_total counter\nv2c_flows_opened_total 9\n");
    assert_has(text, "# TYPE v2c_flows_live gauge\nv2c_flows_live 4\n");
    assert_has(text, "\nv2c_log_dropped_total 3\n");
    assert_has(text, "\nv2c_start_time_seconds 1000.000\n");
}

static void metrics_have_the_traffic_of_tags_with_labels(void **state)
{
    struct rig *r = *state;
    rig_slot(r, "inbound>>>door-a>>>traffic>>>uplink", 412);
    rig_slot(r, "outbound>>>a\"b\\>>>c>>>traffic>>>downlink", 18044);
    rig_slot(r, "inbound>>>x>>>traffic>>>sideways", 5);
    rig_slot(r, "portal>>>unseen>>>carriers", 1);
    const char *text = rig_page(r, api_page_metrics);
    assert_has(text, "\nv2c_traffic_bytes_total{kind=\"inbound\",tag=\"door-a\","
                     "direction=\"uplink\"} 412\n");
    assert_has(text, "\nv2c_traffic_bytes_total{kind=\"outbound\",tag=\"a\\\"b\\\\>>>c\","
                     "direction=\"downlink\"} 18044\n");
    assert_lacks(text, "sideways");
    assert_lacks(text, "unseen");
}

static void metrics_and_status_name_no_user(void **state)
{
    struct rig *r = *state;
    rig_slot(r, "user>>>nosy.parker@example.com>>>traffic>>>uplink", 77);
    assert_lacks(rig_page(r, api_page_metrics), "parker");
    assert_lacks(rig_page(r, api_page_status), "parker");
}

static void metrics_have_carriers_of_all_and_visitors_of_portals(void **state)
{
    struct rig *r = *state;
    rig_watch(r, "bridge", "home", rig_slot(r, "h", 2), -1);
    rig_watch(r, "portal", "w\"b", rig_slot(r, "w", 1), rig_slot(r, "v", 17));
    const char *text = rig_page(r, api_page_metrics);
    assert_has(text, "\nv2c_carriers{kind=\"bridge\",tag=\"home\"} 2\n");
    assert_has(text, "\nv2c_carriers{kind=\"portal\",tag=\"w\\\"b\"} 1\n");
    assert_has(text, "\nv2c_visitors{kind=\"portal\",tag=\"w\\\"b\"} 17\n");
    assert_lacks(text, "v2c_visitors{kind=\"bridge\"");
}

/* Every line is a comment or `name{labels} value`, and a metric's head comes once. */
static void metrics_are_well_formed(void **state)
{
    struct rig *r = *state;
    rig_watch(r, "portal", "web", rig_slot(r, "w", 1), rig_slot(r, "v", 17));
    rig_slot(r, "inbound>>>door>>>traffic>>>uplink", 412);
    char *text = strdup(rig_page(r, api_page_metrics)), *rest = NULL, type[100] = "";
    assert_non_null(text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (sscanf(line, "# TYPE %99s", type) == 1 || strncmp(line, "# HELP ", 7) == 0)
            continue;
        size_t name = strcspn(line, "{ ");
        assert_int_equal(name, strlen(type));
        assert_memory_equal(line, type, name);
        char *end, *value = strrchr(line, ' ');
        assert_non_null(value);
        strtod(value, &end);
        assert_string_equal(end, "");
    }
    free(text);
}

/* --- /ready --- */

static void ready_is_ready_when_every_watch_has_a_carrier(void **state)
{
    struct rig *r = *state;
    int home = rig_slot(r, "h", 0), web = rig_slot(r, "w", 0);
    assert_true(api_page_ready(&r->page, &r->view)); /* nothing to wait for */
    assert_page(&r->page, "ready\n");
    rig_watch(r, "bridge", "home", home, -1);
    rig_watch(r, "portal", "web", web, -1);
    assert_false(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "bridge home has no carrier\nportal web has no carrier\n");
    stat_add(r->b, home, 1);
    assert_false(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "portal web has no carrier\n");
    stat_add(r->a, web, 1);
    assert_true(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "ready\n");
}

static const char *starts(void *with)
{
    return with;
}

static void ready_is_not_who_does_something_else(void **state)
{
    struct rig *r = *state;
    r->view.unready = starts;
    r->view.with = (void *)"drains";
    assert_false(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "v2c drains\n");
    r->view.with = NULL;
    assert_true(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "ready\n");
}

static void ready_waits_for_no_carrier_that_may_be_elsewhere(void **state)
{
    struct rig *r = *state;
    rig_watch(r, "portal", "web", rig_slot(r, "w", 0), -1);
    assert_false(api_page_ready(&r->page, &r->view));
    page_free(&r->page);
    r->watches[0].elsewhere = true;
    assert_true(api_page_ready(&r->page, &r->view));
    assert_page(&r->page, "ready\n");
}

/* --- / --- */

static void status_shows_tunnels_traffic_and_uptime(void **state)
{
    struct rig *r = *state;
    rig_watch(r, "bridge", "home", rig_slot(r, "h", 2), -1);
    rig_watch(r, "portal", "web", rig_slot(r, "w", 0), rig_slot(r, "v", 1700));
    rig_slot(r, "inbound>>>door>>>traffic>>>uplink", 1536);
    rig_slot(r, "inbound>>>door>>>traffic>>>downlink", 73400320);
    rig_slot(r, "outbound>>>door>>>traffic>>>downlink", 7);
    r->moment.now = 1000 + 93784;
    const char *text = rig_page(r, api_page_status);
    assert_has(text, "<title>v2c</title>");
    assert_has(text, "up for 1 d 2 h");
    assert_has(text, "<td>home</td><td>bridge</td><td><span class=\"pill ok\">connected</span></td>"
                     "<td class=\"num\">2</td>");
    assert_has(text,
               "<td>web</td><td>portal</td><td><span class=\"pill bad\">no carrier</span></td>"
               "<td class=\"num\">0</td><td class=\"num\">1,700</td>");
    assert_has(text, "<td>door</td><td>inbound</td><td class=\"num\">1.5 KiB</td>"
                     "<td class=\"num\">70.0 MiB</td>");
    assert_has(text, "<td>door</td><td>outbound</td><td class=\"num\"><span class=\"soft\">&ndash;"
                     "</span></td><td class=\"num\">7 B</td>");
    assert_has(text, "</html>\n");
}

static void status_needs_nothing_from_elsewhere_and_runs_nothing(void **state)
{
    struct rig *r = *state;
    const char *text = rig_page(r, api_page_status);
    static const char *const foreign[] = {"http:", "https:",  "src=",   "<script",
                                          "url(",  "@import", "onload", "<link"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_lacks(text, foreign[i]);
}

static void status_escapes_tags(void **state)
{
    struct rig *r = *state;
    rig_watch(r, "bridge", "<b>&\"", rig_slot(r, "h", 2), -1);
    rig_slot(r, "inbound>>><i>>>>traffic>>>uplink", 1);
    r->moment.inbound_tag = "<b>&\"";
    const char *text = rig_page(r, api_page_status);
    assert_lacks(text, "<b>&\"");
    assert_lacks(text, "<i>");
    assert_has(text, "<td>&lt;b&gt;&amp;&quot;</td>");
    assert_has(text, "by bridge <b>&lt;b&gt;&amp;&quot;</b>");
}

static void status_says_when_it_came_through_the_tunnel_and_only_then(void **state)
{
    struct rig *r = *state;
    static const char line[] = "This page was served through the tunnel";
    rig_watch(r, "bridge", "home", rig_slot(r, "h", 2), -1);
    rig_watch(r, "portal", "web", rig_slot(r, "w", 1), -1);
    assert_lacks(rig_page(r, api_page_status), line);
    r->moment.inbound_tag = "web";
    assert_lacks(rig_page(r, api_page_status), line);
    r->moment.inbound_tag = "home";
    assert_has(rig_page(r, api_page_status), line);
}

static void status_is_whole_html_however_many_tags_there_are(void **state)
{
    struct rig *r = *state;
    char name[300];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "inbound>>>%0200d>>>traffic>>>uplink", i);
        rig_slot(r, name, 1);
    }
    const char *text = rig_page(r, api_page_status);
    assert_true(r->page.len <= PAGE_MAX && r->page.len > PAGE_MAX / 2);
    assert_has(text, "</html>\n");
}

#define PAGE_TEST(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_numbers_read_well),
        cmocka_unit_test(page_escapes_what_could_leave_its_place),
        cmocka_unit_test(page_never_outgrows_its_cap),
        PAGE_TEST(stats_page_lists_every_counter_summed_over_the_loops),
        PAGE_TEST(stats_page_stops_at_a_whole_line_when_too_long),
        PAGE_TEST(metrics_have_prometheus_names_and_types),
        PAGE_TEST(metrics_have_the_traffic_of_tags_with_labels),
        PAGE_TEST(metrics_and_status_name_no_user),
        PAGE_TEST(metrics_have_carriers_of_all_and_visitors_of_portals),
        PAGE_TEST(metrics_are_well_formed),
        PAGE_TEST(ready_is_ready_when_every_watch_has_a_carrier),
        PAGE_TEST(ready_is_not_who_does_something_else),
        PAGE_TEST(ready_waits_for_no_carrier_that_may_be_elsewhere),
        PAGE_TEST(status_shows_tunnels_traffic_and_uptime),
        PAGE_TEST(status_needs_nothing_from_elsewhere_and_runs_nothing),
        PAGE_TEST(status_escapes_tags),
        PAGE_TEST(status_says_when_it_came_through_the_tunnel_and_only_then),
        PAGE_TEST(status_is_whole_html_however_many_tags_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
