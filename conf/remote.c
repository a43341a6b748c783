#include "conf/remote.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "conf/args.h"
#include "conf/show.h"
#include "proxy/page.h"
#include "transport/ask.h"

static const double PATIENCE = 10; /* seconds: a reload may be under way */

struct remote {
    struct source_args source;
    const char *server, *token_file;
    const char *pattern, *inbound, *email, *id, *level;
    const char *word; /* the first that is no flag */
    bool json, reset, end;
    struct addr at;
    char token[600];
};

/* --- the command line --- */

static bool take_value(struct remote *r, char **argv, int *i)
{
    const struct {
        const char *name, **to;
    } values[] = {{"server", &r->server},   {"token-file", &r->token_file},
                  {"pattern", &r->pattern}, {"inbound", &r->inbound},
                  {"email", &r->email},     {"id", &r->id},
                  {"level", &r->level}};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        const char *value = arg_value(argv, i, values[v].name);
        if (!value)
            continue;
        *values[v].to = value;
        return true;
    }
    return false;
}

static bool take_switch(struct remote *r, const char *arg)
{
    const struct {
        const char *name;
        bool *to;
    } switches[] = {{"json", &r->json}, {"reset", &r->reset}, {"end", &r->end}};
    for (size_t s = 0; s < sizeof switches / sizeof *switches; s++)
        if (arg_is(arg, switches[s].name))
            return *switches[s].to = true;
    return false;
}

static bool take(struct remote *r, char **argv, int *i)
{
    if (source_args_take(&r->source, argv, i) || take_value(r, argv, i) || take_switch(r, argv[*i]))
        return true;
    if (argv[*i][0] == '-' || r->word)
        return false;
    r->word = argv[*i];
    return true;
}

static int wrong(const char *what)
{
    fprintf(stderr, "v2c: %s; see \"v2c help\"\n", what);
    return REMOTE_USAGE;
}

/* --- where it is --- */

static bool read_server(struct addr *a, const char *text)
{
    struct err e;
    if (strncmp(text, "unix:", 5) == 0)
        text += 5;
    if (*text == '/' || *text == '@')
        return addr_parse_unix(a, text, &e) == 0;
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || *end || port < 1 || port > UINT16_MAX ||
        addr_parse_host(a, text, (size_t)(colon - text), &e) < 0)
        return false;
    if (a->type == ADDR_NAME && strcmp(a->name, "localhost") == 0)
        *a = (struct addr){.type = ADDR_IPV4, .ip = {127, 0, 0, 1}};
    a->port = (uint16_t)port;
    return addr_is_ip(a);
}

static bool read_token(struct remote *r)
{
    struct err e;
    struct source *s = source_read(r->token_file, &e);
    if (!s) {
        fprintf(stderr, "v2c: %s: %s\n", r->token_file, e.text);
        return false;
    }
    snprintf(r->token, sizeof r->token, "%.*s", (int)strcspn(s->text, "\r\n"), s->text);
    source_free(s);
    return true;
}

static const struct inbound_conf *inbound_of(const struct config *c, const char *tag)
{
    for (size_t i = 0; i < c->inbound_count; i++)
        if (strcmp(c->inbounds[i].tag, tag) == 0)
            return &c->inbounds[i];
    return NULL;
}

/* Its own socket, or V2Ray's way: an inbound that a rule sends to it. */
static const struct inbound_conf *api_door(const struct config *c)
{
    const struct inbound_conf *door = inbound_of(c, api_listen_tag);
    for (size_t i = 0; !door && i < c->rules.count; i++) {
        const struct rule *r = &c->rules.items[i];
        if (!r->balancer && c->outbounds[r->outbound].kind == OUT_API && r->inbound_tags.count)
            door = inbound_of(c, r->inbound_tags.items[0]);
    }
    return door;
}

static bool use_config(struct remote *r, const struct config *c)
{
    const struct inbound_conf *door = c->api ? api_door(c) : NULL;
    if (!door) {
        fprintf(stderr, "v2c: this configuration has no api that can be reached: give it "
                        "\"api\": {\"tag\": \"api\", \"listen\": \"127.0.0.1:10085\"}\n");
        return false;
    }
    r->at = door->listen;
    if (r->at.type == ADDR_NONE)
        r->at = (struct addr){.type = ADDR_IPV4, .ip = {127, 0, 0, 1}};
    r->at.port = door->ports.from;
    if (!*r->token)
        snprintf(r->token, sizeof r->token, "%s", c->api->token);
    return true;
}

/* Warnings are for "v2c test"; mistakes are told. */
static bool find_by_config(struct remote *r)
{
    char *said = NULL;
    size_t len;
    FILE *report = open_memstream(&said, &len);
    if (!report)
        return false;
    source_args_default(&r->source);
    struct config *c = config_load(&r->source.source, NULL, report);
    fclose(report);
    bool found = c && use_config(r, c);
    if (!c && said)
        fputs(said, stderr);
    free(said);
    config_free(c);
    return found;
}

/* 0, or the exit code. */
static int find_server(struct remote *r)
{
    if (r->token_file && !read_token(r))
        return REMOTE_CONFIG;
    if (!r->server)
        return find_by_config(r) ? 0 : REMOTE_CONFIG;
    if (!read_server(&r->at, r->server))
        return wrong("want -server 127.0.0.1:PORT, or the path of a unix socket");
    return 0;
}

/* --- asking --- */

static void write_request(struct page *p, const struct remote *r, const char *method,
                          const struct page *path, const char *body)
{
    page_format(p, "%s ", method);
    page_bytes(p, path->text, path->len);
    page_text(p, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if (*r->token) {
        page_text(p, "Authorization: Bearer ");
        page_text(p, r->token);
        page_text(p, "\r\n");
    }
    if (body)
        page_format(p, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    page_text(p, "\r\n");
    if (body)
        page_text(p, body);
}

/* Of an HTTP answer: its status, and its body. 0: it is none. */
static int read_answer(const char *answer, const char **body)
{
    const char *end = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.", 7) != 0 || strlen(answer) < 12 || !end)
        return 0;
    *body = end + 4;
    return (int)strtol(answer + 9, NULL, 10);
}

static json_t *understand(const char *answer, const struct remote *r)
{
    const char *body = NULL;
    int status = read_answer(answer, &body);
    json_t *json = status ? json_loads(body, 0, NULL) : NULL;
    if (status == 200 && json) {
        if (r->json)
            fputs(body, stdout);
        return json;
    }
    const char *why = json_string_value(json_object_get(json, "error"));
    fprintf(stderr, "v2c: %s%s%s\n", why ? "refused: " : "",
            why ? why : "what answers there is no v2c with this api",
            status == 401 ? ": give -token-file FILE, or -c FILE with that configuration" : "");
    json_decref(json);
    return NULL;
}

/* NULL: said why. */
static json_t *remote_ask(const struct remote *r, const char *method, const struct page *path,
                          const char *body)
{
    struct page request = {0};
    struct err e;
    char *answer = NULL;
    size_t len;
    json_t *json = NULL;
    write_request(&request, r, method, path, body);
    if (ask(&r->at, request.text, request.len, PATIENCE, &answer, &len, &e) == 0)
        json = understand(answer, r);
    else
        fprintf(stderr, "v2c: no answer: %s; does v2c run, with this configuration?\n", e.text);
    if (request.text)
        sodium_memzero(request.text, request.len);
    page_free(&request);
    free(answer);
    return json;
}

static void path_bytes(struct page *p, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            strchr("-._~@", c))
            page_bytes(p, text, 1);
        else
            page_format(p, "%%%02X", c);
    }
}

/* Finds the api, asks it, and shows the answer. Frees the path and the body. */
static int remote_do(struct remote *r, const char *method, struct page *path, char *body,
                     void (*show)(const json_t *answer, FILE *out))
{
    int missing = find_server(r);
    json_t *answer = missing ? NULL : remote_ask(r, method, path, body);
    page_free(path);
    if (body)
        sodium_memzero(body, strlen(body));
    free(body);
    if (!answer)
        return missing ? missing : REMOTE_REFUSED;
    if (!r->json)
        show(answer, stdout);
    json_decref(answer);
    return 0;
}

/* --- the commands --- */

static int remote_status(struct remote *r)
{
    struct page path = {0};
    page_text(&path, "/v1/status");
    return remote_do(r, "GET", &path, NULL, show_status);
}

static char *body_of(json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static int remote_stats(struct remote *r)
{
    struct page path = {0};
    const char *pattern = r->pattern ? r->pattern : "";
    page_text(&path, r->reset ? "/v1/stats/reset" : "/v1/stats?pattern=");
    if (r->reset)
        return remote_do(r, "POST", &path, body_of(json_pack("{ss}", "pattern", pattern)),
                         show_stats);
    path_bytes(&path, pattern);
    return remote_do(r, "GET", &path, NULL, show_stats);
}

static int remote_flows(struct remote *r)
{
    struct page path = {0};
    page_text(&path, "/v1/flows");
    return remote_do(r, "GET", &path, NULL, show_flows);
}

static int remote_end(struct remote *r)
{
    struct page path = {0};
    if (!r->word)
        return wrong(
            "want the id of a flow or carrier, as \"v2c flows\" and \"v2c status\" show it");
    page_text(&path, "/v1/flows/");
    path_bytes(&path, r->word);
    page_text(&path, "/end");
    return remote_do(r, "POST", &path, body_of(json_object()), show_words);
}

static int remote_user(struct remote *r)
{
    struct page path = {0};
    bool adds = r->word && strcmp(r->word, "add") == 0;
    if (!r->word || (!adds && strcmp(r->word, "remove") != 0))
        return wrong("want \"user add\" or \"user remove\"");
    if (!r->inbound || !r->email || (adds && !r->id))
        return wrong(adds ? "want -inbound, -email and -id, which \"v2c uuid\" makes"
                          : "want -inbound and -email");
    page_text(&path, "/v1/inbounds/");
    path_bytes(&path, r->inbound);
    page_text(&path, "/users");
    if (adds)
        return remote_do(
            r, "POST", &path,
            body_of(json_pack("{ss,ss,sI}", "id", r->id, "email", r->email, "level",
                              (json_int_t)strtoll(r->level ? r->level : "0", NULL, 10))),
            show_words);
    page_text(&path, "/");
    path_bytes(&path, r->email);
    page_text(&path, r->end ? "?end=true" : "");
    return remote_do(r, "DELETE", &path, NULL, show_words);
}

static int remote_log(struct remote *r)
{
    struct page path = {0};
    page_text(&path, "/v1/log");
    if (!r->word)
        return remote_do(r, "GET", &path, NULL, show_words);
    return remote_do(r, "POST", &path, body_of(json_pack("{ss}", "level", r->word)), show_words);
}

static const struct {
    const char *name;
    int (*run)(struct remote *r);
    bool word; /* takes one */
} commands[] = {
    {"status", remote_status, false}, {"stats", remote_stats, false},
    {"flows", remote_flows, false},   {"end", remote_end, true},
    {"user", remote_user, true},      {"log", remote_log, true},
};

int remote_run(const char *command, int argc, char **argv)
{
    struct remote r = {0};
    size_t c = 0;
    while (strcmp(commands[c].name, command) != 0)
        c++;
    source_args_init(&r.source);
    for (int i = 0; i < argc; i++) {
        if (take(&r, argv, &i) && (commands[c].word || !r.word))
            continue;
        arg_refuse(argv, i);
        return REMOTE_USAGE;
    }
    int result = commands[c].run(&r);
    sodium_memzero(r.token, sizeof r.token);
    return result;
}
