/* limit_mux -- the yardstick: a portal and a bridge that do nothing but what no sealed, multiplexed tunnel
 * can avoid. Accept, dial, read, seal, write; write, open, read at the other side. No handshake, one fixed
 * key, no routing, no windows, no deadlines. It protects nothing and forgives nothing.
 *
 *     limit_mux portal VISITORS LINK     listens on both ports of 127.0.0.1
 *     limit_mux bridge LINK ORIGIN       dials both
 *
 * On the link: chunk = length (2) | frames, sealed with AES-128-GCM | tag (16). A frame is an id (2), two
 * bits of kind and fourteen of length (2), and data. Sockets are read straight into chunks, chunks are
 * sealed and opened in place, and what one turn of the loop gathered leaves in one system call.
 * Thread: one. Errors: any on the link ends the program. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    HEAD = 2,
    TAG = 16,
    FRAME = 4,
    DATA = 16384, /* frames in a chunk, heads included */
    CHUNK = HEAD + DATA + TAG,
    CHUNKS = 16,  /* gathered before a write; what one read may bring */
    WORTH = 2048, /* room that makes it worth to share a chunk */
    IDS = 32768,
    EVENTS = 256,
    BACKLOG = 4096,
    PATIENCE = 5000, /* ms for a visitor or origin that does not read */
    LISTENER = IDS,
    LINK_LISTENER,
    LINK,
};

enum kind { KIND_DATA, KIND_OPEN = 0x8000, KIND_END = 0xc000 };

struct stream {
    int fd; /* -1: free */
    bool sent_end, got_end;
};

struct mux {
    int epoll, link, listener, link_listener;
    struct sockaddr_in origin;
    EVP_CIPHER_CTX *seal, *open;
    uint64_t sealed, opened; /* chunks: their nonces */
    size_t last;             /* the chunk that is being filled */
    size_t filled[CHUNKS];
    uint8_t out[CHUNKS][CHUNK];
    size_t kept; /* bytes of an incomplete chunk at the beginning of in */
    uint8_t in[CHUNKS * CHUNK];
    struct iovec parts[64]; /* data for one stream that goes out in one call */
    int part_count;
    uint16_t part_id;
    struct stream streams[IDS];
    uint16_t free_ids[IDS];
    size_t free_count;
    bool portal;
};

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct mux *m, int fd, uint32_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};
    if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        give_up("epoll_ctl");
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void nonce_next(uint8_t nonce[12], uint64_t *count)
{
    memset(nonce, 0, 12);
    memcpy(nonce, count, sizeof *count);
    ++*count;
}

static void chunk_seal(struct mux *m, uint8_t *chunk, size_t len)
{
    uint8_t nonce[12], *text = chunk + HEAD;
    int n;
    chunk[0] = (uint8_t)((len + TAG) >> 8), chunk[1] = (uint8_t)(len + TAG);
    nonce_next(nonce, &m->sealed);
    EVP_EncryptInit_ex(m->seal, NULL, NULL, NULL, nonce);
    EVP_EncryptUpdate(m->seal, text, &n, text, (int)len);
    EVP_EncryptFinal_ex(m->seal, text + len, &n);
    EVP_CIPHER_CTX_ctrl(m->seal, EVP_CTRL_AEAD_GET_TAG, TAG, text + len);
}

static bool chunk_open(struct mux *m, uint8_t *text, size_t len)
{
    uint8_t nonce[12];
    int n;
    nonce_next(nonce, &m->opened);
    EVP_DecryptInit_ex(m->open, NULL, NULL, NULL, nonce);
    EVP_DecryptUpdate(m->open, text, &n, text, (int)len);
    EVP_CIPHER_CTX_ctrl(m->open, EVP_CTRL_AEAD_SET_TAG, TAG, text + len);
    return EVP_DecryptFinal_ex(m->open, text + len, &n) == 1;
}

/* Drops n written bytes from the front; true while some are left. */
static bool parts_advance(struct iovec **parts, int *count, size_t n)
{
    while (*count > 0 && n >= (*parts)->iov_len)
        n -= (*parts)->iov_len, ++*parts, --*count;
    if (*count > 0)
        (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + n, (*parts)->iov_len -= n;
    return *count > 0;
}

static void link_read(struct mux *m);

/* While the link takes nothing, what it brings is still read: else both sides could wait for each other. */
static void link_write(struct mux *m, struct iovec *parts, int count)
{
    bool more = count > 0;
    while (more) {
        ssize_t n = writev(m->link, parts, count);
        if (n < 0 && errno != EAGAIN)
            give_up("link");
        more = n < 0 || parts_advance(&parts, &count, (size_t)n);
        struct pollfd p = {.fd = m->link, .events = POLLOUT | POLLIN};
        if (more && poll(&p, 1, -1) > 0 && (p.revents & POLLIN) != 0)
            link_read(m);
    }
}

static void flush(struct mux *m)
{
    struct iovec parts[CHUNKS];
    int count = 0;
    for (size_t i = 0; i <= m->last; i++) {
        size_t len = m->filled[i];
        if (len == 0)
            continue;
        chunk_seal(m, m->out[i], len);
        parts[count++] = (struct iovec){m->out[i], HEAD + len + TAG};
    }
    link_write(m, parts, count);
    memset(m->filled, 0, sizeof m->filled);
    m->last = 0;
}

static uint8_t *chunk_end(struct mux *m, size_t i)
{
    return m->out[i] + HEAD + m->filled[i];
}

/* The head goes in front of data that is already in its place. */
static void frame_put(struct mux *m, size_t i, uint16_t id, enum kind kind, size_t len)
{
    uint8_t *p = chunk_end(m, i);
    uint16_t word = (uint16_t)((uint16_t)kind | len);
    p[0] = (uint8_t)(id >> 8), p[1] = (uint8_t)id;
    p[2] = (uint8_t)(word >> 8), p[3] = (uint8_t)word;
    m->filled[i] += FRAME + len;
}

static void room_make(struct mux *m, size_t wanted)
{
    if (DATA - m->filled[m->last] >= wanted)
        return;
    if (m->last + 1 < CHUNKS)
        m->last++;
    else
        flush(m);
}

static void word_put(struct mux *m, uint16_t id, enum kind kind)
{
    room_make(m, FRAME);
    frame_put(m, m->last, id, kind, 0);
}

static void stream_start(struct mux *m, uint16_t id, int fd)
{
    m->streams[id] = (struct stream){.fd = fd};
    no_delay(fd);
    watch(m, fd, id);
}

static void stream_free_if_done(struct mux *m, uint16_t id)
{
    struct stream *s = &m->streams[id];
    if (s->fd < 0 || !s->sent_end || !s->got_end)
        return;
    close(s->fd);
    s->fd = -1;
    if (m->portal)
        m->free_ids[m->free_count++] = id;
}

/* Reads into the free room of the chunk that is being filled, and of those behind it. */
static void stream_read(struct mux *m, uint16_t id)
{
    struct iovec room[CHUNKS];
    struct stream *s = &m->streams[id];
    room_make(m, WORTH);
    int count = 0;
    for (size_t i = m->last; i < CHUNKS; i++)
        room[count++] = (struct iovec){chunk_end(m, i) + FRAME, DATA - m->filled[i] - FRAME};
    ssize_t n = readv(s->fd, room, count);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        s->sent_end = true;
        epoll_ctl(m->epoll, EPOLL_CTL_DEL, s->fd, NULL);
        word_put(m, id, KIND_END);
        stream_free_if_done(m, id);
        return;
    }
    for (int i = 0; n > 0; i++) {
        size_t len = (size_t)n < room[i].iov_len ? (size_t)n : room[i].iov_len;
        m->last += i > 0;
        frame_put(m, m->last, id, KIND_DATA, len);
        n -= (ssize_t)len;
    }
}

/* Nothing is queued for a stream: who does not read holds up all. */
static void parts_write(struct mux *m)
{
    struct iovec *parts = m->parts;
    int fd = m->streams[m->part_id].fd;
    bool more = m->part_count > 0 && fd >= 0;
    while (more) {
        ssize_t n = writev(fd, parts, m->part_count);
        if (n < 0 && errno != EAGAIN)
            break;
        more = n < 0 || parts_advance(&parts, &m->part_count, (size_t)n);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (more && poll(&p, 1, PATIENCE) <= 0)
            break;
    }
    m->part_count = 0;
}

static void origin_dial(struct mux *m, uint16_t id)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        give_up("socket");
    connect(fd, (struct sockaddr *)&m->origin,
            sizeof m->origin); /* a refusal shows when it is read */
    stream_start(m, id, fd);
}

static void frame_take(struct mux *m, uint16_t id, enum kind kind, uint8_t *data, size_t len)
{
    bool full = m->part_count == (int)(sizeof m->parts / sizeof *m->parts);
    if (full || kind != KIND_DATA || (m->part_count > 0 && id != m->part_id))
        parts_write(m);
    if (kind == KIND_OPEN) {
        origin_dial(m, id);
    } else if (kind == KIND_DATA) {
        m->part_id = id;
        m->parts[m->part_count++] = (struct iovec){data, len};
    } else if (m->streams[id].fd >= 0) {
        m->streams[id].got_end = true;
        shutdown(m->streams[id].fd, SHUT_WR);
        stream_free_if_done(m, id);
    }
}

static void chunk_take(struct mux *m, uint8_t *text, size_t size)
{
    for (size_t at = 0; at + FRAME <= size;) {
        uint16_t id = (uint16_t)(text[at] << 8 | text[at + 1]);
        uint16_t word = (uint16_t)(text[at + 2] << 8 | text[at + 3]);
        enum kind kind = word & 0xc000;
        size_t len = word & 0x3fff;
        at += FRAME;
        if (id >= IDS || len > size - at)
            give_up("frame");
        frame_take(m, id, kind, text + at, len);
        at += len;
    }
}

static void link_read(struct mux *m)
{
    ssize_t n = read(m->link, m->in + m->kept, sizeof m->in - m->kept);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        exit(0);
    size_t have = m->kept + (size_t)n, at = 0;
    while (have - at >= HEAD) {
        size_t len = (size_t)m->in[at] << 8 | m->in[at + 1];
        if (len < TAG || len > DATA + TAG)
            give_up("chunk");
        if (have - at < HEAD + len)
            break;
        if (!chunk_open(m, m->in + at + HEAD, len - TAG))
            give_up("tag");
        chunk_take(m, m->in + at + HEAD, len - TAG);
        at += HEAD + len;
    }
    parts_write(m);
    m->kept = have - at;
    memmove(m->in, m->in + at, m->kept);
}

static void visitors_accept(struct mux *m)
{
    while (m->free_count > 0) {
        int fd = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0)
            return;
        uint16_t id = m->free_ids[--m->free_count];
        stream_start(m, id, fd);
        word_put(m, id, KIND_OPEN);
    }
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_at(const char *port)
{
    struct sockaddr_in at = loopback(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        give_up("listen");
    return fd;
}

static void link_use(struct mux *m, int fd)
{
    if (fd < 0)
        give_up("link");
    no_delay(fd);
    m->link = fd;
    watch(m, fd, LINK);
    if (m->portal)
        watch(m, m->listener, LISTENER); /* visitors wait in the backlog until there is a link */
}

static void link_dial(struct mux *m, const char *port)
{
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        give_up("connect");
    poll(&p, 1, PATIENCE);
    link_use(m, fd);
}

static struct mux *mux_new(bool portal)
{
    static const uint8_t key[16] = "no secret at all";
    struct mux *m = calloc(1, sizeof *m);
    if (m == NULL)
        give_up("memory");
    m->portal = portal;
    m->link = -1;
    m->epoll = epoll_create1(0);
    m->seal = EVP_CIPHER_CTX_new(), m->open = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(m->seal, EVP_aes_128_gcm(), NULL, key, NULL);
    EVP_DecryptInit_ex(m->open, EVP_aes_128_gcm(), NULL, key, NULL);
    for (int id = IDS - 1; id >= 0; id--) {
        m->streams[id].fd = -1;
        m->free_ids[m->free_count++] = (uint16_t)id;
    }
    return m;
}

static void event_take(struct mux *m, uint32_t tag)
{
    if (tag == LINK)
        link_read(m);
    else if (tag == LISTENER)
        visitors_accept(m);
    else if (tag == LINK_LISTENER)
        link_use(m, accept4(m->link_listener, NULL, NULL, SOCK_NONBLOCK));
    else if (m->streams[tag].fd >= 0 && !m->streams[tag].sent_end)
        stream_read(m, (uint16_t)tag);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    if (argc != 4) {
        fprintf(stderr, "usage: limit_mux portal VISITORS LINK | limit_mux bridge LINK ORIGIN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct mux *m = mux_new(strcmp(argv[1], "portal") == 0);
    if (m->portal) {
        m->listener = listen_at(argv[2]);
        m->link_listener = listen_at(argv[3]);
        watch(m, m->link_listener, LINK_LISTENER);
    } else {
        m->origin = loopback(argv[3]);
        link_dial(m, argv[2]);
    }
    for (;;) {
        int n = epoll_wait(m->epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            event_take(m, events[i].data.u32);
        if (m->last > 0 || m->filled[0] > 0)
            flush(m);
    }
}
