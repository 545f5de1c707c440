// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/eval/decision.h"
#include "coordinator/outputs/left_out.h"
#include "coordinator/outputs/machine_report.h"
#include "coordinator/outputs/predictions.h"
#include "coordinator/outputs/submission.h"
#include "coordinator/outputs/systems.h"
#include "coordinator/pages/report_page.h"
#include "coordinator/results/ensemble.h"
#include "coordinator/results/model_folder.h"
#include "coordinator/results/result_tables.h"
#include "coordinator/results/stale.h"

// ---- clips ----

size_t results_threshold(const Models *models, uint32_t system, uint32_t model) {
    return (size_t)system * models->per_variant + model % models->per_variant;
}

// A system's thresholds and clips, while its outputs are made.
typedef struct SystemResults {
    uint32_t system;          // index into Models.systems; of an ensemble the primary one
    const char *folder;       // below outputs, "" for the primary system
    const double *thresholds; // (systems, models of a variant), see results_threshold
    ScoredClip *clips;        // (clip_count)
    size_t clip_count;
    double metrics[REPORT_METRICS]; // of all machines, once the report is made
} SystemResults;

static void fill_clip(const ResultsConfig *config, const SystemResults *of, uint32_t index,
                      ScoredClip *out) {
    const Clip *clip = &config->dataset->clips[index];
    const Machine *machine = &config->dataset->machines[clip->machine];
    ClipResult result = plan_clip_result(config->plan, of->system, index);
    const Models *models = plan_models(config->plan);
    uint32_t model = models_of_clip(models, of->system, index);
    double threshold =
        model != UINT32_MAX ? of->thresholds[results_threshold(models, of->system, model)] : NAN;
    bool is_scored = result.is_scored && result.left_out == NULL;
    *out = (ScoredClip){.machine = machine->name,
                        .section = clip->section,
                        .set = machine->set == SET_PLAIN ? "" : dataset_set_text(machine->set),
                        .file_name = clip->name,
                        .path = clip->path,
                        .domain = clip->domain == DOMAIN_SOURCE   ? 0
                                  : clip->domain == DOMAIN_TARGET ? 1
                                                                  : -1,
                        .label = clip->label == LABEL_NORMAL    ? 0
                                 : clip->label == LABEL_ANOMALY ? 1
                                                                : -1,
                        .is_test = clip->split == SPLIT_TEST,
                        .is_scored = is_scored,
                        .score = is_scored ? result.score : NAN,
                        .threshold = threshold,
                        .is_anomaly = is_scored && decision_is_anomaly(result.score, threshold),
                        .left_out_reason = result.left_out};
}

// Files that were found and did not become clips stand in left_out.csv too.
static void fill_left_out(const LeftOut *left_out, ScoredClip *out) {
    *out = (ScoredClip){.machine = left_out->machine[0] != '\0' ? left_out->machine : "?",
                        .section = "",
                        .set = "",
                        .file_name = file_name(left_out->path),
                        .path = left_out->path,
                        .domain = -1,
                        .label = -1,
                        .score = NAN,
                        .threshold = NAN,
                        .left_out_reason = left_out->reason};
}

static Status fill_clips(const ResultsConfig *config, SystemResults *of) {
    const Dataset *dataset = config->dataset;
    of->clips = mem_new(dataset->clip_count + dataset->left_out_count, sizeof *of->clips);
    if (of->clips == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        if (dataset->clips[c].split == SPLIT_TRAIN || dataset->clips[c].split == SPLIT_TEST) {
            fill_clip(config, of, c, &of->clips[of->clip_count++]);
        }
    }
    for (uint32_t i = 0; i < dataset->left_out_count; i++) {
        if (dataset->left_out[i].clip < 0) {
            fill_left_out(&dataset->left_out[i], &of->clips[of->clip_count++]);
        }
    }
    return STATUS_OK;
}

// ---- outputs ----

// The primary system's stand at the top, a further one's in a folder of its own; "" is the folder.
static Status output_path(const ResultsConfig *config, const SystemResults *of, const char *name,
                          char out[LIMIT_PATH_BYTES]) {
    int used =
        snprintf(out, LIMIT_PATH_BYTES, "%s/outputs%s%s%s%s", config->run_folder,
                 of->folder[0] != '\0' ? "/" : "", of->folder, name[0] != '\0' ? "/" : "", name);
    return used >= 0 && used < LIMIT_PATH_BYTES
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "path too long: %s", config->run_folder);
}

static Status write_table(const ResultsConfig *config, const SystemResults *of, const char *name,
                          Status (*write)(const char *, const ScoredClip *, size_t)) {
    char path[LIMIT_PATH_BYTES];
    Status status = output_path(config, of, name, path);
    return status == STATUS_OK ? write(path, of->clips, of->clip_count) : status;
}

static Status write_report(const ResultsConfig *config, SystemResults *of) {
    char path[LIMIT_PATH_BYTES];
    MachineReport report;
    const Settings *settings = &plan_models(config->plan)->systems[of->system].settings;
    Status status = machine_report_make(of->clips, of->clip_count, settings->max_fpr, &report);
    if (status != STATUS_OK) {
        return status;
    }
    const MachineRow *whole = &report.rows[report.machines + report.totals - 1];
    memcpy(of->metrics, whole->metrics, sizeof of->metrics);
    status = output_path(config, of, "report_by_machine.csv", path);
    if (status == STATUS_OK) {
        status = machine_report_write(path, &report);
    }
    machine_report_done(&report);
    return status;
}

// What an earlier run with other data left there must not look like this one's.
static Status write_submission(const ResultsConfig *config, const SystemResults *of) {
    char folder[LIMIT_PATH_BYTES];
    Status status = write_table(config, of, "dcase_submission.csv", submission_write_table);
    if (status == STATUS_OK) {
        status = output_path(config, of, "submission", folder);
    }
    if (status == STATUS_OK && file_exists(folder)) {
        status = file_remove_tree(folder);
    }
    if (status == STATUS_OK) {
        status = submission_write_files(folder, config->label, of->clips, of->clip_count);
    }
    return status;
}

static Status write_outputs(const ResultsConfig *config, SystemResults *of) {
    char folder[LIMIT_PATH_BYTES];
    Status status = output_path(config, of, "", folder);
    if (status == STATUS_OK) {
        status = file_make_folders(folder);
    }
    if (status == STATUS_OK) {
        status = write_table(config, of, "left_out.csv", left_out_write);
    }
    if (status == STATUS_OK && config->until >= STAGE_SCORE) {
        status = write_table(config, of, "challenge_predictions.csv", predictions_write);
    }
    if (status == STATUS_OK && config->until >= STAGE_SCORE) {
        status = write_table(config, of, "scores.npy", predictions_write_scores);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = write_report(config, of);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status =
            result_tables_write(config, &plan_models(config->plan)->systems[of->system].settings,
                                folder, of->clips, of->clip_count);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = write_submission(config, of);
    }
    return status;
}

// ---- all of it ----

static Status write_models(const ResultsConfig *config, double *thresholds, Results *results) {
    Status status = STATUS_OK;
    for (uint32_t m = 0; m < plan_models(config->plan)->count && status == STATUS_OK; m++) {
        if (plan_model_state(config->plan, m)->is_trained) {
            status = model_folder_write(config, m, results, thresholds);
        }
    }
    return status;
}

// Takes over the primary system's clips; of the others', counts what they alone leave out.
static void keep_clips(SystemResults *of, Results *results) {
    for (size_t i = 0; i < of->clip_count; i++) {
        const ScoredClip *clip = &of->clips[i];
        bool is_known = of->system > 0 && results->clips[i].left_out_reason != NULL;
        results->left_out += clip->left_out_reason != NULL && !is_known;
        results->scored += of->system == 0 && clip->is_test && scored_clip_has_score(clip);
    }
    if (of->system == 0) {
        results->clips = of->clips;
        results->clip_count = of->clip_count;
    } else {
        mem_free(of->clips);
    }
    of->clips = NULL;
}

static Status write_system(const ResultsConfig *config, uint32_t index, const double *thresholds,
                           Results *results, SystemRow *row) {
    const System *system = &plan_models(config->plan)->systems[index];
    SystemResults of = {
        .system = index, .folder = index > 0 ? system->name : "", .thresholds = thresholds};
    Status status = fill_clips(config, &of);
    if (status == STATUS_OK) {
        status = write_outputs(config, &of);
    }
    if (status != STATUS_OK) {
        mem_free(of.clips);
        return status;
    }
    keep_clips(&of, results);
    bool varies = system->setting[0] != '\0'; // in more than the seed
    *row = (SystemRow){.name = system->name,
                       .setting = varies ? system->setting
                                         : settings_score_name((ScoreKind)system->settings.score),
                       .seed = system->settings.seed};
    memcpy(row->metrics, of.metrics, sizeof row->metrics);
    return STATUS_OK;
}

// The row is of no seed's, and so stands among settings alone.
static Status write_ensemble(const ResultsConfig *config, const Results *results, SystemRow *row) {
    SystemResults of = {.folder = ENSEMBLE_NAME, .clip_count = results->clip_count};
    Status status = ensemble_make(config, results->clips, results->clip_count, &of.clips);
    if (status == STATUS_OK) {
        status = write_outputs(config, &of);
    }
    mem_free(of.clips);
    *row = (SystemRow){.name = ENSEMBLE_NAME, .setting = ENSEMBLE_NAME};
    memcpy(row->metrics, of.metrics, sizeof row->metrics);
    return status;
}

static Status write_overview(const ResultsConfig *config, const SystemRow *rows, uint32_t count) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, config->run_folder, "outputs/" SYSTEMS_EACH_FILE);
    if (status == STATUS_OK) {
        status = systems_write_each(path, rows, count);
    }
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, config->run_folder, "outputs/" SYSTEMS_FILE);
    }
    uint32_t with_ensemble = count + (ensemble_is_asked(config) ? 1 : 0);
    return status == STATUS_OK ? systems_write(path, rows, with_ensemble) : status;
}

// Of the primary system, whose clips the results keep.
static Status write_page(const ResultsConfig *config, const SystemRow *systems, uint32_t count,
                         Results *results) {
    const Models *models = plan_models(config->plan);
    MachineReport report;
    const Settings *settings = &models->systems[0].settings;
    ReportModel *shown = mem_new(models->per_variant + 1, sizeof *shown);
    if (shown == NULL) {
        return STATUS_MEMORY;
    }
    Status status =
        machine_report_make(results->clips, results->clip_count, settings->max_fpr, &report);
    if (status != STATUS_OK) {
        mem_free(shown);
        return status;
    }
    size_t shown_count = 0;
    for (uint32_t m = 0; m < models->per_variant; m++) {
        const Model *model = &models->models[m];
        const Machine *machine = &config->dataset->machines[model->machine];
        if (plan_model_state(config->plan, m)->is_trained) {
            shown[shown_count++] = (ReportModel){
                .machine = machine->name,
                .set = machine->set == SET_PLAIN ? "" : dataset_set_text(machine->set),
                .label = model->label};
        }
    }
    const ClipPortrait **portraits = NULL;
    uint32_t portrait_count = 0;
    status = plan_portraits(config->plan, &portraits, &portrait_count);
    ReportPage page = {.run_folder = config->run_folder,
                       .clips = results->clips,
                       .clip_count = results->clip_count,
                       .report = &report,
                       .max_fpr = settings->max_fpr,
                       .models = shown,
                       .model_count = shown_count,
                       .systems = systems,
                       .system_count = count,
                       .notes = results->notes,
                       .note_count = results->note_count,
                       .portraits = {.dataset = config->dataset,
                                     .items = portraits,
                                     .count = portrait_count,
                                     .n_mels = settings->n_mels}};
    if (status == STATUS_OK) {
        status = report_page_write(&page, results->problem, sizeof results->problem);
    }
    mem_free(portraits);
    machine_report_done(&report);
    mem_free(shown);
    return status;
}

static Status write_systems(const ResultsConfig *config, const double *thresholds,
                            Results *results) {
    uint32_t count = plan_models(config->plan)->system_count;
    SystemRow *rows = mem_new((size_t)count + 1, sizeof *rows);
    Status status = rows != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t s = 0; s < count && status == STATUS_OK; s++) {
        status = write_system(config, s, thresholds, results, &rows[s]);
    }
    if (status == STATUS_OK && ensemble_is_asked(config) && config->until >= STAGE_SCORE) {
        status = write_ensemble(config, results, &rows[count]);
    }
    if (status == STATUS_OK && count > 1 && config->until >= STAGE_REPORT) {
        status = write_overview(config, rows, count);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = write_page(config, rows, count, results);
    }
    mem_free(rows);
    return status;
}

Status results_write(const ResultsConfig *config, Results *ret_results) {
    Results results = {0};
    const Models *models = plan_models(config->plan);
    size_t count = (size_t)models->system_count * models->per_variant;
    double *thresholds = mem_new(count, sizeof *thresholds);
    Status status = thresholds != NULL ? STATUS_OK : STATUS_MEMORY;
    for (size_t i = 0; thresholds != NULL && i < count; i++) {
        thresholds[i] = NAN;
    }
    if (status == STATUS_OK) {
        status = write_models(config, thresholds, &results);
    }
    if (status == STATUS_OK) {
        status = write_systems(config, thresholds, &results);
    }
    if (status == STATUS_OK) {
        status = stale_remove(config->run_folder, models,
                              ensemble_is_asked(config) ? "" : ENSEMBLE_NAME);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = stale_unmark_outputs(config->run_folder);
    } else if (status == STATUS_OK && config->is_changed) {
        status = stale_mark_outputs(config->run_folder);
    }
    mem_free(thresholds);
    if (status != STATUS_OK) {
        results_done(&results);
        return status;
    }
    *ret_results = results;
    return STATUS_OK;
}

void results_done(Results *results) {
    for (uint32_t i = 0; i < results->note_count; i++) {
        mem_free(results->notes[i]);
    }
    mem_free(results->notes);
    mem_free(results->clips);
    *results = (Results){0};
}
