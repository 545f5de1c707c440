// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/meta_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/package/author.h"

int64_t meta_macs_per_vector(const Shape *shape) {
    int64_t macs = 0;
    for (int32_t l = 0; l < shape->layers; l++) {
        macs += (int64_t)shape->width[l] * shape->width[l + 1];
    }
    return macs;
}

int64_t meta_vectors_of_ten_seconds(const RunModel *model) {
    int64_t rate_hz = model->rate_hz > 0 ? model->rate_hz : 16000;
    if (model->settings.features == FEATURES_NOTEBOOK) {
        return 1;
    }
    return shape_vectors(&model->shape, 1 + 10 * rate_hz / model->settings.hop_length);
}

// One setting's value as text.
static void write_setting(const Settings *settings, const char *key, Buffer *out) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            settings_value(settings, row, out);
        }
    }
}

// Words for a setting's choices, by their names.
typedef struct Wording {
    const char *choice, *words;
} Wording;

static const Wording AGGREGATIONS[] = {
    {"MSE", "mean of the squared reconstruction errors over all vectors of a clip"},
    {"MAHALA", "Mahalanobis distance of a clip's mean reconstruction error, the least over the "
               "covariances of both domains"},
    {"CLIPMAHALA", "Mahalanobis distance of a clip's mean reconstruction error from those of the "
                   "training clips, covariance shrunk (Ledoit-Wolf)"},
    {NULL, NULL}};
static const Wording DECISIONS[] = {
    {"gamma_clip", "quantile of a gamma distribution fitted to the scores of the training clips"},
    {"gamma_batch", "quantile of a gamma distribution fitted to the scores of training batches"},
    {"percentile", "percentile of the scores of the training clips"},
    {NULL, NULL}};

static void write_wording(const char *choice, const Wording *wordings, Buffer *out) {
    const Wording *found = wordings;
    while (found->choice != NULL && strcmp(found->choice, choice) != 0) {
        found++;
    }
    buffer_text(out, found->choice != NULL ? found->words : choice);
}

static void write_submission(const MetaFacts *facts, Buffer *out) {
    const YamlNode *name = yaml_node_find(facts->author, "name");
    buffer_format(out, "submission:\n  label: %s\n  name: ", facts->label);
    Buffer text = BUFFER_EMPTY;
    buffer_format(&text, "%s%s%s%s", name != NULL && name->text != NULL ? name->text : "",
                  facts->variant[0] != '\0' ? " (" : "", facts->variant,
                  facts->variant[0] != '\0' ? ")" : "");
    buffer_json(out, buffer_cstr(&text));
    out->status = out->status != STATUS_OK ? out->status : text.status;
    buffer_done(&text);
    buffer_text(out, "\n");
    author_write(facts->author, "abbreviation", 2, "null", out);
    author_write(facts->author, "authors", 2, "null", out);
}

static void write_method(const RunModel *model, Buffer *out) {
    const Shape *shape = &model->shape;
    buffer_text(out, "    machine_learning_method: \"AE: autoencoder ");
    for (int32_t l = 0; l <= shape->layers; l++) {
        buffer_format(out, "%s%" PRId32, l > 0 ? "-" : "", shape->width[l]);
    }
    buffer_format(out, " with %sReLU, one for each ",
                  shape->is_plain ? "" : "batch normalisation and ");
    write_setting(&model->settings, "model_per", out);
    buffer_text(out, "\"\n    aggregation_method: \"");
    write_wording(settings_score_name((ScoreKind)model->settings.score), AGGREGATIONS, out);
    buffer_text(out, "\"\n");
}

// How single systems decide has no key: the challenge means decisions among an ensemble's.
static void write_threshold(const Settings *settings, Buffer *out) {
    Buffer threshold = BUFFER_EMPTY;
    write_setting(settings, "threshold", &threshold);
    buffer_text(out, "# threshold: ");
    write_wording(buffer_cstr(&threshold), DECISIONS, out);
    out->status = out->status != STATUS_OK ? out->status : threshold.status;
    buffer_done(&threshold);
    buffer_text(out, " (");
    write_setting(settings,
                  settings->threshold == THRESHOLD_PERCENTILE ? "percentile" : "decision_threshold",
                  out);
    buffer_text(out, ")\n");
}

static void write_ensemble(const MetaFacts *facts, Buffer *out) {
    if (facts->subsystems > 1) {
        buffer_format(out,
                      "    ensemble_method_subsystem_count: %" PRIu32
                      "\n    decision_making: \"average "
                      "of the scores, each standardised on its training clips\" ",
                      facts->subsystems);
    } else {
        buffer_text(out, "    ensemble_method_subsystem_count: null\n    decision_making: null ");
    }
    write_threshold(&facts->model->settings, out);
}

static void write_features(const Settings *settings, Buffer *out) {
    bool is_notebook = settings->features == FEATURES_NOTEBOOK;
    buffer_format(out,
                  "    front_end: \"%" PRId32 " mel bands, FFT of %" PRId32
                  " samples, window of %" PRId32 ", hop of %" PRId32,
                  settings->n_mels, settings->n_fft, settings->win_length, settings->hop_length);
    if (is_notebook) {
        buffer_text(out, ", averages over time, one vector a clip\"\n"
                         "    acoustic_features: \"log-mel energies, MFCC with first and second "
                         "derivatives, chroma, spectral contrast, centroid, rolloff, RMS\"\n");
    } else {
        buffer_format(out,
                      ", %" PRId32 " frames a vector\"\n"
                      "    acoustic_features: log-mel energies\n",
                      settings->frames);
    }
    buffer_text(out, "    embeddings: null\n");
}

static void write_description(const MetaFacts *facts, Buffer *out) {
    const RunModel *model = facts->model;
    const Settings *settings = &model->settings;
    buffer_text(out, "system:\n  description:\n    input_sampling_rate: ");
    if (model->rate_hz > 0) {
        buffer_number(out, model->rate_hz / 1000.0);
        buffer_text(out, " kHz\n");
    } else {
        buffer_text(out, "null\n");
    }
    author_write(facts->author, "data_augmentation", 4, "null", out);
    write_features(settings, out);
    write_method(model, out);
    author_write(facts->author, "domain_adaptation_method", 4, "null", out);
    author_write(facts->author, "domain_generalization_method", 4, "null", out);
    write_ensemble(facts, out);
    author_write(facts->author, "attribute_usage", 4, "null", out);
    author_write(facts->author, "external_data_usage", 4, "null", out);
    author_write(facts->author, "development_data_usage", 4, "null", out);
}

void meta_add_model(const RunModel *model, MetaFacts *facts) {
    facts->parameters += (int64_t)shape_layout(&model->shape).parameters;
    facts->macs += meta_vectors_of_ten_seconds(model) * meta_macs_per_vector(&model->shape);
}

static void write_complexity(const MetaFacts *facts, Buffer *out) {
    const RunModel *model = facts->model;
    buffer_format(out, "  complexity:\n    total_parameters: %" PRId64, facts->parameters);
    buffer_text(out, facts->subsystems > 1 ? " # of all subsystems of one machine\n"
                                           : " # of one model\n");
    buffer_format(out,
                  "    MACS: %" PRId64 " # of a clip of 10 s: %" PRId64 " vectors of %" PRId64
                  " each%s, inputs times outputs over all layers\n",
                  facts->macs, meta_vectors_of_ten_seconds(model),
                  meta_macs_per_vector(&model->shape),
                  facts->subsystems > 1 ? " in the first of the subsystems" : "");
}

void meta_write(const MetaFacts *facts, Buffer *out) {
    buffer_text(out,
                "# Written by auscult " AUSCULT_VERSION "; figures of results are per cent.\n");
    write_submission(facts, out);
    write_description(facts, out);
    write_complexity(facts, out);
    author_write(facts->author, "external_datasets", 2, "null", out);
    author_write(facts->author, "source_code", 2, "null", out);
    buffer_format(out, "results:\n  development_dataset:%s%s",
                  facts->results[0] != '\0' ? "\n" : " {}\n", facts->results);
}
