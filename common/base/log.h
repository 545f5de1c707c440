// SPDX-License-Identifier: Apache-2.0
//
// The program's own log: lines on stderr and, once opened, in a file. Only loops and mains log;
// library code returns a Status instead. Any thread.
#ifndef AUSCULT_BASE_LOG_H
#define AUSCULT_BASE_LOG_H

#include "common/base/status.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } LogLevel;

// What stderr shows: LOG_WARNING by default, LOG_ERROR for -q, LOG_DEBUG for -v. The file gets
// everything up to LOG_DEBUG.
void log_set_level(LogLevel level);
// The word before each stderr line, "auscult" by default; borrowed for good.
void log_set_program(const char *name);
// Appends to the file from now on.
Status log_open(const char *path);
void log_close(void);

void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Called before a stderr line is printed, so that a progress line can be wiped first.
void log_set_hook(void (*before_line)(void));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

#endif
