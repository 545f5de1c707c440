// SPDX-License-Identifier: Apache-2.0
//
// Models that several workers train together: sums that come in, totals that go out to every
// member, and groups that break. What the sums are is the owner's affair.
#include <assert.h>

#include "coordinator/core/state.h"

void group_broken(Core *core, TaskTag tag, int64_t now_ms) {
    lease_end_all(core, tag, now_ms);
    core->tasks[tag].owing = 0;
    core->trains_running--;
    core->counts.retries++;
    core->config.hooks.group_changed(core->config.hooks.context, tag, 0);
    trouble_settle(core, tag, now_ms);
}

static void broadcast_total(Core *core, TaskTag tag, const Message *sum, BlobKind kind,
                            Buffer *total, int64_t now_ms) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = kind;
    header.blob.task = tag;
    header.blob.epoch = sum->blob.epoch;
    header.blob.round = sum->blob.round;
    header.blob.total_bytes = total->size;
    header.blob.digest = digest_of(total->bytes, total->size);
    for (Lease *lease = core->tasks[tag].leases; lease != NULL; lease = lease->next_of_task) {
        if (lease->state != LEASE_GIVEN) {
            continue;
        }
        lease->waits = false;
        lease_renew(core, lease, now_ms);
        header.blob.attempt = core_attempt(core, lease->counter);
        CoreAction *action = core_act(core, CORE_TOTAL);
        action->peer = lease->session->peer;
        action->tag = tag;
        action->message = header;
        action->blob = *total;
        *total = BUFFER_EMPTY;
    }
}

static void on_sum(Core *core, Lease *lease, const Message *header, const void *bytes, size_t size,
                   int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    TaskTag tag = lease->tag;
    CoreSum sum = {header->blob.kind,
                   header->blob.epoch,
                   header->blob.round,
                   {lease->first, lease->count},
                   bytes,
                   size};
    if (header->blob.first != lease->first || header->blob.count != lease->count) {
        status_set(STATUS_FORMAT, "a sum of shards that it does not own");
        answer_refuse(core, lease->session, tag, now_ms);
        return;
    }
    Buffer total = BUFFER_EMPTY;
    BlobKind total_kind = BLOB_TOTAL;
    lease->waits = true;
    lease_renew(core, lease, now_ms);
    Status status = hooks->take_sum(hooks->context, tag, &sum, &total, &total_kind);
    if (status == STATUS_OK) {
        broadcast_total(core, tag, header, total_kind, &total, now_ms);
    } else if (status == STATUS_INVALID) {
        group_broken(core, tag, now_ms);
        queue_remove(core, tag);
        trouble_doubt(core, tag, CORE_IMPOSSIBLE, total.bytes, total.size);
    } else if (status != STATUS_AGAIN) {
        answer_refuse(core, lease->session, tag, now_ms);
    }
    buffer_done(&total);
}

static void on_state(Core *core, Lease *lease, const void *bytes, size_t size, int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    bool alone = lease->count == core->tasks[lease->tag].shards;
    Status status = alone ? hooks->take_state(hooks->context, lease->tag, bytes, size)
                          : status_set(STATUS_FORMAT, "a state from a member of a group");
    if (status != STATUS_OK) {
        answer_refuse(core, lease->session, lease->tag, now_ms);
    } else if (lease->answer.size > 0) {
        answer_try(core, lease, lease->answer.bytes, lease->answer.size, now_ms);
    }
}

void group_blob(Core *core, Session *session, const Message *header, const void *bytes, size_t size,
                int64_t now_ms) {
    Lease *lease = lease_find(core, session, header->blob.task, header->blob.attempt);
    if (lease == NULL || core->tasks[lease->tag].kind != TASK_TRAIN) {
        return; // it crossed a CANCEL
    }
    switch (header->blob.kind) {
    case BLOB_STATE:
        on_state(core, lease, bytes, size, now_ms);
        break;
    case BLOB_SCALER_SUM:
    case BLOB_PARTIAL:
    case BLOB_VALIDATION_SUM:
        on_sum(core, lease, header, bytes, size, now_ms);
        break;
    case BLOB_OBJECT:
    case BLOB_SCALER_TOTAL:
    case BLOB_TOTAL:
    case BLOB_VALIDATION_TOTAL:
        status_set(STATUS_FORMAT, "a blob that only a coordinator sends");
        answer_refuse(core, session, lease->tag, now_ms);
        break;
    }
}
