#include "conf/control.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/json.h"
#include "conf/process.h"
#include "core/log.h"

enum { REASON_MAX = 1024 };

/* --- the queue --- */

static bool control_take(struct errand_taker *t, struct errand *e)
{
    struct control *c = container_of(t, struct control, taker);
    pthread_mutex_lock(&c->lock);
    bool open = c->open;
    if (open) {
        list_append(&c->waiting, &e->task.queued);
        pthread_kill(c->main, control_signal());
    }
    pthread_mutex_unlock(&c->lock);
    return open;
}

void control_init(struct control *c)
{
    *c = (struct control){.taker = {control_take}};
    pthread_mutex_init(&c->lock, NULL);
}

int control_signal(void)
{
    return SIGRTMIN;
}

void control_open(struct control *c)
{
    pthread_mutex_lock(&c->lock);
    c->main = pthread_self();
    c->open = true;
    pthread_mutex_unlock(&c->lock);
}

/* NULL: none waits. */
static struct errand *control_next(struct control *c)
{
    pthread_mutex_lock(&c->lock);
    struct list_item *first = list_first(&c->waiting);
    if (first)
        list_remove(first);
    pthread_mutex_unlock(&c->lock);
    return first ? container_of(container_of(first, struct task, queued), struct errand, task)
                 : NULL;
}

void control_close(struct control *c)
{
    struct errand *e;
    pthread_mutex_lock(&c->lock);
    c->open = false;
    pthread_mutex_unlock(&c->lock);
    while ((e = control_next(c)))
        loop_post(e->from, &e->task);
    pthread_mutex_destroy(&c->lock);
}

/* --- answers --- */

void control_refuse(struct errand *e, int status, const char *fmt, ...)
{
    char why[REASON_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    e->status = status;
    e->type = NULL;
    page_free(&e->page);
    control_say(e, "error", why);
}

void control_say(struct errand *e, const char *name, const char *value)
{
    page_text(&e->page, "{");
    page_member_text(&e->page, name, value);
    page_text(&e->page, "}\n");
}

bool control_number(const char *text, uint32_t usual, uint32_t most, uint32_t *n)
{
    uint64_t v = *text ? 0 : usual;
    for (; *text >= '0' && *text <= '9' && v <= most; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    *n = (uint32_t)v;
    return !*text && v <= most;
}

/* --- all workers --- */

static int gather(struct worker *w, void *with)
{
    struct gathering *g = with;
    g->say(w, g, &g->pages[w->loop.index]);
    return 0;
}

void gathering_end_item(struct gathering *g, const struct worker *w, struct page *p, size_t from)
{
    g->totals[w->loop.index]++;
    if (p->len > g->share || p->full)
        p->len = from;
}

static size_t gathering_join(struct gathering *g, unsigned count, struct page *to)
{
    size_t total = 0;
    page_text(to, "[");
    for (unsigned i = 0; i < count; i++) {
        total += g->totals[i];
        if (!g->pages[i].len)
            continue;
        page_item(to);
        page_bytes(to, g->pages[i].text, g->pages[i].len);
    }
    page_text(to, "]");
    return total;
}

size_t control_gather(struct process *p, struct gathering *g, struct page *to)
{
    size_t total = 0;
    g->pages = calloc(p->made, sizeof *g->pages);
    g->totals = calloc(p->made, sizeof *g->totals);
    g->share = (PAGE_MAX - to->len) / 2 / p->made;
    to->failed |= !g->pages || !g->totals;
    if (!to->failed) {
        process_ask(p, gather, g);
        total = gathering_join(g, p->made, to);
    }
    for (unsigned i = 0; g->pages && i < p->made; i++) {
        to->failed |= g->pages[i].failed;
        page_free(&g->pages[i]);
    }
    free(g->pages);
    free(g->totals);
    return total;
}

/* --- bodies --- */

void control_body_open(struct control_body *b, const struct errand *e)
{
    *b = (struct control_body){.arena = arena_new()};
    report_init(&b->report, true); /* nobody would see a warning */
    if (b->arena && e->body)
        b->source = source_of("body", (const char *)e->body, e->body_len);
    if (b->source)
        b->at = json_parse(b->source, b->arena, &b->report);
    else
        report_error_file(&b->report, "body", 0, e->body ? "out of memory" : "want a JSON object");
}

/* All messages on one line. */
static void body_refuse(struct control_body *b, struct errand *e)
{
    char *said = NULL;
    size_t len;
    FILE *out = open_memstream(&said, &len);
    if (out) {
        report_print(&b->report, out);
        fclose(out);
    }
    if (said && len && said[len - 1] == '\n')
        said[len - 1] = '\0';
    for (char *p = said; p && (p = strchr(p, '\n'));)
        *p = ';';
    control_refuse(e, 422, "%s", said ? said : "out of memory");
    free(said);
}

bool control_body_close(struct control_body *b, struct errand *e)
{
    bool good = b->report.errors == 0;
    if (!good)
        body_refuse(b, e);
    report_fini(&b->report);
    if (b->arena)
        arena_free(b->arena);
    if (b->source)
        source_free(b->source);
    return good;
}

/* --- the log --- */

static const struct {
    const char *name;
    enum log_level level;
} levels[] = {{"debug", LOG_DEBUG},
              {"info", LOG_INFO},
              {"warning", LOG_WARNING},
              {"error", LOG_ERROR},
              {"none", LOG_NONE}};

static void control_log(struct process *p, struct errand *e)
{
    (void)p;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i].level == log_level())
            control_say(e, "level", levels[i].name);
}

static void control_log_set(struct process *p, struct errand *e)
{
    struct control_body b;
    control_body_open(&b, e);
    const struct node *at = b.at ? node_get(b.at, "level") : NULL;
    bool found = false;
    for (size_t i = 0; node_is(at, NODE_TEXT) && i < sizeof levels / sizeof *levels; i++)
        if (strcmp(at->text, levels[i].name) == 0) {
            log_set_level(levels[i].level);
            found = true;
        }
    if (b.at && !found)
        report_error(&b.report, at ? at : b.at,
                     "want \"level\": \"debug\", \"info\", \"warning\", \"error\" or \"none\"");
    if (!control_body_close(&b, e))
        return;
    log_warn("api: the log level is changed until the next reload");
    control_log(p, e);
}

/* --- the end --- */

/* As SIGTERM does; once it has begun, nothing more. */
static void control_drain(struct process *p, struct errand *e)
{
    if (!p->shared.ends)
        log_warn("api: v2c is to end");
    p->shared.ends = true;
    control_say(e, "state", "ends");
}

/* --- what there is --- */

static const struct resource {
    const char *pieces[API_PIECES]; /* "*" is any */
    enum errand_verb verb;
    void (*answer)(struct process *p, struct errand *e);
} resources[] = {
    {{"stats"}, ERRAND_GET, control_stats_page},
    {{"v1", "status"}, ERRAND_GET, control_status},
    {{"v1", "stats"}, ERRAND_GET, control_stats},
    {{"v1", "stats", "reset"}, ERRAND_POST, control_stats_reset},
    {{"v1", "tunnels"}, ERRAND_GET, control_tunnels},
    {{"v1", "flows"}, ERRAND_GET, control_flows},
    {{"v1", "flows", "*", "end"}, ERRAND_POST, control_flow_end},
    {{"v1", "inbounds", "*", "users"}, ERRAND_GET, control_users},
    {{"v1", "inbounds", "*", "users"}, ERRAND_POST, control_user_add},
    {{"v1", "inbounds", "*", "users", "*"}, ERRAND_DELETE, control_user_remove},
    {{"v1", "balancers"}, ERRAND_GET, control_balancers},
    {{"v1", "balancers", "*", "override"}, ERRAND_POST, control_override},
    {{"v1", "balancers", "*", "override"}, ERRAND_DELETE, control_override_end},
    {{"v1", "observatory"}, ERRAND_GET, control_observatory},
    {{"v1", "cluster"}, ERRAND_GET, control_cluster},
    {{"v1", "drain"}, ERRAND_POST, control_drain},
    {{"v1", "log"}, ERRAND_GET, control_log},
    {{"v1", "log"}, ERRAND_POST, control_log_set},
};

static bool is_at(const struct resource *r, const struct api_target *t)
{
    size_t i = 0;
    for (; i < API_PIECES && r->pieces[i]; i++) {
        if (i >= t->piece_count)
            return false;
        if (strcmp(r->pieces[i], "*") != 0 && strcmp(r->pieces[i], t->pieces[i]) != 0)
            return false;
    }
    return i == t->piece_count;
}

static void control_answer(struct process *p, struct errand *e)
{
    bool found = false;
    e->status = 200;
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (!is_at(&resources[i], &e->target))
            continue;
        found = true;
        if (resources[i].verb != e->verb)
            continue;
        resources[i].answer(p, e);
        if (e->page.failed || e->page.full)
            control_refuse(e, 503, "%s", e->page.full ? "the answer is too long" : "out of memory");
        return;
    }
    control_refuse(e, found ? 405 : 404, "%s",
                   found ? "this is not done with that method" : "there is nothing of that name");
}

void control_serve(struct process *p)
{
    struct errand *e;
    while ((e = control_next(&p->control))) {
        control_answer(p, e);
        loop_post(e->from, &e->task);
    }
}
