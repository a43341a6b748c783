#include "conf/keyfile.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hostname.h"

static const char form[] = "want \"ID NAME [tunnel=ID,...] [host=NAME,...]\"";

void key_id_new(char id[KEY_ID + 1])
{
    uint8_t b[16];
    char *to = id;
    randombytes_buf(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    for (size_t i = 0; i < sizeof b; i++)
        to += snprintf(to, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    sodium_memzero(b, sizeof b);
}

/* --- what a line may hold --- */

bool key_is_id(const char *text)
{
    if (strlen(text) != KEY_ID)
        return false;
    for (size_t i = 0; i < KEY_ID; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    }
    return true;
}

static bool is_name(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-";
    size_t len = strlen(text);
    return len > 0 && len <= KEY_NAME_MAX && strspn(text, allowed) == len;
}

/* An id, "team-*", "*", each also with "$". */
static bool is_tunnel(const char *text, size_t len)
{
    char read[HOSTNAME_LABEL_MAX + 1];
    if (len && *text == '$')
        text++, len--;
    if (len && text[len - 1] == '*' && --len == 0)
        return true;
    return tunnel_text_read(read, text, len);
}

static bool is_host(const char *text, size_t len)
{
    struct hostname_pattern p;
    struct err e;
    return (len == 1 && *text == '*') || hostname_read_pattern(&p, text, len, &e) == 0;
}

static bool is_list(const char *text, bool (*is)(const char *, size_t))
{
    for (size_t len;; text += len + 1) {
        len = strcspn(text, ",");
        if (!is(text, len))
            return false;
        if (!text[len])
            return true;
    }
}

static int user_check(const struct key_user *u, struct err *e)
{
    if (!is_name(u->name))
        return err_set(
            e, EINVAL,
            "want a name of up to %d letters, digits, \".\", \"_\", \"-\", \"@\", got \"%.64s\"",
            KEY_NAME_MAX, u->name);
    if (u->tunnels && !is_list(u->tunnels, is_tunnel))
        return err_set(
            e, EINVAL,
            "want tunnels of a-z, 0-9, \".\", \"_\", \"-\", like web, team-* or *, got \"%.64s\"",
            u->tunnels);
    if (u->hosts && !is_list(u->hosts, is_host))
        return err_set(e, EINVAL,
                       "want hostnames, like www.example.org, .example.org or *, got \"%.64s\"",
                       u->hosts);
    return 0;
}

/* --- reading --- */

static char *next_word(char **at)
{
    *at += strspn(*at, " \t\r");
    char *word = *at;
    *at += strcspn(*at, " \t\r");
    if (**at)
        *(*at)++ = '\0';
    return word;
}

/* Words that are not understood are not shown: one may be an id in a wrong place. */
static int line_read(struct key_user *u, char *line, struct err *e)
{
    *u = (struct key_user){.id = next_word(&line), .name = next_word(&line)};
    if (!key_is_id(u->id))
        return err_set(e, EINVAL, "the id is none; %s", form);
    for (char *word = next_word(&line); *word; word = next_word(&line)) {
        if (!u->tunnels && strncmp(word, "tunnel=", 7) == 0)
            u->tunnels = word + 7;
        else if (!u->hosts && strncmp(word, "host=", 5) == 0)
            u->hosts = word + 5;
        else
            return err_set(e, EINVAL, "a word behind the name is neither; %s", form);
    }
    return user_check(u, e);
}

static int user_append(struct keyfile *k, const struct key_user *u, struct err *e)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->users[i].name, u->name) == 0 || strcasecmp(k->users[i].id, u->id) == 0)
            return err_set(e, EINVAL, "the name, or the id, of another line");
    struct key_user *users = realloc(k->users, (k->count + 1) * sizeof *users);
    if (!users)
        return err_set(e, ENOMEM, "out of memory");
    k->users = users;
    users[k->count++] = *u;
    return 0;
}

static int lines_read(struct keyfile *k, struct err *e)
{
    char *next = k->source->text;
    for (unsigned number = 1; next && *next; number++) {
        char *line = strsep(&next, "\n");
        struct key_user u;
        line += strspn(line, " \t\r");
        if (!*line || *line == '#')
            continue;
        if (line_read(&u, line, e) < 0 || user_append(k, &u, e) < 0)
            return err_wrap(e, "line %u", number);
    }
    return k->count ? 0 : err_set(e, EINVAL, "nobody is in it; %s", form);
}

void keyfile_free(struct keyfile *k)
{
    source_free(k->source);
    free(k->users);
    *k = (struct keyfile){0};
}

int keyfile_read(struct keyfile *k, const char *path, struct err *e)
{
    *k = (struct keyfile){.source = source_read(path, e)};
    if (!k->source)
        return -1;
    int result = 0;
    if (k->source->shared)
        result = err_set(e, EACCES, "others may read it, and it holds secrets: chmod 600");
    if (result < 0 || lines_read(k, e) < 0) {
        keyfile_free(k);
        return -1;
    }
    return 0;
}

int keyfile_of(struct keyfile *k, const char *id, struct err *e)
{
    const struct key_user u = {.id = id, .name = "bridge"};
    *k = (struct keyfile){0};
    return user_append(k, &u, e);
}

const struct key_user *keyfile_user(const struct keyfile *k, const char *name)
{
    for (size_t i = 0; i < k->count; i++)
        if (!name || strcmp(k->users[i].name, name) == 0)
            return &k->users[i];
    return NULL;
}

/* --- writing --- */

/* The last line has no end. */
static bool is_cut(int fd)
{
    char last = '\n';
    off_t len = lseek(fd, 0, SEEK_END);
    return len > 0 && pread(fd, &last, 1, len - 1) == 1 && last != '\n';
}

static int line_write(int fd, const char *id, const struct key_user *u, struct err *e)
{
    bool cut = is_cut(fd);
    FILE *file = fdopen(fd, "a");
    if (!file) {
        close(fd);
        return err_sys(e, "cannot write");
    }
    fprintf(file, "%s%s %s", cut ? "\n" : "", id, u->name);
    if (u->tunnels)
        fprintf(file, " tunnel=%s", u->tunnels);
    if (u->hosts)
        fprintf(file, " host=%s", u->hosts);
    fputc('\n', file);
    bool failed = ferror(file);
    if (fclose(file) < 0 || failed)
        return err_sys(e, "cannot write");
    return 0;
}

/* One that is there must be a good one, so that it is good afterwards. */
static int add_check(const char *path, const struct key_user *u, struct err *e)
{
    struct keyfile k;
    if (user_check(u, e) < 0)
        return -1;
    if (access(path, F_OK) < 0)
        return 0;
    if (keyfile_read(&k, path, e) < 0)
        return -1;
    bool taken = keyfile_user(&k, u->name) != NULL;
    keyfile_free(&k);
    return taken ? err_set(e, EEXIST, "\"%.64s\" is in it already", u->name) : 0;
}

int keyfile_add(const char *path, const struct key_user *u, struct err *e)
{
    char id[KEY_ID + 1];
    if (add_check(path, u, e) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return err_sys(e, "cannot open");
    key_id_new(id);
    int result = line_write(fd, id, u, e);
    sodium_memzero(id, sizeof id);
    return result;
}
