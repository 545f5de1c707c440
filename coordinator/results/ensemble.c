// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/ensemble.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/eval/decision.h"

bool ensemble_is_asked(const ResultsConfig *config) {
    return config->settings->ensemble == ENSEMBLE_ZMEAN &&
           plan_models(config->plan)->system_count > 1;
}

// The training clips' scores of one model in one system.
typedef struct Yard {
    double mean, deviation;
} Yard;

static Yard yard_of(const Plan *plan, uint32_t system, const Model *model) {
    double sum = 0, squares = 0, known = 0;
    for (uint32_t i = 0; i < model->train_count; i++) {
        ClipResult clip = plan_clip_result(plan, system, model->train[i]);
        sum += clip.is_scored ? clip.score : 0;
        known += clip.is_scored ? 1 : 0;
    }
    double mean = known > 0 ? sum / known : 0;
    for (uint32_t i = 0; i < model->train_count; i++) {
        ClipResult clip = plan_clip_result(plan, system, model->train[i]);
        squares += clip.is_scored ? (clip.score - mean) * (clip.score - mean) : 0;
    }
    double deviation = known > 1 ? sqrt(squares / (known - 1)) : 0;
    return (Yard){mean, deviation > 0 ? deviation : 1};
}

// A clip's score, NaN where a system leaves it out, and why that does.
static double score_of(const Plan *plan, const Yard *yards, uint32_t clip, const char **ret_why) {
    const Models *models = plan_models(plan);
    uint32_t model = models->model_of_clip[clip];
    double sum = 0;
    for (uint32_t s = 0; s < models->system_count; s++) {
        ClipResult result = plan_clip_result(plan, s, clip);
        if (!result.is_scored || result.left_out != NULL) {
            *ret_why = result.left_out;
            return NAN;
        }
        const Yard *yard = &yards[(size_t)s * models->per_variant + model];
        sum += (result.score - yard->mean) / yard->deviation;
    }
    return sum / models->system_count;
}

static Status decide(const ResultsConfig *config, const Yard *yards, const Model *model,
                     double *ret_threshold) {
    const Settings *settings = &plan_models(config->plan)->systems[0].settings;
    double *scores = mem_new(model->train_count, sizeof *scores);
    size_t count = 0;
    if (scores == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < model->train_count; i++) {
        const char *why;
        double score = score_of(config->plan, yards, model->train[i], &why);
        if (!isnan(score)) {
            scores[count++] = score;
        }
    }
    Decision decision = {.threshold = NAN};
    Status status = settings->threshold == THRESHOLD_PERCENTILE
                        ? decision_by_percentile(scores, count, settings->percentile, &decision)
                        : decision_by_gamma(scores, count, settings->decision_threshold, &decision);
    mem_free(scores);
    *ret_threshold = status == STATUS_OK ? decision.threshold : NAN;
    return status == STATUS_INVALID ? STATUS_OK : status; // no clip, no threshold
}

static void fill(const ResultsConfig *config, const Yard *yards, const double *thresholds,
                 ScoredClip *clips) {
    const Dataset *dataset = config->dataset;
    size_t at = 0;
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        if (dataset->clips[c].split != SPLIT_TRAIN && dataset->clips[c].split != SPLIT_TEST) {
            continue;
        }
        ScoredClip *clip = &clips[at++];
        const char *why = NULL;
        clip->score = score_of(config->plan, yards, c, &why);
        clip->is_scored = !isnan(clip->score);
        clip->left_out_reason = why;
        clip->threshold = thresholds[plan_models(config->plan)->model_of_clip[c]];
        clip->is_anomaly = clip->is_scored && decision_is_anomaly(clip->score, clip->threshold);
    }
}

Status ensemble_make(const ResultsConfig *config, const ScoredClip *primary, size_t count,
                     ScoredClip **ret_clips) {
    const Models *models = plan_models(config->plan);
    uint32_t per_variant = models->per_variant;
    Yard *yards = mem_new((size_t)models->system_count * per_variant, sizeof *yards);
    double *thresholds = mem_new(per_variant, sizeof *thresholds);
    ScoredClip *clips = mem_new(count, sizeof *clips);
    bool ok = yards != NULL && thresholds != NULL && clips != NULL;
    Status status = ok ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t s = 0; ok && s < models->system_count; s++) {
        for (uint32_t m = 0; m < per_variant; m++) {
            yards[(size_t)s * per_variant + m] = yard_of(config->plan, s, &models->models[m]);
        }
    }
    for (uint32_t m = 0; m < per_variant && status == STATUS_OK; m++) {
        status = decide(config, yards, &models->models[m], &thresholds[m]);
    }
    if (status == STATUS_OK) {
        if (count > 0) {
            memcpy(clips, primary, count * sizeof *clips);
        }
        fill(config, yards, thresholds, clips);
        *ret_clips = clips;
        clips = NULL;
    }
    mem_free(clips);
    mem_free(thresholds);
    mem_free(yards);
    return status;
}
