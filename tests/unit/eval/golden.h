// SPDX-License-Identifier: Apache-2.0
//
// Walks a golden CSV of tests/golden/eval. Usage:
//     GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/x.csv");
//     while (golden_next(&table)) { golden_number(&table, 0) ... }
#ifndef AUSCULT_TESTS_UNIT_EVAL_GOLDEN_H
#define AUSCULT_TESTS_UNIT_EVAL_GOLDEN_H

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/store/csv.h"
#include "tests/unit/test.h"

typedef struct GoldenTable {
    CsvReader *reader;
    CsvRow row;
    int rows; // read so far
} GoldenTable;

static inline GoldenTable golden_open(const char *path) {
    GoldenTable table = {0};
    CHECK_OK(csv_reader_open(path, &table.reader));
    CHECK_OK(csv_reader_next(table.reader, &table.row)); // the header
    return table;
}

// False, and the table closed, after the last row.
static inline int golden_next(GoldenTable *table) {
    CHECK_OK(csv_reader_next(table->reader, &table->row));
    if (table->row.count == 0) {
        csv_reader_free(table->reader);
        table->reader = NULL;
        return 0;
    }
    table->rows++;
    return 1;
}

// NaN for an empty field.
static inline double golden_number(const GoldenTable *table, size_t field) {
    CHECK(field < table->row.count);
    double value = NAN;
    if (table->row.fields[field][0] != '\0') {
        CHECK_OK(text_to_double(table->row.fields[field], &value));
    }
    return value;
}

// The blank-separated numbers of a field, at most `most`.
static inline size_t golden_numbers(const GoldenTable *table, size_t field, double *out,
                                    size_t most) {
    CHECK(field < table->row.count);
    const char *at = table->row.fields[field];
    size_t count = 0;
    while (*at != '\0') {
        char *end;
        CHECK(count < most);
        out[count++] = strtod(at, &end);
        CHECK(end != at);
        at = end + strspn(end, " ");
    }
    return count;
}

#endif
