// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/result_file.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/store/csv.h"

typedef struct Column {
    const char *name;
    size_t field; // of Metrics
} Column;

#define COLUMN(name, field)                                                                        \
    { (name), offsetof(Metrics, field) }

static const Column EVALUATOR[] = {
    COLUMN("AUC (all)", auc),
    COLUMN("AUC (source)", auc_source),
    COLUMN("AUC (target)", auc_target),
    COLUMN("pAUC", pauc),
    COLUMN("precision (source)", precision_source),
    COLUMN("precision (target)", precision_target),
    COLUMN("recall (source)", recall_source),
    COLUMN("recall (target)", recall_target),
    COLUMN("F1 score (source)", f1_source),
    COLUMN("F1 score (target)", f1_target),
};
static const Column BASELINE[] = {
    COLUMN("AUC (source)", auc_source),
    COLUMN("AUC (target)", auc_target),
    COLUMN("pAUC", pauc),
    COLUMN("pAUC (source)", pauc_source),
    COLUMN("pAUC (target)", pauc_target),
    COLUMN("precision (source)", precision_source),
    COLUMN("precision (target)", precision_target),
    COLUMN("recall (source)", recall_source),
    COLUMN("recall (target)", recall_target),
    COLUMN("F1 score (source)", f1_source),
    COLUMN("F1 score (target)", f1_target),
};
static const Column WITHOUT_DOMAINS[] = {
    COLUMN("AUC", auc),       COLUMN("pAUC", pauc),   COLUMN("precision", precision),
    COLUMN("recall", recall), COLUMN("F1 score", f1),
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static double value_of(const SectionResult *section, size_t field) {
    double value;
    memcpy(&value, (const char *)&section->metrics + field, sizeof value);
    return value;
}

// ---- rows ----

// As Python's repr: a whole number has ".0".
static void put_number(CsvWriter *writer, double value) {
    char text[TEXT_NUMBER_BYTES + 2] = "";
    if (!isnan(value)) {
        text_number(text, value);
        if (strpbrk(text, ".eni") == NULL) {
            strcat(text, ".0");
        }
    }
    csv_writer_text(writer, text);
}

static void put_blank_line(CsvWriter *writer) {
    buffer_text(&writer->text, "\n");
    writer->row_start = writer->text.size;
}

// "section" and the names of the columns.
static void put_header(CsvWriter *writer, const Column *columns, size_t count) {
    csv_writer_text(writer, "section");
    for (size_t c = 0; c < count; c++) {
        csv_writer_text(writer, columns[c].name);
    }
    csv_writer_end_row(writer);
}

static void put_sections(CsvWriter *writer, const SectionResult *sections, size_t count,
                         const Column *columns, size_t column_count) {
    for (size_t s = 0; s < count; s++) {
        csv_writer_text(writer, sections[s].section);
        for (size_t c = 0; c < column_count; c++) {
            put_number(writer, value_of(&sections[s], columns[c].field));
        }
        csv_writer_end_row(writer);
    }
}

// The sections of the machine that begins at `first`.
static uint32_t machine_end(const Evaluation *e, uint32_t first) {
    uint32_t end = first + 1;
    while (end < e->section_count &&
           e->sections[end].machine_index == e->sections[first].machine_index) {
        end++;
    }
    return end;
}

// ---- means ----

typedef double (*Mean)(const double *values, size_t count);

// Mean of each column, over sections. room: (count).
static void put_column_means(CsvWriter *writer, const char *name, Mean mean,
                             const SectionResult *sections, size_t count, const Column *columns,
                             size_t column_count, double *room) {
    csv_writer_text(writer, name);
    for (size_t c = 0; c < column_count; c++) {
        for (size_t s = 0; s < count; s++) {
            room[s] = value_of(&sections[s], columns[c].field);
        }
        put_number(writer, mean(room, count));
    }
    csv_writer_end_row(writer);
}

// What the evaluator's rows of means have, with the columns of either domain.
static const struct {
    size_t source, target;
} PAIRS[] = {
    {offsetof(Metrics, auc_source), offsetof(Metrics, auc_target)},
    {offsetof(Metrics, pauc), offsetof(Metrics, pauc)},
    {offsetof(Metrics, precision_source), offsetof(Metrics, precision_target)},
    {offsetof(Metrics, recall_source), offsetof(Metrics, recall_target)},
    {offsetof(Metrics, f1_source), offsetof(Metrics, f1_target)},
};

// Over sections and domains: from source to target, as numbers of a domain. room: (2 count).
static void put_means(CsvWriter *writer, const char *name, const char *more, Mean mean,
                      const SectionResult *sections, size_t count, int from, int to, double *room) {
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", name, more);
    // The evaluator's csv module puts quotes round the comma.
    csv_writer_text(writer, whole);
    csv_writer_text(writer, "");
    for (size_t p = 0; p < COUNT(PAIRS); p++) {
        size_t used = 0;
        for (int domain = from; domain <= to; domain++) {
            for (size_t s = 0; s < count; s++) {
                room[used++] =
                    value_of(&sections[s], domain == 0 ? PAIRS[p].source : PAIRS[p].target);
            }
        }
        put_number(writer, mean(room, used));
    }
    csv_writer_end_row(writer);
}

static void put_all_means(CsvWriter *writer, const char *more, const SectionResult *sections,
                          size_t count, double *room) {
    csv_writer_header(writer, ",,AUC,pAUC,precision,recall,F1 score");
    put_means(writer, "arithmetic mean", more, metrics_mean_arithmetic, sections, count, 0, 1,
              room);
    put_means(writer, "harmonic mean", more, metrics_mean_harmonic, sections, count, 0, 1, room);
    put_means(writer, "source harmonic mean", more, metrics_mean_harmonic, sections, count, 0, 0,
              room);
    put_means(writer, "target harmonic mean", more, metrics_mean_harmonic, sections, count, 1, 1,
              room);
    put_blank_line(writer);
}

static void put_plain_means(CsvWriter *writer, const char *more, const SectionResult *sections,
                            size_t count, double *room) {
    char arithmetic[128], harmonic[128];
    snprintf(arithmetic, sizeof arithmetic, "arithmetic mean%s", more);
    snprintf(harmonic, sizeof harmonic, "harmonic mean%s", more);
    put_column_means(writer, arithmetic, metrics_mean_arithmetic, sections, count, WITHOUT_DOMAINS,
                     COUNT(WITHOUT_DOMAINS), room);
    put_column_means(writer, harmonic, metrics_mean_harmonic, sections, count, WITHOUT_DOMAINS,
                     COUNT(WITHOUT_DOMAINS), room);
    put_blank_line(writer);
}

// ---- result.csv ----

#define OVER_ALL " over all machine types, sections, and domains"

static void put_value(CsvWriter *writer, const char *name, double value) {
    csv_writer_text(writer, name);
    csv_writer_text(writer, "");
    put_number(writer, value);
    csv_writer_end_row(writer);
}

static void put_machine(CsvWriter *writer, const Evaluation *e, uint32_t first, uint32_t end,
                        double *room) {
    const SectionResult *sections = &e->sections[first];
    csv_writer_text(writer, sections->machine);
    csv_writer_end_row(writer);
    if (e->has_domains) {
        put_header(writer, EVALUATOR, COUNT(EVALUATOR));
        put_sections(writer, sections, end - first, EVALUATOR, COUNT(EVALUATOR));
        put_all_means(writer, "", sections, end - first, room);
    } else {
        put_header(writer, WITHOUT_DOMAINS, COUNT(WITHOUT_DOMAINS));
        put_sections(writer, sections, end - first, WITHOUT_DOMAINS, COUNT(WITHOUT_DOMAINS));
        put_plain_means(writer, "", sections, end - first, room);
    }
}

static void put_scores(CsvWriter *writer, const Evaluation *e) {
    put_value(writer, "official score", e->official);
    if (!e->config.has_intervals) {
        return;
    }
    put_value(writer, "official score ci95", e->intervals.evaluator_half);
    put_blank_line(writer);
    if (e->config.rule == OFFICIAL_2021) {
        put_value(writer, "baseline summary", e->baseline_summary);
    }
    put_value(writer, "official score bootstrap 95% low", e->intervals.bootstrap_low);
    put_value(writer, "official score bootstrap 95% high", e->intervals.bootstrap_high);
    put_value(writer, "official score jackknife 95% half width", e->intervals.jackknife_half);
}

static void put_result(CsvWriter *writer, const Evaluation *e, double *room) {
    for (uint32_t first = 0, end; first < e->section_count; first = end) {
        end = machine_end(e, first);
        put_machine(writer, e, first, end, room);
    }
    if (e->has_domains) {
        put_all_means(writer, OVER_ALL, e->sections, e->section_count, room);
    } else {
        put_header(writer, WITHOUT_DOMAINS, COUNT(WITHOUT_DOMAINS));
        put_plain_means(writer, OVER_ALL, e->sections, e->section_count, room);
    }
    put_scores(writer, e);
}

Status result_write(const char *path, const Evaluation *e) {
    double *room = mem_new(2 * (size_t)e->section_count + 1, sizeof *room);
    if (room == NULL) {
        return STATUS_MEMORY;
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    put_result(&writer, e, room);
    Status status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    mem_free(room);
    return status;
}

// ---- the baseline's ----

static Status write_machine(const char *folder, const SectionResult *sections, size_t count,
                            bool has_domains, double *room) {
    const Column *columns = has_domains ? BASELINE : WITHOUT_DOMAINS;
    size_t column_count = has_domains ? COUNT(BASELINE) : COUNT(WITHOUT_DOMAINS);
    char path[LIMIT_PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/result_%s.csv", folder, sections->machine);
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s", folder);
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    put_header(&writer, columns, column_count);
    put_sections(&writer, sections, count, columns, column_count);
    put_column_means(&writer, "arithmetic mean", metrics_mean_arithmetic, sections, count, columns,
                     column_count, room);
    put_column_means(&writer, "harmonic mean", metrics_mean_harmonic, sections, count, columns,
                     column_count, room);
    put_blank_line(&writer);
    Status status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    return status;
}

Status result_write_of_machines(const char *folder, const Evaluation *e) {
    double *room = mem_new(2 * (size_t)e->section_count + 1, sizeof *room);
    Status status = room != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t first = 0, end; first < e->section_count && status == STATUS_OK; first = end) {
        end = machine_end(e, first);
        status = write_machine(folder, &e->sections[first], end - first, e->has_domains, room);
    }
    mem_free(room);
    return status;
}

// ---- by attribute ----

// One attribute of one clip of a section.
typedef struct Carrier {
    const char *name, *value;
    uint32_t clip; // of the section
} Carrier;

static int by_attribute(const void *left, const void *right) {
    const Carrier *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    order = order != 0 ? order : strcmp(a->value, b->value);
    return order != 0 ? order : (a->clip > b->clip) - (a->clip < b->clip);
}

// The carriers become the source domain of their section, so that its metrics are theirs.
static Status put_carriers(CsvWriter *writer, const Evaluation *e, const SectionResult *section,
                           const Carrier *carriers, size_t count, MetricClip *room) {
    for (uint32_t i = 0; i < section->count; i++) {
        room[i] = e->metrics[section->first + i];
        room[i].domain = 1;
    }
    uint32_t normals = 0, anomalies = 0;
    for (size_t i = 0; i < count; i++) {
        MetricClip *clip = &room[carriers[i].clip];
        normals += clip->domain == 1 && clip->label == 0;
        anomalies += clip->domain == 1 && clip->label == 1;
        clip->domain = 0;
    }
    Metrics m;
    AreaRanks *ranks = NULL;
    Status status = metrics_of_clips(room, section->count, e->config.max_fpr, &m);
    status = status == STATUS_OK ? area_ranks_new(room, section->count, &ranks) : status;
    if (status != STATUS_OK) {
        return status;
    }
    double alone = area_ranks_areas(ranks, NULL, e->config.max_fpr).auc_source_alone;
    bool decided = e->config.has_decisions;
    area_ranks_free(ranks);
    const char *texts[] = {section->machine, section->section, carriers->name, carriers->value};
    for (size_t i = 0; i < COUNT(texts); i++) {
        csv_writer_text(writer, texts[i]);
    }
    csv_writer_int(writer, normals);
    csv_writer_int(writer, anomalies);
    put_number(writer, m.auc_source);
    put_number(writer, alone);
    put_number(writer, m.pauc_source);
    put_number(writer, decided ? m.precision_source : NAN);
    put_number(writer, decided ? m.recall_source : NAN);
    put_number(writer, decided ? m.f1_source : NAN);
    csv_writer_end_row(writer);
    return STATUS_OK;
}

static size_t list_carriers(const Evaluation *e, const SectionResult *section, Carrier *carriers) {
    size_t count = 0;
    for (uint32_t i = 0; i < section->count; i++) {
        const JudgedClip *clip = &e->clips[section->first + i];
        for (uint32_t a = 0; a < clip->attribute_count; a++) {
            const ClipAttribute *attribute = &clip->attributes[a];
            carriers[count++] = (Carrier){attribute->name, attribute->value, i};
        }
    }
    qsort(carriers, count, sizeof *carriers, by_attribute);
    return count;
}

static Status put_section(CsvWriter *writer, const Evaluation *e, const SectionResult *section) {
    Carrier *carriers = mem_new((size_t)section->count * LIMIT_ATTRIBUTES + 1, sizeof *carriers);
    MetricClip *room = mem_new(section->count + 1, sizeof *room);
    Status status = carriers != NULL && room != NULL ? STATUS_OK : STATUS_MEMORY;
    size_t count = status == STATUS_OK ? list_carriers(e, section, carriers) : 0;
    for (size_t first = 0, end; first < count && status == STATUS_OK; first = end) {
        for (end = first + 1;
             end < count && strcmp(carriers[end].name, carriers[first].name) == 0 &&
             strcmp(carriers[end].value, carriers[first].value) == 0;
             end++) {
        }
        status = put_carriers(writer, e, section, &carriers[first], end - first, room);
    }
    mem_free(carriers);
    mem_free(room);
    return status;
}

Status result_write_by_attribute(const char *path, const Evaluation *e) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "machine_type,section,attribute,value,normals,anomalies,AUC,"
                               "AUC (alone),pAUC,precision,recall,F1 score");
    Status status = STATUS_OK;
    for (uint32_t s = 0; s < e->section_count && status == STATUS_OK; s++) {
        status = put_section(&writer, e, &e->sections[s]);
    }
    if (status == STATUS_OK) {
        status = csv_writer_save(&writer, path);
    }
    csv_writer_done(&writer);
    return status;
}
