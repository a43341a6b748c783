/* proxy/file_part.h -- what a GET wants of a file: all of it, a part, or nothing because it has it already (RFC 9110,
 * sections 13 and 14). Several parts at once are answered with the whole file, as that RFC allows.
 * Thread: any. Pure. Units: bytes. */
#ifndef V2C_PROXY_FILE_PART_H
#define V2C_PROXY_FILE_PART_H

#include <time.h>

#include "proxy/http1.h"

struct file_facts {
    uint64_t size;
    struct timespec changed;
};

enum { FILE_TAG_ROOM = 64 };

/* The same for the same bytes: its ETag, with quotes. Returns `out`. */
const char *file_tag(const struct file_facts *f, char out[FILE_TAG_ROOM]);

struct file_part {
    int status; /* 200, 206, 304 or 416 */
    uint64_t at, len;
};

struct file_part file_part_of(const struct http1_head *h, const uint8_t *data,
                              const struct file_facts *f);

#endif
