/* testing/clock.h -- the process's clocks, moved forward by hand, so that no test waits for a timer.
 * Linking clock.c puts its clock_gettime() and gettimeofday() in the place of libc's, for libev too. */
#ifndef V2C_TESTING_CLOCK_H
#define V2C_TESTING_CLOCK_H

void clock_forward(double seconds);

/* From now on nothing else moves them: a slow machine is none to the test. For who never waits for a real socket. */
void clock_stop(void);

#endif
