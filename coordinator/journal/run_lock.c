// SPDX-License-Identifier: Apache-2.0
//
// How it works. The lock is one of the open file description (fcntl F_OFD_SETLK), so that reading
// the file through another descriptor does not drop it, as it would with the older kind. The file
// is written in place, never renamed: a new file would have no lock. A check opens it anew, which
// is what makes network file systems ask the server.
#include "coordinator/journal/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/digest.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

enum { TEXT_BYTES = 512 };

struct RunLock {
    int fd;
    char path[LIMIT_PATH_BYTES];
    char id[DIGEST_TEXT_BYTES]; // random
    char host[256];
    uint32_t number; // the coordinator's
};

// ---- what the file says ----

// "auscult-lock 2 <open|closed> <random id> <host> <process> <number>\n"; version 1 had no number.
static void text_of(const RunLock *lock, const char *word, char out[TEXT_BYTES]) {
    snprintf(out, TEXT_BYTES, "auscult-lock 2 %s %s %s %ld %u\n", word, lock->id, lock->host,
             (long)getpid(), lock->number);
}

static uint32_t number_in(const char *text) {
    unsigned number;
    return sscanf(text, "auscult-lock 2 %*8s %*32s %*255s %*d %u", &number) == 1 ? number : 0;
}

static Status random_text(char out[DIGEST_TEXT_BYTES]) {
    Digest id;
    if (getrandom(id.bytes, sizeof id.bytes, 0) != (ssize_t)sizeof id.bytes) {
        return status_set(STATUS_IO, "no random numbers: %s", strerror(errno));
    }
    digest_text(id, out);
    return STATUS_OK;
}

static void read_text(int fd, char out[TEXT_BYTES]) {
    ssize_t size = pread(fd, out, TEXT_BYTES - 1, 0);
    out[size > 0 ? size : 0] = '\0';
}

static Status write_text(RunLock *lock, const char *text) {
    size_t size = strlen(text);
    bool ok = pwrite(lock->fd, text, size, 0) == (ssize_t)size &&
              ftruncate(lock->fd, (off_t)size) == 0 && fsync(lock->fd) == 0;
    return ok ? STATUS_OK
              : status_set(STATUS_IO, "cannot write %s: %s", lock->path, strerror(errno));
}

// "process 123 on host X" from the file's text.
static void holder_of(const char *text, char *out, size_t size) {
    char host[256];
    long process;
    if (sscanf(text, "auscult-lock %*d %*8s %*32s %255s %ld", host, &process) == 2) {
        snprintf(out, size, "process %ld on host %s", process, host);
    } else {
        snprintf(out, size, "an unknown process");
    }
}

// ---- taking ----

static Status refuse(const RunLock *lock, int error) {
    char text[TEXT_BYTES], holder[TEXT_BYTES];
    if (error == EAGAIN || error == EACCES) {
        read_text(lock->fd, text);
        holder_of(text, holder, sizeof holder);
        return status_set(STATUS_IO,
                          "another coordinator is working on this run: %s (%s is locked)", holder,
                          lock->path);
    }
    return status_set(STATUS_IO,
                      "cannot lock %s: %s; two coordinators could not be kept apart there. Put "
                      "--out on a local disk, or have the file system mounted with locks (NFS "
                      "without nolock, Lustre with flock)",
                      lock->path, strerror(error));
}

static Status open_and_lock(RunLock *lock) {
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->fd < 0) {
        return status_set(STATUS_IO,
                          "cannot open %s for writing: %s; a run can be continued and cleaned only "
                          "where its folder can be written",
                          lock->path, strerror(errno));
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(lock->fd, F_OFD_SETLK, &whole) == 0 ? STATUS_OK : refuse(lock, errno);
}

static RunLockPast past_of(int fd) {
    char text[TEXT_BYTES];
    read_text(fd, text);
    return (RunLockPast){.was_there = text[0] != '\0',
                         .was_closed = strstr(text, " closed ") != NULL,
                         .number = number_in(text)};
}

Status run_lock_look(const char *path, RunLockPast *ret_past, bool *ret_is_held) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return status_set(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot read %s: %s",
                          path, strerror(errno));
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *ret_is_held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    *ret_past = past_of(fd);
    close(fd);
    return STATUS_OK;
}

Status run_lock_take(const char *path, RunLock **ret, RunLockPast *ret_past) {
    RunLock *lock = mem_new(1, sizeof *lock);
    if (lock == NULL) {
        return STATUS_MEMORY;
    }
    lock->fd = -1;
    if (gethostname(lock->host, sizeof lock->host - 1) != 0 || lock->host[0] == '\0') {
        strcpy(lock->host, "?");
    }
    Status status = STATUS_OK;
    if (snprintf(lock->path, sizeof lock->path, "%s", path) >= (int)sizeof lock->path) {
        status = status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    if (status == STATUS_OK) {
        status = random_text(lock->id);
    }
    if (status == STATUS_OK) {
        status = open_and_lock(lock);
    }
    if (status != STATUS_OK) {
        if (lock->fd >= 0) {
            close(lock->fd);
        }
        mem_free(lock);
        return status;
    }
    *ret_past = past_of(lock->fd);
    *ret = lock;
    return STATUS_OK;
}

Status run_lock_sign(RunLock *lock, uint32_t number) {
    char text[TEXT_BYTES];
    lock->number = number;
    text_of(lock, "open", text);
    return write_text(lock, text);
}

Status run_lock_check(const RunLock *lock) {
    char text[TEXT_BYTES], ours[TEXT_BYTES], holder[TEXT_BYTES];
    int fd = open(lock->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return status_set(STATUS_IO, "cannot read %s, which says whose run this is: %s", lock->path,
                          strerror(errno));
    }
    read_text(fd, text);
    close(fd);
    text_of(lock, "open", ours);
    if (strcmp(text, ours) == 0) {
        return STATUS_OK;
    }
    holder_of(text, holder, sizeof holder);
    return status_set(STATUS_IO,
                      "another coordinator has taken this run over: %s (says %s); this one writes "
                      "nothing more",
                      holder, lock->path);
}

void run_lock_free(RunLock *lock, bool is_in_order) {
    if (lock == NULL) {
        return;
    }
    // Only what is ours may be signed off.
    if (is_in_order && run_lock_check(lock) == STATUS_OK) {
        char text[TEXT_BYTES];
        text_of(lock, "closed", text);
        (void)write_text(lock, text); // the next one only waits a little longer
    }
    close(lock->fd);
    mem_free(lock);
}

// ---- the file system ----

const char *run_lock_network(const char *path) {
    // Magic numbers of statfs(2); those with names are in linux/magic.h, not everywhere complete.
    static const struct {
        uint32_t magic;
        const char *name;
    } NETWORKS[] = {
        {0x6969, "NFS"},
        {0x517B, "SMB"},
        {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB2"},
        {0x0BD00BD0, "Lustre"},
        {0x47504653, "GPFS"},
        {0x19830326, "BeeGFS"},
        {0x00C36400, "CephFS"},
        {0x5346414F, "AFS"},
        {0x6B414653, "AFS"},
        {0x01021997, "9p"},
        {0x65735546, "FUSE"},
        {0x564C, "NCP"},
        {0x73757245, "Coda"},
        {0x7461636F, "OCFS2"},
        {0x01161970, "GFS2"},
        {0x013111A8, "IBRIX"},
        {0xAAD7AAEA, "PanFS"},
        {0x786F4256, "VirtualBox"},
        {0xBACBACBC, "VMware"},
        {0x61756673, "AUFS"},
    };
    struct statfs facts;
    if (statfs(path, &facts) != 0) {
        return "unknown";
    }
    for (size_t i = 0; i < sizeof NETWORKS / sizeof NETWORKS[0]; i++) {
        if ((uint32_t)facts.f_type == NETWORKS[i].magic) {
            return NETWORKS[i].name;
        }
    }
    return NULL;
}
