// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/systems.h"

#include <math.h>

#include "common/base/file.h"
#include "tests/unit/test.h"

static const SystemRow ROWS[] = {
    {"n_mels_64_seed_7", "n_mels_64", 7, {0.5, NAN, NAN, 0.25, 1, NAN}},
    {"n_mels_64_seed_5", "n_mels_64", 5, {0.75, 0.5, NAN, 0.25, 0.5, NAN}},
    {"n_mels_128_seed_7", "n_mels_128", 7, {0.125, NAN, NAN, 0.25, NAN, NAN}},
    {"n_mels_64_seed_9", "n_mels_64", 9, {1, NAN, NAN, 0.25, NAN, NAN}},
};
enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

static void check_written(Status (*write)(const char *, const SystemRow *, size_t),
                          const char *expected) {
    char path[300];
    Buffer text = BUFFER_EMPTY;
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/systems.csv", folder);
    CHECK_OK(write(path, ROWS, ROW_COUNT));
    CHECK_OK(file_read(path, 10000, &text));
    CHECK_TEXT(buffer_cstr(&text), expected);
    buffer_done(&text);
    CHECK_OK(file_remove_tree(folder));
}

TEST(every_setting_has_a_row_of_means_and_deviations_over_its_seeds) {
    check_written(systems_write,
                  "setting,seeds,auc,auc_std,auc_source,auc_source_std,auc_target,auc_target_std,"
                  "pauc,pauc_std,f1_source,f1_source_std,f1_target,f1_target_std\n"
                  "n_mels_64,3,0.75,0.25,0.5,,,,0.25,0,0.75,0.3535533905932738,,\n"
                  "n_mels_128,1,0.125,,,,,,0.25,,,,,\n");
}

TEST(every_system_has_a_row) {
    check_written(systems_write_each,
                  "system,seed,auc,auc_source,auc_target,pauc,f1_source,f1_target\n"
                  "n_mels_64_seed_7,7,0.5,,,0.25,1,\n"
                  "n_mels_64_seed_5,5,0.75,0.5,,0.25,0.5,\n"
                  "n_mels_128_seed_7,7,0.125,,,0.25,,\n"
                  "n_mels_64_seed_9,9,1,,,0.25,,\n");
}

TEST_MAIN_LIST(T(every_setting_has_a_row_of_means_and_deviations_over_its_seeds)
                   T(every_system_has_a_row))
