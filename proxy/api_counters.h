/* proxy/api_counters.h -- counters as the api's pages need them: their sums, and their names taken apart.
 * Thread: any. */
#ifndef V2C_PROXY_API_COUNTERS_H
#define V2C_PROXY_API_COUNTERS_H

#include "proxy/api.h"

/* The sum over all loops; it never goes back unless it is a gauge. */
int64_t api_sum(const struct api_view *v, unsigned slot);
/* The same since somebody last set it to 0. */
int64_t api_count(const struct api_view *v, unsigned slot);

/* KIND>>>TAG>>>traffic>>>DIRECTION. The tag may hold anything. */
struct traffic_name {
    const char *kind, *tag, *direction;
    size_t kind_len, tag_len;
};

/* False: it is no such name. */
bool traffic_split(struct traffic_name *t, const char *name);
bool traffic_is_of(const struct traffic_name *t, const char *kind);

/* Both ways of one tag, whose slots the registry holds side by side; -1: not counted. */
struct traffic_row {
    struct traffic_name name;
    int up, down;
};

/* The row that begins at *slot or behind it; *slot is then behind the row. False: there is none. */
bool traffic_next(const struct api_view *v, unsigned *slot, struct traffic_row *row);

#endif
