/* testing/integrity/tally.h -- what became of the streams: counts, latencies, the first errors; printed as JSON.
 * Times are seconds of CLOCK_MONOTONIC, as Python's time.monotonic() gives them; latencies are seconds.
 * Ownership: a tally owns its samples and its trace file until tally_fini(). Thread: one. */
#ifndef V2C_INTEGRITY_TALLY_H
#define V2C_INTEGRITY_TALLY_H

#include <stdarg.h>
#include <stdio.h>

#include "testing/integrity/wire.h"

enum outcome {
    OUT_OK,
    OUT_EXPECTED,   /* ended with an error, as one of the two ends wanted it */
    OUT_RESET,      /* visible errors from here ... */
    OUT_TIMEOUT,    /* nothing moved for too long */
    OUT_REFUSED,    /* ... to here */
    OUT_UNFINISHED, /* still open when the run ended */
    OUT_TRUNCATED,  /* a clean end before the declared one: nobody can see it */
    OUT_CORRUPT,    /* a wrong byte */
    OUT_CROSSTALK,  /* a byte of another stream */
    OUT_COUNT
};

struct samples {
    float *values;
    size_t count, room;
};

enum { ERRORS_KEPT = 40 };

struct failure {
    enum outcome outcome;
    uint64_t stream, at, total;
    double opened, first, ended; /* first: when the origin's head had come, 0 for never */
    uint8_t shape;
    char text[96];
};

struct tally {
    uint64_t counts[OUT_COUNT];
    uint64_t bytes;                    /* checked, all of them right */
    uint64_t repeats;                  /* streams that came to the origin a second time */
    uint64_t sent, got, lost, doubled; /* datagrams */
    struct samples opening;            /* from connect() to the origin's head */
    struct samples exchange;           /* rounds of paced streams */
    struct failure failures[ERRORS_KEPT];
    size_t failure_count;
    FILE *trace;
};

double seconds_now(void);
const char *outcome_name(enum outcome o);

void samples_add(struct samples *s, double value);
/* One ended stream. Keeps the text when it is among the first errors. */
void tally_end(struct tally *t, const struct failure *end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tally_print(struct tally *t, const char *role, uint64_t seed, FILE *out);
void tally_fini(struct tally *t);

#endif
