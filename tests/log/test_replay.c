#include "log/replay.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "tests/log/world.h"

static const uint64_t SALT = 0x5a175a17;
enum { BLOCK = JOURNAL_BLOCK_BYTES, IMAGE_BLOCKS = 16, IMAGE_BYTES = IMAGE_BLOCKS * BLOCK };

/* The file of a journal as a test lays it out: commit n of `blocks` blocks, with one DATA entry of
 * log 1 whose log sequence is the commit's, and whose payload is the sequence over and over. */
struct image {
    uint8_t bytes[IMAGE_BYTES];
};

struct laid {
    uint64_t sequence, oldest_live, flushed;
    uint32_t block, blocks;
};

static uint32_t payload_bytes(uint32_t blocks)
{
    return blocks * BLOCK - COMMIT_HEADER_BYTES - ENTRY_HEADER_BYTES - 100;
}

static void lay(struct image *image, struct laid laid)
{
    uint8_t *at = image->bytes + laid.block * BLOCK;
    struct entry_header entry = {
        .type = ENTRY_DATA,
        .bytes = payload_bytes(laid.blocks),
        .log_id = 1,
        .log_sequence = laid.sequence,
        .position = (uint32_t)laid.sequence,
    };
    memset(at, 0, laid.blocks * BLOCK);
    entry_header_encode(&entry, at + COMMIT_HEADER_BYTES);
    memset(at + COMMIT_HEADER_BYTES + ENTRY_HEADER_BYTES, (int)laid.sequence, entry.bytes);
    struct commit_header header = {
        .start = 1,
        .sequence = laid.sequence,
        .oldest_live = laid.oldest_live,
        .flushed = laid.flushed,
        .file_position = laid.block * BLOCK,
        .bytes = COMMIT_HEADER_BYTES + ENTRY_HEADER_BYTES + entry.bytes,
        .entries_count = 1,
        .entries_crc = crc32c(0, at + COMMIT_HEADER_BYTES, ENTRY_HEADER_BYTES + entry.bytes),
    };
    commit_header_encode(&header, SALT, at);
}

/* Commits 1 to 4, two blocks each, at blocks 0, 2, 4 and 6. */
static void lay_four(struct image *image)
{
    memset(image, 0, sizeof(*image));
    for (uint32_t i = 1; i <= 4; i++) {
        lay(image, (struct laid){.sequence = i,
                                 .oldest_live = 1,
                                 .flushed = i - 1,
                                 .block = 2 * (i - 1),
                                 .blocks = 2});
    }
}

/* What a scan says: the sequences that are live as bits, or an error. */
struct scanned {
    uint32_t start_min;
    int error;
    uint32_t live;
    char problem[512];
};

static int64_t scan_run(struct files *files, void *context)
{
    struct scanned *scanned = context;
    struct replay replay;
    scanned->error = replay_scan(&replay, files, "/data", SALT, scanned->start_min);
    for (size_t i = 0; i < replay.entries_count && !scanned->error; i++) {
        const struct replay_entry *entry = &replay.entries[i];
        uint8_t *payload = malloc(entry->bytes);
        cr_assert_eq(replay_read(&replay, files, entry, 0, payload, entry->bytes), 0);
        for (uint32_t at = 0; at < entry->bytes; at++) {
            cr_assert_eq(payload[at], (uint8_t)entry->log_sequence);
        }
        free(payload);
        scanned->live |= 1u << entry->log_sequence;
    }
    memcpy(scanned->problem, replay.problem, sizeof(scanned->problem));
    replay_free(&replay, files);
    return 0;
}

static struct scanned scan(struct world *world)
{
    struct scanned scanned = {0};
    world_run(world, scan_run, &scanned);
    return scanned;
}

static struct scanned scan_image(const struct image *image)
{
    struct world world;
    world_open(&world, 1);
    world_write(&world, "/data/odradek-1-0-0.journal", image->bytes, sizeof(image->bytes));
    struct scanned scanned = scan(&world);
    world_close(&world);
    return scanned;
}

Test(replay, finds_nothing_in_an_empty_directory)
{
    struct world world;
    world_open(&world, 1);
    struct scanned scanned = scan(&world);
    cr_assert(scanned.error == 0 && scanned.live == 0);
    world_close(&world);
}

Test(replay, finds_every_live_commit)
{
    static struct image image;
    lay_four(&image);
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
    cr_assert_eq(scanned.live, 0x1e);
}

Test(replay, forgets_what_was_released)
{
    static struct image image;
    lay_four(&image);
    lay(&image,
        (struct laid){.sequence = 5, .oldest_live = 4, .flushed = 4, .block = 8, .blocks = 1});
    cr_assert_eq(scan_image(&image).live, 0x30);
}

Test(replay, cuts_a_torn_end_at_every_sector_of_the_last_commit)
{
    static struct image whole, torn;
    lay_four(&whole);
    uint32_t last = 6 * BLOCK,
             written = COMMIT_HEADER_BYTES + ENTRY_HEADER_BYTES + payload_bytes(2);
    for (uint32_t sector = 0; sector < 2 * BLOCK / 512; sector++) {
        torn = whole;
        memset(torn.bytes + last + sector * 512, 0, 512); /* one sector is missing */
        struct scanned scanned = scan_image(&torn);
        cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
        cr_assert_eq(scanned.live, sector * 512 < written ? 0x0e : 0x1e, "sector %u", sector);
        torn = whole; /* and: nothing from here on was written */
        memset(torn.bytes + last + sector * 512, 0xee, 2 * BLOCK - sector * 512);
        scanned = scan_image(&torn);
        cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
        cr_assert_eq(scanned.live, sector * 512 < written ? 0x0e : 0x1e, "from sector %u", sector);
    }
}

Test(replay, says_where_rot_is)
{
    static struct image whole, rotten;
    lay_four(&whole);
    for (uint32_t block = 0; block < 6; block++) { /* all but the last commit's */
        rotten = whole;
        rotten.bytes[block * BLOCK + 200] ^= 4;
        struct scanned scanned = scan_image(&rotten);
        cr_assert_eq(scanned.error, -EBADMSG, "block %u", block);
        char sequence[32], place[64];
        snprintf(sequence, sizeof(sequence), "commit %u ", block / 2 + 1);
        snprintf(place, sizeof(place), "odradek-1-0-0.journal, byte %u", block / 2 * 2 * BLOCK);
        cr_assert(strstr(scanned.problem, sequence), "%s", scanned.problem);
        cr_assert(strstr(scanned.problem, place), "%s", scanned.problem);
    }
}

Test(replay, says_that_a_commit_is_missing_when_its_header_is_gone)
{
    static struct image image;
    lay_four(&image);
    memset(image.bytes + 2 * BLOCK, 0, 512);
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, -EBADMSG);
    cr_assert(strstr(scanned.problem, "commit 2 "), "%s", scanned.problem);
}

Test(replay, finds_rot_below_a_torn_commit_whose_header_arrived)
{
    static struct image image;
    lay_four(&image);
    image.bytes[7 * BLOCK] ^= 1;       /* 4 is torn, but says that 3 was durable */
    image.bytes[4 * BLOCK + 300] ^= 1; /* and 3 is damaged */
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, -EBADMSG);
    cr_assert(strstr(scanned.problem, "commit 3 "), "%s", scanned.problem);
}

Test(replay, takes_no_rot_below_what_was_released)
{
    static struct image image;
    lay_four(&image);
    lay(&image,
        (struct laid){.sequence = 5, .oldest_live = 4, .flushed = 4, .block = 8, .blocks = 1});
    image.bytes[100] ^= 1;
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
    cr_assert_eq(scanned.live, 0x30);
}

Test(replay, does_not_take_an_earlier_lap_for_news)
{
    static struct image image;
    lay_four(&image);
    /* the file is used again: commit 9 over the first blocks; 2 to 4 of the old lap stand behind */
    lay(&image,
        (struct laid){.sequence = 9, .oldest_live = 9, .flushed = 8, .block = 0, .blocks = 3});
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
    cr_assert_eq(scanned.live, 1u << 9);
}

Test(replay, does_not_take_a_payload_for_a_commit)
{
    static struct image image;
    lay_four(&image);
    /* a client's bytes in commit 4's second block: a header as it would be, but for the salt */
    struct commit_header forged = {.start = 1,
                                   .sequence = 99,
                                   .oldest_live = 99,
                                   .flushed = 98,
                                   .file_position = 7 * BLOCK,
                                   .bytes = COMMIT_HEADER_BYTES};
    commit_header_encode(&forged, SALT + 1, image.bytes + 7 * BLOCK);
    struct scanned scanned = scan_image(&image); /* damages 4: the block is then looked at */
    cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
    cr_assert_eq(scanned.live, 0x0e);
}

Test(replay, takes_no_commit_from_another_place_or_journal)
{
    static struct image image;
    memset(&image, 0, sizeof(image));
    lay(&image,
        (struct laid){.sequence = 3, .oldest_live = 3, .flushed = 2, .block = 2, .blocks = 1});
    memcpy(image.bytes, image.bytes + 2 * BLOCK, BLOCK); /* written to the wrong block */
    memset(image.bytes + 2 * BLOCK, 0, BLOCK);
    cr_assert_eq(scan_image(&image).live, 0);

    struct world world; /* and a whole one in another journal's file */
    lay_four(&image);
    world_open(&world, 1);
    world_write(&world, "/data/odradek-1-1-0.journal", image.bytes, sizeof(image.bytes));
    struct scanned scanned = scan(&world);
    cr_assert(scanned.error == 0 && scanned.live == 0);
    world_close(&world);
}

Test(replay, follows_a_journal_through_its_files)
{
    static struct image one, two;
    lay_four(&one);
    memset(&two, 0, sizeof(two));
    lay(&two,
        (struct laid){.sequence = 5, .oldest_live = 2, .flushed = 4, .block = 0, .blocks = 2});
    struct world world;
    world_open(&world, 1);
    world_write(&world, "/data/odradek-1-0-0.journal", two.bytes, sizeof(two.bytes));
    world_write(&world, "/data/odradek-1-0-1.journal", one.bytes, sizeof(one.bytes));
    struct scanned scanned = scan(&world);
    cr_assert_eq(scanned.error, 0, "%s", scanned.problem);
    cr_assert_eq(scanned.live, 0x3c);
    world_close(&world);
}

Test(replay, does_not_read_void_journals)
{
    static struct image image;
    lay_four(&image);
    image.bytes[300] ^= 1; /* it would be rot */
    struct world world;
    world_open(&world, 1);
    world_write(&world, "/data/odradek-1-0-0.journal", image.bytes, sizeof(image.bytes));
    struct scanned scanned = {.start_min = 2};
    world_run(&world, scan_run, &scanned);
    cr_assert(scanned.error == 0 && scanned.live == 0);
    world_close(&world);
}

Test(replay, reads_a_file_of_any_length)
{
    static struct image image;
    lay_four(&image);
    for (uint32_t bytes = 0; bytes <= 8 * BLOCK; bytes += BLOCK / 2) {
        struct world world;
        world_open(&world, 1);
        world_write(&world, "/data/odradek-1-0-0.journal", image.bytes, bytes);
        struct scanned scanned = scan(&world);
        cr_assert_eq(scanned.error, 0, "%u bytes: %s", bytes, scanned.problem);
        uint32_t whole = bytes / (2 * BLOCK);
        cr_assert_eq(scanned.live, (2u << whole) - 2, "%u bytes", bytes);
        world_close(&world);
    }
}

Test(replay, refuses_a_newer_version_by_name)
{
    static struct image image;
    lay_four(&image);
    big_endian_store32(image.bytes + 16, JOURNAL_VERSION + 1);
    big_endian_store32(image.bytes + 20, crc32c(crc32c(0, image.bytes, 20), image.bytes + 24,
                                                COMMIT_HEADER_BYTES - 24));
    struct scanned scanned = scan_image(&image);
    cr_assert_eq(scanned.error, -EBADMSG);
    cr_assert(strstr(scanned.problem, "newer version"), "%s", scanned.problem);
}

Test(replay, fails_when_the_disk_cannot_be_read)
{
    static struct image image;
    struct world world;
    lay_four(&image);
    world_open(&world, 1);
    world_write(&world, "/data/odradek-1-0-0.journal", image.bytes, sizeof(image.bytes));
    world.node->failings[SIM_FAILING_READ].count = UINT64_MAX;
    world.node->failings[SIM_FAILING_READ].after = 1;
    world.node->failings[SIM_FAILING_READ].error = -EIO;
    struct scanned scanned = scan(&world);
    cr_assert_eq(scanned.error, -EIO);
    cr_assert(strstr(scanned.problem, "/data"), "%s", scanned.problem);
    world_close(&world);
}
