// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "proto/keys.h"

#define KEYS_FOLDER "keys" // in the run's

// ---- keys ----

static Status make_once(const char *folder) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, folder, KEYS_COORDINATOR);
    if (status != STATUS_OK || file_exists(path)) {
        return status;
    }
    status = keys_make(folder);
    if (status == STATUS_OK) {
        log_info("made keys for this run's workers in %s", folder);
    }
    return status;
}

static Status use_keys(ZmqContext *context, const char *folder, Endpoint *endpoint) {
    char list[LIMIT_PATH_BYTES];
    KeyPair pair = {0};
    Status status = file_join(list, sizeof list, folder, KEYS_LIST);
    if (status == STATUS_OK) {
        status =
            file_join(endpoint->worker_keys, sizeof endpoint->worker_keys, folder, KEYS_WORKER);
    }
    if (status == STATUS_OK) {
        status = keys_read_coordinator(folder, &pair);
    }
    if (status == STATUS_OK) {
        status = zmq_context_lock(context, &pair, list);
    }
    text_copy(endpoint->key, sizeof endpoint->key, pair.public_key);
    keys_wipe(&pair, sizeof pair);
    return status;
}

static Status lock_tcp(ZmqContext *context, const EndpointConfig *config, Endpoint *endpoint) {
    if (config->bind == NULL || !text_starts(config->bind, "tcp://")) {
        return STATUS_OK; // ipc lies in a folder that nobody else may enter
    }
    if (config->is_insecure) {
        log_warning("tcp without keys: everybody who reaches the port can take part, and read what "
                    "is sent");
        return STATUS_OK;
    }
    if (config->keys != NULL) {
        return use_keys(context, config->keys, endpoint);
    }
    char folder[LIMIT_PATH_BYTES];
    Status status = file_join(folder, sizeof folder, config->run_folder, KEYS_FOLDER);
    if (status == STATUS_OK) {
        status = make_once(folder);
    }
    return status == STATUS_OK ? use_keys(context, folder, endpoint) : status;
}

// ---- binding ----

// Any free port is best the one that the run was served at before: its workers look for it there.
static Status open_any_port(ZmqContext *context, const EndpointConfig *config,
                            Listener **ret_listener) {
    char text[CHANNEL_ADDRESS_BYTES];
    Buffer port = BUFFER_EMPTY;
    Status status = journal_fact(config->journal, "port", &port);
    if (status == STATUS_OK) {
        snprintf(text, sizeof text, "%.*s%s", (int)strlen(config->bind) - 1, config->bind,
                 buffer_cstr(&port));
        status = listener_open(context, text, LIMIT_WORKERS, ret_listener);
    }
    buffer_done(&port);
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    status = listener_open(context, config->bind, LIMIT_WORKERS, ret_listener);
    if (status == STATUS_OK) {
        const char *taken = strrchr(listener_endpoint(*ret_listener), ':') + 1;
        status = journal_set_fact(config->journal, "port", taken, strlen(taken));
    }
    return status;
}

static Status open_ipc(ZmqContext *context, const EndpointConfig *config, Endpoint *endpoint) {
    Status status = ipc_folder_make(config->journal, endpoint->ipc_folder);
    if (status != STATUS_OK) {
        return status;
    }
    char text[CHANNEL_ADDRESS_BYTES];
    snprintf(text, sizeof text, "ipc://%s/" IPC_FOLDER_SOCKET, endpoint->ipc_folder);
    return listener_open(context, text, config->local_workers + 16, &endpoint->listener);
}

Status endpoint_open(ZmqContext *context, const EndpointConfig *config, Endpoint *endpoint) {
    Status status = lock_tcp(context, config, endpoint);
    if (status != STATUS_OK) {
        return status;
    }
    if (config->bind == NULL) {
        return open_ipc(context, config, endpoint);
    }
    return text_ends(config->bind, ":0")
               ? open_any_port(context, config, &endpoint->listener)
               : listener_open(context, config->bind, LIMIT_WORKERS, &endpoint->listener);
}

Status endpoint_write(const Endpoint *endpoint, const char *run_folder) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    buffer_format(&text, "%s\n", listener_endpoint(endpoint->listener));
    if (endpoint->key[0] != '\0') {
        buffer_format(&text, "coordinator: %s\n", endpoint->key);
    }
    Status status = file_join(path, sizeof path, run_folder, "endpoint");
    if (status == STATUS_OK) {
        status = file_write_buffer(path, &text);
    }
    buffer_done(&text);
    return status;
}

void endpoint_close(Endpoint *endpoint, const char *run_folder) {
    char path[LIMIT_PATH_BYTES];
    listener_close(endpoint->listener);
    if (file_join(path, sizeof path, run_folder, "endpoint") == STATUS_OK) {
        unlink(path);
    }
    if (endpoint->ipc_folder[0] != '\0') {
        (void)file_remove_tree(endpoint->ipc_folder);
    }
}
