// SPDX-License-Identifier: Apache-2.0
#include "common/base/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/setting_lists.h"
#include "common/base/setting_model.h"
#include "common/base/text.h"
#include "common/base/variants.h"

static const char *const FEATURES_CHOICES[] = {"logmel", "notebook", NULL};
static const char *const PAD_CHOICES[] = {"zeros", "reflect", NULL};
static const char *const MODEL_PER_CHOICES[] = {"machine", "section", NULL};
static const char *const SCALER_CHOICES[] = {"none", "standard", NULL};
static const char *const WEIGHTS_CHOICES[] = {"pytorch", "keras", NULL};
static const char *const SPREAD_CHOICES[] = {"auto", "always", "never", NULL};
static const char *const SCORE_CHOICES[] = {"MSE", "MAHALA", "CLIPMAHALA", NULL};
static const char *const MAHALA_CHOICES[] = {"code", "paper", NULL};
static const char *const BOOL_CHOICES[] = {"false", "true", NULL};
static const char *const THRESHOLD_CHOICES[] = {"gamma_clip", "gamma_batch", "percentile", "fixed",
                                                NULL};
static const char *const H5_SCALER_CHOICES[] = {"beside", "inside", NULL};
static const char *const ENSEMBLE_CHOICES[] = {"none", "zmean", NULL};
// The order of Kernel in common/model/linalg.h, whose test holds both together.
static const char *const NUMERICS_CHOICES[] = {"auto", "prescott", "haswell", "skylakex", NULL};

#define ROW(name, type, stage, least, most, choices, help)                                         \
    { #name, type, stage, offsetof(Settings, name), least, most, choices, help, false }
// A key that came later: runs that were begun without it keep their bytes and keys.
#define LATER(name, type, stage, least, most, choices, help)                                       \
    { #name, type, stage, offsetof(Settings, name), least, most, choices, help, true }
#define INT(name, stage, least, most, help)  ROW(name, SETTING_INT, stage, least, most, NULL, help)
#define REAL(name, stage, least, most, help) ROW(name, SETTING_REAL, stage, least, most, NULL, help)
#define CHOICE(name, stage, choices, help)   ROW(name, SETTING_CHOICE, stage, 0, 0, choices, help)

const SettingRow SETTING_TABLE[] = {
    LATER(
        features, SETTING_CHOICE, SETTING_FEATURES, 0, 0, FEATURES_CHOICES,
        "logmel: log-mel frames; notebook: one vector a clip, averages of log-mel, MFCCs, chroma, "
        "contrast and others over time"),
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
    ROW(network, SETTING_NAME, SETTING_TRAINING, 0, 0, NULL,
        "digest of a network from elsewhere, as `auscult score --model` sets it: none is trained"),
    CHOICE(model_per, SETTING_TRAINING, MODEL_PER_CHOICES,
           "one model for each machine, or for each section of it"),
    CHOICE(scaler, SETTING_TRAINING, SCALER_CHOICES,
           "standard: every feature to mean 0 and deviation 1 over the training vectors"),
    LATER(hidden, SETTING_WIDTHS, SETTING_TRAINING, 1, LIMIT_VECTOR, NULL,
          "widths of the network's hidden layers; its ends are as wide as a vector"),
    LATER(batch_norm, SETTING_CHOICE, SETTING_TRAINING, 0, 0, BOOL_CHOICES,
          "batch normalisation before the ReLU of every hidden layer"),
    LATER(initial_weights, SETTING_CHOICE, SETTING_TRAINING, 0, 0, WEIGHTS_CHOICES,
          "pytorch: uniform within 1/sqrt(inputs), biases too; keras: within "
          "sqrt(6/(inputs + outputs)), biases 0"),
    INT(shards, SETTING_TRAINING, 1, LIMIT_SHARDS,
        "logical shards of one model, a power of two; the unit of data parallelism"),
    INT(batch_size, SETTING_TRAINING, 2, LIMIT_BATCH, "vectors of one step, over all shards"),
    INT(epochs, SETTING_TRAINING, 1, LIMIT_EPOCHS, "passes over the training vectors"),
    REAL(learning_rate, SETTING_TRAINING, 1e-12, 10, "Adam's step size"),
    REAL(validation_split, SETTING_TRAINING, 0, 0.9, "share of the vectors held out"),
    {"seed", SETTING_INT64, SETTING_TRAINING, offsetof(Settings, seed), 0, 9007199254740992.0, NULL,
     "seed of initial weights, validation draw and permutations", false},
    {"seeds", SETTING_SEEDS, SETTING_TRAINING, offsetof(Settings, seeds), 0, 9007199254740992.0,
     NULL, "several seeds, [1, 2]: models and outputs for each; the first is `seed`", false},
    CHOICE(numerics, SETTING_TRAINING, NUMERICS_CHOICES,
           "BLAS kernel, part of the result; auto takes this machine's best and writes it down"),
    ROW(score, SETTING_SCORES, SETTING_SCORING, 0, 0, SCORE_CHOICES,
        "what a clip's score is: mean squared error, or the Mahalanobis distance of its residual "
        "from the training vectors' (MAHALA) or clips' (CLIPMAHALA); [MSE, MAHALA]: outputs for "
        "each"),
    CHOICE(mahala, SETTING_SCORING, MAHALA_CHOICES,
           "MAHALA: of the clip's mean residual row as the baseline's code, or the mean over its "
           "rows as the paper"),
    CHOICE(compat, SETTING_SCORING, BOOL_CHOICES,
           "true: the baseline's covariances, and SciPy's walk in the gamma fit"),
    CHOICE(threshold, SETTING_REPORT, THRESHOLD_CHOICES,
           "the quantile of a gamma distribution fitted to the training clips' scores, or, as the "
           "baseline has it, to its batches' losses; a percentile of the clips' scores; or fixed"),
    REAL(decision_threshold, SETTING_REPORT, 0.001, 0.999999,
         "gamma_clip, gamma_batch: the quantile"),
    REAL(percentile, SETTING_REPORT, 0, 100, "percentile: per cent of the scores below"),
    REAL(fixed_threshold, SETTING_REPORT, -1e9, 1e9, "fixed: the threshold itself"),
    REAL(max_fpr, SETTING_REPORT, 0.0001, 1, "false-positive rate at which pAUC ends"),
    CHOICE(ensemble, SETTING_REPORT, ENSEMBLE_CHOICES,
           "zmean: one more system, the mean of all systems' scores, each standardised by its "
           "training clips'; in outputs/zmean"),
    LATER(
        h5_scaler, SETTING_CHOICE, SETTING_REPORT, 0, 0, H5_SCALER_CHOICES,
        "autoencoder_model.h5 takes scaled vectors, the scaler in scaler.pkl beside it; or inside: "
        "vectors as they are, the scaler its first layer"),
    LATER(pictures, SETTING_CHOICE, SETTING_REPORT, 0, 0, BOOL_CHOICES,
          "true: a run ends with pictures of the clips that scored highest and lowest, eda with "
          "those of typical clips"),
    ROW(matrix, SETTING_MATRIX, SETTING_TRAINING, 0, 0, NULL,
        "settings that vary, {n_mels: [64, 128], epochs: [50, 100]}: models and outputs for each "
        "combination"),
    ROW(primary, SETTING_NAME, SETTING_REPORT, 0, 0, NULL,
        "the system whose outputs stand at the top, by what tells it from others: seed_2, MAHALA, "
        "n_mels_64_seed_2; without it the first of everything"),
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
    .hidden = {.count = 9, .widths = {128, 128, 128, 128, 8, 128, 128, 128, 128}},
    .batch_norm = 1,
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
    .pictures = 1,
    .max_fpr = 0.1,
};

static const char *const PRESET_NAMES[] = {"default", "dcase-baseline", "notebook", NULL};

const char *const *settings_preset_names(void) {
    return PRESET_NAMES;
}

// The pipeline of the notebooks that this system supersedes: one vector a clip, a network with one
// hidden layer, the 95th percentile of its errors.
static void set_notebook(Settings *settings) {
    settings->features = FEATURES_NOTEBOOK;
    settings->n_fft = 512;
    settings->hop_length = 466;
    settings->win_length = 512;
    settings->n_mels = 64;
    settings->frames = 1;
    settings->hidden = (WidthList){.count = 1, .widths = {64}};
    settings->batch_norm = 0;
    settings->initial_weights = WEIGHTS_KERAS;
    settings->shards = 1;
    settings->validation_split = 0.2;
    settings->threshold = THRESHOLD_PERCENTILE;
}

Status settings_preset(const char *name, Settings *ret_settings) {
    Settings settings = DEFAULTS;
    if (strcmp(name, "dcase-baseline") == 0) {
        // The official arithmetic: no scaler, plain batch norm over the whole batch.
        settings.scaler = SCALER_NONE;
        settings.shards = 1;
        settings.model_per = MODEL_PER_SECTION;
        settings.scores = (ScoreList){.count = 2, .kinds = {SCORE_MSE, SCORE_MAHALA}};
        settings.threshold = THRESHOLD_GAMMA_BATCH;
        settings.compat = 1;
    } else if (strcmp(name, "notebook") == 0) {
        set_notebook(&settings);
    } else if (strcmp(name, "default") != 0) {
        return status_set(STATUS_INVALID,
                          "unknown preset '%s': there are default, dcase-baseline, notebook", name);
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

Status settings_row(const char *key, const SettingRow **ret_row) {
    const SettingRow *row = find(key);
    if (row == NULL) {
        return unknown_key(key);
    }
    *ret_row = row;
    return STATUS_OK;
}

// "a, b or c"
static void list_choices(const char *const *choices, Buffer *out) {
    for (int i = 0; choices[i] != NULL; i++) {
        const char *joint = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        buffer_format(out, "%s%s", joint, choices[i]);
    }
}

int32_t setting_choice(const SettingRow *row, const char *value) {
    int32_t count = 0;
    for (; row->choices[count] != NULL; count++) {
        if (strcmp(row->choices[count], value) == 0) {
            return count;
        }
    }
    return -1;
}

static Status set_choice(int32_t *field, const SettingRow *row, const char *value) {
    int32_t choice = setting_choice(row, value);
    if (choice < 0) {
        return setting_no_choice(row, value);
    }
    *field = choice;
    return STATUS_OK;
}

Status setting_no_choice(const SettingRow *row, const char *value) {
    Buffer list = BUFFER_EMPTY;
    list_choices(row->choices, &list);
    Status status =
        status_set(STATUS_INVALID, "%s is '%s': accepted are %s%s", row->key, value,
                   buffer_cstr(&list), row->type == SETTING_SCORES ? ", or a list of them" : "");
    buffer_done(&list);
    return status;
}

Status setting_out_of_range(const SettingRow *row, const char *value) {
    char least[TEXT_NUMBER_BYTES], most[TEXT_NUMBER_BYTES];
    text_number(least, row->least);
    text_number(most, row->most);
    const char *kind = row->type == SETTING_REAL     ? "a number"
                       : row->type == SETTING_SEEDS  ? "a list of whole numbers, each once,"
                       : row->type == SETTING_WIDTHS ? "a list of whole numbers"
                                                     : "a whole number";
    return status_set(STATUS_INVALID, "%s is '%s': accepted is %s from %s to %s", row->key, value,
                      kind, least, most);
}

bool setting_is_null(const char *value) {
    static const char *const WORDS[] = {"", "~", "null", "Null", "NULL", "None"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcmp(value, WORDS[i]) == 0) {
            return true;
        }
    }
    return false;
}

static Status set_whole(char *field, const SettingRow *row, const char *value) {
    int64_t whole;
    if (text_to_int(value, &whole) != STATUS_OK ||
        !((double)whole >= row->least && (double)whole <= row->most)) {
        return setting_out_of_range(row, value);
    }
    int32_t narrow = (int32_t)whole;
    if (row->type == SETTING_INT64) {
        memcpy(field, &whole, sizeof whole);
    } else {
        memcpy(field, &narrow, sizeof narrow);
    }
    return STATUS_OK;
}

static Status set_real(char *field, const SettingRow *row, const char *value) {
    double real;
    if (text_to_double(value, &real) != STATUS_OK || !(real >= row->least && real <= row->most)) {
        return setting_out_of_range(row, value);
    }
    memcpy(field, &real, sizeof real);
    return STATUS_OK;
}

// A part of file names.
static Status set_name(char field[LIMIT_SYSTEM_BYTES], const SettingRow *row, const char *value) {
    static const char *const FINE =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    if (strlen(value) >= LIMIT_SYSTEM_BYTES || value[strspn(value, FINE)] != '\0') {
        return status_set(STATUS_INVALID, "%s is '%s': accepted is the name of a system", row->key,
                          value);
    }
    memset(field, 0, LIMIT_SYSTEM_BYTES);
    strcpy(field, setting_is_null(value) ? "" : value);
    return STATUS_OK;
}

Status settings_set(Settings *settings, const char *key, const char *value) {
    const SettingRow *row = find(key);
    if (row == NULL) {
        return unknown_key(key);
    }
    char *field = (char *)settings + row->offset;
    // The official baseline writes null for "up to half the rate" and "as long as n_fft".
    char n_fft[16];
    if (setting_is_null(value) && strcmp(key, "fmax") == 0) {
        value = "0";
    } else if (setting_is_null(value) && strcmp(key, "win_length") == 0) {
        snprintf(n_fft, sizeof n_fft, "%d", settings->n_fft);
        value = n_fft;
    }
    Status status = STATUS_OK;
    switch (row->type) {
    case SETTING_INT:
    case SETTING_INT64:
        status = set_whole(field, row, value);
        break;
    case SETTING_REAL:
        status = set_real(field, row, value);
        break;
    case SETTING_CHOICE:
        status = set_choice((int32_t *)(void *)field, row, value);
        break;
    case SETTING_SEEDS:
        status = setting_set_seeds(settings, row, value);
        break;
    case SETTING_SCORES:
        status = setting_set_scores(settings, row, value);
        break;
    case SETTING_WIDTHS:
        status = setting_set_widths((WidthList *)(void *)field, row, value);
        break;
    case SETTING_MATRIX:
        status = setting_set_matrix(settings, row, value);
        break;
    case SETTING_NAME:
        status = set_name(field, row, value);
        break;
    }
    return status;
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

// Of one combination.
static Status check_one(const Settings *s) {
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
    int32_t mels_most = LIMIT_COVARIANCE_MELS - (settings_width(s) - s->n_mels);
    if (settings_wants(s, SCORE_MAHALA) && s->n_mels > mels_most) {
        return status_set(STATUS_INVALID,
                          "score is MAHALA and n_mels is %d: its covariances are for at most %d; "
                          "CLIPMAHALA has no such limit",
                          s->n_mels, mels_most);
    }
    if (s->fmax != 0 && !(s->fmin < s->fmax)) {
        return status_set(STATUS_INVALID, "fmin is %g and fmax is %g: fmin must be below fmax",
                          s->fmin, s->fmax);
    }
    if (settings_width(s) * s->frames > LIMIT_VECTOR) {
        return status_set(STATUS_INVALID,
                          "n_mels is %d and frames is %d: a vector of %d floats, accepted are %d",
                          s->n_mels, s->frames, settings_width(s) * s->frames, LIMIT_VECTOR);
    }
    return setting_check_model(s);
}

static Status check_variants(const Settings *settings) {
    uint32_t count = variants_count(settings);
    for (uint32_t v = 0; v < count; v++) {
        Settings one = variants_settings(settings, v);
        Status status = check_one(&one);
        if (status != STATUS_OK) {
            char name[LIMIT_SYSTEM_BYTES];
            variants_name(settings, v, name);
            return count > 1 ? status_prefix(status, "with %s", name) : status;
        }
    }
    return STATUS_OK;
}

Status settings_check(const Settings *settings) {
    const SeedList *seeds = &settings->seeds;
    if (seeds->count > 0 && seeds->seeds[0] != settings->seed) {
        return status_set(STATUS_INVALID,
                          "seed is %lld and seeds begins with %lld: give one of the two",
                          (long long)settings->seed, (long long)seeds->seeds[0]);
    }
    if (settings->network[0] != '\0' && settings_seed_count(settings) > 1) {
        return status_set(STATUS_INVALID,
                          "several seeds, and the network is from elsewhere: nothing is trained");
    }
    Status status = setting_check_matrix(settings);
    if (settings->ensemble != ENSEMBLE_NONE && variants_count(settings) == 1 &&
        variants_systems(settings) == 1) {
        return status_set(STATUS_INVALID,
                          "ensemble is zmean, but there is one system alone: no setting, seed or "
                          "score varies");
    }
    if (status == STATUS_OK) {
        status = variants_check(settings);
    }
    return status == STATUS_OK ? check_variants(settings) : status;
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
        setting_seeds_value(settings, out);
        break;
    case SETTING_SCORES:
        setting_scores_value(settings, row, out);
        break;
    case SETTING_WIDTHS:
        setting_widths_value((const WidthList *)(const void *)field, out);
        break;
    case SETTING_MATRIX:
        setting_matrix_value(settings, out);
        break;
    case SETTING_NAME:
        buffer_text(out, field);
        break;
    }
}

static bool has_default(const Settings *settings, const SettingRow *row) {
    size_t bytes = row->type == SETTING_WIDTHS ? sizeof(WidthList) : sizeof(int32_t);
    return memcmp((const char *)settings + row->offset, (const char *)&DEFAULTS + row->offset,
                  bytes) == 0;
}

static bool is_left_out(const Settings *settings, const SettingRow *row) {
    return (row->is_quiet && has_default(settings, row)) ||
           (row->type == SETTING_SEEDS && settings->seeds.count == 0) ||
           (row->type == SETTING_MATRIX && settings->matrix.count == 0) ||
           (row->type == SETTING_NAME && ((const char *)settings + row->offset)[0] == '\0') ||
           (row->offset == offsetof(Settings, fixed_threshold) &&
            settings->threshold != THRESHOLD_FIXED);
}

void settings_write(const Settings *settings, SettingStage last, Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (row->stage <= last && !is_left_out(settings, row)) {
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

Status settings_digest_all(const Settings *settings, SettingStage last, Digest *ret_digest) {
    Buffer text = BUFFER_EMPTY;
    settings_write(settings, last, &text);
    *ret_digest = digest_of(buffer_cstr(&text), text.size);
    Status status = text.status;
    buffer_done(&text);
    return status;
}

Digest settings_digest(const Settings *settings, SettingStage last) {
    Digest digest;
    (void)settings_digest_all(settings, last, &digest);
    return digest;
}

void settings_reference(Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Buffer value = BUFFER_EMPTY;
        settings_value(&DEFAULTS, row, &value);
        buffer_format(out, "  %-19s %-10s ", row->key, buffer_cstr(&value));
        buffer_done(&value);
        buffer_format(out, "%s (", row->help);
        if (row->choices != NULL) {
            list_choices(row->choices, out);
        } else if (row->type == SETTING_MATRIX || row->type == SETTING_NAME) {
            buffer_text(out, row->type == SETTING_NAME ? "a name" : "{key: [value, ...], ...}");
        } else {
            buffer_number(out, row->least);
            buffer_text(out, " to ");
            buffer_number(out, row->most);
        }
        buffer_text(out, ")\n");
    }
}
