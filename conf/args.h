/* conf/args.h -- flags of the command line as Go programs take them, because V2Ray's users write them so: one dash or
 * two, "-name value" or "-name=value".
 * Thread: one. Ownership: nothing; values are argv's. */
#ifndef V2C_CONF_ARGS_H
#define V2C_CONF_ARGS_H

#include <stdbool.h>

#include "conf/config.h"

/* The value of this flag, if argv[*i] is it; *i then stands at its last word. NULL: another flag, or no value. */
const char *arg_value(char **argv, int *i, const char *name);
/* A flag without a value. */
bool arg_is(const char *arg, const char *name);
/* Complains to standard error about a word that nobody took. */
void arg_refuse(char **argv, int i);

enum { SOURCE_FILES_MAX = 64 };

struct source_args { /* where the configuration is; must not be moved */
    const char *files[SOURCE_FILES_MAX];
    char usual[4096]; /* the path of the file that is read when none is named */
    struct config_source source;
};

void source_args_init(struct source_args *a);
/* "-c FILE", "-config FILE", "-confdir DIR". False: another word, or a file too many. */
bool source_args_take(struct source_args *a, char **argv, int *i);
/* Once all words are taken: what V2Ray reads when nobody names a file. */
void source_args_default(struct source_args *a);

#endif
