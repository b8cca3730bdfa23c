/* A store on a real disk: what is appended is read back, whatever happens in between. */
#include "tests/log/store_fixture.h"

Test(store, appends_and_reads_back_from_the_tail)
{
    static struct place place;
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    struct known known;
    known_init(&known, &place, "topic", &known_settings);
    cr_assert_eq(known.log->log_end, 0);
    struct known_batch *first = known_append(&known, 100);
    cr_assert_eq(known.log->log_end, 0, "nothing is seen before it is durable");
    known_wait(&known);
    cr_assert_eq(first->append.op.result, 0);
    cr_assert_eq(first->append.base_offset, 0);
    cr_assert_eq(known.log->log_end, 1);
    for (int i = 0; i < 500; i++) {
        known_append(&known, place_random(&place, 3000));
    }
    known_wait(&known);
    cr_assert_eq(known.log->log_end, 501);
    known_verify(&known);
    known_deinit(&known);
    cr_assert_eq(place_close(&place, NULL), 0);
    place_deinit(&place);
}
