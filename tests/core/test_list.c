#include "core/list.h"

#include <criterion/criterion.h>

Test(list, takes_all_of_another_behind_its_own)
{
    struct list list, other;
    struct link links[4];
    list_init(&list);
    list_init(&other);
    for (int i = 0; i < 4; i++) {
        link_init(&links[i]);
    }
    list_move(&list, &other);
    cr_assert(list_is_empty(&list) && list_is_empty(&other));
    list_push(&other, &links[0]);
    list_push(&other, &links[1]);
    list_move(&list, &other);
    cr_assert(list_is_empty(&other));
    list_push(&other, &links[2]);
    list_push(&other, &links[3]);
    list_move(&list, &other);
    cr_assert(list_is_empty(&other));
    struct link *link = list_first(&list);
    for (int i = 0; i < 4; i++, link = list_next(&list, link)) {
        cr_assert_eq(link, &links[i]);
    }
    cr_assert_null(link);
    for (int i = 3; i >= 0; i--) {
        link_remove(&links[i]);
    }
    cr_assert(list_is_empty(&list));
}
