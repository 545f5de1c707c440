// SPDX-License-Identifier: Apache-2.0
//
// Models that are not trained here: their network was made elsewhere and is the same for all of
// them, so that they score at once.
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "common/engine/network.h"
#include "coordinator/plan/state.h"

bool foreign_is(const Plan *plan, uint32_t model) {
    return plan->models.models[model].settings->network[0] != '\0';
}

uint64_t foreign_epochs(const Plan *plan, uint32_t model) {
    return foreign_is(plan, model) ? 0 : (uint64_t)plan->models.models[model].settings->epochs;
}

// The network says all that matters; scores have the settings in their keys beside it.
static Status make_key(const Plan *plan, uint32_t model, Digest *ret_key) {
    DigestStream *stream = digest_begin();
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    digest_add_text(stream, "network");
    digest_add(stream, plan->config.arithmetic.bytes, sizeof plan->config.arithmetic.bytes);
    digest_add_text(stream, plan->models.models[model].settings->network);
    *ret_key = digest_end(stream);
    return STATUS_OK;
}

Status foreign_begin(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    ModelState *state = &plan->model_states[model];
    bool has_clips = false;
    for (uint32_t i = 0; i < facts->train_count; i++) {
        has_clips |= plan_is_used(plan, model, facts->train[i]);
    }
    for (uint32_t i = 0; i < facts->test_count; i++) {
        has_clips |= plan_is_used(plan, model, facts->test[i]);
    }
    state->epochs = (uint32_t)facts->settings->epochs; // as if trained: what is done counts
    if (!has_clips) {
        plan_fail_model(plan, model, "it has no clips that can be used");
        return STATUS_OK;
    }
    return make_key(plan, model, &plan->work[model].key);
}

Status foreign_write(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    const Machine *machine = &plan->config.dataset->machines[facts->machine];
    const Buffer *bytes = plan->config.network;
    ModelFile file = model_file_blank();
    Status status = bytes != NULL
                        ? network_read(buffer_cstr(bytes), bytes->size, &file.network)
                        : status_set(STATUS_NOT_FOUND, "the network of this run is not there");
    if (status != STATUS_OK) {
        return status;
    }
    file.settings = *facts->settings;
    file.rate_hz = plan->model_states[model].rate_hz;
    snprintf(file.machine, sizeof file.machine, "%s", machine->name);
    snprintf(file.section, sizeof file.section, "%s", facts->section);
    snprintf(file.set, sizeof file.set, "%s", dataset_set_text(machine->set));
    model_file_write(&file, &plan->model_states[model].file);
    model_file_done(&file);
    return plan->model_states[model].file.status;
}
