// SPDX-License-Identifier: Apache-2.0
//
// Finds the systems in a folder: every folder below it that has files of scores in it, or the
// predictions of a run. One thread.
#ifndef AUSCULT_COORDINATOR_EVALUATE_FIND_H
#define AUSCULT_COORDINATOR_EVALUATE_FIND_H

#include "coordinator/evaluate/score_name.h"
#include "coordinator/remarks.h"

typedef struct ScoreFile {
    char *path;
    ScoreName name;
} ScoreFile;

// The files of one system, sorted by path.
typedef struct SystemFiles {
    char *name;       // "team/system": unique
    char *folder;     // that the files lie in
    ScoreFile *files; // (count)
    uint32_t count;
    uint32_t capacity;
} SystemFiles;

typedef struct SystemList {
    SystemFiles *systems; // (count) by name
    uint32_t count;
    uint32_t capacity;
    uint32_t folders; // looked into
} SystemList;

// Adds the systems below `path`, which may also be a single file of scores. A system is named after
// its folders below `path`, without those of a run (outputs, submission, task2); files of several
// seeds or models in one folder are as many systems. Where a run has a submission, that is the
// system, not its challenge_predictions.csv, unless `predictions_first`. STATUS_NOT_FOUND,
// STATUS_IO about `path` itself, STATUS_LIMIT, STATUS_MEMORY. Free with system_list_done, also
// after a failure.
Status system_list_add(SystemList *list, const char *path, bool predictions_first);
void system_list_done(SystemList *list);

#endif
