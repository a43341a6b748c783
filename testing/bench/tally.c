#include "testing/bench/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void fail_and_exit(const char *what)
{
    perror(what);
    exit(1);
}

uint64_t tally_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void tally_latency(struct tally *t, uint64_t us)
{
    if (t->count == t->size) {
        t->size = t->size > 0 ? t->size * 2 : 4096;
        t->latencies = realloc(t->latencies, t->size * sizeof *t->latencies);
        if (t->latencies == NULL)
            fail_and_exit("memory");
    }
    t->latencies[t->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int latency_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of all does not exceed. */
static uint32_t tally_percentile(const struct tally *t, double share)
{
    size_t rank = (size_t)(share * (double)t->count + 0.999999);
    return t->count == 0 ? 0 : t->latencies[rank > 0 ? rank - 1 : 0];
}

static void tally_print(struct tally *t)
{
    if (t->count > 0)
        qsort(t->latencies, t->count, sizeof *t->latencies, latency_order);
    printf("{\"bytes\": %" PRIu64 ", \"asked\": %" PRIu64 ", \"answered\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"late\": %" PRIu64
           ", \"open\": %" PRIu64 ", \"waiting\": %" PRIu64 ", \"first\": %" PRIu64
           ", \"p50\": %u, \"p99\": %u, \"max\": %u}\n",
           t->bytes, t->asked, t->answered, t->refused, t->failed, t->late, t->open, t->waiting,
           t->first, tally_percentile(t, 0.5), tally_percentile(t, 0.99), tally_percentile(t, 1));
    fflush(stdout);
}

static void tally_clear(struct tally *t)
{
    *t = (struct tally){
        .open = t->open, .waiting = t->waiting, .latencies = t->latencies, .size = t->size};
}

bool tally_commands(struct tally *t, bool *stopped)
{
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;) {
        if (strcmp(line, "stop") == 0) {
            *stopped = true;
            continue;
        }
        tally_print(t);
        if (strcmp(line, "mark") == 0)
            tally_clear(t);
    }
    return true;
}
