#include "log/journal_format.h"

#include "core/big_endian.h"
#include "core/crc32c.h"

#include <criterion/criterion.h>

static const uint64_t SALT = 0xfeedface01234567;

static struct commit_header header(void)
{
    return (struct commit_header){
        .start = 7,
        .core = 3,
        .sequence = 1000,
        .oldest_live = 900,
        .flushed = 999,
        .file_ordinal = 12,
        .file_position = 8192,
        .bytes = 5000,
        .entries_count = 4,
        .entries_crc = 0xdeadbeef,
    };
}

Test(journal_format, reads_back_the_commit_header_it_wrote)
{
    uint8_t bytes[COMMIT_HEADER_BYTES];
    struct commit_header wrote = header(), read = {0};
    commit_header_encode(&wrote, SALT, bytes);
    cr_assert_eq(commit_header_decode(&read, SALT, bytes), COMMIT_FOUND);
    cr_assert_eq(read.start, wrote.start);
    cr_assert_eq(read.core, wrote.core);
    cr_assert_eq(read.sequence, wrote.sequence);
    cr_assert_eq(read.oldest_live, wrote.oldest_live);
    cr_assert_eq(read.flushed, wrote.flushed);
    cr_assert_eq(read.file_ordinal, wrote.file_ordinal);
    cr_assert_eq(read.file_position, wrote.file_position);
    cr_assert_eq(read.bytes, wrote.bytes);
    cr_assert_eq(read.entries_count, wrote.entries_count);
    cr_assert_eq(read.entries_crc, wrote.entries_crc);
}

Test(journal_format, takes_no_header_with_any_bit_changed)
{
    uint8_t bytes[COMMIT_HEADER_BYTES];
    struct commit_header wrote = header(), read;
    commit_header_encode(&wrote, SALT, bytes);
    for (uint32_t bit = 0; bit < COMMIT_HEADER_BYTES * 8; bit++) {
        bytes[bit / 8] ^= 1 << bit % 8;
        cr_assert_eq(commit_header_decode(&read, SALT, bytes), COMMIT_NONE, "bit %u", bit);
        bytes[bit / 8] ^= 1 << bit % 8;
    }
}

Test(journal_format, takes_no_header_of_another_directory)
{
    uint8_t bytes[COMMIT_HEADER_BYTES];
    struct commit_header wrote = header(), read;
    commit_header_encode(&wrote, SALT, bytes);
    cr_assert_eq(commit_header_decode(&read, SALT + 1, bytes), COMMIT_NONE);
}

Test(journal_format, takes_no_header_that_contradicts_itself)
{
    uint8_t bytes[COMMIT_HEADER_BYTES];
    struct commit_header read, wrong[] = {header(), header(), header(), header(), header()};
    wrong[0].bytes = COMMIT_HEADER_BYTES - 1;
    wrong[1].bytes = COMMIT_BYTES_MAX + 1;
    wrong[2].flushed = wrong[2].sequence;
    wrong[3].oldest_live = wrong[3].sequence + 1;
    wrong[4].entries_count = 1000; /* more than the bytes could hold */
    for (int i = 0; i < 5; i++) {
        commit_header_encode(&wrong[i], SALT, bytes);
        cr_assert_eq(commit_header_decode(&read, SALT, bytes), COMMIT_NONE, "%d", i);
    }
}

Test(journal_format, knows_a_newer_commit_for_what_it_is)
{
    uint8_t bytes[COMMIT_HEADER_BYTES];
    struct commit_header wrote = header(), read;
    commit_header_encode(&wrote, SALT, bytes);
    big_endian_store32(bytes + 16, JOURNAL_VERSION + 1);
    uint32_t crc = crc32c(crc32c(0, bytes, 20), bytes + 24, COMMIT_HEADER_BYTES - 24);
    big_endian_store32(bytes + 20, crc);
    cr_assert_eq(commit_header_decode(&read, SALT, bytes), COMMIT_NEWER);
}

Test(journal_format, reads_back_entries_and_refuses_every_prefix)
{
    uint8_t bytes[ENTRY_HEADER_BYTES + 100] = {0};
    struct entry_header wrote = {
        .type = ENTRY_DATA,
        .bytes = 100,
        .log_id = UINT64_C(7) << 32 | 5,
        .log_sequence = 77,
        .segment_base = INT64_C(1) << 40,
        .position = 123456,
        .rest_bytes = 50,
    };
    struct entry_header read;
    entry_header_encode(&wrote, bytes);
    cr_assert(entry_header_decode(&read, bytes, sizeof(bytes)));
    cr_assert_eq(read.type, wrote.type);
    cr_assert_eq(read.bytes, wrote.bytes);
    cr_assert_eq(read.log_id, wrote.log_id);
    cr_assert_eq(read.log_sequence, wrote.log_sequence);
    cr_assert_eq(read.segment_base, wrote.segment_base);
    cr_assert_eq(read.position, wrote.position);
    cr_assert_eq(read.rest_bytes, wrote.rest_bytes);
    for (size_t left = 0; left < sizeof(bytes); left++) {
        cr_assert_not(entry_header_decode(&read, bytes, left), "%zu bytes", left);
    }
}

Test(journal_format, refuses_entries_that_cannot_be)
{
    uint8_t bytes[ENTRY_HEADER_BYTES];
    const struct entry_header good = {.type = ENTRY_DATA},
                              wrong[] = {
                                  {.type = ENTRY_REFERENCE},
                                  {.type = (enum entry_type)77},
                                  {.type = ENTRY_DATA, .rest_bytes = 1},
                                  {.type = ENTRY_DATA, .segment_base = -1},
                              };
    struct entry_header read;
    entry_header_encode(&good, bytes);
    cr_assert(entry_header_decode(&read, bytes, sizeof(bytes)));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        entry_header_encode(&wrong[i], bytes);
        cr_assert_not(entry_header_decode(&read, bytes, sizeof(bytes)), "%zu", i);
    }
}

Test(journal_format, names_its_files)
{
    char text[JOURNAL_NAME_BYTES];
    struct journal_name name = {.start = UINT32_MAX, .core = 255, .slot = 0}, read;
    journal_name_write(&name, text);
    cr_assert_str_eq(text, "odradek-4294967295-255-0.journal");
    cr_assert(journal_name_parse(&read, text));
    cr_assert(read.start == name.start && read.core == name.core && read.slot == name.slot);
}

Test(journal_format, takes_no_other_name)
{
    const char *others[] = {
        "",
        "odradek-",
        "odradek-1-2-3",
        "odradek-1-2-3.journal.tmp",
        "odradek-1-2.journal",
        "odradek-4294967296-0-0.journal",
        "odradek--1-0-0.journal",
        "odradek-01-0-0.journal",
        "odradek-1- 2-0.journal",
        "odradek-1-2-99999999999999999999.journal",
        "00000.log",
    };
    struct journal_name name;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_assert_not(journal_name_parse(&name, others[i]), "%s", others[i]);
    }
}
