/* conf/init.h -- "v2c init": a portal's and a bridge's configuration that fit each other, with fresh ids and a comment on
 * each line, to begin with.
 * Thread: one. Never writes over a file; nobody but the owner may read what it writes. */
#ifndef V2C_CONF_INIT_H
#define V2C_CONF_INIT_H

/* argv: what follows the command's name. 0, or 2 when it was wrong, which it has said. */
int init_run(int argc, char **argv);

#endif
