/* testing/integrity/itest.c -- streams that check themselves: see README.md. */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "testing/integrity/client.h"
#include "testing/integrity/origin.h"
#include "testing/integrity/wire.h"

static const char HELP[] =
    "usage: itest origin [--port N] [--udp N] [--patience S] [--trace FILE]\n"
    "       itest client --ports N[,N...] [option]...\n"
    "  --streams N    at once (64)          --total N     in all (0: no limit)\n"
    "  --seconds S    of opening (10)       --grace S     for those open then (30)\n"
    "  --patience S   without a byte (30)   --retry S     after a failure (0.02)\n"
    "  --min N --max N  bytes of a body (0, 8388608)\n"
    "  --shapes N     sum of: 1 half-close, 2 origin ends first, 4 client closes, 8 answer after "
    "(15)\n"
    "  --slow P --stall S   percent of readers that stop once for about S seconds (0, 1)\n"
    "  --cut P --abort P --silent P   percent that origin or client reset, or nobody answers (0)\n"
    "  --interval S --round N   all streams live as long as the run and exchange N bytes every S "
    "(0, 128)\n"
    "  --ramp S       over which the first streams are opened (0)\n"
    "  --udp PORT --flows N --size N   datagrams (0, 16, 1400)\n"
    "  --seed N       of everything that is chosen (random)\n"
    "  --trace FILE   a line for each stream: id, opened, head, ended, outcome, bytes, of, shape\n";

struct option_target {
    const char *name;
    double *real;
    uint64_t *whole;
    const char **text;
};

static bool option_set(const struct option_target *t, const char *value)
{
    char *end = NULL;
    if (t->text) {
        *t->text = value;
        return true;
    }
    if (t->real)
        *t->real = strtod(value, &end);
    else
        *t->whole = strtoull(value, &end, 10);
    return end != value && *end == '\0';
}

/* "--name value" pairs. */
static bool options_parse(const struct option_target *targets, size_t count, int argc, char **argv)
{
    for (int i = 0; i < argc; i += 2) {
        size_t t = 0;
        while (t < count &&
               (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, targets[t].name) != 0))
            t++;
        if (t == count || i + 1 == argc || !option_set(&targets[t], argv[i + 1])) {
            fprintf(stderr, "itest: cannot use \"%s\" here\n", argv[i]);
            return false;
        }
    }
    return true;
}

static bool ports_parse(struct client_conf *c, const char *text)
{
    while (text && *text && c->port_count < PORTS_MAX) {
        char *end;
        unsigned long port = strtoul(text, &end, 10);
        if (end == text || port == 0 || port > 65535)
            return false;
        c->ports[c->port_count++] = (uint16_t)port;
        text = *end == ',' ? end + 1 : end;
    }
    return c->port_count > 0;
}

static int origin_main(int argc, char **argv)
{
    struct origin_conf c = {.patience = 60};
    uint64_t port = 0, udp_port = 0;
    const struct option_target targets[] = {
        {.name = "port", .whole = &port},
        {.name = "udp", .whole = &udp_port},
        {.name = "patience", .real = &c.patience},
        {.name = "trace", .text = &c.trace},
    };
    if (!options_parse(targets, sizeof targets / sizeof *targets, argc, argv))
        return 2;
    c.port = (uint16_t)port;
    c.udp_port = (uint16_t)udp_port;
    return origin_run(&c);
}

static int client_main(int argc, char **argv)
{
    struct client_conf c = {.seconds = 10, .grace = 30, .patience = 30, .retry = 0.02, .stall = 1};
    uint64_t streams = 64, udp = 0, flows = 16, size = 1400, shapes = 15;
    uint64_t slow = 0, cut = 0, abort = 0, silent = 0;
    const char *ports = NULL;
    c.max = 8 << 20;
    c.round = 128;
    randombytes_buf(&c.seed, 4); /* short enough to be copied by hand */
    const struct option_target targets[] = {
        {.name = "ports", .text = &ports},    {.name = "streams", .whole = &streams},
        {.name = "total", .whole = &c.total}, {.name = "seconds", .real = &c.seconds},
        {.name = "grace", .real = &c.grace},  {.name = "patience", .real = &c.patience},
        {.name = "retry", .real = &c.retry},  {.name = "min", .whole = &c.min},
        {.name = "max", .whole = &c.max},     {.name = "shapes", .whole = &shapes},
        {.name = "slow", .whole = &slow},     {.name = "stall", .real = &c.stall},
        {.name = "cut", .whole = &cut},       {.name = "abort", .whole = &abort},
        {.name = "silent", .whole = &silent}, {.name = "interval", .real = &c.interval},
        {.name = "round", .whole = &c.round}, {.name = "ramp", .real = &c.ramp},
        {.name = "udp", .whole = &udp},       {.name = "flows", .whole = &flows},
        {.name = "size", .whole = &size},     {.name = "seed", .whole = &c.seed},
        {.name = "trace", .text = &c.trace},
    };
    if (!options_parse(targets, sizeof targets / sizeof *targets, argc, argv) ||
        !ports_parse(&c, ports) || c.round == 0)
        return 2;
    c.streams = streams;
    c.udp_port = (uint16_t)udp;
    c.udp_flows = flows;
    c.udp_size = size;
    c.shapes = (unsigned)shapes;
    c.slow = (unsigned)slow;
    c.cut = (unsigned)cut;
    c.abort = (unsigned)abort;
    c.silent = (unsigned)silent;
    return client_run(&c);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc > 1 && strcmp(argv[1], "origin") == 0)
        return origin_main(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "client") == 0)
        return client_main(argc - 2, argv + 2);
    fputs(HELP, stderr);
    return 2;
}
