// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/ipc_folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/file.h"

static bool is_ours(const char *path) {
    struct stat st;
    size_t fixed = strlen(IPC_FOLDER_PATTERN) - strlen("XXXXXX");
    return strlen(path) == strlen(IPC_FOLDER_PATTERN) &&
           memcmp(path, IPC_FOLDER_PATTERN, fixed) == 0 && strchr(path + fixed, '/') == NULL &&
           lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 077) == 0;
}

// The name may be another coordinator's by now: then somebody takes the connection.
static bool is_served(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true; // nobody can tell
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s/" IPC_FOLDER_SOCKET, path);
    bool served = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
                  (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return served;
}

void ipc_folder_remove_dead(const char *path) {
    if (is_ours(path) && !is_served(path)) {
        (void)file_remove_tree(path);
    }
}

Status ipc_folder_make(Journal *journal, char out[IPC_FOLDER_BYTES]) {
    Buffer last = BUFFER_EMPTY;
    if (journal_fact(journal, "ipc_folder", &last) == STATUS_OK) {
        ipc_folder_remove_dead(buffer_cstr(&last));
    }
    buffer_done(&last);
    strcpy(out, IPC_FOLDER_PATTERN);
    if (mkdtemp(out) == NULL) {
        out[0] = '\0';
        return status_set(STATUS_IO, "cannot make a folder in /tmp: %s", strerror(errno));
    }
    Status status = journal_set_fact(journal, "ipc_folder", out, strlen(out));
    if (status != STATUS_OK) {
        (void)file_remove_tree(out);
        out[0] = '\0';
    }
    return status;
}
