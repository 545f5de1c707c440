// SPDX-License-Identifier: Apache-2.0
//
// How it works. The thread takes the whole queue, writes the files of states among it (each synced
// and renamed), puts all rows into one transaction, which ends only if the run is still ours after
// the commit, and only then moves the records to the list of durable ones and raises the
// descriptor. Under load the queue grows while a commit runs, so the next transaction is larger:
// that is all there is to group commit.
#include "coordinator/journal/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

typedef struct Records {
    Record *first, *last;
} Records;

struct Writer {
    WriterConfig config;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; // all below
    pthread_cond_t more;
    Records queued, durable;
    bool closing, failed;
    char failure[LIMIT_MESSAGE_BYTES];
};

// ---- records ----

static void append(Records *list, Record *record) {
    record->next = NULL;
    if (list->last != NULL) {
        list->last->next = record;
    } else {
        list->first = record;
    }
    list->last = record;
}

static void append_all(Records *list, const Records *others) {
    if (others->first == NULL) {
        return;
    }
    if (list->last != NULL) {
        list->last->next = others->first;
    } else {
        list->first = others->first;
    }
    list->last = others->last;
}

static void free_records(Records *list) {
    while (list->first != NULL) {
        Record *next = list->first->next;
        mem_free(list->first);
        list->first = next;
    }
    list->last = NULL;
}

Record *record_new(RecordKind kind, Digest key, const void *bytes, size_t size,
                   const char *folder) {
    size_t folder_bytes = folder != NULL ? strlen(folder) + 1 : 0;
    Record *record = mem_new(1, sizeof *record + size + folder_bytes);
    if (record == NULL) {
        return NULL;
    }
    record->kind = kind;
    record->key = key;
    record->size = size;
    if (size > 0) {
        memcpy(record->bytes, bytes, size);
    }
    if (folder != NULL) {
        record->folder = (char *)record->bytes + size;
        memcpy(record->folder, folder, folder_bytes);
    }
    return record;
}

// ---- the writer ----

const char *writer_state_file(uint32_t generation) {
    return generation == 0 ? "checkpoint-0.bin" : "checkpoint-1.bin";
}

// Of two states of a model in one group the later wins: nobody could ever go on from the earlier.
static bool is_superseded(const Record *record) {
    for (const Record *r = record->next; r != NULL; r = r->next) {
        if (r->kind == RECORD_STATE && strcmp(r->folder, record->folder) == 0) {
            return true;
        }
    }
    return false;
}

// The generation that may be overwritten: not the newest durable one. Asked of a run that is ours,
// since no transaction stands between a state's file and another coordinator's.
static Status choose_generation(Writer *writer, Record *record) {
    StoreState states[2];
    uint32_t count = 0;
    pthread_mutex_lock(writer->config.store_lock);
    Status status = store_check(writer->config.store);
    if (status == STATUS_OK) {
        status = store_states(writer->config.store, record->folder, states, &count);
    }
    pthread_mutex_unlock(writer->config.store_lock);
    record->more = count > 0 ? 1 - states[0].generation : 0;
    return status;
}

static Status write_state_file(Writer *writer, Record *record) {
    char path[LIMIT_PATH_BYTES];
    Status status = choose_generation(writer, record);
    if (status != STATUS_OK) {
        return status;
    }
    int used = snprintf(path, sizeof path, "%s/%s/%s", writer->config.run_folder, record->folder,
                        writer_state_file(record->more));
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    return file_write(path, record->bytes, record->size);
}

static Status put_row(Writer *writer, const Record *record) {
    Status status = STATUS_OK;
    switch (record->kind) {
    case RECORD_ANSWER:
        status = store_put_answer(writer->config.store, record->number, record->key, record->detail,
                                  record->bytes, record->size);
        if (status == STATUS_OK && record->more != 0) {
            status = store_put_failure(writer->config.store, record->key, 0, 0);
        }
        break;
    case RECORD_STATE: {
        if (is_superseded(record)) {
            break;
        }
        StoreState state = {.plan = record->key,
                            .epoch = record->detail,
                            .generation = record->more,
                            .digest = digest_of(record->bytes, record->size)};
        status = store_put_state(writer->config.store, record->folder, &state);
        break;
    }
    case RECORD_FAILURE:
        status = store_put_failure(writer->config.store, record->key, record->detail, record->more);
        break;
    }
    return status;
}

static Status write_rows(Writer *writer, const Records *group) {
    pthread_mutex_lock(writer->config.store_lock);
    Status status = store_begin(writer->config.store);
    for (const Record *r = group->first; r != NULL && status == STATUS_OK; r = r->next) {
        status = put_row(writer, r);
    }
    status = store_end(writer->config.store, status);
    pthread_mutex_unlock(writer->config.store_lock);
    return status;
}

static Status write_group(Writer *writer, const Records *group) {
    Status status = STATUS_OK;
    for (Record *r = group->first; r != NULL && status == STATUS_OK; r = r->next) {
        if (r->kind == RECORD_STATE && !is_superseded(r)) {
            status = write_state_file(writer, r);
        }
    }
    return status == STATUS_OK ? write_rows(writer, group) : status;
}

static void report_group(Writer *writer, Records *group, Status status) {
    pthread_mutex_lock(&writer->lock);
    if (status != STATUS_OK) {
        writer->failed = true;
        text_copy(writer->failure, sizeof writer->failure, status_message());
    } else {
        append_all(&writer->durable, group);
    }
    pthread_mutex_unlock(&writer->lock);
    if (status != STATUS_OK) {
        free_records(group);
    }
    uint64_t one = 1;
    ssize_t written = write(writer->fd, &one, sizeof one);
    (void)written; // only fails when the counter is full, and then it is readable anyway
}

// False: nothing is left to write, or nothing may be written any more.
static bool take_group(Writer *writer, Records *ret_group) {
    pthread_mutex_lock(&writer->lock);
    while (writer->queued.first == NULL && !writer->closing) {
        pthread_cond_wait(&writer->more, &writer->lock);
    }
    *ret_group = writer->queued;
    writer->queued = (Records){NULL, NULL};
    bool goes_on = ret_group->first != NULL && !writer->failed;
    pthread_mutex_unlock(&writer->lock);
    return goes_on;
}

static void *work(void *argument) {
    Writer *writer = argument;
    Records group;
    while (take_group(writer, &group)) {
        report_group(writer, &group, write_group(writer, &group));
    }
    free_records(&group);
    return NULL;
}

static Status start_thread(Writer *writer) {
    writer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (writer->fd < 0) {
        return status_set(STATUS_IO, "cannot make an eventfd: %s", strerror(errno));
    }
    // Signals are the main thread's: one that reached the writer, whose mask nobody has set, would
    // end the program by its default action.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&writer->thread, NULL, work, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        return status_set(STATUS_IO, "cannot start the journal's thread");
    }
    return STATUS_OK;
}

Status writer_start(const WriterConfig *config, Writer **ret) {
    Writer *writer = mem_new(1, sizeof *writer);
    if (writer == NULL) {
        return STATUS_MEMORY;
    }
    writer->config = *config;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->more, NULL);
    Status status = start_thread(writer);
    if (status != STATUS_OK) {
        if (writer->fd >= 0) {
            close(writer->fd);
        }
        mem_free(writer);
        return status;
    }
    *ret = writer;
    return STATUS_OK;
}

void writer_stop(Writer *writer) {
    if (writer == NULL) {
        return;
    }
    pthread_mutex_lock(&writer->lock);
    writer->closing = true;
    pthread_cond_signal(&writer->more);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    free_records(&writer->queued); // only what came after a failure
    free_records(&writer->durable);
    close(writer->fd);
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->more);
    mem_free(writer);
}

int writer_fd(const Writer *writer) {
    return writer->fd;
}

Status writer_put(Writer *writer, Record *record) {
    Status status = STATUS_OK;
    bool wakes = false;
    pthread_mutex_lock(&writer->lock);
    if (writer->failed) {
        status = status_set(STATUS_IO, "%s", writer->failure);
    } else {
        wakes = writer->queued.first == NULL; // else it is awake, and takes them all
        append(&writer->queued, record);
    }
    pthread_mutex_unlock(&writer->lock);
    if (wakes) { // without the lock, which it takes first of all
        pthread_cond_signal(&writer->more);
    }
    if (status != STATUS_OK) {
        mem_free(record);
    }
    return status;
}

Status writer_take(Writer *writer, Record **ret_record) {
    Status status = STATUS_OK;
    pthread_mutex_lock(&writer->lock);
    Record *record = writer->durable.first;
    if (record != NULL) {
        *ret_record = record;
        writer->durable.first = record->next;
        if (record->next == NULL) {
            writer->durable.last = NULL;
        }
    } else if (writer->failed) {
        status = status_set(STATUS_IO, "%s", writer->failure);
    } else {
        uint64_t count;
        ssize_t got = read(writer->fd, &count, sizeof count);
        (void)got; // nothing to read is fine
        status = STATUS_AGAIN;
    }
    pthread_mutex_unlock(&writer->lock);
    return status;
}
