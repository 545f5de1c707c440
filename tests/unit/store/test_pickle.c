// SPDX-License-Identifier: Apache-2.0
//
// Scalers as pickles. That scikit-learn's and joblib's own are read is for tests/interop; here are
// our own, damage, and what would do harm in Python.
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/pickle.h"
#include "tests/unit/test.h"

static void write_typical(Buffer *out) {
    StandardScaler scaler;
    CHECK_OK(standard_scaler_new(3, &scaler));
    scaler.samples_seen = 1234567890123;
    for (int i = 0; i < 3; i++) {
        scaler.mean[i] = -1.5 * i;
        scaler.variance[i] = 4 + i;
        scaler.scale[i] = 2 + 0.1 * i;
    }
    pickle_write_scaler(&scaler, out);
    CHECK_OK(out->status);
    standard_scaler_done(&scaler);
}

TEST(what_was_written_is_read) {
    Buffer bytes = BUFFER_EMPTY;
    StandardScaler scaler;
    write_typical(&bytes);
    CHECK_OK(pickle_read_scaler("x.pkl", bytes.bytes, bytes.size, &scaler));
    CHECK_INT(scaler.dimension, 3);
    CHECK_INT(scaler.samples_seen, 1234567890123);
    CHECK_NEAR(scaler.mean[1], -1.5, 0);
    CHECK_NEAR(scaler.variance[2], 6, 0);
    CHECK_NEAR(scaler.scale[2], 2.2, 0);
    standard_scaler_done(&scaler);
    buffer_done(&bytes);
}

static void refuse(const char *bytes, size_t size, const char *why) {
    StandardScaler scaler;
    long before = mem_blocks();
    CHECK_INT(pickle_read_scaler("x.pkl", bytes, size, &scaler), STATUS_FORMAT);
    CHECK_HAS(status_message(), "x.pkl");
    CHECK_HAS(status_message(), why);
    CHECK_INT(mem_blocks(), before);
}
#define REFUSE(text, why) refuse(text, sizeof(text) - 1, why)

TEST(nothing_is_run) {
    REFUSE("\x80\x02"
           "cos\nsystem\nX\x05\x00\x00\x00touch\x85R.",
           "os.system");
    REFUSE("\x80\x02"
           "cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.",
           "posix.system");
    REFUSE("\x80\x02"
           "cbuiltins\neval\nX\x01\x00\x00\x00"
           "1\x85R.",
           "builtins.eval");
    REFUSE("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "os.system");
    REFUSE("\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.", "opcode 0x69"); // INST
    REFUSE("\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.", "os.system");  // OBJ
    REFUSE("cos\nsystem\n(S'ls'\ntR.", "protocol");                      // protocol 0
    REFUSE("\x80\x02Pabc\n.", "opcode 0x50");                            // a persistent id
    REFUSE("\x80\x02\x82\x01.", "opcode 0x82");                          // an extension
    REFUSE("\x80\x02"
           "csklearn.preprocessing\nStandardScaler\n)R}X\x01\x00\x00\x00xX\x01\x00\x00\x00"
           "ysb.",
           "not fitted");
    REFUSE("\x80\x02"
           "cnumpy\nndarray\n)R.",
           "call");
    REFUSE("\x80\x02K\x01.", "something else");
    REFUSE("\x80\x02.", "damaged");
    REFUSE("\x78\x9c\x01\x02", "compressed");
}

TEST(counts_are_held_against_the_file) {
    REFUSE("\x80\x02X\xff\xff\xff\xff"
           "abc.",
           "cut off");
    REFUSE("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "abc.",
           "cut off");
    REFUSE("\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f"
           "abc.",
           "cut off");
    REFUSE("\x80\x02r\xff\xff\xff\xff.", "damaged");
    REFUSE("\x80\x02Kr", "cut off");
    REFUSE("\x80\x02j\xff\xff\xff\x7f.", "damaged");
    REFUSE("\x80\x02Nr\xff\xff\xff\xff.", "remembered");
    // A list within itself, and a million marks.
    REFUSE("\x80\x02]q\x00h\x00"
           "a.",
           "something else");
    char *marks = mem_new(1 << 20, 1);
    CHECK(marks != NULL);
    memset(marks, '(', 1 << 20);
    memcpy(marks, "\x80\x02", 2);
    refuse(marks, 1 << 20, "too many values");
    memset(marks + 2, '}', (1 << 20) - 2);
    refuse(marks, 1 << 20, "too many values");
    mem_free(marks);
}

TEST(damage_is_refused_or_harmless) {
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    long before = mem_blocks();
    int accepted = 0;
    for (size_t size = 0; size < bytes.size; size++) {
        StandardScaler scaler;
        CHECK(pickle_read_scaler("x.pkl", bytes.bytes, size, &scaler) != STATUS_OK);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        StandardScaler scaler;
        bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (pickle_read_scaler("x.pkl", bytes.bytes, bytes.size, &scaler) == STATUS_OK) {
            accepted++;
            for (int i = 0; i < scaler.dimension; i++) {
                CHECK(isfinite(scaler.mean[i]) && isfinite(scaler.scale[i]) &&
                      scaler.scale[i] != 0);
            }
            standard_scaler_done(&scaler);
        }
        bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    CHECK(accepted > 100); // a bit of a number is another number
    CHECK_INT(mem_blocks(), before);
    buffer_done(&bytes);
}

TEST(a_failing_allocation_leaks_nothing) {
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        StandardScaler scaler = {0};
        mem_fail_after(n);
        Status status = pickle_read_scaler("x.pkl", bytes.bytes, bytes.size, &scaler);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        standard_scaler_done(&scaler);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
    buffer_done(&bytes);
}

TEST_MAIN_LIST(T(what_was_written_is_read) T(nothing_is_run) T(counts_are_held_against_the_file)
                   T(damage_is_refused_or_harmless) T(a_failing_allocation_leaks_nothing))
