// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/status_file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"

enum {
    STATUS_BYTES = 4 << 20,  // a thousand workers and the models of the list take 1 MB
    SILENT_MS = 10 * 1000,   // ten times the interval at which it is written
    REPORT_MS = 3600 * 1000, // it is not, while results are written
};

Status status_file_write(const char *run_folder, const Snapshot *snapshot) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    snapshot_json(snapshot, &text);
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

// A process of this machine can be asked for; of another one only the file's age tells.
static bool is_alive(const Snapshot *snapshot) {
    char name[LIMIT_NAME_BYTES] = "", here[LIMIT_NAME_BYTES];
    int64_t age_ms = clock_wall_ms() - (int64_t)snapshot->written_ms;
    (void)gethostname(name, sizeof name - 1);
    snapshot_text(here, sizeof here, name);
    bool is_here = strcmp(snapshot->host, here) == 0;
    int64_t most_ms = snapshot->stage == AT_REPORT ? REPORT_MS : SILENT_MS;
    if (snapshot->state != RUN_RUNNING || age_ms > most_ms || snapshot->process == 0 ||
        snapshot->process > INT32_MAX) {
        return false;
    }
    return !is_here || kill((pid_t)snapshot->process, 0) == 0 || errno == EPERM;
}

Status status_file_read(const char *run_folder, Buffer *text, Snapshot **ret, bool *ret_is_alive) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run_folder, "status.json");
    if (status == STATUS_OK) {
        status = file_read(path, STATUS_BYTES, text);
    }
    if (status == STATUS_OK) {
        status = snapshot_from_json(path, buffer_cstr(text), text->size, ret);
    }
    if (status == STATUS_OK) {
        *ret_is_alive = is_alive(*ret);
    }
    return status;
}
