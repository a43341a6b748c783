/* reverse/backoff.h -- when to dial again. Pure. Units: seconds. */
#ifndef V2C_REVERSE_BACKOFF_H
#define V2C_REVERSE_BACKOFF_H

/* Grows with the outage: a tenth of it, 50 ms to 10 s, times a random factor of 0.5 to 1.5. So a short
 * outage costs little time, a long one few attempts, and many bridges do not come back at once.
 * dice: 0 <= dice < 1. */
double backoff_delay(double outage, double dice);

#endif
