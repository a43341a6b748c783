/* proxy/file_path.h -- from the path of a request to a name below a root: "/a%20b/./c" is none, "/a%20b//c" is "a b/c".
 * Thread: any. Pure.
 * No piece begins with a dot: so nothing leads up, and what hides itself is not there. A slash or a zero byte that was
 * encoded, and control bytes, are in no name. */
#ifndef V2C_PROXY_FILE_PATH_H
#define V2C_PROXY_FILE_PATH_H

#include "proxy/http1.h"

enum { FILE_PATH_ROOM = 4096 };

struct file_path {
    bool folder;               /* it ended with a slash, or is the root */
    size_t len;                /* of the text */
    char text[FILE_PATH_ROOM]; /* "." is the root */
};

/* 0, or the status to answer: 400, 404. */
int file_path_read(struct file_path *p, const uint8_t *data, struct http1_span path);

#endif
