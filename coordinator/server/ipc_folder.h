// SPDX-License-Identifier: Apache-2.0
//
// Where the sockets of a run with local workers lie: a folder of its own in /tmp that only we may
// enter, since socket paths stop at 107 bytes. A coordinator that is killed leaves it behind; the
// next one on the same run finds its name in the journal. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_IPC_FOLDER_H
#define AUSCULT_COORDINATOR_SERVER_IPC_FOLDER_H

#include "coordinator/journal/journal.h"

#define IPC_FOLDER_PATTERN "/tmp/auscult-XXXXXX" // as mkdtemp wants it
#define IPC_FOLDER_SOCKET  "control"             // the name in it that workers connect to

enum { IPC_FOLDER_BYTES = sizeof IPC_FOLDER_PATTERN };

// Removes the folder that the journal remembers, makes a new one and has it remembered. Before
// anything else is put into the journal. STATUS_IO, and `out` is then "".
Status ipc_folder_make(Journal *journal, char out[IPC_FOLDER_BYTES]);
// Removes such a folder if it is one that we made and nobody listens there any more.
void ipc_folder_remove_dead(const char *path);

#endif
