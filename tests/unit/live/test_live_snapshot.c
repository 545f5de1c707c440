// SPDX-License-Identifier: Apache-2.0
//
// One struct, and what is made of it: a file and back, metrics, a page, lines for a terminal.
#include "tests/unit/test.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "coordinator/live/log_tail.h"
#include "coordinator/live/snapshot.h"

// What a hostile worker or folder may be called, and what of it may stand in a page.
#define HOSTILE      "a\"b\\c<script>alert(1)</script>&'\n\x01\x7f{}: \xC2\x85\xEF\xBF\xBE\xFF"
#define HOSTILE_SEEN "a\"b\\c<script>alert(1)</script>&'???{}: ?\?\?\?\?\?"

static Snapshot *example(void) {
    Snapshot *s = snapshot_new(2, 2);
    CHECK(s != NULL);
    *s = (Snapshot){.state = RUN_RUNNING,
                    .stage = AT_TRAIN,
                    .clips_read = 40,
                    .clips = 40,
                    .epochs_trained = 5,
                    .epochs = 20,
                    .clips_to_score = 40,
                    .clips_left_out = 3,
                    .models_failed = 1,
                    .workers = 2,
                    .workers_idle = 1,
                    .models = 2,
                    .models_training = 1,
                    .tasks_waiting = 1ull << 40,
                    .retries = 7,
                    .incarnation = 2,
                    .began_ms = 1700000000000,
                    .written_ms = 1700000065000,
                    .process = 77,
                    .train_seconds = 10,
                    .train_per_second = 0.5,
                    .seconds_left = 30,
                    .loss = NAN,
                    .host = "node7",
                    .worker_list = s->worker_list,
                    .worker_count = 2,
                    .model_list = s->model_list,
                    .model_count = 2};
    s->worker_list[0] = (SnapshotWorker){.state = "working",
                                         .work = "the training of fan",
                                         .leases = 1,
                                         .tasks_done = 12,
                                         .loss = 0.125,
                                         .silent_seconds = 0.5,
                                         .here_seconds = 60,
                                         .busy_share = 0.75,
                                         .tag = UINT32_MAX};
    snapshot_text(s->worker_list[0].name, LIMIT_NAME_BYTES, HOSTILE);
    s->worker_list[1] = (SnapshotWorker){
        .name = "node8:1", .state = "idle", .loss = NAN, .silent_seconds = 2, .tag = UINT32_MAX};
    s->model_list[0] = (SnapshotModel){.label = "fan",
                                       .state = "training",
                                       .epochs_trained = 5,
                                       .epochs = 10,
                                       .workers = 1,
                                       .loss = 0.125};
    s->model_list[1] =
        (SnapshotModel){.label = "null", .state = "failed", .epochs = 10, .loss = NAN};
    return s;
}

static Buffer rendered(void (*render)(const Snapshot *, Buffer *), const Snapshot *snapshot) {
    Buffer out = BUFFER_EMPTY;
    render(snapshot, &out);
    CHECK_OK(out.status);
    return out;
}

TEST(names_lose_what_steers_a_terminal) {
    char out[LIMIT_NAME_BYTES];
    snapshot_text(out, sizeof out, HOSTILE);
    CHECK_TEXT(out, HOSTILE_SEEN);
    snapshot_text(out, sizeof out,
                  "B\xC3\xBC"
                  "cher");
    CHECK_TEXT(out, "B\xC3\xBC"
                    "cher");
}

TEST(the_file_is_read_back_as_it_was) {
    Snapshot *snapshot = example(), *back = NULL;
    Buffer text = rendered(snapshot_json, snapshot);
    CHECK_OK(snapshot_from_json("status.json", text.bytes, text.size, &back));
    Buffer again = rendered(snapshot_json, back);
    CHECK_TEXT(buffer_cstr(&again), buffer_cstr(&text));
    CHECK_INT(back->stage, AT_TRAIN);
    CHECK_INT(back->tasks_waiting, 1ll << 40);
    CHECK(isnan(back->loss) && isnan(back->worker_list[1].loss));
    CHECK_TEXT(back->worker_list[0].name, HOSTILE_SEEN);
    CHECK_TEXT(back->model_list[1].label, "null");
    CHECK_NEAR(back->worker_list[0].busy_share, 0.75, 0);
    buffer_done(&text);
    buffer_done(&again);
    snapshot_free(snapshot);
    snapshot_free(back);
}

TEST(a_run_without_workers_and_models_has_empty_lists) {
    Snapshot *snapshot = snapshot_new(0, 0), *back = NULL;
    Buffer text = rendered(snapshot_json, snapshot);
    CHECK_HAS(buffer_cstr(&text), "\"worker_list\": [],");
    CHECK_OK(snapshot_from_json("status.json", text.bytes, text.size, &back));
    CHECK_INT(back->worker_count + back->model_count, 0);
    buffer_done(&text);
    snapshot_free(snapshot);
    snapshot_free(back);
}

TEST(a_file_of_an_older_program_is_understood) {
    static const char OLD[] = "{\n  \"state\": \"stopped\",\n  \"stage\": \"train\",\n"
                              "  \"clips_read\": 40,\n  \"clips\": 41,\n  \"workers\": 2,\n"
                              "  \"host\": \"node7\",\n  \"process\": 77,\n"
                              "  \"written_ms\": 1700000000000\n}\n";
    Snapshot *back = NULL;
    CHECK_OK(snapshot_from_json("status.json", OLD, sizeof OLD - 1, &back));
    CHECK_INT(back->state, RUN_STOPPED);
    CHECK_INT(back->clips, 41);
    CHECK_INT(back->worker_count, 0);
    CHECK(isnan(back->loss));
    CHECK_TEXT(back->http, "");
    snapshot_free(back);
}

TEST(a_file_that_is_cut_or_damaged_is_refused) {
    Snapshot *snapshot = example(), *back = NULL;
    Buffer text = rendered(snapshot_json, snapshot);
    for (size_t size = 0; size < text.size - 2; size += 7) {
        CHECK(snapshot_from_json("status.json", text.bytes, size, &back) != STATUS_OK);
        CHECK(back == NULL);
    }
    static const char *const PAIRS[][2] = {{"\"clips\": 40", "\"clips\": -4"},
                                           {"\"clips\": 40", "\"clips\": []"},
                                           {"\"state\": \"running\"", "\"state\": \"running!\""},
                                           {"\"stage\": \"train\"", "\"stages\": \"train\""},
                                           {"\"retries\": 7", "\"retries\": 7e9"},
                                           {"\"seconds_left\": 30", "\"seconds_left\": soon"},
                                           {"\"worker_list\": [", "\"worker_list\": [7, "},
                                           {"\"host\": \"node7\"", "\"host\": null"}};
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        const char *at = strstr(text.bytes, PAIRS[i][0]);
        CHECK(at != NULL);
        Buffer wrong = BUFFER_EMPTY;
        buffer_append(&wrong, text.bytes, (size_t)(at - text.bytes));
        buffer_text(&wrong, PAIRS[i][1]);
        buffer_text(&wrong, at + strlen(PAIRS[i][0]));
        if (snapshot_from_json("status.json", wrong.bytes, wrong.size, &back) != STATUS_FORMAT) {
            TEST_FAIL("%s was taken", PAIRS[i][1]);
        }
        CHECK_HAS(status_message(), "status.json");
        buffer_done(&wrong);
    }
    buffer_done(&text);
    snapshot_free(snapshot);
}

TEST(random_bytes_in_the_file_never_crash_the_reader) {
    Snapshot *snapshot = example();
    Buffer text = rendered(snapshot_json, snapshot);
    Rng rng = rng_of(7, "test", 0, 0);
    for (int round = 0; round < 300; round++) {
        Snapshot *back = NULL;
        Buffer wrong = BUFFER_EMPTY;
        buffer_append(&wrong, text.bytes, text.size);
        for (int i = 0; i < 3; i++) {
            wrong.bytes[rng_below(&rng, (uint32_t)wrong.size)] = (char)rng_below(&rng, 256);
        }
        if (snapshot_from_json("status.json", wrong.bytes, wrong.size, &back) == STATUS_OK) {
            snapshot_free(back);
        }
        buffer_done(&wrong);
    }
    buffer_done(&text);
    snapshot_free(snapshot);
}

TEST(every_failing_allocation_leaves_nothing_behind) {
    Snapshot *snapshot = example();
    Buffer text = rendered(snapshot_json, snapshot);
    long blocks = mem_blocks();
    bool is_through = false;
    for (long n = 0; !is_through; n++) {
        Snapshot *back = NULL;
        mem_fail_after(n);
        Status status = snapshot_from_json("status.json", text.bytes, text.size, &back);
        is_through = !mem_has_failed();
        mem_fail_after(-1);
        CHECK(is_through == (status == STATUS_OK));
        snapshot_free(back);
        CHECK_INT(mem_blocks(), blocks);
    }
    is_through = false;
    for (long n = 0; !is_through; n++) {
        mem_fail_after(n);
        Snapshot *copy = snapshot_copy(snapshot);
        is_through = !mem_has_failed();
        mem_fail_after(-1);
        CHECK(is_through == (copy != NULL));
        snapshot_free(copy);
        CHECK_INT(mem_blocks(), blocks);
    }
    buffer_done(&text);
    snapshot_free(snapshot);
}

// ---- metrics ----

TEST(metrics_are_what_prometheus_reads) {
    Snapshot *snapshot = example();
    Buffer text = rendered(snapshot_metrics, snapshot);
    const char *metrics = buffer_cstr(&text);
    CHECK_HAS(metrics, "# HELP auscult_retries_total Tasks given out again, of this incarnation.\n"
                       "# TYPE auscult_retries_total counter\nauscult_retries_total 7\n");
    CHECK_HAS(metrics, "auscult_tasks_waiting 1099511627776\n");
    CHECK_HAS(metrics, "auscult_run_state{state=\"running\"} 1\n");
    CHECK_HAS(metrics, "auscult_run_stage{stage=\"extract\"} 0\n");
    CHECK_HAS(metrics, "auscult_stage_items_done{stage=\"train\"} 5\n");
    CHECK_HAS(metrics, "auscult_stage_left_seconds{stage=\"train\"} 30\n");
    CHECK_HAS(metrics, "auscult_stage_left_seconds{stage=\"score\"} NaN\n");
    CHECK_HAS(metrics, "auscult_start_time_seconds 1700000000.000\n");
    CHECK_HAS(metrics, "auscult_model_loss{model=\"fan\"} 0.125\n");
    CHECK_HAS(metrics, "auscult_models{state=\"other\"} 0\n");
    CHECK_HAS(metrics, "auscult_worker_busy_ratio{worker=\"a\\\"b\\\\c<script>alert(1)</script>&'");
    CHECK(text.bytes[text.size - 1] == '\n');
    buffer_done(&text);
    snapshot_free(snapshot);
}

// Each line is a comment or "name{labels} value", HELP and TYPE stand once and before, and no
// series comes twice.
TEST(metrics_have_one_head_each_and_no_series_twice) {
    Snapshot *snapshot = example();
    Buffer text = rendered(snapshot_metrics, snapshot);
    char current[128] = "";
    for (char *line = text.bytes, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        if (text_starts(line, "# HELP ")) {
            snprintf(current, sizeof current, "%.*s", (int)strcspn(line + 7, " "), line + 7);
        } else if (text_starts(line, "# TYPE ")) {
            CHECK(text_starts(line + 7, current));
            bool is_counter = text_ends(line, " counter");
            CHECK(is_counter == text_ends(current, "_total"));
        } else {
            CHECK(text_starts(line, current) && strchr("{ ", line[strlen(current)]) != NULL);
            const char *space = strrchr(line, ' ');
            char series[512];
            snprintf(series, sizeof series, "%.*s ", (int)(space - line), line);
            for (const char *other = end + 1; *other != '\0'; other += strcspn(other, "\n") + 1) {
                CHECK(!text_starts(other, series));
            }
        }
        *end = '\n';
    }
    buffer_done(&text);
    snapshot_free(snapshot);
}

// ---- page and terminal ----

TEST(the_page_escapes_what_comes_from_elsewhere) {
    Snapshot *snapshot = example();
    Buffer text = BUFFER_EMPTY;
    snapshot_page(snapshot, "runs/<b>run</b>/", "line <img src=x>\n", &text);
    const char *page = buffer_cstr(&text);
    CHECK_HAS(page, "a&quot;b\\c&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;");
    CHECK_HAS(page, "b&gt;: running</title>");
    CHECK_HAS(page, "line &lt;img src=x&gt;");
    CHECK(strstr(page, "<script>") == NULL && strstr(page, "<img") == NULL);
    CHECK_HAS(page, "<noscript><meta http-equiv=\"refresh\"");
    CHECK_HAS(page, "<b>30 s</b> left in it");
    CHECK(strstr(page, "http://") == NULL && strstr(page, "https://") == NULL);
    buffer_clear(&text);
    snapshot->state = RUN_DONE;
    snapshot_page(snapshot, "run", "", &text);
    CHECK(strstr(buffer_cstr(&text), "refresh") == NULL); // nothing more will come
    buffer_done(&text);
    snapshot_free(snapshot);
}

TEST(a_terminal_gets_stages_models_and_workers) {
    Snapshot *snapshot = example();
    Buffer text = rendered(snapshot_print, snapshot);
    CHECK_HAS(buffer_cstr(&text), "  clips read      40 of 40\n");
    CHECK_HAS(buffer_cstr(&text),
              "  epochs trained  5 of 20  [#####...............] 0.50/s, 30 s left\n");
    CHECK_HAS(buffer_cstr(&text), "left out        3 clips, 1 models");
    CHECK_HAS(buffer_cstr(&text), "retries 7");
    CHECK_HAS(buffer_cstr(&text), "5 of 10 epochs, loss 0.125");
    CHECK_HAS(buffer_cstr(&text), "the training of fan, loss 0.125");
    buffer_clear(&text);
    snapshot_line(snapshot, &text);
    CHECK_TEXT(buffer_cstr(&text), "train    5/20 epochs, 0.50/s, 30 s left, 2 workers\n");
    snapshot->state = RUN_DONE;
    buffer_clear(&text);
    snapshot_line(snapshot, &text);
    CHECK_TEXT(buffer_cstr(&text), "done\n");
    buffer_done(&text);
    snapshot_free(snapshot);
}

// ---- the log's end ----

static void write_log(const char *folder, const Buffer *text) {
    char path[LIMIT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/logs", folder);
    CHECK_OK(file_make_folders(path));
    snprintf(path, sizeof path, "%s/logs/coordinator.log", folder);
    CHECK_OK(file_write_buffer(path, text));
}

TEST(the_log_ends_with_twenty_lines_that_are_not_for_debugging) {
    const char *folder = test_folder();
    Buffer text = BUFFER_EMPTY, tail = BUFFER_EMPTY;
    log_tail(folder, &tail);
    CHECK_TEXT(buffer_cstr(&tail), ""); // there is none
    for (int i = 0; i < 3000; i++) {
        buffer_format(&text, "2026-01-02T03:04:05.678Z %s line %d\n",
                      i % 10 == 0 ? "info" : "debug", i);
    }
    buffer_text(&text, "2026-01-02T03:04:05.678Z info half a li");
    write_log(folder, &text);
    log_tail(folder, &tail);
    CHECK(text_starts(buffer_cstr(&tail), "2026-01-02T03:04:05.678Z info line 2800\n"));
    CHECK(text_ends(buffer_cstr(&tail), "info line 2990\n"));
    int lines = 0;
    for (const char *c = buffer_cstr(&tail); *c != '\0'; c++) {
        lines += *c == '\n';
    }
    CHECK_INT(lines, 20);
    buffer_clear(&text);
    buffer_clear(&tail);
    buffer_text(&text, "2026-01-02T03:04:05.678Z warning only\n");
    write_log(folder, &text);
    log_tail(folder, &tail);
    CHECK_TEXT(buffer_cstr(&tail), buffer_cstr(&text));
    buffer_done(&text);
    buffer_done(&tail);
    CHECK_OK(file_remove_tree(folder));
}

TEST_MAIN_LIST(
    T(names_lose_what_steers_a_terminal) T(the_file_is_read_back_as_it_was)
        T(a_run_without_workers_and_models_has_empty_lists)
            T(a_file_that_is_cut_or_damaged_is_refused) T(a_file_of_an_older_program_is_understood)
                T(random_bytes_in_the_file_never_crash_the_reader)
                    T(every_failing_allocation_leaves_nothing_behind)
                        T(metrics_are_what_prometheus_reads)
                            T(metrics_have_one_head_each_and_no_series_twice)
                                T(the_page_escapes_what_comes_from_elsewhere)
                                    T(a_terminal_gets_stages_models_and_workers) T(
                                        the_log_ends_with_twenty_lines_that_are_not_for_debugging))
