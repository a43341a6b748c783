/* routing/head.h -- what an HTTP/1 request's line and headers say, by name: ":method", ":path", or a header's
 * name in lower case. The path is that of V2Ray: of the target without scheme, authority and query, with
 * "%41" decoded, so that no spelling of it escapes a rule.
 * Thread: any. Ownership: answers point into the head. A head may be cut or no HTTP at all: what cannot be
 * found is not there. Of several headers of one name the first counts, as in V2Ray. */
#ifndef V2C_ROUTING_HEAD_H
#define V2C_ROUTING_HEAD_H

#include <stdbool.h>
#include <stddef.h>

enum { HEAD_PATH_MAX = 8192 }; /* a longer path is cut when it is decoded */

struct head_text {
    const char *text;
    size_t len;
};

/* name: in lower case. ":path" comes as it was written, see head_path_decode(). */
bool head_attr(struct head_text head, struct head_text name, struct head_text *value);
/* The path with "%41" decoded, in `room` if there is anything to decode. */
struct head_text head_path_decode(struct head_text path, char room[HEAD_PATH_MAX]);

#endif
