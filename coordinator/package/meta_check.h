// SPDX-License-Identifier: Apache-2.0
//
// What the challenge's meta.yaml holds: every key with its type and whether it may be missing. Any
// thread.
#ifndef AUSCULT_PACKAGE_META_CHECK_H
#define AUSCULT_PACKAGE_META_CHECK_H

#include "coordinator/package/archive.h"
#include "coordinator/package/complaint.h"

// Keys, types and values of one meta.yaml; `label` is the system's, which submission.label must be.
// STATUS_MEMORY.
Status meta_check(const ArchiveEntry *entry, const char *label, Complaints *complaints);

#endif
