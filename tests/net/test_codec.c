/* tests/codec goes through all messages; here stands what a single one shows. */
#include "net/codec.h"

#include <criterion/criterion.h>

#include "net/codec/api_versions.h"
#include "net/codec/create_topics.h"
#include "net/codec/fetch.h"
#include "net/codec/header.h"
#include "net/codec/metadata.h"
#include "net/codec/produce.h"

static struct memory memory;
static struct arena arena;
static struct writer writer;

static void setup(void)
{
    memory_init_heap(&memory);
    arena_init(&arena, &memory, 1 << 20);
    writer_init(&writer, &memory, 1 << 20);
}

static void teardown(void)
{
    arena_give_all(&arena);
    writer_give_all(&writer);
}

TestSuite(codec, .init = setup, .fini = teardown);

static struct cursor cursor_over(const uint8_t *data, size_t bytes)
{
    struct cursor cursor;
    cursor_init(&cursor, data, bytes);
    return cursor;
}

Test(codec, points_into_the_frame)
{
    static const uint8_t frame[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 5, 0, 0, 0, 0, 1, 0,   1,   't',
                                    0,    0,    0,    1,    0, 0, 0, 7, 0, 0, 0, 3, 'b', 'a', 't'};
    struct cursor cursor = cursor_over(frame, sizeof frame);
    struct produce_request request;
    cr_assert(produce_request_decode(&request, &cursor, 3, &arena));
    cr_assert(cursor_is_done(&cursor));
    cr_assert(view_is_null(request.transactional_id));
    cr_assert_eq(request.acks, -1);
    cr_assert_eq(request.timeout_ms, 0x500);
    cr_assert_eq(request.topic_data_count, 1);
    cr_assert_eq(request.topic_data[0].name.data, frame + 14);
    cr_assert_eq(request.topic_data[0].partition_data[0].index, 7);
    cr_assert_eq(request.topic_data[0].partition_data[0].records.data, frame + 27);
    cr_assert_eq(request.topic_data[0].partition_data[0].records.bytes, 3);
}

Test(codec, keeps_null_and_empty_arrays_apart)
{
    static const uint8_t null[] = {0xff, 0xff, 0xff, 0xff};
    static const uint8_t empty[] = {0, 0, 0, 0};
    struct metadata_request request;
    struct cursor cursor = cursor_over(null, sizeof null);
    cr_assert(metadata_request_decode(&request, &cursor, 1, &arena));
    cr_assert_eq(request.topics_count, -1);
    cursor = cursor_over(empty, sizeof empty);
    cr_assert(metadata_request_decode(&request, &cursor, 1, &arena));
    cr_assert_eq(request.topics_count, 0);
    cursor = cursor_over(null, sizeof null);
    cr_assert_not(metadata_request_decode(&request, &cursor, 0, &arena), "version 0 has no null");
}

Test(codec, sets_fields_that_a_version_lacks_to_their_defaults)
{
    static const uint8_t frame[] = {0, 0, 0, 0};
    struct cursor cursor = cursor_over(frame, sizeof frame);
    struct metadata_request request;
    memset(&request, 0x55, sizeof request);
    cr_assert(metadata_request_decode(&request, &cursor, 3, &arena));
    cr_assert(request.allow_auto_topic_creation);
    cr_assert_not(request.include_topic_authorized_operations);
}

Test(codec, leaves_out_tagged_fields_at_their_defaults)
{
    struct fetch_response_partition partition;
    struct fetch_response_topic topic;
    struct fetch_response response;
    fetch_response_partition_init(&partition);
    fetch_response_topic_init(&topic);
    fetch_response_init(&response);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    response.responses = &topic;
    response.responses_count = 1;
    fetch_response_encode(&response, &writer, 18);
    size_t plain = writer_position(&writer);
    partition.current_leader.leader_id = 3;
    fetch_response_encode(&response, &writer, 18);
    /* tag, size, two numbers and the leader's own tagged fields, none */
    cr_assert_eq(writer_position(&writer) - plain, plain + 1 + 1 + 4 + 4 + 1);
}

Test(codec, leaves_a_hole_for_named_records)
{
    static char name;
    struct fetch_response_partition partition;
    struct fetch_response_topic topic;
    struct fetch_response response;
    fetch_response_partition_init(&partition);
    fetch_response_topic_init(&topic);
    fetch_response_init(&response);
    partition.records = (struct codec_records){.bytes = 1000, .name = &name};
    topic.partitions = &partition;
    topic.partitions_count = 1;
    response.responses = &topic;
    response.responses_count = 1;
    fetch_response_encode(&response, &writer, 12);
    cr_assert(writer_finish(&writer));
    cr_assert_eq(writer.first->hole_bytes, 1000);
    cr_assert_eq(writer.first->hole_name, &name);
    cr_assert_eq(writer_position(&writer), writer.first->bytes + 1000 + writer.first->next->bytes);
    static const uint8_t length[] = {0xe9, 0x07}; /* 1001 */
    cr_assert_arr_eq(writer.first->data + writer.first->bytes - 2, length, 2);
}

Test(codec, keeps_the_client_id_in_its_old_form)
{
    static const uint8_t head[] = {0, 18, 0, 4, 0, 0, 0, 9, 0, 2, 'm', 'e', 0};
    struct cursor cursor = cursor_over(head, sizeof head);
    struct request_header header;
    cr_assert(request_header_decode(&header, &cursor, 2, &arena));
    cr_assert(cursor_is_done(&cursor));
    cr_assert_eq(header.correlation_id, 9);
    cr_assert(view_equal_text(header.client_id, "me"));
}

/* A tag that a version does not know yet is skipped, though a later version knows it. */
Test(codec, skips_tags_of_later_versions)
{
    struct produce_response response;
    static const uint8_t tagged[] = {1, 0, 0, 0, 0, 1, 0, 2, 0xee, 0xee};
    struct cursor cursor = cursor_over(tagged, sizeof tagged);
    cr_assert(produce_response_decode(&response, &cursor, 9, &arena));
    cr_assert(cursor_is_done(&cursor));
    cr_assert_eq(response.node_endpoints_count, 0);
    cursor = cursor_over(tagged, sizeof tagged);
    cr_assert_not(produce_response_decode(&response, &cursor, 10, &arena), "no such endpoints");
}

/* P7: lengths that nobody sent the bytes for cost nothing. */
Test(codec, never_allocates_by_a_claimed_count)
{
    static const uint8_t claims[] = {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0};
    struct metadata_request request;
    struct cursor cursor = cursor_over(claims, sizeof claims);
    cr_assert_not(metadata_request_decode(&request, &cursor, 1, &arena));
    cr_assert_eq(arena.bytes, 0);
}

/* P8: millions of tiny topics fit the frame, but not the arena. */
Test(codec, bounds_what_a_frame_may_become)
{
    enum { TOPICS = 1000000, BYTES = 4 + TOPICS * 16 };
    uint8_t *frame = calloc(1, BYTES);
    frame[1] = TOPICS >> 16;
    frame[2] = TOPICS >> 8 & 0xff;
    frame[3] = TOPICS & 0xff;
    struct create_topics_request request;
    struct cursor cursor = cursor_over(frame, BYTES);
    cr_assert_not(create_topics_request_decode(&request, &cursor, 2, &arena));
    cr_assert_leq(arena.bytes, 1 << 20);
    free(frame);
}

Test(codec, writes_what_it_reads)
{
    struct api_versions_response_api apis[] = {{0, 3, 13}, {18, 0, 4}};
    struct api_versions_response_finalized_feature feature = {
        .name = view_of_text("metadata.version"), .max_version_level = 27, .min_version_level = 27};
    struct api_versions_response response, read;
    api_versions_response_init(&response);
    response.api_keys = apis;
    response.api_keys_count = 2;
    response.finalized_features_epoch = 5;
    response.finalized_features = &feature;
    response.finalized_features_count = 1;
    api_versions_response_encode(&response, &writer, 4);
    uint8_t wire[200];
    cr_assert(writer_finish(&writer));
    writer_join(&writer, wire);
    struct cursor cursor = cursor_over(wire, writer_position(&writer));
    cr_assert(api_versions_response_decode(&read, &cursor, 4, &arena));
    cr_assert(cursor_is_done(&cursor));
    cr_assert_eq(read.api_keys_count, 2);
    cr_assert_eq(read.api_keys[1].api_key, 18);
    cr_assert_eq(read.finalized_features_epoch, 5);
    cr_assert_eq(read.supported_features_count, 0);
    cr_assert(view_equal(read.finalized_features[0].name, feature.name));
}

/* Texts are copied, so a slice of encoding ends after so many bytes too. */
Test(codec, pauses_after_long_texts)
{
    enum { TOPICS = 20, NAME_BYTES = 30000 };
    static uint8_t name[NAME_BYTES];
    struct metadata_response_topic topics[TOPICS];
    struct metadata_response response;
    metadata_response_init(&response);
    for (uint32_t i = 0; i < TOPICS; i++) {
        metadata_response_topic_init(&topics[i]);
        topics[i].name = view_of(name, NAME_BYTES);
    }
    response.topics = topics;
    response.topics_count = TOPICS;
    struct codec_walk walk = {0};
    uint32_t slices = 0;
    bool ended = false;
    while (!ended) {
        size_t before = writer.taken;
        walk.left = INT64_MAX;
        walk.taken_max = before + (64 << 10);
        ended = metadata_response_encode_slice(&response, &writer, 12, &walk);
        cr_assert_leq(writer.taken - before, 3 * (64 << 10));
        slices++;
    }
    cr_assert_gt(slices, 4);
    cr_assert_gt(writer_position(&writer), TOPICS * NAME_BYTES);
    cr_assert(writer_finish(&writer));
}

/* A tagged array is read in one go. */
Test(codec, refuses_tagged_arrays_that_are_not_short)
{
    enum { ENDPOINTS = CODEC_FEW_MAX + 1, BYTES = 1 + 4 + 1 + 1 + 3 + 2 + ENDPOINTS * 11 };
    static uint8_t wire[BYTES] = {1, 0, 0, 0, 0, 1, 0};
    struct produce_response response;
    for (uint32_t count = CODEC_FEW_MAX; count <= ENDPOINTS; count++) {
        uint32_t bytes = 2 + count * 11;
        uint8_t *at = wire + 7;
        *at++ = (uint8_t)(bytes | 0x80);
        *at++ = (uint8_t)(bytes >> 7);
        *at++ = (uint8_t)((count + 1) | 0x80);
        *at++ = (uint8_t)((count + 1) >> 7);
        for (uint32_t i = 0; i < count; i++, at += 11) { /* id, empty host, port, null, no tags */
            at[4] = 1;
        }
        struct cursor cursor = cursor_over(wire, (size_t)(at - wire));
        cr_assert_eq(produce_response_decode(&response, &cursor, 10, &arena),
                     count == CODEC_FEW_MAX);
    }
}
