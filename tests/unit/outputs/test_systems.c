// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/systems.h"

#include <math.h>

#include "common/base/file.h"
#include "tests/unit/test.h"

TEST(every_system_has_a_row_before_mean_and_deviation) {
    SystemRow rows[] = {
        {.name = "seed_7", .seed = 7, .metrics = {0.5, NAN, NAN, 0.25, 1, NAN}},
        {.name = "seed_5", .seed = 5, .metrics = {0.75, 0.5, NAN, 0.25, 0.5, NAN}},
        {.name = "seed_9", .seed = 9, .metrics = {1, NAN, NAN, 0.25, NAN, NAN}},
    };
    char path[300];
    Buffer text = BUFFER_EMPTY;
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/systems.csv", folder);
    CHECK_OK(systems_write(path, rows, 3));
    CHECK_OK(file_read(path, 10000, &text));
    CHECK_TEXT(buffer_cstr(&text),
               "system,seed,auc,auc_source,auc_target,pauc,f1_source,f1_target\n"
               "seed_7,7,0.5,,,0.25,1,\n"
               "seed_5,5,0.75,0.5,,0.25,0.5,\n"
               "seed_9,9,1,,,0.25,,\n"
               "mean,,0.75,0.5,,0.25,0.75,\n"
               "std,,0.25,,,0,0.3535533905932738,\n");
    buffer_done(&text);
    CHECK_OK(file_remove_tree(folder));
}

TEST_MAIN_LIST(T(every_system_has_a_row_before_mean_and_deviation))
