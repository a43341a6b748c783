/* tally.h -- what a load program counts, and how the harness asks for it.
 * Each line on standard input is a command: "report" prints the counts as one line of JSON, "mark" does and
 * clears them, "stop" lets visitors begin nothing new. The end of standard input ends the program.
 * Thread: one. Units: times in microseconds of CLOCK_MONOTONIC. */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally {
    uint64_t bytes;    /* of bodies */
    uint64_t asked;    /* requests whose time had come */
    uint64_t answered; /* whole and as expected */
    uint64_t refused;  /* no connection */
    uint64_t failed;   /* cut off, or a wrong answer */
    uint64_t late;     /* given up: patience was over */
    uint64_t open;     /* connections now; never cleared */
    uint64_t waiting;  /* requests without an answer now; never cleared */
    uint64_t first;    /* time of the first answer, 0: none */
    uint32_t *latencies;
    size_t count, size;
};

uint64_t tally_now(void);
void tally_latency(struct tally *t, uint64_t us);
bool tally_commands(struct tally *t, bool *stopped); /* reads them; false: time to end */
void fail_and_exit(const char *what);

#endif
