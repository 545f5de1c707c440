// SPDX-License-Identifier: Apache-2.0
//
// What a coordinator leaves in its run's folder for workers that share the disk (RUN/endpoint): a
// line with its address and, when it serves with keys, "coordinator: KEY" with its public one. It
// says nothing secret; who may write it may change the run. Any thread.
#ifndef AUSCULT_WORKER_NOTICE_H
#define AUSCULT_WORKER_NOTICE_H

#include "proto/channel.h"

typedef struct Notice {
    char endpoint[CHANNEL_ADDRESS_BYTES];
    char key[KEY_TEXT_BYTES]; // "": it serves without keys
} Notice;

// STATUS_NOT_FOUND: no coordinator is running on the run now; STATUS_FORMAT, STATUS_IO. Untouched
// on failure.
Status notice_read(const char *run, Notice *ret);

#endif
