// SPDX-License-Identifier: Apache-2.0
//
// Where a model's training stands on disk: which states the journal knows, whether they are of this
// training, and going on from the newest one whose file is whole.
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "coordinator/plan/state.h"

Status plan_model_folder(const Plan *plan, uint32_t model, char *out, size_t size) {
    return file_join(out, size, "data", plan->models.models[model].folder);
}

// The states in the model's folder that are of this training, newest first.
static Status find_states(const Plan *plan, uint32_t model, char *folder, size_t folder_size,
                          JournalState states[2], uint32_t *ret_count) {
    JournalState known[2];
    uint32_t known_count = 0, count = 0;
    Status status = plan_model_folder(plan, model, folder, folder_size);
    if (status == STATUS_OK) {
        status = journal_states(plan->config.journal, folder, known, &known_count);
    }
    for (uint32_t i = 0; status == STATUS_OK && i < known_count; i++) {
        bool is_reachable = known[i].epoch <= (uint32_t)plan->models.models[model].settings->epochs;
        if (is_reachable && digest_equal(known[i].plan, plan->work[model].key)) {
            states[count++] = known[i];
        }
    }
    *ret_count = count;
    return status;
}

Status checkpoint_put(Plan *plan, TaskTag tag, uint32_t model) {
    const ModelWork *work = &plan->work[model];
    const Buffer *state = training_state(work->training);
    char folder[LIMIT_PATH_BYTES];
    Status status = plan_model_folder(plan, model, folder, sizeof folder);
    return status == STATUS_OK
               ? journal_put_state(plan->config.journal, tag, folder, work->key,
                                   training_epoch(work->training), state->bytes, state->size)
               : status;
}

uint32_t checkpoint_epochs(const Plan *plan, uint32_t model) {
    char folder[LIMIT_PATH_BYTES];
    JournalState states[2];
    uint32_t count = 0;
    Status status = find_states(plan, model, folder, sizeof folder, states, &count);
    return status == STATUS_OK && count > 0 ? states[0].epoch : 0;
}

uint32_t checkpoint_epochs_of_others(const Plan *plan, uint32_t model) {
    char folder[LIMIT_PATH_BYTES];
    JournalState states[2];
    uint32_t count = 0;
    Status status = plan_model_folder(plan, model, folder, sizeof folder);
    if (status == STATUS_OK) {
        status = journal_states(plan->config.journal, folder, states, &count);
    }
    if (status != STATUS_OK || count == 0) {
        return 0;
    }
    bool is_ours = digest_equal(states[0].plan, plan->work[model].key) &&
                   states[0].epoch <= (uint32_t)plan->models.models[model].settings->epochs;
    return is_ours ? 0 : states[0].epoch;
}

static Status resume_from(Plan *plan, uint32_t model, const char *folder,
                          const JournalState *state) {
    char path[LIMIT_PATH_BYTES];
    int used =
        snprintf(path, sizeof path, "%s/%s/%s", plan->config.run_folder, folder, state->file);
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    Buffer bytes = BUFFER_EMPTY;
    Status status = file_read(path, PROTO_BLOB_BYTES, &bytes);
    if (status == STATUS_OK &&
        !digest_equal(digest_of(buffer_cstr(&bytes), bytes.size), state->digest)) {
        status = status_set(STATUS_FORMAT, "%s is damaged: it does not match the journal", path);
    }
    if (status == STATUS_OK) {
        status = training_resume(plan->work[model].training, bytes.bytes, bytes.size);
    }
    buffer_done(&bytes);
    return status;
}

Status checkpoint_resume(Plan *plan, uint32_t model) {
    char folder[LIMIT_PATH_BYTES];
    JournalState states[2];
    uint32_t count = 0;
    Status status = find_states(plan, model, folder, sizeof folder, states, &count);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        Status resumed = resume_from(plan, model, folder, &states[i]);
        if (resumed == STATUS_OK) {
            return STATUS_OK;
        }
        if (resumed == STATUS_MEMORY) {
            return resumed;
        }
        char next[64] = "it is trained anew";
        if (i + 1 < count) {
            snprintf(next, sizeof next, "it goes on from epoch %u", states[i + 1].epoch);
        }
        plan_warn(plan, "%s: %.400s; %s", plan->models.models[model].label, status_message(), next);
    }
    return status;
}
