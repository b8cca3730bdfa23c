/*
 * report -- what the broker says of itself, to people: lines of text, or of JSON.
 *
 *      2026-11-21T05:00:00.123Z WARN journal: cannot write odradek-3.journal: No space left ...
 *
 * Rate-limited per cause: the first few of a minute are printed, then how many there were. No line
 * per request. Strangers' bytes are printed escaped. Thread-safe.
 */
#ifndef CORE_REPORT_H
#define CORE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum report_level { REPORT_ERROR, REPORT_WARN, REPORT_INFO, REPORT_DEBUG };

struct reports; /* report.c */

/* fd: where lines go (borrowed). NULL when out of memory. */
struct reports *reports_new(int fd, enum report_level level, bool json);
void reports_free(struct reports *reports);

/* cause: a short constant, the unit of rate limiting, such as "journal". wall_ms: reactor_wall_ms.
 * reports may be NULL: nothing is said. */
void report(struct reports *reports, enum report_level level, int64_t wall_ms, const char *cause,
            const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
