// SPDX-License-Identifier: Apache-2.0
#include "common/base/setting_lists.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

static const char *const SPACES = " \t";

enum {
    ITEM_BYTES = TEXT_NUMBER_BYTES, // longer than any number or word that is accepted
    VALUES_BYTES = LIMIT_SEEDS * ITEM_BYTES,
};

// ---- lists as text ----

// What is left to be read of a list: the items between the brackets, which may be left away.
typedef struct Items {
    const char *at, *end; // at == NULL: none is left
    bool in_brackets;
} Items;

static void trim(const char **start, const char **end) {
    while (*start < *end && strchr(SPACES, **start) != NULL) {
        (*start)++;
    }
    while (*end > *start && strchr(SPACES, (*end)[-1]) != NULL) {
        (*end)--;
    }
}

static Items items_of(const char *value) {
    Items items = {value, value + strlen(value), false};
    trim(&items.at, &items.end);
    if (items.end - items.at >= 2 && items.at[0] == '[' && items.end[-1] == ']') {
        items.in_brackets = true;
        items.at++;
        items.end--;
        trim(&items.at, &items.end);
    }
    if (items.in_brackets ? items.at == items.end : setting_is_null(value)) {
        items.at = NULL;
    }
    return items;
}

// The next item without the spaces around it; "" for one that is too long for any value.
static bool next_item(Items *items, char out[ITEM_BYTES]) {
    if (items->at == NULL) {
        return false;
    }
    const char *comma = memchr(items->at, ',', (size_t)(items->end - items->at));
    const char *start = items->at, *end = comma != NULL ? comma : items->end;
    trim(&start, &end);
    size_t length = end - start < ITEM_BYTES ? (size_t)(end - start) : 0;
    memcpy(out, start, length);
    out[length] = '\0';
    items->at = comma != NULL ? comma + 1 : NULL;
    return true;
}

// ---- seeds ----

static bool has_seed(const SeedList *list, int64_t seed) {
    for (int32_t i = 0; i < list->count; i++) {
        if (list->seeds[i] == seed) {
            return true;
        }
    }
    return false;
}

static Status read_seeds(const SettingRow *row, const char *value, SeedList *ret_list) {
    SeedList list = {0};
    char item[ITEM_BYTES];
    for (Items items = items_of(value); next_item(&items, item);) {
        int64_t seed;
        if (text_to_int(item, &seed) != STATUS_OK ||
            !((double)seed >= row->least && (double)seed <= row->most) || has_seed(&list, seed)) {
            return setting_out_of_range(row, value);
        }
        if (list.count == LIMIT_SEEDS) {
            return status_set(STATUS_INVALID, "%s: accepted are at most %d", row->key, LIMIT_SEEDS);
        }
        list.seeds[list.count++] = seed;
    }
    *ret_list = list;
    return STATUS_OK;
}

Status setting_set_seeds(Settings *settings, const SettingRow *row, const char *value) {
    SeedList list;
    Status status = read_seeds(row, value, &list);
    if (status == STATUS_OK) {
        settings->seed = list.count > 0 ? list.seeds[0] : settings->seed;
        settings->seeds = list.count > 1 ? list : (SeedList){0};
    }
    return status;
}

void setting_seeds_value(const Settings *settings, Buffer *out) {
    buffer_text(out, "[");
    for (int32_t i = 0; i < settings->seeds.count; i++) {
        buffer_format(out, "%s%lld", i > 0 ? ", " : "", (long long)settings->seeds.seeds[i]);
    }
    buffer_text(out, "]");
}

// ---- scores ----

static bool has_score(const ScoreList *list, int32_t kind) {
    for (int32_t i = 0; i < list->count; i++) {
        if (list->kinds[i] == kind) {
            return true;
        }
    }
    return false;
}

bool settings_wants(const Settings *settings, ScoreKind kind) {
    return settings->score == (int32_t)kind || has_score(&settings->scores, (int32_t)kind);
}

Status setting_set_scores(Settings *settings, const SettingRow *row, const char *value) {
    ScoreList list = {0};
    char item[ITEM_BYTES];
    for (Items items = items_of(value); next_item(&items, item);) {
        int32_t kind = setting_choice(row, item);
        if (kind < 0 || has_score(&list, kind)) {
            return setting_no_choice(row, value);
        }
        list.kinds[list.count++] = kind;
    }
    if (list.count == 0) {
        return setting_no_choice(row, value);
    }
    settings->score = list.kinds[0];
    settings->scores = list.count > 1 ? list : (ScoreList){0};
    return STATUS_OK;
}

void setting_scores_value(const Settings *settings, const SettingRow *row, Buffer *out) {
    if (settings->scores.count == 0) {
        buffer_text(out, row->choices[settings->score]);
        return;
    }
    buffer_text(out, "[");
    for (int32_t i = 0; i < settings->scores.count; i++) {
        buffer_format(out, "%s%s", i > 0 ? ", " : "", row->choices[settings->scores.kinds[i]]);
    }
    buffer_text(out, "]");
}

// ---- widths ----

Status setting_set_widths(WidthList *list, const SettingRow *row, const char *value) {
    WidthList widths = {0};
    char item[ITEM_BYTES];
    for (Items items = items_of(value); next_item(&items, item);) {
        int64_t width;
        if (text_to_int(item, &width) != STATUS_OK ||
            !((double)width >= row->least && (double)width <= row->most)) {
            return setting_out_of_range(row, value);
        }
        if (widths.count == LIMIT_HIDDEN) {
            return status_set(STATUS_INVALID, "%s: accepted are at most %d layers", row->key,
                              LIMIT_HIDDEN);
        }
        widths.widths[widths.count++] = (int32_t)width;
    }
    if (widths.count == 0) {
        return setting_out_of_range(row, value);
    }
    *list = widths;
    return STATUS_OK;
}

void setting_widths_value(const WidthList *list, Buffer *out) {
    buffer_text(out, "[");
    for (int32_t i = 0; i < list->count; i++) {
        buffer_format(out, "%s%d", i > 0 ? ", " : "", list->widths[i]);
    }
    buffer_text(out, "]");
}

// ---- the matrix ----

static size_t field_bytes(const SettingRow *row) {
    return row->type == SETTING_INT64  ? sizeof(int64_t)
           : row->type == SETTING_REAL ? sizeof(double)
                                       : sizeof(int32_t);
}

static SettingNumber field_of(const Settings *settings, const SettingRow *row) {
    SettingNumber number = {0};
    memcpy(&number, (const char *)settings + row->offset, field_bytes(row));
    return number;
}

static bool same_number(SettingNumber a, SettingNumber b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool has_value(const MatrixAxis *axis, SettingNumber value) {
    for (int32_t i = 0; i < axis->count; i++) {
        if (same_number(axis->values[i], value)) {
            return true;
        }
    }
    return false;
}

// Why a setting has one value in all of a run; NULL when it may vary.
static const char *why_fixed(const SettingRow *row) {
    if (row->stage == SETTING_EXECUTION) {
        return "it changes no result";
    }
    if (strcmp(row->key, "numerics") == 0) {
        return "each program calculates with one kernel";
    }
    if (strcmp(row->key, "model_per") == 0) {
        return "it says which models there are";
    }
    if (row->type == SETTING_WIDTHS) {
        return "a list of lists has no place in a matrix; make a run for each";
    }
    bool is_of_systems = row->type == SETTING_MATRIX || row->type == SETTING_NAME ||
                         strcmp(row->key, "pictures") == 0;
    return is_of_systems || strcmp(row->key, "ensemble") == 0 ? "it speaks of all systems" : NULL;
}

static void remove_axis(Matrix *matrix, const SettingRow *row) {
    for (int32_t i = 0; i < matrix->count; i++) {
        if (matrix->axes[i].row == row) {
            matrix->count--;
            memmove(&matrix->axes[i], &matrix->axes[i + 1],
                    (size_t)(matrix->count - i) * sizeof matrix->axes[0]);
        }
    }
}

static Status insert_axis(Matrix *matrix, const MatrixAxis *axis) {
    if (matrix->count == LIMIT_AXES) {
        return status_set(STATUS_INVALID, "matrix: at most %d settings may vary", LIMIT_AXES);
    }
    int32_t place = matrix->count++;
    for (; place > 0 && matrix->axes[place - 1].row > axis->row; place--) {
        matrix->axes[place] = matrix->axes[place - 1];
    }
    matrix->axes[place] = *axis;
    return STATUS_OK;
}

// Each value is read as if it were set alone.
static Status read_axis(const Settings *settings, const char *values, MatrixAxis *axis) {
    char item[ITEM_BYTES];
    Settings one = *settings;
    for (Items items = items_of(values); next_item(&items, item);) {
        Status status = settings_set(&one, axis->row->key, item);
        if (status != STATUS_OK) {
            return status;
        }
        if (has_value(axis, field_of(&one, axis->row))) {
            return status_set(STATUS_INVALID, "matrix: %s has %s twice", axis->row->key, item);
        }
        if (axis->count == LIMIT_AXIS_VALUES) {
            return status_set(STATUS_INVALID, "matrix: %s has more than %d values", axis->row->key,
                              LIMIT_AXIS_VALUES);
        }
        axis->values[axis->count++] = field_of(&one, axis->row);
    }
    return axis->count > 0 ? STATUS_OK
                           : status_set(STATUS_INVALID, "matrix: %s has no value", axis->row->key);
}

static Status vary_number(Settings *settings, const SettingRow *row, const char *values) {
    MatrixAxis axis = {.row = row};
    Settings changed = *settings;
    Status status = read_axis(settings, values, &axis);
    remove_axis(&changed.matrix, row);
    if (status == STATUS_OK && axis.count > 1) {
        status = insert_axis(&changed.matrix, &axis);
    }
    if (status == STATUS_OK) {
        memcpy((char *)&changed + row->offset, &axis.values[0], field_bytes(row));
        *settings = changed;
    }
    return status;
}

Status settings_vary(Settings *settings, const char *key, const char *values) {
    const SettingRow *row = NULL;
    Status status = settings_row(strcmp(key, "seed") == 0 ? "seeds" : key, &row);
    if (status != STATUS_OK) {
        return status_prefix(status, "matrix");
    }
    const char *why = why_fixed(row);
    if (why != NULL) {
        return status_set(STATUS_INVALID, "matrix: %s cannot vary within a run: %s", key, why);
    }
    bool has_list = row->type == SETTING_SEEDS || row->type == SETTING_SCORES;
    return has_list ? settings_set(settings, row->key, values) : vary_number(settings, row, values);
}

static Status not_a_matrix(const SettingRow *row, const char *value) {
    return status_set(STATUS_INVALID, "%s is '%s': accepted is {key: [value, ...], ...}", row->key,
                      value);
}

// One "key: [value, ...]" or "key: value"; *at moves behind it.
static bool next_axis(const char **at, const char *end, char key[64], char values[VALUES_BYTES]) {
    const char *colon = memchr(*at, ':', (size_t)(end - *at));
    if (colon == NULL) {
        return false;
    }
    const char *start = *at, *stop = colon;
    trim(&start, &stop);
    snprintf(key, 64, "%.*s", (int)(stop - start), start);
    start = colon + 1;
    trim(&start, &end);
    char close = start < end && start[0] == '[' ? ']' : ',';
    stop = memchr(start, close, (size_t)(end - start));
    if (stop == NULL && close == ']') {
        return false;
    }
    stop = stop == NULL ? end : stop + (close == ']');
    bool fits = stop - start < VALUES_BYTES;
    snprintf(values, VALUES_BYTES, "%.*s", (int)(stop - start), start);
    stop += strspn(stop, SPACES);
    bool is_end = stop >= end;
    *at = is_end ? end : stop + 1;
    return fits && (is_end || *stop == ',');
}

// The settings that a matrix has named so far; seeds and scores, which have no axis, among them.
typedef struct Named {
    const SettingRow *rows[LIMIT_AXES + 2];
    int32_t count;
} Named;

static Status name_once(Named *named, const char *key) {
    const SettingRow *row = NULL;
    Status status = settings_row(strcmp(key, "seed") == 0 ? "seeds" : key, &row);
    for (int32_t i = 0; status == STATUS_OK && i < named->count; i++) {
        if (named->rows[i] == row) {
            return status_set(STATUS_INVALID, "matrix: '%s' stands twice", key);
        }
    }
    if (status == STATUS_OK && named->count == LIMIT_AXES + 2) {
        return status_set(STATUS_INVALID, "matrix: at most %d settings may vary", LIMIT_AXES);
    }
    if (status == STATUS_OK) {
        named->rows[named->count++] = row;
    }
    return status;
}

Status setting_set_matrix(Settings *settings, const SettingRow *row, const char *value) {
    Settings changed = *settings;
    Named named = {.count = 0};
    changed.matrix = (Matrix){0};
    const char *at = value, *end = value + strlen(value);
    trim(&at, &end);
    bool in_braces = end - at >= 2 && at[0] == '{' && end[-1] == '}';
    if (!in_braces && !setting_is_null(value)) {
        return not_a_matrix(row, value);
    }
    at = in_braces ? at + 1 : end;
    end -= in_braces ? 1 : 0;
    trim(&at, &end);
    while (at < end) {
        char key[64], values[VALUES_BYTES];
        if (!next_axis(&at, end, key, values)) {
            return not_a_matrix(row, value);
        }
        Status status = settings_vary(&changed, key, values);
        if (status == STATUS_OK) {
            status = name_once(&named, key);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    *settings = changed;
    return STATUS_OK;
}

void setting_matrix_value(const Settings *settings, Buffer *out) {
    buffer_text(out, "{");
    for (int32_t i = 0; i < settings->matrix.count; i++) {
        const MatrixAxis *axis = &settings->matrix.axes[i];
        Settings one = *settings;
        buffer_format(out, "%s%s: [", i > 0 ? ", " : "", axis->row->key);
        for (int32_t v = 0; v < axis->count; v++) {
            memcpy((char *)&one + axis->row->offset, &axis->values[v], field_bytes(axis->row));
            buffer_text(out, v > 0 ? ", " : "");
            settings_value(&one, axis->row, out);
        }
        buffer_text(out, "]");
    }
    buffer_text(out, "}");
}

Status setting_check_matrix(const Settings *settings) {
    for (int32_t i = 0; i < settings->matrix.count; i++) {
        const MatrixAxis *axis = &settings->matrix.axes[i];
        if (!same_number(field_of(settings, axis->row), axis->values[0])) {
            return status_set(STATUS_INVALID,
                              "%s is set and varies in the matrix too: give one of the two",
                              axis->row->key);
        }
    }
    return STATUS_OK;
}

// ---- what only adds ----

static const MatrixAxis *axis_of(const Settings *settings, const SettingRow *row) {
    for (int32_t i = 0; i < settings->matrix.count; i++) {
        if (settings->matrix.axes[i].row == row) {
            return &settings->matrix.axes[i];
        }
    }
    return NULL;
}

// The values that a run has of a setting with one number.
static MatrixAxis values_of(const Settings *settings, const SettingRow *row) {
    const MatrixAxis *axis = axis_of(settings, row);
    return axis != NULL ? *axis
                        : (MatrixAxis){.row = row, .count = 1, .values = {field_of(settings, row)}};
}

static bool keeps_numbers(const Settings *old, const Settings *now, const SettingRow *row) {
    MatrixAxis before = values_of(old, row), after = values_of(now, row);
    for (int32_t i = 0; i < before.count; i++) {
        if (!has_value(&after, before.values[i])) {
            return false;
        }
    }
    return true;
}

static bool keeps_matrix(const Settings *old, const Settings *now) {
    for (int32_t i = 0; i < old->matrix.count; i++) {
        if (!keeps_numbers(old, now, old->matrix.axes[i].row)) {
            return false;
        }
    }
    return true;
}

static bool keeps_seeds(const Settings *old, const Settings *now) {
    for (int32_t i = 0; i < old->seeds.count; i++) {
        if (old->seeds.seeds[i] != now->seed && !has_seed(&now->seeds, old->seeds.seeds[i])) {
            return false;
        }
    }
    return old->seed == now->seed || has_seed(&now->seeds, old->seed);
}

static bool keeps_scores(const Settings *old, const Settings *now) {
    for (int32_t i = 0; i < old->scores.count; i++) {
        if (!settings_wants(now, (ScoreKind)old->scores.kinds[i])) {
            return false;
        }
    }
    return settings_wants(now, (ScoreKind)old->score);
}

bool settings_extends(const Settings *old, const Settings *now, const SettingRow *row) {
    switch (row->type) {
    case SETTING_SEEDS:
        return keeps_seeds(old, now);
    case SETTING_INT64: // the seed alone
        return keeps_seeds(old, now);
    case SETTING_SCORES:
        return keeps_scores(old, now);
    case SETTING_MATRIX:
        return keeps_matrix(old, now);
    case SETTING_NAME: // `primary` moves results, and computes none
        return row->stage == SETTING_REPORT || strcmp(old->network, now->network) == 0;
    case SETTING_WIDTHS:
        return memcmp(&old->hidden, &now->hidden, sizeof old->hidden) == 0;
    case SETTING_INT:
    case SETTING_REAL:
    case SETTING_CHOICE:
        break;
    }
    return keeps_numbers(old, now, row);
}
