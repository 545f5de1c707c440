// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/file.h"
#include "coordinator/live/markup.h"
#include "coordinator/live/story.h"
#include "coordinator/live/words.h"

enum {
    CHART_WIDTH = 900, // user units, which scale with the page
    CHART_LEFT = 190,  // for names
    CHART_RIGHT = 10,
    ROW_HEIGHT = 18,
    CHART_ROWS = 64, // workers drawn; the table has all
    NAME_CHARS = 28,
    TICKS = 4,
};

// ---- small pieces ----

static void cell(const char *class_name, const char *text, Buffer *out) {
    buffer_format(out, "<td class=\"%s\">", class_name);
    markup_text(text, out);
    buffer_text(out, "</td>");
}

static void number_cell(uint64_t number, Buffer *out) {
    buffer_format(out, "<td class=\"number\">%llu</td>", (unsigned long long)number);
}

static void time_cell(double seconds, Buffer *out) {
    char time[WORDS_BYTES];
    words_short_time(time, seconds);
    cell("number", time, out);
}

static void rate_cell(double count, double seconds, Buffer *out) {
    char rate[WORDS_BYTES];
    words_rate(rate, seconds > 0 ? count / seconds : 0);
    cell("number", rate[0] != '\0' ? rate : "–", out);
}

static void moment_text(uint64_t ms, char out[WORDS_BYTES]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    out[0] = '\0';
    if (gmtime_r(&seconds, &utc) != NULL) {
        strftime(out, WORDS_BYTES, "%Y-%m-%d %H:%M:%S", &utc);
    }
}

static void moment_cell(uint64_t ms, Buffer *out) {
    char text[WORDS_BYTES];
    moment_text(ms, text);
    cell("", text, out);
}

static double seconds_of(const StoryIncarnation *one) {
    return one->ended_ms > one->began_ms ? (double)(one->ended_ms - one->began_ms) / 1e3 : 0;
}

// ---- what it comes to ----

typedef struct Totals {
    double seconds, here_seconds, busy_seconds;
    uint64_t workers, tasks_done, retries, poison, alarms;
    uint64_t done[SNAPSHOT_STAGES];
    double stages[SNAPSHOT_STAGES + 1], busy[SNAPSHOT_STAGES];
} Totals;

static void add_stages(const StoryIncarnation *one, Totals *totals) {
    const uint64_t done[SNAPSHOT_STAGES] = {one->clips_read, one->clips_explored,
                                            one->epochs_trained, one->clips_scored,
                                            one->pictures_made};
    const double stages[SNAPSHOT_STAGES + 1] = {one->extract_seconds,  one->explore_seconds,
                                                one->train_seconds,    one->score_seconds,
                                                one->pictures_seconds, one->report_seconds};
    const double busy[SNAPSHOT_STAGES] = {one->read_busy_seconds, one->explore_busy_seconds,
                                          one->train_busy_seconds, one->score_busy_seconds,
                                          one->pictures_busy_seconds};
    for (int s = 0; s < SNAPSHOT_STAGES; s++) {
        totals->done[s] += done[s];
        totals->busy[s] += busy[s];
    }
    for (int s = 0; s <= SNAPSHOT_STAGES; s++) {
        totals->stages[s] += stages[s];
    }
}

static Totals add_up(const Story *story) {
    uint32_t incarnations, workers;
    const StoryIncarnation *one = story_incarnations(story, &incarnations);
    const StoryWorker *worker = story_workers(story, &workers);
    const StoryWorker *others = story_others(story);
    Totals totals = {.here_seconds = others->here_seconds,
                     .busy_seconds = others->busy_seconds,
                     .workers = workers + others->sessions};
    for (uint32_t i = 0; i < incarnations; i++, one++) {
        totals.seconds += seconds_of(one);
        totals.tasks_done += one->tasks_done;
        totals.retries += one->retries;
        totals.poison += one->poison;
        totals.alarms = one->alarms > totals.alarms ? one->alarms : totals.alarms;
        add_stages(one, &totals);
    }
    for (uint32_t w = 0; w < workers; w++, worker++) {
        totals.here_seconds += worker->here_seconds;
        totals.busy_seconds += worker->busy_seconds;
    }
    return totals;
}

static void count_card(uint64_t count, const char *name, const char *tone, Buffer *out) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    markup_card(text, name, count > 0 ? tone : "", out);
}

static void write_cards(const Totals *totals, uint32_t incarnations, Buffer *out) {
    char text[WORDS_BYTES];
    buffer_text(out, "<div class=\"cards\">\n");
    words_short_time(text, totals->seconds);
    markup_card(text, "under work", "", out);
    count_card(incarnations, incarnations == 1 ? "start" : "starts", "", out);
    count_card(totals->workers, "workers", "", out);
    if (totals->here_seconds > 0) {
        snprintf(text, sizeof text, "%.0f %%", 100 * totals->busy_seconds / totals->here_seconds);
        markup_card(text, "of their time busy", "", out);
    }
    count_card(totals->tasks_done, "tasks done", "", out);
    count_card(totals->retries, "retries", "warn", out);
    count_card(totals->poison, "poison tasks", "bad", out);
    count_card(totals->alarms, "alarms", "bad", out);
    buffer_text(out, "</div>\n");
}

static void write_stages(const Totals *totals, Buffer *out) {
    static const char *const COLUMNS[] = {"stage", "#time",        "",
                                          "#done", "#worker time", "#per worker"};
    static const char *const UNITS[SNAPSHOT_STAGES] = {"clips", "clips", "epochs", "clips",
                                                       "pictures"};
    markup_section("stages", "Time per stage", out);
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (int s = AT_EXTRACT; s <= AT_REPORT; s++) {
        bool has_any = totals->stages[s] > 0 || (s < SNAPSHOT_STAGES && totals->done[s] > 0);
        double share = totals->seconds > 0 ? totals->stages[s] / totals->seconds : 0;
        char label[64], text[64];
        if (!has_any) {
            continue;
        }
        buffer_text(out, "<tr>");
        cell("", run_stage_text((RunStage)s), out);
        time_cell(totals->stages[s], out);
        snprintf(label, sizeof label, "%.0f per cent of the time", 100 * share);
        buffer_text(out, "<td>");
        markup_bar(share, label, out);
        buffer_text(out, "</td>");
        if (s == AT_REPORT) {
            buffer_text(out, "<td></td><td></td><td></td></tr>\n");
            continue;
        }
        snprintf(text, sizeof text, "%llu %s", (unsigned long long)totals->done[s], UNITS[s]);
        cell("number", text, out);
        time_cell(totals->busy[s], out);
        rate_cell((double)totals->done[s], totals->busy[s], out);
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
    buffer_text(out, "<p class=\"soft\">The time of a stage is that in which it was the first one "
                     "not done; tasks of the next may be under way beside it. Worker time is that "
                     "of all workers for a stage's tasks, whenever they did them.</p>\n");
    markup_section_end(out);
}

// ---- who was there when ----

typedef struct Scale {
    uint64_t from_ms, to_ms; // since 1970
} Scale;

static Scale scale_of(const StoryIncarnation *one) {
    uint64_t to_ms = one->ended_ms > one->began_ms ? one->ended_ms : one->began_ms + 1;
    return (Scale){one->began_ms, to_ms};
}

static double x_of(const Scale *scale, uint64_t ms) {
    uint64_t from = ms < scale->from_ms ? scale->from_ms : ms > scale->to_ms ? scale->to_ms : ms;
    return CHART_LEFT + (CHART_WIDTH - CHART_LEFT - CHART_RIGHT) * (double)(from - scale->from_ms) /
                            (double)(scale->to_ms - scale->from_ms);
}

static void draw_worker(const StoryWorker *worker, const Scale *scale, int row, Buffer *out) {
    char name[NAME_CHARS + 1];
    double left = x_of(scale, worker->joined_ms);
    double right = x_of(scale, worker->left_ms != 0 ? worker->left_ms : scale->to_ms);
    double width = fmax(right - left, 2);
    double share = worker->here_seconds > 0 ? worker->busy_seconds / worker->here_seconds : 0;
    int top = row * ROW_HEIGHT;
    snapshot_text(name, sizeof name, worker->name);
    buffer_format(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", CHART_LEFT - 8, top + 13);
    markup_text(name, out);
    buffer_format(out,
                  "</text><rect class=\"here\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>",
                  left, top + 3, width, ROW_HEIGHT - 6);
    // The busy share as the filled part of the bar's height, since it is spread over its time.
    double height = (ROW_HEIGHT - 6) * fmin(share, 1);
    buffer_format(out,
                  "<rect class=\"busy\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                  left, top + ROW_HEIGHT - 3 - height, width, height);
}

static void draw_axis(const Scale *scale, int rows, Buffer *out) {
    int bottom = rows * ROW_HEIGHT + 2;
    for (int i = 0; i <= TICKS; i++) {
        uint64_t ms = scale->from_ms + (scale->to_ms - scale->from_ms) * (uint64_t)i / TICKS;
        char time[WORDS_BYTES];
        words_short_time(time, (double)(ms - scale->from_ms) / 1e3);
        buffer_format(out,
                      "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>"
                      "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n",
                      x_of(scale, ms), x_of(scale, ms), bottom, x_of(scale, ms), bottom + 14,
                      i == 0       ? "start"
                      : i == TICKS ? "end"
                                   : "middle",
                      time);
    }
}

static void draw_incarnation(const Story *story, const StoryIncarnation *one, Buffer *out) {
    uint32_t count;
    const StoryWorker *workers = story_workers(story, &count);
    Scale scale = scale_of(one);
    Buffer rows = BUFFER_EMPTY;
    int drawn = 0, more = 0;
    for (uint32_t w = 0; w < count; w++) {
        if (workers[w].incarnation != one->number) {
            continue;
        }
        if (drawn < CHART_ROWS) {
            draw_worker(&workers[w], &scale, drawn++, &rows);
        } else {
            more++;
        }
    }
    if (drawn > 0) {
        buffer_format(out,
                      "<p class=\"soft\">Start %llu%s</p>\n<div class=\"wide\">"
                      "<svg viewBox=\"0 0 %d %d\" style=\"min-width:48rem\" role=\"img\" "
                      "aria-label=\"Workers over time\">\n",
                      (unsigned long long)one->number, more > 0 ? ", its first workers" : "",
                      CHART_WIDTH, drawn * ROW_HEIGHT + 20);
        draw_axis(&scale, drawn, out);
        buffer_append(out, buffer_cstr(&rows), rows.size);
        buffer_text(out, "</svg></div>\n");
    }
    buffer_done(&rows);
}

static void write_chart(const Story *story, Buffer *out) {
    enum { INCARNATIONS_DRAWN = 8 };
    uint32_t count;
    const StoryIncarnation *all = story_incarnations(story, &count);
    markup_section("presence", "Workers over time", out);
    buffer_text(out,
                "<p class=\"soft\">A bar spans the time from joining to leaving; the dark part "
                "of its height is the share of that time with something to do.</p>\n");
    for (uint32_t i = count > INCARNATIONS_DRAWN ? count - INCARNATIONS_DRAWN : 0; i < count; i++) {
        draw_incarnation(story, &all[i], out);
    }
    markup_section_end(out);
}

// ---- the tables ----

static void write_incarnations(const Story *story, Buffer *out) {
    static const char *const COLUMNS[] = {
        "#no",      "began (UTC)", "#time",   "ended",   "host",      "#workers",
        "#tasks",   "#clips read", "#epochs", "#scored", "#retries",  "#poison",
        "#extract", "#explore",    "#train",  "#score",  "#pictures", "#report"};
    uint32_t count;
    const StoryIncarnation *one = story_incarnations(story, &count);
    markup_section("incarnations", "Starts of the coordinator", out);
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (uint32_t i = 0; i < count; i++, one++) {
        bool is_bad = strcmp(one->state, "killed") == 0 || strcmp(one->state, "failed") == 0;
        buffer_text(out, "<tr>");
        number_cell(one->number, out);
        moment_cell(one->began_ms, out);
        time_cell(seconds_of(one), out);
        cell(is_bad ? "bad" : "", one->state, out);
        cell("", one->host, out);
        number_cell(one->workers_most, out);
        number_cell(one->tasks_done, out);
        number_cell(one->clips_read, out);
        number_cell(one->epochs_trained, out);
        number_cell(one->clips_scored, out);
        number_cell(one->retries, out);
        number_cell(one->poison, out);
        time_cell(one->extract_seconds, out);
        time_cell(one->explore_seconds, out);
        time_cell(one->train_seconds, out);
        time_cell(one->score_seconds, out);
        time_cell(one->pictures_seconds, out);
        time_cell(one->report_seconds, out);
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
    markup_section_end(out);
}

static void write_worker(const StoryWorker *worker, Buffer *out) {
    char text[32];
    double share = worker->here_seconds > 0 ? worker->busy_seconds / worker->here_seconds : 0;
    buffer_text(out, "<tr>");
    cell("", worker->name, out);
    number_cell(worker->incarnation, out);
    moment_cell(worker->joined_ms, out);
    time_cell(worker->here_seconds, out);
    snprintf(text, sizeof text, "%.0f %%", 100 * fmin(share, 1));
    cell("number", text, out);
    number_cell(worker->tasks_done, out);
    number_cell(worker->sessions, out);
    cell("text", worker->why, out);
    buffer_text(out, "</tr>\n");
}

static void write_workers(const Story *story, Buffer *out) {
    static const char *const COLUMNS[] = {"worker", "#start",   "joined (UTC)", "#here for",
                                          "#busy",  "#answers", "#sessions",    "left"};
    uint32_t count;
    const StoryWorker *workers = story_workers(story, &count);
    markup_section("workers", "Workers", out);
    if (count == 0) {
        buffer_text(out, "<p class=\"soft\">Nobody was needed.</p>\n");
        markup_section_end(out);
        return;
    }
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (uint32_t w = 0; w < count; w++) {
        write_worker(&workers[w], out);
    }
    markup_table_end(out);
    if (story_others(story)->sessions > 0) {
        buffer_format(out, "<p class=\"soft\">and %llu earlier ones, with %llu answers</p>\n",
                      (unsigned long long)story_others(story)->sessions,
                      (unsigned long long)story_others(story)->tasks_done);
    }
    markup_section_end(out);
}

void story_page(const Story *story, const char *run, Buffer *out) {
    char path[LIMIT_PATH_BYTES], name[LIMIT_NAME_BYTES], title[LIMIT_NAME_BYTES + 64];
    uint32_t incarnations;
    const StoryIncarnation *all = story_incarnations(story, &incarnations);
    Totals totals = add_up(story);
    snprintf(path, sizeof path, "%s", run);
    for (size_t size = strlen(path); size > 1 && path[size - 1] == '/'; size--) {
        path[size - 1] = '\0';
    }
    snapshot_text(name, sizeof name, file_name(path));
    snprintf(title, sizeof title, "%s: the cluster's story", name);
    markup_begin(title, "", out);
    buffer_text(out, "<header><h1>");
    markup_text(name, out);
    buffer_format(out, " <span class=\"badge\">%s</span></h1>\n", all[incarnations - 1].state);
    buffer_text(out, "<p class=\"soft\">Who worked on this run, when and how fast. None of this "
                     "has any part in the results.</p></header>\n");
    markup_section("figures", "At a glance", out);
    write_cards(&totals, incarnations, out);
    markup_section_end(out);
    write_stages(&totals, out);
    write_chart(story, out);
    write_incarnations(story, out);
    write_workers(story, out);
    markup_end(out);
}
