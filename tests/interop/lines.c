/*
 * lines -- log lines as a busy site's machines write them, the same for the same seed:
 *
 *     lines SEED BYTES > FILE
 *
 * Three formats are mixed (JSON lines, syslog, access log), with lengths from some 60 to some 2,000
 * bytes, times that rise, names that repeat as real ones do (few hosts make most lines), words in
 * more than one script, and stretches that compress badly (tokens) beside ones that compress well.
 * The file is BYTES long to the byte, and each line ends in a newline and holds no NUL; lines are
 * numbered, so no two are equal and a line lost, doubled or moved can be named.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES_MAX = 4096, /* more than the longest of them needs */
    LAST_LINE_BYTES_MIN = 64,
    BUFFER_BYTES = 1 << 20,
    DAY_MS = 24 * 60 * 60 * 1000,
};

struct lines {
    uint64_t random; /* splitmix64's state: all that chance decides comes from here */
    uint64_t number; /* of the next line */
    int64_t time_ms; /* since 2026-01-01 */
};

struct line {
    size_t bytes;
    char text[LINE_BYTES_MAX];
};

static const char *const hosts[] = {
    "edge-03", "edge-07", "edge-12", "api-01", "api-02", "cart-1", "search-4", "db-primary",
};
static const char *const programs[] = {
    "sshd", "kernel", "systemd", "nginx", "postgres", "cron", "dhclient", "containerd",
};
static const char *const verbs[] = {"GET", "GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD"};
static const char *const levels[] = {
    "info", "info", "info", "info", "debug", "warn", "error", "info",
};
static const char *const things[] = {
    "connection", "session",     "order",   "invoice",  "cache entry", "replica",
    "upload",     "certificate", "index",   "user",     "lease",       "snapshot",
    "queue",      "token",       "payment", "shipment",
};
static const char *const events[] = {
    "opened",
    "closed by peer",
    "timed out after retries",
    "accepted",
    "rejected: quota exceeded",
    "refreshed",
    "expired",
    "moved to another node",
    "verified",
    "rebuilt from scratch",
    "is slow, checking again",
    "completed",
    "retried",
    "not found",
    "created",
    "dropped",
};
static const char *const people[] = {
    "ana.kowalska", "j.smith", "müller", "søren.ø", "李雷",      "Ольга", "josé", "amélie",
    "tanaka.健",    "maria",   "devío",  "o'brien", "naïve-bot", "βeta",  "zoë",  "root",
};
static const char *const agents[] = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0",
    "curl/7.88.1",
    "kube-probe/1.29",
};

static uint64_t lines_random(struct lines *lines)
{
    uint64_t z = (lines->random += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint32_t lines_below(struct lines *lines, uint32_t bound)
{
    return (uint32_t)(((lines_random(lines) >> 32) * bound) >> 32);
}

#define PICK(lines, list) (list)[lines_below(lines, sizeof(list) / sizeof((list)[0]))]

static void line_text(struct line *line, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(line->text + line->bytes, text, bytes);
    line->bytes += bytes;
}

/* At least `digits` digits, zeros in front. Formatting by printf would take most of the time. */
static void line_number(struct line *line, uint64_t number, uint32_t digits)
{
    char reversed[20];
    uint32_t count = 0;
    do {
        reversed[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || count < digits);
    while (count > 0) {
        line->text[line->bytes++] = reversed[--count];
    }
}

static void line_token(struct line *line, struct lines *lines, uint32_t bytes)
{
    static const char alphabet[] = "0123456789abcdef";
    uint64_t random = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        random = i % 16 == 0 ? lines_random(lines) : random >> 4;
        line->text[line->bytes++] = alphabet[random & 15];
    }
}

static void line_address(struct line *line, struct lines *lines)
{
    line_text(line, "198.51.100.");
    line_number(line, lines_below(lines, 256), 1);
}

/* Days of a plain year suffice: a file spans hours. */
static void line_time(struct line *line, int64_t time_ms, char between)
{
    int64_t day = time_ms / DAY_MS;
    int64_t ms = time_ms % DAY_MS;
    line_text(line, "2026-01-");
    line_number(line, (uint64_t)(day % 31) + 1, 2);
    line->text[line->bytes++] = between;
    line_number(line, (uint64_t)(ms / 3600000), 2);
    line_text(line, ":");
    line_number(line, (uint64_t)(ms / 60000 % 60), 2);
    line_text(line, ":");
    line_number(line, (uint64_t)(ms / 1000 % 60), 2);
    line_text(line, ".");
    line_number(line, (uint64_t)(ms % 1000), 3);
}

/* Few make most: the smaller of two draws. */
static const char *lines_host(struct lines *lines)
{
    uint32_t one = lines_below(lines, 8);
    uint32_t other = lines_below(lines, 8);
    return hosts[one < other ? one : other];
}

static void line_event(struct line *line, struct lines *lines)
{
    line_text(line, PICK(lines, things));
    line_text(line, " ");
    line_number(line, lines_below(lines, 100000), 1);
    line_text(line, " ");
    line_text(line, PICK(lines, events));
}

static void line_json(struct line *line, struct lines *lines)
{
    line_text(line, "{\"ts\":\"");
    line_time(line, lines->time_ms, 'T');
    line_text(line, "Z\",\"seq\":");
    line_number(line, lines->number, 1);
    line_text(line, ",\"level\":\"");
    line_text(line, PICK(lines, levels));
    line_text(line, "\",\"host\":\"");
    line_text(line, lines_host(lines));
    line_text(line, "\",\"user\":\"");
    line_text(line, PICK(lines, people));
    line_text(line, "\",\"trace\":\"");
    line_token(line, lines, 32);
    line_text(line, "\",\"msg\":\"");
    line_event(line, lines);
    uint32_t frames = lines_below(lines, 40) == 0 ? 4 + lines_below(lines, 20) : 0;
    for (uint32_t i = 0; i < frames; i++) { /* now and then a stack trace, on its one line */
        line_text(line, "\\n\\tat shop.example.");
        line_text(line, PICK(lines, programs));
        line_text(line, ".Handler.invoke(Handler.java:");
        line_number(line, lines_below(lines, 900) + 1, 1);
        line_text(line, ")");
    }
    line_text(line, "\",\"took_ms\":");
    line_number(line, lines_below(lines, 1000), 1);
    line_text(line, "}");
}

static void line_syslog(struct line *line, struct lines *lines)
{
    line_text(line, "<");
    line_number(line, 8 + lines_below(lines, 180), 1);
    line_text(line, ">1 ");
    line_time(line, lines->time_ms, 'T');
    line_text(line, "Z ");
    line_text(line, lines_host(lines));
    line_text(line, " ");
    line_text(line, PICK(lines, programs));
    line_text(line, "[");
    line_number(line, 300 + lines_below(lines, 32000), 1);
    line_text(line, "]: #");
    line_number(line, lines->number, 1);
    line_text(line, " ");
    line_event(line, lines);
    if (lines_below(lines, 4) == 0) {
        line_text(line, " from ");
        line_address(line, lines);
        line_text(line, " port ");
        line_number(line, 1024 + lines_below(lines, 60000), 1);
    }
}

static void line_access(struct line *line, struct lines *lines)
{
    line_address(line, lines);
    line_text(line, " - ");
    line_text(line, PICK(lines, people));
    line_text(line, " [");
    line_time(line, lines->time_ms, ' ');
    line_text(line, "] \"");
    line_text(line, PICK(lines, verbs));
    line_text(line, " /shop/item/");
    line_number(line, lines_below(lines, 20000), 5);
    line_text(line, "?ref=");
    line_token(line, lines, 8 + lines_below(lines, 24));
    line_text(line, " HTTP/1.1\" ");
    line_text(line, lines_below(lines, 20) == 0 ? "404 " : "200 ");
    line_number(line, lines_below(lines, 65536), 1);
    line_text(line, " \"");
    line_text(line, PICK(lines, agents));
    line_text(line, "\" ");
    line_number(line, lines->number, 1);
}

static void lines_next(struct lines *lines, struct line *line)
{
    line->bytes = 0;
    lines->time_ms += lines_below(lines, 8);
    uint32_t kind = lines_below(lines, 10);
    if (kind < 5) {
        line_json(line, lines);
    } else if (kind < 8) {
        line_syslog(line, lines);
    } else {
        line_access(line, lines);
    }
    lines->number++;
}

/* The last line is a token of just the length that is left, its newline included. */
static void lines_last(struct lines *lines, struct line *line, uint64_t bytes)
{
    assert(bytes >= 1 && bytes < LINE_BYTES_MAX);
    line->bytes = 0;
    line_token(line, lines, (uint32_t)bytes - 1);
}

static int lines_write(struct lines *lines, uint64_t bytes)
{
    struct line line;
    while (bytes > 0) {
        lines_next(lines, &line);
        if (line.bytes + 1 + LAST_LINE_BYTES_MIN > bytes) {
            lines_last(lines, &line, bytes);
        }
        line.text[line.bytes++] = '\n';
        if (fwrite(line.text, 1, line.bytes, stdout) != line.bytes) {
            return -EIO;
        }
        bytes -= line.bytes;
    }
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static bool number_read(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

int main(int argc, char **argv)
{
    struct lines lines = {.time_ms = 8 * 60 * 60 * 1000};
    uint64_t bytes;
    if (argc != 3 || !number_read(argv[1], &lines.random) || !number_read(argv[2], &bytes)) {
        fprintf(stderr, "usage: lines SEED BYTES > FILE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOFBF, BUFFER_BYTES);
    if (lines_write(&lines, bytes) != 0) {
        perror("lines");
        return 1;
    }
    return 0;
}
