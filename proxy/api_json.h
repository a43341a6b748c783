/* proxy/api_json.h -- counters as JSON. Thread: any; reads the counters of all loops. Pure. */
#ifndef V2C_PROXY_API_JSON_H
#define V2C_PROXY_API_JSON_H

#include "proxy/api_counters.h"
#include "proxy/page.h"

/* {"stat": [{"name": .., "value": ..}]}, as Xray prints V2Ray's answer: those whose names have the pattern. */
void api_json_stats(struct page *p, const struct api_view *v, const char *pattern);
/* The same, and those that it shows are 0 from here on. Nothing is when the page is full or has failed. One at a
 * time. */
void api_json_reset(struct page *p, const struct api_view *v, struct counter *bases,
                    const char *pattern);
/* [{"kind": .., "tag": .., "up": .., "down": ..}], without users. What does not fit is left out. */
void api_json_traffic(struct page *p, const struct api_view *v);

#endif
