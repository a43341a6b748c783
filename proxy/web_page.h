/* proxy/web_page.h -- the gateway's own answers: a status, a sentence that says what happened, and the request's id.
 * Thread: any. Pure. */
#ifndef V2C_PROXY_WEB_PAGE_H
#define V2C_PROXY_WEB_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { WEB_PAGE_MAX = 2048 };

struct web_page {
    int status;
    const char *id;
    time_t now;
    uint8_t minor;   /* the visitor speaks HTTP/1.minor */
    bool keep_alive; /* his connection */
    bool head_only;  /* he asked with HEAD */
};

/* Its length; it fits. */
size_t web_page_write(uint8_t to[WEB_PAGE_MAX], const struct web_page *p);
/* What to answer when a way to an origin ended with this errno before it had been there (reached: afterwards). */
int web_page_status(int code, bool reached);

#endif
