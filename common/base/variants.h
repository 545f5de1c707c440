// SPDX-License-Identifier: Apache-2.0
//
// What a run's settings ask for when some of them vary. A variant is one combination of all that a
// model depends on, the seed included, so it has its own models; a system is one variant, one
// score and one combination of what only its report reads, and has its own outputs. Variants are
// counted with the seed varying fastest, then the matrix's settings from the last to the first;
// the systems of a variant with the score varying fastest. Any thread.
#ifndef AUSCULT_BASE_VARIANTS_H
#define AUSCULT_BASE_VARIANTS_H

#include "common/base/settings.h"

// How many variants there are, and how many systems each has; both 1 or more.
uint32_t variants_count(const Settings *settings);
uint32_t variants_systems(const Settings *settings);

// The settings of a variant, as if the run had no other: a model's. The scores are all still there;
// of what only reports read it has the first values.
Settings variants_settings(const Settings *settings, uint32_t variant);
// The settings of one system of it, `system` below variants_systems: nothing varies any more.
Settings variants_system_settings(const Settings *settings, uint32_t variant, uint32_t system);

// "n_mels_64_seed_2": the values of what varies, each behind its key; "" where nothing does.
void variants_name(const Settings *settings, uint32_t variant, char out[LIMIT_SYSTEM_BYTES]);
// "n_mels_64_seed_2_percentile_95_MAHALA", the name of its folder; no two systems have the same.
void variants_system_name(const Settings *settings, uint32_t variant, uint32_t system,
                          char out[LIMIT_SYSTEM_BYTES]);
// As above without the seed: what systems that are means over seeds have in common.
void variants_setting_name(const Settings *settings, uint32_t variant, uint32_t system,
                           char out[LIMIT_SYSTEM_BYTES]);
// Whether a folder may be that of a system of some run: its name is made of such parts.
bool variants_is_name(const char *name);

// The system that `primary` names: the first that has all of its parts. False when none has.
bool variants_primary(const Settings *settings, uint32_t *ret_variant, uint32_t *ret_system);

// STATUS_INVALID for more systems than a run may have, names that are too long, or a `primary` that
// names none.
Status variants_check(const Settings *settings);

#endif
