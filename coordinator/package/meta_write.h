// SPDX-License-Identifier: Apache-2.0
//
// One system's meta.yaml, from its model, its settings, its figures and the author file. The same
// inputs give the same bytes. Any thread.
#ifndef AUSCULT_PACKAGE_META_WRITE_H
#define AUSCULT_PACKAGE_META_WRITE_H

#include "common/base/yaml_tree.h"
#include "coordinator/package/run_system.h"

typedef struct MetaFacts {
    const char *label;   // "Doe_Inst_task2_1"
    const char *variant; // what is put behind the name, "" when it is the only system
    const YamlNode *author;
    const RunModel *model; // of an ensemble the first one's
    uint32_t subsystems;   // of an ensemble, else 1
    int64_t parameters;    // of all models of one machine that take part
    int64_t macs;          // of the same, for a clip of ten seconds
    const char *results;   // lines of results.development_dataset, "" without any
} MetaFacts;

void meta_write(const MetaFacts *facts, Buffer *out);

// Adds a model to `facts`: its parameters and MACs.
void meta_add_model(const RunModel *model, MetaFacts *facts);
// Multiplications of the network for one vector: inputs times outputs, summed over its layers.
int64_t meta_macs_per_vector(const Shape *shape);
// Vectors of a clip of ten seconds at that rate; 16 kHz when there is none.
int64_t meta_vectors_of_ten_seconds(const RunModel *model);

#endif
