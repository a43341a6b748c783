#include "conf/reload.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "conf/process.h"
#include "conf/source.h"
#include "core/log.h"

/* --- all workers at once --- */

struct change {
    const struct plan *plan;
    struct err *errs; /* one for each worker */
};

static int prepare(struct worker *w, void *with)
{
    struct change *c = with;
    return worker_prepare(w, c->plan, &c->errs[w->loop.index]);
}

static int change(struct worker *w, void *with)
{
    worker_change(w, ((struct change *)with)->plan);
    return 0;
}

static int abandon(struct worker *w, void *with)
{
    worker_abandon(w, ((struct change *)with)->plan);
    return 0;
}

/* -1: one of them said so; its error is the answer. */
static int ask_all(struct process *p, int (*f)(struct worker *w, void *with), struct change *c,
                   struct err *e)
{
    int result = 0;
    for (unsigned i = 0; i < p->made; i++)
        worker_ask(&p->workers[i], f, c);
    for (unsigned i = 0; i < p->made; i++)
        if (worker_answer(&p->workers[i]) < 0) {
            *e = c->errs[i];
            result = -1;
        }
    return result;
}

/* --- the transaction --- */

/* The log files are the last thing that may fail. */
static int reload_change(struct process *p, const struct plan *plan, struct err *e)
{
    struct change c = {.plan = plan, .errs = calloc(p->made, sizeof *c.errs)};
    if (!c.errs)
        return err_set(e, ENOMEM, "out of memory");
    int result = ask_all(p, prepare, &c, e);
    if (result == 0)
        result = log_open(&plan->to->config->log, e);
    ask_all(p, result == 0 ? change : abandon, &c, e);
    free(c.errs);
    return result;
}

static void say_what_waits(const struct plan *p)
{
    const struct config *from = p->from->config, *to = p->to->config;
    if (from->workers != to->workers)
        log_warn("reload: \"workers\" changes at the next start");
    if (from->memory != to->memory)
        log_warn("reload: \"memory\" changes at the next start");
    if (p->cluster_waits)
        log_warn("reload: \"cluster\" changes at the next start");
}

static int reload_to(struct process *p, struct generation *to, struct err *e)
{
    struct plan plan;
    if (plan_init(&plan, p->generation, to, p->made, &p->portals, e) < 0)
        return -1;
    int result = reload_change(p, &plan, e);
    if (result == 0) {
        log_warn("reload: done, %u kept, %u begun, %u ended", plan.kept, plan.begun, plan.ended);
        say_what_waits(&plan);
    }
    plan_fini(&plan);
    return result;
}

/* Errors as errors, warnings as warnings: one line of the log each. */
static void log_report(char *report)
{
    char *rest = report, *line;
    while ((line = strsep(&rest, "\n")))
        if (strstr(line, ": error: "))
            log_error("reload: %s", line);
        else if (*line)
            log_warn("reload: %s", line);
}

static struct config *reload_read(const struct process *p)
{
    char *said = NULL;
    size_t len;
    FILE *report = open_memstream(&said, &len);
    if (!report)
        return NULL;
    struct config *c = config_load(&p->source, p->generation->config, report);
    fclose(report);
    if (said)
        log_report(said);
    free(said);
    return c;
}

static void reload_failed(const char *why)
{
    log_error("reload: nothing is changed: %s", why);
}

static bool reads_stdin(const struct config_source *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (source_is_stdin(s->files[i]))
            return true;
    return false;
}

void process_reload(struct process *p)
{
    struct err e;
    if (reads_stdin(&p->source)) {
        reload_failed("the configuration came from standard input, which cannot be read again");
        return;
    }
    struct config *c = reload_read(p);
    struct generation *to = c ? generation_new(c) : NULL;
    if (!to) {
        reload_failed(c ? "out of memory" : "the configuration is wrong");
        config_free(c);
        return;
    }
    if (reload_to(p, to, &e) == 0) {
        generation_unref(p->generation);
        p->generation = to;
    } else {
        reload_failed(e.text);
        generation_unref(to);
    }
    malloc_trim(0);
}
