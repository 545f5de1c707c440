// SPDX-License-Identifier: Apache-2.0
//
// YAML configuration files with flat keys, read as a tree that knows its lines; only seeds and
// score take lists, and the matrix is a mapping of lists. Precedence is the caller's: preset first,
// then this file, then --set. The official baseline.yaml (dcase2023_task2_baseline_ae) is accepted
// as it is: its keys begin with dashes, `-lr` is learning_rate, and those of its keys that say
// where data lie, what to train on and how to print are passed over. Any thread.
#ifndef AUSCULT_BASE_CONFIG_H
#define AUSCULT_BASE_CONFIG_H

#include "common/base/settings.h"

// Applies every key of the YAML file to `settings`, which is untouched on failure. Errors name
// file and line: STATUS_FORMAT when it is not YAML of this form, STATUS_INVALID for an unknown or
// repeated key or a value out of range. Appends to `notes` which of the official baseline's keys
// were passed over, and why: "use_cuda (training runs on processors); ...".
Status config_read_file(const char *path, Settings *settings, Buffer *notes);
// As above, from memory and without notes; `name` stands for the file in messages.
Status config_read_text(const char *name, const char *text, size_t size, Settings *settings);

#endif
