// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/http.h"
#include "coordinator/live/status_file.h"
#include "coordinator/live/story.h"

enum {
    TELL_MS = 1000,      // between two snapshots
    LINGER_MS = 3000,    // for who is looking at the page to see how the run ended
    STORY_MS = 3 * 1000, // between two writings of the story: what a killed coordinator loses
};

// How fast a stage goes in this incarnation.
typedef struct Pace {
    bool has_begun;
    uint64_t start;   // what was done when it began
    int64_t since_ms; // when that was
    int64_t last_ms;  // when it ended, or now
    bool is_over;
} Pace;

struct Live {
    LiveConfig config;
    char host[LIMIT_NAME_BYTES];
    char http_url[128];
    Http *http; // NULL for none
    Story *story;
    int64_t began_ms;       // since 1970
    int64_t due_ms;         // of the next snapshot
    const char *told_stage; // of the last one; static
    int64_t story_due_ms;
    uint64_t poison;
    Pace paces[SNAPSHOT_STAGES];
    RunStage stage; // that the loop ended in
    Snapshot *last; // the last snapshot, kept for when the loop is over
};

// ---- beginning and end ----

Status live_new(const LiveConfig *config, Live **ret) {
    Live *live = mem_new(1, sizeof *live);
    if (live == NULL) {
        return STATUS_MEMORY;
    }
    char host[LIMIT_NAME_BYTES] = "";
    live->config = *config;
    live->began_ms = clock_wall_ms();
    (void)gethostname(host, sizeof host - 1);
    snapshot_text(live->host, sizeof live->host, host);
    Status status = story_open(config->run_folder, &live->story);
    if (status == STATUS_OK && config->http != NULL) {
        status = http_start(config->http, config->run_folder, &live->http);
    }
    if (status != STATUS_OK) {
        live_free(live);
        return status;
    }
    if (live->http != NULL) {
        text_copy(live->http_url, sizeof live->http_url, http_url(live->http));
    }
    *ret = live;
    return STATUS_OK;
}

void live_free(Live *live) {
    if (live != NULL) {
        http_stop(live->http);
        story_free(live->story);
        snapshot_free(live->last);
        mem_free(live);
    }
}

const char *live_url(const Live *live) {
    return live->http_url;
}

// ---- events ----

void live_joined(Live *live, const CoreSession *session) {
    if (live != NULL) {
        story_joined(live->story, session->name, clock_wall_ms());
    }
}

void live_left(Live *live, const CoreAction *left) {
    if (live != NULL) {
        StoryLeft facts = {.name = buffer_cstr(&left->items),
                           .why = buffer_cstr(&left->blob),
                           .tasks_done = left->tasks_done,
                           .busy_ms = left->busy_ms};
        story_left(live->story, &facts, clock_wall_ms());
    }
}

void live_poison(Live *live) {
    if (live != NULL) {
        live->poison++;
    }
}

// ---- the snapshot ----

static int by_name(const void *a, const void *b) {
    const SnapshotWorker *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order != 0 ? order : one->here_seconds > other->here_seconds ? -1 : 1;
}

static void take_worker(const CoreSession *session, int64_t now_ms, SnapshotWorker *ret) {
    *ret = (SnapshotWorker){.leases = session->leases,
                            .tasks_done = session->tasks_done,
                            .loss = NAN,
                            .silent_seconds = (double)(now_ms - session->heard_ms) / 1e3,
                            .here_seconds = (double)(now_ms - session->joined_ms) / 1e3,
                            .tag = UINT32_MAX};
    snapshot_text(ret->name, sizeof ret->name, session->name);
    text_copy(ret->state, sizeof ret->state,
              session->is_quiet     ? "quiet"
              : session->leases > 0 ? "working"
                                    : "idle");
    if (ret->here_seconds > 0) {
        ret->busy_share = fmin((double)session->busy_ms / 1e3 / ret->here_seconds, 1);
    }
    if (session->leases > 0) {
        ret->tag = session->tag;
        ret->done = session->done;
        ret->total = session->total;
        ret->loss = session->loss;
    }
}

// Each name once, as metrics need: two sessions may call themselves the same.
static void tell_apart(Snapshot *snapshot) {
    for (uint64_t w = 1; w < snapshot->worker_count; w++) {
        SnapshotWorker *worker = &snapshot->worker_list[w];
        char name[LIMIT_NAME_BYTES];
        if (strcmp(worker->name, worker[-1].name) == 0) {
            Buffer text = BUFFER_EMPTY;
            buffer_format(&text, "%.200s~%llu", worker->name, (unsigned long long)w);
            snapshot_text(name, sizeof name, buffer_cstr(&text));
            text_copy(worker->name, sizeof worker->name, name);
            buffer_done(&text);
        }
    }
}

static Snapshot *take(const Live *live, const LiveMoment *moment) {
    CoreCounts counts = core_counts(moment->core);
    Snapshot *snapshot = snapshot_new(counts.sessions, SNAPSHOT_MODELS);
    if (snapshot == NULL) {
        return NULL;
    }
    CoreSession session;
    for (uint32_t i = 0; core_session_at(moment->core, i, moment->now_ms, &session); i++) {
        take_worker(&session, moment->now_ms, &snapshot->worker_list[i]);
    }
    snapshot->workers = snapshot->worker_count = counts.sessions;
    snapshot->workers_idle = counts.free_workers;
    snapshot->models_stranded = counts.stranded;
    snapshot->tasks_waiting = counts.waiting;
    snapshot->tasks_held = counts.held;
    snapshot->tasks_done = counts.done;
    snapshot->retries = counts.retries;
    snapshot->poison = live->poison;
    snapshot->alarms = moment->alarms;
    snapshot->loss = counts.train_loss;
    snapshot->incarnation = story_number(live->story);
    snapshot->began_ms = (uint64_t)live->began_ms;
    snapshot->process = (uint64_t)getpid();
    text_copy(snapshot->host, sizeof snapshot->host, live->host);
    text_copy(snapshot->http, sizeof snapshot->http, live->http_url);
    qsort(snapshot->worker_list, snapshot->worker_count, sizeof *snapshot->worker_list, by_name);
    tell_apart(snapshot);
    return snapshot;
}

// A stage is under way from the look before its first progress, or from the start, to its end.
static void take_pace(Pace *pace, const SnapshotStage *stage, int64_t now_ms, double *ret_seconds,
                      double *ret_per_second) {
    if (!pace->has_begun) {
        pace->has_begun = stage->done < stage->total;
        pace->start = stage->done;
        pace->since_ms = pace->last_ms = now_ms;
        return;
    }
    bool moves = stage->done != pace->start;
    if (!moves) {
        pace->since_ms = now_ms; // nothing yet
    }
    if (!pace->is_over || stage->done < stage->total) {
        pace->last_ms = now_ms;
    }
    pace->is_over = stage->done >= stage->total;
    *ret_seconds = (double)(pace->last_ms - pace->since_ms) / 1e3;
    // A training that begins anew takes its epochs back, and may end up below where it started.
    if (*ret_seconds > 0 && stage->done > pace->start) {
        *ret_per_second = (double)(stage->done - pace->start) / *ret_seconds;
    }
}

static void take_paces(Live *live, Snapshot *snapshot, int64_t now_ms) {
    double *seconds[SNAPSHOT_STAGES] = {&snapshot->extract_seconds, &snapshot->explore_seconds,
                                        &snapshot->train_seconds, &snapshot->score_seconds,
                                        &snapshot->pictures_seconds};
    double *rates[SNAPSHOT_STAGES] = {&snapshot->extract_per_second, &snapshot->explore_per_second,
                                      &snapshot->train_per_second, &snapshot->score_per_second,
                                      &snapshot->pictures_per_second};
    for (int s = 0; s < SNAPSHOT_STAGES; s++) {
        SnapshotStage stage = snapshot_stage(snapshot, (RunStage)s);
        take_pace(&live->paces[s], &stage, now_ms, seconds[s], rates[s]);
    }
    if (snapshot->stage != AT_REPORT) {
        snapshot->seconds_left = snapshot_stage(snapshot, snapshot->stage).seconds_left;
    }
}

// ---- telling ----

// Takes the snapshot over.
static void publish(Live *live, Snapshot *snapshot) {
    snapshot->written_ms = (uint64_t)clock_wall_ms();
    (void)status_file_write(live->config.run_folder, snapshot);
    if (live->http != NULL) {
        http_publish(live->http, snapshot);
    }
    snapshot_free(live->last);
    live->last = snapshot;
}

void live_tell(Live *live, const LiveMoment *moment, const LiveOwner *owner) {
    if (live == NULL || owner->complete == NULL) {
        return;
    }
    live->due_ms = moment->now_ms + TELL_MS;
    live->told_stage = moment->stage;
    Snapshot *snapshot = take(live, moment);
    if (snapshot == NULL) {
        return; // the loop will meet the same lack of memory where it matters
    }
    owner->complete(owner->context, snapshot, moment->ended);
    live->stage = snapshot->stage;
    take_paces(live, snapshot, moment->now_ms);
    CoreCounts counts = core_counts(moment->core);
    story_look(live->story, snapshot, &counts, clock_wall_ms());
    publish(live, snapshot);
    if (moment->now_ms >= live->story_due_ms) {
        live->story_due_ms = moment->now_ms + STORY_MS;
        (void)story_write(live->story);
    }
}

void live_tell_in_time(Live *live, const LiveMoment *moment, const LiveOwner *owner) {
    if (live != NULL && (moment->now_ms >= live->due_ms || moment->stage != live->told_stage)) {
        live_tell(live, moment, owner);
    }
}

static void tell_again(Live *live, RunState state, RunStage stage) {
    Snapshot *snapshot = live->last != NULL ? snapshot_copy(live->last) : NULL;
    if (snapshot != NULL) {
        snapshot->state = state;
        snapshot->stage = stage;
        snapshot->worker_count = snapshot->workers = snapshot->workers_idle = 0;
        publish(live, snapshot);
    }
}

void live_reporting(Live *live) {
    if (live != NULL) {
        story_reporting(live->story, clock_wall_ms());
        tell_again(live, RUN_RUNNING, AT_REPORT);
    }
}

Status live_end(Live *live, RunState state) {
    if (live == NULL) {
        return STATUS_OK;
    }
    tell_again(live, state, live->stage);
    story_end(live->story, run_state_text(state), clock_wall_ms());
    Status status = story_write(live->story);
    if (status == STATUS_OK) {
        status = story_write_page(live->story);
    }
    if (live->http != NULL) {
        http_linger(live->http, LINGER_MS);
    }
    return status;
}
