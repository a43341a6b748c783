/* proxy/api_target.h -- what an HTTP request names: "/v1/inbounds/door/users?end=true" in its pieces.
 * Thread: any. Pure. Ownership: the pieces point into the target itself.
 * "%41" is read; "%00", and what is not UTF-8 then, is refused: pieces are compared, logged and shown as text. */
#ifndef V2C_PROXY_API_TARGET_H
#define V2C_PROXY_API_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/http1.h"

enum { API_TARGET_MAX = 1024, API_PIECES = 8, API_OPTIONS = 8 };

struct api_target {
    const char *pieces[API_PIECES]; /* of the path, between its slashes */
    size_t piece_count;
    struct api_option {
        const char *name, *value;
    } options[API_OPTIONS]; /* name=value of the query */
    size_t option_count;
    char text[API_TARGET_MAX];
};

/* False: too long, too many pieces, or not text. t must not be moved. */
bool api_target_read(struct api_target *t, const uint8_t *data, struct http1_span target);
/* "" when it is not there. */
const char *api_option(const struct api_target *t, const char *name);

#endif
