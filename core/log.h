/* core/log.h -- the error log and the access log, in V2Ray's formats, with local time:
 *   2026/11/20 16:09:08 [Warning] [2005694014] portal-a: text          ([flow id] only when not 0)
 *   2026/11/20 16:09:08 203.0.113.9:58324 accepted tcp:127.0.0.1:80 [portal] email: a@b
 * Thread: any; a line is one write(2). Text from outside is escaped here (log_escape) before it is
 * printed; no keys, no payload, no full ids. The only writable globals of the program live in log.c. */
#ifndef V2C_CORE_LOG_H
#define V2C_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/meta.h"

enum log_level { LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log_conf {
    enum log_level level; /* default LOG_WARNING */
    const char *error;    /* path; "" = stdout; "none" = nowhere */
    const char *access;   /* the same */
};

/* Opens (creates, appends) the files. -1 and e when one cannot be opened; then nothing changed.
 * Before the first call, lines of LOG_WARNING and above go to stderr. Level LOG_NONE turns the access
 * log off too. From here on the process ignores SIGPIPE. */
int log_open(const struct log_conf *c, struct err *e);
int log_reopen(struct err *e); /* the same files again, after a rotation */
void log_close(void);          /* as before the first log_open(); once no other thread logs */

/* Lines lost so far because a disk was full or a reader was gone or slow. A line never waits. */
uint64_t log_dropped(void);

bool log_on(enum log_level level);
/* Until the next log_open(). Lines of a log that goes nowhere stay unwritten. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
void log_line(enum log_level level, uint32_t flow, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_ERROR, 0, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARNING, 0, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, 0, __VA_ARGS__)
/* The arguments are evaluated only when debug is on. */
#define log_debug(flow, ...)                                                                       \
    do {                                                                                           \
        if (log_on(LOG_DEBUG))                                                                     \
            log_line(LOG_DEBUG, flow, __VA_ARGS__);                                                \
    } while (0)

/* For lines that a stranger can cause: false means "leave this one out". At most `burst` a second pass;
 * how many were left out is written, as a line of its own, before the next one that passes.
 * One object per reason and loop; not shared between threads. */
struct log_limit {
    int64_t second;
    unsigned passed, suppressed;
};
bool log_allowed(struct log_limit *l, int64_t now_seconds, unsigned burst);

/* One access line per routed flow. detour "" leaves the bracket out; reason NULL means accepted. */
void log_access(const struct meta *m, const char *detour, const char *reason);

/* Printable text of at most 256 bytes: control and non-ASCII bytes and backslash as \xNN. What does not
 * fit is cut off, never within an \xNN. Returns `out` for use in an argument list. */
const char *log_escape(const char *text, size_t len, char *out, size_t room);

#endif
