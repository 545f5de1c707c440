// SPDX-License-Identifier: Apache-2.0
//
// The settings that hold more than one value: seeds, scores, the matrix; a part of settings.c, for
// it and nobody else. Any thread.
#ifndef AUSCULT_BASE_SETTING_LISTS_H
#define AUSCULT_BASE_SETTING_LISTS_H

#include "common/base/settings.h"

// settings_set for such a row; a list of one is kept as the value alone, so that its files have the
// same bytes whichever way it was given.
Status setting_set_seeds(Settings *settings, const SettingRow *row, const char *value);
Status setting_set_scores(Settings *settings, const SettingRow *row, const char *value);
Status setting_set_widths(WidthList *list, const SettingRow *row, const char *value);
Status setting_set_matrix(Settings *settings, const SettingRow *row, const char *value);

// settings_value for such a row.
void setting_seeds_value(const Settings *settings, Buffer *out);
void setting_scores_value(const Settings *settings, const SettingRow *row, Buffer *out);
void setting_widths_value(const WidthList *list, Buffer *out);
void setting_matrix_value(const Settings *settings, Buffer *out);

// Whether each setting of the matrix still has its first value. STATUS_INVALID names one that was
// set otherwise.
Status setting_check_matrix(const Settings *settings);

// ---- of settings.c, for these ----

// The index of a choice, -1 when it is none.
int32_t setting_choice(const SettingRow *row, const char *value);
// STATUS_INVALID with what is accepted.
Status setting_no_choice(const SettingRow *row, const char *value);
Status setting_out_of_range(const SettingRow *row, const char *value);
// The ways in which YAML, and Python, write that there is no value.
bool setting_is_null(const char *value);

#endif
