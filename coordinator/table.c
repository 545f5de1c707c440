// SPDX-License-Identifier: Apache-2.0
#include "coordinator/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// Characters of UTF-8: bytes that do not continue one.
static uint32_t width_of(const char *text) {
    uint32_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return width;
}

void table_init(Table *table, const char *const *headers) {
    *table = (Table){0};
    while (headers[table->columns] != NULL) {
        table->columns++;
    }
    assert(table->columns > 0 && table->columns <= TABLE_COLUMNS_MAX);
    for (uint32_t i = 0; i < table->columns; i++) {
        table_text(table, headers[i]);
    }
}

void table_done(Table *table) {
    buffer_done(&table->cells);
}

void table_text(Table *table, const char *text) {
    const char *shown = text[0] != '\0' ? text : "-";
    uint32_t column = table->count++ % table->columns;
    uint32_t width = width_of(shown);
    table->widths[column] = width > table->widths[column] ? width : table->widths[column];
    buffer_append(&table->cells, shown, strlen(shown) + 1);
}

void table_number(Table *table, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    table->numeric |= 1u << table->count % table->columns;
    table_text(table, text);
}

static void pad(Buffer *out, uint32_t count) {
    while (count-- > 0) {
        buffer_append(out, " ", 1);
    }
}

void table_format(const Table *table, Buffer *out) {
    assert(table->count % table->columns == 0);
    if (table->cells.status != STATUS_OK) {
        out->status = table->cells.status;
        return;
    }
    const char *cell = table->cells.bytes;
    for (uint32_t i = 0; i < table->count; i++, cell += strlen(cell) + 1) {
        uint32_t column = i % table->columns;
        bool last = column == table->columns - 1;
        bool right = (table->numeric >> column & 1) != 0;
        uint32_t space = table->widths[column] - width_of(cell);
        pad(out, right ? space : 0);
        buffer_text(out, cell);
        // Nothing hangs behind the last column.
        pad(out, last ? 0 : (right ? 0 : space) + 2);
        buffer_text(out, last ? "\n" : "");
    }
}
