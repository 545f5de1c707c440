// SPDX-License-Identifier: Apache-2.0
//
// auscult clean: drops from a run's folder what belongs to nothing any more.
#include <getopt.h>
#include <stdio.h>

#include "common/base/log.h"
#include "coordinator/commands.h"
#include "coordinator/run.h"

static const char HELP[] =
    "usage: auscult clean RUN [--dry-run]\n"
    "\n"
    "Removes from the run in the folder RUN what its data and settings no longer have: folders "
    "and\n"
    "histories of models, and files that processes left behind when they died. Nobody may be\n"
    "working on it.\n"
    "\n"
    "  --dry-run   say what would be removed, and stop\n"
    "  -h, --help  print this help\n";

static Status clean(Run *run, bool removes) {
    Plan *plan = NULL;
    RunStale stale;
    Status status = run_open_record(run);
    if (status == STATUS_OK) {
        status = run_read_data(run);
    }
    if (status == STATUS_NOT_FOUND) {
        status = status_set(status, "%s is no run that has begun", run->options.out);
    }
    if (status == STATUS_OK) {
        status = run_survey(run, &run->before.settings, run->before.dataset, run->before.arithmetic,
                            &plan); // which may call folders otherwise
    }
    if (status == STATUS_OK) {
        status = run_find_stale(run->options.out, plan_models(plan), removes, &stale);
    }
    plan_free(plan);
    if (status == STATUS_OK) {
        fputs(buffer_cstr(&stale.found), stdout);
        printf("%s %.1f MB\n", removes ? "freed" : "would free", (double)stale.bytes / 1e6);
        buffer_done(&stale.found);
    }
    return status;
}

int cmd_clean(int argc, char **argv) {
    enum { DRY_RUN = 256 };
    static const struct option LONG[] = {{"dry-run", no_argument, NULL, DRY_RUN},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    Run run = {.until = STAGE_REPORT};
    bool removes = true;
    optind = 0;
    for (int o; (o = getopt_long(argc, argv, "h", LONG, NULL)) != -1;) {
        if (o == 'h') {
            fputs(HELP, stdout);
            return EXIT_DONE;
        }
        if (o != DRY_RUN) {
            return EXIT_USAGE;
        }
        removes = false;
    }
    if (optind != argc - 1) {
        fputs("auscult clean: one RUN is needed (see auscult clean --help)\n", stderr);
        return EXIT_USAGE;
    }
    run.options.out = argv[optind];
    Status status = clean(&run, removes);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
    }
    run_close(&run);
    return status == STATUS_OK ? EXIT_DONE : EXIT_FAILED;
}
