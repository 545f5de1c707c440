// SPDX-License-Identifier: Apache-2.0
#include "proto/peers.h"

#include <assert.h>

#include "common/base/mem.h"

struct Peers {
    Peer *entries;
    uint32_t most;
    Peer **by_route, **by_id; // chains, `mask` + 1 of each
    uint32_t mask;
    uint32_t *free; // places of free entries
    uint32_t free_count;
    PeerId last_id;
};

Peers *peers_new(uint32_t most) {
    Peers *peers = mem_new(1, sizeof *peers);
    if (peers == NULL) {
        return NULL;
    }
    uint32_t chains = 16;
    while (chains < most) {
        chains *= 2;
    }
    peers->most = most;
    peers->mask = chains - 1;
    peers->entries = mem_new(most, sizeof *peers->entries);
    peers->by_route = mem_new(chains, sizeof *peers->by_route);
    peers->by_id = mem_new(chains, sizeof *peers->by_id);
    peers->free = mem_new(most, sizeof *peers->free);
    if (peers->entries == NULL || peers->by_route == NULL || peers->by_id == NULL ||
        peers->free == NULL) {
        peers_free(peers);
        return NULL;
    }
    for (uint32_t i = 0; i < most; i++) {
        peers->free[i] = most - 1 - i;
    }
    peers->free_count = most;
    return peers;
}

void peers_free(Peers *peers) {
    if (peers == NULL) {
        return;
    }
    mem_free(peers->entries);
    mem_free(peers->by_route);
    mem_free(peers->by_id);
    mem_free(peers->free);
    mem_free(peers);
}

// Routes and ids are counters, so their low bits spread well.
static Peer **route_chain(const Peers *peers, Lane lane, uint32_t route) {
    return &peers->by_route[(route * 2 + (lane == LANE_BULK)) & peers->mask];
}

static Peer **id_chain(const Peers *peers, PeerId id) {
    return &peers->by_id[id & peers->mask];
}

Peer *peers_by_route(const Peers *peers, Lane lane, uint32_t route) {
    Peer *peer = *route_chain(peers, lane, route);
    while (peer != NULL && (peer->route != route || peer->lane != lane)) {
        peer = peer->next_by_route;
    }
    return peer;
}

Peer *peers_by_id(const Peers *peers, PeerId id) {
    Peer *peer = *id_chain(peers, id);
    while (peer != NULL && peer->id != id) {
        peer = peer->next_by_id;
    }
    return peer;
}

static Peer *any_dropped(const Peers *peers) {
    for (uint32_t i = 0; i < peers->most; i++) {
        if (peers->entries[i].id != 0 && peers->entries[i].is_dropped) {
            return &peers->entries[i];
        }
    }
    return NULL;
}

// Never 0, and after four thousand million connections never one that still lives.
static PeerId new_id(Peers *peers) {
    do {
        peers->last_id++;
    } while (peers->last_id == 0 || peers_by_id(peers, peers->last_id) != NULL);
    return peers->last_id;
}

Peer *peers_add(Peers *peers, Lane lane, uint32_t route) {
    if (peers->free_count == 0) {
        Peer *dropped = any_dropped(peers);
        if (dropped == NULL) {
            return NULL;
        }
        peers_remove(peers, dropped);
    }
    Peer *peer = &peers->entries[peers->free[--peers->free_count]];
    *peer = (Peer){.id = new_id(peers), .lane = lane, .route = route, .fd = -1};
    Peer **by_route = route_chain(peers, lane, route);
    Peer **by_id = id_chain(peers, peer->id);
    peer->next_by_route = *by_route;
    peer->next_by_id = *by_id;
    *by_route = *by_id = peer;
    return peer;
}

void peers_remove(Peers *peers, Peer *peer) {
    assert(peer->id != 0);
    Peer **at = route_chain(peers, peer->lane, peer->route);
    while (*at != peer) {
        at = &(*at)->next_by_route;
    }
    *at = peer->next_by_route;
    at = id_chain(peers, peer->id);
    while (*at != peer) {
        at = &(*at)->next_by_id;
    }
    *at = peer->next_by_id;
    peer->id = 0;
    peers->free[peers->free_count++] = (uint32_t)(peer - peers->entries);
}

Peer *peers_next(const Peers *peers, const Peer *last) {
    uint32_t i = last == NULL ? 0 : (uint32_t)(last - peers->entries) + 1;
    while (i < peers->most && peers->entries[i].id == 0) {
        i++;
    }
    return i < peers->most ? &peers->entries[i] : NULL;
}
