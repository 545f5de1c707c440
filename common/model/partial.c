// SPDX-License-Identifier: Apache-2.0
#include "common/model/partial.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/model/passes.h"
#include "common/model/shard_tree.h"

// What the sums of a round's 65,536 rows at most, in 32 bits, may be off by: 65,536 * 2^-24, twice.
#define ROUNDING 0.01

static const char MAGIC[4] = {'A', 'P', 'R', 'T'};

_Static_assert(sizeof(PartialHead) == 128, "the block's layout");

struct Partial {
    PartialHead *head; // the block; values follow it
    size_t bytes;      // of the block
    size_t bias, out;  // where the output's bias lies in the gradient, and its elements
};

Partial *partial_new(const Shape *shape) {
    Layout layout = shape_layout(shape);
    Partial *partial = mem_new(1, sizeof *partial);
    if (partial == NULL) {
        return NULL;
    }
    partial->bias = layout.layer[layout.layers - 1].bias;
    partial->out = (size_t)layout.layer[layout.layers - 1].out;
    partial->bytes = sizeof(PartialHead) + (layout.parameters + layout.running) * sizeof(real);
    partial->head = mem_new_aligned(partial->bytes, 1);
    if (partial->head == NULL) {
        partial_free(partial);
        return NULL;
    }
    partial->head->block = block_head(MAGIC, PARTIAL_VERSION, partial->bytes);
    partial->head->real_bytes = sizeof(real);
    partial->head->parameter_count = (uint32_t)layout.parameters;
    partial->head->running_count = (uint32_t)layout.running;
    return partial;
}

void partial_free(Partial *partial) {
    if (partial != NULL) {
        mem_free(partial->head);
        mem_free(partial);
    }
}

void partial_clear(Partial *partial) {
    PartialHead *head = partial->head;
    head->rows = head->source_rows = head->target_rows = 0;
    head->loss = head->source_loss = head->target_loss = 0.0;
    memset(head + 1, 0, partial->bytes - sizeof *head);
}

PartialHead *partial_head(Partial *partial) {
    return partial->head;
}

const PartialHead *partial_head_of(const Partial *partial) {
    return partial->head;
}

real *partial_gradient(Partial *partial) {
    return (real *)(partial->head + 1);
}

real *partial_statistics(Partial *partial) {
    return partial_gradient(partial) + partial->head->parameter_count;
}

const real *partial_gradient_of(const Partial *partial) {
    return (const real *)(partial->head + 1);
}

const real *partial_statistics_of(const Partial *partial) {
    return partial_gradient_of(partial) + partial->head->parameter_count;
}

void partial_add(Partial *left, const Partial *right) {
    assert(left->bytes == right->bytes);
    PartialHead *l = left->head;
    const PartialHead *r = right->head;
    if (r->rows == 0) {
        return;
    }
    if (l->rows == 0) {
        memcpy(l, r, left->bytes);
        return;
    }
    l->rows += r->rows;
    l->source_rows += r->source_rows;
    l->target_rows += r->target_rows;
    l->loss += r->loss;
    l->source_loss += r->source_loss;
    l->target_loss += r->target_loss;
    pass_add(partial_gradient(left), partial_gradient_of(right),
             (size_t)l->parameter_count + l->running_count);
}

bool partial_is_finite(const Partial *partial) {
    const PartialHead *head = partial->head;
    size_t count = (size_t)head->parameter_count + head->running_count;
    return isfinite(head->loss) && isfinite(head->source_loss) && isfinite(head->target_loss) &&
           (head->rows == 0 || pass_all_finite(partial_gradient_of(partial), count));
}

const void *partial_bytes(const Partial *partial, size_t *ret_size) {
    *ret_size = partial->bytes;
    return partial->head;
}

static Status check_counts(const PartialHead *head) {
    int64_t most = (int64_t)LIMIT_BATCH;
    if (head->rows < 0 || head->rows > most || head->source_rows < 0 ||
        head->source_rows > head->rows || head->target_rows < 0 ||
        head->target_rows != head->rows - head->source_rows) {
        return status_set(STATUS_FORMAT, "gradient over %lld rows, %lld source and %lld target",
                          (long long)head->rows, (long long)head->source_rows,
                          (long long)head->target_rows);
    }
    if (!isfinite(head->loss) || !isfinite(head->source_loss) || !isfinite(head->target_loss)) {
        return status_set(STATUS_FORMAT, "gradient with a loss that is not finite");
    }
    double parts = head->source_loss + head->target_loss;
    if (head->rows > 0 && (head->source_loss < 0 || head->target_loss < 0 ||
                           !(fabs(head->loss - parts) <= ROUNDING * parts))) {
        return status_set(STATUS_FORMAT, "gradient with a loss of %g, of which %g and %g",
                          head->loss, head->source_loss, head->target_loss);
    }
    return STATUS_OK;
}

// `values`: the gradient, not aligned.
static Status check_norm(const Partial *partial, const PartialHead *head, const char *values) {
    double squares = 0;
    for (size_t i = 0; i < partial->out; i++) {
        real value;
        memcpy(&value, values + (partial->bias + i) * sizeof value, sizeof value);
        squares += (double)value * (double)value;
    }
    // Errors below 1e-18 have squares that 32 bits may lose.
    double rows = (double)head->rows;
    double most = 4.0 * rows * (head->loss + rows * 1e-36) / (double)partial->out;
    if (!(squares <= (1 + ROUNDING) * most)) {
        return status_set(STATUS_FORMAT,
                          "gradient that is too large for its loss: %g where %g can be",
                          sqrt(squares), sqrt(most));
    }
    return STATUS_OK;
}

static Status check_head(const PartialHead *head, const PartialHead *own) {
    static const uint64_t zeros[6];
    if (head->real_bytes != own->real_bytes || head->parameter_count != own->parameter_count ||
        head->running_count != own->running_count) {
        return status_set(STATUS_MISMATCH, "gradient of another model's shape");
    }
    if (head->reserved != 0 || memcmp(head->padding, zeros, sizeof zeros) != 0) {
        return status_set(STATUS_FORMAT, "gradient with a damaged head");
    }
    return check_counts(head);
}

// The received bytes may lie anywhere, so the head is looked at in a copy.
Status partial_read(Partial *partial, const void *bytes, size_t size) {
    Status status = block_check(bytes, size, MAGIC, PARTIAL_VERSION, "gradient");
    if (status != STATUS_OK) {
        return status;
    }
    if (size != partial->bytes) {
        return status_set(STATUS_MISMATCH, "gradient of %zu bytes for a model of %zu", size,
                          partial->bytes);
    }
    PartialHead head;
    memcpy(&head, bytes, sizeof head);
    status = check_head(&head, partial->head);
    if (status != STATUS_OK) {
        return status;
    }
    size_t count = (size_t)head.parameter_count + head.running_count;
    if (head.rows > 0 && !pass_all_finite_bytes((const char *)bytes + sizeof head, count)) {
        return status_set(STATUS_FORMAT, "gradient with a number that is not finite");
    }
    if (head.rows > 0) {
        status = check_norm(partial, &head, (const char *)bytes + sizeof head);
    }
    if (status == STATUS_OK) {
        memcpy(partial->head, bytes, size);
    }
    return status;
}

struct PartialTree {
    Shape shape;
    ShardTree tree;
    Partial *spare[2 * LIMIT_SHARDS]; // free for use; there are never more than shards at once
    int spare_count;
};

static void join(void *context, void *left, void *right) {
    PartialTree *tree = context;
    partial_add(left, right);
    tree->spare[tree->spare_count++] = right;
}

PartialTree *partial_tree_new(const Shape *shape, int shards) {
    PartialTree *tree = mem_new(1, sizeof *tree);
    if (tree != NULL) {
        tree->shape = *shape;
        tree->tree = shard_tree_of(shards, join, tree);
    }
    return tree;
}

void partial_tree_free(PartialTree *tree) {
    if (tree == NULL) {
        return;
    }
    partial_tree_clear(tree);
    for (int i = 0; i < tree->spare_count; i++) {
        partial_free(tree->spare[i]);
    }
    mem_free(tree);
}

void partial_tree_clear(PartialTree *tree) {
    for (Partial *part = NULL; (part = shard_tree_take(&tree->tree)) != NULL;) {
        tree->spare[tree->spare_count++] = part;
    }
}

// The last of the spare ones, made if there is none; it stays among them.
static Status find_spare(PartialTree *tree, Partial **ret_partial) {
    if (tree->spare_count == 0) {
        Partial *partial = partial_new(&tree->shape);
        if (partial == NULL) {
            return STATUS_MEMORY;
        }
        tree->spare[tree->spare_count++] = partial;
    }
    *ret_partial = tree->spare[tree->spare_count - 1];
    return STATUS_OK;
}

Status partial_tree_put(PartialTree *tree, int first, int count, const void *bytes, size_t size) {
    Partial *partial = NULL;
    Status status = shard_tree_check(&tree->tree, first, count);
    if (status == STATUS_OK) {
        status = find_spare(tree, &partial);
    }
    if (status == STATUS_OK) {
        status = partial_read(partial, bytes, size);
    }
    if (status == STATUS_OK) {
        tree->spare_count--;
        shard_tree_put(&tree->tree, first, count, partial);
    }
    return status;
}

const Partial *partial_tree_total(const PartialTree *tree) {
    return shard_tree_root(&tree->tree);
}
