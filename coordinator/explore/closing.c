// SPDX-License-Identifier: Apache-2.0
#include "coordinator/explore/closing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/table.h"

// What is told of a machine.
typedef struct MachineFacts {
    uint32_t clips, suspicious;
    double seconds;
    double least_db, most_db;   // medians of the groups' levels; NaN without sound
    double rate_hz, rate_other; // least and most; 0 without sound
    const DomainShift *widest;  // of the log-mel bands and numbers; NULL: none is told
    uint32_t by[SUSPICIONS];
} MachineFacts;

static void add_group(const ExploredGroup *group, MachineFacts *facts) {
    facts->clips += group->count;
    if (group->sounds == 0) {
        return;
    }
    const Spread *level = &group->numbers[NUMBER_LEVEL_DB];
    const Spread *rate = &group->numbers[NUMBER_RATE_HZ];
    facts->seconds += group->seconds;
    facts->least_db = fmin(facts->least_db, level->median); // of a NaN and a number: the number
    facts->most_db = fmax(facts->most_db, level->median);
    facts->rate_other = fmax(facts->rate_other, rate->most);
    facts->rate_hz = facts->rate_hz > 0 ? fmin(facts->rate_hz, rate->least) : rate->least;
}

static MachineFacts facts_of(const ExploreSummary *summary, uint32_t machine) {
    MachineFacts facts = {.least_db = NAN, .most_db = NAN};
    for (uint32_t g = 0; g < summary->group_count; g++) {
        if (summary->groups[g].machine == machine) {
            add_group(&summary->groups[g], &facts);
        }
    }
    uint32_t last = UINT32_MAX; // a clip may be suspicious of several things
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        const SuspiciousClip *clip = &summary->suspicious[i];
        if (summary->dataset->clips[clip->clip].machine == machine) {
            facts.by[clip->suspicion]++;
            facts.suspicious += clip->clip != last;
            last = clip->clip;
        }
    }
    for (uint32_t i = 0; i < summary->shift_count; i++) {
        const DomainShift *shift = &summary->shifts[i];
        if (shift->machine == machine &&
            (facts.widest == NULL || fabs(shift->shift) > fabs(facts.widest->shift))) {
            facts.widest = shift;
        }
    }
    return facts;
}

static void name_feature(int32_t feature, char out[40]) {
    if (feature < EXPLORATION_NUMBERS) {
        snprintf(out, 40, "%s", EXPLORATION_FACTS[feature].column);
    } else {
        snprintf(out, 40, "mel_%d", feature - EXPLORATION_NUMBERS);
    }
}

// "least .. most" with so many decimals, or the one number that both show as; "" for NaN.
static void add_range(Table *table, int decimals, double least, double most) {
    char low[32], high[32], text[80] = "";
    snprintf(low, sizeof low, "%.*f", decimals, least);
    snprintf(high, sizeof high, "%.*f", decimals, most);
    if (!isnan(least) && strcmp(low, high) == 0) {
        snprintf(text, sizeof text, "%s", low);
    } else if (!isnan(least)) {
        snprintf(text, sizeof text, "%s .. %s", low, high);
    }
    table_text(table, text);
}

// A name from a folder has no control characters (dataset.h); its set where it is not plain.
static void add_name(Table *table, const Machine *machine) {
    char text[2 * LIMIT_NAME_BYTES];
    snprintf(text, sizeof text, "%s%s%s%s", machine->name, machine->set != SET_PLAIN ? " (" : "",
             machine->set != SET_PLAIN ? dataset_set_text(machine->set) : "",
             machine->set != SET_PLAIN ? ")" : "");
    table_text(table, text);
}

static void add_shift(Table *table, const DomainShift *shift) {
    char text[80] = "", feature[40];
    if (shift != NULL) {
        name_feature(shift->feature, feature);
        snprintf(text, sizeof text, "%+.1f (%s)", shift->shift, feature);
    }
    table_text(table, text);
}

static void add_machine(Table *table, const ExploreSummary *summary, uint32_t machine) {
    MachineFacts facts = facts_of(summary, machine);
    bool has_sound = facts.rate_hz > 0;
    add_name(table, &summary->dataset->machines[machine]);
    table_number(table, facts.clips);
    add_range(table, 1, has_sound ? facts.seconds / 60 : NAN, facts.seconds / 60);
    add_range(table, 0, has_sound ? facts.rate_hz : NAN, facts.rate_other);
    add_range(table, 1, facts.least_db, facts.most_db);
    add_shift(table, facts.widest);
    table_number(table, facts.suspicious);
}

static void format_suspicions(const ExploreSummary *summary, Buffer *out) {
    uint32_t counts[SUSPICIONS] = {0};
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        counts[summary->suspicious[i].suspicion]++;
    }
    const char *before = "\nsuspicious clips: ";
    for (int s = 0; s < SUSPICIONS; s++) {
        if (counts[s] > 0) {
            buffer_format(out, "%s%s %u", before, suspicion_name((Suspicion)s), counts[s]);
            before = ", ";
        }
    }
    buffer_text(out, summary->suspicious_count > 0 ? " (eda_suspicious.csv)\n"
                                                   : "\nno suspicious clips\n");
}

void explore_closing_format(const ExploreSummary *summary, Buffer *out) {
    static const char *const HEADERS[] = {"machine",  "clips",        "minutes",    "Hz",
                                          "level dB", "widest shift", "suspicious", NULL};
    Table table;
    table_init(&table, HEADERS);
    table.numeric = ~1u; // all but the name are figures
    for (uint32_t m = 0; m < summary->dataset->machine_count; m++) {
        add_machine(&table, summary, m);
    }
    table_format(&table, out);
    table_done(&table);
    format_suspicions(summary, out);
}

static void add_json(const char *name, double value, Buffer *out) {
    buffer_format(out, ", \"%s\": ", name);
    if (isfinite(value)) {
        buffer_number(out, value);
    } else {
        buffer_text(out, "null"); // JSON has no NaN
    }
}

static void add_json_machine(const ExploreSummary *summary, uint32_t machine, Buffer *out) {
    MachineFacts facts = facts_of(summary, machine);
    const Machine *of = &summary->dataset->machines[machine];
    char feature[40] = "";
    buffer_text(out, "{\"machine_type\": ");
    buffer_json(out, of->name);
    buffer_format(out, ", \"set\": \"%s\", \"clips\": %u", dataset_set_text(of->set), facts.clips);
    add_json("seconds", facts.seconds, out);
    add_json("rate_hz_min", facts.rate_hz, out);
    add_json("rate_hz_max", facts.rate_other, out);
    add_json("level_db_min", facts.least_db, out);
    add_json("level_db_max", facts.most_db, out);
    add_json("shift", facts.widest != NULL ? facts.widest->shift : NAN, out);
    if (facts.widest != NULL) {
        name_feature(facts.widest->feature, feature);
    }
    buffer_format(out, ", \"shift_of\": \"%s\", \"suspicious\": %u", feature, facts.suspicious);
    for (int s = 0; s < SUSPICIONS; s++) {
        buffer_format(out, ", \"%s\": %u", suspicion_name((Suspicion)s), facts.by[s]);
    }
    buffer_text(out, "}");
}

void explore_closing_json(const ExploreSummary *summary, Buffer *out) {
    buffer_text(out, "[");
    for (uint32_t m = 0; m < summary->dataset->machine_count; m++) {
        buffer_text(out, m > 0 ? ",\n " : "");
        add_json_machine(summary, m, out);
    }
    buffer_text(out, "]\n");
}
