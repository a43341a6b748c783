/* proxy/file_list.h -- a folder as a page: names, sizes and times, sorted. What begins with a dot is left out, and so is
 * what comes behind the first thousand that the system names.
 * Thread: any; reads the folder at once. Ownership: the caller's; `folder` stays open. */
#ifndef V2C_PROXY_FILE_LIST_H
#define V2C_PROXY_FILE_LIST_H

#include "proxy/page.h"

enum { FILE_LIST_MAX = 1000 };

/* path: below the root, "." is the root. False: it cannot be read; the page is empty then. */
bool file_list(struct page *p, int folder, const char *path);

#endif
