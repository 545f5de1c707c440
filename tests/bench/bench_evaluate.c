// SPDX-License-Identifier: Apache-2.0
//
// How long `auscult evaluate` takes for a challenge: 100 systems of 2024's size, 9 machines of 200
// clips each, with all metrics and both intervals.
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/rng.h"
#include "tests/bench/bench.h"
#include "tests/bench/process.h"

enum { SYSTEMS = 100, MACHINES = 9, CLIPS = 200, RESAMPLES = 1000, STRATUM = 50 };
enum { GOAL_MS = 5000, WAIT_MS = 120000 };

typedef struct Challenge {
    Bench *bench;
    char folder[LIMIT_PATH_BYTES];
    char teams[LIMIT_PATH_BYTES];
    char truth[LIMIT_PATH_BYTES];
    char program[LIMIT_PATH_BYTES];
} Challenge;

// Clips come as normal, anomaly, normal, ... and two by two of either domain.
static int label_of(int clip) {
    return clip % 2;
}

static int domain_of(int clip) {
    return clip / 2 % 2;
}

static Status put(const Challenge *challenge, const char *folder, const char *name, int machine,
                  const Buffer *text) {
    char path[2 * LIMIT_PATH_BYTES], whole[LIMIT_PATH_BYTES];
    Status status = file_join(whole, sizeof whole, challenge->folder, folder);
    if (status == STATUS_OK) {
        status = file_make_folders(whole);
    }
    snprintf(path, sizeof path, "%s/%s_machine%d_section_00_test.csv", whole, name, machine);
    return status == STATUS_OK ? file_replace(path, buffer_cstr(text), text->size) : status;
}

static Status put_truth(const Challenge *challenge, int machine) {
    Buffer labels = BUFFER_EMPTY, domains = BUFFER_EMPTY;
    for (int i = 0; i < CLIPS; i++) {
        buffer_format(&labels, "section_00_%04d.wav,%d\n", i, label_of(i));
        buffer_format(&domains, "section_00_%04d.wav,%d\n", i, domain_of(i));
    }
    Status status = put(challenge, "truth/ground_truth_data", "ground_truth", machine, &labels);
    if (status == STATUS_OK) {
        status = put(challenge, "truth/ground_truth_domain", "ground_truth", machine, &domains);
    }
    buffer_done(&labels);
    buffer_done(&domains);
    return status;
}

static Status put_scores(const Challenge *challenge, int system, int machine) {
    char folder[64];
    Buffer scores = BUFFER_EMPTY, decisions = BUFFER_EMPTY;
    Rng rng = rng_of(13711, "bench evaluate", (uint64_t)system, (uint64_t)machine);
    snprintf(folder, sizeof folder, "teams/team%d/system%d", system / 4, system);
    for (int i = 0; i < CLIPS; i++) {
        double score = rng_normal(&rng) + 0.7 * label_of(i);
        buffer_format(&scores, "section_00_%04d.wav,%.17g\n", i, score);
        buffer_format(&decisions, "section_00_%04d.wav,%d\n", i, score > 0.5);
    }
    Status status = put(challenge, folder, "anomaly_score", machine, &scores);
    if (status == STATUS_OK) {
        status = put(challenge, folder, "decision_result", machine, &decisions);
    }
    buffer_done(&scores);
    buffer_done(&decisions);
    return status;
}

static Status make_challenge(Bench *bench, Challenge *challenge) {
    challenge->bench = bench;
    Status status = bench_path(bench, "evaluate", challenge->folder);
    if (status == STATUS_OK) {
        status = bench_path(bench, "evaluate/teams", challenge->teams);
    }
    if (status == STATUS_OK) {
        status = bench_path(bench, "evaluate/truth", challenge->truth);
    }
    if (status == STATUS_OK) {
        status = process_program("auscult", challenge->program);
    }
    for (int m = 0; m < MACHINES && status == STATUS_OK; m++) {
        status = put_truth(challenge, m);
        for (int s = 0; s < SYSTEMS && status == STATUS_OK; s++) {
            status = put_scores(challenge, s, m);
        }
    }
    return status;
}

// In a child.
static int become_evaluate(void *context) {
    const Challenge *challenge = context;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    execl(challenge->program, challenge->program, "evaluate", "--scores", challenge->teams,
          "--truth", challenge->truth, "--json", (char *)NULL);
    return 127;
}

// The draws of a system's bootstrap and nothing else: what its time is held against.
static double draws_ms(void) {
    uint32_t sum = 0;
    int64_t since_ns = measure_ns();
    for (uint64_t r = 0; r < RESAMPLES; r++) {
        for (uint64_t s = 0; s < MACHINES; s++) {
            Rng rng = rng_of(13711, "bootstrap", r, s);
            for (int i = 0; i < CLIPS; i++) {
                sum += rng_below(&rng, STRATUM);
            }
        }
    }
    double ms = (double)(measure_ns() - since_ns) / 1e6;
    return sum > 0 ? ms : NAN; // so that the draws are needed
}

Status bench_evaluate(Bench *bench) {
    static double wall_ms[MEASURE_TURNS_MOST], spent_ms[MEASURE_TURNS_MOST],
        alone_ms[MEASURE_TURNS_MOST], ratios[MEASURE_TURNS_MOST];
    static Challenge challenge;
    Status status = make_challenge(bench, &challenge);
    for (int32_t turn = 0; turn < bench->runs && status == STATUS_OK; turn++) {
        pid_t pid = 0;
        double spent_ns = process_spent_ns();
        int64_t since_ns = clock_ns();
        status = process_start(bench, become_evaluate, &challenge, &pid);
        status = status == STATUS_OK ? process_join(&pid, WAIT_MS) : status;
        wall_ms[turn] = (double)(clock_ns() - since_ns) / 1e6;
        spent_ms[turn] = (process_spent_ns() - spent_ns) / 1e6 / SYSTEMS;
        alone_ms[turn] = draws_ms();
        ratios[turn] = spent_ms[turn] / alone_ms[turn];
    }
    if (status != STATUS_OK) {
        return status;
    }
    Figure *wall = bench_goal(bench, "evaluate", "100 systems of 2024's size judged", "ms", 0,
                              "goal on two cores", GOAL_MS);
    wall->value = range_of(wall_ms, bench->runs);
    wall->ratio = (Range){wall->value.least / GOAL_MS, wall->value.median / GOAL_MS,
                          wall->value.most / GOAL_MS};
    wall->turns = bench->runs;
    Figure *spent = bench_goal(bench, "evaluate_cpu", "processor time of one system", "ms", 0,
                               "drawing its resamples alone", 1);
    spent->value = range_of(spent_ms, bench->runs);
    spent->other = range_of(alone_ms, bench->runs);
    spent->ratio = range_of(ratios, bench->runs);
    spent->turns = bench->runs;
    return STATUS_OK;
}
