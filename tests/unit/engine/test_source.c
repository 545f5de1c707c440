// SPDX-License-Identifier: Apache-2.0
//
// A clip where it lies: STATUS_FORMAT is a fact of its bytes, everything else is this machine's
// failure, and no reason says where somebody keeps the data.
#include <sys/stat.h>

#include "common/base/mem.h"
#include "common/engine/source.h"
#include "coordinator/synth/wavfile.h"
#include "tests/unit/model/model_test.h"

static char folder[256];
static char path[512];
static Settings settings;
static ClipExtractor *extractor;

static void put(const void *bytes, size_t size) {
    CHECK_OK(file_write(path, bytes, size));
}

static size_t put_wav(int32_t rate_hz, int64_t samples) {
    Buffer file = BUFFER_EMPTY;
    int16_t *sound = mem_new((size_t)samples, sizeof *sound);
    for (int64_t i = 0; i < samples; i++) {
        sound[i] = (int16_t)(i * 7919 % 20011 - 10000);
    }
    wavfile_format(sound, samples, 1, rate_hz, &file);
    put(file.bytes, file.size);
    size_t size = file.size;
    mem_free(sound);
    buffer_done(&file);
    return size;
}

static void begin(void) {
    // ": " in the folder's name, which a careless cut would take for the end of a message.
    snprintf(folder, sizeof folder, "%s/secret: place", test_folder());
    CHECK_OK(file_make_folders(folder));
    snprintf(path, sizeof path, "%s/x.wav", folder);
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=8"));
    extractor = clip_extractor_new(&settings);
    CHECK(extractor != NULL);
}

static void end(void) {
    clip_extractor_free(extractor);
    *strrchr(folder, '/') = '\0';
    file_remove_tree(folder);
}

static void check_reason(const char *has) {
    CHECK_HAS(status_message(), has);
    CHECK(strstr(status_message(), "secret") == NULL && strstr(status_message(), "place") == NULL);
}

static Status probe(uint64_t size_bytes, SourceFacts *facts) {
    return source_probe(extractor, path, "m/train/x.wav", size_bytes, facts);
}

TEST(a_clip_is_probed_and_its_digest_is_of_its_bytes) {
    begin();
    size_t size = put_wav(16000, 16000);
    SourceFacts facts;
    CHECK_OK(probe(size, &facts));
    CHECK_INT(facts.frames, 1 + 16000 / 512);
    CHECK_INT(facts.vectors, facts.frames - 4);
    CHECK_INT(facts.rate_hz, 16000);
    CHECK_INT(facts.channels, 1);
    CHECK_NEAR(facts.seconds, 1.0, 0);
    CHECK(!facts.is_silent);
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(path, 1u << 20, &bytes));
    CHECK(digest_equal(facts.digest, digest_of(bytes.bytes, bytes.size)));
    ClipFeatures features;
    CHECK_OK(source_features(extractor, path, "x.wav", size, &facts.digest, &features));
    CHECK_INT(features.frames, facts.frames);
    clip_features_done(&features);
    buffer_done(&bytes);
    end();
}

TEST(a_clip_of_another_size_has_changed) {
    begin();
    size_t size = put_wav(16000, 16000);
    SourceFacts facts = {.frames = 77};
    CHECK(probe(size + 1, &facts) == STATUS_MISMATCH);
    check_reason("changed since it was scanned");
    CHECK_INT(facts.frames, 77);
    Digest digest = digest_of("", 0);
    ClipFeatures features;
    CHECK(source_features(extractor, path, "x.wav", 0, &digest, &features) == STATUS_MISMATCH);
    end();
}

TEST(a_clip_of_another_digest_has_changed) {
    begin();
    size_t size = put_wav(16000, 16000);
    Digest digest = digest_of("another", 7);
    ClipFeatures features;
    CHECK(source_features(extractor, path, "x.wav", size, &digest, &features) == STATUS_MISMATCH);
    check_reason("changed since it was first read");
    end();
}

TEST(bytes_that_do_not_decode_are_a_fact_with_a_digest) {
    begin();
    put("RIFF is all there is", 20);
    SourceFacts facts;
    CHECK(probe(20, &facts) == STATUS_FORMAT);
    check_reason("not a sound file");
    CHECK(digest_equal(facts.digest, digest_of("RIFF is all there is", 20)));
    CHECK_INT(facts.frames, 0);
    put("", 0);
    CHECK(probe(0, &facts) == STATUS_FORMAT);
    size_t size = put_wav(16000, 100); // one frame
    CHECK(probe(size, &facts) == STATUS_FORMAT);
    check_reason("a vector needs 5");
    end();
}

TEST(what_cannot_be_opened_is_this_machines_failure) {
    begin();
    SourceFacts facts;
    CHECK(probe(10, &facts) == STATUS_NOT_FOUND);
    check_reason("cannot be read: No such file or directory");
    CHECK(mkdir(path, 0777) == 0);
    CHECK(probe(10, &facts) == STATUS_IO);
    check_reason("cannot be read: not a plain file");
    CHECK(rmdir(path) == 0);
    CHECK(mkfifo(path, 0666) == 0); // and does not hang
    CHECK(probe(10, &facts) == STATUS_IO);
    check_reason("cannot be read: not a plain file");
    CHECK(unlink(path) == 0);
    CHECK(symlink("x.wav", path) == 0); // a loop
    CHECK(probe(10, &facts) == STATUS_IO);
    check_reason("cannot be read: ");
    end();
}

TEST(a_clip_without_permission_is_this_machines_failure) {
    if (getuid() == 0) {
        TEST_SKIP("root may read everything");
    }
    begin();
    size_t size = put_wav(16000, 16000);
    CHECK(chmod(path, 0) == 0);
    SourceFacts facts;
    CHECK(probe(size, &facts) == STATUS_IO);
    check_reason("cannot be read: Permission denied");
    end();
}

TEST(a_clip_beyond_all_bounds_is_a_fact_without_being_read) {
    begin();
    put("RIFF", 4);
    CHECK(truncate(path, (off_t)LIMIT_CLIP_BYTES + 1) == 0); // a hole, no disk is used
    SourceFacts facts;
    CHECK(probe(LIMIT_CLIP_BYTES + 1, &facts) == STATUS_FORMAT);
    check_reason("larger than");
    end();
}

// ---- scoring ----

static double measured_row[LIMIT_MELS];

static Status measure(SourceScorer *scorer, size_t size, const Digest *expected,
                      ClipMeasure *ret_measure) {
    return source_measure(scorer, path, "x.wav", size, expected, measured_row, ret_measure);
}

static void make_model(int32_t rate_hz, Buffer *out) {
    Shape shape = shape_official(&settings);
    ModelFile file = model_file_blank();
    file.rate_hz = rate_hz;
    file.settings = settings;
    file.replica = replica_new(&shape);
    replica_init(file.replica, 1, 1);
    model_file_write(&file, out);
    CHECK_OK(out->status);
    model_file_done(&file);
}

TEST(a_clip_is_scored_as_scanned_or_as_it_is_now) {
    begin();
    Buffer model = BUFFER_EMPTY;
    make_model(16000, &model);
    SourceScorer *scorer;
    CHECK_OK(source_scorer_new(model.bytes, model.size, &scorer));
    CHECK_INT(source_scorer_model(scorer)->rate_hz, 16000);
    size_t size = put_wav(16000, 16000);
    SourceFacts facts;
    CHECK_OK(probe(size, &facts));
    ClipMeasure scanned = {.mse = -1}, now = {.mse = -2};
    CHECK_OK(measure(scorer, size, &facts.digest, &scanned));
    CHECK_OK(measure(scorer, 0, NULL, &now));
    CHECK(isfinite(scanned.mse) && scanned.mse > 0 && scanned.mse == now.mse);
    CHECK(scanned.row == measured_row && scanned.row_mahala == 0);
    CHECK(source_score(scorer, SCORE_MSE, &scanned) == scanned.mse);
    CHECK(isnan(source_score(scorer, SCORE_MAHALA, &scanned)));
    now.mse = -2;
    facts.digest.bytes[0] ^= 1;
    CHECK(measure(scorer, size, &facts.digest, &now) == STATUS_MISMATCH);
    CHECK(measure(scorer, size + 1, NULL, &now) == STATUS_MISMATCH);
    put("junk", 4);
    CHECK(measure(scorer, 0, NULL, &now) == STATUS_FORMAT);
    CHECK(now.mse == -2);
    source_scorer_free(scorer);
    buffer_done(&model);
    end();
}

TEST(a_clip_of_another_rate_is_not_scored) {
    begin();
    Buffer model = BUFFER_EMPTY;
    make_model(16000, &model);
    SourceScorer *scorer;
    CHECK_OK(source_scorer_new(model.bytes, model.size, &scorer));
    put_wav(44100, 44100);
    ClipMeasure score = {.mse = -1};
    CHECK(measure(scorer, 0, NULL, &score) == STATUS_FORMAT);
    check_reason("44100 Hz");
    CHECK(score.mse == -1);
    source_scorer_free(scorer);
    buffer_clear(&model);
    make_model(0, &model); // trained on log-mels: any rate
    CHECK_OK(source_scorer_new(model.bytes, model.size, &scorer));
    CHECK_OK(measure(scorer, 0, NULL, &score));
    source_scorer_free(scorer);
    buffer_done(&model);
    end();
}

TEST(every_failing_allocation_is_survived) {
    begin();
    Buffer model = BUFFER_EMPTY;
    make_model(16000, &model);
    size_t size = put_wav(16000, 16000);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        SourceScorer *scorer = NULL;
        SourceFacts facts;
        ClipMeasure score;
        mem_fail_after(n);
        Status status = source_scorer_new(model.bytes, model.size, &scorer);
        if (status == STATUS_OK) {
            status = measure(scorer, size, NULL, &score);
        }
        if (status == STATUS_OK) {
            status = probe(size, &facts);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        source_scorer_free(scorer);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    clip_extractor_free(extractor);
    extractor = NULL;
    CHECK(mem_blocks() < before);
    buffer_done(&model);
    end();
}

MODEL_TEST_MAIN(T(a_clip_is_probed_and_its_digest_is_of_its_bytes)
                    T(a_clip_of_another_size_has_changed) T(a_clip_of_another_digest_has_changed)
                        T(bytes_that_do_not_decode_are_a_fact_with_a_digest)
                            T(what_cannot_be_opened_is_this_machines_failure)
                                T(a_clip_without_permission_is_this_machines_failure)
                                    T(a_clip_beyond_all_bounds_is_a_fact_without_being_read)
                                        T(a_clip_is_scored_as_scanned_or_as_it_is_now)
                                            T(a_clip_of_another_rate_is_not_scored)
                                                T(every_failing_allocation_is_survived))
