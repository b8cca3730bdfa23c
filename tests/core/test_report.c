#define _GNU_SOURCE
#include "core/report.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2]; /* of a pipe: the reports' reader and writer */
static char said[1 << 16];

static const int64_t NOON_MS = 1795262400123; /* 2026-11-21T12:00:00.123Z */

static const char *read_said(void)
{
    ssize_t bytes = read(ends[0], said, sizeof(said) - 1);
    said[bytes > 0 ? bytes : 0] = '\0';
    return said;
}

static uint32_t lines_in(const char *text)
{
    uint32_t count = 0;
    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

static void setup(void)
{
    cr_assert_eq(pipe2(ends, 0), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

TestSuite(report, .init = setup);

Test(report, is_a_line_of_text)
{
    struct reports *reports = reports_new(ends[1], REPORT_INFO, false);
    report(reports, REPORT_WARN, NOON_MS, "journal", "cannot write %s: %d", "a", 5);
    cr_assert_str_eq(read_said(), "2026-11-21T12:00:00.123Z WARN journal: cannot write a: 5\n");
    report(reports, REPORT_DEBUG, NOON_MS, "journal", "too fine");
    cr_assert_str_eq(read_said(), "");
    report(NULL, REPORT_ERROR, NOON_MS, "journal", "nobody listens");
    reports_free(reports);
}

Test(report, is_a_line_of_json_whatever_it_says)
{
    struct reports *reports = reports_new(ends[1], REPORT_INFO, true);
    report(reports, REPORT_ERROR, NOON_MS, "disk", "a \"b\" \\ c\nd\x1b");
    cr_assert_str_eq(read_said(), "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"ERROR\","
                                  "\"cause\":\"disk\",\"message\":\"a \\\"b\\\" \\\\ "
                                  "c\\u000ad\\u001b\"}\n");
    reports_free(reports);
}

Test(report, stays_one_line_however_long_and_odd)
{
    struct reports *reports = reports_new(ends[1], REPORT_INFO, true);
    char odd[5000];
    memset(odd, '\n', sizeof(odd) - 1);
    odd[sizeof(odd) - 1] = '\0';
    report(reports, REPORT_ERROR, NOON_MS, "disk", "%s", odd);
    read_said();
    cr_assert_eq(lines_in(said), 1);
    cr_assert_lt(strlen(said), 4096);
    cr_assert_str_eq(said + strlen(said) - 3, "\"}\n");
    reports_free(reports);
}

/* Nothing but characters that are whole, escapes that are whole, and the closing quote. */
static bool is_json_text(const char *at)
{
    while (*at && *at != '"') {
        if (at[0] == '\\' && at[1] == 'u') {
            if (strspn(at + 2, "0123456789abcdef") < 4) {
                return false;
            }
            at += 6;
        } else if (at[0] == '\\') {
            at += 2;
        } else if ((uint8_t)*at >= 0x80) { /* of two bytes, in these tests */
            if ((at[0] & 0xe0) != 0xc0 || (at[1] & 0xc0) != 0x80) {
                return false;
            }
            at += 2;
        } else {
            at++;
        }
    }
    return strcmp(at, "\"}\n") == 0;
}

Test(report, is_cut_between_characters)
{
    static const char *const odd[] = {"\x01", "\"", "\xc3\xa4", "\xc3", "\xff"};
    static char causes[40][3]; /* outlive the reports; none is held back */
    struct reports *reports = reports_new(ends[1], REPORT_ERROR, true);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        for (int ahead = 0; ahead < 8; ahead++) {
            char text[1100] = "aaaaaaaa", *cause = causes[i * 8 + (size_t)ahead];
            cause[0] = (char)('a' + i);
            cause[1] = (char)('a' + ahead);
            text[ahead] = '\0';
            while (strlen(text) < sizeof(text) - 4) {
                strcat(text, odd[i]);
            }
            report(reports, REPORT_ERROR, NOON_MS, cause, "%s", text);
            const char *message = strstr(read_said(), "\"message\":\"");
            cr_assert_not_null(message);
            cr_assert(is_json_text(message + strlen("\"message\":\"")), "%zu, %d: ...%s", i, ahead,
                      said + strlen(said) - 20);
        }
    }
    reports_free(reports);
}

Test(report, holds_back_what_repeats_and_says_how_much_later)
{
    struct reports *reports = reports_new(ends[1], REPORT_INFO, false);
    for (uint32_t i = 0; i < 1000; i++) {
        report(reports, REPORT_WARN, NOON_MS + i, "disk", "again");
    }
    uint32_t printed = lines_in(read_said());
    cr_assert_leq(printed, 20);
    cr_assert_geq(printed, 1);
    report(reports, REPORT_WARN, NOON_MS, "net", "something else");
    cr_assert_not_null(strstr(read_said(), "something else"));
    report(reports, REPORT_WARN, NOON_MS + 61 * 1000, "disk", "next minute");
    char expected[80];
    snprintf(expected, sizeof(expected), "disk: %u more like these", 1000 - printed);
    cr_assert_not_null(strstr(read_said(), expected), "%s", said);
    cr_assert_not_null(strstr(said, "next minute"));
    for (uint32_t i = 0; i < 100; i++) {
        report(reports, REPORT_WARN, NOON_MS + 62 * 1000, "disk", "again");
    }
    read_said();
    reports_free(reports);
    cr_assert_not_null(strstr(read_said(), "more like these"), "the last word is said at the end");
}

Test(report, waits_for_no_reader)
{
    struct reports *reports = reports_new(ends[1], REPORT_INFO, false);
    fcntl(ends[1], F_SETPIPE_SZ, 16384);
    for (uint32_t i = 0; i < 200; i++) { /* would block for good, and the test time out */
        char cause[2] = {(char)('a' + i / 10), '\0'};
        report(reports, REPORT_WARN, NOON_MS, i % 2 ? "odd" : "even", "%s %0200d", cause, i);
        report(reports, REPORT_WARN, NOON_MS + 61000 * (int64_t)i, "far", "%0900d", i);
    }
    read_said();
    report(reports, REPORT_WARN, NOON_MS, "late", "is there room again?");
    cr_assert_not_null(strstr(read_said(), "lines were lost"), "%s", said);
    cr_assert_not_null(strstr(said, "room again"));
    reports_free(reports);
}

Test(report, escapes_strangers_bytes)
{
    char into[16];
    cr_assert_str_eq(report_escape(into, sizeof(into), "plain", 5), "plain");
    cr_assert_str_eq(report_escape(into, sizeof(into), "a\"\\\0", 4), "a\\x22\\x5c\\x00");
    cr_assert_str_eq(report_escape(into, sizeof(into), "", 0), "");
    cr_assert_str_eq(report_escape(into, sizeof(into), "0123456789abcde", 15), "0123456789abcde");
    cr_assert_str_eq(report_escape(into, sizeof(into), "0123456789abcdef", 16), "0123456789ab...");
    for (size_t room = 4; room < sizeof(into); room++) {
        memset(into, 'x', sizeof(into));
        report_escape(into, room, "\n\n\n\nabc\n\n\n", 10);
        cr_assert_lt(strlen(into), room);
        cr_assert_eq(into[room], 'x', "nothing behind the room is touched");
    }
}
