// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/linalg.h"
#include "coordinator/early_stop.h"
#include "coordinator/run.h"

static const char *const FOLDERS[] = {"", "/data", "/outputs", "/logs"};
enum { FOLDER_COUNT = sizeof FOLDERS / sizeof FOLDERS[0] };

static Status make_folders(Run *run) {
    char path[LIMIT_PATH_BYTES];
    for (size_t i = 0; i < FOLDER_COUNT; i++) {
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

typedef Status JournalOpen(const char *path, Journal **ret);

static Status open_journal_by(Run *run, JournalOpen *open) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "journal.db");
    if (status == STATUS_OK) {
        status = open(path, &run->journal);
    }
    if (status == STATUS_OK && journal_warning(run->journal) != NULL) {
        log_warning("%s: %s", run->options.out, journal_warning(run->journal));
    }
    if (status == STATUS_OK) {
        status = run_read_record(run);
    }
    run->made_folder = run->made_folder && !run->is_begun;
    return status;
}

static Status open_journal(Run *run) {
    bool takes_older = run->options.is_update || run->options.is_restart;
    return open_journal_by(run, takes_older ? journal_open_older : journal_open);
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
    if (status == STATUS_MISMATCH && run->is_begun &&
        run->settings.numerics == run->before.settings.numerics) {
        return status_prefix(status,
                             "%s was begun with the %s kernel: continue it where that runs, or "
                             "have it done anew here (--set numerics=%s --update, --restart or "
                             "another --out)",
                             run->options.out, linalg_kernel_name(kernel),
                             linalg_kernel_name(linalg_best_kernel()));
    }
    if (status == STATUS_OK) {
        status = linalg_self_check();
    }
    return status == STATUS_OK ? fingerprint_make(&run->fingerprint) : status;
}

#define CONFIG_HEAD "# The settings of this run, resolved; `auscult run --config` takes this file."

static Status write_config(Run *run) {
    char path[LIMIT_PATH_BYTES];
    char text[DIGEST_TEXT_BYTES];
    Digest digest;
    Buffer out = BUFFER_EMPTY;
    Status status = dataset_content_digest(run->dataset, &digest);
    if (status != STATUS_OK) {
        return status;
    }
    digest_text(digest, text);
    buffer_text(&out, CONFIG_HEAD "\n# auscult " AUSCULT_VERSION "\n");
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

static Status make_plan(Run *run) {
    run->blobs = blobs_new();
    if (run->blobs == NULL) {
        return STATUS_MEMORY;
    }
    PlanConfig config = {.dataset = run->dataset,
                         .settings = &run->settings,
                         .roots = (const char *const *)run->roots,
                         .root_count = run->root_count,
                         .run_folder = run->options.out,
                         .until = run->until,
                         .explores = run->explores,
                         .arithmetic = plan_arithmetic(run->fingerprint.digest),
                         .known = run->known,
                         .may_redo = run->may_redo,
                         .retries = run->options.is_retry,
                         .is_local = run->options.bind == NULL,
                         .journal = run->journal,
                         .blobs = run->blobs,
                         .network = &run->network};
    Status status = run->options.is_retry ? plan_forget_left_out(&config) : STATUS_OK;
    return status == STATUS_OK ? plan_new(&config, &run->plan) : status;
}

static Status open_log(Run *run) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "logs/coordinator.log");
    return status == STATUS_OK ? log_open(path) : status;
}

Status run_scan(Run *run) {
    DatasetOptions options = {.roots = (const char *const *)run->roots,
                              .root_count = run->root_count,
                              .manifest = run->manifest,
                              .truth = run->truth};
    return dataset_scan(&options, &run->dataset);
}

// By the lock file alone too: a run whose journal is gone is told so, not taken for an empty
// folder.
static bool has_journal(const Run *run) {
    static const char *const NAMES[] = {"journal.db", "journal.lock"};
    char path[LIMIT_PATH_BYTES];
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (file_join(path, sizeof path, run->options.out, NAMES[i]) == STATUS_OK &&
            file_exists(path)) {
            return true;
        }
    }
    return false;
}

// --restart is the remedy for a journal that cannot be read: then the run is put aside unread.
static Status open_old(Run *run) {
    if (!has_journal(run)) {
        return STATUS_OK;
    }
    run->has_old = true;
    Status status = open_journal(run);
    if (run->options.is_restart && (status == STATUS_FORMAT || status == STATUS_MISMATCH)) {
        run->is_begun = false;
        run->is_unreadable = true;
        return STATUS_OK;
    }
    return status;
}

Status run_open_record(Run *run) {
    return has_journal(run) ? open_journal_by(run, journal_open_to_read)
                            : status_set(STATUS_NOT_FOUND, "%s is no run", run->options.out);
}

// --restart: the old run is kept beside the new one, RUN.1 or the next free number. Nobody works on
// it, since its journal was ours, or can be nobody's.
static Status set_aside(Run *run) {
    if (!run->options.is_restart || !run->has_old) {
        return STATUS_OK;
    }
    char path[LIMIT_PATH_BYTES];
    int size = (int)strlen(run->options.out);
    while (size > 1 && run->options.out[size - 1] == '/') {
        size--;
    }
    journal_close(run->journal);
    run->journal = NULL;
    run->is_begun = false;
    for (int number = 1;; number++) {
        int used = snprintf(path, sizeof path, "%.*s.%d", size, run->options.out, number);
        if (used < 0 || (size_t)used >= sizeof path) {
            return status_set(STATUS_LIMIT, "path too long: %s", run->options.out);
        }
        if (!file_exists(path)) {
            break;
        }
    }
    if (rename(run->options.out, path) != 0) {
        return status_set(STATUS_IO, "cannot rename %s to %s: %s", run->options.out, path,
                          strerror(errno));
    }
    log_info("the run so far is kept as %s%s", path,
             run->is_unreadable ? " (its journal could not be read)" : "");
    return STATUS_OK;
}

// Only once it is known that there is something to do, so that nothing is left where no run can
// begin.
// A folder where no run was begun may hold a config.yaml of the user's own.
static Status check_no_other_config(const Run *run) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    Status status = file_join(path, sizeof path, run->options.out, "config.yaml");
    if (status != STATUS_OK || run->journal != NULL || !file_exists(path)) {
        return status;
    }
    status = file_read(path, LIMIT_CONFIG_BYTES, &text);
    if (status != STATUS_OK || !text_starts(buffer_cstr(&text), CONFIG_HEAD)) {
        status = status_set(
            STATUS_INVALID,
            "%s is not a run's, and would be overwritten: give --out another folder", path);
    }
    buffer_done(&text);
    return status;
}

static Status begin_folder(Run *run) {
    Status checked = check_no_other_config(run);
    if (checked != STATUS_OK) {
        return checked;
    }
    run->made_folder = !file_exists(run->options.out);
    Status status = make_folders(run);
    if (status == STATUS_OK && run->journal == NULL) {
        status = open_journal(run);
    }
    if (status == STATUS_OK) { // the journal keeps other writers out
        file_remove_temporaries(run->options.out);
    }
    return status;
}

static Status open_all(Run *run, char **argv) {
    Status (*const steps[])(Run *) = {
        run_scan,         set_aside, begin_folder,    open_log,         run_judge_changes,
        run_keep_network, make_plan, run_check_space, run_write_record, write_config};
    Status (*const choices[])(Run *) = {run_import_network, open_old, run_choose_roots,
                                        run_choose_settings, run_choose_network};
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof choices / sizeof choices[0] && status == STATUS_OK; i++) {
        status = choices[i](run);
    }
    if (status == STATUS_OK) {
        status = start_numerics(run, argv);
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == STATUS_OK; i++) {
        status = steps[i](run);
    }
    return status;
}

// Without the journal in our hands somebody else may have begun a run here: then only what is empty
// goes.
static void unmake_folder(Run *run) {
    log_close();
    if (run->journal != NULL) {
        (void)file_remove_tree(run->options.out);
        return;
    }
    char path[LIMIT_PATH_BYTES];
    for (size_t i = FOLDER_COUNT; i-- > 0;) {
        snprintf(path, sizeof path, "%s%s", run->options.out, FOLDERS[i]);
        (void)rmdir(path);
    }
}

Status run_open(Run *run, char **argv) {
    Status status = open_all(run, argv);
    if (status != STATUS_OK && run->made_folder) {
        char why[LIMIT_MESSAGE_BYTES];
        text_copy(why, sizeof why, status_message());
        unmake_folder(run);
        status_set(status, "%s", why);
    }
    return status;
}

void run_close(Run *run) {
    plan_free(run->plan);
    journal_close(run->journal);
    blobs_free(run->blobs);
    dataset_free(run->dataset);
    for (uint32_t i = 0; i < run->root_count; i++) {
        mem_free(run->roots[i]);
    }
    mem_free(run->roots);
    mem_free(run->manifest);
    mem_free(run->truth);
    mem_free(run->known);
    buffer_done(&run->config_notes);
    buffer_done(&run->network);
    run_record_done(&run->before);
    log_close();
}
