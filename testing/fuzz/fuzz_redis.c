/* Redis says whatever it likes: while it is greeted, and to commands that wait. The first byte says how we greet, the
 * second how many commands wait; what follows comes in pieces of the third's length.
 * Laws: each command is told once at most, or given back; nothing is told after the end; what is kept of a refusal or a
 * greeting holds no byte that was not ours; a place that is read can be written and read again. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/redis_link.h"
#include "core/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS = 16, GREETS_MASTER = 1, GREETS_PASSWORD = 2, GREETS_DATABASE = 4 };

struct fuzzed {
    struct loop loop;
    struct redis_link *link;
    int peer;
    unsigned commands; /* to ask when it is up */
    unsigned told[COMMANDS];
    bool up, down;
};

struct asker {
    struct fuzzed *f;
    unsigned index;
};

static struct asker askers[COMMANDS];

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void on_told(void *owner, const redisReply *r)
{
    struct asker *a = owner;
    demand(r && !a->f->down && ++a->f->told[a->index] == 1);
}

static void ask(struct fuzzed *f, unsigned index)
{
    static const char *const words[] = {"GET", "x"};
    static const size_t lens[] = {3, 1};
    struct redis_command *c = redis_command_new(2, words, lens);
    demand(c);
    askers[index] = (struct asker){f, index};
    c->timeout = 60;
    c->told = on_told;
    c->owner = &askers[index];
    redis_link_send(f->link, c);
}

static void on_up(void *owner, struct redis_link *k, const char *run_id)
{
    struct fuzzed *f = owner;
    demand(k == f->link && !f->up && strspn(run_id, "0123456789abcdef") == strlen(run_id) &&
           strlen(run_id) <= REDIS_RUN_ID);
    f->up = true;
    for (unsigned i = 0; i < f->commands; i++)
        ask(f, i);
}

static void on_down(void *owner, struct redis_link *k, const struct err *why, struct list *left)
{
    struct fuzzed *f = owner;
    demand(k == f->link && !f->down && why->code);
    f->down = true;
    f->link = NULL;
    redis_commands_free(left);
}

static bool on_refused(void *owner, struct redis_link *k, struct redis_command *c,
                       const redisReply *r)
{
    struct fuzzed *f = owner;
    struct redis_moved m;
    struct addr again;
    char text[ADDR_TEXT_MAX];
    struct err e;
    (void)k, (void)c;
    demand(f->up && redis_refusal_of(r)->says);
    if (!redis_moved_read(r, &m) || m.at.type == ADDR_NONE)
        return false;
    demand(m.slot < REDIS_SLOTS && m.at.port);
    again.port = m.at.port;
    demand(addr_parse_host(&again, addr_host_text(&m.at, text), strlen(text), &e) == 0 &&
           addr_equal(&again, &m.at));
    return false;
}

static const struct redis_link_ops ops = {on_up, on_down, on_refused};

/* Reads and drops what the link has sent, so that it can go on. */
static void drain(const struct fuzzed *f)
{
    char bytes[4096];
    while (recv(f->peer, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

static void turn(struct fuzzed *f)
{
    for (int i = 0; i < 3; i++)
        ev_run(f->loop.ev, EVRUN_NOWAIT);
    drain(f);
}

static void fuzz_open(struct fuzzed *f, uint8_t greets, int listening, const struct addr *at)
{
    struct redis_link_conf conf = {.at = *at, .timeout = 60};
    conf.is_master = greets & GREETS_MASTER;
    conf.password = greets & GREETS_PASSWORD ? "password" : NULL;
    conf.database = greets & GREETS_DATABASE ? 1 : 0;
    f->link = redis_link_new(&f->loop, &conf, &ops, f);
    demand(f->link);
    f->peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    demand(f->peer >= 0);
    turn(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = "@v2c-fuzz-redis";
    struct fuzzed f = {0};
    struct addr at = {0};
    struct sockaddr_storage ss;
    struct err e;
    char name[64];
    if (size < 3)
        return 0;
    snprintf(name, sizeof name, "%s-%d", path, (int)getpid());
    demand(addr_parse_unix(&at, name, &e) == 0 && loop_init(&f.loop, 0, STAT_FIXED, &e) == 0);
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = addr_to_sockaddr(&at, &ss);
    demand(bind(listening, (struct sockaddr *)&ss, len) == 0 && listen(listening, 1) == 0);
    f.commands = data[1] % COMMANDS;
    fuzz_open(&f, data[0], listening, &at);
    for (size_t i = 3, piece = data[2] ? data[2] : size; i < size && f.link; i += piece) {
        size_t some = size - i < piece ? size - i : piece;
        if (send(f.peer, data + i, some, MSG_NOSIGNAL) != (ssize_t)some)
            break;
        turn(&f);
    }
    if (f.link)
        redis_link_free(f.link);
    close(f.peer);
    close(listening);
    loop_fini(&f.loop);
    return 0;
}
