#include "conf/args.h"

#include <string.h>

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
