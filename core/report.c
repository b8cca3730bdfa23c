#include "core/report.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CAUSES_MAX = 64,       /* constants in the code; later ones share the last place */
    LINES_PER_MINUTE = 10, /* of one cause: enough to see what is wrong */
    MINUTE_MS = 60 * 1000,
    TEXT_BYTES_MAX = 1024,               /* of a message before escaping */
    LINE_BYTES_MAX = 3 * TEXT_BYTES_MAX, /* below PIPE_BUF, so that a line is written whole */
    LINE_END_BYTES = 8,                  /* kept for what ends it */
};

struct cause {
    const char *name;
    enum report_level level;
    int64_t minute_ms; /* when the current minute began */
    uint32_t said;     /* in this minute */
    uint64_t held_back;
};

struct reports {
    pthread_mutex_t mutex; /* held for all below, and while a line is written */
    int fd;
    enum report_level level;
    bool json;
    uint64_t lost; /* lines that the reader had no room for */
    uint32_t causes_count;
    struct cause causes[CAUSES_MAX];
};

struct line {
    char bytes[LINE_BYTES_MAX];
    size_t count;
};

static const char *const level_names[] = {"ERROR", "WARN", "INFO", "DEBUG"};

struct reports *reports_new(int fd, enum report_level level, bool json)
{
    struct reports *reports = calloc(1, sizeof(*reports));
    if (!reports) {
        return NULL;
    }
    pthread_mutex_init(&reports->mutex, NULL);
    reports->fd = fd;
    reports->level = level;
    reports->json = json;
    return reports;
}

static void line_put(struct line *line, char c)
{
    if (line->count < LINE_BYTES_MAX - LINE_END_BYTES) {
        line->bytes[line->count++] = c;
    }
}

static void line_put_text(struct line *line, const char *text)
{
    while (*text) {
        line_put(line, *text++);
    }
}

/* Bytes of the UTF-8 character at text; 0: none begins so, or it is cut off. */
static size_t character_bytes(const char *text)
{
    uint8_t lead = (uint8_t)*text;
    size_t bytes = lead < 0x80   ? 1
                   : lead < 0xc2 ? 0
                   : lead < 0xe0 ? 2
                   : lead < 0xf0 ? 3
                   : lead < 0xf5 ? 4
                                 : 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return bytes;
}

/* The last line of defence: whatever a message holds, it stays one line, and as JSON valid. What
 * does not fit is cut off between two characters. */
static void line_put_message(struct line *line, const char *text, bool json)
{
    while (*text) {
        uint8_t c = (uint8_t)*text;
        size_t bytes = character_bytes(text);
        bool is_special = json && (c == '"' || c == '\\');
        char put[8];
        if (bytes == 1 && c >= 0x20 && c != 0x7f && !is_special) { /* nearly always */
            line_put(line, *text++);
            continue;
        }
        if (bytes == 0 || (bytes == 1 && !is_special)) {
            snprintf(put, sizeof(put), json ? "\\u%04x" : "\\x%02x", c);
            bytes = 1;
        } else {
            snprintf(put, sizeof(put), "%s%.*s", is_special ? "\\" : "", (int)bytes, text);
        }
        if (line->count + strlen(put) > LINE_BYTES_MAX - LINE_END_BYTES) {
            return;
        }
        line_put_text(line, put);
        text += bytes;
    }
}

static void line_put_time(struct line *line, int64_t wall_ms)
{
    time_t seconds = wall_ms / 1000;
    struct tm tm;
    char text[64];
    gmtime_r(&seconds, &tm);
    size_t count = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + count, sizeof(text) - count, ".%03dZ", (int)(wall_ms % 1000));
    line_put_text(line, text);
}

static void line_write(struct reports *reports, const struct line *line)
{
    struct pollfd room = {.fd = reports->fd, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) {
        reports->lost++;
        return;
    }
    ssize_t written = write(reports->fd, line->bytes, line->count);
    if (written != (ssize_t)line->count) {
        reports->lost++;
    }
}

static void say(struct reports *reports, enum report_level level, int64_t wall_ms,
                const char *cause, const char *text)
{
    struct line line = {.count = 0};
    if (reports->json) {
        line_put_text(&line, "{\"time\":\"");
        line_put_time(&line, wall_ms);
        line_put_text(&line, "\",\"level\":\"");
        line_put_text(&line, level_names[level]);
        line_put_text(&line, "\",\"cause\":\"");
        line_put_message(&line, cause, true);
        line_put_text(&line, "\",\"message\":\"");
        line_put_message(&line, text, true);
        memcpy(line.bytes + line.count, "\"}\n", 3);
        line.count += 3;
    } else {
        line_put_time(&line, wall_ms);
        line_put(&line, ' ');
        line_put_text(&line, level_names[level]);
        line_put(&line, ' ');
        line_put_text(&line, cause);
        line_put_text(&line, ": ");
        line_put_message(&line, text, false);
        line.bytes[line.count++] = '\n';
    }
    line_write(reports, &line);
}

static void say_lost(struct reports *reports, int64_t wall_ms)
{
    uint64_t lost = reports->lost;
    if (lost) {
        char text[80];
        snprintf(text, sizeof(text), "%llu lines were lost: nobody read them",
                 (unsigned long long)lost);
        reports->lost = 0;
        say(reports, REPORT_WARN, wall_ms, "report", text);
        if (reports->lost) { /* this one too; it says no news */
            reports->lost = lost;
        }
    }
}

static void cause_settle(struct reports *reports, struct cause *cause, int64_t wall_ms)
{
    if (cause->held_back) {
        char text[80];
        snprintf(text, sizeof(text), "%llu more like these were not printed",
                 (unsigned long long)cause->held_back);
        say(reports, cause->level, wall_ms, cause->name, text);
        cause->held_back = 0;
    }
}

static struct cause *cause_find(struct reports *reports, enum report_level level, const char *name)
{
    for (uint32_t i = 0; i < reports->causes_count; i++) {
        struct cause *cause = &reports->causes[i];
        if (cause->level == level && strcmp(cause->name, name) == 0) {
            return cause;
        }
    }
    if (reports->causes_count == CAUSES_MAX) {
        return &reports->causes[CAUSES_MAX - 1];
    }
    struct cause *cause = &reports->causes[reports->causes_count++];
    *cause = (struct cause){.name = name, .level = level, .minute_ms = INT64_MIN / 2};
    return cause;
}

void reports_settle(struct reports *reports, int64_t wall_ms)
{
    pthread_mutex_lock(&reports->mutex);
    say_lost(reports, wall_ms);
    for (uint32_t i = 0; i < reports->causes_count; i++) {
        cause_settle(reports, &reports->causes[i], wall_ms);
    }
    pthread_mutex_unlock(&reports->mutex);
}

void reports_free(struct reports *reports)
{
    if (!reports) {
        return;
    }
    int64_t wall_ms = 0; /* the last minute known */
    for (uint32_t i = 0; i < reports->causes_count; i++) {
        if (reports->causes[i].minute_ms > wall_ms) {
            wall_ms = reports->causes[i].minute_ms;
        }
    }
    reports_settle(reports, wall_ms);
    pthread_mutex_destroy(&reports->mutex);
    free(reports);
}

void report(struct reports *reports, enum report_level level, int64_t wall_ms, const char *cause,
            const char *format, ...)
{
    if (!reports || level > reports->level) {
        return;
    }
    char text[TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    pthread_mutex_lock(&reports->mutex);
    struct cause *limit = cause_find(reports, level, cause);
    /* A clock that was set back begins a new minute too. */
    if (wall_ms - limit->minute_ms >= MINUTE_MS || wall_ms < limit->minute_ms) {
        cause_settle(reports, limit, wall_ms);
        limit->minute_ms = wall_ms;
        limit->said = 0;
    }
    if (limit->said < LINES_PER_MINUTE) {
        limit->said++;
        say_lost(reports, wall_ms);
        say(reports, level, wall_ms, cause, text);
    } else {
        limit->held_back++;
    }
    pthread_mutex_unlock(&reports->mutex);
}

const char *report_escape(char *into, size_t into_bytes, const void *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    static const char cut[] = "...";
    assert(into_bytes >= sizeof(cut));
    const uint8_t *from = bytes;
    size_t used = 0, whole = 0; /* whole: where the cut mark still fits behind */
    for (size_t i = 0; i < count; i++) {
        bool plain = from[i] >= 0x20 && from[i] < 0x7f && from[i] != '"' && from[i] != '\\';
        size_t needs = plain ? 1 : 4;
        if (used + needs + 1 > into_bytes) {
            memcpy(into + whole, cut, sizeof(cut));
            return into;
        }
        if (plain) {
            into[used] = from[i];
        } else {
            into[used] = '\\';
            into[used + 1] = 'x';
            into[used + 2] = digits[from[i] >> 4];
            into[used + 3] = digits[from[i] & 15];
        }
        used += needs;
        if (used + sizeof(cut) <= into_bytes) {
            whole = used;
        }
    }
    into[used] = '\0';
    return into;
}
