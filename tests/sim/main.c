// SPDX-License-Identifier: Apache-2.0
//
// No accident loses, doubles or changes what a run computes: many worlds, each from one seed that
// replays exactly. sim.h tells how it is made.
//
//   test_sim_core                  a sample: the first worlds, and some that nobody has seen yet
//   AUSCULT_LONG=1 test_sim_core   100,000 worlds
//   test_sim_core FIRST COUNT      worlds FIRST .. FIRST + COUNT - 1
//   SIM_SEED=n test_sim_core       that one alone; with SIM_TRACE=1 told step by step
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/sim/sim.h"

enum { JOBS = 2, SAMPLE = 500, NEW = 300, LONG = 100000 };

// What a process that runs worlds tells of them, in memory shared with the first.
typedef struct Slot {
    uint64_t seed; // under work
    Tally tally;
} Slot;

static void run_share(Slot *slot, uint64_t first, uint64_t count, int job) {
    for (uint64_t i = (uint64_t)job; i < count; i += JOBS) {
        slot->seed = first + i;
        world_run(slot->seed, &slot->tally);
    }
}

static bool wait_for(pid_t child, const Slot *slot) {
    int how;
    if (waitpid(child, &how, 0) != child) {
        return false;
    }
    if (WIFSIGNALED(how)) {
        fprintf(stderr, "BROKEN: the program itself, by signal %d\n  again: SIM_SEED=%llu\n",
                WTERMSIG(how), (unsigned long long)slot->seed);
    }
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static void add_tally(Tally *sum, const Tally *part) {
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)part;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static bool run_all(uint64_t first, uint64_t count, Tally *tally) {
    Slot *slots =
        mmap(NULL, JOBS * sizeof *slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[JOBS];
    bool is_well = slots != MAP_FAILED;
    fflush(stdout);
    for (int job = 0; is_well && job < JOBS; job++) {
        children[job] = fork();
        if (children[job] == 0) {
            run_share(&slots[job], first, count, job);
            _exit(0);
        }
    }
    for (int job = 0; slots != MAP_FAILED && job < JOBS; job++) {
        is_well &= wait_for(children[job], &slots[job]);
        add_tally(tally, &slots[job].tally);
    }
    return is_well;
}

static const char *const ACCIDENT_NAMES[] = {
    "killed workers", "broken connections",  "moved connections", "broken bulk lanes",
    "frozen workers", "hung workers",        "workers sent away", "stalled loops",
    "clock jumps",    "killed coordinators", "failing disks",     "slow disks"};

static bool print(const char *name, uint64_t count) {
    printf("  %llu %s\n", (unsigned long long)count, name);
    return count > 0;
}

// False: something never happened, and nothing was shown of it.
static bool print_tally(const Tally *tally, int64_t took_ms) {
    bool all = true;
    double minutes = (double)(took_ms > 0 ? took_ms : 1) / 60000;
    printf(
        "%llu worlds of %.0f tasks and %.0f events, %.0f s each in their own time, %.0f a minute\n",
        (unsigned long long)tally->worlds, (double)tally->tasks / (double)tally->worlds,
        (double)tally->events / (double)tally->worlds,
        (double)tally->simulated_ms / 1000 / (double)tally->worlds,
        (double)tally->worlds / minutes);
    for (int i = 0; i < ACCIDENT_KINDS; i++) {
        all &= print(ACCIDENT_NAMES[i], tally->accidents[i]);
    }
    all &= print("groups of more than one", tally->groups);
    all &= print("poisonings", tally->poisons);
    all &= print("tasks that no worker could do", tally->cannots);
    all &= print("trainings without a result", tally->impossibles);
    all &= print("answers said again", tally->repeated);
    all &= print("stragglers doubled", tally->doubled);
    all &= print("leases that ended by time", tally->expired);
    all &= print("deaths taken back", tally->taken_back);
    all &= print("answers while the owner looked", tally->too_late);
    all &= print("alarms", tally->alarms);
    all &= print("failed sends", tally->failed_sends);
    all &= print("workers refused", tally->refusals);
    all &= print("trainings that waited for other workers", tally->stranded);
    all &= print("trainings given again to who failed them and came back", tally->tried_again);
    return all;
}

// Worlds that nobody has seen: another place each time.
static uint64_t draw_first(void) {
    uint32_t drawn = 0;
    if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
        return 1;
    }
    printf("new worlds: test_sim_core %u %d\n", drawn, NEW);
    return drawn;
}

static int run_sample(void) {
    Tally tally = {0};
    int64_t begun_ms = clock_ms();
    bool is_long = getenv("AUSCULT_LONG") != NULL;
    bool is_well =
        run_all(1, is_long ? LONG : SAMPLE, &tally) && run_all(draw_first(), NEW, &tally);
    return is_well && print_tally(&tally, clock_ms() - begun_ms) ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *one = getenv("SIM_SEED");
    Tally tally = {0};
    if (one != NULL) {
        world_run(strtoull(one, NULL, 10), &tally);
        printf("ok\n");
        return 0;
    }
    if (argc != 3) {
        return run_sample();
    }
    int64_t begun_ms = clock_ms();
    bool is_well = run_all(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10), &tally);
    if (is_well) {
        print_tally(&tally, clock_ms() - begun_ms); // a few worlds need not have it all
    }
    return is_well ? 0 : 1;
}
