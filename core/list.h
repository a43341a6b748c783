/* core/list.h -- doubly linked lists whose links lie in the things listed: a struct holds a list_item for
 * each list it may be in, and container_of() leads back to it.
 * Thread: that of the list. Ownership: none. Zeroed memory is an empty list, or an item in no list; a list
 * that holds something must not be moved. */
#ifndef V2C_CORE_LIST_H
#define V2C_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct list_item {
    struct list_item *prev, *next; /* NULL: in no list */
};

struct list {
    struct list_item head; /* a ring through it */
};

static inline void list_put_behind(struct list_item *at, struct list_item *i)
{
    i->prev = at;
    i->next = at->next;
    at->next->prev = i;
    at->next = i;
}

static inline void list_ready(struct list *l)
{
    if (!l->head.next)
        l->head.next = l->head.prev = &l->head;
}

/* In front of all others. */
static inline void list_push(struct list *l, struct list_item *i)
{
    list_ready(l);
    list_put_behind(&l->head, i);
}

/* Behind all others. */
static inline void list_append(struct list *l, struct list_item *i)
{
    list_ready(l);
    list_put_behind(l->head.prev, i);
}

static inline bool list_holds(const struct list_item *i)
{
    return i->next != NULL;
}

/* Does nothing to an item that is in no list. */
static inline void list_remove(struct list_item *i)
{
    if (!i->next)
        return;
    i->prev->next = i->next;
    i->next->prev = i->prev;
    i->prev = i->next = NULL;
}

/* NULL: the list is empty. */
static inline struct list_item *list_first(const struct list *l)
{
    return l->head.next == &l->head ? NULL : l->head.next;
}

static inline struct list_item *list_last(const struct list *l)
{
    return l->head.prev == &l->head ? NULL : l->head.prev;
}

/* NULL: that was the last. */
static inline struct list_item *list_next(const struct list *l, const struct list_item *i)
{
    return i->next == &l->head ? NULL : i->next;
}

#endif
