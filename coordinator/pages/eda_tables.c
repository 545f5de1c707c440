// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/eda_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/live/markup.h"
#include "coordinator/pages/cells.h"

enum {
    SHIFTS_SHOWN = 8,
    SUSPICIOUS_SHOWN = 50,
    ATTRIBUTES_SHOWN = 60,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *or_dash(const char *text) {
    return text[0] != '\0' ? text : "–";
}

// Says how many more rows the CSV has.
static void tell_rest(size_t count, size_t shown, const char *file, Buffer *out) {
    if (count > shown) {
        buffer_format(out, "<p class=\"soft\">and %zu more, in %s</p>\n", count - shown, file);
    }
}

void eda_machine_name(const Dataset *dataset, uint32_t machine, Buffer *out) {
    const Machine *of = &dataset->machines[machine];
    bool is_shared = false;
    for (uint32_t m = 0; m < dataset->machine_count; m++) {
        is_shared |= m != machine && strcmp(dataset->machines[m].name, of->name) == 0;
    }
    markup_text(of->name, out);
    if (is_shared) {
        buffer_format(out, " (%s)", dataset_set_text(of->set));
    }
}

// ---- machines ----

// Sums over a machine's groups.
typedef struct Totals {
    uint64_t train, test, others, sounds, suspicious;
    double seconds, level;
} Totals;

static Totals add_up(const ExploreSummary *summary, uint32_t machine) {
    Totals totals = {0};
    for (uint32_t g = 0; g < summary->group_count; g++) {
        const ExploredGroup *group = &summary->groups[g];
        if (group->machine == machine) {
            totals.train += group->split == SPLIT_TRAIN ? group->count : 0;
            totals.test += group->split == SPLIT_TEST ? group->count : 0;
            totals.others += group->split == SPLIT_SUPPLEMENTAL ? group->count : 0;
            totals.sounds += group->sounds;
            totals.seconds += group->seconds;
            totals.level += group->sounds * group->numbers[NUMBER_LEVEL_DB].mean;
        }
    }
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        uint32_t clip = summary->suspicious[i].clip;
        totals.suspicious += summary->dataset->clips[clip].machine == machine;
    }
    return totals;
}

void eda_table_machines(const ExploreSummary *summary, Buffer *out) {
    static const char *const COLUMNS[] = {
        "machine",       "#training clips",    "#test clips",   "#other clips",
        "#length, min.", "#mean level, dB FS", "#odd findings",
    };
    markup_table(COLUMNS, COUNT(COLUMNS), out);
    for (uint32_t m = 0; m < summary->dataset->machine_count; m++) {
        Totals totals = add_up(summary, m);
        buffer_format(out, "<tr><td><a href=\"#m%u\">", m + 1);
        eda_machine_name(summary->dataset, m, out);
        buffer_text(out, "</a></td>");
        cell_count(totals.train, out);
        cell_count(totals.test, out);
        cell_count(totals.others, out);
        cell_number(totals.seconds / 60, 1, out);
        cell_number(totals.sounds > 0 ? totals.level / (double)totals.sounds : NAN, 1, out);
        cell_count(totals.suspicious, out);
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
}

// ---- groups ----

void eda_table_groups(const ExploreSummary *summary, uint32_t machine, Buffer *out) {
    static const char *const COLUMNS[] = {
        "split",         "section",        "domain",        "label",       "#clips",
        "#rates",        "#length, s",     "#level, dB FS", "#deviation",  "#peak",
        "#centroid, Hz", "#clips clipped", "#clips silent", "#largest DC",
    };
    buffer_text(out, "<h3>Groups of clips</h3>\n");
    markup_table(COLUMNS, COUNT(COLUMNS), out);
    for (uint32_t g = 0; g < summary->group_count; g++) {
        const ExploredGroup *group = &summary->groups[g];
        const Spread *numbers = group->numbers;
        if (group->machine != machine) {
            continue;
        }
        double none = group->sounds > 0 ? 0 : NAN;
        const Spread *dc = &numbers[NUMBER_DC];
        buffer_text(out, "<tr>");
        cell_text("", or_dash(clipname_split_text(group->split)), out);
        cell_text("", or_dash(group->section), out);
        cell_text("", or_dash(clipname_domain_text(group->domain)), out);
        cell_text("", or_dash(clipname_label_text(group->label)), out);
        cell_count(group->count, out);
        cell_count(group->rates, out);
        cell_number(none + numbers[NUMBER_SECONDS].median, 2, out);
        cell_number(none + numbers[NUMBER_LEVEL_DB].mean, 1, out);
        cell_number(none + numbers[NUMBER_LEVEL_DB].deviation, 1, out);
        cell_number(none + numbers[NUMBER_PEAK].most, 3, out);
        cell_number(none + numbers[NUMBER_CENTROID_HZ].mean, 0, out);
        cell_count(group->clipped, out);
        cell_count(group->silent, out);
        cell_number(none + (fabs(dc->least) > fabs(dc->most) ? dc->least : dc->most), 4, out);
        buffer_text(out, "</tr>\n");
    }
    markup_table_end(out);
    buffer_text(out,
                "<p class=\"soft\">Length is the median, level and centroid are means over the "
                "clips, peak is the largest (1 is full scale). All numbers: "
                "eda_groups.csv; of each clip: eda_clips.csv.</p>\n");
}

// ---- domain shift ----

static int by_size(const void *left, const void *right) {
    const DomainShift *a = *(const DomainShift *const *)left;
    const DomainShift *b = *(const DomainShift *const *)right;
    double difference = fabs(b->shift) - fabs(a->shift);
    if (difference != 0) {
        return difference > 0 ? 1 : -1;
    }
    return a->feature - b->feature;
}

static void write_shift(const DomainShift *shift, Buffer *out) {
    char name[64];
    buffer_text(out, "<tr>");
    if (shift->feature < EXPLORATION_NUMBERS) {
        const ExplorationFact *fact = &EXPLORATION_FACTS[shift->feature];
        snprintf(name, sizeof name, "%s%s%s", fact->title, fact->unit[0] != '\0' ? ", " : "",
                 fact->unit);
    } else {
        snprintf(name, sizeof name, "mel band %d, dB", shift->feature - EXPLORATION_NUMBERS + 1);
    }
    cell_text("", name, out);
    cell_number(shift->shift, 2, out);
    cell_number(shift->source, 3, out);
    cell_number(shift->target, 3, out);
    cell_count(shift->source_count, out);
    cell_count(shift->target_count, out);
    buffer_text(out, "</tr>\n");
}

void eda_table_shifts(const ExploreSummary *summary, uint32_t machine, Buffer *out) {
    static const char *const COLUMNS[] = {"feature",       "#shift",        "#mean, source",
                                          "#mean, target", "#source clips", "#target clips"};
    const DomainShift **sorted = mem_new((size_t)summary->shift_count + 1, sizeof *sorted);
    size_t count = 0;
    if (sorted == NULL) {
        out->status = STATUS_MEMORY;
        return;
    }
    for (uint32_t i = 0; i < summary->shift_count; i++) {
        if (summary->shifts[i].machine == machine) {
            sorted[count++] = &summary->shifts[i];
        }
    }
    if (count > 0) {
        qsort(sorted, count, sizeof *sorted, by_size);
        buffer_text(out, "<h3>Domain shift</h3>\n");
        markup_table(COLUMNS, COUNT(COLUMNS), out);
        for (size_t i = 0; i < count && i < SHIFTS_SHOWN; i++) {
            write_shift(sorted[i], out);
        }
        markup_table_end(out);
        buffer_text(out,
                    "<p class=\"soft\">The features in which normal clips of source and target "
                    "lie furthest apart. Shift: difference of the means over the root of "
                    "the mean variance (Cohen's d); beyond 0.8 it is large.</p>\n");
        tell_rest(count, SHIFTS_SHOWN, "eda_domain_shift.csv", out);
    }
    mem_free(sorted);
}

// ---- suspicious clips ----

static void write_suspicious(const ExploreSummary *summary, const SuspiciousClip *one,
                             Buffer *out) {
    const Clip *clips = summary->dataset->clips;
    bool has_other = one->other != UINT32_MAX;
    buffer_text(out, "<tr>");
    cell_text("text", clips[one->clip].path, out);
    cell_text("", suspicion_name(one->suspicion), out);
    buffer_text(out, "<td class=\"text\">");
    markup_text(one->reason, out);
    if (has_other) {
        buffer_text(out, ": ");
        markup_text(clips[one->other].path, out);
    }
    buffer_text(out, "</td></tr>\n");
}

void eda_table_suspicious(const ExploreSummary *summary, uint32_t machine, Buffer *out) {
    static const char *const COLUMNS[] = {"clip", "finding", "reason"};
    size_t count = 0;
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        const SuspiciousClip *one = &summary->suspicious[i];
        if (summary->dataset->clips[one->clip].machine != machine) {
            continue;
        }
        if (count == 0) {
            buffer_text(out, "<h3>Clips to listen to</h3>\n");
            markup_table(COLUMNS, COUNT(COLUMNS), out);
        }
        if (count < SUSPICIOUS_SHOWN) {
            write_suspicious(summary, one, out);
        }
        count++;
    }
    if (count > 0) {
        markup_table_end(out);
        tell_rest(count, SUSPICIOUS_SHOWN, "eda_suspicious.csv", out);
    }
}

// ---- attributes ----

// One attribute of one clip.
typedef struct Mention {
    const ClipAttribute *attribute;
    ClipSplit split;
} Mention;

static int by_attribute(const void *left, const void *right) {
    const Mention *a = left, *b = right;
    int by = strcmp(a->attribute->name, b->attribute->name);
    return by != 0 ? by : strcmp(a->attribute->value, b->attribute->value);
}

static void write_attributes(const Mention *mentions, size_t count, Buffer *out) {
    static const char *const COLUMNS[] = {"attribute", "value", "#training clips", "#test clips",
                                          "#other clips"};
    size_t rows = 0;
    buffer_text(out, "<h3>Attributes</h3>\n");
    markup_table(COLUMNS, COUNT(COLUMNS), out);
    for (size_t i = 0; i < count; rows++) {
        const Mention *first = &mentions[i];
        uint64_t train = 0, test = 0, all = 0;
        for (; i < count && by_attribute(first, &mentions[i]) == 0; i++, all++) {
            train += mentions[i].split == SPLIT_TRAIN;
            test += mentions[i].split == SPLIT_TEST;
        }
        if (rows < ATTRIBUTES_SHOWN) {
            buffer_text(out, "<tr>");
            cell_text("", first->attribute->name, out);
            cell_text("text", first->attribute->value, out);
            cell_count(train, out);
            cell_count(test, out);
            cell_count(all - train - test, out);
            buffer_text(out, "</tr>\n");
        }
    }
    markup_table_end(out);
    tell_rest(rows, ATTRIBUTES_SHOWN, "eda_attributes.csv", out);
}

Status eda_table_attributes(const ExploreSummary *summary, uint32_t machine, Buffer *out) {
    const Machine *of = &summary->dataset->machines[machine];
    const Clip *clips = summary->dataset->clips + of->first_clip; // (clip_count)
    size_t most = 0, count = 0;
    for (uint32_t c = 0; c < of->clip_count; c++) {
        most += clips[c].attribute_count;
    }
    Mention *mentions = mem_new(most + 1, sizeof *mentions);
    if (mentions == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < of->clip_count; c++) {
        bool is_there = summary->explorations[of->first_clip + c].n_mels > 0;
        for (uint32_t a = 0; is_there && a < clips[c].attribute_count; a++) {
            mentions[count++] = (Mention){&clips[c].attributes[a], clips[c].split};
        }
    }
    if (count > 0) {
        qsort(mentions, count, sizeof *mentions, by_attribute);
        write_attributes(mentions, count, out);
    }
    mem_free(mentions);
    return STATUS_OK;
}
