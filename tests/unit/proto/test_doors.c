// SPDX-License-Identifier: Apache-2.0
//
// Who has no claim to be connected, over socket pairs: `ours` is what libzmq would have accepted.
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "proto/doors.h"

enum { MOST = 4, STRANGER_MS = 15000, REFUSED_MS = 1000 };

static Doors *doors;
static Peers *peers;
static int ours[16], theirs[16];

static void begin(int connections) {
    doors = doors_new(MOST);
    peers = peers_new(16);
    CHECK(doors != NULL && peers != NULL);
    for (int i = 0; i < connections; i++) {
        int pair[2];
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
        doors_accepted(doors, LANE_CONTROL, ours[i], i);
    }
}

static void end(int connections) {
    for (int i = 0; i < connections; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    doors_free(doors);
    peers_free(peers);
}

static bool is_shut(int i) {
    char byte;
    return recv(theirs[i], &byte, 1, 0) == 0;
}

TEST(a_silent_connection_is_shut_when_its_time_is_up) {
    begin(2);
    doors_tick(doors, peers, STRANGER_MS - 1);
    CHECK(!is_shut(0) && !is_shut(1));
    doors_tick(doors, peers, STRANGER_MS);
    CHECK(is_shut(0) && !is_shut(1));
    doors_tick(doors, peers, STRANGER_MS + 1);
    CHECK(is_shut(1));
    CHECK_INT(doors_shut(doors), 2);
    end(2);
}

TEST(who_has_spoken_stays) {
    begin(2);
    doors_heard(doors, LANE_CONTROL, ours[0]);
    Peer *peer = peers_add(peers, LANE_CONTROL, 7); // heard before it was known to be accepted
    peer->fd = ours[1];
    doors_tick(doors, peers, 10 * STRANGER_MS);
    CHECK(!is_shut(0) && !is_shut(1));
    CHECK_INT(doors_shut(doors), 0);
    end(2);
}

TEST(a_peer_of_the_other_lane_speaks_for_nobody_here) {
    begin(1);
    Peer *peer = peers_add(peers, LANE_BULK, 7);
    peer->fd = ours[0];
    doors_heard(doors, LANE_BULK, ours[0]);
    doors_closed(doors, LANE_BULK, ours[0]);
    doors_tick(doors, peers, STRANGER_MS);
    CHECK(is_shut(0));
    end(1);
}

TEST(of_too_many_the_oldest_are_shut) {
    begin(MOST + 2);
    doors_tick(doors, peers, MOST + 2);
    for (int i = 0; i < MOST + 2; i++) {
        CHECK_INT(is_shut(i), i < 2);
    }
    end(MOST + 2);
}

TEST(a_refused_one_is_shut_a_moment_later) {
    begin(2);
    doors_heard(doors, LANE_CONTROL, ours[0]);
    doors_refused(doors, LANE_CONTROL, ours[0], 100);
    doors_tick(doors, peers, 100 + REFUSED_MS - 1);
    CHECK(!is_shut(0));
    doors_tick(doors, peers, 100 + REFUSED_MS);
    CHECK(is_shut(0) && !is_shut(1));
    end(2);
}

TEST(a_lost_connection_is_forgotten) {
    begin(3);
    doors_closed(doors, LANE_CONTROL, ours[1]);
    doors_refused(doors, LANE_CONTROL, ours[2], 5);
    doors_closed(doors, LANE_CONTROL, ours[2]);
    doors_refused(doors, LANE_CONTROL, -1, 5); // of a connection that nobody can name
    doors_tick(doors, peers, 10 * STRANGER_MS);
    CHECK(is_shut(0) && !is_shut(1) && !is_shut(2));
    end(3);
}

TEST(every_allocation_may_fail) {
    long kept = mem_blocks();
    mem_fail_after(0);
    CHECK(doors_new(MOST) == NULL);
    mem_fail_after(-1);
    CHECK_INT(mem_blocks(), kept);
}

TEST_MAIN_LIST(T(a_silent_connection_is_shut_when_its_time_is_up) T(who_has_spoken_stays)
                   T(a_peer_of_the_other_lane_speaks_for_nobody_here)
                       T(of_too_many_the_oldest_are_shut) T(a_refused_one_is_shut_a_moment_later)
                           T(a_lost_connection_is_forgotten) T(every_allocation_may_fail))
