/* conf/remote.h -- commands that ask a v2c that runs, through its api: status, stats, flows, end, user, log.
 * Thread: the command's. Where the api is, and its token, the configuration says, or the flags. */
#ifndef V2C_CONF_REMOTE_H
#define V2C_CONF_REMOTE_H

enum {
    REMOTE_REFUSED = 1, /* it did not answer, or not what was asked for */
    REMOTE_USAGE = 2,
    REMOTE_CONFIG = 23,
};

/* argv: what follows the command's name. Prints the answer, or to stderr why there is none; returns the exit code. */
int remote_run(const char *command, int argc, char **argv);

#endif
