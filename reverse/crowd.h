/* reverse/crowd.h -- the portals of a cluster beside this one, as its bridges should know them, and how many links each
 * has: what is told to bridges (NODE of docs/link.md), who is asked to move to a portal with more room, and how fast links
 * come and go. Filled by cluster/ in struct elsewhere; without one nothing here happens.
 * Thread: the portal's loop. Units: seconds. */
#ifndef V2C_REVERSE_CROWD_H
#define V2C_REVERSE_CROWD_H

#include "mux/link.h"

struct crowd {
    struct link_node node; /* what is told of this one; its spread is the longest */
    struct link_node news; /* the same, when it was new to bridges */
    double mean, least;    /* links of bridges that the portals have on average, and the emptiest */
    unsigned told; /* changes when bridges should hear of it again; 0: nothing is known yet */
};

/* Its texts outlive the crowd. */
void crowd_set(struct crowd *c, const struct link_node *node, double mean, double least);
/* How likely it is that a link is asked to move within these seconds: as long as a portal has clearly fewer than the
 * others, each that has more than the mean gives some of them, so that it has its share in some ten minutes. */
double crowd_move_chance(const struct crowd *c, double seconds);
/* Over how long so many bridges are told to go, or come back from a portal that broke. */
double crowd_drain_time(const struct crowd *c, unsigned links);
double crowd_return_time(const struct crowd *c);

/* New links: so many a second, and as many at once. */
enum { CROWD_RATE = 2000 }; /* per loop */
struct crowd_door {
    double tokens, at;
};
bool crowd_admits(struct crowd_door *d, double now);
/* When one that was not admitted should come again: another time for each. */
double crowd_wait(const struct crowd *c);

struct carrier;
struct portal;

/* Says NODE when its bridge has not heard it yet; from time to time also that it should move. */
void carrier_in_crowd(struct carrier *c, double seconds);
/* All bridges of the portal are told to go, one after the other. */
void portal_leave_crowd(struct portal *p);
/* Some have not been told, or just so. */
bool portal_is_leaving(const struct portal *p);

#endif
