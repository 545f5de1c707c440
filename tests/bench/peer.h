// SPDX-License-Identifier: Apache-2.0
//
// What other programs take for the same work: peer.py in a Python that has librosa or PyTorch, as a
// child process on our core with one thread, told turn by turn how often to do it. One thread.
#ifndef AUSCULT_BENCH_PEER_H
#define AUSCULT_BENCH_PEER_H

#include "tests/bench/bench.h"

typedef struct Peer Peer;

// `work` is one that peer.py knows, `argument` what it takes. *ret is NULL, with a note in the
// table, when there is no such Python, or peers are not wanted; that is no failure.
Status peer_start(Bench *bench, const char *work, const char *argument, Peer **ret);
void peer_stop(Peer *peer);

// Name and version of what does the work; borrowed.
const char *peer_name(const Peer *peer);
// A Contender's run; the context is the Peer.
Status peer_run(void *peer, int32_t times, int64_t *ret_ns);

#endif
