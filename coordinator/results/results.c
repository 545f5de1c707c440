// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "common/eval/decision.h"
#include "common/store/npy.h"
#include "coordinator/outputs/history.h"
#include "coordinator/outputs/left_out.h"
#include "coordinator/outputs/machine_report.h"
#include "coordinator/outputs/predictions.h"
#include "coordinator/outputs/submission.h"

// ---- thresholds ----

static Status add_note(Results *results, const char *label, const char *note) {
    char text[LIMIT_MESSAGE_BYTES];
    char **grown = mem_resize(results->notes, results->note_count + 1, sizeof *grown);
    if (grown == NULL) {
        return STATUS_MEMORY;
    }
    results->notes = grown;
    snprintf(text, sizeof text, "%s: %s", label, note);
    char *copy = mem_copy_text(text);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    results->notes[results->note_count++] = copy;
    return STATUS_OK;
}

// From the scores of the model's training clips. NaN and a note when none was scored.
static Status decide(const ResultsConfig *config, const Model *model, Results *results,
                     Decision *ret_decision) {
    double *scores = mem_new(model->train_count, sizeof *scores);
    if (scores == NULL) {
        return STATUS_MEMORY;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < model->train_count; i++) {
        const ClipState *clip = plan_clip_state(config->plan, model->train[i]);
        if (clip->is_scored) {
            scores[count++] = clip->score;
        }
    }
    Decision decision = {.threshold = NAN};
    const Settings *settings = config->settings;
    Status status = settings->threshold == THRESHOLD_PERCENTILE
                        ? decision_by_percentile(scores, count, settings->percentile, &decision)
                        : decision_by_gamma(scores, count, settings->decision_threshold, &decision);
    mem_free(scores);
    if (status == STATUS_INVALID) {
        decision = (Decision){.threshold = NAN};
        snprintf(decision.note, sizeof decision.note, "no threshold: %s", status_message());
        status = STATUS_OK;
    }
    if (status == STATUS_OK && decision.note[0] != '\0') {
        status = add_note(results, model->label, decision.note);
    }
    if (status == STATUS_OK) {
        *ret_decision = decision;
    }
    return status;
}

// ---- a model's folder ----

static Status model_path(const ResultsConfig *config, const Model *model, const char *name,
                         char out[LIMIT_PATH_BYTES]) {
    int used =
        snprintf(out, LIMIT_PATH_BYTES, "%s/data/%s/%s", config->run_folder, model->folder, name);
    return used >= 0 && used < LIMIT_PATH_BYTES
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "path too long: %s/data/%s/%s", config->run_folder,
                            model->folder, name);
}

static Status write_history(const ResultsConfig *config, const Model *model,
                            const Replica *replica) {
    char path[LIMIT_PATH_BYTES];
    size_t count = (size_t)replica_epoch(replica);
    const EpochLosses *losses = replica_history(replica);
    HistoryEpoch *epochs = mem_new(count, sizeof *epochs);
    if (epochs == NULL) {
        return STATUS_MEMORY;
    }
    bool has_source = false;
    bool has_target = false;
    for (uint32_t i = 0; i < model->train_count; i++) {
        bool used = plan_clip_state(config->plan, model->train[i])->left_out == NULL;
        bool target = config->dataset->clips[model->train[i]].domain == DOMAIN_TARGET;
        has_source |= used && !target;
        has_target |= used && target;
    }
    bool has_validation = config->settings->validation_split > 0;
    for (size_t i = 0; i < count; i++) {
        epochs[i] = (HistoryEpoch){.loss = losses[i].loss,
                                   .val_loss = has_validation ? losses[i].val_loss : NAN,
                                   .recon_loss_source = has_source ? losses[i].source_loss : NAN,
                                   .recon_loss_target = has_target ? losses[i].target_loss : NAN};
    }
    int used =
        snprintf(path, sizeof path, "%s/logs/history_%s.csv", config->run_folder, model->label);
    Status status = used >= 0 && (size_t)used < sizeof path
                        ? history_write(path, epochs, count)
                        : status_set(STATUS_LIMIT, "path too long: %s", path);
    mem_free(epochs);
    return status;
}

static Status write_model_file(const ResultsConfig *config, const Model *model, ModelFile *file,
                               const Decision *decision) {
    char path[LIMIT_PATH_BYTES];
    Buffer bytes = BUFFER_EMPTY;
    file->threshold = decision->threshold;
    snprintf(file->threshold_method, sizeof file->threshold_method, "%s",
             isnan(decision->threshold) ? "" : decision_method_name(decision->method));
    model_file_write(file, &bytes);
    Status status = model_path(config, model, MODEL_FILE_NAME, path);
    if (status == STATUS_OK) {
        status = file_write_buffer(path, &bytes);
    }
    buffer_done(&bytes);
    if (status == STATUS_OK && !isnan(decision->threshold)) {
        status = model_path(config, model, "threshold.npy", path);
        // As numpy.save writes a plain float: an array without dimensions.
        if (status == STATUS_OK) {
            status = npy_write_float64(path, &decision->threshold, 0, NULL);
        }
    }
    return status;
}

static Status write_model(const ResultsConfig *config, uint32_t index, Results *results,
                          double *ret_threshold) {
    const Model *model = &plan_models(config->plan)->models[index];
    const ModelState *state = plan_model_state(config->plan, index);
    ModelFile file;
    Decision decision = {.threshold = NAN};
    Status status = STATUS_OK;
    if (config->until >= STAGE_SCORE) {
        status = decide(config, model, results, &decision);
    }
    if (status == STATUS_OK) {
        status = model_file_read(model->label, state->file.bytes, state->file.size, &file);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = write_model_file(config, model, &file, &decision);
    if (status == STATUS_OK) {
        status = write_history(config, model, file.replica);
    }
    model_file_done(&file);
    *ret_threshold = decision.threshold;
    return status;
}

// ---- clips ----

static void fill_clip(const ResultsConfig *config, uint32_t index, const double *thresholds,
                      ScoredClip *out) {
    const Clip *clip = &config->dataset->clips[index];
    const Machine *machine = &config->dataset->machines[clip->machine];
    const ClipState *state = plan_clip_state(config->plan, index);
    uint32_t model = plan_models(config->plan)->model_of_clip[index];
    double threshold = model != UINT32_MAX ? thresholds[model] : NAN;
    bool is_scored = state->is_scored && state->left_out == NULL;
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
                        .score = is_scored ? state->score : NAN,
                        .threshold = threshold,
                        .is_anomaly = is_scored && decision_is_anomaly(state->score, threshold),
                        .left_out_reason = state->left_out};
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

static Status fill_clips(const ResultsConfig *config, const double *thresholds, Results *results) {
    const Dataset *dataset = config->dataset;
    results->clips = mem_new(dataset->clip_count + dataset->left_out_count, sizeof(ScoredClip));
    if (results->clips == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        if (dataset->clips[c].split == SPLIT_TRAIN || dataset->clips[c].split == SPLIT_TEST) {
            ScoredClip *clip = &results->clips[results->clip_count++];
            fill_clip(config, c, thresholds, clip);
            results->left_out += clip->left_out_reason != NULL;
            results->scored += clip->is_test && scored_clip_has_score(clip);
        }
    }
    for (uint32_t i = 0; i < dataset->left_out_count; i++) {
        if (dataset->left_out[i].clip < 0) {
            fill_left_out(&dataset->left_out[i], &results->clips[results->clip_count++]);
            results->left_out++;
        }
    }
    return STATUS_OK;
}

// ---- outputs ----

static Status output_path(const ResultsConfig *config, const char *name,
                          char out[LIMIT_PATH_BYTES]) {
    int used = snprintf(out, LIMIT_PATH_BYTES, "%s/outputs/%s", config->run_folder, name);
    return used >= 0 && used < LIMIT_PATH_BYTES
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "path too long: %s", config->run_folder);
}

static Status write_table(const ResultsConfig *config, const Results *results, const char *name,
                          Status (*write)(const char *, const ScoredClip *, size_t)) {
    char path[LIMIT_PATH_BYTES];
    Status status = output_path(config, name, path);
    return status == STATUS_OK ? write(path, results->clips, results->clip_count) : status;
}

static Status write_report(const ResultsConfig *config, const Results *results) {
    char path[LIMIT_PATH_BYTES];
    MachineReport report;
    Status status = machine_report_make(results->clips, results->clip_count,
                                        config->settings->max_fpr, &report);
    if (status != STATUS_OK) {
        return status;
    }
    status = output_path(config, "report_by_machine.csv", path);
    if (status == STATUS_OK) {
        status = machine_report_write(path, &report);
    }
    machine_report_done(&report);
    return status;
}

// What an earlier run with other data left there must not look like this one's.
static Status write_submission(const ResultsConfig *config, const Results *results) {
    char folder[LIMIT_PATH_BYTES];
    Status status = write_table(config, results, "dcase_submission.csv", submission_write_table);
    if (status == STATUS_OK) {
        status = output_path(config, "submission", folder);
    }
    if (status == STATUS_OK && file_exists(folder)) {
        status = file_remove_tree(folder);
    }
    if (status == STATUS_OK) {
        status = submission_write_files(folder, config->label, results->clips, results->clip_count);
    }
    return status;
}

static Status write_outputs(const ResultsConfig *config, const Results *results) {
    char folder[LIMIT_PATH_BYTES];
    Status status = file_join(folder, sizeof folder, config->run_folder, "outputs");
    if (status == STATUS_OK) {
        status = file_make_folders(folder);
    }
    if (status == STATUS_OK) {
        status = write_table(config, results, "left_out.csv", left_out_write);
    }
    if (status == STATUS_OK && config->until >= STAGE_SCORE) {
        status = write_table(config, results, "challenge_predictions.csv", predictions_write);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = write_report(config, results);
    }
    if (status == STATUS_OK && config->until >= STAGE_REPORT) {
        status = write_submission(config, results);
    }
    return status;
}

Status results_write(const ResultsConfig *config, Results *ret_results) {
    Results results = {0};
    const Models *models = plan_models(config->plan);
    double *thresholds = mem_new(models->count, sizeof *thresholds);
    Status status = thresholds != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t m = 0; m < models->count && status == STATUS_OK; m++) {
        thresholds[m] = NAN;
        if (plan_model_state(config->plan, m)->is_trained) {
            status = write_model(config, m, &results, &thresholds[m]);
        }
    }
    if (status == STATUS_OK) {
        status = fill_clips(config, thresholds, &results);
    }
    if (status == STATUS_OK) {
        status = write_outputs(config, &results);
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
