// SPDX-License-Identifier: Apache-2.0
#include <sys/statvfs.h>

#include "common/base/file.h"
#include "common/model/shape.h"
#include "coordinator/run.h"

// A model file, the same for Keras, two checkpoints with room for one being written, and a clip's
// rows in journal and tables.
static double bytes_needed(const Run *run) {
    const Models *models = plan_models(run->plan);
    double bytes = 1024.0 * run->dataset->clip_count * models->system_count;
    for (uint32_t v = 0; v < models->variant_count; v++) {
        Shape shape = shape_of_settings(&models->variants[v].settings);
        Layout layout = shape_layout(&shape);
        double model = 4.0 * (double)(layout.parameters * 8 + layout.running * 4) + 131072;
        bytes += model * models->per_variant;
    }
    return bytes;
}

Status run_check_space(Run *run) {
    struct statvfs disk;
    if (statvfs(run->options.out, &disk) != 0) {
        return STATUS_OK; // some network file systems do not tell
    }
    double needed = bytes_needed(run);
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (free_bytes >= needed) {
        return STATUS_OK;
    }
    double written = (double)file_tree_bytes(run->options.out);
    if (free_bytes + written >= needed) {
        return STATUS_OK;
    }
    return status_set(STATUS_IO,
                      "%s has %.0f MB free, this run needs up to %.0f MB more (%u models and %u "
                      "clips): make room on that disk (in a run's folder `auscult clean` removes "
                      "what the run no longer needs), or put --out on another",
                      run->options.out, free_bytes / 1e6, (needed - written) / 1e6,
                      plan_models(run->plan)->count, run->dataset->clip_count);
}
