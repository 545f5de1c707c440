// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/local.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    STARTS_MOST = 20,      // of one worker: beyond, it is the machine or the program that is broken
    RESTART_WAIT_MS = 200, // and not at once, so that a broken start does not burn a core
    STOP_WAIT_MS = 2000,   // between asking and ending
};

typedef struct Worker {
    pid_t pid; // 0 when it is not running
    uint32_t starts;
    int64_t again_ms; // when it may be started again
} Worker;

struct Local {
    LocalConfig config;
    char program[LIMIT_PATH_BYTES];
    char endpoint[LIMIT_PATH_BYTES];
    char kernel[64];
    char log_folder[LIMIT_PATH_BYTES];
    Worker *workers;
};

static void find_program(char out[LIMIT_PATH_BYTES]) {
    ssize_t size = readlink("/proc/self/exe", out, LIMIT_PATH_BYTES - 64);
    if (size > 0) {
        out[size] = '\0';
        char *slash = strrchr(out, '/');
        strcpy(slash != NULL ? slash + 1 : out, "auscult-worker");
        if (access(out, X_OK) == 0) {
            return;
        }
    }
    strcpy(out, "auscult-worker");
}

// Between fork and exec: nothing but what is safe there.
static void become_worker(const Local *local, uint32_t number, pid_t parent, int log_fd) {
    char name[32];
    snprintf(name, sizeof name, "%u", number);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); // the parent died before the line above
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // A group of its own: Ctrl-C reaches the coordinator alone, which ends its workers itself.
    setpgid(0, 0);
    int null_fd = open("/dev/null", O_RDONLY);
    dup2(null_fd, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execlp(local->program, "auscult-worker", "--connect", local->endpoint, "--kernel",
           local->kernel, "--local", name, local->config.is_debug ? "-v" : NULL, NULL);
    static const char message[] = "cannot execute auscult-worker\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    _exit(written > 0 ? 127 : 126);
}

static Status start_worker(Local *local, uint32_t number) {
    Worker *worker = &local->workers[number];
    char log_path[LIMIT_PATH_BYTES + 32];
    snprintf(log_path, sizeof log_path, "%s/worker-%u.log", local->log_folder, number);
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd < 0) {
        return status_set(STATUS_IO, "cannot open %s: %s", log_path, strerror(errno));
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(local, number, parent, log_fd);
    }
    close(log_fd);
    if (pid < 0) {
        return status_set(STATUS_IO, "cannot start a worker: %s", strerror(errno));
    }
    worker->pid = pid;
    worker->starts++;
    return STATUS_OK;
}

Status local_start(const LocalConfig *config, Local **ret) {
    Local *local = mem_new(1, sizeof *local);
    if (local == NULL) {
        return STATUS_MEMORY;
    }
    local->config = *config;
    text_copy(local->endpoint, sizeof local->endpoint, config->endpoint);
    text_copy(local->kernel, sizeof local->kernel, config->kernel);
    text_copy(local->log_folder, sizeof local->log_folder, config->log_folder);
    find_program(local->program);
    local->workers = mem_new(config->workers, sizeof *local->workers);
    Status status = local->workers != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t i = 0; i < config->workers && status == STATUS_OK; i++) {
        status = start_worker(local, i);
    }
    if (status != STATUS_OK) {
        local_stop(local);
        return status;
    }
    *ret = local;
    return STATUS_OK;
}

static void say_end(uint32_t number, int wait_status) {
    if (WIFSIGNALED(wait_status)) {
        log_warning("local worker %u was ended by signal %d (%s)", number, WTERMSIG(wait_status),
                    strsignal(WTERMSIG(wait_status)));
    } else {
        log_warning("local worker %u ended with exit code %d; see logs/worker-%u.log", number,
                    WEXITSTATUS(wait_status), number);
    }
}

Status local_tick(Local *local, int64_t now_ms) {
    uint32_t hopeless = 0;
    for (uint32_t i = 0; i < local->config.workers; i++) {
        Worker *worker = &local->workers[i];
        int wait_status;
        if (worker->pid > 0 && waitpid(worker->pid, &wait_status, WNOHANG) == worker->pid) {
            say_end(i, wait_status);
            worker->pid = 0;
            worker->again_ms = now_ms + RESTART_WAIT_MS * worker->starts;
        }
        if (worker->pid == 0 && worker->starts < STARTS_MOST && now_ms >= worker->again_ms) {
            Status status = start_worker(local, i);
            if (status != STATUS_OK) {
                log_error("%s", status_message());
                worker->starts++;
                worker->again_ms = now_ms + 1000;
            }
        }
        hopeless += worker->pid == 0 && worker->starts >= STARTS_MOST;
    }
    if (hopeless == local->config.workers) {
        return status_set(STATUS_STOPPED, "all local workers end as soon as they start; see %s",
                          local->log_folder);
    }
    return STATUS_OK;
}

uint32_t local_alive(const Local *local) {
    uint32_t alive = 0;
    for (uint32_t i = 0; i < local->config.workers; i++) {
        alive += local->workers[i].pid > 0;
    }
    return alive;
}

static void signal_all(const Local *local, int signal_number) {
    for (uint32_t i = 0; i < local->config.workers; i++) {
        if (local->workers[i].pid > 0) {
            kill(local->workers[i].pid, signal_number);
        }
    }
}

void local_stop(Local *local) {
    if (local == NULL) {
        return;
    }
    if (local->workers != NULL) {
        // Asked twice a worker leaves at once: nobody takes the answer any more that it works on.
        signal_all(local, SIGTERM);
        signal_all(local, SIGINT);
        int64_t until_ms = clock_ms() + STOP_WAIT_MS;
        for (uint32_t i = 0; i < local->config.workers; i++) {
            Worker *worker = &local->workers[i];
            while (worker->pid > 0 && waitpid(worker->pid, NULL, WNOHANG) == 0) {
                if (clock_ms() >= until_ms) {
                    kill(worker->pid, SIGKILL);
                    waitpid(worker->pid, NULL, 0);
                    break;
                }
                usleep(5000);
            }
            worker->pid = 0;
        }
    }
    mem_free(local->workers);
    mem_free(local);
}
