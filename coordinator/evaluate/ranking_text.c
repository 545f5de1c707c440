// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/store/csv.h"
#include "coordinator/evaluate/ranking.h"
#include "coordinator/table.h"

static const struct {
    const char *name;
    size_t field; // of Metrics
} METRICS[] = {
    {"auc", offsetof(Metrics, auc)},
    {"auc_source", offsetof(Metrics, auc_source)},
    {"auc_target", offsetof(Metrics, auc_target)},
    {"pauc", offsetof(Metrics, pauc)},
    {"precision_source", offsetof(Metrics, precision_source)},
    {"precision_target", offsetof(Metrics, precision_target)},
    {"recall_source", offsetof(Metrics, recall_source)},
    {"recall_target", offsetof(Metrics, recall_target)},
    {"f1_source", offsetof(Metrics, f1_source)},
    {"f1_target", offsetof(Metrics, f1_target)},
};
enum { METRIC_COUNT = sizeof METRICS / sizeof METRICS[0] };

static double value_of(const SectionResult *section, size_t field) {
    double value;
    memcpy(&value, (const char *)&section->metrics + field, sizeof value);
    return value;
}

// Mean over the sections in which it is defined, as the year's rule takes it.
static double mean_of(const Evaluation *e, size_t field) {
    double sum = 0;
    uint32_t used = 0;
    bool is_harmonic = e->config.rule != OFFICIAL_2020;
    for (uint32_t s = 0; s < e->section_count; s++) {
        double value = value_of(&e->sections[s], field);
        if (!isnan(value)) {
            double floored = value > METRICS_FLOOR ? value : METRICS_FLOOR;
            sum += is_harmonic ? 1 / floored : value;
            used++;
        }
    }
    return used == 0 ? NAN : is_harmonic ? used / sum : sum / used;
}

// ---- tables ----

static void cell(Table *table, double value) {
    char text[32] = "";
    if (!isnan(value)) {
        snprintf(text, sizeof text, "%.4f", value);
    }
    table_text(table, text);
}

static void interval_cell(Table *table, const Evaluation *e) {
    char text[48] = "";
    if (e != NULL && !isnan(e->intervals.bootstrap_low)) {
        snprintf(text, sizeof text, "%.4f .. %.4f", e->intervals.bootstrap_low,
                 e->intervals.bootstrap_high);
    }
    table_text(table, text);
}

static bool has_domains(const Ranking *ranking) {
    for (uint32_t i = 0; i < ranking->count; i++) {
        const Evaluation *e = ranking->systems[i].evaluation;
        if (e != NULL && e->has_domains) {
            return true;
        }
    }
    return false;
}

static void system_row(Table *table, const RankedSystem *system, bool domains) {
    const Evaluation *e = system->evaluation;
    char rank[16] = "";
    if (system->rank > 0) {
        snprintf(rank, sizeof rank, "%u", system->rank);
    }
    table_text(table, rank);
    table_text(table, system->name);
    cell(table, e != NULL ? e->official : NAN);
    interval_cell(table, e);
    cell(table, e != NULL ? e->intervals.jackknife_half : NAN);
    const size_t WITH[] = {offsetof(Metrics, auc_source), offsetof(Metrics, auc_target),
                           offsetof(Metrics, pauc)};
    const size_t WITHOUT[] = {offsetof(Metrics, auc), offsetof(Metrics, pauc)};
    for (size_t i = 0; i < (domains ? 3u : 2u); i++) {
        cell(table, e != NULL ? mean_of(e, domains ? WITH[i] : WITHOUT[i]) : NAN);
    }
}

static void format_systems(const Ranking *ranking, Buffer *out) {
    static const char *const WITH[] = {"rank",          "system",       "official score",
                                       "bootstrap 95%", "jackknife +-", "AUC source",
                                       "AUC target",    "pAUC",         NULL};
    static const char *const WITHOUT[] = {
        "rank", "system", "official score", "bootstrap 95%", "jackknife +-", "AUC", "pAUC", NULL};
    bool domains = has_domains(ranking);
    Table table;
    table_init(&table, domains ? WITH : WITHOUT);
    table.numeric = ~2u; // all but the name
    for (uint32_t i = 0; i < ranking->count; i++) {
        system_row(&table, &ranking->systems[i], domains);
    }
    table_format(&table, out);
    table_done(&table);
}

static void section_cells(Table *table, const Evaluation *e, const SectionResult *section) {
    const size_t WITH[] = {offsetof(Metrics, auc_source), offsetof(Metrics, auc_target),
                           offsetof(Metrics, pauc), offsetof(Metrics, f1_source),
                           offsetof(Metrics, f1_target)};
    const size_t WITHOUT[] = {offsetof(Metrics, auc), offsetof(Metrics, pauc),
                              offsetof(Metrics, f1)};
    for (size_t i = 0; i < (e->has_domains ? 5u : 3u); i++) {
        size_t field = e->has_domains ? WITH[i] : WITHOUT[i];
        cell(table, section != NULL ? value_of(section, field) : mean_of(e, field));
    }
}

static void format_one(const Evaluation *e, Buffer *out) {
    static const char *const WITH[] = {"machine",    "section",    "normals", "anomalies",
                                       "AUC source", "AUC target", "pAUC",    "F1 source",
                                       "F1 target",  NULL};
    static const char *const WITHOUT[] = {"machine", "section", "normals", "anomalies",
                                          "AUC",     "pAUC",    "F1",      NULL};
    Table table;
    table_init(&table, e->has_domains ? WITH : WITHOUT);
    table.numeric = ~3u; // all but the names
    uint32_t normals = 0, anomalies = 0;
    for (uint32_t s = 0; s < e->section_count; s++) {
        const SectionResult *section = &e->sections[s];
        table_text(&table, section->machine);
        table_text(&table, section->section);
        table_number(&table, section->normals);
        table_number(&table, section->anomalies);
        section_cells(&table, e, section);
        normals += section->normals;
        anomalies += section->anomalies;
    }
    table_text(&table, e->config.rule == OFFICIAL_2020 ? "mean" : "harmonic mean");
    table_text(&table, "");
    table_number(&table, normals);
    table_number(&table, anomalies);
    section_cells(&table, e, NULL);
    table_format(&table, out);
    table_done(&table);
}

static void put_value(Buffer *out, const char *name, double value) {
    if (isnan(value)) {
        buffer_format(out, "%-24s undefined\n", name);
    } else {
        buffer_format(out, "%-24s ", name);
        buffer_number(out, value);
        buffer_text(out, "\n");
    }
}

// The official score of the single system and how sure it is.
static void format_score(const Ranking *ranking, const Evaluation *e, Buffer *out) {
    const Intervals *i = &e->intervals;
    buffer_text(out, "\n");
    put_value(out, "official score", e->official);
    if (!isnan(i->bootstrap_low)) {
        buffer_format(out, "  95%% by bootstrap       %.4f .. %.4f (%u resamples, seed %u)\n",
                      i->bootstrap_low, i->bootstrap_high, e->config.resamples,
                      (unsigned)e->config.seed);
    }
    if (!isnan(i->jackknife_half)) {
        buffer_format(out, "  95%% by jackknife       +- %.4f\n", i->jackknife_half);
    }
    if (!isnan(i->evaluator_half)) {
        buffer_format(out, "  the evaluator's \"ci95\" %.6g (of the pooled curve, too narrow)\n",
                      i->evaluator_half);
    }
    if (ranking->rule == OFFICIAL_2021) {
        put_value(out, "baseline summary", e->baseline_summary);
    }
}

void ranking_format(const Ranking *ranking, Buffer *out) {
    const Evaluation *only = ranking->count == 1 ? ranking->systems[0].evaluation : NULL;
    if (only != NULL) {
        buffer_format(out, "%s\n\n", ranking->systems[0].name);
        format_one(only, out);
        format_score(ranking, only, out);
    } else {
        format_systems(ranking, out);
    }
    buffer_format(out, "\nofficial score: %s; ", ranking_rule_text(ranking->rule));
    if (ranking->year > 0) {
        buffer_format(out, "year %d, %s\n", (int)ranking->year, ranking->year_is);
    } else {
        buffer_format(out, "%s\n", ranking->year_is);
    }
}

// ---- CSV ----

static void csv_system(CsvWriter *writer, const RankedSystem *system) {
    const Evaluation *e = system->evaluation;
    if (system->rank > 0) {
        csv_writer_int(writer, system->rank);
    } else {
        csv_writer_text(writer, "");
    }
    csv_writer_text(writer, system->name);
    const Intervals none = {NAN, NAN, NAN, NAN, NAN, NAN}, *i = e != NULL ? &e->intervals : &none;
    csv_writer_number(writer, e != NULL ? e->official : NAN);
    csv_writer_number(writer, i->bootstrap_low);
    csv_writer_number(writer, i->bootstrap_high);
    csv_writer_number(writer, i->jackknife_half);
    csv_writer_number(writer, i->evaluator_half);
    csv_writer_number(writer, e != NULL && e->has_domains ? e->baseline_summary : NAN);
    for (int m = 0; m < METRIC_COUNT; m++) {
        csv_writer_number(writer, e != NULL ? mean_of(e, METRICS[m].field) : NAN);
    }
    const char *reason = "";
    for (uint32_t f = 0; f < system->remarks->count && system->rank == 0; f++) {
        const Remark *finding = &system->remarks->items[f];
        reason = finding->kind == REMARK_ERROR && reason[0] == '\0' ? finding->text : reason;
    }
    csv_writer_text(writer, reason);
    csv_writer_end_row(writer);
}

void ranking_csv(const Ranking *ranking, Buffer *out) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "rank,system,official_score,bootstrap_low,bootstrap_high,"
                               "jackknife_half,evaluator_ci95,baseline_summary,auc,auc_source,"
                               "auc_target,pauc,precision_source,precision_target,recall_source,"
                               "recall_target,f1_source,f1_target,reason");
    for (uint32_t i = 0; i < ranking->count; i++) {
        csv_system(&writer, &ranking->systems[i]);
    }
    buffer_append(out, buffer_cstr(&writer.text), writer.text.size);
    out->status = out->status == STATUS_OK ? writer.text.status : out->status;
    csv_writer_done(&writer);
}

// ---- JSON ----

static void json_number(Buffer *out, const char *name, double value) {
    buffer_format(out, ",\"%s\":", name);
    if (isfinite(value)) {
        buffer_number(out, value);
    } else {
        buffer_text(out, "null"); // JSON has no NaN
    }
}

static void json_remarks(Buffer *out, const Remarks *remarks) {
    buffer_text(out, "[");
    for (uint32_t i = 0; i < remarks->count; i++) {
        buffer_format(out, "%s{\"kind\":\"%s\",\"text\":", i > 0 ? ",\n" : "",
                      remark_kind_text(remarks->items[i].kind));
        buffer_json(out, remarks->items[i].text);
        buffer_text(out, "}");
    }
    buffer_text(out, "]");
}

static void json_section(Buffer *out, const SectionResult *section) {
    buffer_text(out, "{\"machine\":");
    buffer_json(out, section->machine);
    buffer_text(out, ",\"section\":");
    buffer_json(out, section->section);
    buffer_format(out, ",\"normals\":%u,\"anomalies\":%u", section->normals, section->anomalies);
    for (int m = 0; m < METRIC_COUNT; m++) {
        json_number(out, METRICS[m].name, value_of(section, METRICS[m].field));
    }
    json_number(out, "precision", section->metrics.precision);
    json_number(out, "recall", section->metrics.recall);
    json_number(out, "f1", section->metrics.f1);
    json_number(out, "pauc_source", section->metrics.pauc_source);
    json_number(out, "pauc_target", section->metrics.pauc_target);
    buffer_text(out, "}");
}

static void json_evaluation(Buffer *out, const Evaluation *e) {
    json_number(out, "official_score", e->official);
    json_number(out, "baseline_summary", e->has_domains ? e->baseline_summary : NAN);
    json_number(out, "mean_auc", e->mean_auc);
    json_number(out, "mean_pauc", e->mean_pauc);
    json_number(out, "bootstrap_low", e->intervals.bootstrap_low);
    json_number(out, "bootstrap_high", e->intervals.bootstrap_high);
    json_number(out, "jackknife_half", e->intervals.jackknife_half);
    json_number(out, "evaluator_ci95", e->intervals.evaluator_half);
    for (int m = 0; m < METRIC_COUNT; m++) {
        json_number(out, METRICS[m].name, mean_of(e, METRICS[m].field));
    }
    buffer_text(out, ",\"sections\":[");
    for (uint32_t s = 0; s < e->section_count; s++) {
        buffer_text(out, s > 0 ? ",\n" : "\n");
        json_section(out, &e->sections[s]);
    }
    buffer_text(out, "]");
}

void ranking_json(const Ranking *ranking, Buffer *out) {
    buffer_format(out, "{\"rule\":\"%s\",\"year\":", official_rule_name(ranking->rule));
    if (ranking->year > 0) {
        buffer_format(out, "%d", (int)ranking->year);
    } else {
        buffer_text(out, "null");
    }
    buffer_format(out,
                  ",\"truth\":{\"clips\":%u,\"labelled\":%u,\"remarks\":", ranking->truth_clips,
                  ranking->truth_labelled);
    json_remarks(out, ranking->truth_remarks);
    buffer_text(out, "},\"systems\":[");
    for (uint32_t i = 0; i < ranking->count; i++) {
        const RankedSystem *system = &ranking->systems[i];
        buffer_text(out, i > 0 ? ",\n{\"system\":" : "\n{\"system\":");
        buffer_json(out, system->name);
        buffer_format(out, system->rank > 0 ? ",\"rank\":%u" : ",\"rank\":null", system->rank);
        if (system->evaluation != NULL) {
            json_evaluation(out, system->evaluation);
        }
        buffer_text(out, ",\"remarks\":");
        json_remarks(out, system->remarks);
        buffer_text(out, "}");
    }
    buffer_text(out, "]}\n");
}
