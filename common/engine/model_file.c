// SPDX-License-Identifier: Apache-2.0
#include "common/engine/model_file.h"

#include <string.h>

#include "common/base/config.h"
#include "common/base/digest.h"
#include "common/base/text.h"
#include "common/engine/network.h"
#include "common/model/scorer.h"

static const char MAGIC[8] = {'A', 'U', 'S', 'C', 'M', 'O', 'D', 'L'};

enum { VERSION = 2, HEAD_BYTES = 32, DIGEST_BYTES = 16, TEXT_MOST = 65536 };

static void append_number(Buffer *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> (8 * i));
        buffer_append(out, &byte, 1);
    }
}

static uint64_t read_number(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    for (int i = count; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

ModelFile model_file_blank(void) {
    ModelFile file = {0};
    for (int k = 0; k < SCORE_KINDS; k++) {
        file.thresholds[k].value = MODEL_FILE_NO_THRESHOLD;
    }
    return file;
}

bool model_file_gives(const ModelFile *file, ScoreKind kind) {
    return yardsticks_give(&file->yardsticks, kind);
}

static void write_text(const ModelFile *file, Buffer *out) {
    buffer_format(out, "set: %s\nmachine: %s\nsection: %s\nrate_hz: %d\n", file->set, file->machine,
                  file->section, file->rate_hz);
    for (int k = 0; k < SCORE_KINDS; k++) {
        const ModelThreshold *threshold = &file->thresholds[k];
        const char *kind = settings_score_name((ScoreKind)k);
        if (!isnan(threshold->value)) {
            buffer_format(out, "threshold_%s: ", kind);
            buffer_number(out, threshold->value);
            buffer_format(out, "\nthreshold_method_%s: %s\n", kind, threshold->method);
        }
    }
    buffer_format(out, "made_by: auscult %s\nsettings:\n", AUSCULT_VERSION);
    settings_write(&file->settings, SETTING_REPORT, out);
}

void model_file_write(const ModelFile *file, Buffer *out) {
    Buffer text = BUFFER_EMPTY;
    Buffer replica = BUFFER_EMPTY;
    Buffer yardsticks = BUFFER_EMPTY;
    write_text(file, &text);
    if (file->network != NULL) {
        network_write(file->network, &replica);
    } else {
        replica_write(file->replica, REPLICA_MODEL, &replica);
    }
    yardsticks_write(&file->yardsticks, &yardsticks);
    size_t start = out->size;
    buffer_append(out, MAGIC, sizeof MAGIC);
    append_number(out, VERSION, 4);
    append_number(out, text.size, 4);
    append_number(out, replica.size, 8);
    append_number(out, yardsticks.size, 8);
    buffer_append(out, text.bytes, text.size);
    buffer_append(out, replica.bytes, replica.size);
    buffer_append(out, yardsticks.bytes, yardsticks.size);
    Status status = text.status != STATUS_OK      ? text.status
                    : replica.status != STATUS_OK ? replica.status
                                                  : yardsticks.status;
    if (status != STATUS_OK && out->status == STATUS_OK) {
        out->status = status;
    }
    if (out->status == STATUS_OK) {
        Digest digest = digest_of(out->bytes + start, out->size - start);
        buffer_append(out, digest.bytes, sizeof digest.bytes);
    }
    buffer_done(&text);
    buffer_done(&replica);
    buffer_done(&yardsticks);
}

// ---- reading ----

static Status take_number(const char *key, const char *value, double least, double most,
                          double *ret) {
    double number;
    Status status = text_to_double(value, &number);
    if (status != STATUS_OK) {
        return status_prefix(STATUS_FORMAT, "%s", key);
    }
    if (!(number >= least && number <= most)) {
        return status_set(STATUS_FORMAT, "%s is %g", key, number);
    }
    *ret = number;
    return STATUS_OK;
}

// "threshold_MSE" and "threshold_method_MSE", of whichever score; a score unknown here is passed
// over.
static Status take_threshold(ModelFile *file, const char *key, const char *value) {
    const char *what = key + strlen("threshold_");
    bool is_method = text_starts(what, "method_");
    const char *kind = is_method ? what + strlen("method_") : what;
    for (int k = 0; k < SCORE_KINDS; k++) {
        ModelThreshold *threshold = &file->thresholds[k];
        if (strcmp(kind, settings_score_name((ScoreKind)k)) != 0) {
            continue;
        }
        if (!is_method) {
            return take_number(key, value, -INFINITY, INFINITY, &threshold->value);
        }
        text_copy(threshold->method, sizeof threshold->method, value);
    }
    return STATUS_OK;
}

static Status take_line(ModelFile *file, const char *key, const char *value) {
    double number = 0;
    Status status = STATUS_OK;
    if (strcmp(key, "set") == 0) {
        text_copy(file->set, sizeof file->set, value);
    } else if (strcmp(key, "machine") == 0) {
        text_copy(file->machine, sizeof file->machine, value);
    } else if (strcmp(key, "section") == 0) {
        text_copy(file->section, sizeof file->section, value);
    } else if (strcmp(key, "rate_hz") == 0) {
        status = take_number(key, value, 0, LIMIT_RATE_HZ, &number);
        file->rate_hz = (int32_t)number;
    } else if (text_starts(key, "threshold_")) {
        status = take_threshold(file, key, value);
    }
    return status;
}

// What is made from them relies on settings_check; a file that fails it was not written by us.
static Status read_settings(ModelFile *file, const char *name, const char *text, size_t size) {
    Status status = settings_preset("default", &file->settings);
    if (status == STATUS_OK) {
        status = config_read_text(name, text, size, &file->settings);
    }
    if (status != STATUS_OK) {
        return status == STATUS_INVALID ? STATUS_FORMAT : status;
    }
    return settings_check(&file->settings) == STATUS_OK ? STATUS_OK
                                                        : status_prefix(STATUS_FORMAT, "%s", name);
}

// The lines up to "settings:", each "key: value"; what is unknown is passed over.
static Status read_text(ModelFile *file, const char *name, char *text, size_t size) {
    char *line = text;
    for (;;) {
        char *end = memchr(line, '\n', size - (size_t)(line - text));
        if (end == NULL) {
            return status_set(STATUS_FORMAT, "%s: its text has no settings", name);
        }
        *end = '\0';
        if (strcmp(line, "settings:") == 0) {
            return read_settings(file, name, end + 1, size - (size_t)(end + 1 - text));
        }
        char *colon = strstr(line, ": ");
        if (colon != NULL) {
            *colon = '\0';
            Status status = take_line(file, line, colon + 2);
            if (status != STATUS_OK) {
                return status_prefix(status, "%s", name);
            }
        }
        line = end + 1;
    }
}

// The lengths of the three parts, which follow the head one after the other.
typedef struct Parts {
    uint64_t text, replica, yardsticks;
} Parts;

static Status check_frame(const char *name, const unsigned char *bytes, size_t size,
                          Parts *ret_parts) {
    if (size < sizeof MAGIC + 4 || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return status_set(STATUS_FORMAT, "%s is not an auscult model file", name);
    }
    uint64_t version = read_number(bytes + 8, 4);
    if (version != VERSION) {
        return status_set(STATUS_MISMATCH,
                          "%s is a model file of version %llu, this program reads version %d", name,
                          (unsigned long long)version, VERSION);
    }
    if (size < HEAD_BYTES + DIGEST_BYTES) {
        return status_set(STATUS_FORMAT, "%s is damaged: it is cut off", name);
    }
    Parts parts = {read_number(bytes + 12, 4), read_number(bytes + 16, 8),
                   read_number(bytes + 24, 8)};
    if (parts.text > TEXT_MOST || parts.replica > MODEL_FILE_BYTES ||
        parts.yardsticks > MODEL_FILE_BYTES ||
        HEAD_BYTES + parts.text + parts.replica + parts.yardsticks + DIGEST_BYTES != size) {
        return status_set(STATUS_FORMAT, "%s is damaged: its length is not what its head says",
                          name);
    }
    Digest digest = digest_of(bytes, size - DIGEST_BYTES);
    if (memcmp(digest.bytes, bytes + size - DIGEST_BYTES, DIGEST_BYTES) != 0) {
        return status_set(STATUS_FORMAT, "%s is damaged: its digest does not match", name);
    }
    *ret_parts = parts;
    return STATUS_OK;
}

static Status read_parts(const char *name, const unsigned char *start, const Parts *parts,
                         ModelFile *file) {
    Buffer text = BUFFER_EMPTY;
    buffer_append(&text, start, parts->text);
    Status status = text.status;
    if (status == STATUS_OK) {
        status = read_text(file, name, text.bytes, text.size);
    }
    buffer_done(&text);
    start += parts->text;
    if (status == STATUS_OK) {
        status = network_is_block(start, parts->replica)
                     ? network_read(start, parts->replica, &file->network)
                     : replica_read(start, parts->replica, &file->replica);
    }
    start += parts->replica;
    if (status == STATUS_OK) {
        status = yardsticks_read(start, parts->yardsticks, settings_width(&file->settings),
                                 &file->yardsticks);
    }
    return status;
}

static bool fits_settings(const ModelFile *file) {
    const Settings *settings = &file->settings;
    if (file->network != NULL) {
        return network_dimension(file->network) == settings_width(settings) * settings->frames;
    }
    Shape shape = shape_of_settings(settings);
    return shape_equal(&shape, replica_shape(file->replica));
}

Status model_file_read(const char *name, const void *bytes, size_t size, ModelFile *ret_file) {
    const unsigned char *start = bytes;
    Parts parts = {0};
    Status status = check_frame(name, start, size, &parts);
    if (status != STATUS_OK) {
        return status;
    }
    ModelFile file = model_file_blank();
    status = read_parts(name, start + HEAD_BYTES, &parts, &file);
    if (status == STATUS_OK && !fits_settings(&file)) {
        status = status_set(STATUS_FORMAT, "%s: its network does not fit its settings", name);
    }
    if (status != STATUS_OK) {
        model_file_done(&file);
        return status;
    }
    *ret_file = file;
    return STATUS_OK;
}

void model_file_done(ModelFile *file) {
    replica_free(file->replica);
    network_free(file->network);
    file->replica = NULL;
    file->network = NULL;
    yardsticks_done(&file->yardsticks);
}

Scorer *model_file_scorer(const ModelFile *file, NetworkRun **ret_run) {
    *ret_run = NULL;
    if (file->network == NULL) {
        return scorer_new(file->replica);
    }
    *ret_run = network_run_new(file->network, &file->settings);
    if (*ret_run == NULL) {
        return NULL;
    }
    ScorerNetwork network = network_run_scorer(*ret_run);
    return scorer_new_of(&network);
}
