// SPDX-License-Identifier: Apache-2.0
//
// Signals that ask a run to stop before the server listens to them (coordinator/server): nothing is
// under way yet that would have to be ended well, so the program leaves at once, with the exit
// status of a run that can be continued. The main thread, before others are started.
#ifndef AUSCULT_COORDINATOR_EARLY_STOP_H
#define AUSCULT_COORDINATOR_EARLY_STOP_H

// From now on SIGINT, SIGTERM and SIGHUP (unless ignored, as nohup does) end the program with this
// status.
void early_stop_catch(int exit_status);
// Around what may execute the program anew: a signal in between waits, also over the execution,
// for early_stop_release or for the next program's early_stop_catch.
void early_stop_hold(void);
void early_stop_release(void);

#endif
