/* testing/names.h -- a rig with a name server of its own on loopback: a program that links this tells
 * c-ares of it in place of those of resolv.conf. Ownership: the test's. */
#ifndef V2C_TESTING_NAMES_H
#define V2C_TESTING_NAMES_H

#include "testing/rig.h"

struct names {
    struct rig rig;
    int fd; /* the server's socket */
};

void names_open(struct names *s);
void names_close(struct names *s);
/* Answers a question that has come; that for A with `count` addresses 127.0.0.1, 127.0.0.2, ..., others
 * with none. Does not wait. */
void names_answer(struct names *s, size_t count);

#endif
