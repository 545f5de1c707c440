// SPDX-License-Identifier: Apache-2.0
//
// The conditions a clip was recorded under (speed, load, microphone, ...): from its name, from the
// attributes_NN.csv files of the challenge, from a manifest. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_ATTRIBUTES_H
#define AUSCULT_COORDINATOR_DATASET_ATTRIBUTES_H

#include "coordinator/dataset/builder.h"

// Splits the attribute part of a name: "car_C2_spd_34V" is car=C2, spd=34V. An odd number of words
// does not pair up (some of 2021; weight20_BckgC of 2024): the whole is the value of "attribute".
Status attributes_of_name(DatasetMemory *memory, const char *text, Clip *clip);

// k=v;k=v with '\' before any ';', '=' or '\' inside; and back. STATUS_INVALID with a message that
// names no file.
void attributes_format(const Clip *clip, Buffer *out);
Status attributes_parse(DatasetMemory *memory, const char *text, Clip *clip);

// Reads the side files of all places and gives their pairs to the clips they name, which are
// looked for by base name within the machine. Pairs named label or domain also speak for clips
// whose names do not; attributes_NN_test_correspondence.csv gives hidden clips what their other
// name tells. What does not fit is a warning with file and line. Sets must have been decided.
Status attributes_apply(Builder *builder);

#endif
