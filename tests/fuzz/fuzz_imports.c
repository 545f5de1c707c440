// SPDX-License-Identifier: Apache-2.0
//
// Whole files of Keras and NumPy as a run takes them, through the process that parses them: it may
// die of what the HDF5 library makes of damaged bytes, and then the file is refused. Never under
// libFuzzer, which would take the child's death for a find.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/engine/keras_file.h"
#include "common/model/replica.h"
#include "common/store/npy.h"
#include "coordinator/import/import.h"
#include "tests/fuzz/fuzz.h"

static const ImportLimits LIMITS = {.memory_bytes = 256u << 20, .processor_s = 2, .wall_ms = 10000};
static char folder[64];

static const char *put(const char *name, const char *bytes, size_t size) {
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_replace(path, bytes, size) != STATUS_OK) {
        fuzz_fail("a file cannot be written");
    }
    return path;
}

static bool read_network(const char *bytes, size_t size) {
    const char *path = put("net.h5", bytes, size);
    Buffer network = BUFFER_EMPTY;
    bool is_taken = import_network(path, NULL, &LIMITS, &network) == STATUS_OK;
    if (!is_taken && strstr(status_message(), "net.h5") == NULL) {
        fuzz_fail("a refusal names no file");
    }
    if (is_taken && !network_is_block(buffer_cstr(&network), network.size)) {
        fuzz_fail("what was taken is no network");
    }
    buffer_done(&network);
    return is_taken;
}

static bool network_seed(uint32_t index, Buffer *out) {
    Settings settings;
    if (index > 0 || settings_preset("default", &settings) != STATUS_OK ||
        settings_assign(&settings, "n_mels=2") != STATUS_OK ||
        settings_assign(&settings, "hidden=[3]") != STATUS_OK) {
        return false;
    }
    Shape shape = shape_of_settings(&settings);
    Replica *replica = replica_new(&shape);
    Buffer file = BUFFER_EMPTY;
    if (replica != NULL) {
        replica_init(replica, 3, 4);
    }
    bool is_made = replica != NULL && keras_file_write(replica, false, &file) == STATUS_OK;
    if (is_made) {
        buffer_append(out, file.bytes, file.size);
    }
    buffer_done(&file);
    replica_free(replica);
    return is_made;
}

static bool read_threshold(const char *bytes, size_t size) {
    double threshold;
    return import_threshold(put("threshold.npy", bytes, size), &threshold) == STATUS_OK;
}

static bool threshold_seed(uint32_t index, Buffer *out) {
    double value = 2.5;
    NpyArray array = {.type = NPY_FLOAT64, .count = 1, .data = &value};
    if (index == 0) {
        npy_format(&array, out);
    }
    return index == 0;
}

const FuzzReader FUZZ_READERS[] = {
    {"network", read_network, false, NULL, network_seed},
    {"threshold", read_threshold, false, NULL, threshold_seed},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/auscult-fuzz-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(folder) == NULL) {
        fuzz_fail("no folder of our own");
    }
}

void fuzz_end(void) {
    (void)file_remove_tree(folder);
}
