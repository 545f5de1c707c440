// SPDX-License-Identifier: Apache-2.0
//
// The clips that a package must hold, each once, when the data are at hand. Any thread.
#ifndef AUSCULT_PACKAGE_EXPECTED_H
#define AUSCULT_PACKAGE_EXPECTED_H

#include "common/eval/clipname.h"
#include "coordinator/dataset/dataset.h"
#include "coordinator/dataset/truth.h"

typedef struct ExpectedClip {
    const char *machine, *section, *name; // borrowed from the dataset or truth
    ClipFile file;                        // that its row stands in
} ExpectedClip;

typedef struct Expected {
    ExpectedClip *clips; // (count) by machine, section, file, name
    size_t count;
} Expected;

// The evaluation set's test clips; all test clips when no set is an evaluation set. Clips without
// section count to 00, as a run's submission has them. STATUS_NOT_FOUND when there are none.
Status expected_make(const Dataset *dataset, Expected *ret_expected);
// The same from a ground truth, of which only the names matter.
Status expected_from_truth(const Truth *truth, Expected *ret_expected);
void expected_done(Expected *expected);

// Where the clips of the next file begin, when `start` is the first of one.
size_t expected_end(const Expected *expected, size_t start);
// The first clip of a file; `count` when there is none.
size_t expected_find(const Expected *expected, const char *machine, const char *section,
                     ClipFile file);

#endif
