// SPDX-License-Identifier: Apache-2.0
//
// A disk that fails at a chosen call. Preloaded into a coordinator (LD_PRELOAD), it counts the
// calls that change files, and from the one that AUSCULT_FAULT names ("kill 17") something is
// wrong:
//   kill  the program is killed just before that call, as by kill -9
//   full  writes fail with "no space left on device", for ever
//   sync  fsync and fdatasync fail with an I/O error, for ever
// Workers inherit the environment and are left alone. One process, any thread.
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char kind[8]; // "" for no fault
static unsigned long first_call;
static atomic_ulong calls;

__attribute__((constructor)) static void read_fault(void) {
    const char *fault = getenv("AUSCULT_FAULT");
    if (fault == NULL || strcmp(program_invocation_short_name, "auscult") != 0 ||
        sscanf(fault, "%7s %lu", kind, &first_call) != 2) {
        kind[0] = '\0';
    }
}

// Counts the call. Whether the fault `wanted` is to show at it.
static bool is_due(const char *wanted) {
    if (kind[0] == '\0' || atomic_fetch_add(&calls, 1) + 1 < first_call) {
        return false;
    }
    if (strcmp(kind, "kill") == 0) {
        raise(SIGKILL);
    }
    return strcmp(kind, wanted) == 0;
}

// Pipes, sockets and eventfds are no disk.
static bool is_file(int fd) {
    struct stat facts;
    return fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

static bool is_full(int fd) {
    bool full = is_file(fd) && is_due("full");
    if (full) {
        errno = ENOSPC;
    }
    return full;
}

static bool is_broken(void) {
    bool broken = is_due("sync");
    if (broken) {
        errno = EIO;
    }
    return broken;
}

// The real function of this name, by the type of the one that stands in for it.
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t size) {
    return is_full(fd) ? -1 : REAL(write)(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    return is_full(fd) ? -1 : REAL(pwrite64)(fd, bytes, size, offset);
}

int fsync(int fd) {
    return is_broken() ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return is_broken() ? -1 : REAL(fdatasync)(fd);
}

int rename(const char *from, const char *to) {
    (void)is_due("rename"); // only to be killed before it
    return REAL(rename)(from, to);
}

int ftruncate64(int fd, off64_t size) {
    (void)is_due("truncate");
    return REAL(ftruncate64)(fd, size);
}
