/* conf/value.h -- values that V2Ray lets users write in several forms: hosts, ports, lists, words.
 * Thread: one. Ownership: lists live in the arena, texts in their nodes.
 * A value that is not valid is reported and answered with false. */
#ifndef V2C_CONF_VALUE_H
#define V2C_CONF_VALUE_H

#include "conf/arena.h"
#include "conf/field.h"
#include "core/addr.h"
#include "routing/ports.h"

struct node_list {
    const struct node **items;
    size_t count, room;
};

struct text_item {
    const char *text;
    const struct node *at;
};

struct text_list {
    struct text_item *items;
    size_t count;
};

/* An IP or a name; the port stays. */
bool value_host(struct report *r, const struct node *at, struct addr *host);
/* A whole number of a range; at NULL leaves it as it is. */
bool value_integer(struct report *r, const struct node *at, int64_t min, int64_t max, int64_t *to);
/* A port as a number, 1..65535. */
bool value_port(struct report *r, const struct node *at, uint16_t *port);
/* 1080, "1080", "1080-1090" or "env:NAME", all from 1 to 65535. */
bool value_port_range(struct report *r, const struct node *at, struct port_range *range);
/* The text, or what the environment has under NAME where it is "env:NAME". NULL: nothing, which is reported. */
const char *value_env(struct report *r, const struct node *at, const char *text);
/* "10s", "1m30s", "50ms", as Go writes it. */
bool value_duration(const char *text, double *seconds);
/* A duration, or whole seconds; at NULL leaves it as it is. */
bool value_seconds(struct report *r, const struct node *at, double min, double max, double *to);
/* V2Ray's string list: an array of texts, or one text with commas, which is trimmed here. NULL: none. */
bool value_texts(struct report *r, struct arena *a, const struct node *at, struct text_list *list);
/* A list of "tcp" and "udp" as a mask of enum net. Another word is only warned about, as in V2Ray it
 * means nothing: so the mask may be 0. */
bool value_networks(struct report *r, struct arena *a, const struct node *at, unsigned *mask);
/* The word's value; NAME_LATER and NAME_DEFAULT (unknown) are reported:
 * "v2c has no WORD LATER yet", "UNKNOWN: WORD". */
int value_name(struct report *r, const struct node *at, const struct field_name *names,
               const char *unknown, const char *later);
/* No byte of it is DEL or less than `from`: so nothing in it ends a line, and with '!' no word either. */
bool value_is_line(const char *text, char from);
/* Adds the objects of an array; what is no object is reported. NULL: none. */
void value_objects(struct report *r, struct arena *a, const struct node *at,
                   struct node_list *list);
bool node_list_add(struct node_list *list, struct arena *a, const struct node *n);

#endif
