// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/model_folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/keras_file.h"
#include "common/engine/model_file.h"
#include "common/eval/decision.h"
#include "common/store/npy.h"
#include "coordinator/outputs/history.h"

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

// The scores of the model's training clips; *ret_count of them.
static double *training_scores(const ResultsConfig *config, const Model *model, uint32_t system,
                               size_t *ret_count) {
    double *scores = mem_new(model->train_count, sizeof *scores);
    *ret_count = 0;
    for (uint32_t i = 0; scores != NULL && i < model->train_count; i++) {
        ClipResult clip = plan_clip_result(config->plan, system, model->train[i]);
        if (clip.is_scored) {
            scores[(*ret_count)++] = clip.score;
        }
    }
    return scores;
}

// By a gamma distribution, as the official baseline fits it or so that it makes sense.
static Status decide_by_gamma(const Settings *settings, const double *scores, size_t count,
                              Decision *ret_decision) {
    double quantile = settings->decision_threshold;
    return settings->compat != 0 ? decision_by_gamma_compat(scores, count, quantile, ret_decision)
                                 : decision_by_gamma(scores, count, quantile, ret_decision);
}

// What the settings ask for, from what there is. STATUS_INVALID when nothing is left to decide by.
static Status decide_by(const Settings *settings, const BatchValues *batches, const double *scores,
                        size_t count, Decision *ret_decision) {
    if (settings->threshold == THRESHOLD_FIXED) {
        *ret_decision =
            (Decision){.threshold = settings->fixed_threshold, .method = DECISION_FIXED};
        return STATUS_OK;
    }
    if (settings->threshold == THRESHOLD_PERCENTILE) {
        return decision_by_percentile(scores, count, settings->percentile, ret_decision);
    }
    if (settings->threshold == THRESHOLD_GAMMA_BATCH && batches->count > 0) {
        return decide_by_gamma(settings, batches->values, batches->count, ret_decision);
    }
    Status status = decide_by_gamma(settings, scores, count, ret_decision);
    if (status == STATUS_OK && settings->threshold == THRESHOLD_GAMMA_BATCH &&
        ret_decision->note[0] == '\0') {
        snprintf(ret_decision->note, sizeof ret_decision->note,
                 "gamma_batch: batches have no %s scores; the training clips' are taken",
                 settings_score_name((ScoreKind)settings->score));
    }
    return status;
}

// "fan", "fan, MAHALA" where it decides about several scores.
static void name_decision(const Models *models, const Model *model, uint32_t system,
                          char out[LIMIT_MESSAGE_BYTES]) {
    bool is_one_of_many = models->variants[model->variant].system_count > 1;
    snprintf(out, LIMIT_MESSAGE_BYTES, "%s%s%s", model->label, is_one_of_many ? ", " : "",
             is_one_of_many ? models->systems[system].name : "");
}

// Of a model's scores in one system; NaN and a note when there is no threshold.
static Status decide(const ResultsConfig *config, uint32_t index, uint32_t system, Results *results,
                     Decision *ret_decision) {
    const Models *models = plan_models(config->plan);
    const Model *model = &models->models[index];
    const Settings *settings = &models->systems[system].settings;
    const BatchValues *batches = &plan_model_state(config->plan, index)->batches[settings->score];
    size_t count;
    double *scores = training_scores(config, model, system, &count);
    if (scores == NULL) {
        return STATUS_MEMORY;
    }
    Decision decision = {.threshold = NAN};
    Status status = decide_by(settings, batches, scores, count, &decision);
    mem_free(scores);
    if (status == STATUS_INVALID) {
        decision = (Decision){.threshold = NAN};
        snprintf(decision.note, sizeof decision.note, "no threshold: %s", status_message());
        status = STATUS_OK;
    }
    if (status == STATUS_OK && decision.note[0] != '\0') {
        char name[LIMIT_MESSAGE_BYTES];
        name_decision(models, model, system, name);
        status = add_note(results, name, decision.note);
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
        snprintf(out, LIMIT_PATH_BYTES, "%s/data/%s/%s", config->run_folder, model->home, name);
    return used >= 0 && used < LIMIT_PATH_BYTES
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "path too long: %s/data/%s/%s", config->run_folder,
                            model->home, name);
}

static Status make_home(const ResultsConfig *config, const Model *model) {
    char path[LIMIT_PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/data/%s", config->run_folder, model->home);
    return used >= 0 && (size_t)used < sizeof path
               ? file_make_folders(path)
               : status_set(STATUS_LIMIT, "path too long: %s", config->run_folder);
}

static Status write_history(const ResultsConfig *config, uint32_t index, const Replica *replica) {
    const Model *model = &plan_models(config->plan)->models[index];
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
        bool used = plan_is_used(config->plan, index, model->train[i]);
        bool target = config->dataset->clips[model->train[i]].domain == DOMAIN_TARGET;
        has_source |= used && !target;
        has_target |= used && target;
    }
    bool has_validation = model->settings->validation_split > 0;
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

// As numpy.save writes a plain float: an array without dimensions.
static Status write_threshold(const ResultsConfig *config, const Model *model, double threshold) {
    char path[LIMIT_PATH_BYTES];
    Status status = model_path(config, model, "threshold.npy", path);
    if (status == STATUS_OK && isnan(threshold)) {
        unlink(path); // of another model
    } else if (status == STATUS_OK) {
        status = npy_write_float64(path, &threshold, 0, NULL);
    }
    return status;
}

static bool has_thresholds(const ModelFile *file) {
    bool has = false;
    for (int kind = 0; kind < SCORE_KINDS; kind++) {
        has |= !isnan(file->thresholds[kind].value);
    }
    return has;
}

// Whether both tell of the same model, whatever program wrote them, but for what scoring adds.
static bool is_same_model(const ModelFile *file, const ModelFile *old) {
    Buffer left = BUFFER_EMPTY, right = BUFFER_EMPTY;
    ModelFile like = *old;
    memcpy(like.thresholds, file->thresholds, sizeof like.thresholds);
    like.yardsticks = file->yardsticks;
    model_file_write(file, &left);
    model_file_write(&like, &right);
    bool same = left.status == STATUS_OK && right.status == STATUS_OK && left.size == right.size &&
                memcmp(left.bytes, right.bytes, left.size) == 0;
    buffer_done(&left);
    buffer_done(&right);
    return same;
}

// Whether the model is there as an earlier report has left it, with thresholds, which a stage that
// makes none must not take from it.
static bool is_there_scored(const ResultsConfig *config, const Model *model,
                            const ModelFile *file) {
    char path[LIMIT_PATH_BYTES];
    Buffer bytes = BUFFER_EMPTY;
    ModelFile old;
    bool is_there = false;
    if (model_path(config, model, MODEL_FILE_NAME, path) == STATUS_OK && file_exists(path) &&
        file_read(path, MODEL_FILE_BYTES, &bytes) == STATUS_OK &&
        model_file_read(path, bytes.bytes, bytes.size, &old) == STATUS_OK) {
        is_there = has_thresholds(&old) && is_same_model(file, &old);
        model_file_done(&old);
    }
    buffer_done(&bytes);
    return is_there;
}

static Status write_model_file(const ResultsConfig *config, const Model *model,
                               const ModelFile *file) {
    char path[LIMIT_PATH_BYTES];
    Buffer bytes = BUFFER_EMPTY;
    model_file_write(file, &bytes);
    Status status = make_home(config, model);
    if (status == STATUS_OK) {
        status = model_path(config, model, MODEL_FILE_NAME, path);
    }
    if (status == STATUS_OK) {
        status = file_update(path, &bytes);
    }
    buffer_done(&bytes);
    return status;
}

// A file of the model that other programs open: its bytes were appended to `bytes`.
static Status update_file(const ResultsConfig *config, const Model *model, const char *name,
                          Status written, Buffer *bytes) {
    char path[LIMIT_PATH_BYTES];
    Status status = written == STATUS_OK ? model_path(config, model, name, path) : written;
    if (status == STATUS_OK) {
        status = file_update(path, bytes);
    }
    buffer_done(bytes);
    return status;
}

// What settings of before have left.
static Status remove_file(const ResultsConfig *config, const Model *model, const char *name) {
    char path[LIMIT_PATH_BYTES];
    Status status = model_path(config, model, name, path);
    if (status == STATUS_OK && unlink(path) != 0 && errno != ENOENT) {
        status = status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return status;
}

// The network for Keras and the scaler for scikit-learn, which there may not be.
static Status write_for_python(const ResultsConfig *config, const Model *model,
                               const Replica *replica) {
    Buffer bytes = BUFFER_EMPTY;
    bool is_inside = config->settings->h5_scaler == H5_SCALER_INSIDE;
    Status status = keras_file_write(replica, is_inside, &bytes);
    status = update_file(config, model, KERAS_FILE_NAME, status, &bytes);
    if (status == STATUS_OK && replica_scaler(replica)->count > 0) {
        status = keras_file_write_scaler(replica, &bytes);
        return update_file(config, model, SCALER_FILE_NAME, status, &bytes);
    }
    return status == STATUS_OK ? remove_file(config, model, SCALER_FILE_NAME) : status;
}

// What each of the model's systems decides by. The file has room for one of each score: the first
// system's that has it.
static Status decide_all(const ResultsConfig *config, uint32_t index, Results *results,
                         ModelFile *file, double *thresholds) {
    const Models *models = plan_models(config->plan);
    const Variant *variant = &models->variants[models->models[index].variant];
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < variant->system_count && status == STATUS_OK; i++) {
        uint32_t system = variant->first_system + i;
        Decision decision = {.threshold = NAN};
        status = decide(config, index, system, results, &decision);
        ModelThreshold *kept = &file->thresholds[models->systems[system].settings.score];
        if (isnan(kept->value) && !isnan(decision.threshold)) {
            kept->value = decision.threshold;
            snprintf(kept->method, sizeof kept->method, "%s",
                     decision_method_name(decision.method));
        }
        thresholds[results_threshold(models, system, index)] = decision.threshold;
    }
    return status;
}

Status model_folder_write(const ResultsConfig *config, uint32_t index, Results *results,
                          double *thresholds) {
    const Models *models = plan_models(config->plan);
    const Model *model = &models->models[index];
    const ModelState *state = plan_model_state(config->plan, index);
    ModelFile file;
    Status status = model_file_read(model->label, state->file.bytes, state->file.size, &file);
    if (status != STATUS_OK) {
        return status;
    }
    if (config->until >= STAGE_SCORE) {
        status = decide_all(config, index, results, &file, thresholds);
    }
    bool keeps = config->until < STAGE_SCORE && is_there_scored(config, model, &file);
    if (status == STATUS_OK && !keeps) {
        status = write_model_file(config, model, &file);
    }
    if (status == STATUS_OK && file.replica != NULL) {
        status = write_for_python(config, model, file.replica);
    }
    uint32_t first = models->variants[model->variant].first_system;
    double threshold = thresholds[results_threshold(models, first, index)];
    if (status == STATUS_OK && !keeps) {
        status = write_threshold(config, model, threshold);
    }
    if (status == STATUS_OK && file.replica != NULL) {
        status = write_history(config, index, file.replica);
    }
    model_file_done(&file);
    return status;
}
