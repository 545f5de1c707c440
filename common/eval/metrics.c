// SPDX-License-Identifier: Apache-2.0
#include "common/eval/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"

typedef struct Scored {
    double score;
    unsigned char label;
} Scored;

static int highest_first(const void *a, const void *b) {
    double x = ((const Scored *)a)->score, y = ((const Scored *)b)->score;
    return (x < y) - (x > y);
}

// A copy sorted from the highest score down; the caller frees it.
static Status sort_by_score(const double *scores, const unsigned char *labels, size_t count,
                            Scored **ret_sorted) {
    Scored *sorted = mem_new(count > 0 ? count : 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (isnan(scores[i])) {
            mem_free(sorted);
            return status_set(STATUS_INVALID, "score %zu of %zu is not a number", i + 1, count);
        }
        sorted[i] = (Scored){.score = scores[i], .label = labels[i]};
    }
    qsort(sorted, count, sizeof *sorted, highest_first);
    *ret_sorted = sorted;
    return STATUS_OK;
}

// Area under the curve from false-positive rate 0 to `max_fpr`. Its corners are the distinct
// scores from the highest down; clips of one score are one straight stretch, which is what makes a
// tie count half. Counts are whole numbers, so the order of equal scores does not matter.
static double area(const Scored *sorted, size_t count, double normals, double anomalies,
                   double max_fpr) {
    double sum = 0;                  // of trapezia
    double fpr = 0, tpr = 0;         // the last corner
    double above_0 = 0, above_1 = 0; // normals, anomalies up to it
    for (size_t i = 0; i < count;) {
        double score = sorted[i].score;
        for (; i < count && sorted[i].score == score; i++) {
            above_0 += sorted[i].label == 0;
            above_1 += sorted[i].label != 0;
        }
        double next_fpr = above_0 / normals, next_tpr = above_1 / anomalies;
        if (next_fpr > max_fpr) {
            double slope = (next_tpr - tpr) / (next_fpr - fpr);
            double cut_tpr = tpr + slope * (max_fpr - fpr);
            return sum + (max_fpr - fpr) * (tpr + cut_tpr) / 2;
        }
        sum += (next_fpr - fpr) * (tpr + next_tpr) / 2;
        fpr = next_fpr;
        tpr = next_tpr;
    }
    return sum;
}

Status metrics_pauc(const double *scores, const unsigned char *labels, size_t count, double max_fpr,
                    double *ret_pauc) {
    assert(max_fpr > 0 && max_fpr <= 1);
    Scored *sorted = NULL;
    Status status = sort_by_score(scores, labels, count, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    size_t anomalies = 0;
    for (size_t i = 0; i < count; i++) {
        anomalies += sorted[i].label != 0;
    }
    double pauc = NAN;
    if (anomalies > 0 && anomalies < count) {
        pauc = area(sorted, count, (double)(count - anomalies), (double)anomalies, max_fpr);
        if (max_fpr < 1) {
            double chance = 0.5 * max_fpr * max_fpr;
            pauc = 0.5 * (1 + (pauc - chance) / (max_fpr - chance));
        }
    }
    mem_free(sorted);
    *ret_pauc = pauc;
    return STATUS_OK;
}

Status metrics_auc(const double *scores, const unsigned char *labels, size_t count,
                   double *ret_auc) {
    return metrics_pauc(scores, labels, count, 1, ret_auc);
}

// Which clips a metric is about.
typedef struct Selection {
    int normal_domain;  // of the normals; ANY_DOMAIN for all
    int anomaly_domain; // of the anomalies
} Selection;

enum { SOURCE = 0, TARGET = 1, ANY_DOMAIN = 2 };

static bool is_selected(const MetricClip *clip, Selection selection) {
    int domain = clip->label == 0 ? selection.normal_domain : selection.anomaly_domain;
    return (clip->label == 0 || clip->label == 1) &&
           (domain == ANY_DOMAIN || domain == clip->domain);
}

// Room for the clips of one selection.
typedef struct Picked {
    double *scores;        // (count)
    unsigned char *labels; // (count)
} Picked;

static Status pauc_of(const MetricClip *clips, size_t count, Selection selection, double max_fpr,
                      const Picked *room, double *ret_pauc) {
    size_t picked = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_selected(&clips[i], selection)) {
            room->scores[picked] = clips[i].score;
            room->labels[picked++] = (unsigned char)clips[i].label;
        }
    }
    return metrics_pauc(room->scores, room->labels, picked, max_fpr, ret_pauc);
}

static double at_least_floor(double value) {
    return value > METRICS_FLOOR ? value : METRICS_FLOOR;
}

static void decide(const MetricClip *clips, size_t count, int domain, double *ret_precision,
                   double *ret_recall, double *ret_f1) {
    double right_1 = 0, wrong_1 = 0, right_0 = 0, wrong_0 = 0; // by what was decided
    for (size_t i = 0; i < count; i++) {
        if (is_selected(&clips[i], (Selection){domain, domain})) {
            bool is_right = clips[i].is_anomaly == (clips[i].label == 1);
            right_1 += clips[i].is_anomaly && is_right;
            wrong_1 += clips[i].is_anomaly && !is_right;
            right_0 += !clips[i].is_anomaly && is_right;
            wrong_0 += !clips[i].is_anomaly && !is_right;
        }
    }
    if (right_1 + wrong_0 == 0 || right_0 + wrong_1 == 0) {
        *ret_precision = *ret_recall = *ret_f1 = NAN;
        return;
    }
    double precision = right_1 / at_least_floor(right_1 + wrong_1);
    double recall = right_1 / at_least_floor(right_1 + wrong_0);
    *ret_precision = precision;
    *ret_recall = recall;
    *ret_f1 = 2 * precision * recall / at_least_floor(precision + recall);
}

static Status fill_areas(const MetricClip *clips, size_t count, double max_fpr, const Picked *room,
                         Metrics *metrics) {
    const struct {
        Selection selection;
        double max_fpr;
        double *field;
    } AREAS[] = {
        {{ANY_DOMAIN, ANY_DOMAIN}, 1, &metrics->auc},
        {{SOURCE, ANY_DOMAIN}, 1, &metrics->auc_source},
        {{TARGET, ANY_DOMAIN}, 1, &metrics->auc_target},
        {{ANY_DOMAIN, ANY_DOMAIN}, max_fpr, &metrics->pauc},
        {{SOURCE, SOURCE}, max_fpr, &metrics->pauc_source},
        {{TARGET, TARGET}, max_fpr, &metrics->pauc_target},
    };
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof AREAS / sizeof AREAS[0] && status == STATUS_OK; i++) {
        status = pauc_of(clips, count, AREAS[i].selection, AREAS[i].max_fpr, room, AREAS[i].field);
    }
    return status;
}

Status metrics_of_clips(const MetricClip *clips, size_t count, double max_fpr,
                        Metrics *ret_metrics) {
    size_t room_count = count > 0 ? count : 1;
    Picked room = {.scores = mem_new(room_count, sizeof(double)),
                   .labels = mem_new(room_count, sizeof(unsigned char))};
    Status status = STATUS_MEMORY;
    Metrics metrics;
    if (room.scores != NULL && room.labels != NULL) {
        status = fill_areas(clips, count, max_fpr, &room, &metrics);
    }
    if (status == STATUS_OK) {
        decide(clips, count, ANY_DOMAIN, &metrics.precision, &metrics.recall, &metrics.f1);
        decide(clips, count, SOURCE, &metrics.precision_source, &metrics.recall_source,
               &metrics.f1_source);
        decide(clips, count, TARGET, &metrics.precision_target, &metrics.recall_target,
               &metrics.f1_target);
        *ret_metrics = metrics;
    }
    mem_free(room.scores);
    mem_free(room.labels);
    return status;
}

double metrics_mean_arithmetic(const double *values, size_t count) {
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i])) {
            sum += values[i];
            used++;
        }
    }
    return used > 0 ? sum / (double)used : NAN;
}

double metrics_mean_harmonic(const double *values, size_t count) {
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i])) {
            sum += 1 / at_least_floor(values[i]);
            used++;
        }
    }
    return used > 0 ? (double)used / sum : NAN;
}
