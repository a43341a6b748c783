/* conf/geo_conf.h -- lists of domains and networks that stand in files: geosite:cn, geoip:!cn, ext:FILE:LIST.
 * A file is looked for in the folder that V2RAY_LOCATION_ASSET (v2ray.location.asset) or XRAY_LOCATION_ASSET
 * names, else in that of the program, and then where packages put such files.
 * Thread: one. Ownership: each file is opened, and each list read, once for a load; geo_cache_free() closes
 * the files and gives up its share of the lists, which live on in the sets that include them. */
#ifndef V2C_CONF_GEO_CONF_H
#define V2C_CONF_GEO_CONF_H

#include "conf/compile.h"

/* False: the text names no list. True: it does, and its list is in the set now, or what is wrong is
 * reported. */
bool geo_domains_add(struct build *b, const struct text_item *item, struct domain_set *set);
bool geo_ips_add(struct build *b, const struct text_item *item, struct cidr_set *set);
void geo_cache_free(struct geo_cache *c); /* NULL: nothing */

#endif
