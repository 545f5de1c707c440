// SPDX-License-Identifier: Apache-2.0
//
// The tables of the journal's SQLite file, and the way from each older version to this one.
#ifndef AUSCULT_COORDINATOR_JOURNAL_SCHEMA_H
#define AUSCULT_COORDINATOR_JOURNAL_SCHEMA_H

// A change of the tables adds a step to schema_from and raises it.
enum { SCHEMA_VERSION = 3 };

// What makes tables of this version of those of version `from` (0: of an empty file), to be run
// within one transaction; `from` is below SCHEMA_VERSION. It calls the functions seal_of(key or
// name, kind, body) and seal_row(column, ...). Borrowed for good.
const char *schema_from(int from);

#endif
