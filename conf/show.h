/* conf/show.h -- answers of the api as tables, for people. What an answer lacks is left empty.
 * Thread: one. */
#ifndef V2C_CONF_SHOW_H
#define V2C_CONF_SHOW_H

#include <jansson.h>
#include <stdio.h>

void show_status(const json_t *answer, FILE *out);
void show_stats(const json_t *answer, FILE *out);
void show_flows(const json_t *answer, FILE *out);
/* {"NAME": "value"}: a line each. */
void show_words(const json_t *answer, FILE *out);

#endif
