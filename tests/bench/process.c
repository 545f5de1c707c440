// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/model/linalg.h"

enum {
    END_MS = 5000, // for a process to obey a signal
    LOOK_US = 500, // between looks at a value
};

void *process_share(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        status_set(STATUS_MEMORY, "no shared memory: %s", strerror(errno));
        return NULL;
    }
    return memory;
}

void process_unshare(void *memory, size_t size) {
    if (memory != NULL) {
        munmap(memory, size);
    }
}

// Between fork and what the child is for.
static void become_child(const Bench *bench) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setaffinity(0, sizeof bench->all_cpus, &bench->all_cpus);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

static Status started(pid_t pid, pid_t *ret_pid) {
    if (pid < 0) {
        return status_set(STATUS_IO, "cannot start a process: %s", strerror(errno));
    }
    *ret_pid = pid;
    return STATUS_OK;
}

Status process_start(const Bench *bench, int (*body)(void *context), void *context,
                     pid_t *ret_pid) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        become_child(bench);
        _exit(body(context));
    }
    return started(pid, ret_pid);
}

double process_spent_by(pid_t pid) {
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    // Behind the name in parentheses, the 12th and 13th word.
    const char *rest = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                               &user, &system) != 2) {
        return 0;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

Status process_program(const char *name, char out[LIMIT_PATH_BYTES]) {
    ssize_t size = readlink("/proc/self/exe", out, LIMIT_PATH_BYTES - strlen(name) - 1);
    if (size > 0) {
        out[size] = '\0';
        strcpy(strrchr(out, '/') + 1, name);
    }
    return size > 0 && access(out, X_OK) == 0
               ? STATUS_OK
               : status_set(STATUS_NOT_FOUND, "no %s beside this program", name);
}

Status process_start_worker(const Bench *bench, const char *endpoint, pid_t *ret_pid) {
    char program[LIMIT_PATH_BYTES];
    Status status = process_program("auscult-worker", program);
    if (status != STATUS_OK) {
        return status;
    }
    const char *kernel = linalg_kernel_name((Kernel)bench->settings.numerics);
    pid_t pid = fork();
    if (pid == 0) {
        become_child(bench);
        execl(program, program, "-q", "--connect", endpoint, "--kernel", kernel, (char *)NULL);
        _exit(127);
    }
    return started(pid, ret_pid);
}

static bool has_ended(pid_t pid, int64_t timeout_ms, int *ret_wait_status) {
    for (int64_t until_ms = clock_ms() + timeout_ms;;) {
        if (waitpid(pid, ret_wait_status, WNOHANG) != 0) {
            return true;
        }
        if (clock_ms() >= until_ms || bench_is_stopped()) {
            return false;
        }
        usleep(LOOK_US);
    }
}

void process_end(pid_t *pid, int signal_number) {
    int wait_status;
    if (*pid <= 0) {
        return;
    }
    kill(*pid, signal_number);
    if (!has_ended(*pid, END_MS, &wait_status)) {
        kill(*pid, SIGKILL);
        waitpid(*pid, &wait_status, 0);
    }
    *pid = 0;
}

Status process_join(pid_t *pid, int64_t timeout_ms) {
    int wait_status = 0;
    if (!has_ended(*pid, timeout_ms, &wait_status)) {
        process_end(pid, SIGKILL);
        return status_set(STATUS_IO, "a process of the measured cluster did not end");
    }
    *pid = 0;
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0
               ? STATUS_OK
               : status_set(STATUS_IO, "a process of the measured cluster failed (%s %d)",
                            WIFSIGNALED(wait_status) ? "signal" : "exit code",
                            WIFSIGNALED(wait_status) ? WTERMSIG(wait_status)
                                                     : WEXITSTATUS(wait_status));
}

Status process_wait(const atomic_uint *value, uint32_t least, int64_t timeout_ms,
                    const char *what) {
    for (int64_t until_ms = clock_ms() + timeout_ms; atomic_load(value) < least;) {
        if (bench_is_stopped()) {
            return status_set(STATUS_STOPPED, "stopped by a signal");
        }
        if (clock_ms() >= until_ms) {
            return status_set(STATUS_IO, "waited %lld s for %s in vain: %u of %u",
                              (long long)timeout_ms / 1000, what, atomic_load(value), least);
        }
        usleep(LOOK_US);
    }
    return STATUS_OK;
}

double process_spent_ns(void) {
    struct rusage spent;
    if (getrusage(RUSAGE_CHILDREN, &spent) != 0) {
        return 0;
    }
    return 1e9 * (double)(spent.ru_utime.tv_sec + spent.ru_stime.tv_sec) +
           1e3 * (double)(spent.ru_utime.tv_usec + spent.ru_stime.tv_usec);
}

static long number_in(const char *path, const char *key) {
    char line[256];
    long value = -1;
    FILE *file = fopen(path, "re");
    while (file != NULL && value < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtol(line + strlen(key), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

long process_number(pid_t pid, const char *key) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    return number_in(path, key);
}

double process_resident_bytes(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid);
    long kilobytes = number_in(path, "Anonymous:");
    return kilobytes > 0 ? 1024.0 * (double)kilobytes : 0;
}
