// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/config.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/linalg.h"
#include "coordinator/early_stop.h"
#include "coordinator/run.h"

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

Status run_roots_from_options(Run *run) {
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

// Which keys differ by more than what is added, as "epochs (3, now 100), ...".
static void list_changes(const Settings *old, const Settings *now, Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Buffer before = BUFFER_EMPTY;
        Buffer after = BUFFER_EMPTY;
        settings_value(old, row, &before);
        settings_value(now, row, &after);
        if (row->stage != SETTING_EXECUTION && !settings_extends(old, now, row)) {
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

static Status open_journal(Run *run) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "journal.db");
    if (status == STATUS_OK) {
        status = journal_open(path, &run->journal);
    }
    Buffer recorded = BUFFER_EMPTY;
    if (status == STATUS_OK && journal_fact(run->journal, "settings", &recorded) == STATUS_OK) {
        run->is_begun = true;
        run->made_folder = false;
        status = merge_settings(run, &recorded);
    }
    buffer_done(&recorded);
    return status;
}

static Status choose_roots(Run *run) {
    if (run->options.root_count > 0) {
        return run_roots_from_options(run);
    }
    if (!run->is_begun) {
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

static Status write_config(Run *run) {
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
                         .arithmetic = plan_arithmetic(run->fingerprint.digest),
                         .journal = run->journal,
                         .blobs = run->blobs};
    return plan_new(&config, &run->plan);
}

static Status open_log(Run *run) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, "logs/coordinator.log");
    return status == STATUS_OK ? log_open(path) : status;
}

Status run_scan(Run *run) {
    DatasetOptions options = {.roots = (const char *const *)run->roots,
                              .root_count = run->root_count,
                              .manifest = run->manifest};
    return dataset_scan(&options, &run->dataset);
}

static bool has_journal(const Run *run) {
    char path[LIMIT_PATH_BYTES];
    return file_join(path, sizeof path, run->options.out, "journal.db") == STATUS_OK &&
           file_exists(path);
}

// Only once it is known that there is something to do, so that nothing is left where no run can
// begin.
static Status begin_folder(Run *run) {
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
    Status (*const steps[])(Run *) = {run_scan,        begin_folder, open_log,     make_plan,
                                      run_check_space, record,       compare_data, write_config};
    Status status = has_journal(run) ? open_journal(run) : STATUS_OK;
    if (status == STATUS_OK) {
        status = choose_roots(run);
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
    log_close();
}
