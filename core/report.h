/*
 * report -- what the broker says of itself, to people: lines of text, or of JSON.
 *
 *      2026-11-21T05:00:00.123Z WARN journal: cannot write odradek-3.journal: No space left ...
 *
 * Rate-limited per level and cause: the first few of a minute are printed, then how many there
 * were. No line per request. Strangers' bytes are printed escaped. A reader who does not read (a
 * full pipe) loses lines and is told how many; nobody waits for it. Thread-safe.
 */
#ifndef CORE_REPORT_H
#define CORE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report_level { REPORT_ERROR, REPORT_WARN, REPORT_INFO, REPORT_DEBUG };

struct reports; /* report.c */

/* fd: where lines go (borrowed). NULL when out of memory. */
struct reports *reports_new(int fd, enum report_level level, bool json);
void reports_free(struct reports *reports);

/* Say what rate limiting has held back until now; reports_free does so too. */
void reports_settle(struct reports *reports, int64_t wall_ms);

/* cause: a short constant, the unit of rate limiting, such as "journal". wall_ms: reactor_wall_ms.
 * reports may be NULL: nothing is said. */
void report(struct reports *reports, enum report_level level, int64_t wall_ms, const char *cause,
            const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Strangers' bytes made printable: what is not plain ASCII, and '"' and '\\', becomes \xNN; what
 * does not fit is cut off, with "..." in its place. Returns `into`, NUL-terminated. */
const char *report_escape(char *into, size_t into_bytes, const void *bytes, size_t count);

#endif
