/* proxy/file_answer.h -- what a request for a file is answered: a status, and a file, a page or nothing.
 * Thread: any; looks into the file system at once. Ownership: file_answer_fini(). */
#ifndef V2C_PROXY_FILE_ANSWER_H
#define V2C_PROXY_FILE_ANSWER_H

#include "proxy/file.h"
#include "proxy/file_part.h"
#include "proxy/page.h"

struct file_answer {
    int status;
    const char *type;
    struct page page;        /* the body, unless fd is one */
    int fd;                  /* -1: none; else `part` of it is the body */
    bool dated;              /* `facts` are those of what was asked for */
    bool only_read;          /* the method was another one */
    struct file_facts facts; /* of the file */
    struct file_part part;
    struct page location; /* where else to look */
};

/* pages: false: no folder is shown now. Of h, which was read, the body is left out of account. */
void file_answer_make(struct file_answer *a, const struct file_conf *c, const struct http1_head *h,
                      const uint8_t *data, bool pages);
/* A short page that says the status. */
void file_answer_plain(struct file_answer *a, int status);
/* Its head. minor, closing: the request's version, and that nothing follows. */
void file_answer_head(struct page *p, const struct file_answer *a, time_t now, uint8_t minor,
                      bool closing);
void file_answer_fini(struct file_answer *a);

#endif
