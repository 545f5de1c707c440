// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

Status signals_catch(int *ret_fd) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) { // nohup
        sigaddset(&set, SIGHUP);
    }
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return status_set(STATUS_IO, "cannot watch signals: %s", strerror(errno));
    }
    *ret_fd = fd;
    return STATUS_OK;
}

uint32_t signals_stops(int fd) {
    struct signalfd_siginfo info;
    uint32_t stops = 0;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        stops += info.ssi_signo != SIGCHLD;
    }
    return stops;
}
