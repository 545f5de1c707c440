// SPDX-License-Identifier: Apache-2.0
//
// How it works: a table of chained items, found by their key. An item in use is in no other list;
// one that nobody uses any more goes to the young end of the idle list, and from its old end the
// items go until the bound is met. Clips of a machine that are together larger than the bound are
// let go in the order in which they were used, so that the next model, which uses them in the same
// order, still finds the later ones: while it uses them they do not count.
#include "worker/feature_store.h"

#include <string.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/engine/source.h"

enum { SLOTS = 4096 }; // of the table: a few items each, for what the bound allows of usual clips

struct HeldClip {
    ClipFeatures features;
    Digest key;                       // of the settings of features and of the clip
    uint64_t bytes;                   // that it takes
    uint32_t uses;                    // not yet released
    struct HeldClip *next;            // in its slot
    struct HeldClip *older, *younger; // in the idle list, while uses is 0
};

struct FeatureStore {
    uint64_t idle_bytes_most; // as feature_store_new was told
    HeldClip *slots[SLOTS];
    HeldClip *oldest, *youngest; // the idle list
    int lanes;
    ClipExtractor *extractors[CREW_LANES_MOST]; // (lanes) NULL before the first settings
    Digest settings;                            // of features, of the extractor
    int32_t width;                              // of their rows
    FeatureCounts counts;
};

uint64_t feature_store_usual_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (pages <= 0 || page <= 0 || processors <= 0) {
        return 0;
    }
    uint64_t share = (uint64_t)pages * (uint64_t)page / 8 / (uint64_t)processors;
    return share < LIMIT_IDLE_FEATURE_BYTES ? share : LIMIT_IDLE_FEATURE_BYTES;
}

FeatureStore *feature_store_new(uint64_t idle_bytes_most, int lanes) {
    FeatureStore *store = mem_new(1, sizeof *store);
    if (store != NULL) {
        store->idle_bytes_most = idle_bytes_most;
        store->lanes = lanes;
    }
    return store;
}

static size_t slot_of(Digest key) {
    return (size_t)(key.bytes[0] << 8 | key.bytes[1]) % SLOTS;
}

static void free_held(HeldClip *held) {
    clip_features_done(&held->features);
    mem_free(held);
}

void feature_store_free(FeatureStore *store) {
    if (store == NULL) {
        return;
    }
    for (int i = 0; i < SLOTS; i++) {
        for (HeldClip *held = store->slots[i]; held != NULL;) {
            HeldClip *next = held->next;
            free_held(held);
            held = next;
        }
    }
    for (int l = 0; l < store->lanes; l++) {
        clip_extractor_free(store->extractors[l]);
    }
    mem_free(store);
}

Status feature_store_set(FeatureStore *store, const Settings *settings) {
    Digest digest;
    Status status = settings_digest_all(settings, SETTING_FEATURES, &digest);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_made = store->extractors[store->lanes - 1] != NULL;
    if (is_made && digest_equal(digest, store->settings)) {
        return STATUS_OK;
    }
    for (int l = 0; l < store->lanes; l++) {
        clip_extractor_free(store->extractors[l]);
        store->extractors[l] = NULL;
    }
    for (int l = 0; l < store->lanes; l++) {
        store->extractors[l] = clip_extractor_new(settings);
        if (store->extractors[l] == NULL) {
            return STATUS_MEMORY;
        }
    }
    store->settings = digest;
    store->width = settings_width(settings);
    return STATUS_OK;
}

// ---- the idle list ----

static void leave_idle(FeatureStore *store, HeldClip *held) {
    *(held->older != NULL ? &held->older->younger : &store->oldest) = held->younger;
    *(held->younger != NULL ? &held->younger->older : &store->youngest) = held->older;
    held->older = held->younger = NULL;
    store->counts.idle_bytes -= held->bytes;
}

static void enter_idle(FeatureStore *store, HeldClip *held) {
    held->older = store->youngest;
    *(store->youngest != NULL ? &store->youngest->younger : &store->oldest) = held;
    store->youngest = held;
    store->counts.idle_bytes += held->bytes;
}

static void forget(FeatureStore *store, HeldClip *held) {
    leave_idle(store, held);
    HeldClip **link = &store->slots[slot_of(held->key)];
    while (*link != held) {
        link = &(*link)->next;
    }
    *link = held->next;
    free_held(held);
}

// ---- use and release ----

// The same bytes are sound under one name and a log-mel under another.
static Digest key_of(const FeatureStore *store, const WireClip *clip) {
    unsigned char bytes[2 * sizeof(Digest) + 1];
    memcpy(bytes, store->settings.bytes, sizeof(Digest));
    memcpy(bytes + sizeof(Digest), clip->digest.bytes, sizeof(Digest));
    bytes[2 * sizeof(Digest)] = clip_is_npy(clip->path);
    return digest_of(bytes, sizeof bytes);
}

static HeldClip *find(const FeatureStore *store, Digest key) {
    HeldClip *held = store->slots[slot_of(key)];
    while (held != NULL && !digest_equal(held->key, key)) {
        held = held->next;
    }
    return held;
}

bool feature_store_has(const FeatureStore *store, const WireClip *clip) {
    return find(store, key_of(store, clip)) != NULL;
}

static HeldClip *take(FeatureStore *store, HeldClip *held) {
    store->counts.reused++;
    if (held->uses++ == 0) {
        leave_idle(store, held);
    }
    return held;
}

HeldClip *feature_store_take(FeatureStore *store, const WireClip *clip) {
    HeldClip *held = find(store, key_of(store, clip));
    return held != NULL ? take(store, held) : NULL;
}

Status feature_store_read(const FeatureStore *store, const char *path, const WireClip *clip,
                          int lane, ClipFeatures *ret_features) {
    return source_features(store->extractors[lane], path, clip->path, clip->size_bytes,
                           &clip->digest, ret_features);
}

Status feature_store_put(FeatureStore *store, const WireClip *clip, ClipFeatures *features,
                         HeldClip **ret_held) {
    Digest key = key_of(store, clip);
    HeldClip *held = find(store, key);
    store->counts.extracted++;
    if (held != NULL) { // two clips of the same contents were read side by side
        clip_features_done(features);
        *ret_held = take(store, held);
        return STATUS_OK;
    }
    held = mem_new(1, sizeof *held);
    if (held == NULL) {
        clip_features_done(features);
        return STATUS_MEMORY;
    }
    size_t floats = (size_t)features->frames * (size_t)store->width;
    HeldClip **slot = &store->slots[slot_of(key)];
    *held = (HeldClip){.features = *features,
                       .key = key,
                       .bytes = sizeof *held + floats * sizeof(float),
                       .uses = 1,
                       .next = *slot};
    *slot = held;
    *features = (ClipFeatures){0};
    *ret_held = held;
    return STATUS_OK;
}

const ClipFeatures *held_clip_features(const HeldClip *held) {
    return &held->features;
}

void feature_store_release(FeatureStore *store, HeldClip *held) {
    if (--held->uses > 0) {
        return;
    }
    enter_idle(store, held);
    while (store->counts.idle_bytes > store->idle_bytes_most) {
        forget(store, store->oldest);
    }
}

FeatureCounts feature_store_counts(const FeatureStore *store) {
    return store->counts;
}
