#include "testing/clock.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CLOCKS = CLOCK_TAI + 1 };

static int64_t ahead_ns;
static struct timespec stopped_at[CLOCKS];
static bool stopped;

void clock_forward(double seconds)
{
    ahead_ns += (int64_t)(seconds * 1e9);
}

void clock_stop(void)
{
    for (clockid_t id = 0; id < CLOCKS && !stopped; id++)
        syscall(SYS_clock_gettime, id, &stopped_at[id]);
    stopped = true;
}

static long read_clock(clockid_t id, struct timespec *ts)
{
    if (!stopped || id < 0 || id >= CLOCKS)
        return syscall(SYS_clock_gettime, id, ts);
    *ts = stopped_at[id];
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = read_clock(id, ts);
    int64_t ns = ts->tv_nsec + ahead_ns;
    ts->tv_sec += ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;
    return (int)rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    (void)zone;
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
    return rc;
}
