// SPDX-License-Identifier: Apache-2.0
//
// A Truth while it is being read: what each row of each file says of a clip. Only the truth files
// of coordinator/dataset include this. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_TRUTH_BUILD_H
#define AUSCULT_COORDINATOR_DATASET_TRUTH_BUILD_H

#include "coordinator/dataset/builder.h"
#include "coordinator/dataset/truth.h"

// In the order in which they are believed.
typedef enum TruthForm {
    FORM_LABELS,         // ground_truth_data
    FORM_DOMAINS,        // ground_truth_domain
    FORM_ATTRIBUTES,     // ground_truth_attributes
    FORM_LIST,           // eval_data_list
    FORM_CORRESPONDENCE, // attributes_NN_test_correspondence.csv
    FORM_DATA,           // clips of a data root
    FORM_NONE,
} TruthForm;

// What one row says; texts live in the builder's memory. What it does not say is unknown or "".
typedef struct Statement {
    TruthForm form;
    ClipSet set;
    ClipDomain domain;
    ClipLabel label;
    const char *machine, *section, *name, *telling;
    const ClipAttribute *attributes; // of FORM_DATA; else they are in the telling name
    uint32_t attribute_count;
    const char *file; // that says so
    size_t line;      // of it, 0 for FORM_DATA
    uint32_t order;   // of statements
} Statement;

typedef struct TruthBuilder {
    DatasetMemory *memory;
    Statement *statements;
    uint32_t count, capacity;
    int32_t year;
    Remarks remarks;
} TruthBuilder;

// What a file is, by its name and that of its folder.
TruthForm truth_form_of(const char *path);
// The year in the name of an eval_data_list, 0 without one.
int32_t truth_list_year(const char *path);
// Adds a file's statements. What is wrong with a row is an error among the remarks.
Status truth_file_read(TruthBuilder *builder, const char *path, TruthForm form);
// Adds one, copying its texts; what its telling name says is taken over where it says nothing.
Status truth_state(TruthBuilder *builder, const Statement *statement);

#endif
