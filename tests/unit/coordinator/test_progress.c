// SPDX-License-Identifier: Apache-2.0
//
// What a person reads while a run works.
#include "coordinator/server/progress.h"
#include "tests/unit/test.h"

static ProgressFacts facts_of(const char *stage, uint64_t done, uint64_t total) {
    return (ProgressFacts){
        .stage = stage, .unit = "clips", .done = done, .total = total, .workers = 2, .loss = NAN};
}

// The line after `seconds` of a stage that began with `start` done.
static const char *line(ProgressFacts facts, uint64_t start, double seconds) {
    static char text[256];
    progress_format(&facts, start, seconds, text, sizeof text);
    return text;
}

TEST(a_line_tells_count_rate_time_left_and_workers) {
    CHECK_TEXT(line(facts_of("extract", 300, 1000), 100, 10),
               "extract  300/1000 clips, 20/s, 35 s left, 2 workers");
    CHECK_TEXT(line(facts_of("extract", 105, 1000), 100, 10),
               "extract  105/1000 clips, 0.5/s, 29 min 50 s left, 2 workers");
    CHECK_TEXT(line(facts_of("extract", 101, 1000), 100, 10),
               "extract  101/1000 clips, 0.1/s, 2 h 29 min left, 2 workers");
}

TEST(before_anything_is_done_there_is_no_rate) {
    CHECK_TEXT(line(facts_of("extract", 0, 1000), 0, 0), "extract  0/1000 clips, 2 workers");
    CHECK_TEXT(line(facts_of("extract", 0, 1000), 0, 10), "extract  0/1000 clips, 2 workers");
    CHECK_TEXT(line(facts_of("extract", 400, 1000), 400, 10), "extract  400/1000 clips, 2 workers");
}

TEST(a_finished_stage_tells_how_long_it_took) {
    ProgressFacts facts = facts_of("train", 20, 20);
    facts.workers = 1;
    facts.loss = 8.2512345;
    CHECK_TEXT(line(facts, 0, 3725),
               "train    20/20 clips, done in 1 h 02 min, 1 worker, loss 8.251");
}

TEST(models_that_wait_for_a_worker_are_told_of) {
    ProgressFacts facts = facts_of("train", 0, 20);
    facts.stranded = 1;
    CHECK_TEXT(line(facts, 0, 60),
               "train    0/20 clips, 2 workers, 1 model waits for a worker that "
               "can read the data");
    facts.stranded = 3;
    CHECK_HAS(line(facts, 0, 60), ", 3 models wait for a worker that can read the data");
}

// A training begun anew takes its epochs back.
TEST(a_count_that_fell_below_its_start_makes_no_nonsense) {
    CHECK_TEXT(line(facts_of("train", 3, 100), 10, 5), "train    3/100 clips, 2 workers");
}

TEST(a_count_beyond_its_total_is_done) {
    CHECK_TEXT(line(facts_of("score", 12, 10), 0, 5),
               "score    12/10 clips, done in 5 s, 2 workers");
}

TEST(a_stage_of_nothing_is_no_nonsense) {
    CHECK_TEXT(line(facts_of("score", 0, 0), 0, 5), "score    0/0 clips, 2 workers");
    CHECK_TEXT(line(facts_of("score", 5, 0), 0, 5), "score    5/0 clips, done in 5 s, 2 workers");
}

TEST(the_largest_figures_fit) {
    ProgressFacts facts = facts_of("extract", UINT64_MAX - 1, UINT64_MAX);
    facts.loss = -1e308;
    facts.workers = UINT32_MAX;
    facts.stranded = UINT64_MAX;
    char text[256];
    progress_format(&facts, 0, 1e-9, text, sizeof text);
    CHECK_HAS(text, "18446744073709551614/18446744073709551615");
    char small[16];
    progress_format(&facts, 0, 1, small, sizeof small);
    CHECK_INT(strlen(small), sizeof small - 1);
}

// On a pipe: a line when a stage ends, and one every few seconds.
TEST(plain_output_has_a_line_for_each_stage) {
    char name[] = "/tmp/auscult-progress-XXXXXX";
    int file = mkstemp(name);
    CHECK(file >= 0);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    Progress *progress = progress_new(false);
    int64_t now_ms = 1000;
    ProgressFacts facts = facts_of("extract", 0, 1000);
    for (int i = 0; i <= 100; i++, now_ms += 100) {
        facts.done = (uint64_t)i * 10;
        progress_tick(progress, &facts, now_ms);
    }
    facts = facts_of(NULL, 0, 0);
    progress_tick(progress, &facts, now_ms);
    progress_tick(progress, &facts, now_ms + 100);
    progress_free(progress);
    progress = progress_new(true);
    facts = facts_of("quiet", 1, 2);
    progress_tick(progress, &facts, now_ms);
    progress_tick(progress, &facts, now_ms + 60000);
    progress_free(progress);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    char text[2048] = "";
    CHECK(pread(file, text, sizeof text - 1, 0) > 0);
    close(file);
    unlink(name);
    int lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    CHECK_INT(lines, 3); // after 1 and 6 s, and at the end
    CHECK_HAS(text, "extract  1000/1000 clips, done in 10 s, 2 workers\n");
    CHECK(strstr(text, "quiet") == NULL && strchr(text, '\r') == NULL);
}

TEST_MAIN_LIST(
    T(a_line_tells_count_rate_time_left_and_workers) T(before_anything_is_done_there_is_no_rate)
        T(a_finished_stage_tells_how_long_it_took) T(models_that_wait_for_a_worker_are_told_of)
            T(a_count_that_fell_below_its_start_makes_no_nonsense)
                T(a_count_beyond_its_total_is_done) T(a_stage_of_nothing_is_no_nonsense)
                    T(the_largest_figures_fit) T(plain_output_has_a_line_for_each_stage))
