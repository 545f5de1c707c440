// SPDX-License-Identifier: Apache-2.0
//
// CSV in and out (RFC 4180, with LF at line ends). The writer builds a whole file in memory and
// saves it in one atomic step: every table that a run leaves behind. The reader walks attributes
// files, manifests, ground truth and other people's submissions, within bounds. One object belongs
// to one thread.
#ifndef AUSCULT_STORE_CSV_H
#define AUSCULT_STORE_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/limits.h"
#include "common/base/status.h"

// Sticky: append all rows, check once in csv_writer_save.
typedef struct CsvWriter {
    Buffer text;       // the rows so far
    size_t row_fields; // fields of the row that is being written
    size_t row_start;  // where in `text` that row begins
} CsvWriter;

#define CSV_WRITER_EMPTY ((CsvWriter){0})

void csv_writer_done(CsvWriter *writer);
// One field; put into quotes where it holds a comma, a quote, CR or LF.
void csv_writer_text(CsvWriter *writer, const char *text);
// The shortest decimal that reads back to the same double; a NaN is an empty field, which is how
// the usual readers write and read "no value".
void csv_writer_number(CsvWriter *writer, double value);
void csv_writer_int(CsvWriter *writer, int64_t value);
// Ends the row. A row needs at least one field.
void csv_writer_end_row(CsvWriter *writer);
// `columns` is one row, "a,b,c", written as it stands: for headers known to need no quotes.
void csv_writer_header(CsvWriter *writer, const char *columns);
// Writes the file as file_write does: whole or not at all. Every row must have been ended.
Status csv_writer_save(const CsvWriter *writer, const char *path);

typedef struct CsvRow {
    size_t count;                     // fields; 0 after the last row
    size_t line;                      // line of the file where the row begins, from 1
    const char *fields[LIMIT_FIELDS]; // borrowed until the reader's next call; never NULL
} CsvRow;

typedef struct CsvReader CsvReader;

// Reads the whole file. Status as file_read's: STATUS_LIMIT beyond LIMIT_SIDE_BYTES.
Status csv_reader_open(const char *path, CsvReader **ret_reader);
// The same from memory (copied); `name` stands for the file in messages.
Status csv_reader_from_text(const char *name, const char *bytes, size_t size,
                            CsvReader **ret_reader);
void csv_reader_free(CsvReader *reader);

// The next row; row->count is 0 at the end. A byte-order mark, CRLF, blank lines and a missing
// last line end are accepted. STATUS_FORMAT, naming file and line, for a quote inside an unquoted
// field, text after a closing quote, a quote never closed, a lone CR or a NUL; STATUS_LIMIT for a
// row beyond LIMIT_LINE_BYTES or LIMIT_FIELDS. After a failure every further call fails alike.
Status csv_reader_next(CsvReader *reader, CsvRow *ret_row);

// Sets the message "FILE:LINE: ..." for what the caller finds wrong with a row it was given, and
// returns `status`.
Status csv_reader_fail(const CsvReader *reader, const CsvRow *row, Status status,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
