// SPDX-License-Identifier: Apache-2.0
#include "common/base/setting_model.h"

int32_t settings_width(const Settings *settings) {
    return settings->n_mels +
           (settings->features == FEATURES_NOTEBOOK ? SETTINGS_NOTEBOOK_BESIDE_MELS : 0);
}

// What librosa's calls are fixed to, and that a clip is one vector.
static Status check_notebook(const Settings *s) {
    if (s->frames != 1 || s->frame_hop_length != 1) {
        return status_set(STATUS_INVALID,
                          "features is notebook, one vector a clip: frames is %d and "
                          "frame_hop_length is %d, both must be 1 (preset notebook sets all that "
                          "belongs to it)",
                          s->frames, s->frame_hop_length);
    }
    if (s->power != 2) {
        return status_set(STATUS_INVALID,
                          "features is notebook and power is %g: its decibels are of energies, "
                          "power 2",
                          s->power);
    }
    int32_t most = LIMIT_MELS - SETTINGS_NOTEBOOK_BESIDE_MELS; // a row is no wider than a log-mel's
    if (s->n_mels < SETTINGS_NOTEBOOK_MFCC || s->n_mels > most) {
        return status_set(STATUS_INVALID,
                          "features is notebook and n_mels is %d: accepted are %d to %d", s->n_mels,
                          SETTINGS_NOTEBOOK_MFCC, most);
    }
    return STATUS_OK;
}

static Status check_network(const Settings *s) {
    int32_t in = settings_width(s) * s->frames;
    uint64_t parameters = 0, vector = (uint64_t)in, before = vector;
    for (int32_t i = 0; i < s->hidden.count; i++) {
        parameters += (uint64_t)s->hidden.widths[i] * (before + 3); // weight, bias, gamma, beta
        before = (uint64_t)s->hidden.widths[i];
    }
    parameters += vector * (before + 3);
    if (parameters > LIMIT_PARAMETERS) {
        return status_set(STATUS_INVALID,
                          "hidden makes a network of %llu parameters for vectors of %d floats, "
                          "accepted are %u",
                          (unsigned long long)parameters, in, LIMIT_PARAMETERS);
    }
    return STATUS_OK;
}

static Status check_foreign(const Settings *s) {
    if (settings_wants(s, SCORE_MAHALA)) {
        return status_set(
            STATUS_INVALID,
            "score is MAHALA and the network is from elsewhere: the covariances of its "
            "training are not known; MSE and CLIPMAHALA can be had");
    }
    return STATUS_OK;
}

Status setting_check_model(const Settings *settings) {
    if (settings->network[0] != '\0' && check_foreign(settings) != STATUS_OK) {
        return STATUS_INVALID;
    }
    Status status = settings->features == FEATURES_NOTEBOOK ? check_notebook(settings) : STATUS_OK;
    return status == STATUS_OK ? check_network(settings) : status;
}
