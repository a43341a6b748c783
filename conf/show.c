#include "conf/show.h"

#include <stdbool.h>
#include <string.h>

#include "conf/table.h"

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    return text ? text : "";
}

static double number_of(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

static void add_text(struct table *t, const json_t *o, const char *name)
{
    const char *text = text_of(o, name);
    table_add(t, *text ? text : "-");
}

static void add_number(struct table *t, const json_t *o, const char *name)
{
    table_add_number(t, (int64_t)number_of(o, name));
}

static void add_size(struct table *t, const json_t *o, const char *name)
{
    if (json_object_get(o, name))
        table_add_size(t, (int64_t)number_of(o, name));
    else
        table_add(t, "-");
}

static void add_truth(struct table *t, const json_t *o, const char *name)
{
    table_add(t, json_is_true(json_object_get(o, name)) ? "yes" : "no");
}

static void finish(struct table *t, FILE *out)
{
    if (t->count) {
        fputc('\n', out);
        table_print(t, out);
    }
    table_fini(t);
}

/* --- status --- */

static const json_t *traffic_of(const json_t *answer, const char *kind, const char *tag)
{
    const json_t *rows = json_object_get(answer, "traffic"), *row;
    for (size_t i = 0; (row = json_array_get(rows, i)); i++)
        if (strcmp(text_of(row, "kind"), kind) == 0 && strcmp(text_of(row, "tag"), tag) == 0)
            return row;
    return NULL;
}

static void show_ends(const json_t *answer, const char *list, const char *kind, FILE *out)
{
    static const char *const bridges[] = {"BRIDGE", "STATE",  "-CARRIERS", "-UP",
                                          "-DOWN",  "DOMAIN", NULL};
    static const char *const portals[] = {"PORTAL", "STATE", "-CARRIERS", "-VISITORS",
                                          "-UP",    "-DOWN", "DOMAIN",    NULL};
    bool portal = strcmp(kind, "portal") == 0;
    struct table t;
    table_init(&t, portal ? portals : bridges);
    const json_t *items = json_object_get(answer, list), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        const json_t *traffic = traffic_of(answer, kind, text_of(o, "tag"));
        add_text(&t, o, "tag");
        table_add(&t, number_of(o, "carriers") > 0 ? "connected" : "no carrier");
        add_number(&t, o, "carriers");
        if (portal)
            add_number(&t, o, "visitors");
        add_size(&t, traffic, "up");
        add_size(&t, traffic, "down");
        add_text(&t, o, "domain");
    }
    finish(&t, out);
}

static void add_rtt(struct table *t, const json_t *o)
{
    char text[32] = "-";
    if (json_is_number(json_object_get(o, "rtt")))
        snprintf(text, sizeof text, "%.1f ms", number_of(o, "rtt") * 1000);
    table_add(t, text);
}

static void show_carriers(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"CARRIER", "OF",    "STATE",    "PEER", "USER",
                                        "TUNNEL",  "NODE",  "-STREAMS", "-RTT", "-AGE",
                                        "-UP",     "-DOWN", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(answer, "carriers"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        add_text(&t, o, "id");
        add_text(&t, o, "tag");
        add_text(&t, o, "state");
        add_text(&t, o, "peer");
        add_text(&t, o, "user");
        add_text(&t, o, "tunnel");
        add_text(&t, o, "node");
        add_number(&t, o, "streams");
        add_rtt(&t, o);
        table_add_duration(&t, number_of(o, "age"));
        add_size(&t, o, "up");
        add_size(&t, o, "down");
    }
    finish(&t, out);
}

static void show_hosts(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"HOST", "OF", "BY", "STATE", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(answer, "hosts"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        add_text(&t, o, "host");
        add_text(&t, o, "bridge");
        add_text(&t, o, "outbound");
        add_text(&t, o, "state");
    }
    finish(&t, out);
}

static void add_servers(struct table *t, const json_t *tunnel, const char *name)
{
    const json_t *servers = json_object_get(tunnel, "servers"), *o;
    char names[200] = "";
    for (size_t i = 0; (o = json_array_get(servers, i)); i++) {
        size_t len = strlen(names);
        if (*text_of(o, name))
            snprintf(names + len, sizeof names - len, "%s%s", len ? "," : "", text_of(o, name));
    }
    table_add(t, *names ? names : "-");
}

static void show_tunnels(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"TUNNEL",   "OF",        "TENANT",   "NODES",
                                        "CLUSTERS", "-CARRIERS", "-STREAMS", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(answer, "tunnels"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        add_text(&t, o, "tunnel");
        add_text(&t, o, "portal");
        add_text(&t, o, "tenant");
        add_servers(&t, o, "node");
        add_servers(&t, o, "cluster");
        add_number(&t, o, "carriers");
        add_number(&t, o, "streams");
    }
    finish(&t, out);
    double more = number_of(answer, "tunnelCount") - (double)json_array_size(items);
    if (more > 0)
        fprintf(out, "... and %.0f more\n", more);
}

static void show_self(const json_t *cluster, FILE *out)
{
    static const char *const heads[] = {"CLUSTER", "NODE", "ZONE", "STATE", NULL};
    struct table t;
    table_init(&t, heads);
    add_text(&t, cluster, "name");
    add_text(&t, cluster, "node");
    add_text(&t, cluster, "zone");
    add_text(&t, cluster, "state");
    finish(&t, out);
}

static void show_nodes(const json_t *cluster, FILE *out)
{
    static const char *const heads[] = {"PORTAL NODE", "STATE",  "ZONE", "ADDRESS", "LINKED",
                                        "LEASED",      "-LINKS", "-RTT", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(cluster, "nodes"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        add_text(&t, o, "node");
        add_text(&t, o, "state");
        add_text(&t, o, "zone");
        add_text(&t, o, "address");
        add_truth(&t, o, "linked");
        add_truth(&t, o, "leased");
        add_number(&t, o, "links");
        add_rtt(&t, o);
    }
    finish(&t, out);
}

/* Only where nobody answers: else its node stands above. */
static void show_unreached(const json_t *cluster, FILE *out)
{
    static const char *const heads[] = {"NO LINK TO", "-FAILURES", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(cluster, "peers"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        if (json_is_true(json_object_get(o, "up")) || number_of(o, "failures") == 0)
            continue;
        add_text(&t, o, "address");
        add_number(&t, o, "failures");
    }
    finish(&t, out);
}

static void add_lag(struct table *t, const json_t *o)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f ms", number_of(o, "lag") * 1000);
    table_add(t, json_is_true(json_object_get(o, "up")) ? text : "-");
}

/* A connection of each worker; the entries are of all. */
static void show_registry(const json_t *cluster, FILE *out)
{
    static const char *const heads[] = {"REGISTRY", "STATE",      "-LAG",    "-TUNNELS",
                                        "-HOSTS",   "-UNWRITTEN", "TROUBLE", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *registry = json_object_get(cluster, "registry"), *o;
    const json_t *items = json_object_get(registry, "connections");
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        add_text(&t, o, "server");
        table_add(&t, json_is_true(json_object_get(o, "up")) ? "up" : "away");
        add_lag(&t, o);
        add_number(&t, registry, "tunnels");
        add_number(&t, registry, "hosts");
        add_number(&t, registry, "unwritten");
        add_text(&t, o, "trouble");
    }
    finish(&t, out);
}

static void show_cluster(const json_t *answer, FILE *out)
{
    const json_t *cluster = json_object_get(answer, "cluster");
    if (!cluster)
        return;
    show_self(cluster, out);
    show_nodes(cluster, out);
    show_unreached(cluster, out);
    show_registry(cluster, out);
}

/* Bridges and portals have theirs above. */
static void show_traffic(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"TRAFFIC", "KIND", "-UP", "-DOWN", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(answer, "traffic"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        const char *kind = text_of(o, "kind");
        if (strcmp(kind, "inbound") != 0 && strcmp(kind, "outbound") != 0)
            continue;
        add_text(&t, o, "tag");
        table_add(&t, kind);
        add_size(&t, o, "up");
        add_size(&t, o, "down");
    }
    finish(&t, out);
}

static void show_first(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"V2C", "UP FOR", "-WORKERS", "-FLOWS", NULL};
    struct table t;
    table_init(&t, heads);
    add_text(&t, answer, "version");
    table_add_duration(&t, number_of(answer, "uptime"));
    add_number(&t, answer, "workers");
    add_number(&t, answer, "flows");
    table_print(&t, out);
    table_fini(&t);
}

void show_status(const json_t *answer, FILE *out)
{
    show_first(answer, out);
    show_ends(answer, "bridges", "bridge", out);
    show_ends(answer, "portals", "portal", out);
    show_cluster(answer, out);
    show_hosts(answer, out);
    show_tunnels(answer, out);
    show_carriers(answer, out);
    show_traffic(answer, out);
}

/* --- the others --- */

void show_stats(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"-VALUE", "NAME", NULL};
    struct table t;
    table_init(&t, heads);
    const json_t *items = json_object_get(answer, "stat"), *o;
    for (size_t i = 0; (o = json_array_get(items, i)); i++) {
        table_add_number(&t, json_integer_value(json_object_get(o, "value")));
        add_text(&t, o, "name");
    }
    table_print(&t, out);
    table_fini(&t);
}

void show_flows(const json_t *answer, FILE *out)
{
    static const char *const heads[] = {"FLOW", "FROM", "TO",  "INBOUND", "OUTBOUND",
                                        "USER", "-AGE", "-UP", "-DOWN",   NULL};
    const json_t *flows = json_object_get(answer, "flows");
    struct table t;
    table_init(&t, heads);
    const json_t *o;
    for (size_t i = 0; (o = json_array_get(flows, i)); i++) {
        char to[300];
        snprintf(to, sizeof to, "%s:%s", text_of(o, "network"), text_of(o, "target"));
        add_text(&t, o, "id");
        add_text(&t, o, "source");
        table_add(&t, to);
        add_text(&t, o, "inbound");
        add_text(&t, o, "outbound");
        add_text(&t, o, "user");
        table_add_duration(&t, number_of(o, "age"));
        add_size(&t, o, "up");
        add_size(&t, o, "down");
    }
    table_print(&t, out);
    table_fini(&t);
    if (number_of(answer, "total") > (double)json_array_size(flows))
        fprintf(out, "... and %.0f more\n",
                number_of(answer, "total") - (double)json_array_size(flows));
}

void show_words(const json_t *answer, FILE *out)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)answer, name, value)
        fprintf(out, "%s: %s\n", name, json_string_value(value) ? json_string_value(value) : "");
}
