// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/model/linalg.h"
#include "tests/bench/process.h"

enum {
    WATCH_MS = 10,
    ARGUMENTS = 24,
    ARGUMENT_BYTES = 64,
};

// The command line of a run; texts that are made live in `made`.
typedef struct Arguments {
    const char *list[ARGUMENTS];
    char made[5][ARGUMENT_BYTES];
} Arguments;

static void make_arguments(const Bench *bench, const ClusterRun *run, Arguments *a) {
    snprintf(a->made[0], ARGUMENT_BYTES, "%u", run->workers);
    snprintf(a->made[1], ARGUMENT_BYTES, "spread=%s", run->spread);
    snprintf(a->made[2], ARGUMENT_BYTES, "batch_size=%d", run->batch_size);
    snprintf(a->made[3], ARGUMENT_BYTES, "epochs=%d", run->epochs);
    snprintf(a->made[4], ARGUMENT_BYTES, "numerics=%s",
             linalg_kernel_name((Kernel)bench->settings.numerics));
    const char *list[] = {"auscult",  run->command, "-q",       "--data",   run->data,
                          "--out",    run->run,     "--local",  a->made[0], "--set",
                          a->made[1], "--set",      a->made[2], "--set",    a->made[3],
                          "--set",    a->made[4],   "--set",    "shards=4", NULL};
    _Static_assert(sizeof list <= sizeof a->list, "room for every argument");
    memcpy(a->list, list, sizeof list);
}

// Between fork and exec.
static void become_auscult(const Bench *bench, const char *program, const Arguments *arguments,
                           int log_fd) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sched_setaffinity(0, sizeof bench->all_cpus, &bench->all_cpus);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execv(program, (char *const *)(size_t)arguments->list);
    _exit(127);
}

static Status failed(const char *log_path, int wait_status) {
    Buffer said = BUFFER_EMPTY;
    (void)file_read(log_path, 1 << 20, &said);
    Status status =
        status_set(STATUS_IO, "auscult ended with %s %d: %.600s",
                   WIFSIGNALED(wait_status) ? "signal" : "exit code",
                   WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                   buffer_cstr(&said));
    buffer_done(&said);
    return status;
}

static Status wait_for(const ClusterRun *run, pid_t pid, const char *log_path) {
    int wait_status;
    bool is_asked = false;
    while (waitpid(pid, &wait_status, WNOHANG) == 0) {
        if (bench_is_stopped() && !is_asked) {
            kill(pid, SIGTERM);
            is_asked = true;
        }
        if (run->watch != NULL) {
            run->watch(run->context, pid);
        }
        poll(NULL, 0, WATCH_MS);
    }
    if (bench_is_stopped()) {
        return status_set(STATUS_STOPPED, "stopped by a signal");
    }
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 ? STATUS_OK
                                                                   : failed(log_path, wait_status);
}

Status cluster_run(const Bench *bench, const ClusterRun *run) {
    char program[LIMIT_PATH_BYTES], log_path[LIMIT_PATH_BYTES];
    Arguments arguments;
    make_arguments(bench, run, &arguments);
    Status status = process_program("auscult", program);
    if (status == STATUS_OK) {
        status = bench_path(bench, "auscult.log", log_path);
    }
    if (status == STATUS_OK && file_is_folder(run->run)) {
        status = file_remove_tree(run->run);
    }
    if (status != STATUS_OK) {
        return status;
    }
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return status_set(STATUS_IO, "cannot create %s: %s", log_path, strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_auscult(bench, program, &arguments, log_fd);
    }
    close(log_fd);
    return pid > 0 ? wait_for(run, pid, log_path)
                   : status_set(STATUS_IO, "cannot start auscult: %s", strerror(errno));
}

// A piece of training, as the coordinator's log tells of it.
typedef struct Piece {
    unsigned members;
    unsigned long long rounds;
    double us;
} Piece;

static bool read_piece(const char *line, Piece *ret_piece) {
    const char *model = strstr(line, "model ");
    return model != NULL && sscanf(model, "model %*[^:]: %u members, %llu rounds, %lf us per round",
                                   &ret_piece->members, &ret_piece->rounds, &ret_piece->us) == 3;
}

Status cluster_round_us(const char *run, uint32_t members, double *ret_us) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    Status status = file_join(path, sizeof path, run, "logs/coordinator.log");
    if (status == STATUS_OK) {
        status = file_read(path, 1 << 24, &text);
    }
    double first_us = 0, us = 0, rounds = 0;
    char *save = NULL;
    for (char *line = status == STATUS_OK && text.size > 0 ? strtok_r(text.bytes, "\n", &save)
                                                           : NULL;
         line != NULL; line = strtok_r(NULL, "\n", &save)) {
        Piece piece;
        if (!read_piece(line, &piece) || piece.members != members) {
            continue;
        }
        if (first_us == 0) {
            first_us = piece.us; // with cold caches
        } else {
            us += piece.us * (double)piece.rounds;
            rounds += (double)piece.rounds;
        }
    }
    buffer_done(&text);
    if (status == STATUS_OK && first_us == 0) {
        status = status_set(STATUS_NOT_FOUND, "no %u workers trained together", members);
    }
    if (status == STATUS_OK) {
        *ret_us = rounds > 0 ? us / rounds : first_us;
    }
    return status;
}
