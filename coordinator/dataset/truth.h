// SPDX-License-Identifier: Apache-2.0
//
// The ground truth of test clips: which were anomalies, of which domain, under which conditions,
// from any of the forms in which it is published. What scores are judged by, and what gives the
// anonymous clips of an evaluation set their labels. A Truth never changes once read, so any thread
// may look into it; read it in one.
#ifndef AUSCULT_COORDINATOR_DATASET_TRUTH_H
#define AUSCULT_COORDINATOR_DATASET_TRUTH_H

#include "coordinator/dataset/dataset.h"
#include "coordinator/remarks.h"

// Texts are borrowed from the Truth and never NULL.
typedef struct TruthClip {
    const char *machine;
    const char *section;             // "00"; "" when unknown
    const char *name;                // as scores name it: "section_00_0000.wav"
    const char *telling;             // its other name, with extension; "" without one
    const ClipAttribute *attributes; // (attribute_count)
    uint32_t attribute_count;
    ClipSet set;
    ClipDomain domain;
    ClipLabel label;
} TruthClip;

typedef struct Truth {
    const TruthClip *clips; // (count) by machine, section, name
    uint32_t count;
    uint32_t labelled;            // clips with a label
    int32_t year;                 // of the challenge, 0 when nothing tells
    Remarks remarks;              // in what was read
    struct DatasetMemory *memory; // owns the texts
    const struct TruthKey *keys;  // (key_count) both names of every clip, sorted
    uint32_t key_count;
} Truth;

// `path` is one file of these forms, or a folder in which they are looked for (not too deep):
//  - eval_data_list_YYYY.csv: a line of one field names a machine, the next are "anonymous,telling"
//    pairs of names (2020 with a third field, 0 or 1)
//  - the evaluator's ground_truth_data/ground_truth_<machine>_section_NN[_source|_target]_test.csv
//    ("name,0|1"), ground_truth_domain/... ("name,0|1") and ground_truth_attributes/...
//    ("name,telling", without extension)
//  - <machine>/attributes_NN_test_correspondence.csv ("source_file_name,target_file_name")
//  - a data root (dataset.h): test clips with telling names, or paired with those of test_rename/
// Where they contradict each other or a name, the first of this order is believed (evaluator, list,
// correspondence, data), and a warning names both places. A row that cannot be read is an error
// among the remarks, and its clip stays without label. `year` (0: unknown) chooses among the lists
// of several years. STATUS_NOT_FOUND: no label at all; STATUS_INVALID: lists of several years and
// none chosen; STATUS_IO, STATUS_LIMIT, STATUS_MEMORY.
Status truth_read(const char *path, int32_t year, Truth **ret_truth);
void truth_free(Truth *truth);

// The clip of either name; NULL when there is none.
const TruthClip *truth_find(const Truth *truth, const char *machine, const char *name);

// "01" and "1" are different sections, "" and "00" are one: what has no section is written as 00.
bool truth_same_section(const char *a, const char *b);

#endif
