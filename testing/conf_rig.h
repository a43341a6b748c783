/* testing/conf_rig.h -- runs the config loader on text or files and keeps what it said.
 * Ownership: run_free(). Needs cmocka's header before it. */
#ifndef V2C_TESTING_CONF_RIG_H
#define V2C_TESTING_CONF_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/config.h"

struct run {
    struct config *config;
    char *said;
    size_t len;
};

static inline struct run run_source(const struct config_source *src)
{
    struct run r = {0};
    FILE *out = open_memstream(&r.said, &r.len);
    assert_non_null(out);
    r.config = config_load(src, NULL, out);
    fclose(out);
    return r;
}

static inline struct run run_file(const char *path)
{
    return run_source(&(struct config_source){.files = &path, .file_count = 1});
}

/* The text becomes a file without a name on disk; its messages begin with that path. */
static inline struct run run_bytes_with(const char *text, size_t len, struct config_source how)
{
    char path[64];
    const char *name = path;
    int fd = memfd_create("config", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    assert_int_equal(fchmod(fd, 0600), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    how.files = &name;
    how.file_count = 1;
    struct run r = run_source(&how);
    close(fd);
    return r;
}

static inline struct run run_bytes(const char *text, size_t len, bool strict)
{
    return run_bytes_with(text, len, (struct config_source){.strict = strict});
}

static inline struct run run_text(const char *text)
{
    return run_bytes(text, strlen(text), false);
}

static inline void run_free(struct run *r)
{
    config_free(r->config);
    free(r->said);
}

static inline unsigned run_count(const struct run *r, const char *what)
{
    unsigned count = 0;
    for (const char *p = r->said; (p = strstr(p, what)); p += strlen(what))
        count++;
    return count;
}

/* Loads, and says so if not. */
static inline struct config *run_good(struct run *r, const char *text)
{
    *r = run_text(text);
    if (!r->config)
        print_error("%s", r->said);
    assert_non_null(r->config);
    return r->config;
}

/* Is refused, and one message has this text. */
static inline void assert_refused(const char *text, const char *message)
{
    struct run r = run_text(text);
    if (r.config || !strstr(r.said, message))
        print_error("want: %s\ngot: %s", message, r.said);
    assert_null(r.config);
    assert_non_null(strstr(r.said, message));
    run_free(&r);
}

/* Loads, and one warning has this text. */
static inline void assert_warned(const char *text, const char *message)
{
    struct run r;
    run_good(&r, text);
    if (!strstr(r.said, message))
        print_error("want: %s\ngot: %s", message, r.said);
    assert_non_null(strstr(r.said, message));
    run_free(&r);
}

#endif
