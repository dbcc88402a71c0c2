/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to standard error (journald or a file takes them): "TIME LEVEL PROGRAM: text". One line
 * a call; control characters in the text are escaped, so that a name cannot forge a line. Any
 * thread. An error is logged once, by whoever stops it.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets the program's name (static storage) and the highest level written. Call once, before
 * threads. */
void log_init(const char *program, enum log_level level);

/* Writes one line in printf form when level is enabled. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Turns a level's name (err, warn, info, debug) into *out. Returns 0, or -EINVAL for another name.
 */
int log_level_parse(const char *name, enum log_level *out);

#define log_err(...)   log_write(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
