#include "net/error.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(error, has_the_protocols_numbers_and_names)
{
    cr_assert_eq(KAFKA_NONE, 0);
    cr_assert_eq(KAFKA_UNKNOWN_SERVER_ERROR, -1);
    cr_assert_eq(KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, 45);
    cr_assert_eq(KAFKA_UNKNOWN_TOPIC_ID, 100);
    cr_assert_str_eq(kafka_error_name(87), "INVALID_RECORD");
    cr_assert_str_eq(kafka_error_name(9999), "?");
}

Test(error, tells_a_client_of_a_broken_disk)
{
    cr_assert_eq(kafka_error_from_errno(0), KAFKA_NONE);
    cr_assert_eq(kafka_error_from_errno(17), KAFKA_NONE);
    cr_assert_eq(kafka_error_from_errno(-EIO), KAFKA_KAFKA_STORAGE_ERROR);
    cr_assert_eq(kafka_error_from_errno(-ENOSPC), KAFKA_KAFKA_STORAGE_ERROR);
    cr_assert_eq(kafka_error_from_errno(-EBADF), KAFKA_UNKNOWN_SERVER_ERROR);
}
