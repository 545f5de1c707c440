// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/score_name.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"

// Moves past `word` when the text goes on with it.
static bool take(const char **at, const char *word) {
    bool is_there = text_starts(*at, word);
    *at += is_there ? strlen(word) : 0;
    return is_there;
}

// "DCASE2024T2" before the machine's name, which may begin with a digit too:
// "DCASE2024T23DPrinter".
static int32_t take_year(const char **at) {
    const char *digits = *at + strlen("DCASE");
    if (!text_starts(*at, "DCASE20") || strspn(digits, "0123456789") < 4 ||
        !text_starts(digits + 4, "T2")) {
        return 0;
    }
    char year[5] = {digits[0], digits[1], digits[2], digits[3], '\0'};
    *at = digits + 6;
    return (int32_t)atoi(year);
}

// The last "<keyword>DIGITS" in the text, or NULL.
static const char *find_section(const char *text, const char *keyword) {
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, keyword)) != NULL; at++) {
        const char *digits = at + strlen(keyword);
        if (*digits >= '0' && *digits <= '9' && at > text) {
            found = at;
        }
    }
    return found;
}

static bool copy_part(const char *from, const char *end, char *out, size_t size) {
    size_t length = (size_t)(end - from);
    if (length >= size) {
        return false;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return true;
}

// Behind the kind: the machine, "_section_NN" and the rest. False when it is no such name.
static bool read_rest(const char *at, const char *end, ScoreName *name) {
    name->year = take_year(&at);
    const char *keyword = "_section_";
    const char *section = find_section(at, keyword);
    if (section == NULL) {
        keyword = "_id_";
        section = find_section(at, keyword);
    }
    if (section == NULL || section >= end ||
        !copy_part(at, section, name->machine, sizeof name->machine)) {
        return false;
    }
    const char *digits = section + strlen(keyword);
    const char *rest = digits + strspn(digits, "0123456789");
    if (!copy_part(digits, rest, name->section, sizeof name->section)) {
        return false;
    }
    if (!take(&rest, "_source_test") && !take(&rest, "_target_test")) {
        take(&rest, "_test");
    }
    take(&rest, "_");
    return rest <= end && copy_part(rest, end, name->variant, sizeof name->variant);
}

ScoreName score_name_read(const char *path) {
    const char *at = file_name(path);
    ScoreName name = {0}, none = {0};
    if (strcmp(at, "challenge_predictions.csv") == 0) {
        return (ScoreName){.kind = SCORE_PREDICTIONS};
    }
    if (!text_ends_nocase(at, ".csv") || !text_is_clean(at)) {
        return none;
    }
    const char *end = at + strlen(at) - strlen(".csv");
    name.kind = take(&at, "anomaly_score_")     ? SCORE_VALUES
                : take(&at, "decision_result_") ? SCORE_DECISIONS
                                                : SCORE_NONE;
    return name.kind != SCORE_NONE && read_rest(at, end, &name) ? name : none;
}
