// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's end of the bulk lane: which connection belongs to which session, blobs that
// come in put together for the core, objects, totals and clips' files sent out. The coordinator's
// loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_BULK_LANE_H
#define AUSCULT_COORDINATOR_SERVER_BULK_LANE_H

#include "coordinator/core/core.h"
#include "coordinator/server/blobs.h"
#include "coordinator/server/owner.h"
#include "proto/channel.h"

typedef struct BulkLane BulkLane;
// All are borrowed for the lane's life. NULL when out of memory.
BulkLane *bulk_lane_new(Listener *listener, Core *core, Blobs *blobs, const Owner *owner);
void bulk_lane_free(BulkLane *lane);

// A message came on the bulk lane, or a connection of it is gone.
void bulk_lane_message(BulkLane *lane, const ListenerEvent *event, int64_t now_ms);
void bulk_lane_closed(BulkLane *lane, PeerId peer, int64_t now_ms);
// Sends the parts of clips that have been read, and lets go of those that have left: when the
// descriptor is readable, and now and then.
int bulk_lane_fd(const BulkLane *lane);
void bulk_lane_send_parts(BulkLane *lane, int64_t now_ms);
// Sends the total that the core's action asks for (CORE_TOTAL). Members of one group get the same
// bytes, which are taken from its first action and never copied.
void bulk_lane_total(BulkLane *lane, CoreAction *action, int64_t now_ms);

#endif
