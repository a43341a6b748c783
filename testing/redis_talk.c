/* testing/redis_talk.c -- a connection as cluster/redis.h keeps it, led by lines: for scenarios with real servers.
 *   redis_talk [-u user] [-p password] [-d database] [-m master] [-s password] [-t timeout] [-c ca.pem] server...
 * A server is host:port or /path. A line that comes is a command, its words apart by blanks; a line that goes is
 *   well RUN_ID | away TROUBLE | N ANSWER
 * where N counts the commands and ANSWER is as redis-cli would say it, "none" without one, "no" if it could not be asked. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/redis.h"
#include "core/stats.h"
#include "transport/carriage.h"
#include "transport/resolve.h"
#include "transport/tls.h"

enum { SERVERS = 8, WORDS = 16, LINE = 4096 };

struct talk {
    struct loop loop;
    struct redis *redis;
    struct redis_server servers[SERVERS];
    struct registry_conf conf;
    struct redis_owner owner;
    struct ev_io in;
    char line[LINE];
    size_t len;
    unsigned count;
};

struct asked {
    unsigned number;
};

static void print_answer(const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        printf(" %lld", r->integer);
        break;
    case REDIS_REPLY_NIL:
        printf(" nil");
        break;
    case REDIS_REPLY_ARRAY:
        printf(" [");
        for (size_t i = 0; i < r->elements; i++)
            print_answer(r->element[i]);
        printf(" ]");
        break;
    default:
        printf(" %.*s", (int)r->len, r->str);
    }
}

static void on_answer(void *owner, const redisReply *r)
{
    struct asked *a = owner;
    printf("%u", a->number);
    if (r)
        print_answer(r);
    else
        printf(" none");
    printf("\n");
    free(a);
}

static void on_well(void *owner, bool well, const char *run_id)
{
    struct talk *t = owner;
    if (well)
        printf("well %s\n", run_id);
    else
        printf("away %s\n", redis_trouble(t->redis));
}

static void say(struct talk *t, char *line)
{
    const char *words[WORDS];
    size_t lens[WORDS];
    int count = 0;
    struct asked *a = malloc(sizeof *a);
    a->number = ++t->count;
    for (char *save, *w = strtok_r(line, " ", &save); w && count < WORDS;
         w = strtok_r(NULL, " ", &save)) {
        lens[count] = strlen(w);
        words[count++] = w;
    }
    if (redis_ask(t->redis, count, words, lens, 0, on_answer, a))
        return;
    printf("%u no %s\n", a->number, redis_trouble(t->redis));
    free(a);
}

static void on_lines(struct ev_loop *ev, ev_io *w, int events)
{
    struct talk *t = w->data;
    ssize_t n = read(w->fd, t->line + t->len, LINE - t->len);
    char *end;
    (void)events;
    if (n == 0)
        ev_break(ev, EVBREAK_ALL);
    if (n <= 0)
        return;
    t->len += (size_t)n;
    while ((end = memchr(t->line, '\n', t->len))) {
        *end = '\0';
        say(t, t->line);
        t->len -= (size_t)(end + 1 - t->line);
        memmove(t->line, end + 1, t->len);
    }
}

static bool server_read(struct addr *at, const char *text)
{
    const char *colon = strrchr(text, ':');
    struct err e;
    if (*text == '/')
        return addr_parse_unix(at, text, &e) == 0;
    if (!colon || addr_parse_host(at, text, (size_t)(colon - text), &e) < 0)
        return false;
    at->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return true;
}

static struct carriage *tls_read(const char *ca)
{
    const struct tls_settings s = {.verifies = true};
    const struct tls_source source = {.usage = TLS_AUTHORITY, .cert_file = ca};
    struct err e;
    struct tls_material *m = tls_material_load(&source, &e);
    struct carriage *c = m ? carriage_new() : NULL;
    if (c)
        c->tls = tls_conf_new(&s, &m, 1, &e);
    if (m)
        tls_material_unref(m);
    if (c && c->tls)
        return c;
    fprintf(stderr, "%s: %s\n", ca, e.text);
    exit(2);
}

static void options_read(struct talk *t, int argc, char **argv)
{
    struct carriage *carriage = NULL;
    struct registry_conf *c = &t->conf;
    *c = (struct registry_conf){.servers = t->servers, .timeout = 0.05};
    for (int o; (o = getopt(argc, argv, "u:p:d:m:s:t:c:")) >= 0;) {
        c->user = o == 'u' ? optarg : c->user;
        c->password = o == 'p' ? optarg : c->password;
        c->master = o == 'm' ? optarg : c->master;
        c->sentinel_password = o == 's' ? optarg : c->sentinel_password;
        c->database = o == 'd' ? (unsigned)strtoul(optarg, NULL, 10) : c->database;
        c->timeout = o == 't' ? strtod(optarg, NULL) : c->timeout;
        carriage = o == 'c' ? tls_read(optarg) : carriage;
    }
    for (; optind < argc && c->server_count < SERVERS; optind++, c->server_count++) {
        t->servers[c->server_count].carriage = carriage;
        if (!server_read(&t->servers[c->server_count].at, argv[optind]))
            exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct talk t;
    struct err e;
    options_read(&t, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!t.conf.server_count || loop_init(&t.loop, 0, STAT_FIXED, &e) < 0 ||
        resolve_init(&t.loop, NULL, &e) < 0)
        return 2;
    t.owner = (struct redis_owner){.well = on_well, .owner = &t};
    t.redis = redis_new(&t.loop, &t.conf, &t.owner);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    ev_io_init(&t.in, on_lines, STDIN_FILENO, EV_READ);
    t.in.data = &t;
    ev_io_start(t.loop.ev, &t.in);
    loop_run(&t.loop);
    redis_free(t.redis);
    carriage_unref(t.servers[0].carriage);
    resolve_stop(&t.loop);
    loop_fini(&t.loop);
    return 0;
}
