// SPDX-License-Identifier: Apache-2.0
//
// How it works: a piece of work is announced by raising `piece`; every thread then takes items from
// one counter until there are none, and the last one to be through says so. Announcing and waiting
// go by atomics first, for as long as sleeping and waking would take, then by a condition.
#include "common/base/crew.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/base/mem.h"

enum { TURNS = 4000 }; // of looking again before going to sleep: some tens of microseconds

typedef struct Lane {
    Crew *crew;
    int index;
    pthread_t thread;
} Lane;

struct Crew {
    int lanes;
    Lane lane[CREW_LANES_MOST]; // [0] is the caller's and has no thread
    int started;                // threads, of lanes 1 and on
    pthread_mutex_t mutex;
    pthread_cond_t announced, finished;
    atomic_uint piece; // the pieces of work announced so far, modulo 2^32
    atomic_int busy;   // threads that are not through with it
    bool is_over;
    // The piece:
    CrewWork *work;
    void *context;
    uint32_t count;
    atomic_uint next; // item
};

static void do_items(Crew *crew, int lane) {
    for (uint32_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->count;) {
        crew->work(crew->context, i, lane);
    }
}

static void rest(void) {
    __builtin_ia32_pause();
}

// The next piece after `seen`; false: there will be none.
static bool await_piece(Crew *crew, unsigned *seen) {
    for (int i = 0; i < TURNS && atomic_load(&crew->piece) == *seen; i++) {
        rest();
    }
    pthread_mutex_lock(&crew->mutex);
    while (atomic_load(&crew->piece) == *seen) {
        pthread_cond_wait(&crew->announced, &crew->mutex);
    }
    *seen = atomic_load(&crew->piece);
    bool is_over = crew->is_over;
    pthread_mutex_unlock(&crew->mutex);
    return !is_over;
}

static void *live(void *argument) {
    Lane *lane = argument;
    Crew *crew = lane->crew;
    unsigned seen = 0;
    while (await_piece(crew, &seen)) {
        do_items(crew, lane->index);
        if (atomic_fetch_sub(&crew->busy, 1) == 1) {
            pthread_mutex_lock(&crew->mutex);
            pthread_cond_signal(&crew->finished);
            pthread_mutex_unlock(&crew->mutex);
        }
    }
    return NULL;
}

static void announce(Crew *crew) {
    pthread_mutex_lock(&crew->mutex);
    atomic_fetch_add(&crew->piece, 1);
    pthread_cond_broadcast(&crew->announced);
    pthread_mutex_unlock(&crew->mutex);
}

static Status start_threads(Crew *crew) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    Status status = STATUS_OK;
    for (int l = 1; l < crew->lanes && status == STATUS_OK; l++) {
        crew->lane[l] = (Lane){.crew = crew, .index = l};
        if (pthread_create(&crew->lane[l].thread, NULL, live, &crew->lane[l]) != 0) {
            status = status_set(STATUS_IO, "cannot start %d threads", crew->lanes);
        } else {
            crew->started++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

Status crew_new(int lanes, Crew **ret) {
    Crew *crew = mem_new(1, sizeof *crew);
    if (crew == NULL) {
        return STATUS_MEMORY;
    }
    crew->lanes = lanes;
    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->announced, NULL);
    pthread_cond_init(&crew->finished, NULL);
    Status status = start_threads(crew);
    if (status != STATUS_OK) {
        crew_free(crew);
        return status;
    }
    *ret = crew;
    return STATUS_OK;
}

void crew_free(Crew *crew) {
    if (crew == NULL) {
        return;
    }
    pthread_mutex_lock(&crew->mutex);
    crew->is_over = true;
    pthread_mutex_unlock(&crew->mutex);
    announce(crew);
    for (int l = 1; l <= crew->started; l++) {
        pthread_join(crew->lane[l].thread, NULL);
    }
    pthread_cond_destroy(&crew->announced);
    pthread_cond_destroy(&crew->finished);
    pthread_mutex_destroy(&crew->mutex);
    mem_free(crew);
}

int crew_lanes(const Crew *crew) {
    return crew != NULL ? crew->lanes : 1;
}

void crew_run(Crew *crew, uint32_t count, CrewWork *work, void *context) {
    if (crew_lanes(crew) == 1 || count < 2) {
        for (uint32_t i = 0; i < count; i++) {
            work(context, i, 0);
        }
        return;
    }
    crew->work = work;
    crew->context = context;
    crew->count = count;
    atomic_store(&crew->next, 0);
    atomic_store(&crew->busy, crew->lanes - 1);
    announce(crew);
    do_items(crew, 0);
    for (int i = 0; i < TURNS && atomic_load(&crew->busy) > 0; i++) {
        rest();
    }
    pthread_mutex_lock(&crew->mutex);
    while (atomic_load(&crew->busy) > 0) {
        pthread_cond_wait(&crew->finished, &crew->mutex);
    }
    pthread_mutex_unlock(&crew->mutex);
}

// ---- how many ----

// Of "cpu.max", "200000 100000": processors, rounded up; 0 where there is no bound.
static int quota(void) {
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    double most = 0, period = 0;
    bool is_bound = file != NULL && fscanf(file, "%lf %lf", &most, &period) == 2 && period > 0;
    if (file != NULL) {
        fclose(file);
    }
    double processors = is_bound ? ceil(most / period) : 0;
    return processors < CREW_LANES_MOST ? (int)processors : CREW_LANES_MOST;
}

int crew_usual_lanes(void) {
    cpu_set_t set;
    int lanes = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int most = quota();
    lanes = most > 0 && most < lanes ? most : lanes;
    lanes = lanes < 1 ? 1 : lanes;
    return lanes < CREW_LANES_MOST ? lanes : CREW_LANES_MOST;
}
