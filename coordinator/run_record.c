// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/model/linalg.h"
#include "coordinator/dataset/record.h"
#include "coordinator/run.h"

// The names of the facts.
#define FACT_SETTINGS "settings"
#define FACT_ROOTS    "roots"
#define FACT_MANIFEST "manifest"
#define FACT_TRUTH    "truth"
#define FACT_DATA     "data"        // large: only looked at when its digest is another
#define FACT_DIGEST   "data_digest" // of the data set that it tells of
#define FACT_PROGRAM  "program"     // a digest, then text for people

// ---- data folders ----

static Status absolute(const char *path, char **ret) {
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL) {
        Status status = errno == ENOENT ? STATUS_INVALID : STATUS_IO; // a slip of the pen
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

static Status truth_from_options(Run *run) {
    return run->options.truth != NULL ? absolute(run->options.truth, &run->truth) : STATUS_OK;
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
    return status == STATUS_OK ? truth_from_options(run) : status;
}

// A path that the journal may remember.
static Status path_from_journal(Run *run, const char *fact, char **ret_path) {
    Buffer text = BUFFER_EMPTY;
    Status status = STATUS_OK;
    if (journal_fact(run->journal, fact, &text) == STATUS_OK && text.size > 0) {
        *ret_path = mem_copy_text(text.bytes);
        status = *ret_path != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    buffer_done(&text);
    return status;
}

static Status roots_from_journal(Run *run) {
    Buffer text = BUFFER_EMPTY;
    Status status = journal_fact(run->journal, FACT_ROOTS, &text);
    char *save = NULL;
    for (char *line = status == STATUS_OK ? strtok_r(text.bytes, "\n", &save) : NULL;
         line != NULL && status == STATUS_OK; line = strtok_r(NULL, "\n", &save)) {
        char *copy = mem_copy_text(line);
        status = copy != NULL ? add_root(run, copy) : STATUS_MEMORY;
    }
    buffer_done(&text);
    if (status == STATUS_OK) {
        status = path_from_journal(run, FACT_MANIFEST, &run->manifest);
    }
    // A ground truth may come when all else is done.
    if (status == STATUS_OK) {
        status = run->options.truth != NULL ? truth_from_options(run)
                                            : path_from_journal(run, FACT_TRUTH, &run->truth);
    }
    return status;
}

Status run_choose_roots(Run *run) {
    if (run->options.root_count > 0) {
        return run_roots_from_options(run);
    }
    if (!run->is_begun) {
        return status_set(STATUS_INVALID,
                          "--data DIR is missing (%s is no run that could be continued)",
                          run->options.out);
    }
    return roots_from_journal(run);
}

// ---- settings ----

static bool options_have_settings(const RunOptions *options) {
    return options->preset != NULL || options->config != NULL || options->assignment_count > 0;
}

// --set alone speaks of single settings of this run, not of a preset with them.
static Status assign_to_old(const RunOptions *options, const Settings *old,
                            Settings *ret_settings) {
    Settings settings = *old;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < options->assignment_count && status == STATUS_OK; i++) {
        status = settings_assign(&settings, options->assignments[i]);
    }
    if (status == STATUS_OK) {
        *ret_settings = settings;
    }
    return status;
}

Status run_choose_settings(Run *run) {
    const Settings *old = &run->before.settings;
    Status status = STATUS_OK;
    if (!run->is_begun) {
        return settings_check(&run->settings);
    }
    if (!options_have_settings(&run->options)) {
        run->settings = *old;
    } else if (run->options.preset == NULL && run->options.config == NULL) {
        status = assign_to_old(&run->options, old, &run->settings);
    }
    if (run->settings.numerics == KERNEL_AUTO &&
        !run->options.is_restart) { // it was resolved when the run was begun
        run->settings.numerics = old->numerics;
    }
    return status == STATUS_OK ? settings_check(&run->settings) : status;
}

// ---- reading ----

static Status read_settings(Run *run, const Buffer *fact) {
    Status status = settings_preset("default", &run->before.settings);
    return status == STATUS_OK
               ? config_read_text("journal", buffer_cstr(fact), fact->size, &run->before.settings)
               : status;
}

static Status read_program(Run *run, const Buffer *fact) {
    RunRecord *before = &run->before;
    size_t size = sizeof before->arithmetic.bytes;
    if (fact->size < size) {
        return status_set(STATUS_FORMAT, "the journal's record of the program is damaged");
    }
    memcpy(before->arithmetic.bytes, fact->bytes, size);
    before->program = mem_copy_text(fact->bytes + size);
    return before->program != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status read_digest(Run *run, const Buffer *fact) {
    RunRecord *before = &run->before;
    if (fact->size != sizeof before->data_digest.bytes) {
        return status_set(STATUS_FORMAT, "the journal's record of the data is damaged");
    }
    memcpy(before->data_digest.bytes, fact->bytes, fact->size);
    before->has_data = true;
    return STATUS_OK;
}

Status run_read_data(Run *run) {
    Buffer fact = BUFFER_EMPTY;
    Status status =
        run->before.dataset != NULL ? STATUS_OK : journal_fact(run->journal, FACT_DATA, &fact);
    if (status == STATUS_OK && run->before.dataset == NULL) {
        status = dataset_record_read(&fact, &run->before.dataset);
    }
    buffer_done(&fact);
    return status;
}

Status run_read_record(Run *run) {
    static const struct {
        const char *name;
        Status (*read)(Run *, const Buffer *);
    } FACTS[] = {
        {FACT_SETTINGS, read_settings}, {FACT_PROGRAM, read_program}, {FACT_DIGEST, read_digest}};
    Buffer fact = BUFFER_EMPTY;
    Status status = STATUS_OK;
    bool has_settings = false;
    for (size_t i = 0; i < sizeof FACTS / sizeof FACTS[0] && status == STATUS_OK; i++) {
        status = journal_fact(run->journal, FACTS[i].name, &fact);
        if (status == STATUS_OK) {
            status = FACTS[i].read(run, &fact);
            has_settings |= FACTS[i].read == read_settings;
        } else if (status == STATUS_NOT_FOUND) {
            status = STATUS_OK;
        }
    }
    buffer_done(&fact);
    // They are written last: a coordinator that was killed before has begun nothing.
    run->is_begun = status == STATUS_OK && has_settings;
    if (!run->is_begun) {
        run_record_done(&run->before);
        run->before = (RunRecord){0};
    }
    return status;
}

void run_record_done(RunRecord *record) {
    mem_free(record->program);
    dataset_free(record->dataset);
}

// ---- writing ----

void run_program_text(const Run *run, Buffer *out) {
    buffer_format(out, "auscult %s, kernel %s, %s", AUSCULT_VERSION,
                  linalg_kernel_name((Kernel)run->settings.numerics), run->fingerprint.parts);
}

static Status set_text(Run *run, const char *name, const Buffer *text) {
    return text->status == STATUS_OK
               ? journal_set_fact(run->journal, name, buffer_cstr(text), text->size)
               : text->status;
}

// The digest last: without it the rest is not believed.
static Status write_data(Run *run) {
    Digest digest;
    Status status = dataset_digest(run->dataset, &digest);
    if (status != STATUS_OK || run->keeps_data ||
        (run->before.has_data && digest_equal(digest, run->before.data_digest))) {
        return status;
    }
    Buffer text = BUFFER_EMPTY;
    dataset_record_write(run->dataset, &text);
    status = set_text(run, FACT_DATA, &text);
    buffer_done(&text);
    return status == STATUS_OK
               ? journal_set_fact(run->journal, FACT_DIGEST, digest.bytes, sizeof digest.bytes)
               : status;
}

Status run_write_record(Run *run) {
    Buffer texts[5] = {BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY};
    static const char *const NAMES[] = {FACT_ROOTS, FACT_MANIFEST, FACT_TRUTH, FACT_PROGRAM,
                                        FACT_SETTINGS}; // last: with it the run is begun
    Digest arithmetic = plan_arithmetic(run->fingerprint.digest);
    for (uint32_t i = 0; i < run->root_count; i++) {
        buffer_format(&texts[0], "%s\n", run->roots[i]);
    }
    buffer_text(&texts[1], run->manifest != NULL ? run->manifest : "");
    buffer_text(&texts[2], run->truth != NULL ? run->truth : "");
    buffer_append(&texts[3], arithmetic.bytes, sizeof arithmetic.bytes);
    run_program_text(run, &texts[3]);
    settings_write(&run->settings, SETTING_EXECUTION, &texts[4]);
    Status status = write_data(run);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (status == STATUS_OK) {
            status = set_text(run, NAMES[i], &texts[i]);
        }
        buffer_done(&texts[i]);
    }
    return status;
}
