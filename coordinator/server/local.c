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
    FAILURES_MOST = 20,     // in a row: beyond, it is the machine or the program that is broken
    RESTART_LEAST_MS = 200, // between an end and the next start, so that a broken start does not
    RESTART_MOST_MS = 3000, // burn a core: doubled with each failure in a row
    HEALTHY_MS = 60000,     // who lived so long begins a new row
    JOIN_MS = 60000,        // from the start to a session
    REJOIN_MS = 10000,      // from the end of a session to the next one
    STOP_WAIT_MS = 2000,    // between asking and ending
    EXIT_REFUSED = 4,       // of auscult-worker: refused for good
};

#define LOG_PATH_BYTES (LIMIT_PATH_BYTES + 32)

typedef struct Worker {
    pid_t pid;         // 0 when it is not running
    uint32_t peer;     // its session, 0 when it has none
    uint32_t failures; // in a row
    int64_t start_ms;
    int64_t join_ms;  // when it must have a session
    int64_t again_ms; // when it may be started again
} Worker;

struct Local {
    LocalConfig config;
    char program[LIMIT_PATH_BYTES];
    char endpoint[LIMIT_PATH_BYTES], keys[LIMIT_PATH_BYTES];
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
    const char *arguments[16] = {
        "auscult-worker", "--connect", local->endpoint, "--kernel", local->kernel, "--local", name};
    const char **next = arguments + 7;
    if (local->config.is_debug) {
        *next++ = "-v";
    }
    if (local->keys[0] != '\0') {
        *next++ = "--keys";
        *next++ = local->keys;
    }
    execvp(local->program, (char *const *)(size_t)arguments);
    static const char message[] = "cannot execute auscult-worker\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    _exit(written > 0 ? 127 : 126);
}

static void log_path_of(const Local *local, uint32_t number, char out[LOG_PATH_BYTES]) {
    snprintf(out, LOG_PATH_BYTES, "%s/worker-%u.log", local->log_folder, number);
}

static Status start_worker(Local *local, uint32_t number) {
    Worker *worker = &local->workers[number];
    char log_path[LOG_PATH_BYTES];
    log_path_of(local, number, log_path);
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
    worker->peer = 0;
    worker->start_ms = clock_ms();
    worker->join_ms = worker->start_ms + JOIN_MS;
    return STATUS_OK;
}

Status local_start(const LocalConfig *config, Local **ret) {
    Local *local = mem_new(1, sizeof *local);
    if (local == NULL) {
        return STATUS_MEMORY;
    }
    local->config = *config;
    text_copy(local->endpoint, sizeof local->endpoint, config->endpoint);
    text_copy(local->keys, sizeof local->keys, config->keys);
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

void local_joined(Local *local, uint32_t peer, const char *name) {
    const char *colon = strrchr(name, ':');
    for (uint32_t i = 0; i < local->config.workers && colon != NULL; i++) {
        if (local->workers[i].pid > 0 && strtol(colon + 1, NULL, 10) == local->workers[i].pid) {
            local->workers[i].peer = peer;
        }
    }
}

void local_left(Local *local, uint32_t peer, int64_t now_ms) {
    for (uint32_t i = 0; i < local->config.workers; i++) {
        if (local->workers[i].peer == peer) {
            local->workers[i].peer = 0;
            local->workers[i].join_ms = now_ms + REJOIN_MS;
        }
    }
}

// The last line that it wrote, which says why it ended, if it is not empty.
static void last_words(const Local *local, uint32_t number, char out[LIMIT_MESSAGE_BYTES]) {
    char path[LOG_PATH_BYTES];
    log_path_of(local, number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END);
    off_t start = end >= LIMIT_MESSAGE_BYTES ? end - (LIMIT_MESSAGE_BYTES - 1) : 0;
    ssize_t size = end >= 0 ? pread(fd, out, (size_t)(end - start), start) : 0;
    if (fd >= 0) {
        close(fd);
    }
    size = size > 0 && out[size - 1] == '\n' ? size - 1 : size;
    out[size > 0 ? size : 0] = '\0';
    const char *line = strrchr(out, '\n');
    if (line != NULL) {
        memmove(out, line + 1, strlen(line + 1) + 1);
    }
}

static void say_end(uint32_t number, int wait_status) {
    if (WIFSIGNALED(wait_status)) {
        log_warning("local worker %u was ended by signal %d (%s); starting another in its place",
                    number, WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    } else {
        log_warning("local worker %u ended with exit code %d, see logs/worker-%u.log; starting "
                    "another in its place",
                    number, WEXITSTATUS(wait_status), number);
    }
}

// STATUS_MISMATCH: it was refused for good.
static Status on_end(Local *local, uint32_t number, int wait_status, int64_t now_ms) {
    Worker *worker = &local->workers[number];
    worker->pid = 0;
    worker->peer = 0;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == EXIT_REFUSED) {
        char words[LIMIT_MESSAGE_BYTES];
        last_words(local, number, words);
        return status_set(STATUS_MISMATCH, "a worker of this machine was refused: %.700s", words);
    }
    worker->failures = now_ms - worker->start_ms >= HEALTHY_MS ? 0 : worker->failures;
    int64_t wait_ms = (int64_t)RESTART_LEAST_MS << (worker->failures < 5 ? worker->failures : 5);
    worker->again_ms = now_ms + (wait_ms < RESTART_MOST_MS ? wait_ms : RESTART_MOST_MS);
    worker->failures++;
    say_end(number, wait_status);
    return STATUS_OK;
}

// A stopped or hung process answers nobody, and its task is with others already.
static void end_hung(Worker *worker, uint32_t number, int64_t now_ms) {
    if (worker->pid > 0 && worker->peer == 0 && now_ms >= worker->join_ms) {
        log_warning("local worker %u lives but has had no session for long: ending it", number);
        kill(worker->pid, SIGKILL);
        worker->join_ms = now_ms + JOIN_MS; // once
    }
}

static void start_again(Local *local, uint32_t number, int64_t now_ms) {
    Worker *worker = &local->workers[number];
    if (worker->pid == 0 && worker->failures < FAILURES_MOST && now_ms >= worker->again_ms &&
        start_worker(local, number) != STATUS_OK) {
        log_error("%s", status_message());
        worker->failures++;
        worker->again_ms = now_ms + RESTART_MOST_MS;
    }
}

Status local_tick(Local *local, int64_t now_ms) {
    uint32_t hopeless = 0;
    for (uint32_t i = 0; i < local->config.workers; i++) {
        Worker *worker = &local->workers[i];
        int wait_status;
        end_hung(worker, i, now_ms);
        if (worker->pid > 0 && waitpid(worker->pid, &wait_status, WNOHANG) == worker->pid) {
            Status status = on_end(local, i, wait_status, now_ms);
            if (status != STATUS_OK) {
                return status;
            }
        }
        start_again(local, i, now_ms);
        hopeless += worker->pid == 0 && worker->failures >= FAILURES_MOST;
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

void local_leave(const Local *local) {
    signal_all(local, SIGTERM);
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
