// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "proto/peers.h"

TEST(peers_are_found_by_route_and_by_id) {
    Peers *peers = peers_new(64);
    Peer *a = peers_add(peers, LANE_CONTROL, 7), *b = peers_add(peers, LANE_BULK, 7);
    CHECK(a != NULL && b != NULL && a != b && a->id != b->id);
    CHECK(peers_by_route(peers, LANE_CONTROL, 7) == a);
    CHECK(peers_by_route(peers, LANE_BULK, 7) == b);
    CHECK(peers_by_route(peers, LANE_BULK, 8) == NULL);
    CHECK(peers_by_id(peers, a->id) == a && peers_by_id(peers, b->id) == b);
    CHECK(peers_by_id(peers, 0) == NULL && peers_by_id(peers, 99) == NULL);
    PeerId old = a->id;
    peers_remove(peers, a);
    CHECK(peers_by_id(peers, old) == NULL);
    CHECK(peers_by_route(peers, LANE_CONTROL, 7) == NULL);
    CHECK(peers_add(peers, LANE_CONTROL, 7)->id != old);
    peers_free(peers);
}

TEST(full_table_makes_room_by_forgetting_dropped_peers_only) {
    enum { MOST = 20 };
    Peers *peers = peers_new(MOST);
    for (uint32_t i = 0; i < MOST; i++) {
        CHECK(peers_add(peers, LANE_CONTROL, i) != NULL);
    }
    CHECK(peers_add(peers, LANE_CONTROL, MOST) == NULL);
    peers_by_route(peers, LANE_CONTROL, 13)->is_dropped = true;
    Peer *fresh = peers_add(peers, LANE_CONTROL, MOST);
    CHECK(fresh != NULL && !fresh->is_dropped);
    CHECK(peers_by_route(peers, LANE_CONTROL, 13) == NULL);
    CHECK(peers_add(peers, LANE_CONTROL, 13) == NULL);
    peers_free(peers);
}

// Against a plain array: every step that a table of peers can take, many times.
TEST(random_comings_and_goings_keep_the_table_right) {
    enum { MOST = 50, ROUTES = 200 };
    Peers *peers = peers_new(MOST);
    PeerId here[2][ROUTES] = {{0}};
    uint32_t count = 0;
    PeerId largest = 0;
    Rng rng = rng_of(1, "peers", 0, 0);
    for (int step = 0; step < 20000; step++) {
        Lane lane = (Lane)rng_below(&rng, 2);
        uint32_t route = rng_below(&rng, ROUTES);
        Peer *peer = peers_by_route(peers, lane, route);
        CHECK_INT(peer != NULL ? peer->id : 0, here[lane][route]);
        if (peer != NULL) {
            CHECK(peers_by_id(peers, peer->id) == peer);
            peers_remove(peers, peer);
            here[lane][route] = 0;
            count--;
        } else {
            peer = peers_add(peers, lane, route);
            CHECK((peer != NULL) == (count < MOST));
            if (peer != NULL) {
                CHECK(peer->id > largest); // never one that was there before
                largest = here[lane][route] = peer->id;
                count++;
            }
        }
        if (step % 1000 == 0) {
            uint32_t seen = 0;
            for (Peer *at = peers_next(peers, NULL); at != NULL; at = peers_next(peers, at)) {
                CHECK_INT(here[at->lane][at->route], at->id);
                seen++;
            }
            CHECK_INT(seen, count);
        }
    }
    peers_free(peers);
}

TEST(every_allocation_may_fail) {
    for (long n = 0; n < 5; n++) {
        mem_fail_after(n);
        CHECK(peers_new(10) == NULL);
        CHECK(mem_has_failed());
        CHECK_INT(mem_blocks(), 0);
    }
    mem_fail_after(-1);
}

TEST_MAIN_LIST(T(peers_are_found_by_route_and_by_id)
                   T(full_table_makes_room_by_forgetting_dropped_peers_only)
                       T(random_comings_and_goings_keep_the_table_right)
                           T(every_allocation_may_fail))
