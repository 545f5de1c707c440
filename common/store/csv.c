// SPDX-License-Identifier: Apache-2.0
//
// How the reader works: the file is one block in memory. A field is unescaped in place (it never
// grows) and ended with a NUL where its separator or closing quote stood, so that rows need no
// allocation.
#include "common/store/csv.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"

// Writer

void csv_writer_done(CsvWriter *writer) {
    buffer_done(&writer->text);
    *writer = CSV_WRITER_EMPTY;
}

static void begin_field(CsvWriter *writer) {
    if (writer->row_fields++ > 0) {
        buffer_append(&writer->text, ",", 1);
    }
}

void csv_writer_text(CsvWriter *writer, const char *text) {
    begin_field(writer);
    if (strpbrk(text, ",\"\r\n") == NULL) {
        buffer_text(&writer->text, text);
        return;
    }
    buffer_append(&writer->text, "\"", 1);
    for (const char *quote; (quote = strchr(text, '"')) != NULL; text = quote + 1) {
        buffer_append(&writer->text, text, (size_t)(quote - text));
        buffer_append(&writer->text, "\"\"", 2);
    }
    buffer_text(&writer->text, text);
    buffer_append(&writer->text, "\"", 1);
}

void csv_writer_number(CsvWriter *writer, double value) {
    begin_field(writer);
    if (!isnan(value)) {
        buffer_number(&writer->text, value);
    }
}

void csv_writer_int(CsvWriter *writer, int64_t value) {
    begin_field(writer);
    buffer_format(&writer->text, "%" PRId64, value);
}

void csv_writer_end_row(CsvWriter *writer) {
    assert(writer->row_fields > 0);
    // A row of one empty field would be a blank line, which readers skip.
    if (writer->row_fields == 1 && writer->text.size == writer->row_start) {
        buffer_append(&writer->text, "\"\"", 2);
    }
    buffer_append(&writer->text, "\n", 1);
    writer->row_fields = 0;
    writer->row_start = writer->text.size;
}

void csv_writer_header(CsvWriter *writer, const char *columns) {
    assert(writer->row_fields == 0);
    writer->row_fields = 1;
    buffer_text(&writer->text, columns);
    csv_writer_end_row(writer);
}

Status csv_writer_save(const CsvWriter *writer, const char *path) {
    assert(writer->row_fields == 0);
    return file_update(path, &writer->text);
}

// Reader

struct CsvReader {
    char *name;    // of the file, for messages
    Buffer text;   // the whole file; parsed rows are changed in place
    size_t next;   // where the next row begins
    size_t line;   // the line that `next` stands on, from 1
    Status status; // the first failure
};

static Status reader_new(const char *name, CsvReader **ret_reader) {
    CsvReader *reader = mem_new(1, sizeof *reader);
    char *copy = reader != NULL ? mem_copy_text(name) : NULL;
    if (copy == NULL) {
        mem_free(reader);
        return STATUS_MEMORY;
    }
    reader->name = copy;
    reader->line = 1;
    *ret_reader = reader;
    return STATUS_OK;
}

static void skip_byte_order_mark(CsvReader *reader) {
    if (reader->text.size >= 3 && memcmp(reader->text.bytes, "\xEF\xBB\xBF", 3) == 0) {
        reader->next = 3;
    }
}

Status csv_reader_open(const char *path, CsvReader **ret_reader) {
    CsvReader *reader = NULL;
    Status status = reader_new(path, &reader);
    if (status == STATUS_OK) {
        status = file_read(path, LIMIT_SIDE_BYTES, &reader->text);
    }
    if (status != STATUS_OK) {
        csv_reader_free(reader);
        return status;
    }
    skip_byte_order_mark(reader);
    *ret_reader = reader;
    return STATUS_OK;
}

Status csv_reader_from_text(const char *name, const char *bytes, size_t size,
                            CsvReader **ret_reader) {
    if (size > LIMIT_SIDE_BYTES) {
        return status_set(STATUS_LIMIT, "%s has %zu bytes, at most %u are read", name, size,
                          LIMIT_SIDE_BYTES);
    }
    CsvReader *reader = NULL;
    Status status = reader_new(name, &reader);
    if (status != STATUS_OK) {
        return status;
    }
    buffer_append(&reader->text, bytes, size);
    if (reader->text.status != STATUS_OK) {
        csv_reader_free(reader);
        return STATUS_MEMORY;
    }
    skip_byte_order_mark(reader);
    *ret_reader = reader;
    return STATUS_OK;
}

void csv_reader_free(CsvReader *reader) {
    if (reader == NULL) {
        return;
    }
    mem_free(reader->name);
    buffer_done(&reader->text);
    mem_free(reader);
}

Status csv_reader_fail(const CsvReader *reader, const CsvRow *row, Status status,
                       const char *format, ...) {
    char reason[LIMIT_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return status_set(status, "%s:%zu: %s", reader->name, row->line, reason);
}

// The end of the field that begins at `at`, without quotes: a comma, a line end or the end.
static Status plain_field(const CsvReader *reader, const CsvRow *row, size_t at, size_t *ret_end) {
    const char *bytes = reader->text.bytes;
    size_t size = reader->text.size;
    size_t end = at;
    while (end < size && bytes[end] != ',' && bytes[end] != '\n' && bytes[end] != '\r') {
        if (bytes[end] == '"') {
            return csv_reader_fail(reader, row, STATUS_FORMAT,
                                   "field %zu has a quote in the middle", row->count + 1);
        }
        if (bytes[end] == '\0') {
            return csv_reader_fail(reader, row, STATUS_FORMAT,
                                   "a NUL byte: not a text file in UTF-8");
        }
        end++;
    }
    *ret_end = end;
    return STATUS_OK;
}

// Unescapes the quoted field whose opening quote stands at `at`; *ret_end is what follows the
// closing quote. The field's text is left at at + 1, ended with a NUL.
static Status quoted_field(CsvReader *reader, const CsvRow *row, size_t at, size_t *ret_end) {
    char *bytes = reader->text.bytes;
    size_t size = reader->text.size;
    size_t from = at + 1, to = at + 1;
    for (;; from++) {
        if (from >= size) {
            return csv_reader_fail(reader, row, STATUS_FORMAT, "a quote is never closed");
        }
        if (bytes[from] == '\0') {
            return csv_reader_fail(reader, row, STATUS_FORMAT,
                                   "a NUL byte: not a text file in UTF-8");
        }
        if (from - at > LIMIT_LINE_BYTES) {
            return csv_reader_fail(reader, row, STATUS_LIMIT,
                                   "a quoted field of more than %d bytes (a quote is perhaps never "
                                   "closed)",
                                   LIMIT_LINE_BYTES);
        }
        if (bytes[from] == '"') {
            if (from + 1 >= size || bytes[from + 1] != '"') {
                break;
            }
            from++;
        } else if (bytes[from] == '\n') {
            reader->line++;
        }
        bytes[to++] = bytes[from];
    }
    bytes[to] = '\0';
    *ret_end = from + 1;
    return STATUS_OK;
}

// Steps over what ends a field. *ret_more: another field of the same row follows.
static Status end_field(CsvReader *reader, const CsvRow *row, size_t end, bool was_quoted,
                        bool *ret_more) {
    char *bytes = reader->text.bytes;
    size_t size = reader->text.size;
    char stop = end < size ? bytes[end] : '\n';
    *ret_more = stop == ',';
    if (stop == '\r') {
        if (end + 1 < size && bytes[end + 1] != '\n') {
            return csv_reader_fail(reader, row, STATUS_FORMAT,
                                   "a carriage return in the middle of a line");
        }
        reader->next = end + 2;
    } else if (stop == ',' || stop == '\n') {
        reader->next = end + 1;
    } else {
        return csv_reader_fail(reader, row, STATUS_FORMAT,
                               "field %zu goes on after its closing quote", row->count + 1);
    }
    if (!*ret_more) {
        reader->line++;
    }
    if (!was_quoted && end < size) {
        bytes[end] = '\0';
    }
    return STATUS_OK;
}

static Status read_field(CsvReader *reader, CsvRow *row, bool *ret_more) {
    if (row->count >= LIMIT_FIELDS) {
        return csv_reader_fail(reader, row, STATUS_LIMIT, "more than %d fields", LIMIT_FIELDS);
    }
    size_t at = reader->next;
    size_t end = at;
    bool is_quoted = at < reader->text.size && reader->text.bytes[at] == '"';
    Status status =
        is_quoted ? quoted_field(reader, row, at, &end) : plain_field(reader, row, at, &end);
    if (status == STATUS_OK) {
        status = end_field(reader, row, end, is_quoted, ret_more);
    }
    if (status == STATUS_OK) {
        row->fields[row->count++] = reader->text.bytes + at + (is_quoted ? 1 : 0);
    }
    return status;
}

static void skip_blank_lines(CsvReader *reader) {
    const char *bytes = reader->text.bytes;
    size_t size = reader->text.size;
    while (reader->next < size) {
        size_t at = reader->next;
        if (bytes[at] == '\r' && at + 1 < size && bytes[at + 1] == '\n') {
            reader->next = at + 2;
        } else if (bytes[at] == '\n') {
            reader->next = at + 1;
        } else {
            return;
        }
        reader->line++;
    }
}

Status csv_reader_next(CsvReader *reader, CsvRow *ret_row) {
    ret_row->count = 0;
    if (reader->status != STATUS_OK) {
        return reader->status;
    }
    skip_blank_lines(reader);
    ret_row->line = reader->line;
    size_t start = reader->next;
    bool more = start < reader->text.size;
    while (more && reader->status == STATUS_OK) {
        reader->status = read_field(reader, ret_row, &more);
        if (reader->status == STATUS_OK && reader->next - start > LIMIT_LINE_BYTES) {
            reader->status = csv_reader_fail(reader, ret_row, STATUS_LIMIT,
                                             "a row of more than %d bytes", LIMIT_LINE_BYTES);
        }
    }
    if (reader->status != STATUS_OK) {
        ret_row->count = 0;
    }
    return reader->status;
}
