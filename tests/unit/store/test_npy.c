// SPDX-License-Identifier: Apache-2.0
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

#define GOLDEN(name) AUSCULT_SOURCE_DIR "/tests/golden/npy/" name

// A file of format 1.0 with this header and `data_bytes` zero bytes of data.
static void make_file(Buffer *out, const char *header, size_t data_bytes) {
    size_t length = strlen(header);
    char start[10] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)length, (char)(length >> 8)};
    buffer_clear(out);
    buffer_append(out, start, sizeof start);
    buffer_text(out, header);
    for (size_t i = 0; i < data_bytes; i++) {
        buffer_append(out, "", 1);
    }
}

static Status parse(const char *header, size_t data_bytes) {
    Buffer bytes = BUFFER_EMPTY;
    NpyArray array = {0};
    make_file(&bytes, header, data_bytes);
    Status status = npy_parse("x.npy", bytes.bytes, bytes.size, &array);
    npy_done(&array);
    buffer_done(&bytes);
    return status;
}

TEST(every_type_and_format_of_numpy_is_read) {
    static const struct {
        const char *file;
        NpyType type;
    } cases[] = {
        {GOLDEN("float32.npy"), NPY_FLOAT32},  {GOLDEN("float64.npy"), NPY_FLOAT64},
        {GOLDEN("int32.npy"), NPY_INT32},      {GOLDEN("int64_v2.npy"), NPY_INT64},
        {GOLDEN("uint32_v3.npy"), NPY_UINT32}, {GOLDEN("bool.npy"), NPY_BOOL},
        {GOLDEN("fortran.npy"), NPY_FLOAT32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        NpyArray array = {0};
        CHECK_OK(npy_read(cases[i].file, &array));
        CHECK_INT(array.type, cases[i].type);
        CHECK_INT(array.dimensions, 2);
        CHECK_INT(array.shape[0], 3);
        CHECK_INT(array.shape[1], 2);
        CHECK_INT(array.count, 6);
        for (int k = 0; k < 6; k++) { // every file holds 0 1 2 3 4 5, or their truth
            double value = array.type == NPY_FLOAT32   ? (double)((float *)array.data)[k]
                           : array.type == NPY_FLOAT64 ? ((double *)array.data)[k]
                           : array.type == NPY_INT32   ? ((int32_t *)array.data)[k]
                           : array.type == NPY_INT64   ? (double)((int64_t *)array.data)[k]
                           : array.type == NPY_UINT32  ? ((uint32_t *)array.data)[k]
                                                       : ((unsigned char *)array.data)[k];
            CHECK_NEAR(value, array.type == NPY_BOOL ? k > 0 : k, 0);
        }
        npy_done(&array);
    }
}

TEST(a_scalar_and_an_empty_array_are_read) {
    NpyArray array = {0};
    CHECK_OK(npy_read(GOLDEN("scalar.npy"), &array));
    CHECK_INT(array.dimensions, 0);
    CHECK_INT(array.count, 1);
    CHECK_NEAR(((double *)array.data)[0], 0.25, 0);
    npy_done(&array);
    CHECK_OK(npy_read(GOLDEN("empty.npy"), &array));
    CHECK_INT(array.count, 0);
    CHECK_INT(array.shape[1], 640);
    npy_done(&array);
}

TEST(written_bytes_are_numpys) {
    static const char *files[] = {GOLDEN("float32.npy"), GOLDEN("float64.npy"),
                                  GOLDEN("scalar.npy"),  GOLDEN("empty.npy"),
                                  GOLDEN("one.npy"),     GOLDEN("many.npy")};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        Buffer expected = BUFFER_EMPTY, written = BUFFER_EMPTY;
        NpyArray array = {0};
        CHECK_OK(file_read(files[i], 1 << 20, &expected));
        CHECK_OK(npy_read(files[i], &array));
        npy_format(&array, &written);
        CHECK_INT(written.size, expected.size);
        CHECK(memcmp(written.bytes, expected.bytes, written.size) == 0);
        npy_done(&array);
        buffer_done(&written);
        buffer_done(&expected);
    }
}

TEST(a_written_file_reads_back) {
    const char *folder = test_folder();
    char path[512];
    CHECK_OK(file_join(path, sizeof path, folder, "a.npy"));
    float small[6] = {0, -1.5f, 2, 3, 4, 5e30f};
    int64_t shape[2] = {2, 3};
    NpyArray array = {0};
    CHECK_OK(npy_write_float32(path, small, 2, shape));
    CHECK_OK(npy_read(path, &array));
    CHECK(array.type == NPY_FLOAT32 && memcmp(array.data, small, sizeof small) == 0);
    npy_done(&array);
    double threshold = 10.25;
    CHECK_OK(npy_write_float64(path, &threshold, 0, NULL));
    CHECK_OK(npy_read(path, &array));
    CHECK(array.type == NPY_FLOAT64 && *(double *)array.data == 10.25);
    npy_done(&array);
    CHECK_OK(file_remove_tree(folder));
}

TEST(a_damaged_header_is_refused) {
    static const char *headers[] = {
        "",
        "{",
        "{}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2",
        "{'descr': '<f4",
        "{'descr': '<f4<f4<f4<f4', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        if (parse(headers[i], 8) != STATUS_FORMAT) {
            TEST_FAIL("accepted: %s", headers[i]);
        }
    }
}

TEST(another_type_is_named) {
    CHECK_INT(parse("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8), STATUS_FORMAT);
    CHECK_HAS(status_message(), "x.npy: .npy of type >f4");
}

TEST(a_shape_must_match_the_bytes_present) {
    CHECK_OK(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8));
    CHECK_INT(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7), STATUS_FORMAT);
    CHECK_INT(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9), STATUS_FORMAT);
    // Products that wrap around 64 bits to 8 bytes, or to nothing.
    CHECK_INT(parse("{'descr': '<f4', 'fortran_order': False, "
                    "'shape': (4611686018427387905, 2), }",
                    8),
              STATUS_FORMAT);
    CHECK_INT(parse("{'descr': '<f4', 'fortran_order': False, "
                    "'shape': (4294967296, 4294967296), }",
                    0),
              STATUS_FORMAT);
    CHECK_HAS(status_message(), "shape (4294967296, 4294967296) of <f4, 0 bytes");
    CHECK_OK(parse("{'descr': '<f4', 'fortran_order': False, "
                   "'shape': (4611686018427387905, 4611686018427387905, 0), }",
                   0));
}

TEST(every_cut_of_a_file_is_refused) {
    Buffer whole = BUFFER_EMPTY;
    CHECK_OK(file_read(GOLDEN("uint32_v3.npy"), 1 << 20, &whole));
    for (size_t size = 0; size < whole.size; size++) {
        // An exact copy, so that the address sanitizer sees a read past the end.
        char *cut = mem_copy(whole.bytes, size);
        NpyArray array = {0};
        CHECK_INT(npy_parse("cut.npy", cut, size, &array), STATUS_FORMAT);
        CHECK(array.data == NULL);
        mem_free(cut);
    }
    buffer_done(&whole);
}

TEST(random_damage_never_crashes) {
    uint64_t seed = 20261122;
    printf("seed %llu\n", (unsigned long long)seed);
    Rng rng = rng_of(seed, "npy damage", 0, 0);
    Buffer whole = BUFFER_EMPTY;
    CHECK_OK(file_read(GOLDEN("float32.npy"), 1 << 20, &whole));
    int refused = 0;
    for (int round = 0; round < 20000; round++) {
        char *copy = mem_copy(whole.bytes, whole.size);
        for (uint32_t hits = 1 + rng_below(&rng, 3); hits > 0; hits--) {
            copy[rng_below(&rng, 128)] = (char)(32 + rng_below(&rng, 96));
        }
        NpyArray array = {0};
        refused += npy_parse("x.npy", copy, whole.size, &array) != STATUS_OK;
        npy_done(&array);
        mem_free(copy);
    }
    CHECK(refused > 10000);
    buffer_done(&whole);
}

TEST(a_missing_file_is_not_found) {
    NpyArray array = {0};
    CHECK_INT(npy_read(GOLDEN("nowhere.npy"), &array), STATUS_NOT_FOUND);
}

TEST(failed_allocations_leak_nothing) {
    long before = mem_blocks();
    int failures = 0;
    for (long n = 0;; n++) {
        NpyArray array = {0};
        mem_fail_after(n);
        Status status = npy_read(GOLDEN("fortran.npy"), &array);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        npy_done(&array);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        failures++;
    }
    CHECK(failures >= 2);
}

TEST_MAIN_LIST(T(every_type_and_format_of_numpy_is_read) T(a_scalar_and_an_empty_array_are_read)
                   T(written_bytes_are_numpys) T(a_written_file_reads_back)
                       T(a_damaged_header_is_refused) T(another_type_is_named)
                           T(a_shape_must_match_the_bytes_present) T(every_cut_of_a_file_is_refused)
                               T(random_damage_never_crashes) T(a_missing_file_is_not_found)
                                   T(failed_allocations_leak_nothing))
