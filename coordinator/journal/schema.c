// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/schema.h"

#define STATES_AND_FAILURES                                                                        \
    "CREATE TABLE state (folder TEXT NOT NULL, generation INTEGER NOT NULL, plan BLOB NOT NULL,"   \
    " epoch INTEGER NOT NULL, digest BLOB NOT NULL, turn INTEGER NOT NULL, seal INTEGER NOT NULL," \
    " PRIMARY KEY (folder, generation)) WITHOUT ROWID;"                                            \
    "CREATE TABLE failure (key BLOB PRIMARY KEY, deaths INTEGER NOT NULL,"                         \
    " cannots INTEGER NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;"

#define TABLES                                                                                     \
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL, seal INTEGER NOT NULL)"        \
    " WITHOUT ROWID;"                                                                              \
    "CREATE TABLE incarnation (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL);"                 \
    "CREATE TABLE answer (number INTEGER PRIMARY KEY, key BLOB NOT NULL, kind INTEGER NOT NULL,"   \
    " body BLOB NOT NULL, seal INTEGER NOT NULL);" STATES_AND_FAILURES

#define RAISE_VERSION "PRAGMA user_version = 3;"

static const char NEW[] = TABLES RAISE_VERSION;

// Version 1 kept answers in a tree by key, and states without their folder: trainings that were
// under way begin anew.
static const char FROM_1[] =
    "ALTER TABLE fact RENAME TO fact_1;"
    "ALTER TABLE incarnation RENAME TO incarnation_1;"
    "ALTER TABLE answer RENAME TO answer_1;"
    "ALTER TABLE state RENAME TO state_1;" TABLES
    "INSERT INTO incarnation SELECT number, pid FROM incarnation_1;"
    "INSERT INTO fact SELECT name, value, seal_of(name, 0, value) FROM fact_1;"
    "INSERT INTO answer SELECT row_number() OVER (), key, kind, body, seal_of(key, kind, body)"
    " FROM answer_1;"
    "DROP TABLE fact_1; DROP TABLE incarnation_1; DROP TABLE answer_1; DROP TABLE "
    "state_1;" RAISE_VERSION;

// Version 2 had no seals on states and failures.
static const char FROM_2[] =
    "ALTER TABLE state RENAME TO state_2;"
    "ALTER TABLE failure RENAME TO failure_2;" STATES_AND_FAILURES
    "INSERT INTO state SELECT folder, generation, plan, epoch, digest, turn,"
    " seal_row(folder, generation, plan, epoch, digest, turn) FROM state_2;"
    "INSERT INTO failure SELECT key, deaths, cannots, seal_row(key, deaths, cannots)"
    " FROM failure_2;"
    "DROP TABLE state_2; DROP TABLE failure_2;" RAISE_VERSION;

const char *schema_from(int from) {
    static const char *const STEPS[SCHEMA_VERSION] = {NEW, FROM_1, FROM_2};
    return STEPS[from];
}
