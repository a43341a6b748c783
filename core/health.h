/* core/health.h -- what a prober found out about an outbound: it answers, and how fast, or it does not.
 * Thread: one loop writes, any reads. What each flow asks for is one atomic; the rest, for people, is under a lock.
 * Units: seconds; times of the wall clock. Ownership: counted shares, for it outlives a configuration. */
#ifndef V2C_CORE_HEALTH_H
#define V2C_CORE_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct health;

enum { HEALTH_ERROR_MAX = 160 };

struct health_report {
    bool known, alive;
    double delay;                 /* of the last answer; 0: there was none */
    double tried_at;              /* 0: never */
    double alive_at;              /* when it last answered; 0: never */
    char error[HEALTH_ERROR_MAX]; /* "" when alive */
};

struct health *health_new(void); /* nothing is known. NULL: out of memory */
struct health *health_ref(struct health *h);
void health_unref(struct health *h); /* h may be NULL */

void health_answered(struct health *h, double delay, double now);
void health_failed(struct health *h, const char *why, double now);

/* Microseconds that the last answer took. */
enum { HEALTH_UNKNOWN = 0 };
#define HEALTH_DEAD UINT32_MAX
uint32_t health_delay(const struct health *h);
void health_read(struct health *h, struct health_report *r);

#endif
