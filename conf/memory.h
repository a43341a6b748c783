/* conf/memory.h -- how much memory the system leaves to this process.
 * Thread: any; reads files. Units: bytes. Errors: none; what cannot be read says nothing. */
#ifndef V2C_CONF_MEMORY_H
#define V2C_CONF_MEMORY_H

#include <stddef.h>

/* The lowest limit of the control group and its parents, versions 2 and 1; 0: there is none.
 * own: the file that names the groups, /proc/self/cgroup; root: where they stand, /sys/fs/cgroup. */
size_t memory_limit(const char *own, const char *root);

/* What bufs may take when the configuration says nothing: a quarter of the limit, or 256 MiB. */
size_t memory_default(void);

#endif
