/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as nanoseconds since 1970-01-01T00:00:00Z in int64_t, and their texts. Any thread.
 */
#ifndef BASE_TIMEFMT_H
#define BASE_TIMEFMT_H

#include <stdint.h>

/* Room for any text made here, its NUL included. */
#define TIMEFMT_MAX 48
#define NS_PER_SEC  1000000000LL

/* The system's real-time clock, ns since 1970. */
int64_t time_now_ns(void);

/* The monotonic clock, ns since some fixed point. */
int64_t time_mono_ns(void);

/* "2026-11-22T12:46:38.123Z" into out[TIMEFMT_MAX]. */
void timefmt_iso_ms(int64_t ns, char *out);

/* "2026-11-22T12:46:38.123456789Z" (LTFS 2.4, nine decimals) into out[TIMEFMT_MAX]. */
void timefmt_iso_ns(int64_t ns, char *out);

/* "2026-11-22T12:46:38.000Z" (S3's XML form, whole seconds) into out[TIMEFMT_MAX]. */
void timefmt_iso_s3(int64_t ns, char *out);

/* "Sun, 22 Nov 2026 12:46:38 GMT" (RFC 9110, 5.6.7) into out[TIMEFMT_MAX]. */
void timefmt_http(int64_t ns, char *out);

/* "2026-11-22 12:46:38" in local time into out[TIMEFMT_MAX]. */
void timefmt_local(int64_t ns, char *out);

/* Parses YYYY-MM-DD, then optionally one of "T", " ", "@" and HH:MM:SS with up to nine decimals and
 * an optional Z; UTC. Returns 0 with *ns set, or -EINVAL. */
int timefmt_parse_iso(const char *s, int64_t *ns);

#endif
