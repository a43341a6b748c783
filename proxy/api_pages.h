/* proxy/api_pages.h -- what the api outbound shows, as text.
 * Thread: any; reads the counters of all loops. Pure: a view and a moment in, a page out. */
#ifndef V2C_PROXY_API_PAGES_H
#define V2C_PROXY_API_PAGES_H

#include "proxy/api.h"
#include "proxy/page.h"

struct api_moment {          /* what differs from one answer to the next */
    ev_tstamp now;           /* wall clock */
    const char *inbound_tag; /* by which the visitor came */
    uint64_t log_dropped;
};

void api_page_status(struct page *p, const struct api_view *v, const struct api_moment *m);
void api_page_stats(struct page *p, const struct api_view *v, const struct api_moment *m);
/* No e-mail addresses: a scraper keeps its labels for ever. They are in api_page_stats(). */
void api_page_metrics(struct page *p, const struct api_view *v, const struct api_moment *m);
/* False when something has no carrier; the page names each. */
bool api_page_ready(struct page *p, const struct api_view *v);

#endif
