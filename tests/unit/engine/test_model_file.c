// SPDX-License-Identifier: Apache-2.0
//
// A model as one file: what was written is read back, and nothing else is.
#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "tests/unit/model/model_test.h"

static Settings settings;

static void begin(void) {
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=4"));
    CHECK_OK(settings_assign(&settings, "epochs=7"));
    CHECK_OK(settings_assign(&settings, "learning_rate=0.0123"));
}

// A file's bytes; replica_init's weights, so that nothing in it is zero by chance.
static void write_model(ModelFile *file, Buffer *out) {
    Shape shape = shape_official(&settings);
    file->settings = settings;
    file->replica = replica_new(&shape);
    CHECK(file->replica != NULL);
    replica_init(file->replica, 3, 4);
    model_file_write(file, out);
    CHECK_OK(out->status);
    model_file_done(file);
}

static void write_typical(Buffer *out) {
    ModelFile file = {
        .set = "dev",
        .machine = "fan: \"big\" \xc3\xbc",
        .section = "02",
        .rate_hz = 16000,
        .thresholds = {{0.1234567890123456, "gamma"}, {NAN, ""}, {-7.5e-300, "percentile"}}};
    write_model(&file, out);
}

TEST(everything_comes_back) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    ModelFile file;
    CHECK_OK(model_file_read("m", bytes.bytes, bytes.size, &file));
    CHECK_TEXT(file.set, "dev");
    CHECK_TEXT(file.machine, "fan: \"big\" \xc3\xbc");
    CHECK_TEXT(file.section, "02");
    CHECK_TEXT(file.thresholds[SCORE_MSE].method, "gamma");
    CHECK_TEXT(file.thresholds[SCORE_CLIPMAHALA].method, "percentile");
    CHECK_INT(file.rate_hz, 16000);
    CHECK(file.thresholds[SCORE_MSE].value == 0.1234567890123456);
    CHECK(isnan(file.thresholds[SCORE_MAHALA].value));
    CHECK(file.thresholds[SCORE_CLIPMAHALA].value == -7.5e-300);
    CHECK(memcmp(&file.settings, &settings, sizeof settings) == 0);
    Buffer again = BUFFER_EMPTY;
    model_file_write(&file, &again);
    CHECK(again.size == bytes.size && memcmp(again.bytes, bytes.bytes, again.size) == 0);
    model_file_done(&file);
    buffer_done(&again);
    buffer_done(&bytes);
}

TEST(what_is_not_known_comes_back_as_not_known) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    ModelFile file = model_file_blank();
    snprintf(file.set, sizeof file.set, "plain");
    snprintf(file.machine, sizeof file.machine, "x");
    write_model(&file, &bytes);
    CHECK_OK(model_file_read("m", bytes.bytes, bytes.size, &file));
    CHECK(isnan(file.thresholds[SCORE_MSE].value));
    CHECK(model_file_gives(&file, SCORE_MSE) && !model_file_gives(&file, SCORE_MAHALA) &&
          !model_file_gives(&file, SCORE_CLIPMAHALA));
    CHECK_TEXT(file.section, "");
    CHECK_TEXT(file.thresholds[SCORE_MSE].method, "");
    CHECK_INT(file.rate_hz, 0);
    model_file_done(&file);
    buffer_done(&bytes);
}

TEST(a_file_may_be_written_behind_other_bytes) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    buffer_text(&bytes, "before");
    write_typical(&bytes);
    ModelFile file;
    CHECK_OK(model_file_read("m", bytes.bytes + 6, bytes.size - 6, &file));
    model_file_done(&file);
    buffer_done(&bytes);
}

// Exact copies on the heap, so that a sanitizer sees any read beyond the end.
static Status read_copy(const Buffer *bytes, size_t size) {
    char *copy = mem_copy(bytes->bytes, size);
    ModelFile file;
    long before = mem_blocks();
    Status status = model_file_read("m.bin", copy, size, &file);
    if (status == STATUS_OK) {
        model_file_done(&file);
    }
    CHECK_INT(mem_blocks(), before);
    mem_free(copy);
    return status;
}

TEST(every_damaged_byte_is_noticed) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    CHECK_OK(read_copy(&bytes, bytes.size));
    for (size_t at = 0; at < bytes.size; at += at < 2000 || at + 100 > bytes.size ? 1 : 997) {
        bytes.bytes[at] ^= 0x40;
        Status status = read_copy(&bytes, bytes.size);
        bool is_version = at >= 8 && at < 12;
        CHECK(status == (is_version ? STATUS_MISMATCH : STATUS_FORMAT));
        CHECK_HAS(status_message(), "m.bin");
        bytes.bytes[at] ^= 0x40;
    }
    CHECK_OK(read_copy(&bytes, bytes.size));
    buffer_done(&bytes);
}

TEST(a_file_cut_off_or_with_more_behind_is_refused) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    for (size_t size = 0; size < bytes.size; size += size < 1500 ? 1 : 4999) {
        CHECK(read_copy(&bytes, size) == STATUS_FORMAT);
    }
    CHECK(read_copy(&bytes, bytes.size - 1) == STATUS_FORMAT);
    buffer_append(&bytes, "x", 1);
    CHECK(read_copy(&bytes, bytes.size) == STATUS_FORMAT);
    buffer_done(&bytes);
}

TEST(another_version_is_named) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    bytes.bytes[8] = 3;
    CHECK(read_copy(&bytes, bytes.size) == STATUS_MISMATCH);
    CHECK_HAS(status_message(), "m.bin");
    CHECK_HAS(status_message(), "version 3");
    CHECK_HAS(status_message(), "version 2");
    buffer_done(&bytes);
}

// ---- files that somebody made on purpose: the digest is right, the contents are not ----

// A whole file of this text and the replica of the present settings.
static void forge(const char *text, size_t text_bytes, Buffer *out) {
    Buffer replica = BUFFER_EMPTY;
    Shape shape = shape_official(&settings);
    Replica *made = replica_new(&shape);
    replica_init(made, 3, 4);
    replica_write(made, REPLICA_MODEL, &replica);
    replica_free(made);
    buffer_append(out, "AUSCMODL\2\0\0\0", 12);
    uint32_t text_length = (uint32_t)text_bytes;
    uint64_t replica_length = replica.size, yardstick_length = 24;
    static const char no_yardsticks[24];
    buffer_append(out, &text_length, 4);
    buffer_append(out, &replica_length, 8);
    buffer_append(out, &yardstick_length, 8);
    buffer_append(out, text, text_bytes);
    buffer_append(out, replica.bytes, replica.size);
    buffer_append(out, no_yardsticks, sizeof no_yardsticks);
    Digest digest = digest_of(out->bytes, out->size);
    buffer_append(out, digest.bytes, sizeof digest.bytes);
    buffer_done(&replica);
}

static Status read_forged(const char *text, size_t text_bytes) {
    Buffer bytes = BUFFER_EMPTY;
    forge(text, text_bytes, &bytes);
    Status status = read_copy(&bytes, bytes.size);
    buffer_done(&bytes);
    return status;
}

TEST(forged_texts_are_refused) {
    begin();
    static const char *const GOOD = "machine: x\nrate_hz: 16000\nthreshold_MSE: 1.5\nsettings:\n"
                                    "n_mels: 4\n";
    static const char *const BAD[] = {
        "",
        "\n",
        "machine: x\n",
        "settings:",
        "settings:\n", // the default's network, not this one
        "rate_hz: -1\nsettings:\nn_mels: 4\n",
        "rate_hz: nan\nsettings:\nn_mels: 4\n",
        "rate_hz: 1e9\nsettings:\nn_mels: 4\n",
        "rate_hz: many\nsettings:\nn_mels: 4\n",
        "threshold_MAHALA: \nsettings:\nn_mels: 4\n",
        "settings:\nn_mels: 0\n",
        "settings:\nn_mels: 4\nunheard_of: 1\n",
        "settings:\n[n_mels, 4]\n",
        // Each value is accepted, all together are not: nothing could be made with them.
        "settings:\nn_mels: 4\nn_fft: 256\nwin_length: 1024\n",
        "settings:\nn_mels: 4\nshards: 64\nbatch_size: 100\n",
    };
    CHECK_OK(read_forged(GOOD, strlen(GOOD)));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        Status status = read_forged(BAD[i], strlen(BAD[i]));
        if (status != STATUS_FORMAT) {
            TEST_FAIL("%zu: %d for \"%s\": %s", i, status, BAD[i], status_message());
        }
        CHECK_HAS(status_message(), "m.bin");
    }
    CHECK(read_forged("settings:\nn_mels: 4\n\0x: 1\n", 26) == STATUS_FORMAT);
}

TEST(names_too_long_for_their_place_are_cut) {
    begin();
    char text[2000];
    snprintf(text, sizeof text, "machine: %0900d\nset: %0100d\nsettings:\nn_mels: 4\n", 1, 1);
    Buffer bytes = BUFFER_EMPTY;
    forge(text, strlen(text), &bytes);
    ModelFile file;
    CHECK_OK(model_file_read("m", bytes.bytes, bytes.size, &file));
    CHECK_INT(strlen(file.machine), sizeof file.machine - 1);
    CHECK_INT(strlen(file.set), sizeof file.set - 1);
    model_file_done(&file);
    buffer_done(&bytes);
}

TEST(impossible_lengths_are_refused_before_anything_is_read) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    static const unsigned char HUGE[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    char kept[12];
    memcpy(kept, bytes.bytes + 12, 12);
    memcpy(bytes.bytes + 12, HUGE, 4);
    CHECK(read_copy(&bytes, bytes.size) == STATUS_FORMAT);
    memcpy(bytes.bytes + 12, kept, 12);
    memcpy(bytes.bytes + 16, HUGE, 8);
    CHECK(read_copy(&bytes, bytes.size) == STATUS_FORMAT);
    buffer_done(&bytes);
}

TEST(every_failing_allocation_is_survived) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        ModelFile file;
        mem_fail_after(n);
        Status status = model_file_read("m", bytes.bytes, bytes.size, &file);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        if (status == STATUS_OK) {
            model_file_done(&file);
        }
        CHECK_INT(mem_blocks(), before);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    ModelFile file;
    CHECK_OK(model_file_read("m", bytes.bytes, bytes.size, &file));
    before = mem_blocks();
    for (long n = 0;; n++) {
        Buffer out = BUFFER_EMPTY;
        mem_fail_after(n);
        model_file_write(&file, &out);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK(out.status == (failed ? STATUS_MEMORY : STATUS_OK));
        buffer_done(&out);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
    }
    model_file_done(&file);
    buffer_done(&bytes);
}

MODEL_TEST_MAIN(T(everything_comes_back) T(what_is_not_known_comes_back_as_not_known)
                    T(a_file_may_be_written_behind_other_bytes) T(every_damaged_byte_is_noticed)
                        T(a_file_cut_off_or_with_more_behind_is_refused) T(another_version_is_named)
                            T(forged_texts_are_refused) T(names_too_long_for_their_place_are_cut)
                                T(impossible_lengths_are_refused_before_anything_is_read)
                                    T(every_failing_allocation_is_survived))
