// SPDX-License-Identifier: Apache-2.0
//
// auscult run, its single stages extract, train, score, report, and eda: everything from a folder
// of recordings to the files of a run. What is done already is found in the run's journal.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "coordinator/commands.h"
#include "coordinator/early_stop.h"
#include "coordinator/run.h"
#include "coordinator/server/server.h"

// What only the clips themselves could tell, once they were read again.
static int refuse(const Run *run) {
    const char *line = plan_refusal(run->plan);
    log_error("%s holds finished work that would be done anew:", run->options.out);
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        log_error("  %.*s", (int)(end - line), line);
    }
    log_error("--update does just that anew; to keep it, name another --out or put the old data "
              "back");
    return EXIT_USAGE;
}

static uint32_t local_workers(const RunOptions *options) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return options->local_workers != UINT32_MAX ? options->local_workers
           : options->bind != NULL              ? 0
           : cores > 0                          ? (uint32_t)cores
                                                : 1;
}

static int finish(const Run *run, Live *live) {
    if (plan_refusal(run->plan)[0] != '\0') {
        return refuse(run);
    }
    live_reporting(live);
    return run_finish(run);
}

static int serve_until_over(const Run *run, Live *live, RunState *ret_state) {
    Owner owner = plan_owner(run->plan);
    ServerConfig config = {.owner = &owner,
                           .journal = run->journal,
                           .blobs = run->blobs,
                           .live = live,
                           .run_folder = run->options.out,
                           .bind = run->options.bind,
                           .keys = run->options.keys,
                           .is_insecure = run->options.is_insecure,
                           .local_workers = local_workers(&run->options),
                           .roots = (const char *const *)run->roots,
                           .root_count = run->root_count,
                           .kernel = (Kernel)run->settings.numerics,
                           .fingerprint = &run->fingerprint,
                           .is_quiet = run->options.is_quiet,
                           .is_debug = run->options.is_verbose};
    uint32_t alarms;
    Status status = server_run(&config, &alarms);
    if (status == STATUS_STOPPED) {
        *ret_state = RUN_STOPPED;
        log_set_level(LOG_INFO);
        log_info("stopped; to continue: auscult %s --out %s", run->explores ? "eda" : "run",
                 run->options.out);
        return EXIT_STOPPED;
    }
    if (status != STATUS_OK) {
        *ret_state = RUN_FAILED;
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    int exit_code = finish(run, live);
    bool is_stopped = exit_code == EXIT_USAGE || exit_code == EXIT_STOPPED;
    *ret_state = exit_code == EXIT_FAILED ? RUN_FAILED : is_stopped ? RUN_STOPPED : RUN_DONE;
    if (alarms > 0) {
        log_error("%u time%s since the run was begun two workers gave different answers to one "
                  "task (see %s/logs/coordinator.log): one of them is broken, and the results may "
                  "not be trusted; without it, --restart computes everything anew",
                  alarms, alarms == 1 ? "" : "s", run->options.out);
        return EXIT_FAILED;
    }
    return exit_code;
}

static int serve(const Run *run) {
    Live *live = NULL;
    LiveConfig config = {.run_folder = run->options.out, .http = run->options.http};
    Status status = live_new(&config, &live);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (live_url(live)[0] != '\0') {
        log_info("the live page: %s", live_url(live));
    }
    RunState state;
    int exit_code = serve_until_over(run, live, &state);
    if (live_end(live, state) != STATUS_OK) {
        log_warning("the cluster's story is not written: %s", status_message());
    }
    live_free(live);
    return exit_code;
}

static int say_plan(const Run *run) {
    const Models *models = plan_models(run->plan);
    if (run->explores) {
        printf("%u machines, %u clips to explore, in %s\n", run->dataset->machine_count,
               run->dataset->clip_count, run->options.out);
        return EXIT_DONE;
    }
    printf("%u machines, %u clips, %u models, %d epochs each, in %s\n", run->dataset->machine_count,
           run->dataset->clip_count, models->count, run->settings.epochs, run->options.out);
    for (uint32_t m = 0; m < models->count; m++) {
        printf("  %s: %u training clips, %u test clips\n", models->models[m].label,
               models->models[m].train_count, models->models[m].test_count);
    }
    return EXIT_DONE;
}

// A dry run looks at the data and leaves no trace.
static int run_dry(Run *run) {
    Status status = run->options.root_count > 0
                        ? run_roots_from_options(run)
                        : status_set(STATUS_INVALID, "--dry-run needs --data");
    if (status == STATUS_OK) {
        status = settings_check(&run->settings);
    }
    if (status == STATUS_OK) {
        status = run_scan(run);
    }
    if (status == STATUS_OK) {
        PlanConfig config = {.dataset = run->dataset, .settings = &run->settings};
        status = plan_new(&config, &run->plan);
    }
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    return say_plan(run);
}

// Not before the run is open, since the program may execute itself anew on the way.
static void say_notes(const Run *run) {
    if (run->config_notes.size > 0) {
        log_info("%s: of the official baseline's keys these do not apply: %s", run->options.config,
                 buffer_cstr(&run->config_notes));
    }
}

static int run_until(int argc, char **argv, Stage until, bool explores) {
    Run run = {.until = until, .explores = explores};
    int parsed = run_options_parse(argc, argv, &run.options);
    if (parsed >= 0) {
        return parsed;
    }
    early_stop_catch(EXIT_STOPPED);
    log_set_level(run.options.is_quiet ? LOG_ERROR : run.options.is_verbose ? LOG_DEBUG : LOG_INFO);
    if (run_options_settings(&run.options, &run.settings, &run.config_notes) != STATUS_OK) {
        log_error("%s", status_message());
        buffer_done(&run.config_notes);
        return EXIT_USAGE;
    }
    int exit_status;
    if (run.options.is_dry) {
        say_notes(&run);
        exit_status = run_dry(&run);
    } else {
        // argv[-1] is the program: linalg_start may execute it anew with the whole command line.
        Status status = run_open(&run, argv - 1);
        if (status != STATUS_OK) {
            log_error("%s", status_message());
        } else {
            say_notes(&run);
        }
        exit_status = status == STATUS_OK        ? serve(&run)
                      : status == STATUS_INVALID ? EXIT_USAGE
                                                 : EXIT_FAILED;
    }
    run_close(&run);
    return exit_status;
}

int cmd_run(int argc, char **argv) {
    return run_until(argc, argv, STAGE_REPORT, false);
}

int cmd_extract(int argc, char **argv) {
    return run_until(argc, argv, STAGE_EXTRACT, false);
}

int cmd_train(int argc, char **argv) {
    return run_until(argc, argv, STAGE_TRAIN, false);
}

int cmd_report(int argc, char **argv) {
    return run_until(argc, argv, STAGE_REPORT, false);
}

int cmd_score_network(int argc, char **argv) {
    return run_until(argc, argv, STAGE_REPORT, false);
}

int cmd_score_stage(int argc, char **argv) {
    return run_until(argc, argv, STAGE_SCORE, false);
}

int cmd_eda(int argc, char **argv) {
    return run_until(argc, argv, STAGE_EXTRACT, true);
}
