// SPDX-License-Identifier: Apache-2.0
#include "common/model/validation.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"

static const char MAGIC[4] = {'A', 'V', 'A', 'L'};

_Static_assert(sizeof(ValidationHead) == 32, "the block's layout");

struct ValidationSums {
    ValidationHead *head; // the block; sums and rows follow it
    size_t bytes;         // of the block
    double *loss;         // (rounds)
    int64_t *rows;        // (rounds)
};

ValidationSums *validation_new(int64_t rounds) {
    ValidationSums *sums = mem_new(1, sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    sums->bytes = sizeof(ValidationHead) + (size_t)rounds * (sizeof(double) + sizeof(int64_t));
    sums->head = mem_new_aligned(sums->bytes, 1);
    if (sums->head == NULL) {
        validation_free(sums);
        return NULL;
    }
    sums->head->block = block_head(MAGIC, VALIDATION_VERSION, sums->bytes);
    sums->head->rounds = rounds;
    sums->loss = (double *)(sums->head + 1);
    sums->rows = (int64_t *)(sums->loss + rounds);
    return sums;
}

void validation_free(ValidationSums *sums) {
    if (sums != NULL) {
        mem_free(sums->head);
        mem_free(sums);
    }
}

void validation_clear(ValidationSums *sums) {
    memset(sums->head + 1, 0, sums->bytes - sizeof *sums->head);
}

int64_t validation_rounds(const ValidationSums *sums) {
    return sums->head->rounds;
}

void validation_put(ValidationSums *sums, int64_t round, double loss, int64_t rows) {
    assert(round >= 0 && round < sums->head->rounds);
    sums->loss[round] += loss;
    sums->rows[round] += rows;
}

void validation_add(ValidationSums *left, const ValidationSums *right) {
    assert(left->head->rounds == right->head->rounds);
    for (int64_t r = 0; r < left->head->rounds; r++) {
        left->loss[r] += right->loss[r];
        left->rows[r] += right->rows[r];
    }
}

double validation_loss(const ValidationSums *sums) {
    double total = 0.0;
    int64_t counted = 0;
    for (int64_t r = 0; r < sums->head->rounds; r++) {
        if (sums->rows[r] > 0) {
            total += sums->loss[r] / (double)sums->rows[r];
            counted++;
        }
    }
    return counted == 0 ? 0.0 : total / (double)counted;
}

int64_t validation_losses(const ValidationSums *sums, double *out) {
    int64_t count = 0;
    for (int64_t r = 0; r < sums->head->rounds; r++) {
        if (sums->rows[r] > 0) {
            out[count++] = sums->loss[r] / (double)sums->rows[r];
        }
    }
    return count;
}

const void *validation_bytes(const ValidationSums *sums, size_t *ret_size) {
    *ret_size = sums->bytes;
    return sums->head;
}

static Status check_round(const char *loss_at, const char *rows_at) {
    double loss;
    int64_t rows;
    memcpy(&loss, loss_at, sizeof loss);
    memcpy(&rows, rows_at, sizeof rows);
    if (!isfinite(loss) || loss < 0 || rows < 0 || rows > (int64_t)LIMIT_BATCH) {
        return status_set(STATUS_FORMAT, "validation losses with a sum of %g over %lld rows", loss,
                          (long long)rows);
    }
    return STATUS_OK;
}

Status validation_read(ValidationSums *sums, const void *bytes, size_t size) {
    Status status = block_check(bytes, size, MAGIC, VALIDATION_VERSION, "validation losses");
    if (status != STATUS_OK) {
        return status;
    }
    ValidationHead head;
    if (size != sums->bytes) {
        return status_set(STATUS_MISMATCH, "validation losses of %zu bytes, expected %zu", size,
                          sums->bytes);
    }
    memcpy(&head, bytes, sizeof head);
    if (head.rounds != sums->head->rounds || head.reserved != 0) {
        return status_set(STATUS_MISMATCH, "validation losses of %lld rounds, expected %lld",
                          (long long)head.rounds, (long long)sums->head->rounds);
    }
    const char *loss = (const char *)bytes + sizeof head;
    const char *rows = loss + (size_t)head.rounds * sizeof(double);
    for (int64_t r = 0; r < head.rounds && status == STATUS_OK; r++) {
        status = check_round(loss + 8 * r, rows + 8 * r);
    }
    if (status == STATUS_OK) {
        memcpy(sums->head, bytes, size);
    }
    return status;
}
