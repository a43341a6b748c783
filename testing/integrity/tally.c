#include "testing/integrity/tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

static const char *const outcome_names[OUT_COUNT] = {"ok",        "expected", "reset",
                                                     "timeout",   "refused",  "unfinished",
                                                     "truncated", "corrupt",  "crosstalk"};

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *outcome_name(enum outcome o)
{
    return outcome_names[o];
}

/* A sample for which there is no memory is not counted. */
void samples_add(struct samples *s, double value)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 1024;
        float *values = realloc(s->values, room * sizeof *values);
        if (!values)
            return;
        s->values = values;
        s->room = room;
    }
    s->values[s->count++] = (float)value;
}

static int float_order(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void samples_print(struct samples *s, const char *name, FILE *out)
{
    double p50 = 0, p99 = 0, max = 0;
    if (s->count) {
        qsort(s->values, s->count, sizeof *s->values, float_order);
        p50 = 1e3 * s->values[s->count / 2];
        p99 = 1e3 * s->values[s->count * 99 / 100];
        max = 1e3 * s->values[s->count - 1];
    }
    fprintf(out, ",\n \"%s_ms\": {\"count\": %zu, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}",
            name, s->count, p50, p99, max);
}

static void trace_write(FILE *trace, const struct failure *end)
{
    fprintf(trace, "%" PRIu64 " %.4f %.4f %.4f %s %" PRIu64 " %" PRIu64 " %u\n", end->stream,
            end->opened, end->first, end->ended, outcome_names[end->outcome], end->at, end->total,
            end->shape);
}

void tally_end(struct tally *t, const struct failure *end, const char *format, ...)
{
    t->counts[end->outcome]++;
    if (t->trace)
        trace_write(t->trace, end);
    bool gate = end->outcome >= OUT_TRUNCATED;
    if (end->outcome < OUT_RESET || (t->failure_count == ERRORS_KEPT && !gate))
        return;
    /* What must never be pushes out what may be. */
    size_t at =
        t->failure_count < ERRORS_KEPT ? t->failure_count++ : t->counts[end->outcome] % ERRORS_KEPT;
    struct failure *f = &t->failures[at];
    va_list args;
    *f = *end;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

static void failure_print(const struct failure *f, FILE *out)
{
    fprintf(out,
            "{\"outcome\": \"%s\", \"stream\": %" PRIu64 ", \"opened\": %.4f, \"ended\": %.4f, "
            "\"at\": %" PRIu64 ", \"total\": %" PRIu64 ", \"shape\": %u, \"text\": \"%s\"}",
            outcome_names[f->outcome], f->stream, f->opened, f->ended, f->at, f->total, f->shape,
            f->text);
}

void tally_print(struct tally *t, const char *role, uint64_t seed, FILE *out)
{
    fprintf(out, "{\"role\": \"%s\", \"seed\": %" PRIu64, role, seed);
    for (int i = 0; i < OUT_COUNT; i++)
        fprintf(out, ", \"%s\": %" PRIu64, outcome_names[i], t->counts[i]);
    fprintf(out, ",\n \"bytes\": %" PRIu64 ", \"repeats\": %" PRIu64, t->bytes, t->repeats);
    fprintf(out,
            ", \"datagrams\": {\"sent\": %" PRIu64 ", \"got\": %" PRIu64 ", \"lost\": %" PRIu64
            ", \"doubled\": %" PRIu64 "}",
            t->sent, t->got, t->lost, t->doubled);
    samples_print(&t->opening, "opening", out);
    samples_print(&t->exchange, "exchange", out);
    fprintf(out, ",\n \"errors\": [");
    for (size_t i = 0; i < t->failure_count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        failure_print(&t->failures[i], out);
    }
    fprintf(out, "]}\n");
    fflush(out);
}

void tally_fini(struct tally *t)
{
    free(t->opening.values);
    free(t->exchange.values);
    if (t->trace)
        fclose(t->trace);
}
