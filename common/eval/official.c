// SPDX-License-Identifier: Apache-2.0
#include "common/eval/official.h"

#include <math.h>

// A mean that is gathered value by value; undefined values do not count.
typedef struct Mean {
    double sum;
    size_t count;
} Mean;

static void add(Mean *mean, double value) {
    if (!isnan(value)) {
        mean->sum += value;
        mean->count++;
    }
}

static void add_inverse(Mean *mean, double value) {
    add(mean, isnan(value) ? NAN : 1 / (value > METRICS_FLOOR ? value : METRICS_FLOOR));
}

static double arithmetic(const Mean *mean) {
    return mean->count > 0 ? mean->sum / (double)mean->count : NAN;
}

static double harmonic(const Mean *mean) {
    return mean->count > 0 ? (double)mean->count / mean->sum : NAN;
}

void official_means(const OfficialSection *sections, size_t count, double *ret_auc,
                    double *ret_pauc) {
    Mean auc = {0}, pauc = {0};
    for (size_t first = 0; first < count;) {
        Mean machine_auc = {0}, machine_pauc = {0};
        size_t machine = sections[first].machine;
        for (; first < count && sections[first].machine == machine; first++) {
            add(&machine_auc, sections[first].areas.auc);
            add(&machine_pauc, sections[first].areas.pauc);
        }
        add(&auc, arithmetic(&machine_auc));
        add(&pauc, arithmetic(&machine_pauc));
    }
    *ret_auc = arithmetic(&auc);
    *ret_pauc = arithmetic(&pauc);
}

static double score_2020(const OfficialSection *sections, size_t count) {
    double auc, pauc;
    official_means(sections, count, &auc, &pauc);
    return (auc + pauc) / 2;
}

static double score_2021(const OfficialSection *sections, size_t count) {
    Mean inverse = {0};
    for (size_t i = 0; i < count; i++) {
        add_inverse(&inverse, sections[i].areas.auc_source_alone);
        add_inverse(&inverse, sections[i].areas.auc_target_alone);
        add_inverse(&inverse, sections[i].areas.pauc_source);
        add_inverse(&inverse, sections[i].areas.pauc_target);
    }
    return harmonic(&inverse);
}

static double score_2022(const OfficialSection *sections, size_t count) {
    Mean inverse = {0};
    for (size_t i = 0; i < count; i++) {
        add_inverse(&inverse, sections[i].areas.auc_source);
        add_inverse(&inverse, sections[i].areas.auc_target);
        add_inverse(&inverse, sections[i].areas.pauc);
    }
    return harmonic(&inverse);
}

double official_score(OfficialRule rule, const OfficialSection *sections, size_t count) {
    switch (rule) {
    case OFFICIAL_2020:
        return score_2020(sections, count);
    case OFFICIAL_2021:
        return score_2021(sections, count);
    case OFFICIAL_2022:
        return score_2022(sections, count);
    }
    return NAN;
}

const char *official_rule_name(OfficialRule rule) {
    static const char *const NAMES[] = {"official_2020", "official_2021", "official_2022"};
    return NAMES[rule];
}

OfficialRule official_rule_of_year(int year) {
    return year <= 2020 ? OFFICIAL_2020 : year == 2021 ? OFFICIAL_2021 : OFFICIAL_2022;
}
