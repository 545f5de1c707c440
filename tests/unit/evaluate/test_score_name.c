// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/score_name.h"

#include "tests/unit/test.h"

static void check(const char *path, ScoreKind kind, const char *machine, const char *section,
                  int year, const char *variant) {
    ScoreName name = score_name_read(path);
    CHECK_INT(name.kind, kind);
    CHECK_TEXT(name.machine, machine);
    CHECK_TEXT(name.section, section);
    CHECK_INT(name.year, year);
    CHECK_TEXT(name.variant, variant);
}

TEST(names_of_every_year_are_read) {
    check("a/anomaly_score_fan_section_00_test.csv", SCORE_VALUES, "fan", "00", 0, "");
    check("decision_result_3DPrinter_section_00_test.csv", SCORE_DECISIONS, "3DPrinter", "00", 0,
          "");
    check("anomaly_score_ToyCar_id_01.csv", SCORE_VALUES, "ToyCar", "01", 0, "");
    check("anomaly_score_fan_section_03_source_test.csv", SCORE_VALUES, "fan", "03", 0, "");
    check("x/challenge_predictions.csv", SCORE_PREDICTIONS, "", "", 0, "");
}

TEST(names_of_the_baseline_are_read) {
    check("anomaly_score_DCASE2024T23DPrinter_section_00_test_seed13711_id(0_)_Eval.csv",
          SCORE_VALUES, "3DPrinter", "00", 2024, "seed13711_id(0_)_Eval");
    check("decision_result_DCASE2023T2fan_section_00_test_seed13711_Dev.csv", SCORE_DECISIONS,
          "fan", "00", 2023, "seed13711_Dev");
    // A machine that only looks like a year of the challenge.
    check("anomaly_score_DCASE_section_00_test.csv", SCORE_VALUES, "DCASE", "00", 0, "");
}

TEST(other_names_are_none) {
    const char *const OTHERS[] = {"anomaly_score_fan.csv",
                                  "anomaly_score__section_.csv",
                                  "anomaly_score_section_00_test.csv",
                                  "anomaly_score_fan_section_00_test.txt",
                                  "result.csv",
                                  "anomaly_score_.csv",
                                  ""};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        CHECK_INT(score_name_read(OTHERS[i]).kind, SCORE_NONE);
    }
}

TEST_MAIN_LIST(T(names_of_every_year_are_read) T(names_of_the_baseline_are_read)
                   T(other_names_are_none))
