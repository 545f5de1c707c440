// SPDX-License-Identifier: Apache-2.0
//
// A clip is extracted once for all that want it with the same features, found by its contents and
// never by its name; what nobody uses is bounded, what somebody uses stays.
#include <inttypes.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "coordinator/synth/wavfile.h"
#include "tests/unit/test.h"
#include "worker/feature_store.h"

enum { CLIPS = 6, FRAMES = 32, MELS = 8 };

static char folder[256];
static char paths[CLIPS][300], names[CLIPS][16];
static WireClip clips[CLIPS];
static Settings settings;
static FeatureStore *store;
static uint64_t clip_bytes; // that one log-mel takes in the store

static void put_clip(int index) {
    int16_t sound[(FRAMES - 1) * 512];
    uint32_t samples = sizeof sound / sizeof *sound;
    for (uint32_t i = 0; i < samples; i++) {
        sound[i] = (int16_t)(i * (7919 + (uint32_t)index) % 20011 - 10000);
    }
    Buffer file = BUFFER_EMPTY;
    wavfile_format(sound, samples, 1, 16000, &file);
    snprintf(names[index], sizeof names[index], "%d.wav", index);
    snprintf(paths[index], sizeof paths[index], "%s/%s", folder, names[index]);
    CHECK_OK(file_write(paths[index], file.bytes, file.size));
    clips[index] = (WireClip){
        .path = names[index], .size_bytes = file.size, .digest = digest_of(file.bytes, file.size)};
    buffer_done(&file);
}

// As a task uses a clip: what is there, else its file.
static Status try_to_use(int index, HeldClip **ret_held) {
    *ret_held = feature_store_take(store, &clips[index]);
    if (*ret_held != NULL) {
        return STATUS_OK;
    }
    ClipFeatures features;
    Status status = feature_store_read(store, paths[index], &clips[index], 0, &features);
    return status == STATUS_OK ? feature_store_put(store, &clips[index], &features, ret_held)
                               : status;
}

static HeldClip *use(int index) {
    HeldClip *held = NULL;
    CHECK_OK(try_to_use(index, &held));
    return held;
}

static void use_and_release(int index) {
    feature_store_release(store, use(index));
}

// A store that keeps `kept` clips beyond those in use.
static void begin(int kept) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    for (int i = 0; i < CLIPS; i++) {
        put_clip(i);
    }
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=8"));
    store = feature_store_new(UINT64_MAX, 1);
    CHECK(store != NULL);
    CHECK_OK(feature_store_set(store, &settings));
    use_and_release(0);
    clip_bytes = feature_store_counts(store).idle_bytes;
    CHECK(clip_bytes >= FRAMES * MELS * sizeof(float));
    feature_store_free(store);
    store = feature_store_new((uint64_t)kept * clip_bytes, 1);
    CHECK(store != NULL);
    CHECK_OK(feature_store_set(store, &settings));
}

static void end(void) {
    feature_store_free(store);
    store = NULL;
    file_remove_tree(folder);
}

static void check_counts(uint64_t extracted, uint64_t reused, uint64_t idle) {
    FeatureCounts counts = feature_store_counts(store);
    CHECK_INT(counts.extracted, extracted);
    CHECK_INT(counts.reused, reused);
    CHECK_INT(counts.idle_bytes, idle * clip_bytes);
}

TEST(a_clip_is_extracted_once_and_is_bit_for_bit_what_it_is_extracted_alone) {
    begin(CLIPS);
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures alone;
    CHECK_OK(source_features(extractor, paths[3], names[3], clips[3].size_bytes, &clips[3].digest,
                             &alone));
    use_and_release(3);
    HeldClip *held = use(3);
    const ClipFeatures *features = held_clip_features(held);
    check_counts(1, 1, 0);
    CHECK_INT(features->frames, FRAMES);
    CHECK_INT(features->frames, alone.frames);
    CHECK_INT(features->vectors, alone.vectors);
    CHECK_INT(features->rate_hz, 16000);
    CHECK(memcmp(features->log_mel, alone.log_mel, FRAMES * MELS * sizeof(float)) == 0);
    feature_store_release(store, held);
    clip_features_done(&alone);
    clip_extractor_free(extractor);
    end();
}

TEST(settings_that_features_do_not_read_share_them_and_others_do_not) {
    begin(CLIPS);
    use_and_release(0);
    CHECK_OK(settings_assign(&settings, "seed=5"));
    CHECK_OK(settings_assign(&settings, "epochs=7"));
    CHECK_OK(feature_store_set(store, &settings));
    use_and_release(0);
    check_counts(1, 1, 1);
    CHECK_OK(settings_assign(&settings, "pad_mode=reflect"));
    CHECK_OK(feature_store_set(store, &settings));
    use_and_release(0);
    check_counts(2, 1, 2);
    CHECK_OK(settings_assign(&settings, "pad_mode=zeros"));
    CHECK_OK(feature_store_set(store, &settings));
    use_and_release(0);
    check_counts(2, 2, 2);
    end();
}

TEST(a_clip_is_known_by_its_contents_whatever_its_name) {
    begin(CLIPS);
    use_and_release(0);
    clips[1].digest = clips[0].digest; // a copy under another name
    use_and_release(1);
    check_counts(1, 1, 1);
    HeldClip *held;
    clips[0].path = "0.npy"; // the same bytes are no log-mel
    CHECK(try_to_use(0, &held) == STATUS_FORMAT);
    check_counts(1, 1, 1);
    end();
}

TEST(what_nobody_uses_goes_in_the_order_in_which_it_was_used) {
    begin(2);
    for (int i = 0; i < 3; i++) {
        use_and_release(i);
    }
    check_counts(3, 0, 2);
    use_and_release(1); // now 2 is the oldest
    use_and_release(3);
    use_and_release(1);
    check_counts(4, 2, 2);
    use_and_release(2);
    check_counts(5, 2, 2);
    end();
}

TEST(what_is_in_use_stays_and_does_not_count) {
    begin(1);
    HeldClip *held[CLIPS], *twice;
    for (int i = 0; i < CLIPS; i++) {
        held[i] = use(i);
    }
    twice = use(0);
    check_counts(CLIPS, 1, 0);
    CHECK(twice == held[0]);
    for (int i = 0; i < CLIPS; i++) {
        feature_store_release(store, held[i]);
    }
    check_counts(CLIPS, 1, 1);
    CHECK_INT(held_clip_features(twice)->frames, FRAMES); // still there
    feature_store_release(store, twice);
    check_counts(CLIPS, 1, 1);
    use_and_release(0);
    check_counts(CLIPS, 2, 1);
    end();
}

TEST(clips_beyond_the_bound_in_the_same_order_again_are_found_as_far_as_it_goes) {
    begin(4);
    HeldClip *held[CLIPS];
    for (int round = 0; round < 3; round++) { // models of one machine
        for (int i = 0; i < CLIPS; i++) {
            held[i] = use(i);
        }
        for (int i = 0; i < CLIPS; i++) {
            feature_store_release(store, held[i]);
        }
    }
    check_counts(CLIPS + 2 * (CLIPS - 4), 2 * 4, 4);
    end();
}

TEST(a_store_without_room_keeps_nothing) {
    begin(0);
    use_and_release(0);
    use_and_release(0);
    check_counts(2, 0, 0);
    end();
}

TEST(a_clip_that_cannot_be_read_is_not_kept_and_may_be_read_later) {
    begin(CLIPS);
    char away[320];
    snprintf(away, sizeof away, "%s.away", paths[0]);
    CHECK(rename(paths[0], away) == 0);
    HeldClip *held;
    CHECK(try_to_use(0, &held) == STATUS_NOT_FOUND);
    CHECK(rename(away, paths[0]) == 0);
    clips[0].size_bytes++;
    CHECK(try_to_use(0, &held) == STATUS_MISMATCH);
    clips[0].size_bytes--;
    check_counts(0, 0, 0);
    use_and_release(0);
    check_counts(1, 0, 1);
    end();
}

TEST(the_usual_bound_is_within_the_limit) {
    uint64_t bytes = feature_store_usual_bytes();
    CHECK(bytes > 0 && bytes <= LIMIT_IDLE_FEATURE_BYTES);
}

TEST(every_failing_allocation_is_survived) {
    begin(1);
    feature_store_free(store);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        HeldClip *held = NULL;
        mem_fail_after(n);
        store = feature_store_new(clip_bytes, 1);
        Status status = store != NULL ? feature_store_set(store, &settings) : STATUS_MEMORY;
        for (int i = 0; i < 3 && status == STATUS_OK; i++) {
            status = try_to_use(i, &held);
            if (status == STATUS_OK) {
                feature_store_release(store, held);
            }
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        feature_store_free(store);
        store = NULL;
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
    }
    end();
}

TEST(contents_that_two_lanes_read_side_by_side_are_kept_once) {
    begin(CLIPS);
    feature_store_free(store);
    store = feature_store_new((uint64_t)CLIPS * clip_bytes, 2);
    CHECK(store != NULL);
    CHECK_OK(feature_store_set(store, &settings));
    ClipFeatures both[2];
    HeldClip *held[2];
    for (int l = 0; l < 2; l++) {
        CHECK(!feature_store_has(store, &clips[1]));
        CHECK_OK(feature_store_read(store, paths[1], &clips[1], l, &both[l]));
    }
    for (int l = 0; l < 2; l++) {
        CHECK_OK(feature_store_put(store, &clips[1], &both[l], &held[l]));
    }
    CHECK(held[0] == held[1]);
    check_counts(2, 1, 0);
    feature_store_release(store, held[0]);
    check_counts(2, 1, 0);
    feature_store_release(store, held[1]);
    check_counts(2, 1, 1);
    end();
}

TEST_MAIN_LIST(
    T(contents_that_two_lanes_read_side_by_side_are_kept_once)
        T(a_clip_is_extracted_once_and_is_bit_for_bit_what_it_is_extracted_alone)
            T(settings_that_features_do_not_read_share_them_and_others_do_not)
                T(a_clip_is_known_by_its_contents_whatever_its_name) T(
                    what_nobody_uses_goes_in_the_order_in_which_it_was_used)
                    T(what_is_in_use_stays_and_does_not_count) T(
                        clips_beyond_the_bound_in_the_same_order_again_are_found_as_far_as_it_goes)
                        T(a_store_without_room_keeps_nothing)
                            T(a_clip_that_cannot_be_read_is_not_kept_and_may_be_read_later)
                                T(the_usual_bound_is_within_the_limit)
                                    T(every_failing_allocation_is_survived))
