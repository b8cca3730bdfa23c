#include "log/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* -- reading ------------------------------------------------------------------------------------ */

static bool is_space(char character)
{
    return character == ' ' || character == '\t' || character == '\v' || character == '\f';
}

/* The next line without its end; false: there is none. Ends are \n, \r and \r\n, as Java has them. */
static bool next_line(struct checkpoint *checkpoint, struct view *line)
{
    const char *start = checkpoint->at;
    const char *at = start;
    if (start == checkpoint->end || checkpoint->end - start > INT32_MAX) {
        return false;
    }
    while (at < checkpoint->end && *at != '\n' && *at != '\r') {
        at++;
    }
    *line = view_of(start, (int32_t)(at - start));
    if (at + 1 < checkpoint->end && at[0] == '\r' && at[1] == '\n') {
        at++;
    }
    checkpoint->at = at < checkpoint->end ? at + 1 : at;
    return true;
}

/* Takes a word off the front of a line; empty: there is none. */
static struct view next_word(struct view *line)
{
    const char *text = (const char *)line->data;
    int32_t start = 0, end;
    while (start < line->bytes && is_space(text[start])) {
        start++;
    }
    for (end = start; end < line->bytes && !is_space(text[end]);) {
        end++;
    }
    struct view word = view_of(text + start, end - start);
    *line = view_of(text + end, line->bytes - end);
    return word;
}

static bool parse_number(struct view word, int64_t max, int64_t *value)
{
    bool is_negative = word.bytes > 1 && word.data[0] == '-';
    int64_t sum = 0;
    for (int32_t i = is_negative; i < word.bytes; i++) {
        if (word.data[i] < '0' || word.data[i] > '9' || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, word.data[i] - '0', &sum)) {
            return false;
        }
    }
    *value = is_negative ? -sum : sum;
    return word.bytes > 0 && sum <= max;
}

struct checkpoint checkpoint_of(const void *text, size_t bytes)
{
    struct checkpoint checkpoint = {.at = text, .end = (const char *)text + bytes};
    struct view line;
    int64_t version = 0, lines_count = 0;
    if (next_line(&checkpoint, &line)) {
        checkpoint.broken = !parse_number(line, INT32_MAX, &version) || version != 0;
    }
    if (!checkpoint.broken && next_line(&checkpoint, &line)) {
        checkpoint.broken = !parse_number(line, INT32_MAX, &lines_count) || lines_count < 0;
    }
    checkpoint.lines_left = lines_count;
    return checkpoint;
}

/* The next line of entries; at the end it is known whether the file kept its word. */
static bool next_entry(struct checkpoint *checkpoint, struct view *line)
{
    if (checkpoint->broken) {
        return false;
    }
    if (next_line(checkpoint, line)) {
        checkpoint->broken = checkpoint->lines_left-- == 0;
        return !checkpoint->broken;
    }
    checkpoint->broken = checkpoint->lines_left != 0;
    return false;
}

bool checkpoint_next_offset(struct checkpoint *checkpoint, struct checkpoint_offset *entry)
{
    struct view line;
    if (!next_entry(checkpoint, &line)) {
        return false;
    }
    int64_t partition;
    entry->topic = next_word(&line);
    bool is_good = entry->topic.bytes > 0 &&
                   parse_number(next_word(&line), INT32_MAX, &partition) && partition >= 0 &&
                   parse_number(next_word(&line), INT64_MAX, &entry->offset) &&
                   next_word(&line).bytes == 0;
    entry->partition = is_good ? (int32_t)partition : -1;
    checkpoint->broken = !is_good;
    return is_good;
}

bool checkpoint_next_epoch(struct checkpoint *checkpoint, struct epoch_start *entry)
{
    struct view line;
    if (!next_entry(checkpoint, &line)) {
        return false;
    }
    int64_t epoch;
    bool is_good = parse_number(next_word(&line), INT32_MAX, &epoch) && epoch >= 0 &&
                   parse_number(next_word(&line), INT64_MAX, &entry->start_offset) &&
                   entry->start_offset >= 0 && next_word(&line).bytes == 0;
    entry->epoch = is_good ? (int32_t)epoch : -1;
    checkpoint->broken = !is_good;
    return is_good;
}

int checkpoint_read_epochs(struct epochs *epochs, const void *text, size_t bytes)
{
    struct checkpoint checkpoint = checkpoint_of(text, bytes);
    struct epoch_start entry;
    int result = 0;
    epochs_clear(epochs);
    while (result == 0 && checkpoint_next_epoch(&checkpoint, &entry)) {
        int assigned = epochs_assign(epochs, entry.epoch, entry.start_offset);
        result = assigned < 0 ? assigned : 0;
    }
    if (checkpoint.broken) {
        result = -EBADMSG;
    }
    if (result < 0) {
        epochs_clear(epochs);
    }
    return result;
}

/* -- writing ------------------------------------------------------------------------------------ */

static char *print_number(char *to, int64_t value)
{
    char digits[20];
    size_t count = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[count++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        *to++ = '-';
    }
    while (count > 0) {
        *to++ = digits[--count];
    }
    return to;
}

static char *print_word(char *to, const char *word, size_t bytes)
{
    memcpy(to, word, bytes);
    return to + bytes;
}

size_t checkpoint_print_head(char *text, uint64_t lines_count)
{
    assert(lines_count <= INT32_MAX);
    char *at = print_word(text, "0\n", 2);
    at = print_number(at, (int64_t)lines_count);
    *at++ = '\n';
    return (size_t)(at - text);
}

size_t checkpoint_print_offset(char *text, const struct checkpoint_offset *line)
{
    assert(line->topic.bytes > 0 && line->topic.bytes <= 255);
    char *at = print_word(text, (const char *)line->topic.data, (size_t)line->topic.bytes);
    *at++ = ' ';
    at = print_number(at, line->partition);
    *at++ = ' ';
    at = print_number(at, line->offset);
    *at++ = '\n';
    return (size_t)(at - text);
}

size_t checkpoint_print_epochs(char *text, const struct epochs *epochs)
{
    char *at = text + checkpoint_print_head(text, epochs->count);
    for (uint32_t i = 0; i < epochs->count; i++) {
        at = print_number(at, epochs->starts[i].epoch);
        *at++ = ' ';
        at = print_number(at, epochs->starts[i].start_offset);
        *at++ = '\n';
    }
    return (size_t)(at - text);
}
