// SPDX-License-Identifier: Apache-2.0
//
// The loop around the scheduler core: sockets, clock, journal, local workers, progress. It drains
// all input, then ticks the core, then does what the core asks. One call serves one owner to its
// end.
#ifndef AUSCULT_COORDINATOR_SERVER_SERVER_H
#define AUSCULT_COORDINATOR_SERVER_SERVER_H

#include "common/engine/fingerprint.h"
#include "common/model/linalg.h"
#include "coordinator/journal/journal.h"
#include "coordinator/live/live.h"
#include "coordinator/server/blobs.h"
#include "coordinator/server/owner.h"

typedef struct ServerConfig {
    const Owner *owner;
    Journal *journal;
    Blobs *blobs;
    Live *live; // tells who looks on; NULL: nobody does
    const char *run_folder;
    const char *bind;         // tcp://... to serve workers elsewhere, NULL for ipc
    const char *keys;         // folder of keys for tcp, NULL: the run's own
    bool is_insecure;         // tcp without keys
    uint32_t local_workers;   // to start here; may be 0 with `bind`
    const char *const *roots; // (root_count)
    uint32_t root_count;
    Kernel kernel;
    const Fingerprint *fingerprint; // of this program
    bool is_quiet, is_debug;
} ServerConfig;

// Serves until the owner says that it is over. A signal asks to stop: what is under work may end or
// be handed over, for 3 s at most, and a second signal ends that. STATUS_STOPPED: it has stopped,
// the run can be continued; anything else is a failure that status_message tells. `*ret_alarms`:
// answers of one worker that another contradicted, of all coordinators of this run so far; with
// any, the results may not be trusted.
Status server_run(const ServerConfig *config, uint32_t *ret_alarms);

#endif
