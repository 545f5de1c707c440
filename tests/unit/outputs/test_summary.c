// SPDX-License-Identifier: Apache-2.0
//
// The closing table, for people and for programs.
#include "coordinator/outputs/summary.h"
#include "tests/unit/test.h"

static ScoredClip clip(const char *machine, int label, double score) {
    return (ScoredClip){.machine = machine,
                        .section = "00",
                        .set = "",
                        .file_name = "x.wav",
                        .path = "m/test/x.wav",
                        .domain = -1,
                        .label = label,
                        .is_test = true,
                        .is_scored = true,
                        .score = score,
                        .threshold = 1.5};
}

TEST(any_machine_name_is_valid_json) {
    const ScoredClip clips[] = {clip("quo\"te\\", 0, 1.0), clip("quo\"te\\", 1, 2.0),
                                clip("\xc3\xbc", -1, 3.0)};
    MachineReport report;
    CHECK_OK(machine_report_make(clips, 3, 0.1, &report));
    Buffer out = BUFFER_EMPTY;
    summary_json(&report, &out);
    CHECK_OK(out.status);
    CHECK_TEXT(buffer_cstr(&out),
               "[{\"machine_type\": \"quo\\\"te\\\\\", \"n_files\": 2, \"left_out\": 0, "
               "\"auc\": 1, \"auc_source\": null, \"auc_target\": null, \"pauc\": 1, "
               "\"f1_source\": null, \"f1_target\": null},\n"
               " {\"machine_type\": \"\xc3\xbc\", \"n_files\": 1, \"left_out\": 0, "
               "\"auc\": null, \"auc_source\": null, \"auc_target\": null, \"pauc\": null, "
               "\"f1_source\": null, \"f1_target\": null},\n"
               " {\"machine_type\": \"all\", \"n_files\": 3, \"left_out\": 0, "
               "\"auc\": 1, \"auc_source\": null, \"auc_target\": null, \"pauc\": 1, "
               "\"f1_source\": null, \"f1_target\": null}]\n");
    buffer_done(&out);
    machine_report_done(&report);
}

TEST(control_characters_do_not_reach_the_terminal) {
    const ScoredClip clips[] = {clip("a\033[31mb", 0, 1.0)};
    MachineReport report;
    CHECK_OK(machine_report_make(clips, 1, 0.1, &report));
    Buffer out = BUFFER_EMPTY;
    summary_format(&report, &out);
    CHECK_HAS(buffer_cstr(&out), "a?[31mb");
    buffer_done(&out);
    machine_report_done(&report);
}

TEST_MAIN_LIST(T(any_machine_name_is_valid_json) T(control_characters_do_not_reach_the_terminal))
