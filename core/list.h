/*
 * list -- things in a row that can leave it from anywhere: a ring of links through its head.
 *
 *      list <-> link <-> link <-> link <-> list
 *
 * The link is embedded in what is listed. A link that is in no list points to itself.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next;
    struct link *previous;
};

struct list {
    struct link head;
};

static inline void link_init(struct link *link)
{
    link->next = link;
    link->previous = link;
}

static inline bool link_is_listed(const struct link *link)
{
    return link->next != link;
}

/* Out of its list, if it is in one. */
static inline void link_remove(struct link *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link_init(link);
}

static inline void list_init(struct list *list)
{
    link_init(&list->head);
}

static inline bool list_is_empty(const struct list *list)
{
    return !link_is_listed(&list->head);
}

/* At the end; out of where it was before. */
static inline void list_push(struct list *list, struct link *link)
{
    link_remove(link);
    link->previous = list->head.previous;
    link->next = &list->head;
    link->previous->next = link;
    list->head.previous = link;
}

/* All of `from`, in their order, behind what is in `to`. */
static inline void list_move(struct list *to, struct list *from)
{
    if (list_is_empty(from)) {
        return;
    }
    from->head.next->previous = to->head.previous;
    to->head.previous->next = from->head.next;
    to->head.previous = from->head.previous;
    to->head.previous->next = &to->head;
    link_init(&from->head);
}

/* All of `from`, behind what is in `list`. */
static inline void list_take_all(struct list *list, struct list *from)
{
    if (!list_is_empty(from)) {
        from->head.next->previous = list->head.previous;
        list->head.previous->next = from->head.next;
        from->head.previous->next = &list->head;
        list->head.previous = from->head.previous;
        list_init(from);
    }
}

/* At the start; out of where it was before. */
static inline void list_push_first(struct list *list, struct link *link)
{
    link_remove(link);
    link->next = list->head.next;
    link->previous = &list->head;
    link->next->previous = link;
    list->head.next = link;
}

/* NULL: the list is empty. */
static inline struct link *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

/* The one behind `link`; NULL at the end. */
static inline struct link *list_next(const struct list *list, const struct link *link)
{
    return link->next == &list->head ? NULL : link->next;
}

#endif
