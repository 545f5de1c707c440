// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/clip_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "proto/message.h"

enum {
    WAITING_MOST = LIMIT_WORKERS * PROTO_PARTS, // asked for and not yet read
    READY_MOST = 16,                            // read and not yet taken
};

typedef struct Job {
    ClipPart part;
    char *path; // owned
    struct Job *next;
} Job;

typedef struct JobList {
    Job *first, *last;
    uint32_t count;
} JobList;

struct ClipReader {
    pthread_mutex_t lock;
    pthread_cond_t more; // something to read, room for it, or the end
    JobList waiting, ready;
    bool is_running, is_stopped;
    pthread_t thread;
    int fd;
};

static void push(JobList *list, Job *job) {
    job->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = job;
    list->last = job;
    list->count++;
}

static Job *take(JobList *list) {
    Job *job = list->first;
    if (job != NULL) {
        list->first = job->next;
        list->last = list->first != NULL ? list->last : NULL;
        list->count--;
    }
    return job;
}

static void free_job(Job *job) {
    if (job != NULL) {
        buffer_done(&job->part.bytes);
        mem_free(job->path);
        mem_free(job);
    }
}

ClipReader *clip_reader_new(void) {
    ClipReader *reader = mem_new(1, sizeof *reader);
    if (reader == NULL) {
        return NULL;
    }
    reader->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (reader->fd < 0) {
        mem_free(reader);
        return NULL;
    }
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->more, NULL);
    return reader;
}

static void empty(JobList *list) {
    for (Job *job = take(list); job != NULL; job = take(list)) {
        free_job(job);
    }
}

void clip_reader_free(ClipReader *reader) {
    if (reader == NULL) {
        return;
    }
    if (reader->is_running) {
        pthread_mutex_lock(&reader->lock);
        reader->is_stopped = true;
        pthread_cond_signal(&reader->more);
        pthread_mutex_unlock(&reader->lock);
        pthread_join(reader->thread, NULL);
    }
    empty(&reader->waiting);
    empty(&reader->ready);
    pthread_cond_destroy(&reader->more);
    pthread_mutex_destroy(&reader->lock);
    close(reader->fd);
    mem_free(reader);
}

int clip_reader_fd(const ClipReader *reader) {
    return reader->fd;
}

// ---- the thread ----

static void fail(ClipPart *part, const char *why) {
    snprintf(part->reason, sizeof part->reason, "the coordinator cannot read it: %s", why);
}

static void read_open(int fd, ClipPart *part) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        fail(part, strerror(errno));
        return;
    }
    if (!S_ISREG(facts.st_mode)) {
        fail(part, "not a plain file");
        return;
    }
    uint64_t size = (uint64_t)facts.st_size;
    uint64_t left = part->offset < size ? size - part->offset : 0;
    size_t wanted = left < PROTO_PIECE_BYTES ? (size_t)left : PROTO_PIECE_BYTES;
    if (!buffer_reserve(&part->bytes, wanted)) {
        fail(part, "out of memory");
        return;
    }
    size_t got = 0;
    while (got < wanted) {
        ssize_t count =
            pread(fd, part->bytes.bytes + got, wanted - got, (off_t)(part->offset + got));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            fail(part, count < 0 ? strerror(errno) : "it shrinks while it is read");
            return;
        }
        got += (size_t)count;
    }
    part->bytes.size = got;
    uint64_t version[] = {size, (uint64_t)facts.st_ino, (uint64_t)facts.st_mtim.tv_sec,
                          (uint64_t)facts.st_mtim.tv_nsec};
    Digest digest = digest_of(version, sizeof version);
    part->size_bytes = size;
    memcpy(&part->version, digest.bytes, sizeof part->version);
}

// O_NONBLOCK, so that a pipe in the place of a file does not hold up everybody.
static void read_part(Job *job) {
    int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        fail(&job->part, strerror(errno));
        return;
    }
    read_open(fd, &job->part);
    close(fd);
}

static void *work(void *argument) {
    ClipReader *reader = argument;
    pthread_mutex_lock(&reader->lock);
    while (!reader->is_stopped) {
        if (reader->waiting.count == 0 || reader->ready.count >= READY_MOST) {
            pthread_cond_wait(&reader->more, &reader->lock);
            continue;
        }
        Job *job = take(&reader->waiting);
        pthread_mutex_unlock(&reader->lock);
        read_part(job);
        pthread_mutex_lock(&reader->lock);
        push(&reader->ready, job);
        uint64_t one = 1;
        ssize_t written = write(reader->fd, &one, sizeof one);
        (void)written; // a full counter is readable already
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

// ---- the loop ----

// The first who asks starts it: most coordinators never need it.
static Status start(ClipReader *reader) {
    if (!reader->is_running && pthread_create(&reader->thread, NULL, work, reader) != 0) {
        return status_set(STATUS_IO, "cannot start the thread that reads clips");
    }
    reader->is_running = true;
    return STATUS_OK;
}

Status clip_reader_ask(ClipReader *reader, PeerId peer, Digest clip, const char *path,
                       uint64_t offset) {
    Job *job = mem_new(1, sizeof *job);
    if (job == NULL) {
        return STATUS_MEMORY;
    }
    job->part.peer = peer;
    job->part.clip = clip;
    job->part.offset = offset;
    job->path = mem_copy(path, strlen(path) + 1);
    Status status = job->path != NULL ? start(reader) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        pthread_mutex_lock(&reader->lock);
        if (reader->waiting.count < WAITING_MOST) {
            push(&reader->waiting, job);
            job = NULL;
            pthread_cond_signal(&reader->more);
        }
        pthread_mutex_unlock(&reader->lock);
        status = job == NULL ? STATUS_OK : status_set(STATUS_LIMIT, "too many parts are asked for");
    }
    free_job(job);
    return status;
}

bool clip_reader_take(ClipReader *reader, ClipPart *ret_part) {
    uint64_t count;
    ssize_t got = read(reader->fd, &count, sizeof count);
    (void)got; // lowered first: what becomes ready from here on raises it again
    pthread_mutex_lock(&reader->lock);
    Job *job = take(&reader->ready);
    pthread_cond_signal(&reader->more);
    pthread_mutex_unlock(&reader->lock);
    if (job == NULL) {
        return false;
    }
    *ret_part = job->part;
    mem_free(job->path);
    mem_free(job);
    return true;
}
