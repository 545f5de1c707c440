// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/report_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/markup.h"
#include "coordinator/outputs/left_out.h"
#include "coordinator/pages/charts.h"
#include "coordinator/pages/pictures.h"

enum {
    HISTORY_BYTES = 64 << 20,
    CONFIG_BYTES = 1 << 20,
    LEFT_OUT_SHOWN = 200,
    EXTREMES_SHOWN = 5, // highest and lowest scores of a machine
    CURVES_MOST = 8,    // models of a machine whose training is drawn
};

// A machine of the report and its pictures.
typedef struct Part {
    const MachineRow *row;
    const ScoredClip **clips; // (count) its own
    size_t count;
    char folder[LIMIT_NAME_BYTES + 16]; // below outputs/figures
    uint32_t scores, roc, losses[CURVES_MOST];
    const char *labels[CURVES_MOST]; // of the models
    size_t curves;
    ReportClips heard;
} Part;

// ---- numbers ----

static void number_cell(double value, Buffer *out) {
    if (isnan(value)) {
        buffer_text(out, "<td class=\"number\">–</td>");
        return;
    }
    buffer_text(out, "<td class=\"number\" data-value=\"");
    buffer_number(out, value);
    buffer_format(out, "\">%.4f</td>", value);
}

static void count_cell(size_t count, Buffer *out) {
    buffer_format(out, "<td class=\"number\">%zu</td>", count);
}

static void text_cell(const char *class_name, const char *text, Buffer *out) {
    buffer_format(out, "<td class=\"%s\">", class_name);
    markup_text(text, out);
    buffer_text(out, "</td>");
}

// ---- parts ----

static bool is_of(const ScoredClip *clip, const char *machine, const char *set) {
    return strcmp(clip->machine, machine) == 0 && strcmp(clip->set, set) == 0;
}

// A report's row names machine and set in one text; its clips tell which they are.
static const ScoredClip *first_of(const ReportPage *page, const MachineRow *row) {
    char label[MACHINE_REPORT_LABEL_BYTES];
    for (size_t i = 0; i < page->clip_count; i++) {
        const ScoredClip *clip = &page->clips[i];
        bool is_set = row->set == NULL || strcmp(clip->set, row->set) == 0;
        snprintf(label, sizeof label, "%s (%s)", clip->machine, clip->set);
        if (is_set && (strcmp(row->label, clip->machine) == 0 || strcmp(row->label, label) == 0)) {
            return clip;
        }
    }
    return NULL;
}

static Status find_history(const ReportPage *page, const char *label, Buffer *out) {
    char path[LIMIT_PATH_BYTES], name[2 * LIMIT_NAME_BYTES + 32];
    snprintf(name, sizeof name, "logs/history_%s.csv", label);
    Status status = file_join(path, sizeof path, page->run_folder, name);
    return status == STATUS_OK ? file_read(path, HISTORY_BYTES, out) : status;
}

static void draw_losses(const ReportPage *page, const ScoredClip *one, PlotSet *set, Part *part) {
    for (size_t m = 0; m < page->model_count && part->curves < CURVES_MOST; m++) {
        const ReportModel *model = &page->models[m];
        Buffer history = BUFFER_EMPTY;
        if (is_of(one, model->machine, model->set) &&
            find_history(page, model->label, &history) == STATUS_OK) {
            part->labels[part->curves] = model->label;
            part->losses[part->curves++] = chart_losses(set, &history);
        }
        buffer_done(&history);
    }
}

static Status make_part(const ReportPage *page, const MachineRow *row, PlotSet *set, Part *part) {
    *part = (Part){.row = row, .scores = PLOT_NONE, .roc = PLOT_NONE};
    const ScoredClip *one = first_of(page, row);
    if (one == NULL) {
        return STATUS_OK;
    }
    part->clips = mem_new(page->clip_count, sizeof *part->clips);
    if (part->clips == NULL) {
        return STATUS_MEMORY;
    }
    for (size_t i = 0; i < page->clip_count; i++) {
        if (is_of(&page->clips[i], one->machine, one->set)) {
            part->clips[part->count++] = &page->clips[i];
        }
    }
    snprintf(part->folder, sizeof part->folder, "%s%s%s", one->machine,
             strcmp(row->label, one->machine) != 0 ? "." : "",
             strcmp(row->label, one->machine) != 0 ? one->set : "");
    ChartClips of = {part->clips, part->count};
    draw_losses(page, one, set, part);
    part->scores = chart_scores(set, &of);
    part->roc = chart_roc(set, &of, page->max_fpr);
    return report_clips_draw(&page->portraits, one->machine, one->set, set, &part->heard);
}

// ---- the head ----

static void card(double value, const char *name, Buffer *out) {
    char figure[32];
    snprintf(figure, sizeof figure, "%.4f", value);
    if (!isnan(value)) {
        markup_card(figure, name, "", out);
    }
}

static void count_card(size_t count, const char *name, const char *tone, Buffer *out) {
    char figure[32];
    snprintf(figure, sizeof figure, "%zu", count);
    markup_card(figure, name, tone, out);
}

static void write_cards(const ReportPage *page, Buffer *out) {
    const MachineReport *report = page->report;
    const MachineRow *whole = &report->rows[report->machines + report->totals - 1];
    size_t anomalies = 0, left_out = 0;
    for (size_t i = 0; i < page->clip_count; i++) {
        const ScoredClip *clip = &page->clips[i];
        anomalies += clip->is_test && scored_clip_has_score(clip) && clip->is_anomaly;
        left_out += left_out_reason(clip) != NULL;
    }
    buffer_text(out, "<div class=\"cards\">\n");
    if (isnan(whole->metrics[REPORT_AUC_SOURCE])) {
        card(whole->metrics[REPORT_AUC], "AUC", out);
    } else {
        card(whole->metrics[REPORT_AUC_SOURCE], "AUC, source", out);
        card(whole->metrics[REPORT_AUC_TARGET], "AUC, target", out);
    }
    card(whole->metrics[REPORT_PAUC], "pAUC", out);
    count_card(report->machines, report->machines == 1 ? "machine" : "machines", "", out);
    count_card(whole->clips_scored, "test clips scored", "", out);
    count_card(anomalies, "decided anomalous", "", out);
    count_card(left_out, "clips left out", left_out > 0 ? "warn" : "", out);
    buffer_text(out, "</div>\n<p class=\"soft\">Metrics are harmonic means over the machines with "
                     "labelled test clips.</p>\n");
}

static void write_links(const ReportPage *page, Buffer *out) {
    buffer_text(out, "<nav><a href=\"#results\">Results</a>");
    for (size_t m = 0; m < page->report->machines; m++) {
        buffer_format(out, "<a href=\"#m%zu\">", m + 1);
        markup_text(page->report->rows[m].label, out);
        buffer_text(out, "</a>");
    }
    buffer_text(out,
                "<a href=\"#left-out\">Left out</a><a href=\"#settings\">Settings</a></nav>\n");
}

// ---- tables ----

static void write_results(const ReportPage *page, Buffer *out) {
    static const char *const COLUMNS[] = {
        "machine", "#clips",      "#mean error", "#std error", "#anomaly rate, %", "#score global",
        "#AUC",    "#AUC source", "#AUC target", "#pAUC",      "#F1 source",       "#F1 target"};
    const MachineReport *report = page->report;
    markup_section("results", "Results by machine", out);
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (size_t r = 0; r < report->machines + report->totals; r++) {
        const MachineRow *row = &report->rows[r];
        buffer_text(out, "<tr>");
        text_cell("", row->label, out);
        count_cell(row->clips_scored, out);
        number_cell(row->mean_error, out);
        number_cell(row->std_error, out);
        number_cell(row->anomaly_rate, out);
        number_cell(row->score_global, out);
        for (int m = 0; m < REPORT_METRICS; m++) {
            number_cell(row->metrics[m], out);
        }
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
    buffer_text(out, "<p class=\"soft\">As in report_by_machine.csv, rounded. score global: half "
                     "the mean error over the largest of all machines, half the anomaly "
                     "rate.</p>\n");
    for (size_t n = 0; n < page->note_count; n++) {
        buffer_text(out, "<p class=\"warn\">");
        markup_text(page->notes[n], out);
        buffer_text(out, "</p>\n");
    }
    markup_section_end(out);
}

static void write_systems(const ReportPage *page, Buffer *out) {
    static const char *const COLUMNS[] = {"system",      "#seed", "#AUC",       "#AUC source",
                                          "#AUC target", "#pAUC", "#F1 source", "#F1 target"};
    if (page->system_count < 2) {
        return;
    }
    markup_section("systems", "Systems", out);
    markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
    for (size_t s = 0; s < page->system_count; s++) {
        const SystemRow *row = &page->systems[s];
        buffer_text(out, "<tr>");
        text_cell("", row->name[0] != '\0' ? row->name : "primary", out);
        buffer_format(out, "<td class=\"number\">%lld</td>", (long long)row->seed);
        for (int m = 0; m < REPORT_METRICS; m++) {
            number_cell(row->metrics[m], out);
        }
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
    buffer_text(out, "<p class=\"soft\">The rest of this page is the primary system, the first "
                     "one.</p>\n");
    markup_section_end(out);
}

static int by_score(const void *left, const void *right) {
    const ScoredClip *a = *(const ScoredClip *const *)left, *b = *(const ScoredClip *const *)right;
    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    return strcmp(a->path, b->path);
}

static void write_clip(const ScoredClip *clip, Buffer *out) {
    buffer_text(out, "<tr>");
    text_cell("text", clip->file_name, out);
    number_cell(clip->score, out);
    number_cell(clip->threshold, out);
    text_cell(clip->is_anomaly ? "bad" : "", clip->is_anomaly ? "anomalous" : "normal", out);
    text_cell("", clip->label < 0 ? "–" : clip->label == 0 ? "normal" : "anomalous", out);
    buffer_text(out, "</tr>\n");
}

static void write_extremes(Part *part, Buffer *out) {
    static const char *const COLUMNS[] = {"test clip", "#score", "#threshold", "decided", "label"};
    const ScoredClip **tests = mem_new(part->count > 0 ? part->count : 1, sizeof *tests);
    size_t count = 0;
    for (size_t i = 0; tests != NULL && i < part->count; i++) {
        if (part->clips[i]->is_test && scored_clip_has_score(part->clips[i])) {
            tests[count++] = part->clips[i];
        }
    }
    if (count > 0) {
        qsort(tests, count, sizeof *tests, by_score);
        buffer_text(out, "<h3>Highest and lowest scores</h3>\n");
        markup_table(COLUMNS, sizeof COLUMNS / sizeof COLUMNS[0], out);
        for (size_t i = 0; i < count; i++) {
            if (i < EXTREMES_SHOWN || i + EXTREMES_SHOWN >= count) {
                write_clip(tests[i], out);
            } else if (i == EXTREMES_SHOWN) {
                buffer_format(out, "<tr><td class=\"soft\" colspan=\"5\">… %zu more</td></tr>\n",
                              count - 2 * EXTREMES_SHOWN);
            }
        }
        markup_table_end(out);
    }
    mem_free(tests);
}

static void write_part(const ReportPage *page, Part *part, size_t number, const PlotSet *set,
                       Buffer *out) {
    char id[32], caption[2 * LIMIT_NAME_BYTES + 128];
    snprintf(id, sizeof id, "m%zu", number);
    buffer_format(out, "<section id=\"%s\">\n<h2>", id);
    markup_text(part->row->label, out);
    buffer_text(out, "</h2>\n");
    if (part->row->clips_scored == 0) {
        buffer_text(out,
                    "<p class=\"soft\">No test clip of it has a score: <a href=\"#left-out\">what "
                    "was left out</a> tells why.</p>\n");
    }
    buffer_text(out, "<div class=\"figures\">\n");
    pictures_add(set, part->scores,
                 "How anomaly scores are distributed, as shares of each group. The further the "
                 "anomalous clips stand to the right of the normal ones, the better.",
                 out);
    pictures_add(set, part->roc,
                 "ROC: anomalies found over false alarms. pAUC is taken of the shaded region.",
                 out);
    for (size_t c = 0; c < part->curves; c++) {
        snprintf(caption, sizeof caption,
                 "Training of %s: loss of each epoch. A validation loss that rises again tells of "
                 "too many epochs.",
                 part->labels[c]);
        pictures_add(set, part->losses[c], caption, out);
    }
    buffer_text(out, "</div>\n");
    report_clips_write(&page->portraits, &part->heard, set, out);
    write_extremes(part, out);
    markup_section_end(out);
}

static int by_path(const void *left, const void *right) {
    return strcmp((*(const ScoredClip *const *)left)->path,
                  (*(const ScoredClip *const *)right)->path);
}

static Status write_left_out(const ReportPage *page, Buffer *out) {
    static const char *const COLUMNS[] = {"clip", "reason"};
    const ScoredClip **sorted =
        mem_new(page->clip_count > 0 ? page->clip_count : 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < page->clip_count; i++) {
        if (left_out_reason(&page->clips[i]) != NULL) {
            sorted[count++] = &page->clips[i];
        }
    }
    qsort(sorted, count, sizeof *sorted, by_path);
    markup_section("left-out", "Clips left out", out);
    if (count == 0) {
        buffer_text(out, "<p>None: every clip could be used.</p>\n");
    } else {
        markup_table(COLUMNS, 2, out);
        for (size_t i = 0; i < count && i < LEFT_OUT_SHOWN; i++) {
            buffer_text(out, "<tr>");
            text_cell("text", sorted[i]->path, out);
            text_cell("text", left_out_reason(sorted[i]), out);
            buffer_text(out, "</tr>\n");
        }
        markup_table_end(out);
    }
    if (count > LEFT_OUT_SHOWN) {
        buffer_format(out, "<p class=\"soft\">and %zu more, in left_out.csv</p>\n",
                      count - LEFT_OUT_SHOWN);
    }
    markup_section_end(out);
    mem_free(sorted);
    return STATUS_OK;
}

// All of config.yaml but for what only changes time.
static void write_settings(const ReportPage *page, Buffer *out) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY, kept = BUFFER_EMPTY;
    if (file_join(path, sizeof path, page->run_folder, "config.yaml") != STATUS_OK ||
        file_read(path, CONFIG_BYTES, &text) != STATUS_OK) {
        buffer_done(&text);
        return;
    }
    for (const char *line = buffer_cstr(&text); *line != '\0';) {
        size_t size = strcspn(line, "\n");
        size += line[size] == '\n';
        if (!text_starts(line, "spread:")) {
            buffer_append(&kept, line, size);
        }
        line += size;
    }
    markup_section("settings", "What was run", out);
    buffer_text(out, "<pre>");
    markup_text(buffer_cstr(&kept), out);
    buffer_text(out, "</pre>\n");
    markup_section_end(out);
    buffer_done(&text);
    buffer_done(&kept);
}

// ---- all of it ----

static Status save_pictures(const ReportPage *page, const PlotSet *set, const Part *part) {
    char folder[LIMIT_PATH_BYTES], name[48];
    int used =
        snprintf(folder, sizeof folder, "%s/outputs/figures/%s", page->run_folder, part->folder);
    if (used < 0 || used >= LIMIT_PATH_BYTES) {
        return status_set(STATUS_LIMIT, "path too long: %s", page->run_folder);
    }
    Status status = pictures_save(set, part->scores, folder, "scores");
    if (status == STATUS_OK) {
        status = pictures_save(set, part->roc, folder, "roc");
    }
    for (size_t c = 0; c < part->curves && status == STATUS_OK; c++) {
        snprintf(name, sizeof name, part->curves == 1 ? "training" : "training_%zu", c + 1);
        status = pictures_save(set, part->losses[c], folder, name);
    }
    return status == STATUS_OK ? report_clips_save(&part->heard, set, folder) : status;
}

static Status write_page(const ReportPage *page, Part *parts, const PlotSet *set) {
    Buffer out = BUFFER_EMPTY;
    char path[LIMIT_PATH_BYTES];
    markup_begin("auscult: report", PICTURES_HEAD, &out);
    buffer_text(&out, "<h1>Anomalous sound detection: report</h1>\n");
    write_cards(page, &out);
    write_links(page, &out);
    if (plot_problem(set)[0] != '\0') {
        buffer_text(&out, "<p class=\"warn\">");
        markup_text(plot_problem(set), &out);
        buffer_text(&out, "</p>\n");
    }
    write_results(page, &out);
    write_systems(page, &out);
    for (size_t m = 0; m < page->report->machines; m++) {
        write_part(page, &parts[m], m + 1, set, &out);
    }
    Status status = write_left_out(page, &out);
    write_settings(page, &out);
    markup_end(&out);
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, page->run_folder, "outputs/report.html");
    }
    if (status == STATUS_OK) {
        status = out.status != STATUS_OK ? out.status : file_update(path, &out);
    }
    buffer_done(&out);
    return status;
}

static Status replace_pictures(const ReportPage *page, const PlotSet *set, const Part *parts) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, page->run_folder, "outputs/figures");
    if (status == STATUS_OK && file_exists(path)) {
        status = file_remove_tree(path);
    }
    for (size_t m = 0; m < page->report->machines && status == STATUS_OK; m++) {
        status = save_pictures(page, set, &parts[m]);
    }
    return status;
}

Status report_page_write(const ReportPage *page, char *ret_problem, size_t size) {
    size_t machines = page->report->machines;
    PlotSet *set = plot_set_new();
    Part *parts = mem_new(machines > 0 ? machines : 1, sizeof *parts);
    Status status = set != NULL && parts != NULL ? STATUS_OK : STATUS_MEMORY;
    for (size_t m = 0; m < machines && status == STATUS_OK; m++) {
        status = make_part(page, &page->report->rows[m], set, &parts[m]);
    }
    if (status == STATUS_OK) {
        status = plot_draw(set);
    }
    if (status == STATUS_OK) {
        status = replace_pictures(page, set, parts);
    }
    if (status == STATUS_OK) {
        status = write_page(page, parts, set);
    }
    if (status == STATUS_OK) {
        text_copy(ret_problem, size, plot_problem(set));
    }
    for (size_t m = 0; parts != NULL && m < machines; m++) {
        mem_free(parts[m].clips);
    }
    mem_free(parts);
    plot_set_free(set);
    return status;
}
