// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "coordinator/explore/closing.h"
#include "coordinator/explore/tables.h"
#include "coordinator/outputs/summary.h"
#include "coordinator/pages/eda_page.h"
#include "coordinator/results/results.h"
#include "coordinator/results/stale.h"
#include "coordinator/run.h"

enum { WARNINGS_SHOWN = 20 }; // on the terminal; the log has all

static void warn(const char *text, uint32_t *shown) {
    if (*shown < WARNINGS_SHOWN) {
        log_warning("%s", text);
    } else {
        log_debug("%s", text); // the log has all
    }
    ++*shown;
}

static void warn_of_everything(const Run *run, const Results *results) {
    uint32_t shown = 0;
    for (uint32_t i = 0; i < run->dataset->warning_count; i++) {
        warn(run->dataset->warnings[i], &shown);
    }
    for (uint32_t i = 0; plan_warning(run->plan, i) != NULL; i++) {
        warn(plan_warning(run->plan, i), &shown);
    }
    for (uint32_t i = 0; i < results->note_count; i++) {
        warn(results->notes[i], &shown);
    }
    for (size_t i = 0; i < results->clip_count; i++) {
        const ScoredClip *clip = &results->clips[i];
        if (clip->left_out_reason != NULL) {
            char text[LIMIT_MESSAGE_BYTES];
            snprintf(text, sizeof text, "left out: %s: %s", clip->path, clip->left_out_reason);
            warn(text, &shown);
        }
    }
    if (shown > WARNINGS_SHOWN) {
        log_warning("and %u more; see %s/logs/coordinator.log", shown - WARNINGS_SHOWN,
                    run->options.out);
    }
}

static Status write_eda_page(const Run *run, const Results *results) {
    const ClipPortrait **portraits = NULL;
    uint32_t portrait_count = 0;
    char problem[LIMIT_MESSAGE_BYTES] = "";
    Status status = plan_portraits(run->plan, &portraits, &portrait_count);
    if (status == STATUS_OK) {
        EdaPage page = {.run_folder = run->options.out,
                        .settings = &run->settings,
                        .summary = plan_summary(run->plan),
                        .portraits = portraits,
                        .portrait_count = portrait_count,
                        .clips = results->clips,
                        .clip_count = results->clip_count};
        status = eda_page_write(&page, problem, sizeof problem);
    }
    if (problem[0] != '\0') {
        log_warning("eda.html: %s", problem);
    }
    mem_free(portraits);
    return status;
}

static Status write_exploration(const Run *run, const Results *results) {
    const ExploreSummary *summary = plan_summary(run->plan);
    char folder[LIMIT_PATH_BYTES];
    if (summary == NULL) {
        return STATUS_OK;
    }
    Status status = file_join(folder, sizeof folder, run->options.out, "outputs");
    if (status == STATUS_OK) {
        status = explore_tables_write(folder, summary);
    }
    return status == STATUS_OK ? write_eda_page(run, results) : status;
}

static Status print_summary(const Run *run, const Results *results) {
    MachineReport report;
    Status status =
        machine_report_make(results->clips, results->clip_count, run->settings.max_fpr, &report);
    if (status != STATUS_OK) {
        return status;
    }
    if (run->options.is_json) {
        Buffer text = BUFFER_EMPTY;
        if (plan_summary(run->plan) != NULL) {
            explore_closing_json(plan_summary(run->plan), &text);
        } else {
            summary_json(&report, &text);
        }
        fputs(buffer_cstr(&text), stdout);
        buffer_done(&text);
    } else {
        Buffer text = BUFFER_EMPTY;
        if (run->until >= STAGE_SCORE) {
            summary_format(&report, &text);
        }
        if (plan_summary(run->plan) != NULL) {
            explore_closing_format(plan_summary(run->plan), &text);
        }
        fputs(buffer_cstr(&text), stdout);
        printf("%sfiles: %s/%s", text.size > 0 ? "\n" : "", run->options.out,
               run->until == STAGE_TRAIN ? "data" : "outputs");
        printf(results->left_out > 0 ? ", %zu left out (%s/outputs/left_out.csv)\n" : "\n",
               results->left_out, run->options.out);
        buffer_done(&text);
    }
    machine_report_done(&report);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    return written ? STATUS_OK : status_set(STATUS_IO, "cannot write to stdout");
}

static uint32_t models_trained(const Run *run) {
    uint32_t trained = 0;
    for (uint32_t m = 0; m < plan_models(run->plan)->count; m++) {
        trained += plan_model_state(run->plan, m)->is_trained;
    }
    return trained;
}

static void warn_of_stale(const Run *run) {
    RunStale stale;
    if (run_find_stale(run->options.out, plan_models(run->plan), false, &stale) != STATUS_OK) {
        return; // the results are written
    }
    if (stale.folders > 0) {
        const char *first = buffer_cstr(&stale.found);
        log_warning("%u folder%s of models that the run no longer has, such as %s/%.*s; `auscult "
                    "clean %s` removes %s",
                    stale.folders, stale.folders == 1 ? "" : "s", run->options.out,
                    (int)strcspn(first, "\n"), first, run->options.out,
                    stale.folders == 1 ? "it" : "them");
    }
    buffer_done(&stale.found);
}

int run_finish(const Run *run) {
    ResultsConfig config = {.dataset = run->dataset,
                            .settings = &run->settings,
                            .plan = run->plan,
                            .run_folder = run->options.out,
                            .label = run->options.label,
                            .until = run->until,
                            .is_changed = run->is_changed || plan_has_worked(run->plan)};
    Results results;
    Status status = run_export(run);
    if (status == STATUS_OK) {
        status = results_write(&config, &results);
    }
    if (status == STATUS_OK) {
        status = write_exploration(run, &results);
    }
    if (status == STATUS_STOPPED) {
        log_set_level(LOG_INFO);
        log_info("%s; to continue: auscult %s --out %s", status_message(),
                 plan_summary(run->plan) != NULL ? "eda" : "run", run->options.out);
        return EXIT_STOPPED;
    }
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    warn_of_everything(run, &results);
    if (results.problem[0] != '\0') {
        log_warning("report.html: %s", results.problem);
    }
    warn_of_stale(run);
    if (stale_is_marked(run->options.out)) {
        log_warning("%s/outputs has files of an earlier state of this run; `auscult run --out %s` "
                    "makes them anew",
                    run->options.out, run->options.out);
    }
    int exit_status = run->options.is_strict && results.left_out > 0 ? EXIT_LEFT_OUT : EXIT_DONE;
    if (run->until >= STAGE_TRAIN && models_trained(run) == 0) {
        log_error("nothing usable is left: no machine has training clips that can be used (see "
                  "%s/outputs/left_out.csv)",
                  run->options.out);
        exit_status = EXIT_FAILED;
    } else if (print_summary(run, &results) != STATUS_OK) {
        log_error("%s", status_message());
        exit_status = EXIT_FAILED;
    }
    results_done(&results);
    return exit_status;
}
