// SPDX-License-Identifier: Apache-2.0
//
// Cells of tables in pages. A number is shown rounded, so that columns line up, and carries the
// shortest decimal that is exactly it, as the CSVs have it, in data-value. Any thread.
#ifndef AUSCULT_COORDINATOR_PAGES_CELLS_H
#define AUSCULT_COORDINATOR_PAGES_CELLS_H

#include <stdint.h>

#include "common/base/buffer.h"

// `class_name` is a word of ours: "", "text" for long text that may break; text is escaped.
void cell_text(const char *class_name, const char *text, Buffer *out);
void cell_count(uint64_t count, Buffer *out);
// An en dash for NaN.
void cell_number(double value, int decimals, Buffer *out);

#endif
