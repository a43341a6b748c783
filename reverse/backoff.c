#include "reverse/backoff.h"

static const double SHARE = 0.1, LEAST = 0.05, MOST = 10;

double backoff_delay(double outage, double dice)
{
    double delay = outage * SHARE;
    if (delay < LEAST)
        delay = LEAST;
    if (delay > MOST / 1.5)
        delay = MOST / 1.5;
    return delay * (0.5 + dice);
}
