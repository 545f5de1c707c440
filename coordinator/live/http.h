// SPDX-License-Identifier: Apache-2.0
//
// The live page's server, on libmicrohttpd: / (the page), /status.json, /metrics (Prometheus) and
// /healthz. It answers GET and HEAD from the snapshot that was published last, in a thread of its
// own with less of the processor's time than ours; publishing hands a copy over and never waits for
// a client. Connections are bounded in number, memory and time. Start, publish and stop from one
// thread.
#ifndef AUSCULT_COORDINATOR_LIVE_HTTP_H
#define AUSCULT_COORDINATOR_LIVE_HTTP_H

#include "common/base/status.h"
#include "coordinator/live/snapshot.h"

typedef struct Http Http;
// `address` as http_address_parse takes it; `run_folder` for the page's title and the end of its
// log, borrowed. STATUS_INVALID: no such address, or it is taken.
Status http_start(const char *address, const char *run_folder, Http **ret);
void http_stop(Http *http); // accepts NULL
// "http://127.0.0.1:8080/", with the port that was found free; borrowed for its life.
const char *http_url(const Http *http);
// Where somebody was looking at the page just now, waits until they have seen the snapshot that
// tells how the run ended, for so long at most.
void http_linger(Http *http, int64_t most_ms);
// Shows a copy of this from now on.
void http_publish(Http *http, const Snapshot *snapshot);

#endif
