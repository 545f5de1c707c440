// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "coordinator/live/words.h"

enum {
    TERMINAL_MS = 100, // between redraws
    PLAIN_MS = 5000,   // between plain lines
};

struct Progress {
    bool is_quiet, is_terminal;
    char stage[32];         // under way
    int64_t since_ms;       // the stage began
    uint64_t done_at_start; // what a resumed run found done
    int64_t last_ms;        // last line
    ProgressFacts last;
};

// The wiping of a half-drawn line is the log's business too: one line is open at most.
static bool line_is_open;

static void wipe(void) {
    if (line_is_open) {
        fputs("\r\033[K", stderr);
        line_is_open = false;
    }
}

Progress *progress_new(bool is_quiet) {
    Progress *progress = mem_new(1, sizeof *progress);
    if (progress != NULL) {
        progress->is_quiet = is_quiet;
        progress->is_terminal = isatty(STDERR_FILENO) == 1;
        log_set_hook(wipe);
    }
    return progress;
}

static void append(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t size, const char *format, ...) {
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, size - used, format, args);
    va_end(args);
}

void progress_format(const ProgressFacts *facts, uint64_t start, double seconds, char *out,
                     size_t size) {
    uint64_t done = facts->done;
    // A training that begins anew takes its epochs back, and may end up below where it started.
    double rate = seconds > 0 && done > start ? (double)(done - start) / seconds : 0;
    char time[WORDS_BYTES];
    out[0] = '\0';
    append(out, size, "%-8s %llu/%llu %s", facts->stage, (unsigned long long)done,
           (unsigned long long)facts->total, facts->unit);
    if (done >= facts->total && done > 0) {
        words_time(time, seconds);
        append(out, size, ", done in %s", time);
    } else if (rate > 0) {
        words_time(time, (double)(facts->total - done) / rate);
        append(out, size, ", %.*f/s, %s left", rate < 10 ? 1 : 0, rate, time);
    }
    append(out, size, ", %u worker%s", facts->workers, facts->workers == 1 ? "" : "s");
    if (facts->stranded > 0) {
        append(out, size, ", %llu model%s for a worker that can read the data",
               (unsigned long long)facts->stranded, facts->stranded == 1 ? " waits" : "s wait");
    }
    if (!isnan(facts->loss)) {
        append(out, size, ", loss %.4g", facts->loss);
    }
}

static void print(Progress *progress, const ProgressFacts *facts, int64_t now_ms, bool is_last) {
    char line[256];
    progress_format(facts, progress->done_at_start, (double)(now_ms - progress->since_ms) / 1000.0,
                    line, sizeof line);
    wipe();
    if (progress->is_terminal && !is_last) {
        fputs(line, stderr);
        line_is_open = true;
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
    progress->last_ms = now_ms;
}

static void end_stage(Progress *progress, int64_t now_ms) {
    if (progress->stage[0] != '\0') {
        ProgressFacts last = progress->last;
        last.stage = progress->stage;
        last.done = last.total; // or it would not have ended
        print(progress, &last, now_ms, true);
        progress->stage[0] = '\0';
    }
}

void progress_free(Progress *progress) {
    if (progress != NULL) {
        wipe();
        log_set_hook(NULL);
        mem_free(progress);
    }
}

void progress_tick(Progress *progress, const ProgressFacts *facts, int64_t now_ms) {
    if (progress->is_quiet) {
        return;
    }
    if (facts->stage == NULL || strcmp(facts->stage, progress->stage) != 0) {
        end_stage(progress, now_ms);
        if (facts->stage == NULL) {
            return;
        }
        snprintf(progress->stage, sizeof progress->stage, "%s", facts->stage);
        progress->since_ms = now_ms;
        progress->done_at_start = facts->done;
        progress->last_ms = now_ms - (progress->is_terminal ? TERMINAL_MS : PLAIN_MS - 1000);
    }
    progress->last = *facts;
    int64_t wait_ms = progress->is_terminal ? TERMINAL_MS : PLAIN_MS;
    if (now_ms - progress->last_ms >= wait_ms) {
        print(progress, facts, now_ms, false);
    }
}
