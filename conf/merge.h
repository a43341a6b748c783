/* conf/merge.h -- several files as one, element by element: what Xray does, and V2Ray 4.34 too where the
 * later file brings one element. An inbound or outbound with a tag (or none) that an earlier file has
 * takes its place; else inbounds go to the end, outbounds to the front, unless the later file's name
 * holds "tail". Any other object replaces the earlier one whole. Thread: one. */
#ifndef V2C_CONF_MERGE_H
#define V2C_CONF_MERGE_H

#include "conf/root.h"

void merge_roots(struct report *r, struct arena *a, struct root *all, const struct root *later);

#endif
