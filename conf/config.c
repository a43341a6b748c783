#include "conf/config.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/clients.h"
#include "conf/cluster_settings.h"
#include "conf/compile.h"
#include "conf/geo_conf.h"
#include "conf/guides.h"
#include "conf/json.h"
#include "conf/merge.h"

struct load {
    struct report report;
    struct arena *scratch;
    struct source *sources; /* the last one first */
    const struct config *before;
    unsigned read; /* files tried so far */
    bool partial;  /* one of them is missing from root */
    bool lint;
    struct root root;
};

const struct policy *config_policy(const struct config *c, uint32_t level)
{
    size_t from = 0, to = c->level_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (c->levels[middle].level < level)
            from = middle + 1;
        else
            to = middle;
    }
    bool found = from < c->level_count && c->levels[from].level == level;
    return found ? c->levels[from].policy : c->default_policy;
}

/* Tags are kept once: the same text is the same pointer. */
bool config_has_inbound(const struct config *c, const char *tag)
{
    bool found = !*tag;
    for (size_t i = 0; i < c->inbound_count; i++)
        found |= c->inbounds[i].tag == tag;
    for (size_t i = 0; i < c->bridge_count; i++)
        found |= c->bridges[i].tag == tag;
    return found;
}

bool config_has_outbound(const struct config *c, const char *tag)
{
    bool found = !*tag;
    for (size_t i = 0; i < c->outbound_count; i++)
        found |= c->outbounds[i].tag == tag;
    return found;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->inbound_count; i++) {
        carriage_unref(c->inbounds[i].carriage);
        clients_free(c->inbounds[i].changed);
    }
    for (size_t i = 0; i < c->outbound_count; i++) {
        carriage_unref(c->outbounds[i].carriage);
        if (c->outbounds[i].kind == OUT_WEB)
            routes_unref(c->outbounds[i].web.routes);
    }
    rules_fini(&c->rules);
    carriage_unref(c->observatory.carriage);
    dns_conf_free(c->dns);
    guides_free(c->guides);
    cluster_settings_unref(c->cluster);
    for (size_t i = 0; i < c->observatory.count; i++)
        health_unref(c->observatory.items[i].health);
    for (size_t i = 0; i < c->balancers.count; i++)
        balance_state_unref(c->balancers.items[i].state);
    stats_fini(&c->stats);
    arena_free(c->strings);
    keep_unref(c->keep);
    free(c);
}

static struct config *config_new(const struct config *before)
{
    static const struct policy usual = POLICY_DEFAULT;
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->keep = before ? keep_ref(before->keep) : keep_new();
    c->strings = c->keep ? arena_new() : NULL;
    if (c->strings && stats_init(&c->stats, before ? &before->stats : NULL) == 0)
        c->default_policy = keep_bytes(c->keep, &usual, sizeof usual);
    if (c->default_policy)
        return c;
    stats_fini(&c->stats);
    if (c->strings)
        arena_free(c->strings);
    keep_unref(c->keep);
    free(c);
    return NULL;
}

/* It says where to look, not what the secret is. */
static bool is_elsewhere(const struct node *n)
{
    return n->type == NODE_TEXT &&
           (strncmp(n->text, "file:", 5) == 0 || strncmp(n->text, "env:", 4) == 0);
}

/* "key" is a private key, in lines, or a cluster's. */
static bool is_secret_key(const struct node *n)
{
    static const char *const names[] = {"id", "password", "pass", "token", "key"};
    if (!n->key || (n->type != NODE_TEXT && n->type != NODE_ARRAY) || is_elsewhere(n))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(n->key, names[i]) == 0)
            return true;
    return false;
}

/* Depth is bounded by the parser. */
static bool holds_secret(const struct node *n)
{
    if (is_secret_key(n))
        return true;
    if (n->type == NODE_OBJECT || n->type == NODE_ARRAY)
        for (const struct node *child = n->first; child; child = child->next)
            if (holds_secret(child))
                return true;
    return false;
}

static void load_source(struct load *l, struct source *s)
{
    s->next = l->sources;
    l->sources = s;
    struct node *at = json_parse(s, l->scratch, &l->report);
    if (!at) {
        l->partial = true;
        return;
    }
    if (l->report.strict && s->exposed && holds_secret(at))
        report_warn(&l->report, at,
                    "every user of this machine may read the secrets in here: chmod o-r");
    struct root root;
    root_read(&l->report, l->scratch, at, &root);
    merge_roots(&l->report, l->scratch, &l->root, &root);
}

/* Takes s. NULL: e says why there is none. */
static void load_read(struct load *l, const char *name, struct source *s, const struct err *e)
{
    unsigned order = l->read++;
    if (!s) {
        report_error_file(&l->report, name, order, e->text);
        l->partial = true;
        return;
    }
    s->order = order;
    load_source(l, s);
}

static void load_file(struct load *l, const char *name)
{
    struct err e = {0};
    struct source *s = source_read(name, &e);
    load_read(l, name, s, &e);
}

static void load_made(struct load *l, struct config_maker *m)
{
    struct err e = {0};
    struct source *s = m->make(m, &e);
    load_read(l, m->name, s, &e);
}

static int is_json(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_dir(struct load *l, const char *dir)
{
    struct dirent **entries = NULL;
    struct err e = {0};
    int count = scandir(dir, &entries, is_json, by_name);
    if (count < 0) {
        err_sys(&e, "cannot read this directory");
        report_error_file(&l->report, dir, l->read++, e.text);
        return;
    }
    for (int i = 0; i < count; i++) {
        char *path = arena_printf(l->scratch, "%s/%s", dir, entries[i]->d_name);
        if (path)
            load_file(l, path);
        free(entries[i]);
    }
    free(entries);
}

static void load_all(struct load *l, const struct config_source *src)
{
    if (src->maker)
        load_made(l, src->maker);
    for (size_t i = 0; i < src->file_count; i++)
        load_file(l, src->files[i]);
    if (src->dir)
        load_dir(l, src->dir);
    if (l->read == 0)
        report_error_file(&l->report, src->dir ? src->dir : "config", 0, "no configuration file");
}

static struct config *load_compile(struct load *l)
{
    struct config *c = config_new(l->before);
    struct build b = {
        .config = c,
        .report = &l->report,
        .scratch = l->scratch,
        .partial = l->partial,
        .lint = l->lint,
    };
    bool enough = c && (!l->root.at || compile(&b, &l->root));
    geo_cache_free(b.geo);
    if (!enough || l->scratch->failed)
        report_error_file(&l->report, "config", 0, "out of memory");
    if (l->report.errors == 0)
        return c;
    config_free(c);
    return NULL;
}

static void load_fini(struct load *l)
{
    report_fini(&l->report);
    arena_free(l->scratch);
    for (struct source *s = l->sources, *next; s; s = next) {
        next = s->next;
        source_free(s);
    }
}

struct config *config_load(const struct config_source *src, const struct config *before,
                           FILE *report)
{
    struct load l = {.scratch = arena_new(), .before = before, .lint = src->lint};
    struct config *c = NULL;
    report_init(&l.report, src->strict);
    if (l.scratch) {
        load_all(&l, src);
        c = load_compile(&l);
    } else {
        report_error_file(&l.report, "config", 0, "out of memory");
    }
    report_print(&l.report, report);
    load_fini(&l);
    return c;
}
