// SPDX-License-Identifier: Apache-2.0
//
// YAML configuration files with flat keys, read as a tree that knows its lines. Precedence is
// the caller's: preset first, then this file, then --set. The official baseline.yaml
// (dcase2023_task2_baseline_ae) is accepted as it is: its keys begin with dashes, `-lr` is
// learning_rate, and those of its keys that say where data lie and how to print are passed over.
// Any thread.
#ifndef AUSCULT_BASE_CONFIG_H
#define AUSCULT_BASE_CONFIG_H

#include "common/base/settings.h"

// Applies every key of the YAML file to `settings`, which is untouched on failure. Errors name
// file and line: STATUS_FORMAT when it is not YAML with flat keys and scalars, STATUS_INVALID for
// an unknown or repeated key or a value out of range.
Status config_read_file(const char *path, Settings *settings);
// As above, from memory; `name` stands for the file in messages.
Status config_read_text(const char *name, const char *text, size_t size, Settings *settings);

#endif
