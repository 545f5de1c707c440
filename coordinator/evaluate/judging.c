// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/judging.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/mem.h"

enum { HELPERS_MOST = 63 };

typedef struct Judging {
    const JudgingConfig *config;
    Judgement *judgements;
    atomic_uint next; // the system that nobody has taken yet
    atomic_int failed;
} Judging;

static Status judge(const JudgingConfig *config, uint32_t index, Judgement *judgement) {
    SystemScores *scores = &judgement->scores;
    Status status =
        system_scores_read(config->truth, config->set, &config->systems->systems[index], scores);
    bool has_errors = scores->remarks.found[REMARK_ERROR] > 0;
    if (status != STATUS_OK || has_errors || scores->is_elsewhere) {
        return status;
    }
    EvaluationConfig evaluation = config->evaluation;
    evaluation.has_decisions = scores->has_decisions;
    judgement->is_judged = true;
    return evaluation_make(&evaluation, scores->clips, scores->count, &judgement->evaluation);
}

static void *work(void *context) {
    Judging *judging = context;
    for (;;) {
        uint32_t index = atomic_fetch_add(&judging->next, 1);
        if (index >= judging->config->systems->count || atomic_load(&judging->failed) != 0) {
            return NULL;
        }
        Status status = judge(judging->config, index, &judging->judgements[index]);
        if (status != STATUS_OK) {
            atomic_store(&judging->failed, status);
        }
    }
}

// This thread works too; helpers that cannot be had are done without.
static void work_together(Judging *judging, uint32_t threads) {
    pthread_t helpers[HELPERS_MOST];
    uint32_t count = 0;
    while (count + 1 < threads && count < HELPERS_MOST &&
           pthread_create(&helpers[count], NULL, work, judging) == 0) {
        count++;
    }
    work(judging);
    while (count > 0) {
        pthread_join(helpers[--count], NULL);
    }
}

Status judging_make(const JudgingConfig *config, Judgement **ret_judgements) {
    Judging judging = {.config = config};
    judging.judgements = mem_new(config->systems->count + 1, sizeof *judging.judgements);
    if (judging.judgements == NULL) {
        return STATUS_MEMORY;
    }
    work_together(&judging, config->threads);
    Status status = (Status)atomic_load(&judging.failed);
    if (status != STATUS_OK) {
        judgements_done(judging.judgements, config->systems->count);
        // The message is another thread's.
        return status_set(status, "a system could not be judged: %s",
                          status == STATUS_MEMORY ? "out of memory" : "a score is not a number");
    }
    *ret_judgements = judging.judgements;
    return STATUS_OK;
}

void judgements_done(Judgement *judgements, uint32_t count) {
    for (uint32_t i = 0; judgements != NULL && i < count; i++) {
        system_scores_done(&judgements[i].scores);
        evaluation_done(&judgements[i].evaluation);
    }
    mem_free(judgements);
}
