// SPDX-License-Identifier: Apache-2.0
//
// How it works. The matrix's settings, the seeds and the scores are axes alike, each with a number
// of places; a variant or a system is a number whose digits are places, the last axis' digit
// counting ones.
#include "common/base/variants.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

typedef enum AxisKind { AXIS_NUMBER, AXIS_SEED, AXIS_SCORE } AxisKind;

typedef struct Axis {
    AxisKind kind;
    uint32_t count;           // places
    const MatrixAxis *number; // of AXIS_NUMBER
} Axis;

enum { AXES_MOST = LIMIT_AXES + 1 };

// Which settings a model depends on: all but those that only reports read. The score is not one,
// since what a clip's scores are made from is measured for all scores at once.
static bool is_of_models(const MatrixAxis *axis) {
    return axis->row->stage < SETTING_REPORT;
}

static uint32_t axes_of(const Settings *settings, bool of_models, Axis out[AXES_MOST]) {
    uint32_t count = 0;
    for (int32_t i = 0; i < settings->matrix.count; i++) {
        const MatrixAxis *axis = &settings->matrix.axes[i];
        if (is_of_models(axis) == of_models) {
            out[count++] = (Axis){AXIS_NUMBER, (uint32_t)axis->count, axis};
        }
    }
    int32_t values = of_models ? settings->seeds.count : settings->scores.count;
    if (values > 1) {
        out[count++] = (Axis){of_models ? AXIS_SEED : AXIS_SCORE, (uint32_t)values, NULL};
    }
    return count;
}

static uint64_t product(const Axis *axes, uint32_t count) {
    uint64_t places = 1;
    for (uint32_t i = 0; i < count; i++) {
        places *= axes[i].count; // at most 32^8 * 100: far below 2^64
    }
    return places;
}

static uint64_t count_of(const Settings *settings, bool of_models) {
    Axis axes[AXES_MOST];
    return product(axes, axes_of(settings, of_models, axes));
}

uint32_t variants_count(const Settings *settings) {
    return (uint32_t)count_of(settings, true);
}

uint32_t variants_systems(const Settings *settings) {
    return (uint32_t)count_of(settings, false);
}

// The place on axis `which` of combination `index`.
static uint32_t place_of(const Axis *axes, uint32_t count, uint32_t which, uint32_t index) {
    return (uint32_t)(index / product(axes + which + 1, count - which - 1) % axes[which].count);
}

// ---- settings ----

static void apply(Settings *one, const Settings *all, const Axis *axis, uint32_t place) {
    char *field = (char *)one;
    switch (axis->kind) {
    case AXIS_NUMBER: {
        const SettingRow *row = axis->number->row;
        const SettingNumber *value = &axis->number->values[place];
        size_t bytes = row->type == SETTING_REAL ? sizeof value->real : sizeof value->narrow;
        memcpy(field + row->offset, value, bytes);
        break;
    }
    case AXIS_SEED:
        one->seed = all->seeds.seeds[place];
        break;
    case AXIS_SCORE:
        one->score = all->scores.kinds[place];
        break;
    }
}

static void apply_all(Settings *one, const Settings *all, bool of_models, uint32_t index) {
    Axis axes[AXES_MOST];
    uint32_t count = axes_of(all, of_models, axes);
    for (uint32_t i = 0; i < count; i++) {
        apply(one, all, &axes[i], place_of(axes, count, i, index));
    }
}

Settings variants_settings(const Settings *settings, uint32_t variant) {
    Settings one = *settings;
    apply_all(&one, settings, true, variant);
    one.matrix = (Matrix){0};
    one.seeds = (SeedList){0};
    one.ensemble = ENSEMBLE_NONE;
    memset(one.primary, 0, sizeof one.primary);
    return one;
}

Settings variants_system_settings(const Settings *settings, uint32_t variant, uint32_t system) {
    Settings one = variants_settings(settings, variant);
    apply_all(&one, settings, false, system);
    one.scores = (ScoreList){0};
    return one;
}

// ---- names ----

enum { PART_BYTES = 96 }; // a key, and a number or a word

// "n_mels_64"; without the heap, so that a name is never a matter of memory.
static void part_of(const Settings *one, const Axis *axis, char out[PART_BYTES]) {
    if (axis->kind == AXIS_SEED) {
        snprintf(out, PART_BYTES, "seed_%lld", (long long)one->seed);
        return;
    }
    if (axis->kind == AXIS_SCORE) {
        snprintf(out, PART_BYTES, "%s", settings_score_name((ScoreKind)one->score));
        return;
    }
    const SettingRow *row = axis->number->row;
    SettingNumber value = {0};
    char number[TEXT_NUMBER_BYTES];
    memcpy(&value, (const char *)one + row->offset,
           row->type == SETTING_REAL ? sizeof value.real : sizeof value.narrow);
    if (row->type == SETTING_REAL) {
        text_number(number, value.real);
    } else {
        snprintf(number, sizeof number, "%d", value.narrow);
    }
    snprintf(out, PART_BYTES, "%s_%s", row->key,
             row->choices != NULL ? row->choices[value.narrow] : number);
}

// Behind what stands in `out`; what does not fit has been refused by variants_check.
static void write_parts(const Settings *all, const Settings *one, bool of_models, bool with_seed,
                        char out[LIMIT_SYSTEM_BYTES]) {
    Axis axes[AXES_MOST];
    uint32_t count = axes_of(all, of_models, axes);
    for (uint32_t i = 0; i < count; i++) {
        char part[PART_BYTES];
        size_t length = strlen(out);
        if (with_seed || axes[i].kind != AXIS_SEED) {
            part_of(one, &axes[i], part);
            snprintf(out + length, LIMIT_SYSTEM_BYTES - length, "%s%s", length > 0 ? "_" : "",
                     part);
        }
    }
}

void variants_name(const Settings *settings, uint32_t variant, char out[LIMIT_SYSTEM_BYTES]) {
    Settings one = variants_settings(settings, variant);
    out[0] = '\0';
    write_parts(settings, &one, true, true, out);
}

void variants_system_name(const Settings *settings, uint32_t variant, uint32_t system,
                          char out[LIMIT_SYSTEM_BYTES]) {
    Settings one = variants_system_settings(settings, variant, system);
    out[0] = '\0';
    write_parts(settings, &one, true, true, out);
    write_parts(settings, &one, false, true, out);
}

void variants_setting_name(const Settings *settings, uint32_t variant, uint32_t system,
                           char out[LIMIT_SYSTEM_BYTES]) {
    Settings one = variants_system_settings(settings, variant, system);
    out[0] = '\0';
    write_parts(settings, &one, true, false, out);
    write_parts(settings, &one, false, false, out);
}

// ---- reading names ----

// Behind a part of this length: the rest of the name, NULL when the part does not end there.
static const char *behind(const char *name, size_t length) {
    bool is_more = name[length] == '_' && name[length + 1] != '\0';
    return name[length] == '\0' ? name + length : is_more ? name + length + 1 : NULL;
}

static const char *skip_score(const char *name) {
    for (int kind = 0; kind < SCORE_KINDS; kind++) {
        const char *score = settings_score_name((ScoreKind)kind);
        if (text_starts(name, score) && behind(name, strlen(score)) != NULL) {
            return behind(name, strlen(score));
        }
    }
    return NULL;
}

static bool has_one_number(const SettingRow *row) {
    return row->type == SETTING_INT || row->type == SETTING_INT64 || row->type == SETTING_REAL ||
           row->type == SETTING_CHOICE;
}

static bool is_value(const SettingRow *row, const char *start, size_t length) {
    char value[LIMIT_SYSTEM_BYTES];
    Settings scratch;
    if (length == 0 || length >= sizeof value ||
        settings_preset("default", &scratch) != STATUS_OK) {
        return false;
    }
    memcpy(value, start, length);
    value[length] = '\0';
    return settings_set(&scratch, row->key, value) == STATUS_OK;
}

// Words have '_' in them: each place where the value may end is tried.
static bool is_named_by(const SettingRow *row, const char *name) {
    size_t key = strlen(row->key);
    if (!has_one_number(row) || !text_starts(name, row->key) || name[key] != '_') {
        return false;
    }
    const char *value = name + key + 1;
    for (size_t length = 1; length <= strlen(value); length++) {
        const char *rest = behind(value, length);
        if (rest != NULL && is_value(row, value, length) &&
            (rest[0] == '\0' || variants_is_name(rest))) {
            return true;
        }
    }
    return false;
}

bool variants_is_name(const char *name) {
    const char *rest = skip_score(name);
    if (rest != NULL) {
        return rest[0] == '\0';
    }
    for (const SettingRow *row = SETTING_TABLE;
         strlen(name) < LIMIT_SYSTEM_BYTES && row->key != NULL; row++) {
        if (is_named_by(row, name)) {
            return true;
        }
    }
    return false;
}

// ---- the primary system ----

static const char *skip_parts(const Settings *all, const Settings *one, bool of_models,
                              const char *name) {
    Axis axes[AXES_MOST];
    uint32_t count = axes_of(all, of_models, axes);
    for (uint32_t i = 0; i < count; i++) {
        char part[PART_BYTES];
        part_of(one, &axes[i], part);
        const char *rest = text_starts(name, part) ? behind(name, strlen(part)) : NULL;
        name = rest != NULL ? rest : name;
    }
    return name;
}

bool variants_primary(const Settings *settings, uint32_t *ret_variant, uint32_t *ret_system) {
    uint32_t variants = variants_count(settings), systems = variants_systems(settings);
    for (uint32_t i = 0; i < variants * systems; i++) {
        Settings one = variants_system_settings(settings, i / systems, i % systems);
        const char *rest = skip_parts(settings, &one, true, settings->primary);
        if (skip_parts(settings, &one, false, rest)[0] == '\0') {
            *ret_variant = i / systems;
            *ret_system = i % systems;
            return true;
        }
    }
    return false;
}

// ---- checking ----

static Status no_such_system(const Settings *settings) {
    enum { SHOWN = 8 };
    Buffer names = BUFFER_EMPTY;
    uint32_t systems = variants_systems(settings), count = variants_count(settings) * systems;
    for (uint32_t i = 0; i < count && i < SHOWN; i++) {
        char name[LIMIT_SYSTEM_BYTES];
        variants_system_name(settings, i / systems, i % systems, name);
        buffer_format(&names, "%s%s", i > 0 ? ", " : "", name);
    }
    Status status =
        count > 1 ? status_set(STATUS_INVALID, "primary is '%s': there are %s%s", settings->primary,
                               buffer_cstr(&names), count > SHOWN ? ", ..." : "")
                  : status_set(STATUS_INVALID,
                               "primary is '%s', but there is one system alone: no setting, "
                               "seed or score varies",
                               settings->primary);
    buffer_done(&names);
    return status;
}

// Since each value's length counts alone, the longest name is found without looking at all.
static size_t longest_name(const Settings *settings) {
    size_t length = 0;
    for (int of_models = 0; of_models < 2; of_models++) {
        Axis axes[AXES_MOST];
        uint32_t count = axes_of(settings, of_models, axes);
        for (uint32_t i = 0; i < count; i++) {
            size_t longest = 0;
            for (uint32_t place = 0; place < axes[i].count; place++) {
                char part[PART_BYTES];
                Settings one = *settings;
                apply(&one, settings, &axes[i], place);
                part_of(&one, &axes[i], part);
                longest = strlen(part) > longest ? strlen(part) : longest;
            }
            length += longest + 1;
        }
    }
    return length;
}

Status variants_check(const Settings *settings) {
    uint64_t variants = count_of(settings, true), systems = count_of(settings, false);
    if (variants > LIMIT_SYSTEMS || systems > LIMIT_SYSTEMS || variants * systems > LIMIT_SYSTEMS) {
        return status_set(STATUS_INVALID,
                          "matrix, seeds and score make %.0f systems: accepted are at most %d",
                          (double)variants * (double)systems, LIMIT_SYSTEMS);
    }
    if (longest_name(settings) >= LIMIT_SYSTEM_BYTES) {
        return status_set(STATUS_INVALID,
                          "matrix: so many settings vary that a system's name is longer than %d "
                          "bytes",
                          LIMIT_SYSTEM_BYTES - 1);
    }
    uint32_t variant, system;
    return variants_primary(settings, &variant, &system) ? STATUS_OK : no_such_system(settings);
}
