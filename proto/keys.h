// SPDX-License-Identifier: Apache-2.0
//
// CURVE keys (RFC 26 of ZeroMQ) as files. A folder of keys holds
//
//     coordinator.key   the coordinator's pair                             (0600)
//     worker.key        a worker's pair and the coordinator's public key   (0600)
//     NAME.key          more of the kind, one for each worker that may be shut out by itself
//     workers           the public keys that are admitted, a line each: KEY NAME
//
// Keys are 32 bytes as 40 characters of Z85. A key file has lines "word: KEY"; '#' begins a
// comment. A file that everybody may read is refused. Any thread.
#ifndef AUSCULT_PROTO_KEYS_H
#define AUSCULT_PROTO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define KEY_TEXT_BYTES 41 // 40 characters and a NUL

#define KEYS_COORDINATOR "coordinator.key"
#define KEYS_WORKER      "worker.key"
#define KEYS_LIST        "workers"

typedef struct KeyPair {
    char public_key[KEY_TEXT_BYTES];
    char secret_key[KEY_TEXT_BYTES];
} KeyPair;

// What a worker needs: its own pair, and whom it talks to.
typedef struct WorkerKeys {
    KeyPair own;
    char coordinator[KEY_TEXT_BYTES];
} WorkerKeys;

// Overwrites what is secret, so that it does not stay in memory.
void keys_wipe(void *keys, size_t size);

// Makes the folder (0700) and in it the coordinator's key, worker.key and the list that admits it.
// STATUS_MISMATCH: there is one of these already, and nothing was touched. STATUS_IO.
Status keys_make(const char *folder);
// Adds NAME.key and its line of the list. The name: letters, digits, '.', '_', '-', not at the
// beginning. STATUS_INVALID, STATUS_MISMATCH: there is such a key or name; STATUS_NOT_FOUND: no
// coordinator's key; STATUS_IO.
Status keys_add_worker(const char *folder, const char *name);

// STATUS_NOT_FOUND, STATUS_IO; STATUS_FORMAT names file and line, or says that everybody may read
// it. The caller wipes what it gets.
Status keys_read_coordinator(const char *folder, KeyPair *ret_pair);
Status keys_read_worker(const char *file, WorkerKeys *ret_keys);

// The keys that are admitted.
typedef struct KeyList {
    char (*keys)[KEY_TEXT_BYTES]; // (count)
    uint32_t count, capacity;
} KeyList;
// Replaces what is in `list`, which is untouched on failure: as above.
Status keys_read_list(const char *file, KeyList *list);
void keys_list_done(KeyList *list);
bool keys_list_has(const KeyList *list, const char *key);

// Whether the text is a key: 40 characters of Z85.
bool keys_is_key(const char *text);

#endif
