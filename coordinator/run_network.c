// SPDX-License-Identifier: Apache-2.0
//
// A run that scores with a network from elsewhere. The network is read before there is a thread or
// a folder, is named by its digest in the settings, and kept in the run's folder, so that the run
// can be continued without its source.
#include <stdio.h>
#include <string.h>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "coordinator/import/import.h"
#include "coordinator/run.h"

#define KEPT_AS "data/network.bin"

Status run_import_network(Run *run) {
    const RunOptions *options = &run->options;
    if (options->model == NULL) {
        return options->scaler == NULL && options->threshold == NULL
                   ? STATUS_OK
                   : status_set(STATUS_INVALID, "--scaler and --threshold go with --model");
    }
    Status status = import_network(options->model, options->scaler, &IMPORT_LIMITS, &run->network);
    if (status == STATUS_OK && options->threshold != NULL) {
        status = import_threshold(options->threshold, &run->threshold);
    }
    bool is_users = status == STATUS_FORMAT || status == STATUS_NOT_FOUND || status == STATUS_LIMIT;
    return is_users ? STATUS_INVALID : status;
}

static Status read_kept(Run *run, const char *wanted) {
    char path[LIMIT_PATH_BYTES], found[DIGEST_TEXT_BYTES];
    Status status = file_join(path, sizeof path, run->options.out, KEPT_AS);
    if (status == STATUS_OK) {
        status = file_read(path, NETWORK_BYTES_MOST, &run->network);
    }
    if (status == STATUS_OK) {
        digest_text(digest_of(buffer_cstr(&run->network), run->network.size), found);
        if (strcmp(found, wanted) != 0) {
            status = status_set(STATUS_MISMATCH, "%s is not the network of this run", path);
        }
    }
    return status == STATUS_OK
               ? STATUS_OK
               : status_prefix(
                     STATUS_INVALID,
                     "`network` names one from elsewhere: give it again by `auscult score "
                     "--model`, with its --scaler");
}

static Status check_width(const Run *run) {
    NetworkHead head;
    const Settings *settings = &run->settings;
    memcpy(&head, run->network.bytes, sizeof head); // network_read has seen more
    int32_t floats = settings_width(settings) * settings->frames;
    return head.dimension == floats
               ? STATUS_OK
               : status_set(STATUS_INVALID,
                            "the network takes vectors of %d floats, the settings make them of %d "
                            "(%d floats a frame, %d frames): set n_mels and frames as it was "
                            "trained",
                            head.dimension, floats, settings_width(settings), settings->frames);
}

Status run_choose_network(Run *run) {
    Settings *settings = &run->settings;
    Status status = STATUS_OK;
    if (run->options.model != NULL) {
        char text[DIGEST_TEXT_BYTES];
        digest_text(digest_of(run->network.bytes, run->network.size), text);
        memset(settings->network, 0, sizeof settings->network);
        memcpy(settings->network, text, sizeof text);
        if (run->options.threshold != NULL) {
            settings->threshold = THRESHOLD_FIXED;
            settings->fixed_threshold = run->threshold;
        }
    } else if (settings->network[0] != '\0') {
        status = read_kept(run, settings->network);
    }
    if (status == STATUS_OK && settings->network[0] != '\0') {
        status = check_width(run);
    }
    return status == STATUS_OK ? settings_check(settings) : status;
}

Status run_keep_network(Run *run) {
    char path[LIMIT_PATH_BYTES];
    if (run->settings.network[0] == '\0') {
        return STATUS_OK;
    }
    Status status = file_join(path, sizeof path, run->options.out, KEPT_AS);
    return status == STATUS_OK ? file_update(path, &run->network) : status;
}
