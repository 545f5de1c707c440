// SPDX-License-Identifier: Apache-2.0
#include "common/base/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/text.h"

static const char *const PAD_CHOICES[] = {"zeros", "reflect", NULL};
static const char *const MODEL_PER_CHOICES[] = {"machine", "section", NULL};
static const char *const SCALER_CHOICES[] = {"none", "standard", NULL};
static const char *const SPREAD_CHOICES[] = {"auto", "always", "never", NULL};
static const char *const SCORE_CHOICES[] = {"MSE", "MAHALA", "CLIPMAHALA", NULL};
static const char *const MAHALA_CHOICES[] = {"code", "paper", NULL};
static const char *const BOOL_CHOICES[] = {"false", "true", NULL};
static const char *const THRESHOLD_CHOICES[] = {"gamma_clip", "gamma_batch", "percentile", NULL};
// The order of Kernel in common/model/linalg.h, whose test holds both together.
static const char *const NUMERICS_CHOICES[] = {"auto", "prescott", "haswell", "skylakex", NULL};

#define ROW(name, type, stage, least, most, choices, help)                                         \
    { #name, type, stage, offsetof(Settings, name), least, most, choices, help }
#define INT(name, stage, least, most, help)  ROW(name, SETTING_INT, stage, least, most, NULL, help)
#define REAL(name, stage, least, most, help) ROW(name, SETTING_REAL, stage, least, most, NULL, help)
#define CHOICE(name, stage, choices, help)   ROW(name, SETTING_CHOICE, stage, 0, 0, choices, help)

const SettingRow SETTING_TABLE[] = {
    INT(channel, SETTING_FEATURES, 0, LIMIT_CHANNELS - 1, "channel of each clip, 0 = first"),
    INT(n_fft, SETTING_FEATURES, 16, LIMIT_FFT, "samples of one Fourier transform"),
    INT(hop_length, SETTING_FEATURES, 1, LIMIT_FFT, "samples from frame to frame"),
    INT(win_length, SETTING_FEATURES, 2, LIMIT_FFT, "samples of the Hann window, at most n_fft"),
    INT(n_mels, SETTING_FEATURES, 1, LIMIT_MELS, "mel bands"),
    REAL(power, SETTING_FEATURES, 0.1, 8, "exponent of the magnitude: 1 amplitude, 2 energy"),
    REAL(fmin, SETTING_FEATURES, 0, LIMIT_RATE_HZ, "Hz, lower edge of the lowest mel band"),
    REAL(fmax, SETTING_FEATURES, 0, LIMIT_RATE_HZ,
         "Hz, upper edge of the highest mel band, 0 = half the rate"),
    CHOICE(pad_mode, SETTING_FEATURES, PAD_CHOICES,
           "beyond a clip's ends: zeros as librosa since 0.10, reflect as before"),
    INT(frames, SETTING_FEATURES, 1, LIMIT_FRAMES, "frames stacked in one vector"),
    INT(frame_hop_length, SETTING_FEATURES, 1, LIMIT_FRAMES, "frames from vector to vector"),
    CHOICE(model_per, SETTING_TRAINING, MODEL_PER_CHOICES,
           "one model for each machine, or for each section of it"),
    CHOICE(scaler, SETTING_TRAINING, SCALER_CHOICES,
           "standard: every feature to mean 0 and deviation 1 over the training vectors"),
    INT(shards, SETTING_TRAINING, 1, LIMIT_SHARDS,
        "logical shards of one model, a power of two; the unit of data parallelism"),
    INT(batch_size, SETTING_TRAINING, 2, LIMIT_BATCH, "vectors of one step, over all shards"),
    INT(epochs, SETTING_TRAINING, 1, LIMIT_EPOCHS, "passes over the training vectors"),
    REAL(learning_rate, SETTING_TRAINING, 1e-12, 10, "Adam's step size"),
    REAL(validation_split, SETTING_TRAINING, 0, 0.9, "share of the vectors held out"),
    {"seed", SETTING_INT64, SETTING_TRAINING, offsetof(Settings, seed), 0, 9007199254740992.0, NULL,
     "seed of initial weights, validation draw and permutations"},
    {"seeds", SETTING_SEEDS, SETTING_TRAINING, offsetof(Settings, seeds), 0, 9007199254740992.0,
     NULL, "several seeds, [1, 2]: models and outputs for each; the first is `seed`"},
    CHOICE(numerics, SETTING_TRAINING, NUMERICS_CHOICES,
           "BLAS kernel, part of the result; auto takes this machine's best and writes it down"),
    CHOICE(
        score, SETTING_SCORING, SCORE_CHOICES,
        "what a clip's score is: mean squared error, or the Mahalanobis distance of its residual "
        "from the training vectors' (MAHALA) or clips' (CLIPMAHALA)"),
    CHOICE(mahala, SETTING_SCORING, MAHALA_CHOICES,
           "MAHALA: of the clip's mean residual row as the baseline's code, or the mean over its "
           "rows as the paper"),
    CHOICE(compat, SETTING_SCORING, BOOL_CHOICES,
           "true: the baseline's covariances, and SciPy's walk in the gamma fit"),
    CHOICE(threshold, SETTING_REPORT, THRESHOLD_CHOICES,
           "the quantile of a gamma distribution fitted to the training clips' scores, or, as the "
           "baseline has it, to its batches' losses; or a percentile of the clips' scores"),
    REAL(decision_threshold, SETTING_REPORT, 0.001, 0.999999,
         "gamma_clip, gamma_batch: the quantile"),
    REAL(percentile, SETTING_REPORT, 0, 100, "percentile: per cent of the scores below"),
    REAL(max_fpr, SETTING_REPORT, 0.0001, 1, "false-positive rate at which pAUC ends"),
    CHOICE(spread, SETTING_EXECUTION, SPREAD_CHOICES,
           "train one model on several workers: when it pays, always, never; same bits"),
    {0},
};

static const Settings DEFAULTS = {
    .channel = 0,
    .n_fft = 1024,
    .hop_length = 512,
    .win_length = 1024,
    .n_mels = 128,
    .power = 2.0,
    .fmin = 0.0,
    .fmax = 0.0,
    .pad_mode = PAD_ZEROS,
    .frames = 5,
    .frame_hop_length = 1,
    .model_per = MODEL_PER_MACHINE,
    .scaler = SCALER_STANDARD,
    .shards = 4,
    .batch_size = 256,
    .epochs = 100,
    .learning_rate = 0.001,
    .validation_split = 0.1,
    .seed = 13711,
    .numerics = 0,
    .spread = SPREAD_AUTO,
    .score = SCORE_MSE,
    .threshold = THRESHOLD_GAMMA_CLIP,
    .decision_threshold = 0.9,
    .percentile = 95.0,
    .max_fpr = 0.1,
};

static const char *const PRESET_NAMES[] = {"default", "dcase-baseline", NULL};

const char *const *settings_preset_names(void) {
    return PRESET_NAMES;
}

Status settings_preset(const char *name, Settings *ret_settings) {
    Settings settings = DEFAULTS;
    if (strcmp(name, "dcase-baseline") == 0) {
        // The official arithmetic: no scaler, plain batch norm over the whole batch.
        settings.scaler = SCALER_NONE;
        settings.shards = 1;
        settings.model_per = MODEL_PER_SECTION;
    } else if (strcmp(name, "default") != 0) {
        return status_set(STATUS_INVALID, "unknown preset '%s': there are default, dcase-baseline",
                          name);
    }
    *ret_settings = settings;
    return STATUS_OK;
}

const char *settings_score_name(ScoreKind kind) {
    return SCORE_CHOICES[kind];
}

static const SettingRow *find(const char *key) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row;
        }
    }
    return NULL;
}

static Status unknown_key(const char *key) {
    const char *nearest = NULL;
    int least = 4; // further than three edits is no typing error
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        int distance = text_distance(key, row->key);
        if (distance < least) {
            least = distance;
            nearest = row->key;
        }
    }
    if (nearest != NULL) {
        return status_set(STATUS_INVALID, "unknown setting '%s', did you mean '%s'?", key, nearest);
    }
    return status_set(STATUS_INVALID,
                      "unknown setting '%s'; `auscult run --help-settings` lists "
                      "them",
                      key);
}

// "a, b or c"
static void list_choices(const char *const *choices, Buffer *out) {
    for (int i = 0; choices[i] != NULL; i++) {
        const char *joint = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        buffer_format(out, "%s%s", joint, choices[i]);
    }
}

static Status set_choice(int32_t *field, const SettingRow *row, const char *value) {
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], value) == 0) {
            *field = i;
            return STATUS_OK;
        }
    }
    Buffer list = BUFFER_EMPTY;
    list_choices(row->choices, &list);
    Status status = status_set(STATUS_INVALID, "%s is '%s': accepted are %s", row->key, value,
                               buffer_cstr(&list));
    buffer_done(&list);
    return status;
}

static Status out_of_range(const SettingRow *row, const char *value) {
    char least[TEXT_NUMBER_BYTES], most[TEXT_NUMBER_BYTES];
    text_number(least, row->least);
    text_number(most, row->most);
    const char *kind = row->type == SETTING_REAL    ? "a number"
                       : row->type == SETTING_SEEDS ? "a list of whole numbers, each once,"
                                                    : "a whole number";
    return status_set(STATUS_INVALID, "%s is '%s': accepted is %s from %s to %s", row->key, value,
                      kind, least, most);
}

// The ways in which YAML, and Python, write that there is no value.
static bool is_null(const char *value) {
    static const char *const WORDS[] = {"", "~", "null", "Null", "NULL", "None"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcmp(value, WORDS[i]) == 0) {
            return true;
        }
    }
    return false;
}

// The next item of a list, without the spaces around it; *at moves behind it and its comma.
static void next_item(const char **at, char out[TEXT_NUMBER_BYTES]) {
    static const char *const SPACES = " \t";
    const char *start = *at + strspn(*at, SPACES);
    size_t whole = strcspn(start, ",");
    size_t length = whole;
    while (length > 0 && strchr(SPACES, start[length - 1]) != NULL) {
        length--;
    }
    length = length < TEXT_NUMBER_BYTES ? length : 0; // nothing that long is a number
    snprintf(out, TEXT_NUMBER_BYTES, "%.*s", (int)length, start);
    *at = start[whole] == ',' ? start + whole + 1 : NULL;
}

static bool has_seed(const SeedList *list, int64_t seed) {
    for (int32_t i = 0; i < list->count; i++) {
        if (list->seeds[i] == seed) {
            return true;
        }
    }
    return false;
}

// The items between the brackets, which may be left away.
static Status read_seeds(const SettingRow *row, const char *value, SeedList *ret_list) {
    SeedList list = {0};
    char items[LIMIT_SEEDS * TEXT_NUMBER_BYTES];
    size_t length = strlen(value);
    bool in_brackets = length >= 2 && value[0] == '[' && value[length - 1] == ']';
    size_t edge = in_brackets ? 1 : 0;
    if (length - 2 * edge >= sizeof items) {
        return status_set(STATUS_INVALID, "%s: accepted are at most %d", row->key, LIMIT_SEEDS);
    }
    snprintf(items, sizeof items, "%.*s", (int)(length - 2 * edge), value + edge);
    bool is_empty = in_brackets ? items[strspn(items, " \t")] == '\0' : is_null(value);
    for (const char *at = is_empty ? NULL : items; at != NULL;) {
        char item[TEXT_NUMBER_BYTES];
        int64_t seed;
        next_item(&at, item);
        if (text_to_int(item, &seed) != STATUS_OK ||
            !((double)seed >= row->least && (double)seed <= row->most) || has_seed(&list, seed)) {
            return out_of_range(row, value);
        }
        if (list.count == LIMIT_SEEDS) {
            return status_set(STATUS_INVALID, "%s: accepted are at most %d", row->key, LIMIT_SEEDS);
        }
        list.seeds[list.count++] = seed;
    }
    *ret_list = list;
    return STATUS_OK;
}

// One seed has one form, so that its files have the same bytes whichever way it was given.
static Status set_seeds(Settings *settings, const SettingRow *row, const char *value) {
    SeedList list;
    Status status = read_seeds(row, value, &list);
    if (status == STATUS_OK) {
        settings->seed = list.count > 0 ? list.seeds[0] : settings->seed;
        settings->seeds = list.count > 1 ? list : (SeedList){0};
    }
    return status;
}

Status settings_set(Settings *settings, const char *key, const char *value) {
    const SettingRow *row = find(key);
    if (row == NULL) {
        return unknown_key(key);
    }
    char *field = (char *)settings + row->offset;
    if (row->type == SETTING_CHOICE) {
        return set_choice((int32_t *)(void *)field, row, value);
    }
    if (row->type == SETTING_SEEDS) {
        return set_seeds(settings, row, value);
    }
    // The official baseline writes null for "up to half the rate" and "as long as n_fft".
    char n_fft[16];
    if (is_null(value) && strcmp(key, "fmax") == 0) {
        value = "0";
    } else if (is_null(value) && strcmp(key, "win_length") == 0) {
        snprintf(n_fft, sizeof n_fft, "%d", settings->n_fft);
        value = n_fft;
    }
    if (row->type == SETTING_REAL) {
        double real;
        if (text_to_double(value, &real) != STATUS_OK ||
            !(real >= row->least && real <= row->most)) {
            return out_of_range(row, value);
        }
        memcpy(field, &real, sizeof real);
        return STATUS_OK;
    }
    int64_t whole;
    if (text_to_int(value, &whole) != STATUS_OK ||
        !((double)whole >= row->least && (double)whole <= row->most)) {
        return out_of_range(row, value);
    }
    int32_t narrow = (int32_t)whole;
    if (row->type == SETTING_INT64) {
        memcpy(field, &whole, sizeof whole);
    } else {
        memcpy(field, &narrow, sizeof narrow);
    }
    return STATUS_OK;
}

Status settings_assign(Settings *settings, const char *assignment) {
    const char *equals = strchr(assignment, '=');
    char key[64];
    if (equals == NULL || equals == assignment || (size_t)(equals - assignment) >= sizeof key) {
        return status_set(STATUS_INVALID, "'%s' is not of the form key=value", assignment);
    }
    memcpy(key, assignment, (size_t)(equals - assignment));
    key[equals - assignment] = '\0';
    return settings_set(settings, key, equals + 1);
}

Status settings_check(const Settings *s) {
    if ((s->shards & (s->shards - 1)) != 0) {
        return status_set(STATUS_INVALID, "shards is %d: accepted is a power of two from 1 to %d",
                          s->shards, LIMIT_SHARDS);
    }
    if (s->batch_size % s->shards != 0 || s->batch_size / s->shards < 2) {
        return status_set(STATUS_INVALID,
                          "batch_size is %d and shards is %d: batch_size / shards must be a whole "
                          "number, 2 or more",
                          s->batch_size, s->shards);
    }
    if (s->win_length > s->n_fft) {
        return status_set(STATUS_INVALID, "win_length is %d: accepted is 2 to n_fft (%d)",
                          s->win_length, s->n_fft);
    }
    if (s->score == SCORE_MAHALA && s->n_mels > LIMIT_COVARIANCE_MELS) {
        return status_set(STATUS_INVALID,
                          "score is MAHALA and n_mels is %d: its covariances are for at most %d; "
                          "CLIPMAHALA has no such limit",
                          s->n_mels, LIMIT_COVARIANCE_MELS);
    }
    if (s->fmax != 0 && !(s->fmin < s->fmax)) {
        return status_set(STATUS_INVALID, "fmin is %g and fmax is %g: fmin must be below fmax",
                          s->fmin, s->fmax);
    }
    if (s->seeds.count > 0 && s->seeds.seeds[0] != s->seed) {
        return status_set(STATUS_INVALID,
                          "seed is %lld and seeds begins with %lld: give one of the two",
                          (long long)s->seed, (long long)s->seeds.seeds[0]);
    }
    if (s->n_mels * s->frames > LIMIT_VECTOR) {
        return status_set(STATUS_INVALID,
                          "n_mels is %d and frames is %d: a vector of %d floats, accepted are %d",
                          s->n_mels, s->frames, s->n_mels * s->frames, LIMIT_VECTOR);
    }
    return STATUS_OK;
}

void settings_value(const Settings *settings, const SettingRow *row, Buffer *out) {
    const char *field = (const char *)settings + row->offset;
    int32_t narrow;
    int64_t whole;
    double real;
    switch (row->type) {
    case SETTING_INT:
        memcpy(&narrow, field, sizeof narrow);
        buffer_format(out, "%d", narrow);
        break;
    case SETTING_INT64:
        memcpy(&whole, field, sizeof whole);
        buffer_format(out, "%lld", (long long)whole);
        break;
    case SETTING_REAL:
        memcpy(&real, field, sizeof real);
        buffer_number(out, real);
        break;
    case SETTING_CHOICE:
        memcpy(&narrow, field, sizeof narrow);
        buffer_text(out, row->choices[narrow]);
        break;
    case SETTING_SEEDS:
        buffer_text(out, "[");
        for (int32_t i = 0; i < settings->seeds.count; i++) {
            buffer_format(out, "%s%lld", i > 0 ? ", " : "", (long long)settings->seeds.seeds[i]);
        }
        buffer_text(out, "]");
        break;
    }
}

void settings_write(const Settings *settings, SettingStage last, Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        bool is_empty = row->type == SETTING_SEEDS && settings->seeds.count == 0;
        if (row->stage <= last && !is_empty) {
            buffer_format(out, "%s: ", row->key);
            settings_value(settings, row, out);
            buffer_text(out, "\n");
        }
    }
}

int32_t settings_seed_count(const Settings *settings) {
    return settings->seeds.count > 0 ? settings->seeds.count : 1;
}

Settings settings_of_seed(const Settings *settings, int32_t index) {
    Settings one = *settings;
    one.seed = settings->seeds.count > 0 ? settings->seeds.seeds[index] : settings->seed;
    one.seeds = (SeedList){0};
    return one;
}

static bool keeps_seeds(const Settings *old, const Settings *now) {
    for (int32_t i = 0; i < settings_seed_count(old); i++) {
        int64_t seed = settings_of_seed(old, i).seed;
        if (seed != now->seed && !has_seed(&now->seeds, seed)) {
            return false;
        }
    }
    return true;
}

bool settings_extends(const Settings *old, const Settings *now, const SettingRow *row) {
    Buffer before = BUFFER_EMPTY;
    Buffer after = BUFFER_EMPTY;
    settings_value(old, row, &before);
    settings_value(now, row, &after);
    bool same = strcmp(buffer_cstr(&before), buffer_cstr(&after)) == 0;
    bool is_of_seeds = row->type == SETTING_SEEDS || row->offset == offsetof(Settings, seed);
    buffer_done(&before);
    buffer_done(&after);
    return same || (is_of_seeds && keeps_seeds(old, now));
}

Digest settings_digest(const Settings *settings, SettingStage last) {
    Buffer text = BUFFER_EMPTY;
    settings_write(settings, last, &text);
    Digest digest = digest_of(buffer_cstr(&text), text.size);
    buffer_done(&text);
    return digest;
}

void settings_reference(Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Buffer value = BUFFER_EMPTY;
        settings_value(&DEFAULTS, row, &value);
        buffer_format(out, "  %-19s %-10s ", row->key, buffer_cstr(&value));
        buffer_done(&value);
        buffer_format(out, "%s (", row->help);
        if (row->type == SETTING_CHOICE) {
            list_choices(row->choices, out);
        } else {
            buffer_number(out, row->least);
            buffer_text(out, " to ");
            buffer_number(out, row->most);
        }
        buffer_text(out, ")\n");
    }
}
