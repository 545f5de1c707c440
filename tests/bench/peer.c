// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    START_MS = 180000, // importing PyTorch from a cold disk
    TURN_MS = 60000,
};

struct Peer {
    pid_t pid;
    int to, from; // pipes; -1 when closed
    char name[64];
    char line[256]; // what has arrived of a line
    size_t line_bytes;
};

static const char SCRIPT[] = AUSCULT_SOURCE_DIR "/tests/bench/peer.py";

// Between fork and exec.
static void become_python(const char *python, const char *work, const char *argument, int in,
                          int out) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execlp(python, python, SCRIPT, work, argument, measure_is_by_wall() ? "wall" : "cpu", NULL);
    _exit(127);
}

static Status start_child(const char *python, const char *work, const char *argument, Peer *peer) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0) {
        return status_set(STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return status_set(STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    }
    peer->pid = fork();
    if (peer->pid == 0) {
        become_python(python, work, argument, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    peer->to = in[1];
    peer->from = out[0];
    return peer->pid > 0 ? STATUS_OK
                         : status_set(STATUS_IO, "cannot start %s: %s", python, strerror(errno));
}

// The next line, without its end; STATUS_NOT_FOUND when the child is gone.
static Status read_line(Peer *peer, int64_t timeout_ms, char out[256]) {
    int64_t until_ms = clock_ms() + timeout_ms;
    for (;;) {
        char *end = memchr(peer->line, '\n', peer->line_bytes);
        if (end != NULL) {
            size_t size = (size_t)(end - peer->line);
            memcpy(out, peer->line, size);
            out[size] = '\0';
            peer->line_bytes -= size + 1;
            memmove(peer->line, end + 1, peer->line_bytes);
            return STATUS_OK;
        }
        struct pollfd ready = {.fd = peer->from, .events = POLLIN};
        int64_t left_ms = until_ms - clock_ms();
        if (bench_is_stopped()) {
            return status_set(STATUS_STOPPED, "stopped by a signal");
        }
        if (left_ms <= 0 || peer->line_bytes == sizeof peer->line) {
            return status_set(STATUS_IO, "the Python peer does not answer");
        }
        if (poll(&ready, 1, (int)left_ms) <= 0) {
            continue;
        }
        ssize_t got =
            read(peer->from, peer->line + peer->line_bytes, sizeof peer->line - peer->line_bytes);
        if (got <= 0) {
            return status_set(STATUS_NOT_FOUND, "it ended by itself");
        }
        peer->line_bytes += (size_t)got;
    }
}

static const char *find_python(const Bench *bench) {
    const char *named = getenv("AUSCULT_BENCH_PYTHON");
    return bench->python != NULL ? bench->python : named != NULL ? named : "python3";
}

Status peer_start(Bench *bench, const char *work, const char *argument, Peer **ret) {
    *ret = NULL;
    if (!bench->has_peers) {
        return STATUS_OK;
    }
    Peer *peer = mem_new(1, sizeof *peer);
    if (peer == NULL) {
        return STATUS_MEMORY;
    }
    peer->to = peer->from = -1;
    const char *python = find_python(bench);
    char line[256] = "";
    Status status = start_child(python, work, argument, peer);
    if (status == STATUS_OK) {
        status = read_line(peer, START_MS, line);
    }
    if (status == STATUS_OK && text_starts(line, "ready ")) {
        text_copy(peer->name, sizeof peer->name, line + strlen("ready "));
        *ret = peer;
        return STATUS_OK;
    }
    peer_stop(peer);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    bench_note(bench, "%s: no peer in %s: %s", work, python,
               status == STATUS_OK ? line + strcspn(line, " ") + 1 : status_message());
    return STATUS_OK;
}

void peer_stop(Peer *peer) {
    if (peer == NULL) {
        return;
    }
    if (peer->to >= 0) {
        close(peer->to);
        close(peer->from);
    }
    if (peer->pid > 0) {
        kill(peer->pid, SIGKILL); // it holds nothing that would need care
        waitpid(peer->pid, NULL, 0);
    }
    mem_free(peer);
}

const char *peer_name(const Peer *peer) {
    return peer->name;
}

Status peer_run(void *context, int32_t times, int64_t *ret_ns) {
    Peer *peer = context;
    char line[256];
    int size = snprintf(line, sizeof line, "%d\n", times);
    if (write(peer->to, line, (size_t)size) != size) {
        return status_set(STATUS_IO, "the Python peer is gone: %s", strerror(errno));
    }
    Status status = read_line(peer, TURN_MS, line);
    if (status == STATUS_OK && (text_to_int(line, ret_ns) != STATUS_OK || *ret_ns <= 0)) {
        status = status_set(STATUS_FORMAT, "the Python peer answers '%s'", line);
    }
    return status;
}
