#include "core/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 4096, /* PIPE_BUF: a pipe takes such a line whole or not at all */
    ESCAPE_MAX = 256,
    FILE_MODE = 0640,
};

enum sink_kind {
    SINK_OFF,
    SINK_PLAIN, /* a file, or a pipe or terminal that is non-blocking for us alone */
    SINK_SHARED, /* a description we share with others and so leave as it is: asked before each line */
    SINK_SOCKET,
};

/* A descriptor keeps its number while threads may write to it; what it refers to is exchanged. */
struct sink {
    _Atomic int fd; /* -1: never opened */
    _Atomic int kind;
    char *path; /* owned; NULL: nothing to reopen */
};

/* A target that is open but not yet in use. */
struct opened_sink {
    int fd;
    enum sink_kind kind;
};

/* The lock is for opening and closing only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sink error_sink = {.fd = STDERR_FILENO, .kind = SINK_PLAIN};
static struct sink access_sink = {.fd = -1, .kind = SINK_OFF};
static _Atomic int threshold = LOG_WARNING;
static _Atomic uint64_t dropped;

/* The date of the last second in which this thread wrote a line: localtime_r() takes a lock. */
static _Thread_local struct {
    time_t second;
    char text[24];
} date;

static const char *const level_names[] = {
    [LOG_NONE] = "",     [LOG_ERROR] = "Error", [LOG_WARNING] = "Warning",
    [LOG_INFO] = "Info", [LOG_DEBUG] = "Debug",
};

static void opened_close(const struct opened_sink *o)
{
    if (o->fd >= 0)
        close(o->fd);
}

/* Setting O_NONBLOCK on stdout itself would change it for the shell and for our neighbours in a
 * pipeline, so we open the same pipe or terminal once more. Sockets cannot be opened that way. */
static int stdout_open(struct opened_sink *o, struct err *e)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) < 0)
        return err_sys(e, "stdout");
    bool file = S_ISREG(st.st_mode);
    o->fd = -1;
    o->kind = S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_PLAIN;
    if (!file && o->kind == SINK_PLAIN)
        o->fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (o->fd >= 0)
        return 0;
    if (!file && o->kind == SINK_PLAIN)
        o->kind = SINK_SHARED;
    o->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return o->fd < 0 ? err_sys(e, "stdout") : 0;
}

static int path_open(struct opened_sink *o, const char *path, struct err *e)
{
    int flags = O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    o->kind = SINK_PLAIN;
    o->fd = open(path, O_WRONLY | flags, FILE_MODE);
    if (o->fd < 0 && errno == ENXIO) /* a FIFO that nobody reads yet */
        o->fd = open(path, O_RDWR | flags, FILE_MODE);
    return o->fd < 0 ? err_sys(e, "log %s", path) : 0;
}

static int target_open(struct opened_sink *o, const char *target, struct err *e)
{
    *o = (struct opened_sink){-1, SINK_OFF};
    if (strcmp(target, "none") == 0)
        return 0;
    return *target ? path_open(o, target, e) : stdout_open(o, e);
}

/* From here on lines go to the new target. Takes o's descriptor. */
static void sink_use(struct sink *s, const struct opened_sink *o)
{
    int fd = atomic_load_explicit(&s->fd, memory_order_relaxed);
    if (o->fd >= 0 && fd > STDERR_FILENO) {
        while (dup3(o->fd, fd, O_CLOEXEC) < 0 && errno == EINTR)
            ;
        close(o->fd);
    } else if (o->fd >= 0) {
        atomic_store_explicit(&s->fd, o->fd, memory_order_relaxed);
    }
    atomic_store_explicit(&s->kind, (int)o->kind, memory_order_release);
}

static bool reopens(const char *target)
{
    return *target && strcmp(target, "none") != 0;
}

static int paths_copy(const char *error, const char *access, char *copies[2], struct err *e)
{
    copies[0] = reopens(error) ? strdup(error) : NULL;
    copies[1] = reopens(access) ? strdup(access) : NULL;
    if ((copies[0] || !reopens(error)) && (copies[1] || !reopens(access)))
        return 0;
    free(copies[0]);
    free(copies[1]);
    return err_set(e, ENOMEM, "log: out of memory");
}

static int sinks_open(const char *error, const char *access, struct err *e)
{
    struct opened_sink to_error, to_access;
    char *copies[2];
    if (target_open(&to_error, error, e) < 0)
        return -1;
    if (target_open(&to_access, access, e) < 0) {
        opened_close(&to_error);
        return -1;
    }
    if (paths_copy(error, access, copies, e) < 0) {
        opened_close(&to_error);
        opened_close(&to_access);
        return -1;
    }
    sink_use(&error_sink, &to_error);
    sink_use(&access_sink, &to_access);
    free(error_sink.path);
    free(access_sink.path);
    error_sink.path = copies[0];
    access_sink.path = copies[1];
    return 0;
}

int log_open(const struct log_conf *c, struct err *e)
{
    bool none = c->level == LOG_NONE;
    const char *error = none ? "none" : c->error, *access = none ? "none" : c->access;
    signal(SIGPIPE, SIG_IGN);
    tzset();
    pthread_mutex_lock(&lock);
    int r = sinks_open(error, access, e);
    if (r == 0) {
        int level = strcmp(error, "none") == 0 ? LOG_NONE : (int)c->level;
        atomic_store_explicit(&threshold, level, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static int sink_reopen(struct sink *s, struct err *e)
{
    struct opened_sink o;
    if (!s->path)
        return 0;
    if (path_open(&o, s->path, e) < 0)
        return -1;
    sink_use(s, &o);
    return 0;
}

int log_reopen(struct err *e)
{
    pthread_mutex_lock(&lock);
    int error = sink_reopen(&error_sink, e);
    int access =
        sink_reopen(&access_sink, e); /* tried in any case: one bad path spares the other */
    pthread_mutex_unlock(&lock);
    return error < 0 || access < 0 ? -1 : 0;
}

static void sink_close(struct sink *s, int fd, enum sink_kind kind)
{
    int old = atomic_load(&s->fd);
    atomic_store(&s->kind, (int)kind);
    atomic_store(&s->fd, fd);
    if (old > STDERR_FILENO)
        close(old);
    free(s->path);
    s->path = NULL;
}

void log_close(void)
{
    pthread_mutex_lock(&lock);
    sink_close(&error_sink, STDERR_FILENO, SINK_PLAIN);
    sink_close(&access_sink, -1, SINK_OFF);
    atomic_store(&threshold, LOG_WARNING);
    pthread_mutex_unlock(&lock);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

bool log_on(enum log_level level)
{
    return level != LOG_NONE &&
           (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* --- a line --- */

struct line {
    size_t len;
    char text[LINE_MAX_BYTES];
};

__attribute__((format(printf, 2, 0))) static void line_vadd(struct line *l, const char *fmt,
                                                            va_list ap)
{
    size_t room = sizeof l->text - 1 - l->len; /* one byte is the newline's */
    int n = vsnprintf(l->text + l->len, room + 1, fmt, ap);
    if (n > 0)
        l->len += (size_t)n < room ? (size_t)n : room;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line_vadd(l, fmt, ap);
    va_end(ap);
}

static void line_begin(struct line *l)
{
    time_t now = time(NULL);
    if (now != date.second || !date.text[0]) {
        struct tm tm = {0};
        localtime_r(&now, &tm);
        strftime(date.text, sizeof date.text, "%Y/%m/%d %H:%M:%S", &tm);
        date.second = now;
    }
    l->len = 0;
    line_add(l, "%s ", date.text);
}

/* The last guard against forged lines, should a caller have printed foreign text unescaped. */
static void line_end(struct line *l)
{
    for (size_t i = 0; i < l->len; i++)
        if ((unsigned char)l->text[i] < 0x20 || l->text[i] == 0x7f)
            l->text[i] = '?';
    l->text[l->len++] = '\n';
}

static ssize_t sink_put(enum sink_kind kind, int fd, const struct line *l)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (kind == SINK_SOCKET)
        return send(fd, l->text, l->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (kind == SINK_SHARED && poll(&ready, 1, 0) <= 0)
        return -1;
    return write(fd, l->text, l->len);
}

/* Never fails for the caller, who is often about to look at errno. */
static void sink_write(struct sink *s, struct line *l)
{
    int saved = errno, kind = atomic_load_explicit(&s->kind, memory_order_acquire);
    if (kind == SINK_OFF)
        return;
    line_end(l);
    ssize_t n =
        sink_put((enum sink_kind)kind, atomic_load_explicit(&s->fd, memory_order_relaxed), l);
    if (n != (ssize_t)l->len)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = saved;
}

void log_line(enum log_level level, uint32_t flow, const char *fmt, ...)
{
    struct line l;
    va_list ap;
    if (!log_on(level))
        return;
    line_begin(&l);
    line_add(&l, "[%s] ", level_names[level]);
    if (flow)
        line_add(&l, "[%u] ", flow);
    va_start(ap, fmt);
    line_vadd(&l, fmt, ap);
    va_end(ap);
    sink_write(&error_sink, &l);
}

void log_access(const struct meta *m, const char *detour, const char *reason)
{
    struct line l;
    char from[ADDR_TEXT_MAX] = "", to[ADDR_TEXT_MAX], email[ESCAPE_MAX + 1];
    if (atomic_load_explicit(&access_sink.kind, memory_order_relaxed) == SINK_OFF)
        return;
    if (m->source.type != ADDR_NONE)
        addr_text(&m->source, from);
    line_begin(&l);
    line_add(&l, "%s %s ", from, reason ? "rejected" : "accepted");
    if (m->target.type != ADDR_NONE)
        line_add(&l, "%s:%s", m->net == NET_UDP ? "udp" : "tcp", addr_text(&m->target, to));
    if (*detour)
        line_add(&l, " [%s]", detour);
    if (reason && *reason)
        line_add(&l, " %s", reason);
    if (m->user && *m->user->email)
        line_add(&l, " email: %s",
                 log_escape(m->user->email, strlen(m->user->email), email, sizeof email));
    sink_write(&access_sink, &l);
}

bool log_allowed(struct log_limit *l, int64_t now_seconds, unsigned burst)
{
    if (l->second != now_seconds) {
        l->second = now_seconds;
        l->passed = 0;
    }
    if (l->passed >= burst) {
        l->suppressed++;
        return false;
    }
    l->passed++;
    if (l->suppressed)
        log_warn("%u lines like the next one were left out", l->suppressed);
    l->suppressed = 0;
    return true;
}

const char *log_escape(const char *text, size_t len, char *out, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0, limit = room < ESCAPE_MAX + 1 ? room : ESCAPE_MAX + 1; /* with the NUL */
    if (room == 0)
        return "";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        if (limit - at <= (plain ? 1u : 4u))
            break;
        if (plain) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '\\', out[at++] = 'x';
        out[at++] = hex[c >> 4], out[at++] = hex[c & 15];
    }
    out[at] = '\0';
    return out;
}
