/* conf/args.h -- flags of the command line as Go programs take them, because V2Ray's users write them so: one dash or
 * two, "-name value" or "-name=value".
 * Thread: one. Ownership: nothing; values are argv's. */
#ifndef V2C_CONF_ARGS_H
#define V2C_CONF_ARGS_H

#include <stdbool.h>

/* The value of this flag, if argv[*i] is it; *i then stands at its last word. NULL: another flag, or no value. */
const char *arg_value(char **argv, int *i, const char *name);
/* A flag without a value. */
bool arg_is(const char *arg, const char *name);

#endif
