/* core/err.h -- an error as a value: what failed, with where put in front on the way up.
 * Thread: any. Ownership: the caller's memory, no allocation. code 0 means "no error"; else an errno
 * value. Text is printable and bounded; what comes from a socket must be escaped before it enters. */
#ifndef V2C_CORE_ERR_H
#define V2C_CORE_ERR_H

#include <errno.h>

struct err {
    int code;
    char text[256];
};

/* What an incremental parser says: whole, needs more bytes, or never valid. */
enum step { STEP_DONE, STEP_MORE, STEP_FAIL };

/* Replaces the error; always -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Like err_set with the current errno, and its text appended: "fmt: strerror". */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "fmt: " in front of the text; keeps the code; always -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Like err_set, but answers STEP_FAIL. */
enum step step_fail(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
