// SPDX-License-Identifier: Apache-2.0
//
// How it works. A table by file descriptor, and two queues in it: strangers and refused. All of a
// queue wait equally long, so that who came first is due first. libzmq owns the descriptors and
// closes them; shutdown() makes it find the connection ended. Between libzmq's closing one and our
// reading of its DISCONNECTED the descriptor may be another connection's already: that one would be
// shut in its place, and its worker connects again.
#include "proto/doors.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/base/limits.h"
#include "common/base/mem.h"

enum {
    FDS_MOST = 16384,    // twice what the limit of open files is raised to
    STRANGER_MS = 15000, // to say the first word: beyond the handshake's own time
    REFUSED_MS = 1000,   // for the refusal to arrive
    FDS_OF_OWN = 256,    // files, journal, libzmq's own, connections on their way out
};

typedef enum Queue { NOWHERE, STRANGERS, REFUSED, QUEUES } Queue;

typedef struct Door {
    int64_t since_ms;
    int before, after; // in its queue, -1 at the ends
    unsigned char queue, lane;
} Door;

struct Doors {
    Door doors[FDS_MOST]; // by descriptor
    int first[QUEUES], last[QUEUES];
    uint32_t count[QUEUES];
    uint32_t most; // of each queue
    uint64_t shut;
};

// Two connections per session and half as many again on their way in and out must be there; twice
// that many strangers are welcome to what more there is.
Status doors_make_room(uint32_t workers_most, uint32_t *ret_strangers) {
    rlim_t needed = 3 * (rlim_t)workers_most + FDS_OF_OWN;
    rlim_t wished = needed + 2 * LIMIT_STRANGERS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return status_set(STATUS_IO, "cannot read the limit of open files: %s", strerror(errno));
    }
    if (limit.rlim_max < needed) { // RLIM_INFINITY is the largest there is
        return status_set(STATUS_LIMIT,
                          "%u workers need %llu open files, the system allows %llu: raise "
                          "'ulimit -Hn' or allow fewer workers",
                          workers_most, (unsigned long long)needed,
                          (unsigned long long)limit.rlim_max);
    }
    if (limit.rlim_cur < wished) {
        limit.rlim_cur = wished < limit.rlim_max ? wished : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return status_set(STATUS_IO, "cannot raise the limit of open files to %llu: %s",
                              (unsigned long long)limit.rlim_cur, strerror(errno));
        }
    }
    // Half of what sessions leave for each queue, so that a file of our own can always be opened.
    rlim_t spare = (limit.rlim_cur - 2 * (rlim_t)workers_most - FDS_OF_OWN) / 2;
    *ret_strangers = spare < LIMIT_STRANGERS ? (uint32_t)spare : LIMIT_STRANGERS;
    return STATUS_OK;
}

Doors *doors_new(uint32_t most) {
    Doors *doors = mem_new(1, sizeof *doors);
    if (doors != NULL) {
        doors->most = most;
    }
    for (int queue = 0; doors != NULL && queue < QUEUES; queue++) {
        doors->first[queue] = doors->last[queue] = -1;
    }
    return doors;
}

void doors_free(Doors *doors) {
    mem_free(doors);
}

static Door *find(Doors *doors, int fd) {
    return fd >= 0 && fd < FDS_MOST ? &doors->doors[fd] : NULL;
}

static void leave(Doors *doors, Door *door) {
    int queue = door->queue;
    if (queue == NOWHERE) {
        return;
    }
    *(door->before >= 0 ? &doors->doors[door->before].after : &doors->first[queue]) = door->after;
    *(door->after >= 0 ? &doors->doors[door->after].before : &doors->last[queue]) = door->before;
    door->queue = NOWHERE;
    doors->count[queue]--;
}

static void enter(Doors *doors, Queue queue, Lane lane, int fd, int64_t now_ms) {
    Door *door = find(doors, fd);
    if (door == NULL) {
        return;
    }
    leave(doors, door);
    int last = doors->last[queue];
    *door = (Door){.since_ms = now_ms,
                   .before = last,
                   .after = -1,
                   .queue = (unsigned char)queue,
                   .lane = (unsigned char)lane};
    *(last >= 0 ? &doors->doors[last].after : &doors->first[queue]) = fd;
    doors->last[queue] = fd;
    doors->count[queue]++;
}

void doors_accepted(Doors *doors, Lane lane, int fd, int64_t now_ms) {
    if (fd >= FDS_MOST) {
        doors->shut += shutdown(fd, SHUT_RDWR) == 0; // far beyond what there may be
        return;
    }
    enter(doors, STRANGERS, lane, fd, now_ms);
}

void doors_closed(Doors *doors, Lane lane, int fd) {
    Door *door = find(doors, fd);
    if (door != NULL && door->lane == lane) {
        leave(doors, door);
    }
}

void doors_heard(Doors *doors, Lane lane, int fd) {
    doors_closed(doors, lane, fd);
}

void doors_refused(Doors *doors, Lane lane, int fd, int64_t now_ms) {
    enter(doors, REFUSED, lane, fd, now_ms);
}

// What was said may have been read before we read that the connection was accepted.
static bool has_spoken(const Peers *peers, const Door *door, int fd) {
    for (const Peer *peer = peers_next(peers, NULL); peer != NULL; peer = peers_next(peers, peer)) {
        if (peer->fd == fd && peer->lane == (Lane)door->lane && !peer->is_gone &&
            !peer->is_dropped) {
            return true;
        }
    }
    return false;
}

static void tick(Doors *doors, Queue queue, int64_t stay_ms, const Peers *peers, int64_t now_ms) {
    int fd;
    while ((fd = doors->first[queue]) >= 0) {
        Door *door = &doors->doors[fd];
        if (door->since_ms + stay_ms > now_ms && doors->count[queue] <= doors->most) {
            return;
        }
        leave(doors, door);
        if (queue == REFUSED || !has_spoken(peers, door, fd)) {
            doors->shut += shutdown(fd, SHUT_RDWR) == 0;
        }
    }
}

void doors_tick(Doors *doors, const Peers *peers, int64_t now_ms) {
    tick(doors, STRANGERS, STRANGER_MS, peers, now_ms);
    tick(doors, REFUSED, REFUSED_MS, peers, now_ms);
}

uint64_t doors_shut(const Doors *doors) {
    return doors->shut;
}
