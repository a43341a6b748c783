/* proxy/socks.h -- SOCKS 4, 4a and 5 as codecs, and what the configuration says of them.
 * A server answers its client when the target was reached, or says why it was not.
 * Thread: the loop of its connection. Ownership: configurations are the caller's and outlive what is made of them. */
#ifndef V2C_PROXY_SOCKS_H
#define V2C_PROXY_SOCKS_H

#include "core/addr.h"
#include "proxy/account.h"
#include "proxy/codec.h"
#include "proxy/login.h"

struct socks_in_conf {
    bool password; /* who connects must have an account */
    struct accounts accounts;
    bool udp;
    struct addr ip; /* told to who wants UDP; ADDR_NONE: the address to which he connected */
};

struct socks_out_conf {
    struct login_servers servers;
};

/* The server side; *conf may change while somebody greets. NULL: out of memory. */
struct codec *socks_accept_new(const struct socks_in_conf *const *conf);
/* Its client asked for datagrams: the flow is to be their control. What is put into it passes unchanged. */
bool socks_associates(const struct codec *c);

/* The client side. With `associate` what comes first is the server's address for datagrams (addr_write_wire), and what
 * follows means nothing. login may be NULL. NULL: out of memory. */
struct codec *socks_request_new(const struct login *login, const struct addr *target,
                                bool associate);

#endif
