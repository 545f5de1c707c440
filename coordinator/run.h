// SPDX-License-Identifier: Apache-2.0
//
// One invocation of `auscult run` on its folder, shared by cmd_run.c and the files named run_*:
// from the command line to an opened run (run_open.c), whether the disk is large enough
// (run_space.c), and what is told at its end (run_end.c). Main's thread.
#ifndef AUSCULT_COORDINATOR_RUN_H
#define AUSCULT_COORDINATOR_RUN_H

#include "common/engine/fingerprint.h"
#include "coordinator/plan/plan.h"
#include "coordinator/run_options.h"

// The program's exit statuses; schedulers requeue on 75 only.
enum {
    EXIT_DONE = 0,
    EXIT_LEFT_OUT = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 3,
    EXIT_STOPPED = 75,
};

// What a begun run remembers of its last invocation.
typedef struct RunRecord {
    Settings settings;
    Digest data_digest; // of its data
    bool has_data;      // they are remembered
    Dataset *dataset;   // NULL before run_read_data
    Digest arithmetic;  // what calculated (plan_arithmetic)
    char *program;      // the same for people, NULL: not remembered
} RunRecord;

typedef struct Run {
    RunOptions options;
    Buffer config_notes; // what --config holds that does not apply
    Stage until;         // the last stage to do
    bool explores;       // `auscult eda`
    Settings settings;   // of the command line, then of the run
    char **roots;        // (root_count) absolute; owned, as all below
    uint32_t root_count; // of the command line, or remembered
    char *manifest;      // absolute, NULL for none
    char *truth;         // of hidden test clips, absolute, NULL for none
    Dataset *dataset;
    Journal *journal;
    Blobs *blobs;
    Plan *plan;
    Fingerprint fingerprint; // of this program on this machine
    bool is_begun;           // an earlier invocation has begun the run in this folder
    bool has_old;            // a journal, or what is left of one, was in this folder
    bool is_unreadable;      // and could not be read, which --restart may overlook
    bool made_folder;        // this invocation made it
    RunRecord before;        // where it is begun
    Digest *known;           // (clips of the dataset) see PlanConfig
    Buffer network;          // from elsewhere; empty where the models are trained here
    double threshold;        // of --threshold
    bool keeps_data;         // the record of the data stays as it was
    bool may_redo;           // see PlanConfig
    bool is_changed;         // settings, data or programs are not those of the last invocation
} Run;

// run_open.c: everything up to a plan that can be served. Where no run can begin, no folder is left
// behind. STATUS_INVALID: what the user gave. May execute the program anew with `argv`.
Status run_open(Run *run, char **argv);
// The journal of the run at options.out, and what it remembers, alone and only to be read, as on a
// full disk. STATUS_NOT_FOUND: no run.
Status run_open_record(Run *run);
Status run_scan(Run *run);
void run_close(Run *run);

// run_record.c: what is remembered in the journal, and what of it an invocation takes over that
// says nothing else.
Status run_read_record(Run *run); // sets is_begun
Status run_read_data(Run *run);   // before.dataset; takes its time with many clips
Status run_choose_roots(Run *run);
Status run_roots_from_options(Run *run);
Status run_choose_settings(Run *run);
Status run_write_record(Run *run);
// What calculates, for people.
void run_program_text(const Run *run, Buffer *out);
void run_record_done(RunRecord *record);

// run_change.c: settings, data or programs other than the run remembers. STATUS_INVALID: finished
// work would be done anew, which has been listed in the log.
Status run_judge_changes(Run *run);
// A plan that knows what the journal has of these settings, data and arithmetic, and begins
// nothing. The caller frees it, also after a failure.
Status run_survey(const Run *run, const Settings *settings, const Dataset *data, Digest arithmetic,
                  Plan **ret);

// run_network.c: a network from elsewhere, read from the files that the options name; chosen, that
// or the one that a begun run has, and put into the settings; kept in the run's folder.
// STATUS_INVALID: a file that is refused.
Status run_import_network(Run *run);
Status run_choose_network(Run *run);
Status run_keep_network(Run *run);

// run_export.c: the clips' features as files below RUN/features, if options.export asks for them.
Status run_export(const Run *run);

// run_space.c: what the run will write at most, against what the disk has free and what the run has
// written already. STATUS_IO.
Status run_check_space(Run *run);

// run_stale.c: what lies in a run's folder and belongs to none of these models.
typedef struct RunStale {
    Buffer found;     // a line for each folder and history; the caller frees it
    uint64_t bytes;   // of all that was found
    uint32_t folders; // of models
} RunStale;
Status run_find_stale(const char *out, const Models *models, bool removes, RunStale *ret_stale);

// run_end.c: writes the results of a plan that is over and says how it went. The exit status.
int run_finish(const Run *run);

#endif
