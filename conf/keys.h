/* conf/keys.h -- every key that v2c implements, from the tables: for the manual's check. */
#ifndef V2C_CONF_KEYS_H
#define V2C_CONF_KEYS_H

#include <stdio.h>

/* One line a key: "object key type default". A key without a default has "-". Objects are named by
 * where they stand: "inbounds[].settings(vmess).clients[]". The top level is "-". */
void conf_keys_print(FILE *out);

#endif
