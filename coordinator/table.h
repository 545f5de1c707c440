// SPDX-License-Identifier: Apache-2.0
//
// A table of text in aligned columns, for people at a terminal. Sticky: fill in all cells, check
// the status once. One thread.
#ifndef AUSCULT_COORDINATOR_TABLE_H
#define AUSCULT_COORDINATOR_TABLE_H

#include <stdint.h>

#include "common/base/buffer.h"

#define TABLE_COLUMNS_MAX 16

typedef struct Table {
    Buffer cells;                       // each ended by a NUL, row after row
    uint32_t columns;                   // of every row
    uint32_t count;                     // cells so far
    uint32_t widths[TABLE_COLUMNS_MAX]; // characters of the widest cell
    uint32_t numeric;                   // bit c: column c is set flush right
} Table;

// Begins a table with this row of headers, ended by NULL.
void table_init(Table *table, const char *const *headers);
void table_done(Table *table);
// The next cell, from left to right, row by row. Numbers are flush right.
void table_text(Table *table, const char *text);
void table_number(Table *table, int64_t value);
// Appends the table; empty cells show as "-". Every row must be complete.
void table_format(const Table *table, Buffer *out);

#endif
