/* conf/idn.h -- hosts as people write them: "bücher.example" becomes xn--bcher-kva.example (IDNA2008, UTS 46), which is
 * logged; then core/hostname.h reads it. On the wire there are only such A-labels.
 * Thread: any. Errors: texts hold no foreign bytes. */
#ifndef V2C_CONF_IDN_H
#define V2C_CONF_IDN_H

#include "core/hostname.h"

/* A host, ".name" or "*.name". -1 and e. */
int host_pattern_read(struct hostname_pattern *p, const char *text, size_t len, struct err *e);

#endif
