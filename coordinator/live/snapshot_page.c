// SPDX-License-Identifier: Apache-2.0
//
// The live page. Without script it loads itself anew every few seconds; with its own small script
// it replaces its contents, so that what is unfolded stays so, and says when nobody answers.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "coordinator/live/markup.h"
#include "coordinator/live/snapshot.h"
#include "coordinator/live/words.h"

static const char SCRIPT[] =
    "'use strict';\n"
    "// Puts the page's newest contents in place of the old ones.\n"
    "(() => {\n"
    "  const PAUSE_MS = 2000;\n"
    "  const say = (text) => {\n"
    "    let line = document.getElementById('lost');\n"
    "    if (!line) {\n"
    "      line = document.createElement('p');\n"
    "      line.id = 'lost';\n"
    "      line.setAttribute('role', 'status');\n"
    "      document.querySelector('main').prepend(line);\n"
    "    }\n"
    "    line.textContent = text;\n"
    "  };\n"
    "  const isOver = () => document.querySelector('main > header').dataset.state !== 'running';\n"
    "  const show = (text) => {\n"
    "    const fresh = new DOMParser().parseFromString(text, 'text/html').querySelector('main');\n"
    "    const open = [...document.querySelectorAll('details[open]')].map((one) => one.id);\n"
    "    const log = document.querySelector('pre');\n"
    "    const left = log ? log.scrollLeft : 0;\n"
    "    document.querySelector('main').replaceWith(fresh);\n"
    "    for (const id of open) {\n"
    "      const one = document.getElementById(id);\n"
    "      if (one) { one.open = true; }\n"
    "    }\n"
    "    const now = document.querySelector('pre');\n"
    "    if (now) { now.scrollLeft = left; }\n"
    "  };\n"
    "  const turn = async () => {\n"
    "    try {\n"
    "      const answer = await fetch('/', { cache: 'no-store' });\n"
    "      if (answer.ok) { show(await answer.text()); }\n"
    "    } catch (error) {\n"
    "      say('The coordinator no longer answers: the run has ended or was stopped. '\n"
    "        + 'What follows is the last that was heard; auscult status tells how it ended.');\n"
    "    }\n"
    "    if (!isOver()) { setTimeout(turn, PAUSE_MS); }\n"
    "  };\n"
    "  if (!isOver()) { setTimeout(turn, PAUSE_MS); }\n"
    "})();\n";

void snapshot_script(Buffer *out) {
    buffer_text(out, SCRIPT);
}

// ---- small pieces ----

static void cell(const char *class_name, const char *text, Buffer *out) {
    buffer_format(out, "<td class=\"%s\">", class_name);
    markup_text(text, out);
    buffer_text(out, "</td>");
}

static void number_cell(uint64_t number, Buffer *out) {
    buffer_format(out, "<td class=\"number\">%llu</td>", (unsigned long long)number);
}

static void loss_cell(double loss, Buffer *out) {
    buffer_text(out, "<td class=\"number\">");
    if (isnan(loss)) {
        buffer_text(out, "&ndash;");
    } else {
        buffer_format(out, "%.4g", loss);
    }
    buffer_text(out, "</td>");
}

static void time_cell(double seconds, Buffer *out) {
    char time[WORDS_BYTES];
    words_short_time(time, seconds);
    cell("number", time, out);
}

static void count_card(uint64_t count, const char *name, const char *tone, Buffer *out) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    markup_card(text, name, count > 0 ? tone : "", out);
}

// ---- parts ----

static const char *state_tone(RunState state) {
    static const char *const TONES[] = {"good", "warn", "bad", "good"};
    return TONES[state];
}

static const char *run_name(const char *run, char out[LIMIT_NAME_BYTES]) {
    char path[LIMIT_PATH_BYTES];
    snprintf(path, sizeof path, "%s", run);
    for (size_t size = strlen(path); size > 1 && path[size - 1] == '/'; size--) {
        path[size - 1] = '\0';
    }
    snapshot_text(out, LIMIT_NAME_BYTES, file_name(path));
    return out;
}

static void write_header(const Snapshot *s, const char *name, Buffer *out) {
    char time[WORDS_BYTES], left[WORDS_BYTES];
    buffer_format(out, "<header data-state=\"%s\">\n<h1>", run_state_text(s->state));
    markup_text(name, out);
    buffer_format(out, " <span class=\"badge %s\">%s</span></h1>\n<p class=\"soft\">",
                  state_tone(s->state), run_state_text(s->state));
    words_time(time, (double)(s->written_ms - s->began_ms) / 1e3);
    words_time(left, s->seconds_left);
    if (s->state == RUN_RUNNING && s->stage == AT_REPORT) {
        buffer_text(out, "writing the results");
    } else if (s->state == RUN_RUNNING) {
        buffer_format(out, "stage <b>%s</b>", run_stage_text(s->stage));
        buffer_format(out, left[0] != '\0' ? ", <b>%s</b> left in it" : "%s", left);
    } else {
        buffer_text(out, "over");
    }
    buffer_format(out, " &middot; %s since it was %s at ", time,
                  s->incarnation > 1 ? "continued" : "begun");
    markup_text(s->host, out);
    buffer_format(out, ", process %llu</p>\n</header>\n", (unsigned long long)s->process);
}

static void write_stage(const SnapshotStage *stage, Buffer *out) {
    char rate[WORDS_BYTES], left[WORDS_BYTES], label[64];
    double share = stage->total > 0 ? (double)stage->done / (double)stage->total : 0;
    words_rate(rate, stage->per_second);
    words_time(left, stage->seconds_left);
    buffer_format(out, "<div class=\"stage\"><p><span><b>%s</b> %llu of %llu</span>", stage->text,
                  (unsigned long long)stage->done, (unsigned long long)stage->total);
    buffer_format(out, "<span class=\"soft\">%s%s%s%s</span></p>\n", rate,
                  left[0] != '\0' ? ", " : "", left, left[0] != '\0' ? " left" : "");
    snprintf(label, sizeof label, "%s: %.0f per cent", stage->name, 100 * share);
    markup_bar(share, label, out);
    buffer_text(out, "</div>\n");
}

static void write_stages(const Snapshot *s, Buffer *out) {
    markup_section("stages", "Stages", out);
    for (int i = 0; i < SNAPSHOT_STAGES; i++) {
        if (snapshot_has_stage(s, (RunStage)i)) {
            SnapshotStage stage = snapshot_stage(s, (RunStage)i);
            write_stage(&stage, out);
        }
    }
    markup_section_end(out);
}

static void write_cards(const Snapshot *s, Buffer *out) {
    char text[64];
    markup_section("figures", "At a glance", out);
    buffer_text(out, "<div class=\"cards\">\n");
    snprintf(text, sizeof text, "%llu", (unsigned long long)s->workers);
    markup_card(text, "workers",
                s->workers == 0 && s->state == RUN_RUNNING && s->stage != AT_REPORT ? "warn" : "",
                out);
    count_card(s->workers_idle, "of them idle", "", out);
    if (s->models > 0) {
        snprintf(text, sizeof text, "%llu of %llu", (unsigned long long)s->models_done,
                 (unsigned long long)s->models);
        markup_card(text, "models done", "", out);
    }
    if (!isnan(s->loss)) {
        snprintf(text, sizeof text, "%.4g", s->loss);
        markup_card(text, "last loss", "", out);
    }
    count_card(s->tasks_waiting, "tasks waiting", "", out);
    count_card(s->tasks_held, "tasks given out", "", out);
    count_card(s->models_stranded, "models stranded", "warn", out);
    count_card(s->retries, "retries", "warn", out);
    count_card(s->poison, "poison tasks", "bad", out);
    count_card(s->clips_left_out, "clips left out", "warn", out);
    count_card(s->models_failed, "models failed", "bad", out);
    count_card(s->alarms, "alarms", "bad", out);
    buffer_text(out, "</div>\n");
    markup_section_end(out);
}

static void write_model(const SnapshotModel *model, Buffer *out) {
    char label[64];
    bool is_bad = strcmp(model->state, "failed") == 0;
    buffer_text(out, "<tr>");
    cell("", model->label, out);
    cell(is_bad ? "bad" : "", model->state, out);
    loss_cell(model->loss, out);
    buffer_format(out, "<td class=\"number\">%llu of %llu</td><td>",
                  (unsigned long long)model->epochs_trained, (unsigned long long)model->epochs);
    double share = model->epochs > 0 ? (double)model->epochs_trained / (double)model->epochs : 0;
    snprintf(label, sizeof label, "%.0f per cent", 100 * share);
    markup_bar(share, label, out);
    buffer_text(out, "</td>");
    number_cell(model->workers, out);
    buffer_text(out, "</tr>\n");
}

static bool is_at_rest(const SnapshotModel *model) {
    return strcmp(model->state, "done") == 0 || strcmp(model->state, "waiting") == 0;
}

static uint64_t count_models(const Snapshot *s, bool at_rest) {
    uint64_t count = 0;
    for (uint64_t m = 0; m < s->model_count; m++) {
        count += is_at_rest(&s->model_list[m]) == at_rest;
    }
    return count;
}

static void write_model_table(const Snapshot *s, bool at_rest, Buffer *out) {
    static const char *const COLUMNS[] = {"model", "state", "#loss", "#epochs", "", "#workers"};
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (uint64_t m = 0; m < s->model_count; m++) {
        if (is_at_rest(&s->model_list[m]) == at_rest) {
            write_model(&s->model_list[m], out);
        }
    }
    markup_table_end(out);
}

// Those at work or in trouble first; the others are folded away.
static void write_models(const Snapshot *s, Buffer *out) {
    uint64_t active = count_models(s, false), at_rest = count_models(s, true);
    markup_section("models", "Models", out);
    if (active > 0) {
        write_model_table(s, false, out);
    } else {
        buffer_text(out, "<p class=\"soft\">None is at work.</p>\n");
    }
    if (at_rest > 0) {
        buffer_format(out,
                      "<details id=\"resting\"><summary>%llu that wait or are done</summary>\n",
                      (unsigned long long)at_rest);
        write_model_table(s, true, out);
        buffer_text(out, "</details>\n");
    }
    if (s->model_count < s->models) {
        buffer_format(out, "<p class=\"soft\">and %llu more</p>\n",
                      (unsigned long long)(s->models - s->model_count));
    }
    markup_section_end(out);
}

static void write_worker(const SnapshotWorker *worker, Buffer *out) {
    char label[64];
    buffer_text(out, "<tr>");
    cell("", worker->name, out);
    cell(strcmp(worker->state, "quiet") == 0 ? "warn" : "", worker->state, out);
    loss_cell(worker->loss, out);
    time_cell(worker->silent_seconds, out);
    buffer_text(out, "<td>");
    snprintf(label, sizeof label, "busy %.0f per cent of the time", 100 * worker->busy_share);
    markup_bar(worker->busy_share, label, out);
    buffer_text(out, "</td>");
    cell("text", worker->work, out);
    number_cell(worker->leases, out);
    number_cell(worker->tasks_done, out);
    time_cell(worker->here_seconds, out);
    buffer_text(out, "</tr>\n");
}

static void write_workers(const Snapshot *s, Buffer *out) {
    static const char *const COLUMNS[] = {"worker", "state",  "#loss",    "#heard ago", "busy",
                                          "at",     "#tasks", "#answers", "#here for"};
    markup_section("workers", "Workers", out);
    if (s->worker_count > 0) {
        markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
        for (uint64_t w = 0; w < s->worker_count; w++) {
            write_worker(&s->worker_list[w], out);
        }
        markup_table_end(out);
    } else {
        buffer_text(out, "<p class=\"soft\">Nobody is connected.</p>\n");
    }
    markup_section_end(out);
}

static void write_log(const char *tail, Buffer *out) {
    markup_section("log", "Log", out);
    buffer_text(out, "<pre tabindex=\"0\">");
    markup_text(tail[0] != '\0' ? tail : "nothing yet\n", out);
    buffer_text(out, "</pre>\n");
    markup_section_end(out);
}

void snapshot_page(const Snapshot *snapshot, const char *run, const char *tail, Buffer *out) {
    char name[LIMIT_NAME_BYTES], title[LIMIT_NAME_BYTES + 32];
    snprintf(title, sizeof title, "%s: %s", run_name(run, name), run_state_text(snapshot->state));
    markup_begin(title,
                 snapshot->state == RUN_RUNNING
                     ? "<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>\n"
                       "<script src=\"/live.js\" defer></script>\n"
                     : "",
                 out);
    write_header(snapshot, name, out);
    write_stages(snapshot, out);
    write_cards(snapshot, out);
    write_models(snapshot, out);
    write_workers(snapshot, out);
    write_log(tail, out);
    buffer_text(out, "<p class=\"soft\">Also: <a href=\"/status.json\">status.json</a>, "
                     "<a href=\"/metrics\">metrics</a> for Prometheus, "
                     "<a href=\"/healthz\">healthz</a></p>\n");
    markup_end(out);
}
