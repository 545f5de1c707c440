// SPDX-License-Identifier: Apache-2.0
//
// The cluster's story: what it keeps of workers and incarnations, and over what it lasts.
#include "tests/unit/test.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/live/story.h"

static const char *folder;
static int64_t wall_ms;

static Story *begin(void) {
    char logs[LIMIT_PATH_BYTES];
    Story *story;
    snprintf(logs, sizeof logs, "%s/logs", folder);
    CHECK_OK(file_make_folders(logs));
    CHECK_OK(story_open(folder, &story));
    uint32_t count;
    const StoryIncarnation *all = story_incarnations(story, &count);
    wall_ms = (int64_t)all[count - 1].began_ms;
    return story;
}

static void leave(Story *story, const char *name, uint64_t tasks, int64_t busy_ms) {
    char why[LIMIT_NAME_BYTES + 32];
    snprintf(why, sizeof why, "%s: connection lost", name);
    story_left(story,
               &(StoryLeft){.name = name, .why = why, .tasks_done = tasks, .busy_ms = busy_ms},
               wall_ms);
}

// A look with these workers (names in order), `seconds` after the last.
static void look(Story *story, RunStage stage, const char *const *names, uint32_t count,
                 double seconds) {
    Snapshot *snapshot = snapshot_new(count, 0);
    CoreCounts counts = {.kinds[TASK_TRAIN] = {.answered = 3, .busy_ms = 2500}};
    CHECK(snapshot != NULL);
    wall_ms += (int64_t)(1000 * seconds);
    snapshot->stage = stage;
    snapshot->workers = snapshot->worker_count = count;
    snapshot->clips_read = stage == AT_EXTRACT ? 30 : 31;
    snapshot->pictures_made = stage == AT_PICTURES ? 5 : 0;
    snapshot->tasks_done = 9;
    snapshot->retries = 2;
    for (uint32_t i = 0; i < count; i++) {
        snapshot->worker_list[i] =
            (SnapshotWorker){.tasks_done = 4, .here_seconds = seconds, .busy_share = 0.5};
        snapshot_text(snapshot->worker_list[i].name, LIMIT_NAME_BYTES, names[i]);
    }
    story_look(story, snapshot, &counts, wall_ms);
    snapshot_free(snapshot);
}

TEST(sessions_of_a_worker_add_up) {
    folder = test_folder();
    Story *story = begin();
    story_joined(story, "node:1", wall_ms);
    wall_ms += 4000;
    leave(story, "node:1", 5, 3000);
    wall_ms += 1000;
    story_joined(story, "node:1", wall_ms);
    wall_ms += 2000;
    leave(story, "node:1", 7, 500);
    uint32_t count;
    const StoryWorker *worker = story_workers(story, &count);
    CHECK_INT(count, 1);
    CHECK_INT(worker->sessions, 2);
    CHECK_INT(worker->tasks_done, 12);
    CHECK_NEAR(worker->here_seconds, 6, 1e-9);
    CHECK_NEAR(worker->busy_seconds, 3.5, 1e-9);
    CHECK_TEXT(worker->why, "connection lost");
    CHECK_INT(worker->left_ms - worker->joined_ms, 7000);
    leave(story, "node:1", 70, 500);  // left already
    leave(story, "nobody:1", 1, 100); // never came
    CHECK_INT(worker->tasks_done, 12);
    story_free(story);
    CHECK_OK(file_remove_tree(folder));
}

TEST(looks_give_each_stage_its_time_and_each_worker_its_share) {
    static const char *const NAMES[] = {"a:1", "b:2", "c:3"};
    folder = test_folder();
    Story *story = begin();
    story_joined(story, "c:3", wall_ms);
    story_joined(story, "a:1", wall_ms);
    look(story, AT_EXTRACT, NAMES, 3, 1);
    look(story, AT_TRAIN, NAMES, 3, 2); // the time before it was still the first stage's
    look(story, AT_PICTURES, NAMES, 1, 4);
    look(story, AT_PICTURES, NAMES, 1, 1);
    story_reporting(story, wall_ms);
    wall_ms += 3000;
    story_end(story, "done", wall_ms);
    uint32_t count;
    const StoryIncarnation *one = story_incarnations(story, &count);
    CHECK_INT(count, 1);
    CHECK_NEAR(one->extract_seconds, 3, 1e-9);
    CHECK_NEAR(one->train_seconds, 4, 1e-9);
    CHECK_NEAR(one->pictures_seconds, 1, 1e-9);
    CHECK_NEAR(one->report_seconds, 3, 1e-9);
    CHECK_INT(one->pictures_made, 5);
    CHECK_INT(one->ended_ms - one->began_ms, 11000);
    CHECK_INT(one->workers_most, 3);
    CHECK_INT(one->clips_read, 1); // 30 were read before
    CHECK_INT(one->retries, 2);
    CHECK_NEAR(one->train_busy_seconds, 2.5, 1e-9);
    CHECK_TEXT(one->state, "done");
    const StoryWorker *workers = story_workers(story, &count);
    CHECK_INT(count, 2); // b:2 never said that it joined
    CHECK_TEXT(workers[0].name, "c:3");
    CHECK_NEAR(workers[0].busy_seconds, 1, 1e-9);
    CHECK_NEAR(workers[1].busy_seconds, 0.5, 1e-9); // of its last second
    CHECK_TEXT(workers[1].why, "the coordinator ended");
    story_free(story);
    CHECK_OK(file_remove_tree(folder));
}

TEST(each_incarnation_goes_on_from_the_last) {
    folder = test_folder();
    Story *story = begin();
    CHECK_INT(story_number(story), 1);
    story_joined(story, "a\":<b>", wall_ms);
    wall_ms += 1000;
    story_end(story, "stopped", wall_ms);
    CHECK_OK(story_write(story));
    story_free(story);
    story = begin();
    story_joined(story, "a\":<b>", wall_ms); // the same name in another incarnation
    CHECK_OK(story_write(story));
    story_free(story); // killed: it says nothing more
    story = begin();
    CHECK_INT(story_number(story), 3);
    uint32_t count;
    const StoryIncarnation *all = story_incarnations(story, &count);
    CHECK_INT(count, 3);
    CHECK_TEXT(all[0].state, "stopped");
    CHECK_TEXT(all[1].state, "killed");
    CHECK_TEXT(all[2].state, "running");
    const StoryWorker *workers = story_workers(story, &count);
    CHECK_INT(count, 2);
    CHECK_TEXT(workers[1].name, "a\":<b>");
    CHECK_INT(workers[1].incarnation, 2);
    CHECK(workers[1].left_ms != 0);
    Buffer page = BUFFER_EMPTY;
    story_page(story, "runs/<i>", &page);
    CHECK_HAS(buffer_cstr(&page), "a&quot;:&lt;b&gt;");
    CHECK_HAS(buffer_cstr(&page), "<title>&lt;i&gt;: the cluster");
    CHECK(strstr(buffer_cstr(&page), "<b>\"") == NULL &&
          strstr(buffer_cstr(&page), "http") == NULL);
    buffer_done(&page);
    story_free(story);
    CHECK_OK(file_remove_tree(folder));
}

TEST(a_file_that_is_not_understood_begins_a_new_story) {
    static const char *const WRONG[] = {
        "",
        "{",
        "[]",
        "{\"format\": 2, \"incarnations\": [], \"workers\": [], \"others\": []}",
        "{\"format\": 1, \"incarnations\": [{}], \"workers\": [], \"others\": []}",
        "{\"format\": 1, \"incarnations\": [], \"workers\": [{}], \"others\": []}",
        "{\"format\": 1, \"incarnations\": [], \"workers\": [], \"others\": [{}, {}]}"};
    folder = test_folder();
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char path[LIMIT_PATH_BYTES];
        story_free(begin());
        snprintf(path, sizeof path, "%s/logs/cluster.json", folder);
        CHECK_OK(file_write(path, WRONG[i], strlen(WRONG[i])));
        Story *story = begin();
        uint32_t count;
        (void)story_incarnations(story, &count);
        CHECK_INT(count, 1);
        (void)story_workers(story, &count);
        CHECK_INT(count, 0);
        snprintf(path, sizeof path, "%s/logs/cluster.json.old", folder);
        CHECK(file_exists(path));
        story_free(story);
    }
    CHECK_OK(file_remove_tree(folder));
}

TEST(very_many_workers_are_put_together) {
    folder = test_folder();
    Story *story = begin();
    for (int i = 0; i < STORY_WORKERS + 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "node:%d", i);
        story_joined(story, name, wall_ms);
        wall_ms += 10;
        if (i > 0) { // the very first stays
            leave(story, name, 2, 5);
        }
    }
    uint32_t count;
    const StoryWorker *workers = story_workers(story, &count);
    CHECK_INT(count, STORY_WORKERS);
    CHECK_TEXT(workers[0].name, "node:0");
    CHECK_TEXT(workers[1].name, "node:101");
    CHECK_INT(story_others(story)->sessions, 100);
    CHECK_INT(story_others(story)->tasks_done, 200);
    CHECK_OK(story_write(story));
    story_free(story);
    story = begin();
    (void)story_workers(story, &count);
    CHECK_INT(count, STORY_WORKERS);
    CHECK_INT(story_others(story)->tasks_done, 200);
    story_free(story);
    CHECK_OK(file_remove_tree(folder));
}

TEST(very_many_starts_are_listed_from_the_newest_on) {
    folder = test_folder();
    uint32_t count;
    Story *story = begin();
    for (int i = 0; i < STORY_INCARNATIONS + 1; i++) {
        CHECK_OK(story_write(story));
        story_free(story);
        story = begin();
    }
    const StoryIncarnation *all = story_incarnations(story, &count);
    CHECK_INT(count, STORY_INCARNATIONS);
    CHECK_INT(all[0].number, 3);
    CHECK_INT(all[count - 1].number, STORY_INCARNATIONS + 2);
    story_free(story);
    CHECK_OK(file_remove_tree(folder));
}

TEST(every_failing_allocation_leaves_nothing_behind) {
    folder = test_folder();
    Story *story = begin();
    story_joined(story, "a:1", wall_ms);
    CHECK_OK(story_write(story));
    story_free(story);
    long blocks = mem_blocks();
    bool is_through = false;
    for (long n = 0; !is_through; n++) {
        story = NULL;
        mem_fail_after(n);
        Status status = story_open(folder, &story);
        is_through = !mem_has_failed();
        mem_fail_after(-1);
        CHECK(is_through ? status == STATUS_OK : status == STATUS_MEMORY && story == NULL);
        story_free(story);
        CHECK_INT(mem_blocks(), blocks);
    }
    CHECK_OK(file_remove_tree(folder));
}

TEST_MAIN_LIST(T(sessions_of_a_worker_add_up)
                   T(looks_give_each_stage_its_time_and_each_worker_its_share)
                       T(each_incarnation_goes_on_from_the_last)
                           T(a_file_that_is_not_understood_begins_a_new_story)
                               T(very_many_workers_are_put_together)
                                   T(very_many_starts_are_listed_from_the_newest_on)
                                       T(every_failing_allocation_leaves_nothing_behind))
