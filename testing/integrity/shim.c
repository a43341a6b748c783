/* testing/integrity/shim.c -- preloaded into the program under test: system calls and memory that fail on order.
 * $V2C_SHIM names a file of one page that is a struct control; who runs the test writes it at any time.
 * Shares are per 10,000 calls. Partial and failing reads and writes are for stream sockets only.
 * Thread: any. Nothing here allocates. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The same order as in harness.py. */
enum fault { ONE_BYTE, AGAIN, INTERRUPTED, ABORTED, NO_FILES, NO_MEMORY, FAULTS };

struct control {
    _Atomic int64_t wall_seconds; /* added to the wall clock */
    _Atomic uint64_t share[FAULTS];
    _Atomic uint64_t done[FAULTS];
};

static struct control nothing;
static struct control *control = &nothing;
static _Thread_local uint64_t state;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("V2C_SHIM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED)
        control = page;
}

/* xorshift64* */
static uint64_t dice(void)
{
    if (state == 0)
        state = (uintptr_t)&state ^ (uint64_t)getpid() << 32 ^ 0x9e3779b97f4a7c15u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du >> 33;
}

static int now_for(enum fault f)
{
    uint64_t share = atomic_load_explicit(&control->share[f], memory_order_relaxed);
    if (share == 0 || dice() % 10000 >= share)
        return 0;
    atomic_fetch_add_explicit(&control->done[f], 1, memory_order_relaxed);
    return 1;
}

static int active(void)
{
    return atomic_load_explicit(&control->share[ONE_BYTE], memory_order_relaxed) ||
           atomic_load_explicit(&control->share[AGAIN], memory_order_relaxed) ||
           atomic_load_explicit(&control->share[INTERRUPTED], memory_order_relaxed);
}

static int is_stream(int fd)
{
    int saved = errno, type = 0;
    socklen_t len = sizeof type;
    int found = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
    errno = saved;
    return found;
}

/* True when the call fails, with errno set. */
static int fails(void)
{
    if (now_for(AGAIN))
        errno = EAGAIN;
    else if (now_for(INTERRUPTED))
        errno = EINTR;
    else
        return 0;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The first byte of what the caller gives. */
static int first_byte(const struct iovec *iov, size_t count, struct iovec *one)
{
    for (size_t i = 0; i < count; i++)
        if (iov[i].iov_len) {
            *one = (struct iovec){.iov_base = iov[i].iov_base, .iov_len = 1};
            return 1;
        }
    return 0;
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    struct iovec one;
    if (!active() || !is_stream(fd))
        return REAL(readv)(fd, iov, count);
    if (fails())
        return -1;
    if (now_for(ONE_BYTE) && first_byte(iov, (size_t)count, &one))
        return REAL(readv)(fd, &one, 1);
    return REAL(readv)(fd, iov, count);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct iovec one;
    if (!active() || !is_stream(fd))
        return REAL(sendmsg)(fd, msg, flags);
    if (fails())
        return -1;
    if (now_for(ONE_BYTE) && first_byte(msg->msg_iov, msg->msg_iovlen, &one)) {
        struct msghdr less = *msg;
        less.msg_iov = &one;
        less.msg_iovlen = 1;
        return REAL(sendmsg)(fd, &less, flags);
    }
    return REAL(sendmsg)(fd, msg, flags);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    if (!active() || !is_stream(fd))
        return REAL(recv)(fd, buf, len, flags);
    return fails() ? -1 : REAL(recv)(fd, buf, len && now_for(ONE_BYTE) ? 1 : len, flags);
}

ssize_t splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
    if (!active())
        return REAL(splice)(in, in_at, out, out_at, len, flags);
    return fails()
               ? -1
               : REAL(splice)(in, in_at, out, out_at, len && now_for(ONE_BYTE) ? 1 : len, flags);
}

int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
    if (now_for(ABORTED))
        errno = ECONNABORTED;
    else if (now_for(NO_FILES))
        errno = ENFILE;
    else if (!fails())
        return REAL(accept4)(fd, from, len, flags);
    return -1;
}

/* --- memory --- */

static int memory_fails(void)
{
    if (!now_for(NO_MEMORY))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return memory_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return memory_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return memory_fails() ? NULL : __libc_realloc(old, size);
}

/* --- the wall clock --- */

static int64_t wall_shift(void)
{
    return atomic_load_explicit(&control->wall_seconds, memory_order_relaxed);
}

/* Sanitizers ask from within malloc(), where dlsym() would call it again. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += wall_shift();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact = {0};
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    (void)zone;
    *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
    return result;
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
