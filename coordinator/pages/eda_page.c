// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/eda_page.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/markup.h"
#include "coordinator/outputs/left_out.h"
#include "coordinator/pages/cells.h"
#include "coordinator/pages/clip_picture.h"
#include "coordinator/pages/eda_charts.h"
#include "coordinator/pages/eda_tables.h"
#include "coordinator/pages/pictures.h"

#define FIGURES "outputs/eda_figures"

enum {
    TYPICAL_MOST = 8, // clips of a machine: two labels, or none, of three domains
    LEFT_OUT_SHOWN = 100,
};

// A machine of the page and its pictures.
typedef struct Part {
    uint32_t spectrum, numbers, plane;
    const ClipPortrait *typical[TYPICAL_MOST]; // (typical_count)
    uint32_t pictures[TYPICAL_MOST];
    size_t typical_count;
} Part;

// ---- pictures ----

static bool is_typical(const EdaPage *page, const ClipPortrait *portrait, uint32_t machine) {
    return portrait->role == PORTRAIT_TYPICAL && portrait->is_there &&
           page->summary->dataset->clips[portrait->clip].machine == machine;
}

// Domain by domain, and in each the normal clip before the anomalous one, so that they stand side
// by side.
static bool is_before(const Clip *a, const Clip *b) {
    return a->domain != b->domain ? a->domain < b->domain : a->label < b->label;
}

static void list_typical(const EdaPage *page, uint32_t machine, Part *part) {
    const Clip *clips = page->summary->dataset->clips;
    for (uint32_t i = 0; i < page->portrait_count; i++) {
        const ClipPortrait *portrait = page->portraits[i];
        if (!is_typical(page, portrait, machine) || part->typical_count == TYPICAL_MOST) {
            continue;
        }
        size_t place = part->typical_count++;
        for (;
             place > 0 && is_before(&clips[portrait->clip], &clips[part->typical[place - 1]->clip]);
             place--) {
            part->typical[place] = part->typical[place - 1];
        }
        part->typical[place] = portrait;
    }
}

static Status make_part(const EdaPage *page, uint32_t machine, PlotSet *set, Part *part) {
    ClipScale scale = {0};
    Status status = STATUS_OK;
    list_typical(page, machine, part);
    for (size_t t = 0; t < part->typical_count && status == STATUS_OK; t++) {
        status = clip_scale_take(&scale, &part->typical[t]->picture);
    }
    for (size_t t = 0; t < part->typical_count && status == STATUS_OK; t++) {
        part->pictures[t] = clip_picture_add(set, &part->typical[t]->picture, CLIP_PANELS_OF_DATA,
                                             &scale, page->summary->n_mels);
    }
    part->spectrum = eda_chart_spectrum(set, page->summary, machine);
    part->numbers = eda_chart_numbers(set, page->summary, machine);
    part->plane = eda_chart_plane(set, page->summary, machine);
    return status;
}

// ---- the head ----

static void count_card(uint64_t count, const char *name, const char *tone, Buffer *out) {
    char figure[32];
    snprintf(figure, sizeof figure, "%llu", (unsigned long long)count);
    markup_card(figure, name, tone, out);
}

static size_t count_left_out(const EdaPage *page) {
    size_t count = 0;
    for (size_t i = 0; i < page->clip_count; i++) {
        count += page->clips[i].left_out_reason != NULL;
    }
    return count;
}

static void write_cards(const EdaPage *page, Buffer *out) {
    const ExploreSummary *summary = page->summary;
    uint64_t clips = 0;
    double seconds = 0;
    char length[32];
    for (uint32_t g = 0; g < summary->group_count; g++) {
        clips += summary->groups[g].count;
        seconds += summary->groups[g].seconds;
    }
    snprintf(length, sizeof length, seconds < 7200 ? "%.1f min" : "%.1f h",
             seconds < 7200 ? seconds / 60 : seconds / 3600);
    uint32_t machines = summary->dataset->machine_count;
    size_t left_out = count_left_out(page);
    buffer_text(out, "<div class=\"cards\">\n");
    count_card(machines, machines == 1 ? "machine" : "machines", "", out);
    count_card(clips, "clips heard", "", out);
    markup_card(length, "of sound", "", out);
    count_card(summary->suspicious_count, "odd findings",
               summary->suspicious_count > 0 ? "warn" : "", out);
    count_card(left_out, "clips left out", left_out > 0 ? "warn" : "", out);
    buffer_text(out, "</div>\n");
}

static void write_links(const EdaPage *page, Buffer *out) {
    const Dataset *dataset = page->summary->dataset;
    buffer_text(out, "<nav><a href=\"#machines\">Overview</a>");
    for (uint32_t m = 0; m < dataset->machine_count; m++) {
        buffer_format(out, "<a href=\"#m%u\">", m + 1);
        eda_machine_name(dataset, m, out);
        buffer_text(out, "</a>");
    }
    buffer_text(out,
                "<a href=\"#left-out\">Left out</a><a href=\"#settings\">Settings</a></nav>\n");
}

// ---- a machine ----

// "section_00_source_..., normal, source".
static void describe_clip(const Clip *clip, Buffer *out) {
    const char *label = clip->label == LABEL_NORMAL    ? "normal"
                        : clip->label == LABEL_ANOMALY ? "anomalous"
                                                       : "label not known";
    const char *domain = clipname_domain_text(clip->domain);
    buffer_format(out, "Typical: %s%s%s. ", label, domain[0] != '\0' ? ", " : "", domain);
    buffer_text(out, clip->name);
}

static void write_typical(const EdaPage *page, const Part *part, const PlotSet *set, Buffer *out) {
    if (part->typical_count == 0) {
        return;
    }
    buffer_text(out, "<h3>Typical clips</h3>\n<div class=\"figures\">\n");
    for (size_t t = 0; t < part->typical_count; t++) {
        Buffer caption = BUFFER_EMPTY;
        describe_clip(&page->summary->dataset->clips[part->typical[t]->clip], &caption);
        pictures_add(set, part->pictures[t], buffer_cstr(&caption), out);
        out->status = caption.status != STATUS_OK ? caption.status : out->status;
        buffer_done(&caption);
    }
    buffer_text(out, "</div>\n<p class=\"soft\">Of each label and domain, the clip nearest to the "
                     "median log-mel of all. Colours mean the same in all of them: what stands "
                     "in one and not beside it is the difference.</p>\n");
}

static void write_charts(const EdaPage *page, uint32_t machine, const Part *part,
                         const PlotSet *set, Buffer *out) {
    const MachinePlane *plane = &page->summary->planes[machine];
    char caption[256];
    snprintf(caption, sizeof caption,
             "Principal components of the clips' mean log-mels; the two directions have %.1f %% "
             "and %.1f %% of the variance. Groups that lie apart sound different; a clip far "
             "from all others deserves a look.",
             100 * plane->explained[0], 100 * plane->explained[1]);
    buffer_text(out, "<h3>Spectra and distributions</h3>\n<div class=\"figures\">\n<div>\n");
    pictures_add(set, part->spectrum,
                 "Mean log-mel energies of the clips, and one standard deviation around them. "
                 "Where bands of colour lie apart, domains or labels differ.",
                 out);
    pictures_add(set, part->plane, caption, out);
    buffer_text(out, "</div>\n");
    pictures_add(set, part->numbers,
                 "How level and shape of the spectrum are distributed over the clips of each "
                 "kind.",
                 out);
    buffer_text(out, "</div>\n");
}

static Status write_part(const EdaPage *page, uint32_t machine, const Part *part,
                         const PlotSet *set, Buffer *out) {
    const ExploreSummary *summary = page->summary;
    buffer_format(out, "<section id=\"m%u\">\n<h2>", machine + 1);
    eda_machine_name(summary->dataset, machine, out);
    buffer_text(out, "</h2>\n");
    eda_table_suspicious(summary, machine, out);
    write_typical(page, part, set, out);
    write_charts(page, machine, part, set, out);
    eda_table_groups(summary, machine, out);
    eda_table_shifts(summary, machine, out);
    Status status = eda_table_attributes(summary, machine, out);
    markup_section_end(out);
    return status;
}

// ---- the end ----

static Status write_left_out(const EdaPage *page, Buffer *out) {
    static const char *const COLUMNS[] = {"clip", "reason"};
    const ScoredClip **sorted = NULL;
    size_t count = count_left_out(page), shown = 0;
    markup_section("left-out", "Clips left out", out);
    if (count == 0) {
        buffer_text(out, "<p>None: every clip could be read.</p>\n");
        markup_section_end(out);
        return STATUS_OK;
    }
    Status status = scored_clip_sort(page->clips, page->clip_count, ORDER_BY_PATH, &sorted);
    markup_table(COLUMNS, 2, out);
    for (size_t i = 0; status == STATUS_OK && i < page->clip_count; i++) {
        if (sorted[i]->left_out_reason != NULL && shown++ < LEFT_OUT_SHOWN) {
            buffer_text(out, "<tr>");
            cell_text("text", sorted[i]->path, out);
            cell_text("text", sorted[i]->left_out_reason, out);
            buffer_text(out, "</tr>\n");
        }
    }
    markup_table_end(out);
    if (count > LEFT_OUT_SHOWN) {
        buffer_format(out, "<p class=\"soft\">and %zu more, in left_out.csv</p>\n",
                      count - LEFT_OUT_SHOWN);
    }
    markup_section_end(out);
    mem_free(sorted);
    return status;
}

static void write_settings(const EdaPage *page, Buffer *out) {
    Buffer text = BUFFER_EMPTY;
    settings_write(page->settings, SETTING_FEATURES, &text);
    markup_section("settings", "How it was heard", out);
    buffer_text(out, "<pre>");
    markup_text(buffer_cstr(&text), out);
    buffer_text(out, "</pre>\n");
    markup_section_end(out);
    out->status = text.status != STATUS_OK ? text.status : out->status;
    buffer_done(&text);
}

// ---- all of it ----

static Status save_part(const EdaPage *page, uint32_t machine, const Part *part,
                        const PlotSet *set) {
    const Machine *of = &page->summary->dataset->machines[machine];
    char folder[LIMIT_PATH_BYTES], name[48];
    int used = snprintf(folder, sizeof folder, "%s/" FIGURES "/%s%s%s", page->run_folder, of->name,
                        of->set == SET_PLAIN ? "" : ".",
                        of->set == SET_PLAIN ? "" : dataset_set_text(of->set));
    if (used < 0 || used >= LIMIT_PATH_BYTES) {
        return status_set(STATUS_LIMIT, "path too long: %s", page->run_folder);
    }
    Status status = pictures_save(set, part->spectrum, folder, "spectrum");
    if (status == STATUS_OK) {
        status = pictures_save(set, part->numbers, folder, "distributions");
    }
    if (status == STATUS_OK) {
        status = pictures_save(set, part->plane, folder, "plane");
    }
    for (size_t t = 0; t < part->typical_count && status == STATUS_OK; t++) {
        snprintf(name, sizeof name, "typical_%zu", t + 1);
        status = pictures_save(set, part->pictures[t], folder, name);
    }
    return status;
}

static Status save_pictures(const EdaPage *page, const Part *parts, const PlotSet *set) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, page->run_folder, FIGURES);
    if (status == STATUS_OK && file_exists(path)) {
        status = file_remove_tree(path);
    }
    for (uint32_t m = 0; m < page->summary->dataset->machine_count && status == STATUS_OK; m++) {
        status = save_part(page, m, &parts[m], set);
    }
    return status;
}

static Status write_page(const EdaPage *page, const Part *parts, const PlotSet *set) {
    Buffer out = BUFFER_EMPTY;
    char path[LIMIT_PATH_BYTES];
    markup_begin("auscult: data", PICTURES_HEAD, &out);
    buffer_text(&out, "<h1>What the data sound like</h1>\n");
    write_cards(page, &out);
    write_links(page, &out);
    if (plot_problem(set)[0] != '\0') {
        buffer_text(&out, "<p class=\"warn\">");
        markup_text(plot_problem(set), &out);
        buffer_text(&out, "</p>\n");
    }
    markup_section("machines", "Overview", &out);
    eda_table_machines(page->summary, &out);
    markup_section_end(&out);
    Status status = STATUS_OK;
    for (uint32_t m = 0; m < page->summary->dataset->machine_count && status == STATUS_OK; m++) {
        status = write_part(page, m, &parts[m], set, &out);
    }
    if (status == STATUS_OK) {
        status = write_left_out(page, &out);
    }
    write_settings(page, &out);
    markup_end(&out);
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, page->run_folder, "outputs/eda.html");
    }
    if (status == STATUS_OK) {
        status = file_write_buffer(path, &out);
    }
    buffer_done(&out);
    return status;
}

Status eda_page_write(const EdaPage *page, char *ret_problem, size_t size) {
    uint32_t machines = page->summary->dataset->machine_count;
    PlotSet *set = plot_set_new();
    Part *parts = mem_new((size_t)machines + 1, sizeof *parts);
    Status status = set != NULL && parts != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t m = 0; m < machines && status == STATUS_OK; m++) {
        status = make_part(page, m, set, &parts[m]);
    }
    if (status == STATUS_OK) {
        status = plot_draw(set);
    }
    if (status == STATUS_OK) {
        status = save_pictures(page, parts, set);
    }
    if (status == STATUS_OK) {
        status = write_page(page, parts, set);
    }
    if (status == STATUS_OK) {
        text_copy(ret_problem, size, plot_problem(set));
    }
    mem_free(parts);
    plot_set_free(set);
    return status;
}
