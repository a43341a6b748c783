/* proxy/socks_datagrams.h -- a flow of datagrams through a SOCKS server: a connection on which the server is asked for
 * an address, and datagrams to that address, each with its target in front.
 * Below the flow lie two others, the connection's and the datagrams'; they end with it, and it with the connection's.
 * Thread: its loop. Ownership: frees itself when its flow ends. */
#ifndef V2C_PROXY_SOCKS_DATAGRAMS_H
#define V2C_PROXY_SOCKS_DATAGRAMS_H

#include "proxy/request.h"

/* Takes the flow's second end. Takes codec, a client that associates. */
void socks_datagrams_open(struct outbound *out, struct flow *f, const struct request_to *server,
                          struct codec *codec);

#endif
