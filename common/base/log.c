// SPDX-License-Identifier: Apache-2.0
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/limits.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LogLevel stderr_level = LOG_WARNING;
static const char *program = "auscult";
static FILE *file;
static void (*before_stderr_line)(void);

static const char *const LEVEL_NAMES[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

void log_set_level(LogLevel level) {
    stderr_level = level;
}

void log_set_program(const char *name) {
    program = name;
}

void log_set_hook(void (*before_line)(void)) {
    before_stderr_line = before_line;
}

Status log_open(const char *path) {
    FILE *opened = fopen(path, "ae");
    if (opened == NULL) {
        return status_set(STATUS_IO, "cannot open log %s: %s", path, strerror(errno));
    }
    setvbuf(opened, NULL, _IOLBF, 0);
    log_close();
    pthread_mutex_lock(&lock);
    file = opened;
    pthread_mutex_unlock(&lock);
    return STATUS_OK;
}

void log_close(void) {
    pthread_mutex_lock(&lock);
    if (file != NULL) {
        fclose(file);
        file = NULL;
    }
    pthread_mutex_unlock(&lock);
}

static void write_file_line(LogLevel level, const char *text) {
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char stamp[32];
    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(file, "%s.%03dZ %s %s\n", stamp, (int)(now_ms % 1000), LEVEL_NAMES[level], text);
}

void log_line(LogLevel level, const char *format, ...) {
    char text[2 * LIMIT_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    // What came over the network or from a file name must not steer a terminal or forge a line.
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            *c = '?';
        }
    }
    pthread_mutex_lock(&lock);
    if (level <= stderr_level) {
        if (before_stderr_line != NULL) {
            before_stderr_line();
        }
        const char *word = level <= LOG_WARNING ? LEVEL_NAMES[level] : "";
        fprintf(stderr, "%s: %s%s%s\n", program, word, word[0] != '\0' ? ": " : "", text);
    }
    if (file != NULL) {
        write_file_line(level, text);
    }
    pthread_mutex_unlock(&lock);
}
