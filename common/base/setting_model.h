// SPDX-License-Identifier: Apache-2.0
//
// What the settings of features and network ask for together; a part of settings.c, for it and
// nobody else. Any thread.
#ifndef AUSCULT_BASE_SETTING_MODEL_H
#define AUSCULT_BASE_SETTING_MODEL_H

#include "common/base/settings.h"

// Whether the notebook features can be had and the network is not too large, of one combination.
// STATUS_INVALID names the settings.
Status setting_check_model(const Settings *settings);

#endif
