// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/crew.h"
#include "common/base/mem.h"
#include "tests/unit/test.h"

enum { ITEMS_MOST = 1000 };

typedef struct Work {
    atomic_int done[ITEMS_MOST];           // how often each item was done
    atomic_bool is_taken[CREW_LANES_MOST]; // an item is under work on this lane
    atomic_int lanes_twice;                // items that met another one on their lane
    atomic_int lanes_wrong;
    int lanes;
    pthread_t caller;
} Work;

static void count_item(void *context, uint32_t item, int lane) {
    Work *work = context;
    bool is_callers = pthread_equal(pthread_self(), work->caller) != 0;
    if (lane < 0 || lane >= work->lanes || (lane == 0) != is_callers) {
        atomic_fetch_add(&work->lanes_wrong, 1);
        return;
    }
    if (atomic_exchange(&work->is_taken[lane], true)) {
        atomic_fetch_add(&work->lanes_twice, 1);
    }
    atomic_fetch_add(&work->done[item], 1);
    atomic_store(&work->is_taken[lane], false);
}

static void check_piece(Crew *crew, uint32_t count) {
    static Work work;
    memset(&work, 0, sizeof work);
    work.lanes = crew_lanes(crew);
    work.caller = pthread_self();
    crew_run(crew, count, count_item, &work);
    for (uint32_t i = 0; i < ITEMS_MOST; i++) {
        CHECK_INT(work.done[i], i < count ? 1 : 0);
    }
    CHECK_INT(work.lanes_twice, 0);
    CHECK_INT(work.lanes_wrong, 0);
}

TEST(every_item_is_done_once_on_a_lane_of_its_own) {
    for (int lanes = 1; lanes <= 8; lanes++) {
        Crew *crew;
        CHECK_OK(crew_new(lanes, &crew));
        CHECK_INT(crew_lanes(crew), lanes);
        for (uint32_t count = 0; count < 40; count++) {
            check_piece(crew, count);
        }
        check_piece(crew, ITEMS_MOST);
        crew_free(crew);
    }
}

TEST(many_small_pieces_lose_none) {
    Crew *crew;
    CHECK_OK(crew_new(4, &crew));
    for (int piece = 0; piece < 2000; piece++) {
        check_piece(crew, (uint32_t)piece % 7);
        if (piece % 500 == 0) {
            usleep(20000); // the threads go to sleep
        }
    }
    crew_free(crew);
}

TEST(no_crew_is_the_caller_alone) {
    CHECK_INT(crew_lanes(NULL), 1);
    check_piece(NULL, 17);
    crew_free(NULL);
}

static atomic_int signals_elsewhere;
static pthread_t main_thread;

static void on_signal(int number) {
    (void)number;
    if (!pthread_equal(pthread_self(), main_thread)) {
        atomic_fetch_add(&signals_elsewhere, 1);
    }
}

TEST(signals_stay_with_the_caller) {
    Crew *crew;
    main_thread = pthread_self();
    (void)signal(SIGUSR1, on_signal);
    CHECK_OK(crew_new(8, &crew));
    sigset_t blocked;
    CHECK_INT(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    CHECK_INT(sigismember(&blocked, SIGUSR1), 0);
    for (int i = 0; i < 200; i++) {
        CHECK_INT(kill(getpid(), SIGUSR1), 0);
        check_piece(crew, 16);
    }
    CHECK_INT(signals_elsewhere, 0);
    crew_free(crew);
}

TEST(a_crew_that_cannot_be_made_leaves_nothing) {
    long before = mem_blocks();
    Crew *crew;
    mem_fail_after(0);
    CHECK_INT(crew_new(4, &crew), STATUS_MEMORY);
    mem_fail_after(-1);
    CHECK_INT(mem_blocks(), before);
}

TEST(the_usual_number_is_what_this_process_may_use) {
    cpu_set_t all, one;
    CHECK_INT(sched_getaffinity(0, sizeof all, &all), 0);
    int lanes = crew_usual_lanes(), first = 0;
    CHECK(lanes >= 1 && lanes <= CPU_COUNT(&all) && lanes <= CREW_LANES_MOST);
    while (!CPU_ISSET((unsigned)first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET((unsigned)first, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_INT(crew_usual_lanes(), 1);
    CHECK_INT(sched_setaffinity(0, sizeof all, &all), 0);
}

TEST_MAIN_LIST(T(every_item_is_done_once_on_a_lane_of_its_own) T(many_small_pieces_lose_none)
                   T(no_crew_is_the_caller_alone) T(signals_stay_with_the_caller)
                       T(a_crew_that_cannot_be_made_leaves_nothing)
                           T(the_usual_number_is_what_this_process_may_use))
