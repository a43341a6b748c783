/* conf/quick_place.h -- what the one-line commands take as a place: "[SCHEME://][HOST]:PORT[/PATH]", and where a visitor of
 * a bridge is sent to: "[NAME=]HOST:PORT" or "[NAME=]file:FOLDER".
 * Thread: one. Pure, but for folders, which must be there. Errors say what to write. */
#ifndef V2C_CONF_QUICK_PLACE_H
#define V2C_CONF_QUICK_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/hostname.h"

enum quick_scheme { QUICK_TCP, QUICK_TLS, QUICK_WS, QUICK_WSS };

struct quick_place {
    enum quick_scheme scheme;
    char host[HOSTNAME_MAX + 3]; /* "" when none was said; an IPv6 address without brackets */
    uint16_t port;
    const char *path; /* of ws and wss: "/" when none was said; points into the text */
};

int quick_place_read(struct quick_place *p, const char *text, struct err *e);
/* Of no scheme, and so without a path. */
int quick_place_read_plain(struct quick_place *p, const char *text, struct err *e);

struct quick_target {
    char name[HOSTNAME_MAX + 3]; /* whose visitors are sent here; "": all others */
    bool folder;
    char place[PATH_MAX]; /* "HOST:PORT", or the whole path of a folder */
};

int quick_target_read(struct quick_target *t, const char *text, struct err *e);

#endif
