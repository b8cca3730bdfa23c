/*
 * list -- things in a row, each with the link embedded; taken out in one step from wherever it is.
 *
 *      list <--> link <--> link <--> list        a link that is nowhere points to itself
 */
#ifndef LOG_LIST_H
#define LOG_LIST_H

#include "core/op.h" /* container_of */

struct link {
    struct link *next, *previous;
};

struct list {
    struct link ends; /* next: the first, previous: the last */
};

static inline void link_init(struct link *link)
{
    link->next = link->previous = link;
}

static inline bool link_is_in(const struct link *link)
{
    return link->next != link;
}

static inline void link_remove(struct link *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link_init(link);
}

static inline void list_init(struct list *list)
{
    link_init(&list->ends);
}

static inline bool list_is_empty(const struct list *list)
{
    return !link_is_in(&list->ends);
}

/* At the end; taken out of where it was. */
static inline void list_push(struct list *list, struct link *link)
{
    link_remove(link);
    link->previous = list->ends.previous;
    link->next = &list->ends;
    link->previous->next = link;
    list->ends.previous = link;
}

/* The first; NULL: empty. */
static inline struct link *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->ends.next;
}

#endif
