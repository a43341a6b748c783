/* conf/explain.h -- `v2c explain`: which way a made-up flow would take by a configuration, and why.
 * Thread: one. Ownership: texts are argv's. Asks nobody: names are not looked up, and whether a portal has a
 * bridge is not known. */
#ifndef V2C_CONF_EXPLAIN_H
#define V2C_CONF_EXPLAIN_H

#include "conf/config.h"

enum { EXPLAIN_HEADERS = 16, EXPLAIN_IPS = 16 };

struct explain { /* of the flow; NULL: not said */
    const char *inbound, *user, *domain, *ip, *port, *network, *source;
    const char *sniffed, *protocol, *method, *path;
    const char *headers[EXPLAIN_HEADERS], *ips[EXPLAIN_IPS];
    unsigned header_count, ip_count;
};

/* Whether argv[*i] is one of its flags; *i then stands at its last word. */
bool explain_flag(struct explain *x, char **argv, int *i);
/* Prints to `out`. -1 and e: the flow cannot be. */
int explain_print(const struct explain *x, const struct config *c, FILE *out, struct err *e);

#endif
