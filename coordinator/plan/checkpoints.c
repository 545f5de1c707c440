// SPDX-License-Identifier: Apache-2.0
//
// Where a model's training stands on disk: which states the journal knows, whether they are of this
// training, and going on from the newest one whose file is whole. A model has a folder of its own
// for them, called after what varies in the run; when that changes it keeps the folder it has.
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/variants.h"
#include "coordinator/plan/state.h"

Status plan_model_folder(const Plan *plan, uint32_t model, char *out, size_t size) {
    return file_join(out, size, "data", plan->models.models[model].folder);
}

// The states in a folder, as the journal knows it, that are of this model's training, newest first.
static Status states_in(const Plan *plan, uint32_t model, const char *folder,
                        JournalState states[2], uint32_t *ret_count) {
    JournalState known[2];
    uint32_t known_count = 0, count = 0;
    Status status = journal_states(plan->config.journal, folder, known, &known_count);
    for (uint32_t i = 0; status == STATUS_OK && i < known_count; i++) {
        bool is_reachable = known[i].epoch <= (uint32_t)plan->models.models[model].settings->epochs;
        if (is_reachable && digest_equal(known[i].plan, plan->work[model].key)) {
            states[count++] = known[i];
        }
    }
    *ret_count = count;
    return status;
}

// A folder beside the model's own where this training stands further than at *epoch, or as far and
// comes first by name: so that the order in which a disk lists them does not matter.
static Status look_in(const Plan *plan, uint32_t model, const char *folder, uint32_t *epoch,
                      char best[LIMIT_PATH_BYTES]) {
    JournalState states[2];
    uint32_t count = 0;
    Status status = states_in(plan, model, folder, states, &count);
    if (status == STATUS_OK && count > 0 &&
        (states[0].epoch > *epoch ||
         (states[0].epoch == *epoch && best[0] != '\0' && strcmp(folder, best) < 0))) {
        *epoch = states[0].epoch;
        text_copy(best, LIMIT_PATH_BYTES, folder);
    }
    return status;
}

// What varies, and so what folders are called, may change while trainings stay what they are: where
// the model's own folder has nothing of this training, the one beside it that has most. "" if none.
static Status look_beside(const Plan *plan, uint32_t model, char best[LIMIT_PATH_BYTES]) {
    char own[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES], folder[LIMIT_PATH_BYTES];
    uint32_t epoch = 0;
    best[0] = '\0';
    Status status = plan_model_folder(plan, model, own, sizeof own);
    if (status != STATUS_OK) {
        return status;
    }
    int length = (int)(file_name(own) - own) - 1; // of the machine's or section's
    int used = snprintf(path, sizeof path, "%s/%.*s", plan->config.run_folder, length, own);
    DIR *entries = used >= 0 && (size_t)used < sizeof path ? opendir(path) : NULL;
    for (struct dirent *entry;
         status == STATUS_OK && entries != NULL && (entry = readdir(entries)) != NULL;) {
        used = snprintf(folder, sizeof folder, "%.*s/%s", length, own, entry->d_name);
        if (variants_is_name(entry->d_name) && used >= 0 && (size_t)used < sizeof folder) {
            status = look_in(plan, model, folder, &epoch, best);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return status;
}

// The states that the model's training can go on from, newest first, and where they are.
static Status find_states(const Plan *plan, uint32_t model, char folder[LIMIT_PATH_BYTES],
                          JournalState states[2], uint32_t *ret_count) {
    char beside[LIMIT_PATH_BYTES];
    *ret_count = 0;
    Status status = plan_model_folder(plan, model, folder, LIMIT_PATH_BYTES);
    if (status == STATUS_OK) {
        status = states_in(plan, model, folder, states, ret_count);
    }
    if (status != STATUS_OK || *ret_count > 0) {
        return status;
    }
    status = look_beside(plan, model, beside);
    if (status == STATUS_OK && beside[0] != '\0') {
        text_copy(folder, LIMIT_PATH_BYTES, beside);
        status = states_in(plan, model, folder, states, ret_count);
    }
    return status;
}

static bool is_of_another(const Plan *plan, uint32_t model, const char *folder) {
    for (uint32_t m = 0; m < plan->models.count; m++) {
        if (m != model && strcmp(plan->models.models[m].folder, folder) == 0) {
            return true;
        }
    }
    return false;
}

Status checkpoint_settle(Plan *plan, uint32_t model) {
    static const char ABOVE[] = "data/"; // of plan_model_folder
    char folder[LIMIT_PATH_BYTES];
    JournalState states[2];
    uint32_t count = 0;
    Model *facts = &plan->models.models[model];
    Status status = find_states(plan, model, folder, states, &count);
    const char *name = folder + sizeof ABOVE - 1;
    if (status == STATUS_OK && count > 0 && strcmp(name, facts->folder) != 0 &&
        !is_of_another(plan, model, name)) {
        text_copy(facts->folder, sizeof facts->folder, name);
    }
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
    Status status = find_states(plan, model, folder, states, &count);
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
    Status status = find_states(plan, model, folder, states, &count);
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
