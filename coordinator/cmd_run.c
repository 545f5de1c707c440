// SPDX-License-Identifier: Apache-2.0
//
// auscult run, and its single stages extract, train, score, report: everything from a folder of
// recordings to the files of a run. What is done already is found in the run's journal.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/config.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/engine/fingerprint.h"
#include "common/model/linalg.h"
#include "common/model/shape.h"
#include "coordinator/commands.h"
#include "coordinator/early_stop.h"
#include "coordinator/outputs/summary.h"
#include "coordinator/results/results.h"
#include "coordinator/run_options.h"
#include "coordinator/server/server.h"

enum {
    EXIT_DONE = 0,
    EXIT_LEFT_OUT = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 3,
    EXIT_STOPPED = 75,
    WARNINGS_SHOWN = 20, // on the terminal; the log has all
};

typedef struct Run {
    RunOptions options;
    Stage until;
    Settings settings;
    char **roots; // (root_count) absolute
    uint32_t root_count;
    char *manifest; // absolute, NULL for none
    Dataset *dataset;
    Journal *journal;
    Blobs *blobs;
    Plan *plan;
    Fingerprint fingerprint;
    bool is_resumed;
} Run;

// ---- what a begun run remembers ----

static Status absolute(const char *path, char **ret) {
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL) {
        Status status = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
        return status_set(status, "cannot look at %s: %s", path, strerror(errno));
    }
    char *copy = mem_copy_text(resolved);
    *ret = copy;
    return copy != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status add_root(Run *run, char *root) {
    char **grown = mem_resize(run->roots, run->root_count + 1, sizeof *grown);
    if (grown == NULL) {
        mem_free(root);
        return STATUS_MEMORY;
    }
    run->roots = grown;
    run->roots[run->root_count++] = root;
    return STATUS_OK;
}

static Status roots_from_options(Run *run) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < run->options.root_count && status == STATUS_OK; i++) {
        char *root = NULL;
        status = absolute(run->options.roots[i], &root);
        if (status == STATUS_OK) {
            status = add_root(run, root);
        }
    }
    if (status == STATUS_OK && run->options.manifest != NULL) {
        status = absolute(run->options.manifest, &run->manifest);
    }
    return status;
}

static Status roots_from_journal(Run *run) {
    Buffer text = BUFFER_EMPTY;
    Status status = journal_fact(run->journal, "roots", &text);
    char *save = NULL;
    for (char *line = status == STATUS_OK ? strtok_r(text.bytes, "\n", &save) : NULL;
         line != NULL && status == STATUS_OK; line = strtok_r(NULL, "\n", &save)) {
        char *copy = mem_copy_text(line);
        status = copy != NULL ? add_root(run, copy) : STATUS_MEMORY;
    }
    if (status == STATUS_OK && journal_fact(run->journal, "manifest", &text) == STATUS_OK &&
        text.size > 0) {
        run->manifest = mem_copy_text(text.bytes);
        status = run->manifest != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    buffer_done(&text);
    return status;
}

static bool options_have_settings(const RunOptions *options) {
    return options->preset != NULL || options->config != NULL || options->assignment_count > 0;
}

// Which keys differ, as "epochs (3, now 100), ...".
static void list_changes(const Settings *old, const Settings *now, Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Buffer before = BUFFER_EMPTY;
        Buffer after = BUFFER_EMPTY;
        settings_value(old, row, &before);
        settings_value(now, row, &after);
        if (row->stage != SETTING_EXECUTION &&
            strcmp(buffer_cstr(&before), buffer_cstr(&after)) != 0) {
            buffer_format(out, "%s%s (%s, now %s)", out->size > 0 ? ", " : "", row->key,
                          buffer_cstr(&before), buffer_cstr(&after));
        }
        buffer_done(&before);
        buffer_done(&after);
    }
}

// A run keeps the settings that it was begun with.
static Status merge_settings(Run *run, const Buffer *recorded) {
    Settings old;
    Status status = settings_preset("default", &old);
    if (status == STATUS_OK) {
        status = config_read_text("journal", recorded->bytes, recorded->size, &old);
    }
    if (status != STATUS_OK || !options_have_settings(&run->options)) {
        int32_t spread = run->settings.spread;
        run->settings = status == STATUS_OK ? old : run->settings;
        run->settings.spread = options_have_settings(&run->options) ? spread : old.spread;
        return status;
    }
    // --set alone speaks of single settings of this run, not of a preset with them.
    if (run->options.preset == NULL && run->options.config == NULL) {
        run->settings = old;
        for (uint32_t i = 0; i < run->options.assignment_count && status == STATUS_OK; i++) {
            status = settings_assign(&run->settings, run->options.assignments[i]);
        }
        if (status == STATUS_OK) {
            status = settings_check(&run->settings);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (run->settings.numerics == KERNEL_AUTO) {
        run->settings.numerics = old.numerics;
    }
    Buffer changes = BUFFER_EMPTY;
    list_changes(&old, &run->settings, &changes);
    if (changes.size > 0) {
        status = status_set(STATUS_INVALID,
                            "%s was begun with other settings: %s; name another --out, or leave "
                            "the settings away to continue it",
                            run->options.out, buffer_cstr(&changes));
    }
    buffer_done(&changes);
    return status;
}

// ---- opening ----

static Status open_folder(Run *run) {
    static const char *const FOLDERS[] = {"", "/data", "/outputs", "/logs"};
    char path[LIMIT_PATH_BYTES];
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        int used = snprintf(path, sizeof path, "%s%s", run->options.out, FOLDERS[i]);
        if (used < 0 || (size_t)used >= sizeof path) {
            return status_set(STATUS_LIMIT, "path too long: %s", run->options.out);
        }
        Status status = file_make_folders(path);
        if (status == STATUS_OK) {
            status = file_check_writable(path);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static Status open_journal(Run *run) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "journal.db");
    if (status == STATUS_OK) {
        status = journal_open(path, &run->journal);
    }
    Buffer recorded = BUFFER_EMPTY;
    if (status == STATUS_OK && journal_fact(run->journal, "settings", &recorded) == STATUS_OK) {
        run->is_resumed = true;
        status = merge_settings(run, &recorded);
    }
    buffer_done(&recorded);
    return status;
}

static Status choose_roots(Run *run) {
    if (run->options.root_count > 0) {
        return roots_from_options(run);
    }
    if (!run->is_resumed) {
        return status_set(STATUS_INVALID,
                          "--data DIR is missing (%s is no run that could be "
                          "continued)",
                          run->options.out);
    }
    return roots_from_journal(run);
}

// "auto" becomes the best kernel of this machine, once for the run, and is written down.
static Status start_numerics(Run *run, char **argv) {
    Kernel kernel = (Kernel)run->settings.numerics;
    if (kernel == KERNEL_AUTO) {
        kernel = linalg_best_kernel();
        run->settings.numerics = (int32_t)kernel;
    }
    early_stop_hold();
    Status status = linalg_start(kernel, argv);
    early_stop_release();
    if (status == STATUS_OK) {
        status = linalg_self_check();
    }
    return status == STATUS_OK ? fingerprint_make(&run->fingerprint) : status;
}

static Status record(Run *run) {
    Buffer settings = BUFFER_EMPTY;
    Buffer roots = BUFFER_EMPTY;
    settings_write(&run->settings, SETTING_EXECUTION, &settings);
    for (uint32_t i = 0; i < run->root_count; i++) {
        buffer_format(&roots, "%s\n", run->roots[i]);
    }
    const char *manifest = run->manifest != NULL ? run->manifest : "";
    Status status =
        journal_set_fact(run->journal, "settings", buffer_cstr(&settings), settings.size);
    if (status == STATUS_OK) {
        status = journal_set_fact(run->journal, "roots", buffer_cstr(&roots), roots.size);
    }
    if (status == STATUS_OK) {
        status = journal_set_fact(run->journal, "manifest", manifest, strlen(manifest));
    }
    buffer_done(&settings);
    buffer_done(&roots);
    return status;
}

// Other data in a run that was begun: only what is new is computed, and outputs hold what is there.
static Status compare_data(Run *run) {
    Buffer recorded = BUFFER_EMPTY;
    Digest digest;
    Status status = dataset_digest(run->dataset, &digest);
    if (status == STATUS_OK && journal_fact(run->journal, "dataset", &recorded) == STATUS_OK &&
        (recorded.size != sizeof digest.bytes ||
         memcmp(recorded.bytes, digest.bytes, sizeof digest.bytes) != 0)) {
        log_warning("the data are not those that %s was begun with: what is new is computed, and "
                    "the outputs will hold only the clips that are there now",
                    run->options.out);
    }
    if (status == STATUS_OK) {
        status = journal_set_fact(run->journal, "dataset", digest.bytes, sizeof digest.bytes);
    }
    buffer_done(&recorded);
    return status;
}

static Status write_config(const Run *run) {
    char path[LIMIT_PATH_BYTES];
    char text[DIGEST_TEXT_BYTES];
    Digest digest;
    Buffer out = BUFFER_EMPTY;
    Status status = dataset_digest(run->dataset, &digest);
    if (status != STATUS_OK) {
        return status;
    }
    digest_text(digest, text);
    buffer_text(&out, "# The settings of this run, resolved; `auscult run --config` takes this "
                      "file.\n# auscult " AUSCULT_VERSION "\n");
    buffer_format(&out, "# data: %s (%u clips of %u machines)\n", text, run->dataset->clip_count,
                  run->dataset->machine_count);
    settings_write(&run->settings, SETTING_REPORT, &out);
    status = file_join(path, sizeof path, run->options.out, "config.yaml");
    if (status == STATUS_OK) {
        status = file_write_buffer(path, &out);
    }
    buffer_done(&out);
    return status;
}

// What the run will write at most, against what the disk has free.
static Status check_space(const Run *run) {
    struct statvfs disk;
    if (statvfs(run->options.out, &disk) != 0) {
        return STATUS_OK; // some network file systems do not tell
    }
    Shape shape = shape_official(&run->settings);
    Layout layout = shape_layout(&shape);
    double model = 4.0 * (double)(layout.parameters * 7 + layout.running * 3) + 65536;
    double needed = model * plan_models(run->plan)->count + 1024.0 * run->dataset->clip_count;
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (free_bytes < needed) {
        return status_set(STATUS_IO,
                          "%s has %.0f MB free, this run needs up to %.0f MB: %u models and %u "
                          "clips",
                          run->options.out, free_bytes / 1e6, needed / 1e6,
                          plan_models(run->plan)->count, run->dataset->clip_count);
    }
    return STATUS_OK;
}

static Status make_plan(Run *run) {
    PlanConfig config = {.dataset = run->dataset,
                         .settings = &run->settings,
                         .roots = (const char *const *)run->roots,
                         .root_count = run->root_count,
                         .run_folder = run->options.out,
                         .until = run->until,
                         .journal = run->journal,
                         .blobs = run->blobs};
    Status status = plan_new(&config, &run->plan);
    return status == STATUS_OK ? check_space(run) : status;
}

static Status open_log(const Run *run) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "logs/coordinator.log");
    return status == STATUS_OK ? log_open(path) : status;
}

static Status scan(Run *run) {
    DatasetOptions options = {.roots = (const char *const *)run->roots,
                              .root_count = run->root_count,
                              .manifest = run->manifest};
    return dataset_scan(&options, &run->dataset);
}

static Status open_run(Run *run, char **argv) {
    Status status = open_folder(run);
    if (status == STATUS_OK) {
        status = open_journal(run);
    }
    if (status == STATUS_OK) {
        status = choose_roots(run);
    }
    if (status == STATUS_OK) {
        status = start_numerics(run, argv);
    }
    if (status == STATUS_OK) {
        status = open_log(run);
    }
    if (status == STATUS_OK) {
        status = scan(run);
    }
    if (status == STATUS_OK) {
        status = record(run);
    }
    if (status == STATUS_OK) {
        status = compare_data(run);
    }
    if (status == STATUS_OK) {
        status = write_config(run);
    }
    if (status == STATUS_OK) {
        run->blobs = blobs_new();
        status = run->blobs != NULL ? make_plan(run) : STATUS_MEMORY;
    }
    return status;
}

static void close_run(Run *run) {
    plan_free(run->plan);
    journal_close(run->journal);
    blobs_free(run->blobs);
    dataset_free(run->dataset);
    for (uint32_t i = 0; i < run->root_count; i++) {
        mem_free(run->roots[i]);
    }
    mem_free(run->roots);
    mem_free(run->manifest);
    log_close();
}

// ---- the end ----

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

static Status print_summary(const Run *run, const Results *results) {
    MachineReport report;
    Status status =
        machine_report_make(results->clips, results->clip_count, run->settings.max_fpr, &report);
    if (status != STATUS_OK) {
        return status;
    }
    if (run->options.is_json) {
        Buffer text = BUFFER_EMPTY;
        summary_json(&report, &text);
        fputs(buffer_cstr(&text), stdout);
        buffer_done(&text);
    } else {
        Buffer text = BUFFER_EMPTY;
        if (run->until >= STAGE_SCORE) {
            summary_format(&report, &text);
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

static int finish(const Run *run) {
    ResultsConfig config = {.dataset = run->dataset,
                            .settings = &run->settings,
                            .plan = run->plan,
                            .run_folder = run->options.out,
                            .label = run->options.label,
                            .until = run->until};
    Results results;
    Status status = results_write(&config, &results);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    warn_of_everything(run, &results);
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

static int serve(const Run *run) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t local = run->options.local_workers;
    if (local == UINT32_MAX) {
        local = run->options.bind != NULL ? 0 : cores > 0 ? (uint32_t)cores : 1;
    }
    ServerConfig config = {.plan = run->plan,
                           .journal = run->journal,
                           .blobs = run->blobs,
                           .run_folder = run->options.out,
                           .bind = run->options.bind,
                           .local_workers = local,
                           .roots = (const char *const *)run->roots,
                           .root_count = run->root_count,
                           .kernel = (Kernel)run->settings.numerics,
                           .fingerprint = &run->fingerprint,
                           .is_quiet = run->options.is_quiet,
                           .is_debug = run->options.is_verbose};
    Status status = server_run(&config);
    if (status == STATUS_STOPPED) {
        log_set_level(LOG_INFO);
        log_info("stopped; to continue: auscult %s --out %s", "run", run->options.out);
        return EXIT_STOPPED;
    }
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    return finish(run);
}

static int say_plan(const Run *run) {
    const Models *models = plan_models(run->plan);
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
                        ? roots_from_options(run)
                        : status_set(STATUS_INVALID, "--dry-run needs --data");
    if (status == STATUS_OK) {
        status = scan(run);
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

static int run_until(int argc, char **argv, Stage until) {
    Run run = {.until = until};
    int parsed = run_options_parse(argc, argv, &run.options);
    if (parsed >= 0) {
        return parsed;
    }
    early_stop_catch(EXIT_STOPPED);
    log_set_level(run.options.is_quiet ? LOG_ERROR : run.options.is_verbose ? LOG_DEBUG : LOG_INFO);
    if (run_options_settings(&run.options, &run.settings) != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_USAGE;
    }
    int exit_status;
    if (run.options.is_dry) {
        exit_status = run_dry(&run);
    } else {
        // argv[-1] is the program: linalg_start may execute it anew with the whole command line.
        Status status = open_run(&run, argv - 1);
        if (status != STATUS_OK) {
            log_error("%s", status_message());
        }
        exit_status = status == STATUS_OK        ? serve(&run)
                      : status == STATUS_INVALID ? EXIT_USAGE
                                                 : EXIT_FAILED;
    }
    close_run(&run);
    return exit_status;
}

int cmd_run(int argc, char **argv) {
    return run_until(argc, argv, STAGE_REPORT);
}

int cmd_extract(int argc, char **argv) {
    return run_until(argc, argv, STAGE_EXTRACT);
}

int cmd_train(int argc, char **argv) {
    return run_until(argc, argv, STAGE_TRAIN);
}

int cmd_report(int argc, char **argv) {
    return run_until(argc, argv, STAGE_REPORT);
}

int cmd_score_stage(int argc, char **argv) {
    return run_until(argc, argv, STAGE_SCORE);
}
