/* proxy/page.h -- text that grows up to a cap: bodies of HTTP answers.
 * Thread: any. Ownership: page_free(). Errors: what does not fit under the cap, or into memory, is left
 * out together with all that follows; `full` or `failed` says so. A zeroed page is an empty one. */
#ifndef V2C_PROXY_PAGE_H
#define V2C_PROXY_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_MAX = 1 << 20 /* bytes */ };

struct page {
    char *text; /* not terminated */
    size_t len, room;
    bool full, failed; /* the cap was reached; memory was out */
};

void page_bytes(struct page *p, const void *from, size_t len);
void page_text(struct page *p, const char *text);
void page_format(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* When the cap was reached: takes back the line that is not whole. */
void page_cut_line(struct page *p);
void page_free(struct page *p);

/* Foreign text inside HTML (also inside a quoted attribute), inside a Prometheus label. */
void page_html(struct page *p, const char *text, size_t len);
void page_label(struct page *p, const char *text, size_t len);
/* Foreign text, which is UTF-8, as a JSON string with its quotes. */
void page_json(struct page *p, const char *text, size_t len);
/* What divides it from its neighbour before it, if there is one; for a member of an object its name, too. */
void page_item(struct page *p);
void page_member(struct page *p, const char *name);
void page_member_text(struct page *p, const char *name, const char *value);
void page_member_number(struct page *p, const char *name, int64_t value);
void page_member_bool(struct page *p, const char *name, bool value);

/* "17", "4,096"; "512 B", "1.5 MiB"; "3 d 4 h", "2 min 5 s". */
void page_count(struct page *p, int64_t n);
void page_size(struct page *p, int64_t bytes);
void page_duration(struct page *p, double seconds);

#endif
