// SPDX-License-Identifier: Apache-2.0
//
// Where the coordinator is reached: an ipc socket in a folder of its own, or tcp, locked with the
// keys of a folder that was named (`auscult keygen`) or of RUN/keys, made when the run is first
// served so (proto/keys.h). RUN/endpoint tells workers. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_ENDPOINT_H
#define AUSCULT_COORDINATOR_SERVER_ENDPOINT_H

#include "common/base/limits.h"
#include "coordinator/journal/journal.h"
#include "coordinator/server/ipc_folder.h"
#include "proto/channel.h"

typedef struct EndpointConfig {
    Journal *journal;
    const char *run_folder;
    const char *bind;       // tcp://... or ipc://..., NULL for an ipc socket of its own
    const char *keys;       // folder of keys for tcp, NULL: the run's own
    bool is_insecure;       // tcp without keys
    uint32_t local_workers; // of this machine, where they are all
} EndpointConfig;

typedef struct Endpoint {
    Listener *listener;                 // NULL until it is open
    char ipc_folder[IPC_FOLDER_BYTES];  // "" on tcp
    char key[KEY_TEXT_BYTES];           // the coordinator's public one, "" without keys
    char worker_keys[LIMIT_PATH_BYTES]; // the file for workers of this machine, "" without keys
} Endpoint;

// Before anything else is put into the journal, and before any other socket of the context.
// `endpoint` is all zero. Errors as listener_open, zmq_context_lock and keys_make.
Status endpoint_open(ZmqContext *context, const EndpointConfig *config, Endpoint *endpoint);
// RUN/endpoint: the address, and "coordinator: KEY" where there are keys. STATUS_IO.
Status endpoint_write(const Endpoint *endpoint, const char *run_folder);
// Closes the listener, if it was opened, and removes what says where it was.
void endpoint_close(Endpoint *endpoint, const char *run_folder);

#endif
