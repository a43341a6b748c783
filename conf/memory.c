#include "conf/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MIB = 1024 * 1024 };

static const size_t UNLIMITED = SIZE_MAX / 4; /* version 1 writes "none" as a huge number */

/* "max" and what is no file are no limit. */
static size_t limit_read(const char *path)
{
    uintmax_t value = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%20ju", &value) != 1)
        value = 0;
    fclose(f);
    return value < UNLIMITED ? (size_t)value : 0;
}

static size_t lower(size_t a, size_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* Of the group and all above it: each limits the sum of those below. */
static size_t limit_upwards(const char *root, char *group, const char *file)
{
    char path[PATH_MAX];
    size_t limit = 0;
    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash && !slash[1])
            *slash = '\0';
        if (snprintf(path, sizeof path, "%s%s/%s", root, group, file) < (int)sizeof path)
            limit = lower(limit, limit_read(path));
        slash = strrchr(group, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
}

/* A line is "0::/group" in version 2, "7:cpu,memory:/group" in version 1. */
static size_t limit_of_line(const char *root, char *line)
{
    char below[PATH_MAX];
    char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;
    if (!group)
        return 0;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (strcmp(kinds, ":") == 0)
        return limit_upwards(root, group, "memory.max");
    if (!strstr(kinds, "memory") || snprintf(below, sizeof below, "%s/memory", root) >= PATH_MAX)
        return 0;
    return limit_upwards(below, group, "memory.limit_in_bytes");
}

size_t memory_limit(const char *own, const char *root)
{
    char line[PATH_MAX];
    size_t limit = 0;
    FILE *f = fopen(own, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        limit = lower(limit, limit_of_line(root, line));
    fclose(f);
    return limit;
}

size_t memory_default(void)
{
    size_t limit = memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit > 0 ? limit / 4 : (size_t)256 * MIB;
}
