// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan/status_file.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"

enum {
    STATUS_BYTES = 65536,  // far more than is ever written
    SILENT_MS = 10 * 1000, // ten times the interval at which it is written
};

static const char *const STATES[] = {"running", "stopped", "failed", "done"};
static const char *const STAGES[] = {"extract", "train", "score", "report"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *key;
    size_t offset; // of the uint64_t in StatusFacts
} NUMBERS[] = {
    {"clips_read", offsetof(StatusFacts, clips_read)},
    {"clips", offsetof(StatusFacts, clips)},
    {"epochs_trained", offsetof(StatusFacts, epochs_trained)},
    {"epochs", offsetof(StatusFacts, epochs)},
    {"clips_scored", offsetof(StatusFacts, clips_scored)},
    {"clips_to_score", offsetof(StatusFacts, clips_to_score)},
    {"clips_left_out", offsetof(StatusFacts, clips_left_out)},
    {"models_failed", offsetof(StatusFacts, models_failed)},
    {"models_stranded", offsetof(StatusFacts, models_stranded)},
    {"workers", offsetof(StatusFacts, workers)},
};

const char *run_state_text(RunState state) {
    return STATES[state];
}

static void host_name(char out[LIMIT_NAME_BYTES]) {
    if (gethostname(out, LIMIT_NAME_BYTES) != 0) {
        out[0] = '\0';
    }
    out[LIMIT_NAME_BYTES - 1] = '\0';
}

Status status_file_write(const char *run_folder, const StatusFacts *facts) {
    char path[LIMIT_PATH_BYTES], host[LIMIT_NAME_BYTES];
    Buffer text = BUFFER_EMPTY;
    host_name(host);
    buffer_format(&text, "{\n  \"state\": \"%s\",\n  \"stage\": \"%s\",\n", STATES[facts->state],
                  facts->stage);
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) {
        uint64_t value;
        memcpy(&value, (const char *)facts + NUMBERS[i].offset, sizeof value);
        buffer_format(&text, "  \"%s\": %llu,\n", NUMBERS[i].key, (unsigned long long)value);
    }
    buffer_text(&text, "  \"host\": ");
    buffer_json(&text, host);
    buffer_format(&text, ",\n  \"process\": %ld,\n  \"written_ms\": %lld\n}\n", (long)getpid(),
                  (long long)clock_wall_ms());
    Status status = text.status;
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, run_folder, "status.json");
    }
    if (status == STATUS_OK) {
        status = file_replace(path, buffer_cstr(&text), text.size);
    }
    buffer_done(&text);
    return status;
}

// The value behind "key": in a file of ours, without its quotes. False when it is not there.
static bool find_value(const char *text, const char *key, char *out, size_t size) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *value = strstr(text, quoted);
    if (value == NULL) {
        return false;
    }
    value += strlen(quoted);
    value += *value == '"';
    snprintf(out, size, "%.*s", (int)strcspn(value, "\",\n"), value);
    return true;
}

static int word_of(const char *text, const char *key, const char *const *words, size_t count) {
    char value[64];
    for (size_t i = 0; find_value(text, key, value, sizeof value) && i < count; i++) {
        if (strcmp(value, words[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int64_t number_of(const char *text, const char *key) {
    char value[64];
    int64_t number;
    bool found = find_value(text, key, value, sizeof value) &&
                 text_to_int(value, &number) == STATUS_OK && number >= 0;
    return found ? number : -1;
}

// A process of this machine can be asked for; of another one only the file's age tells.
static bool is_alive(const char *text) {
    char here[LIMIT_NAME_BYTES], host[LIMIT_NAME_BYTES];
    int64_t process = number_of(text, "process");
    host_name(here);
    if (clock_wall_ms() - number_of(text, "written_ms") > SILENT_MS || process <= 0) {
        return false;
    }
    bool is_here = find_value(text, "host", host, sizeof host) && strcmp(host, here) == 0;
    return !is_here || kill((pid_t)process, 0) == 0 || errno == EPERM;
}

Status status_file_read(const char *run_folder, Buffer *text, StatusFacts *ret_facts,
                        bool *ret_is_alive) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run_folder, "status.json");
    if (status == STATUS_OK) {
        status = file_read(path, STATUS_BYTES, text);
    }
    if (status != STATUS_OK) {
        return status;
    }
    StatusFacts facts = {.stage = NULL};
    int state = word_of(buffer_cstr(text), "state", STATES, COUNT_OF(STATES));
    int stage = word_of(buffer_cstr(text), "stage", STAGES, COUNT_OF(STAGES));
    bool fine = state >= 0 && stage >= 0;
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) {
        int64_t number = number_of(buffer_cstr(text), NUMBERS[i].key);
        uint64_t value = (uint64_t)number;
        fine = fine && number >= 0;
        memcpy((char *)&facts + NUMBERS[i].offset, &value, sizeof value);
    }
    if (!fine) {
        return status_set(STATUS_FORMAT, "%s is not well formed", path);
    }
    facts.state = (RunState)state;
    facts.stage = STAGES[stage];
    *ret_facts = facts;
    *ret_is_alive = state == RUN_RUNNING && is_alive(buffer_cstr(text));
    return STATUS_OK;
}
