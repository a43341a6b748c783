/* proxy/file.h -- the outbound that answers HTTP with files below a root, as a web server with nothing else would:
 * GET and HEAD, one part of a file, 304 where nothing has changed, index.html, folders as pages if wanted.
 * Nothing outside of the root is reached, by no link either, and nothing whose name begins with a dot; a link that stays
 * below the root is followed. The root is opened for each request: another folder may take its place.
 * Thread: one instance per loop. Files are read on it, 16 KiB at a time as the flow has room: a file on a disk that
 * hangs holds up its loop.
 * Bounds: 1024 connections a loop, of which the one that has been quiet longest goes when another comes; a head has
 * 10 s, and who takes nothing, or asks nothing, 60 s; 32 pages of folders a loop. */
#ifndef V2C_PROXY_FILE_H
#define V2C_PROXY_FILE_H

#include "core/outbound.h"

struct file_conf { /* kept: flows point to it */
    const char *root;
    bool listing; /* a folder without an index.html is shown as a page; else 403 */
};

/* NULL: out of memory. */
struct outbound *file_new(struct loop *l, const char *tag, const struct file_conf *conf);
/* The settings of another configuration that says the same. */
void file_adopt(struct outbound *out, const struct file_conf *conf);

#endif
