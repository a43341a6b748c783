/* testing/bench/match.c -- what a configuration's rules cost: match CONFIG QUERIES [SECONDS]
 * or a file of routes: match --routes FILE HOSTS [SECONDS], HOSTS with one a line.
 * A query is a line "INBOUND HOST PORT USER", "-" for what is not there. Prints "name value" lines: CPU seconds
 * to load, MiB of memory before, after and at most, nanoseconds for a decision, how many queries a rule
 * matched, and the sum of the outbounds' numbers (the same for every build that decides the same). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/config.h"
#include "conf/guides.h"

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

static void print_load(double start, double before)
{
    printf("load_s %.3f\nrss_before %.1f\nrss_after %.1f\nrss_peak %.1f\n", now() - start, before,
           memory("VmRSS"), memory("VmHWM"));
}

/* --- routes --- */

static size_t hosts_read(const char *path, char (*hosts)[HOSTNAME_MAX + 1])
{
    char line[LINE_ROOM];
    size_t count = 0;
    FILE *f = fopen(path, "r");
    while (f && count < QUERIES_MAX && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(hosts[count++], HOSTNAME_MAX + 1, "%.*s", HOSTNAME_MAX, line);
    }
    if (f)
        fclose(f);
    return count;
}

/* As a request brings it: read, then looked up. */
static bool find(const struct routes *r, const char *host, struct route_to *to)
{
    struct hostname h;
    struct err e;
    struct route_asked asked = {.host = h.text, .path = {"/", 1}};
    return hostname_read(&h, host, strlen(host), &e) == 0 && routes_find(r, &asked, to);
}

static void measure_routes(const struct routes *r, char (*hosts)[HOSTNAME_MAX + 1], size_t count,
                           double seconds)
{
    size_t matched = 0, decisions = 0;
    double start = now(), end;
    do {
        for (size_t i = 0; i < count; i++) {
            struct route_to to;
            matched += find(r, hosts[i], &to) && decisions == 0;
        }
        decisions += count;
        end = now();
    } while (end - start < seconds);
    printf("decision_ns %.1f\nmatched %zu\n", (end - start) * 1e9 / (double)decisions, matched);
}

static int bench_routes(const char *file, const char *queries, double seconds)
{
    static const struct route_home home = {.has_portal = true};
    char(*hosts)[HOSTNAME_MAX + 1] = calloc(QUERIES_MAX, sizeof *hosts);
    struct routes *none = routes_new();
    size_t left_out, count = hosts ? hosts_read(queries, hosts) : 0;
    double before = memory("VmRSS"), start = now();
    struct err e = {0};
    struct routes *r = none ? routes_file_read(file, none, &home, &left_out, &e) : NULL;
    if (!r || count == 0) {
        fprintf(stderr, "match: %s\n", r ? queries : e.text);
        return 1;
    }
    print_load(start, before);
    printf("routes %zu\n", routes_count(r));
    measure_routes(r, hosts, count, seconds);
    routes_unref(r);
    routes_unref(none);
    free(hosts);
    return 0;
}

/* --- rules --- */

int main(int argc, char **argv)
{
    if (argc >= 4 && argc <= 5 && strcmp(argv[1], "--routes") == 0)
        return bench_routes(argv[2], argv[3], argc > 4 ? strtod(argv[4], NULL) : 1);
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: match CONFIG QUERIES [SECONDS] | --routes FILE HOSTS [SECONDS]\n");
        return 2;
    }
    const char *path = argv[1];
    struct config_source source = {.files = &path, .file_count = 1};
    struct asked *all = calloc(QUERIES_MAX, sizeof *all);
    size_t count = all ? queries_read(argv[2], all) : 0;
    double before = memory("VmRSS"), start = now();
    struct config *c = config_load(&source, NULL, stderr);
    if (!c || count == 0)
        return 1;
    print_load(start, before);
    printf("rules %zu\n", c->rules.count);
    measure(&c->rules, all, count, argc > 3 ? strtod(argv[3], NULL) : 1);
    config_free(c);
    free(all);
    return 0;
}
