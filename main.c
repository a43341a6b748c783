/* main.c -- the command line. What runs is conf/process.h. */
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/args.h"
#include "conf/explain.h"
#include "conf/init.h"
#include "conf/keyfile.h"
#include "conf/process.h"
#include "conf/quick.h"
#include "conf/remote.h"
#include "config.h"
#include "transport/tls.h"

/* V2Ray's exit codes; unit files know 23. */
enum { EXIT_CONFIG = 23, EXIT_START = 255, EXIT_USAGE = 2 };

static const char HELP[] =
    "v2c " PACKAGE_VERSION
    " -- reverse tunnels and routing with V2Ray's configuration and wire format\n"
    "\n"
    "usage: v2c run  [-c FILE]... [-confdir DIR]   run until SIGINT or SIGTERM\n"
    "       v2c test [-c FILE]... [-confdir DIR] [-strict]\n"
    "                                              check the configuration: every error at once\n"
    "       v2c explain [-c FILE]... [-inbound TAG] [-domain NAME] [-port N] [-user EMAIL]...\n"
    "                                              say which way a connection would take, and why\n"
    "       v2c status                             bridges, portals, carriers and traffic of a\n"
    "                                              v2c that runs\n"
    "       v2c stats  [-pattern TEXT] [-reset]    its counters, by V2Ray's names\n"
    "       v2c flows                              what is open\n"
    "       v2c end ID                             end a flow or a carrier\n"
    "       v2c user   add|remove -inbound TAG -email E [-id UUID] [-level N] [-end]\n"
    "       v2c log    [LEVEL]\n"
    "                  these six find its api in [-c FILE]... [-confdir DIR], or by\n"
    "                  -server ADDRESS [-token-file FILE]; -json prints the answer as it came\n"
    "       v2c portal --listen :8443 --entry :8000 --key FILE [--route HOST=TUNNEL]...\n"
    "                  [--cluster-key FILE] [--peers HOST:PORT,...] [--redis URL]\n"
    "                  [--peer-listen :7400] [--advertise HOST] [--node NAME]\n"
    "                                             with other portals as one\n"
    "       v2c portal --new-key FILE [--user NAME] [--tunnel ID]... [--host NAME]...\n"
    "       v2c bridge --to HOST:8443 --tunnel ID --key FILE [--host NAME]... [NAME=]HOST:PORT...\n"
    "                                              a portal of many tunnels, and one of its "
    "bridges,\n"
    "                                              without a configuration; --show prints it\n"
    "       v2c init [--to HOST:8443] [HOST:PORT]  write portal.json and bridge.json, explained\n"
    "       v2c uuid                               print a new random user id\n"
    "       v2c tls hash FILE                      print the pin of a file with certificates\n"
    "       v2c version\n"
    "       v2c help\n"
    "\n"
    "Without -c and -confdir the configuration is ./config.json, else "
    "$V2RAY_LOCATION_CONFIG/config.json,\n"
    "else standard input. \"-c stdin:\" reads standard input.\n"
    "Signals: SIGTERM ends, after open connections had their time; SIGINT ends at once; SIGHUP "
    "reads the\n"
    "configuration again; SIGUSR1 opens the log files again, after they were rotated.\n"
    "Exit codes: 0 well, 1 a v2c that runs did not answer or refused, 2 the command is wrong,\n"
    "23 the configuration is wrong, 255 it cannot start (a port in use).\n"
    "Manuals: v2c(8), v2c.json(5).\n";

/* explain: takes flags of its own; NULL: none are. */
static struct config *load(struct source_args *a, struct explain *explain, int argc, char **argv,
                           FILE *report)
{
    for (int i = 0; i < argc; i++) {
        if (source_args_take(a, argv, &i) || (explain && explain_flag(explain, argv, &i)))
            continue;
        if (arg_is(argv[i], "strict")) {
            a->source.strict = true;
            continue;
        }
        arg_refuse(argv, i);
        return NULL;
    }
    source_args_default(a);
    return config_load(&a->source, NULL, report);
}

/* --- run --- */

/* OpenSSL's configuration file names no algorithm that we use; reading it costs half a MiB. One heap for
 * few threads wastes less than one each. */
static bool libraries_start(void)
{
    mallopt(M_ARENA_MAX, 1);
    return sodium_init() >= 0 && OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1;
}

static void harden(void)
{
    struct rlimit none = {0, 0}, files;
    setrlimit(RLIMIT_CORE, &none); /* memory holds keys */
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
}

static int run(struct config *c, const struct config_source *source)
{
    struct err e;
    struct process p;
    harden();
    if (process_start(&p, c, source, &e) == 0 && process_run(&p, &e) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "v2c: cannot start: %s\n", e.text);
    return EXIT_START;
}

/* Takes c. NULL: it was wrong. */
static int start(struct config *c, const struct config_source *source)
{
    struct err e;
    if (!c)
        return EXIT_CONFIG;
    if (log_open(&c->log, &e) < 0) {
        fprintf(stderr, "v2c: %s\n", e.text);
        config_free(c);
        return EXIT_CONFIG;
    }
    int result = run(c, source);
    log_close();
    return result;
}

static int command_run(int argc, char **argv)
{
    struct source_args a;
    source_args_init(&a);
    struct config *c = load(&a, NULL, argc, argv, stderr);
    return start(c, &a.source);
}

/* By its name, which stands before what follows it. */
static int command_quick(int argc, char **argv)
{
    struct quick q;
    enum quick_result read = quick_read(&q, argv[-1], argc, argv);
    if (read != QUICK_RUN)
        return read == QUICK_DONE ? EXIT_SUCCESS : EXIT_USAGE;
    const struct config_source source = {.maker = &q.maker};
    return start(config_load(&source, NULL, stderr), &source);
}

/* --- the other commands --- */

static int command_test(int argc, char **argv)
{
    struct source_args a;
    source_args_init(&a);
    a.source.lint = true;
    struct config *c = load(&a, NULL, argc, argv, stdout);
    if (!c)
        return EXIT_CONFIG;
    printf("Configuration OK.\n");
    config_free(c);
    return EXIT_SUCCESS;
}

static int command_explain(int argc, char **argv)
{
    struct err e;
    struct explain x = {0};
    struct source_args a;
    source_args_init(&a);
    struct config *c = load(&a, &x, argc, argv, stderr);
    if (!c)
        return EXIT_CONFIG;
    int result = explain_print(&x, c, stdout, &e);
    if (result < 0)
        fprintf(stderr, "v2c explain: %s\n", e.text);
    config_free(c);
    return result < 0 ? EXIT_USAGE : EXIT_SUCCESS;
}

/* By its name, which stands before what follows it. */
static int command_remote(int argc, char **argv)
{
    return remote_run(argv[-1], argc, argv);
}

static int command_uuid(int argc, char **argv)
{
    (void)argc, (void)argv;
    char id[KEY_ID + 1];
    key_id_new(id);
    printf("%s\n", id);
    return EXIT_SUCCESS;
}

/* For pinnedPeerCertificateChainSha256; V2Ray 5 has it as "tls certChainHash". */
static int command_tls(int argc, char **argv)
{
    struct err e;
    uint8_t pin[TLS_PIN];
    char text[sodium_base64_ENCODED_LEN(TLS_PIN, sodium_base64_VARIANT_ORIGINAL)];
    if (argc != 2 || strcmp(argv[0], "hash") != 0) {
        fprintf(stderr, "v2c tls: want \"v2c tls hash FILE\"\n");
        return EXIT_USAGE;
    }
    if (tls_chain_pin_of_file(argv[1], pin, &e) < 0) {
        fprintf(stderr, "v2c tls: %s\n", e.text);
        return EXIT_CONFIG;
    }
    printf("%s\n",
           sodium_bin2base64(text, sizeof text, pin, TLS_PIN, sodium_base64_VARIANT_ORIGINAL));
    return EXIT_SUCCESS;
}

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("v2c %s\n", PACKAGE_VERSION);
    return EXIT_SUCCESS;
}

static int command_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    fputs(HELP, stdout);
    return EXIT_SUCCESS;
}

static const struct command {
    const char *name, *flag; /* flag: V2Ray 4's spelling */
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", NULL, command_run},         {"test", "test", command_test},
    {"explain", NULL, command_explain}, {"version", "version", command_version},
    {"status", NULL, command_remote},   {"stats", NULL, command_remote},
    {"flows", NULL, command_remote},    {"end", NULL, command_remote},
    {"user", NULL, command_remote},     {"log", NULL, command_remote},
    {"portal", NULL, command_quick},    {"bridge", NULL, command_quick},
    {"init", NULL, init_run},           {"uuid", NULL, command_uuid},
    {"tls", NULL, command_tls},         {"help", "help", command_help},
    {"-h", "h", command_help},
};

static const struct command *command_find(const char *arg)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(arg, commands[i].name) == 0 ||
            (commands[i].flag && arg_is(arg, commands[i].flag)))
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    if (!libraries_start()) {
        fprintf(stderr, "v2c: libsodium or OpenSSL does not start\n");
        return EXIT_START;
    }
    if (argc < 2) {
        fputs(HELP, stderr);
        return EXIT_USAGE;
    }
    const struct command *c = command_find(argv[1]);
    if (c)
        return c->run(argc - 2, argv + 2);
    if (argv[1][0] == '-') /* V2Ray 4: "v2ray -config FILE" */
        return command_run(argc - 1, argv + 1);
    fprintf(stderr, "v2c: there is no command \"%s\"; see \"v2c help\"\n", argv[1]);
    return EXIT_USAGE;
}
