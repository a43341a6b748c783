/* transport/ask.h -- one question to a server and all of its answer, blocking: for commands, not for loops.
 * Thread: any. Units: seconds, bytes. */
#ifndef V2C_TRANSPORT_ASK_H
#define V2C_TRANSPORT_ASK_H

#include <stddef.h>

#include "core/addr.h"
#include "core/err.h"

enum { ASK_MAX = 4 * 1024 * 1024 };

/* Connects to an IP or a unix socket, sends the question and reads until the server ends. The answer has a NUL
 * behind it and is the caller's to free(). -1 and e: no answer within this time, or one longer than ASK_MAX. */
int ask(const struct addr *to, const char *question, size_t len, double seconds, char **answer,
        size_t *answer_len, struct err *e);

#endif
