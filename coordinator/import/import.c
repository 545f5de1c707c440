// SPDX-License-Identifier: Apache-2.0
//
// How it works. The files are read here, then a child is forked, which limits itself, parses and
// writes to a pipe one byte, its Status made positive, and behind it the network's bytes or its
// message. It can open nothing any more: no file that a link in an HDF5 file may point to, no
// plugin. Whatever it says is believed only as far as network_read finds it sound; if it dies or
// does not end in time, the file is refused.
#include "coordinator/import/import.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/store/npy.h"
#include "coordinator/import/parse.h"

enum { STATUSES = -STATUS_AGAIN };

const ImportLimits IMPORT_LIMITS = {
    .memory_bytes = 2ull << 30, .processor_s = 30, .wall_ms = 120000};

// ---- the child ----

static void limit(int resource, rlim_t most) {
    struct rlimit both = {most, most};
    (void)setrlimit((__rlimit_resource_t)resource, &both);
}

// The sanitizers map far more than they use.
static void limit_memory(uint64_t most) {
#if !defined(__SANITIZE_ADDRESS__)
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%llu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    limit(RLIMIT_AS, pages * (unsigned long long)sysconf(_SC_PAGESIZE) + most);
#else
    (void)most;
#endif
}

static bool write_all(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written <= 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static void work(int descriptor, const ParseFile *model, const ParseFile *scaler,
                 const ImportLimits *limits) {
    Network *network = NULL;
    Buffer bytes = BUFFER_EMPTY;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    limit_memory(limits->memory_bytes);
    limit(RLIMIT_CPU, limits->processor_s);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 0);
    Status status = parse_network(model, scaler, &network);
    if (status == STATUS_OK) {
        network_write(network, &bytes);
        status = bytes.status;
    }
    if (status != STATUS_OK) {
        buffer_done(&bytes);
        buffer_text(&bytes, status_message());
    }
    char first = (char)-status;
    bool is_told =
        write_all(descriptor, &first, 1) && write_all(descriptor, buffer_cstr(&bytes), bytes.size);
    _exit(is_told ? 0 : 1);
}

// ---- the parent ----

// Everything the child writes, until it closes the pipe. STATUS_LIMIT: too much, or too late.
static Status listen_to(int descriptor, const char *path, uint32_t wall_ms, Buffer *said) {
    int64_t deadline_ms = clock_ms() + wall_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - clock_ms();
        struct pollfd wait = {.fd = descriptor, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0 || said->size > NETWORK_BYTES_MOST) {
            return status_set(STATUS_LIMIT,
                              "%s: reading it takes longer, or more, than is accepted", path);
        }
        if (!buffer_reserve(said, 1 << 20)) {
            return said->status;
        }
        ssize_t size = read(descriptor, said->bytes + said->size, 1 << 20);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            return size == 0
                       ? STATUS_OK
                       : status_set(STATUS_IO, "cannot hear of %s: %s", path, strerror(errno));
        }
        said->size += (size_t)size;
    }
}

static Status judge_death(const char *path, int ended) {
    const char *why = "it ended without a word";
    if (WIFSIGNALED(ended)) {
        why = WTERMSIG(ended) == SIGXCPU || WTERMSIG(ended) == SIGKILL
                  ? "it took more processor time than is accepted"
                  : strsignal(WTERMSIG(ended));
    }
    return status_set(STATUS_FORMAT, "%s is refused: the process that read it died (%s)", path,
                      why);
}

// What the child said, as a status and a network's bytes.
static Status take_answer(const char *path, const Buffer *said, int ended,
                          const ImportLimits *limits, Buffer *out) {
    int first = said->size > 0 ? (unsigned char)said->bytes[0] : -1;
    if (first < 0 || first > STATUSES || !WIFEXITED(ended) || WEXITSTATUS(ended) != 0) {
        return judge_death(path, ended);
    }
    if (first == -STATUS_MEMORY) {
        return status_set(STATUS_LIMIT, "%s is refused: reading it takes more memory than %llu MiB",
                          path, (unsigned long long)limits->memory_bytes >> 20);
    }
    if (first != 0) {
        char text[LIMIT_MESSAGE_BYTES];
        text_fit(text, sizeof text, buffer_cstr(said) + 1);
        return status_set((Status)-first, "%s", text);
    }
    Network *network;
    Status status = network_read(said->bytes + 1, said->size - 1, &network);
    if (status != STATUS_OK) {
        return status_prefix(status, "%s", path);
    }
    network_free(network);
    buffer_append(out, said->bytes + 1, said->size - 1);
    return out->status;
}

static Status parse_apart(const ParseFile *model, const ParseFile *scaler,
                          const ImportLimits *limits, Buffer *out) {
    int ends[2];
    if (pipe(ends) != 0) {
        return status_set(STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return status_set(STATUS_IO, "cannot start a process: %s", strerror(errno));
    }
    if (child == 0) {
        close(ends[0]);
        work(ends[1], model, scaler, limits);
    }
    close(ends[1]);
    Buffer said = BUFFER_EMPTY;
    Status status = listen_to(ends[0], model->path, limits->wall_ms, &said);
    close(ends[0]);
    if (status != STATUS_OK) {
        (void)kill(child, SIGKILL);
    }
    int ended = 0;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    if (status == STATUS_OK) {
        buffer_reserve(&said, 1);
        status = said.status;
    }
    if (status == STATUS_OK && said.size > 0) {
        said.bytes[said.size] = '\0';
    }
    if (status == STATUS_OK) {
        status = take_answer(model->path, &said, ended, limits, out);
    }
    buffer_done(&said);
    return status;
}

// ---- files ----

bool import_is_known(const char *path) {
    return text_ends_nocase(path, ".h5") || text_ends_nocase(path, ".hdf5") ||
           text_ends_nocase(path, ".npz");
}

static Status read_file(const char *path, ParseFile *file) {
    *file = (ParseFile){.path = path};
    Status status = file_read(path, IMPORT_FILE_BYTES, &file->bytes);
    if (status == STATUS_OK && file->bytes.size == 0) {
        status = status_set(STATUS_FORMAT, "%s is empty", path);
    }
    return status;
}

Status import_network(const char *path, const char *scaler, const ImportLimits *limits,
                      Buffer *out) {
    ParseFile files[2] = {{0}};
    if (!import_is_known(path)) {
        return status_set(STATUS_FORMAT,
                          "%s: a network from elsewhere is a Keras model (.h5; a .keras is saved "
                          "again by model.save(\"x.h5\")) or the baseline's weights (.npz)",
                          path);
    }
    Status status = read_file(path, &files[0]);
    if (status == STATUS_OK && scaler != NULL) {
        status = read_file(scaler, &files[1]);
    }
    if (status == STATUS_OK) {
        status = parse_apart(&files[0], scaler != NULL ? &files[1] : NULL, limits, out);
    }
    buffer_done(&files[0].bytes);
    buffer_done(&files[1].bytes);
    return status;
}

Status import_threshold(const char *path, double *ret_threshold) {
    NpyArray array = {0};
    Status status = npy_read(path, &array);
    if (status != STATUS_OK) {
        return status;
    }
    double value = NAN;
    if (array.count == 1 && array.type == NPY_FLOAT64) {
        memcpy(&value, array.data, sizeof value);
    } else if (array.count == 1 && array.type == NPY_FLOAT32) {
        float narrow;
        memcpy(&narrow, array.data, sizeof narrow);
        value = (double)narrow;
    }
    npy_done(&array);
    if (!isfinite(value)) {
        return status_set(STATUS_FORMAT, "%s: a threshold is one finite float", path);
    }
    *ret_threshold = value;
    return STATUS_OK;
}
