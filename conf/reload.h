/* conf/reload.h -- from the running configuration to what its files say now: all of it, or nothing.
 * Thread: the main thread, while the workers run. */
#ifndef V2C_CONF_RELOAD_H
#define V2C_CONF_RELOAD_H

struct process;

/* Logs what happened. */
void process_reload(struct process *p);

#endif
