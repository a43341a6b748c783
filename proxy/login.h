/* proxy/login.h -- the SOCKS and HTTP servers of an outbound, and who we are there.
 * Thread: immutable once built. Ownership: the configuration's, which wipes it: these are passwords. */
#ifndef V2C_PROXY_LOGIN_H
#define V2C_PROXY_LOGIN_H

#include <stddef.h>

#include "core/addr.h"

struct login { /* of at most ACCOUNT_TEXT_MAX bytes each */
    const char *name, *pass;
};

struct login_server {
    struct addr addr;
    struct login *logins;
    size_t login_count; /* 0: it asks for none */
};

struct login_servers {
    struct login_server *items;
    size_t count; /* at least 1 */
};

/* The next server in turn, and one of its logins; *login is NULL when it has none. */
const struct login_server *login_pick(const struct login_servers *servers, size_t *next,
                                      const struct login **login);

#endif
