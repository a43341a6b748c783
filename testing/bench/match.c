/* testing/bench/match.c -- what a configuration's rules cost: match CONFIG QUERIES [SECONDS]
 * A query is a line "INBOUND HOST PORT USER", "-" for what is not there. Prints "name value" lines: CPU seconds
 * to load, MiB of memory before, after and at most, nanoseconds for a decision, how many queries a rule
 * matched, and the sum of the outbounds' numbers (the same for every build that decides the same). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/config.h"

enum { QUERIES_MAX = 4096, LINE_ROOM = 512 };

struct asked {
    struct meta meta;
    struct user user;
    char name[ADDR_NAME_MAX + 1];
    struct query query;
};

/* Of this process: what others do meanwhile does not count, nor does it for V2Ray's figures. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A value of /proc/self/status in MiB. */
static double memory(const char *key)
{
    char line[256];
    double found = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)))
            found = strtod(line + strlen(key) + 1, NULL) / 1024;
    if (f)
        fclose(f);
    return found;
}

static const char *text_of(const char *word)
{
    return strcmp(word, "-") == 0 ? "" : strdup(word);
}

static int ask_read(struct asked *a, const char *line)
{
    char inbound[128], host[256], user[128];
    unsigned port;
    struct err e;
    if (sscanf(line, "%127s %255s %u %127s", inbound, host, &port, user) != 4)
        return -1;
    a->user.email = text_of(user);
    a->meta = (struct meta){.net = NET_TCP,
                            .inbound_tag = text_of(inbound),
                            .outbound_tag = "",
                            .user = *a->user.email ? &a->user : NULL};
    if (addr_parse_host(&a->meta.target, host, strlen(host), &e) < 0)
        return -1;
    a->meta.target.port = (uint16_t)port;
    a->query = query_of(&a->meta, a->name);
    return 0;
}

static size_t queries_read(const char *path, struct asked *all)
{
    char line[LINE_ROOM];
    size_t count = 0;
    FILE *f = fopen(path, "r");
    while (f && count < QUERIES_MAX && fgets(line, sizeof line, f))
        if (ask_read(&all[count], line) == 0)
            count++;
    if (f)
        fclose(f);
    return count;
}

static void measure(const struct rules *rules, const struct asked *all, size_t count,
                    double seconds)
{
    size_t matched = 0, sum = 0, decisions = 0;
    double start = now(), end;
    do {
        for (size_t i = 0; i < count; i++) {
            const struct rule *r = rules_match(rules, &all[i].query);
            if (decisions == 0) {
                matched += r != NULL;
                sum += r ? r->outbound : 0;
            }
        }
        decisions += count;
        end = now();
    } while (end - start < seconds);
    printf("decision_ns %.1f\nmatched %zu\nsum %zu\n", (end - start) * 1e9 / (double)decisions,
           matched, sum);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: match CONFIG QUERIES [SECONDS]\n");
        return 2;
    }
    const char *path = argv[1];
    struct config_source source = {.files = &path, .file_count = 1};
    struct asked *all = calloc(QUERIES_MAX, sizeof *all);
    size_t count = all ? queries_read(argv[2], all) : 0;
    double before = memory("VmRSS"), start = now();
    struct config *c = config_load(&source, NULL, stderr);
    double loaded = now() - start;
    if (!c || count == 0)
        return 1;
    printf("load_s %.3f\nrss_before %.1f\nrss_after %.1f\nrss_peak %.1f\nrules %zu\n", loaded,
           before, memory("VmRSS"), memory("VmHWM"), c->rules.count);
    measure(&c->rules, all, count, argc > 3 ? strtod(argv[3], NULL) : 1);
    config_free(c);
    free(all);
    return 0;
}
