// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double score_of(const RankedSystem *system) {
    return system->evaluation != NULL ? system->evaluation->official : NAN;
}

static int best_first(const void *left, const void *right) {
    const RankedSystem *a = left, *b = right;
    double x = score_of(a), y = score_of(b);
    if (isnan(x) || isnan(y)) {
        int order = (isnan(x) != 0) - (isnan(y) != 0);
        return order != 0 ? order : strcmp(a->name, b->name);
    }
    int order = (x < y) - (x > y);
    return order != 0 ? order : strcmp(a->name, b->name);
}

void ranking_settle(Ranking *ranking) {
    if (ranking->count > 0) {
        qsort(ranking->systems, ranking->count, sizeof *ranking->systems, best_first);
    }
    for (uint32_t i = 0; i < ranking->count; i++) {
        RankedSystem *system = &ranking->systems[i];
        bool ties = i > 0 && score_of(system) == score_of(system - 1);
        system->rank = isnan(score_of(system)) ? 0 : ties ? system[-1].rank : i + 1;
    }
}

const char *ranking_rule_text(OfficialRule rule) {
    switch (rule) {
    case OFFICIAL_2020:
        return "mean of the means of AUC and of pAUC over machines and ids (2020)";
    case OFFICIAL_2021:
        return "harmonic mean of AUC and pAUC of each machine, section and domain (2021)";
    case OFFICIAL_2022:
        return "harmonic mean of AUC (source), AUC (target) and pAUC of each machine and section "
               "(2022 and later)";
    }
    return "";
}
