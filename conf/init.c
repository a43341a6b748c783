#include "conf/init.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/args.h"
#include "conf/keyfile.h"
#include "conf/quick.h"
#include "conf/quick_place.h"

enum { INIT_WRONG = 2 };

struct init {
    const char *folder, *to, *entry, *tunnel, *domain, *target;
    struct quick_place portal, visitors;
    struct quick_target server;
    char id[KEY_ID + 1], fresh[KEY_ID + 1];
};

/* --- portal.json --- */

static void inbounds_write(FILE *out, const struct init *i)
{
    fprintf(
        out,
        "  \"inbounds\": [\n"
        "    {\n"
        "      \"tag\": \"links\", // where bridges come\n"
        "      \"port\": %u, // open it in the firewall\n"
        "      \"protocol\": \"vmess\",\n"
        "      \"settings\": {\n"
        "        \"clients\": [\n"
        "          // The same id as in bridge.json. One for each bridge that is somebody else's: "
        "v2c uuid\n"
        "          { \"id\": \"%s\", \"email\": \"home\" }\n"
        "        ]\n"
        "      }\n"
        "    },\n"
        "    {\n"
        "      \"tag\": \"visitors\", // where visitors come: HTTP, WebSockets and TLS\n"
        "      \"port\": %u,\n"
        "      \"protocol\": \"ingress\",\n"
        "      \"settings\": {\n"
        "        \"portal\": \"portal\",\n"
        "        // Which host leads to which tunnel. Hostnames that bridges ask for come by "
        "themselves.\n"
        "        \"routes\": [\n"
        "          { \"host\": \".example.com\", \"tunnel\": \"%s\" } // all below it, and itself\n"
        "        ]\n"
        "      }\n"
        "    }\n"
        "  ],\n\n",
        i->portal.port, i->id, i->visitors.port, i->tunnel);
}

static void portal_write(FILE *out, const struct init *i)
{
    fprintf(
        out,
        "// The public side. Start it with: v2c run -c portal.json\n"
        "// The other side is bridge.json. Both hold a secret, the id: keep them to yourself.\n"
        "{\n"
        "  \"log\": { \"loglevel\": \"info\" }, // one line for each bridge and visitor; "
        "\"warning\" is "
        "quieter\n"
        "\n"
        "  \"reverse\": {\n"
        "    \"portals\": [\n"
        "      {\n"
        "        \"tag\": \"portal\",\n"
        "        // Every name below it is a tunnel: a bridge dials ID.%s. It is never looked up.\n"
        "        \"domain\": \"*.%s\",\n"
        "        // Which user may be which tunnel, and may ask for which hostnames. Others are "
        "refused.\n"
        "        \"claims\": [\n"
        "          {\n"
        "            \"user\": \"home\",\n"
        "            \"tunnels\": [\"%s\"], // \"team-*\" and \"*\" would be several\n"
        "            \"hosts\": [\".example.org\"] // his bridges may ask for them\n"
        "          }\n"
        "        ]\n"
        "      }\n"
        "    ]\n"
        "  },\n\n",
        i->domain, i->domain, i->tunnel);
    inbounds_write(out, i);
    fputs(
        "  // What no rule names goes nowhere.\n"
        "  \"outbounds\": [ { \"tag\": \"nowhere\", \"protocol\": \"blackhole\" } ],\n"
        "\n"
        "  \"routing\": {\n"
        "    \"rules\": [\n"
        "      // Who comes there is a bridge.\n"
        "      { \"type\": \"field\", \"inboundTag\": [\"links\"], \"outboundTag\": \"portal\" }\n"
        "    ]\n"
        "  }\n"
        "}\n",
        out);
}

/* --- bridge.json --- */

static void server_write(FILE *out, const struct init *i)
{
    if (i->server.folder)
        fprintf(out,
                "    // What visitors reach: these files, and nothing else.\n"
                "    { \"tag\": \"server\", \"protocol\": \"file\", \"settings\": { \"root\": "
                "\"%s\", \"listing\": "
                "true } }\n",
                i->server.place);
    else
        fprintf(out,
                "    // What visitors reach: this server, whatever they ask for.\n"
                "    { \"tag\": \"server\", \"protocol\": \"freedom\", \"settings\": { "
                "\"redirect\": \"%s\" } }\n",
                i->server.place);
}

static void bridge_write(FILE *out, const struct init *i)
{
    fprintf(
        out,
        "// The private side: it opens no port, and dials the portal. Start it with: v2c run -c "
        "bridge.json\n"
        "// Several of them with the same tunnel share its visitors.\n"
        "{\n"
        "  \"log\": { \"loglevel\": \"info\" },\n"
        "\n"
        "  \"reverse\": {\n"
        "    \"bridges\": [\n"
        "      {\n"
        "        \"tag\": \"bridge\",\n"
        "        // The tunnel's id, below the domain of portal.json.\n"
        "        \"domain\": \"%s.%s\",\n"
        "        \"portals\": [\"portal\"], // the outbounds that lead to it\n"
        "        // Hostnames it asks for, besides the routes of portal.json. \"auto\" is one\n"
        "        // that the portal gives, always the same; the log of the bridge says which.\n"
        "        \"hosts\": [\"auto\"]\n"
        "      }\n"
        "    ]\n"
        "  },\n\n",
        i->tunnel, i->domain);
    fprintf(out,
            "  \"outbounds\": [\n"
            "    // What no rule names goes nowhere.\n"
            "    { \"tag\": \"nowhere\", \"protocol\": \"blackhole\" },\n"
            "    {\n"
            "      \"tag\": \"portal\",\n"
            "      \"protocol\": \"vmess\",\n"
            "      \"settings\": {\n"
            "        \"vnext\": [\n"
            "          {\n"
            "            \"address\": \"%s\", // the portal's\n"
            "            \"port\": %u,\n"
            "            \"users\": [ { \"id\": \"%s\" } ] // the same id as in portal.json\n"
            "          }\n"
            "        ]\n"
            "      }\n"
            "    },\n",
            i->portal.host, i->portal.port, i->id);
    server_write(out, i);
    fputs(
        "  ],\n"
        "\n"
        "  \"routing\": {\n"
        "    \"rules\": [\n"
        "      // Visitors.\n"
        "      { \"type\": \"field\", \"inboundTag\": [\"bridge\"], \"outboundTag\": \"server\" }\n"
        "    ]\n"
        "  }\n"
        "}\n",
        out);
}

/* --- files --- */

static int file_write(const struct init *i, const char *name,
                      void (*print)(FILE *out, const struct init *i), struct err *e)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/%s", i->folder, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(e, ENAMETOOLONG, "%.128s: too long", i->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        err_sys(e, "%.128s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    print(out, i);
    bool failed = ferror(out);
    if (fclose(out) < 0 || failed)
        return err_sys(e, "%.128s: cannot write", path);
    return 0;
}

static int folder_make(const char *folder, struct err *e)
{
    if (mkdir(folder, 0755) == 0 || errno == EEXIST)
        return 0;
    return err_sys(e, "%.128s", folder);
}

/* Both, or none. */
static int files_write(const struct init *i, struct err *e)
{
    char path[4096];
    if (folder_make(i->folder, e) < 0 || file_write(i, "portal.json", portal_write, e) < 0)
        return -1;
    if (file_write(i, "bridge.json", bridge_write, e) == 0)
        return 0;
    snprintf(path, sizeof path, "%s/portal.json", i->folder);
    unlink(path);
    return -1;
}

static void say_what_next(const struct init *i)
{
    printf("%s/portal.json is for the public machine: v2c run -c portal.json\n"
           "%s/bridge.json is for the machine beside the server: v2c run -c bridge.json\n"
           "Then, anywhere: curl -H 'Host: example.com' http://%s:%u/\n"
           "Each line says what it means; v2c test -c FILE checks what you change.\n",
           i->folder, i->folder, i->portal.host, i->visitors.port);
}

/* --- flags --- */

static int flags_read(struct init *i, int argc, char **argv, struct err *e)
{
    const struct {
        const char *name, **to;
    } known[] = {{"to", &i->to},
                 {"entry", &i->entry},
                 {"tunnel", &i->tunnel},
                 {"domain", &i->domain},
                 {"dir", &i->folder}};
    bool target = false;
    for (int n = 0; n < argc; n++) {
        const char *value = NULL;
        for (size_t f = 0; !value && f < sizeof known / sizeof *known; f++)
            if ((value = arg_value(argv, &n, known[f].name)))
                *known[f].to = value;
        if (value)
            continue;
        if (*argv[n] == '-' || target)
            return err_set(e, EINVAL, "cannot use \"%.64s\"; see \"v2c help\"", argv[n]);
        i->target = argv[n];
        target = true;
    }
    return 0;
}

/* What goes between quotes needs no escapes then. */
static int flags_check(struct init *i, struct err *e)
{
    struct hostname h;
    char text[HOSTNAME_LABEL_MAX + 1];
    if (quick_place_read_plain(&i->portal, i->to, e) < 0)
        return err_wrap(e, "--to");
    if (quick_place_read_plain(&i->visitors, i->entry, e) < 0)
        return err_wrap(e, "--entry");
    if (!*i->portal.host)
        return err_set(e, EINVAL, "--to: want the portal's name or address before \"%.64s\"",
                       i->to);
    if (!tunnel_text_read(text, i->tunnel, strlen(i->tunnel)))
        return err_set(e, EINVAL,
                       "--tunnel: want letters, digits, \".\", \"_\", \"-\", got \"%.64s\"",
                       i->tunnel);
    if (hostname_read_bare(&h, i->domain, strlen(i->domain), e) < 0)
        return err_wrap(e, "--domain: want a name, like tunnel.example");
    if (quick_target_read(&i->server, i->target, e) < 0)
        return -1;
    if (*i->server.name || strpbrk(i->server.place, "\"\\"))
        return err_set(e, EINVAL, "want one HOST:PORT or file:FOLDER, got \"%.64s\"", i->target);
    return 0;
}

int init_run(int argc, char **argv)
{
    struct err e = {0};
    struct init i = {.folder = ".",
                     .to = "portal.example:8443",
                     .entry = ":8000",
                     .domain = "tunnel.example",
                     .target = "127.0.0.1:80"};
    key_id_new(i.id);
    key_id_new(i.fresh);
    i.tunnel = i.fresh;
    bool good = flags_read(&i, argc, argv, &e) == 0 && flags_check(&i, &e) == 0;
    good = good && files_write(&i, &e) == 0;
    sodium_memzero(i.id, sizeof i.id);
    if (good)
        say_what_next(&i);
    else
        fprintf(stderr, "v2c init: %s\n", e.text);
    return good ? 0 : INIT_WRONG;
}
