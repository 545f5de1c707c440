// SPDX-License-Identifier: Apache-2.0
//
// Readers of fuzz_files.c: blocks of numbers that workers send, of a network of 2-2-2 over vectors
// of two frames of one band (sums, states), and of clips with two bands (yardsticks, pictures).
#ifndef AUSCULT_TESTS_FUZZ_BLOCKS_H
#define AUSCULT_TESTS_FUZZ_BLOCKS_H

#include "tests/fuzz/fuzz.h"

void blocks_begin(void);

bool read_partial(const char *bytes, size_t size);
bool read_scaler_sums(const char *bytes, size_t size);
bool read_validation(const char *bytes, size_t size);
bool read_replica(const char *bytes, size_t size);
bool read_residuals(const char *bytes, size_t size);
bool read_yardsticks(const char *bytes, size_t size);
bool read_portrait(const char *bytes, size_t size);
bool read_exploration(const char *bytes, size_t size);

bool partial_seed(uint32_t index, Buffer *out);
bool scaler_sums_seed(uint32_t index, Buffer *out);
bool validation_seed(uint32_t index, Buffer *out);
bool replica_seed(uint32_t index, Buffer *out);
bool residuals_seed(uint32_t index, Buffer *out);
bool yardsticks_seed(uint32_t index, Buffer *out);
bool portrait_seed(uint32_t index, Buffer *out);
bool exploration_seed(uint32_t index, Buffer *out);

#endif
