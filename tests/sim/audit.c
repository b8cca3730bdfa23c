#include "tests/sim/audit.h"

#include "tests/sim/client.h"

enum { AUDIT_STEPS_MAX = 1 << 21 };

struct audit { /* a client in a straight line: one question at a time */
    struct proof *proof;
    struct computer *computer;
    struct book *book;
    struct sim_random *random;
    const char *when;
    struct dialogue dialogue;
    bool answered, broken;
    struct book_topic *topic; /* the question is about */
    struct book_reader reader;
    int64_t earliest, latest;
    const char *wrong;
};

static struct audit *audit_of(struct dialogue *dialogue)
{
    return container_of(dialogue, struct audit, dialogue);
}

static void audit_broken(struct dialogue *dialogue, int error)
{
    audit_of(dialogue)->broken = true;
}

static bool audit_is_answered(void *context)
{
    struct audit *audit = context;
    return audit->answered || audit->broken || audit->dialogue.problem;
}

/* The end of a question: everything is well with the answer. */
static bool audit_ask(struct audit *audit, dialogue_fn *replied)
{
    audit->answered = false;
    audit->wrong = NULL;
    dialogue_end(&audit->dialogue, replied);
    bool good = sim_run(&audit->computer->sim, audit_is_answered, audit, AUDIT_STEPS_MAX);
    const char *wrong = audit->computer->sim.complaint ? audit->computer->sim.complaint
                        : audit->dialogue.problem      ? audit->dialogue.problem
                        : audit->broken                ? "the connection was closed"
                        : !good                        ? "it is never answered"
                                                       : audit->wrong;
    if (wrong) {
        const struct book_line *line = audit->reader.line;
        return proof_fail(audit->proof, "%s: %s-%d, at %ld of %ld: %s", audit->when,
                          line ? line->topic->name : "all", line ? line->index : -1,
                          (long)audit->reader.offset, (long)audit->latest, wrong);
    }
    return true;
}

static void audit_answer(struct audit *audit, const char *wrong)
{
    audit->answered = true;
    audit->wrong = wrong;
}

/* -- which topics there are -------------------------------------------------------------------- */

static const struct metadata_response_topic *topic_found(const struct metadata_response *response,
                                                         const struct book_topic *topic)
{
    for (int32_t i = 0; i < response->topics_count; i++) {
        if (uuid_equal(&response->topics[i].topic_id, &topic->id)) {
            return &response->topics[i];
        }
    }
    return NULL;
}

static const char *topics_check(struct audit *audit, const struct metadata_response *response,
                                bool *there)
{
    for (uint32_t i = 0; i < audit->book->topics_count; i++) {
        const struct book_topic *topic = audit->book->topics[i];
        const struct metadata_response_topic *found = topic_found(response, topic);
        there[i] = found != NULL;
        if (found && topic->state == BOOK_DELETED) {
            return "a topic was deleted, and is there again";
        }
        if (!found && topic->state == BOOK_LIVE) {
            return "a topic is gone that nobody has deleted";
        }
        if (found && (found->error_code != KAFKA_NONE ||
                      found->partitions_count != (int32_t)topic->partitions_count)) {
            return "a topic has another number of partitions";
        }
    }
    return NULL;
}

static void audit_listed(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct audit *audit = audit_of(dialogue);
    struct metadata_response response;
    bool *there = dialogue->context;
    audit_answer(audit, metadata_response_decode(&response, body, version, dialogue_arena(dialogue))
                            ? topics_check(audit, &response, there)
                            : "an answer to Metadata cannot be decoded");
}

static bool audit_topics(struct audit *audit, bool *there)
{
    struct metadata_request request;
    metadata_request_init(&request);
    request.topics_count = -1;
    audit->dialogue.context = there;
    metadata_request_encode(&request, dialogue_begin(&audit->dialogue, METADATA_KEY, 12), 12);
    return audit_ask(audit, audit_listed);
}

/* -- what is in a partition -------------------------------------------------------------------- */

static void audit_ended(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct audit *audit = audit_of(dialogue);
    struct list_offsets_response response;
    bool good = list_offsets_response_decode(&response, body, version, dialogue_arena(dialogue)) &&
                response.topics_count == 1 && response.topics[0].partitions_count == 1 &&
                response.topics[0].partitions[0].error_code == KAFKA_NONE;
    audit->latest = good ? response.topics[0].partitions[0].offset : -1;
    audit_answer(audit, good ? NULL : "ListOffsets does not say where it ends");
}

static bool audit_end(struct audit *audit)
{
    int16_t version = (int16_t)sim_between(audit->random, 1, LIST_OFFSETS_VERSION_MAX);
    list_offsets_write(dialogue_begin(&audit->dialogue, LIST_OFFSETS_KEY, version), audit->topic,
                       audit->reader.line->index, -1, version);
    return audit_ask(audit, audit_ended);
}

static void audit_fetched(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct audit *audit = audit_of(dialogue);
    struct fetch_response response;
    int64_t offset = audit->reader.offset;
    if (!fetch_response_decode(&response, body, version, dialogue_arena(dialogue)) ||
        response.error_code != KAFKA_NONE || response.responses_count != 1 ||
        response.responses[0].partitions_count != 1 ||
        response.responses[0].partitions[0].error_code != KAFKA_NONE) {
        audit_answer(audit, "a Fetch is not answered with records");
        return;
    }
    const struct fetch_response_partition *part = &response.responses[0].partitions[0];
    const char *wrong = book_read(&audit->reader, part->records.data,
                                  part->records.bytes > 0 ? (size_t)part->records.bytes : 0);
    if (!wrong && audit->reader.offset == offset) {
        wrong = "a Fetch brings no whole batch";
    }
    audit_answer(audit, wrong);
}

static bool audit_fetch(struct audit *audit)
{
    struct fetch_request_topic topic;
    struct fetch_request_partition part;
    struct fetch_request request;
    int16_t least = audit->book->fetch_version_min;
    least = least > FETCH_VERSION_MIN ? least : FETCH_VERSION_MIN;
    int16_t version = (int16_t)sim_between(audit->random, (uint64_t)least, FETCH_VERSION_MAX);
    fetch_request_partition_init(&part);
    part.partition = audit->reader.line->index;
    part.fetch_offset = audit->reader.offset;
    part.partition_max_bytes = 1 << sim_below(audit->random, 22);
    fetch_request_topic_init(&topic);
    topic.topic = view_of_text(audit->topic->name);
    topic.topic_id = audit->topic->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    fetch_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    request.min_bytes = 1;
    request.max_wait_ms = 100;
    fetch_request_encode(&request, dialogue_begin(&audit->dialogue, FETCH_KEY, version), version);
    return audit_ask(audit, audit_fetched);
}

static bool audit_line(struct audit *audit, struct book_line *line)
{
    audit->topic = line->topic;
    book_read_start(&audit->reader, audit->book, line, false);
    if (!audit_end(audit)) {
        return false;
    }
    while (audit->reader.offset < audit->latest) {
        if (!audit_fetch(audit)) {
            return false;
        }
    }
    const char *wrong = book_read_end(&audit->reader);
    if (wrong) {
        return proof_fail(audit->proof, "%s: %s-%d, %u batches up to %ld: %s", audit->when,
                          line->topic->name, line->index, audit->reader.count,
                          (long)audit->reader.offset, wrong);
    }
    return true;
}

bool audit(struct proof *proof, struct computer *computer, struct book *book,
           struct sim_random *random, const char *when)
{
    struct audit audit = {
        .proof = proof, .computer = computer, .book = book, .random = random, .when = when};
    bool there[1024] = {false};
    assert(book->topics_count <= sizeof there);
    dialogue_init(&audit.dialogue, audit_broken, NULL);
    dialogue_connect(&audit.dialogue, &computer->sim, computer->node, BROKER_PORT);
    bool good = audit_topics(&audit, there);
    for (uint32_t i = 0; good && i < book->topics_count; i++) {
        for (uint32_t j = 0; good && there[i] && j < book->topics[i]->partitions_count; j++) {
            good = audit_line(&audit, &book->topics[i]->lines[j]);
        }
    }
    dialogue_deinit(&audit.dialogue);
    return good;
}
