// SPDX-License-Identifier: Apache-2.0
#include "coordinator/early_stop.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int NUMBERS[] = {SIGINT, SIGTERM, SIGHUP};
enum { COUNT = sizeof NUMBERS / sizeof NUMBERS[0] };

static volatile sig_atomic_t status;

static void leave_at_once(int number) {
    (void)number;
    static const char text[] = "auscult: stopped; the same command continues\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(status);
}

static void set_mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < COUNT; i++) {
        sigaddset(&set, NUMBERS[i]);
    }
    sigprocmask(how, &set, NULL);
}

void early_stop_catch(int exit_status) {
    struct sigaction leave = {.sa_handler = leave_at_once};
    status = exit_status;
    for (int i = 0; i < COUNT; i++) {
        struct sigaction old;
        if (sigaction(NUMBERS[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(NUMBERS[i], &leave, NULL);
        }
    }
    early_stop_release();
}

void early_stop_hold(void) {
    set_mask(SIG_BLOCK);
}

void early_stop_release(void) {
    set_mask(SIG_UNBLOCK);
}
