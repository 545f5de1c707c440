// SPDX-License-Identifier: Apache-2.0
//
// Who may connect to a coordinator: the keys of a list in a file. It answers libzmq's question at
// each handshake (ZAP, RFC 27 of ZeroMQ), in a thread of its own that also looks once a second
// whether the file has changed. ZAP asks at the handshake only, so whoever owns the connections
// asks gate_admits again when the list has changed. Internal to proto/.
#ifndef AUSCULT_PROTO_GATE_H
#define AUSCULT_PROTO_GATE_H

#include "proto/channel.h"

#define GATE_DOMAIN "auscult"
// Of a socket: lets nobody in where no gate answers. libzmq 4.3 knows the option; only builds with
// drafts name it.
#define GATE_ENFORCE_DOMAIN 93

typedef struct Gate Gate;
// Reads the list and starts to answer; before any socket of the context is bound. STATUS_IO,
// STATUS_MEMORY, STATUS_NOT_FOUND, STATUS_FORMAT as keys_read_list.
Status gate_open(void *zmq_context, const char *list, Gate **ret);
void gate_close(Gate *gate); // before the context is freed

// The key as libzmq's User-Id has it: 40 characters. Any thread.
bool gate_admits(Gate *gate, const char *user);
// Grows when keys may have gone from the list. Any thread.
uint32_t gate_version(const Gate *gate);
// Readable when that has happened; lowered by gate_lower.
int gate_fd(const Gate *gate);
void gate_lower(Gate *gate);
// What is wrong with the list since it last could be read, "" when nothing is; until it can, the
// keys from before are admitted. True once for each change.
bool gate_take_problem(Gate *gate, char *out, size_t size);

#endif
