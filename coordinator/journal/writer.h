// SPDX-License-Identifier: Apache-2.0
//
// The journal's thread: records wait in a queue until it writes them, a whole queue in one
// transaction, and are handed back once they are durable. Any error is final. One thread beside
// its own.
#ifndef AUSCULT_COORDINATOR_JOURNAL_WRITER_H
#define AUSCULT_COORDINATOR_JOURNAL_WRITER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "coordinator/journal/store.h"

typedef enum RecordKind { RECORD_ANSWER, RECORD_STATE, RECORD_FAILURE } RecordKind;

typedef struct Record {
    struct Record *next;
    RecordKind kind;
    uint32_t detail; // answers: task kind; states: epoch; failures: deaths
    uint32_t more;   // states: generation; failures: cannots; answers: 1 to forget failures
    uint64_t ticket; // answers and states
    uint64_t number; // answers: of the row
    Digest key;      // of the task, or of the plan
    size_t size;
    char *folder;          // states: within the block, behind the bytes
    unsigned char bytes[]; // answer body or state
} Record;

// One block for the record, its bytes and a folder's name (NULL for none) behind them. NULL: out of
// memory. The caller frees it with mem_free until writer_put takes it.
Record *record_new(RecordKind kind, Digest key, const void *bytes, size_t size, const char *folder);

typedef struct Writer Writer;

// What it writes with; all borrowed for its life.
typedef struct WriterConfig {
    Store *store;
    pthread_mutex_t *store_lock; // held while it uses the store
    const char *run_folder;
} WriterConfig;

Status writer_start(const WriterConfig *config, Writer **ret);
// Writes what is queued, then ends. Accepts NULL.
void writer_stop(Writer *writer);

// Takes the record, also on failure: STATUS_IO, an earlier commit's.
Status writer_put(Writer *writer, Record *record);
// Readable while writer_take has something.
int writer_fd(const Writer *writer);
// The first durable record, in the order they were put; the caller frees it with mem_free.
// STATUS_AGAIN: none; STATUS_IO: nothing can be written any more.
Status writer_take(Writer *writer, Record **ret_record);

// The file in a model's folder that holds a generation of its state; borrowed for good.
const char *writer_state_file(uint32_t generation);

#endif
