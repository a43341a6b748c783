#include "conf/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *arg_value(char **argv, int *i, const char *name)
{
    const char *arg = argv[*i];
    size_t len = strlen(name);
    if (*arg++ != '-')
        return NULL;
    arg += *arg == '-';
    if (strncmp(arg, name, len) != 0)
        return NULL;
    if (arg[len] == '=')
        return arg + len + 1;
    return arg[len] == '\0' && argv[*i + 1] ? argv[++*i] : NULL;
}

bool arg_is(const char *arg, const char *name)
{
    return arg[0] == '-' &&
           (strcmp(arg + 1, name) == 0 || (arg[1] == '-' && strcmp(arg + 2, name) == 0));
}

void arg_refuse(char **argv, int i)
{
    bool flag = argv[i][0] == '-';
    fprintf(stderr, "v2c: cannot use \"%s\" here%s; see \"v2c help\"\n", argv[i],
            !flag          ? ": a file of configuration stands behind -c"
            : !argv[i + 1] ? ": it is no flag of this command, or wants a value"
                           : "");
}

void source_args_init(struct source_args *a)
{
    *a = (struct source_args){.source = {.files = a->files}};
}

static bool add_file(struct source_args *a, const char *path)
{
    if (a->source.file_count == SOURCE_FILES_MAX)
        return false;
    a->files[a->source.file_count++] = path;
    return true;
}

bool source_args_take(struct source_args *a, char **argv, int *i)
{
    const char *value;
    if ((value = arg_value(argv, i, "c")) || (value = arg_value(argv, i, "config")))
        return add_file(a, value);
    if (!(value = arg_value(argv, i, "confdir")))
        return false;
    a->source.dir = value;
    return true;
}

static bool readable(const char *path)
{
    return access(path, R_OK) == 0;
}

void source_args_default(struct source_args *a)
{
    const char *dir = getenv("V2RAY_LOCATION_CONFIG");
    const char *confdir = getenv("V2RAY_LOCATION_CONFDIR");
    if (!a->source.dir && confdir && readable(confdir))
        a->source.dir = confdir;
    if (a->source.file_count || a->source.dir)
        return;
    snprintf(a->usual, sizeof a->usual, "%s/config.json", dir ? dir : ".");
    if (readable("config.json")) {
        add_file(a, "config.json");
    } else if (dir && readable(a->usual)) {
        add_file(a, a->usual);
    } else {
        fprintf(stderr, "v2c: reading the configuration from standard input\n");
        add_file(a, "stdin:");
    }
}
