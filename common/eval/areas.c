// SPDX-License-Identifier: Apache-2.0
//
// How it works. Clips stand from the highest score down; those of one score are a group, which
// moves the ROC curve by one straight stretch, so that a tie counts half. All counts are whole
// numbers in doubles, hence exact: the order within a group cannot matter.
#include "common/eval/areas.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"

typedef struct Ranked {
    double score;
    uint32_t clip;        // index among the section's clips
    unsigned char domain; // 0 source, 1 target, 2 unknown
    unsigned char label;  // 0 normal, 1 anomaly
    unsigned char last;   // of its group
} Ranked;

struct AreaRanks {
    Ranked *ranked; // (count) from the highest score down
    size_t count;
    size_t single_from; // from this rank on every group is one clip
};

static int highest_first(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    int by_score = (x->score < y->score) - (x->score > y->score);
    return by_score != 0 ? by_score : (x->clip > y->clip) - (x->clip < y->clip);
}

Status area_ranks_new(const MetricClip *clips, size_t count, AreaRanks **ret) {
    AreaRanks *ranks = mem_new(1, sizeof *ranks);
    Ranked *ranked = mem_new(count > 0 ? count : 1, sizeof *ranked);
    if (ranks == NULL || ranked == NULL) {
        mem_free(ranks);
        mem_free(ranked);
        return STATUS_MEMORY;
    }
    *ranks = (AreaRanks){.ranked = ranked};
    for (size_t i = 0; i < count; i++) {
        if (clips[i].label != 0 && clips[i].label != 1) {
            continue;
        }
        if (isnan(clips[i].score)) {
            area_ranks_free(ranks);
            return status_set(STATUS_INVALID, "score %zu of %zu is not a number", i + 1, count);
        }
        bool is_known = clips[i].domain == 0 || clips[i].domain == 1;
        ranked[ranks->count++] = (Ranked){.score = clips[i].score,
                                          .clip = (uint32_t)i,
                                          .domain = is_known ? (unsigned char)clips[i].domain : 2,
                                          .label = (unsigned char)clips[i].label};
    }
    qsort(ranked, ranks->count, sizeof *ranked, highest_first);
    for (size_t i = 0; i < ranks->count; i++) {
        ranked[i].last = i + 1 == ranks->count || ranked[i + 1].score != ranked[i].score;
    }
    ranks->single_from = ranks->count;
    while (ranks->single_from > 0 && ranked[ranks->single_from - 1].last &&
           (ranks->single_from == 1 || ranked[ranks->single_from - 2].last)) {
        ranks->single_from--;
    }
    *ret = ranks;
    return STATUS_OK;
}

void area_ranks_free(AreaRanks *ranks) {
    if (ranks != NULL) {
        mem_free(ranks->ranked);
        mem_free(ranks);
    }
}

size_t area_ranks_count(const AreaRanks *ranks) {
    return ranks->count;
}

size_t area_ranks_clip(const AreaRanks *ranks, size_t rank) {
    assert(rank < ranks->count);
    return ranks->ranked[rank].clip;
}

// ---- the walk ----

enum { LOOK_EVERY = 8 };                   // ranks, for whether only the rest of a walk is left
enum { DOMAINS = 3, ALL = 3, CURVES = 4 }; // by domain, and all clips together

// One ROC curve, walked from false-positive rate 0 up to max_fpr, and the pairs won under it.
typedef struct Curve {
    double normals, anomalies; // in all
    double normals_above;      // so far
    double anomalies_above;
    double won;   // pairs (normal of the curve, any anomaly) that the anomaly wins
    double alone; // pairs of which both are the curve's
    double area;  // up to max_fpr
    bool is_over; // max_fpr is reached
} Curve;

// The next stretch: a group with normals, whose clips all have one score.
static void curve_move(Curve *curve, double normals, double anomalies, double max_fpr) {
    double fpr = curve->normals_above / curve->normals;
    double tpr = curve->anomalies_above / curve->anomalies;
    double next_fpr = (curve->normals_above + normals) / curve->normals;
    double next_tpr = (curve->anomalies_above + anomalies) / curve->anomalies;
    if (next_fpr > max_fpr) {
        double cut_tpr = tpr + (next_tpr - tpr) / (next_fpr - fpr) * (max_fpr - fpr);
        curve->area += (max_fpr - fpr) * (tpr + cut_tpr) / 2;
        curve->is_over = true;
    } else {
        curve->area += (next_fpr - fpr) * (tpr + next_tpr) / 2;
    }
}

static void curve_add(Curve *curve, double normals, double anomalies, double all_anomalies_above,
                      double all_anomalies, double max_fpr) {
    if (normals > 0) {
        // Anomalies above the group win, those in it half.
        curve->won += normals * (all_anomalies_above + all_anomalies / 2);
        curve->alone += normals * (curve->anomalies_above + anomalies / 2);
        if (!curve->is_over && curve->anomalies > 0) {
            curve_move(curve, normals, anomalies, max_fpr);
        }
        curve->normals_above += normals;
    }
    curve->anomalies_above += anomalies;
}

// counts: of the group's clips, by domain and label.
static void end_group(Curve curves[CURVES], double counts[DOMAINS][2], double max_fpr) {
    double normals = counts[0][0] + counts[1][0] + counts[2][0];
    double anomalies = counts[0][1] + counts[1][1] + counts[2][1];
    double above = curves[ALL].anomalies_above;
    for (int d = 0; d < DOMAINS; d++) {
        if (counts[d][0] + counts[d][1] > 0) {
            curve_add(&curves[d], counts[d][0], counts[d][1], above, anomalies, max_fpr);
            counts[d][0] = counts[d][1] = 0;
        }
    }
    curve_add(&curves[ALL], normals, anomalies, above, anomalies, max_fpr);
}

// A group of one clip, as nearly all are: what end_group would do, without looking at what is not
// there.
static void end_single(Curve curves[CURVES], const Ranked *r, double weight, double max_fpr) {
    if (r->label == 1) {
        curves[r->domain].anomalies_above += weight;
        curves[ALL].anomalies_above += weight;
    } else {
        double above = curves[ALL].anomalies_above;
        curve_add(&curves[r->domain], weight, 0, above, 0, max_fpr);
        curve_add(&curves[ALL], weight, 0, above, 0, max_fpr);
    }
}

// Whether nothing below changes any area up to max_fpr.
static bool are_over(const Curve curves[CURVES]) {
    for (int c = 0; c < CURVES; c++) {
        if (!curves[c].is_over && curves[c].normals > 0 && curves[c].anomalies > 0) {
            return false;
        }
    }
    return true;
}

static double weight_of(const uint32_t *weights, size_t rank) {
    return weights != NULL ? weights[rank] : 1;
}

static void count_all(const AreaRanks *ranks, const uint32_t *weights, Curve curves[CURVES]) {
    double counts[DOMAINS][2] = {{0}};
    for (size_t i = 0; i < ranks->count; i++) {
        const Ranked *r = &ranks->ranked[i];
        counts[r->domain][r->label] += weight_of(weights, i);
    }
    for (int d = 0; d < DOMAINS; d++) {
        curves[d].normals = counts[d][0];
        curves[d].anomalies = counts[d][1];
        curves[ALL].normals += counts[d][0];
        curves[ALL].anomalies += counts[d][1];
    }
}

// The rest of a walk, of single clips, once the areas up to max_fpr are known: nine tenths of it.
// Without branches, for no processor guesses labels; adding zero changes no bit.
static void walk_rest(const AreaRanks *ranks, const uint32_t *weights, size_t from,
                      Curve curves[CURVES]) {
    double won[DOMAINS] = {0}, alone[DOMAINS] = {0}, above[DOMAINS];
    double all_above = curves[ALL].anomalies_above;
    for (int d = 0; d < DOMAINS; d++) {
        above[d] = curves[d].anomalies_above;
    }
    for (size_t i = from; i < ranks->count; i++) {
        const Ranked *r = &ranks->ranked[i];
        double weight = weight_of(weights, i), anomalies = weight * r->label;
        double normals = weight - anomalies;
        won[r->domain] += normals * all_above;
        alone[r->domain] += normals * above[r->domain];
        above[r->domain] += anomalies;
        all_above += anomalies;
    }
    for (int d = 0; d < DOMAINS; d++) {
        curves[d].won += won[d];
        curves[d].alone += alone[d];
        curves[ALL].won += won[d];
    }
}

static double share(double won, double normals, double anomalies) {
    return normals > 0 && anomalies > 0 ? won / (normals * anomalies) : NAN;
}

// On McClish's scale (metrics.h), NaN when a class is missing.
static double partial(const Curve *curve, double max_fpr) {
    if (curve->normals == 0 || curve->anomalies == 0) {
        return NAN;
    }
    if (max_fpr >= 1) {
        return curve->area;
    }
    double chance = 0.5 * max_fpr * max_fpr;
    return 0.5 * (1 + (curve->area - chance) / (max_fpr - chance));
}

Areas area_ranks_areas(const AreaRanks *ranks, const uint32_t *weights, double max_fpr) {
    assert(max_fpr > 0 && max_fpr <= 1);
    Curve curves[CURVES] = {{0}};
    double counts[DOMAINS][2] = {{0}};
    count_all(ranks, weights, curves);
    bool is_first = true; // of its group
    for (size_t i = 0; i < ranks->count; i++) {
        if (i % LOOK_EVERY == 0 && i >= ranks->single_from && are_over(curves)) {
            walk_rest(ranks, weights, i, curves);
            break;
        }
        const Ranked *r = &ranks->ranked[i];
        double weight = weight_of(weights, i);
        if (!is_first || !r->last) {
            counts[r->domain][r->label] += weight;
            if (r->last) {
                end_group(curves, counts, max_fpr);
            }
        } else if (weight > 0) {
            end_single(curves, r, weight, max_fpr);
        }
        is_first = r->last;
    }
    const Curve *source = &curves[0], *target = &curves[1], *all = &curves[ALL];
    return (Areas){
        .auc = share(all->won, all->normals, all->anomalies),
        .auc_source = share(source->won, source->normals, all->anomalies),
        .auc_target = share(target->won, target->normals, all->anomalies),
        .auc_source_alone = share(source->alone, source->normals, source->anomalies),
        .auc_target_alone = share(target->alone, target->normals, target->anomalies),
        .pauc = partial(all, max_fpr),
        .pauc_source = partial(source, max_fpr),
        .pauc_target = partial(target, max_fpr),
    };
}

// ---- without one clip ----

// The clips of one score, from a rank on.
typedef struct Group {
    double normals, anomalies;
    size_t end;
} Group;

static Group group_at(const AreaRanks *ranks, size_t first) {
    Group group = {.end = first};
    bool is_last = false;
    for (; !is_last; group.end++) {
        const Ranked *r = &ranks->ranked[group.end];
        group.normals += r->label == 0;
        group.anomalies += r->label == 1;
        is_last = r->last;
    }
    return group;
}

// A clip takes with it the pairs that it is part of. All are whole or half numbers, hence exact.
static void leave_out_auc(const AreaRanks *ranks, const Curve *whole, double *auc) {
    double normals_above = 0, anomalies_above = 0;
    for (size_t first = 0; first < ranks->count;) {
        Group group = group_at(ranks, first);
        double normals_below = whole->normals - normals_above - group.normals;
        double of_anomaly = normals_below + group.normals / 2;
        double of_normal = anomalies_above + group.anomalies / 2;
        for (; first < group.end; first++) {
            bool is_normal = ranks->ranked[first].label == 0;
            auc[first] = share(whole->won - (is_normal ? of_normal : of_anomaly),
                               whole->normals - is_normal, whole->anomalies - !is_normal);
        }
        normals_above += group.normals;
        anomalies_above += group.anomalies;
    }
}

static double pauc_without(const AreaRanks *ranks, const Curve *whole, size_t left_out,
                           double max_fpr) {
    bool is_normal = ranks->ranked[left_out].label == 0;
    Curve curve = {.normals = whole->normals - is_normal,
                   .anomalies = whole->anomalies - !is_normal};
    if (curve.normals == 0 || curve.anomalies == 0) {
        return NAN;
    }
    double normals = 0, anomalies = 0;
    for (size_t i = 0; i < ranks->count && !curve.is_over; i++) {
        const Ranked *r = &ranks->ranked[i];
        normals += r->label == 0 && i != left_out;
        anomalies += r->label == 1 && i != left_out;
        if (r->last) {
            if (normals > 0) {
                curve_move(&curve, normals, anomalies, max_fpr);
            }
            curve.normals_above += normals;
            curve.anomalies_above += anomalies;
            normals = anomalies = 0;
        }
    }
    return partial(&curve, max_fpr);
}

void area_ranks_leave_one_out(const AreaRanks *ranks, double max_fpr, double *auc, double *pauc) {
    assert(max_fpr > 0 && max_fpr <= 1);
    Curve curves[CURVES] = {{0}};
    count_all(ranks, NULL, curves);
    Curve *whole = &curves[ALL];
    for (size_t first = 0; first < ranks->count;) {
        Group group = group_at(ranks, first);
        whole->won += group.normals * (whole->anomalies_above + group.anomalies / 2);
        whole->anomalies_above += group.anomalies;
        first = group.end;
    }
    leave_out_auc(ranks, whole, auc);
    for (size_t i = 0; i < ranks->count; i++) {
        pauc[i] = pauc_without(ranks, whole, i, max_fpr);
    }
}
