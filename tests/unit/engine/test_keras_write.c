// SPDX-License-Identifier: Apache-2.0
//
// The files for Keras and scikit-learn. That these programs read them is for tests/interop.
#include "common/base/mem.h"
#include "common/engine/keras_file.h"
#include "common/store/hdf5_file.h"
#include "common/store/pickle.h"
#include "tests/unit/test.h"

// 6-4-2-6 over two frames of three bands, its numbers counting up; with a scaler if asked.
static Replica *make_replica(bool is_plain, bool has_scaler) {
    Shape shape = {.n_mels = 3,
                   .frames = 2,
                   .frame_hop_length = 1,
                   .layers = 3,
                   .width = {6, 4, 2, 6},
                   .is_plain = is_plain};
    Replica *replica = replica_new(&shape);
    CHECK(replica != NULL);
    Layout layout = shape_layout(&shape);
    for (size_t i = 0; i < layout.parameters; i++) {
        replica_edit_parameters(replica)[i] = (real)i;
    }
    for (size_t i = 0; i < layout.running; i++) {
        replica_edit_running(replica)[i] = (real)(i + 1);
    }
    if (has_scaler) {
        const float log_mel[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3};
        const uint8_t held_out[3] = {0};
        ScalerSums *sums = scaler_sums_new(6);
        CHECK(sums != NULL);
        scaler_sums_clip(sums, &shape, log_mel, 4, held_out);
        CHECK_OK(replica_set_scaler(replica, sums));
        scaler_sums_free(sums);
    }
    return replica;
}

static void write_one(const Replica *replica, bool is_inside, Buffer *out) {
    CHECK_OK(keras_file_write(replica, is_inside, out));
}

TEST(same_numbers_give_the_same_bytes) {
    Buffer first = BUFFER_EMPTY, second = BUFFER_EMPTY;
    Replica *replica = make_replica(false, true);
    write_one(replica, false, &first);
    write_one(replica, false, &second);
    CHECK_INT(first.size, second.size);
    CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
    buffer_done(&second);
    write_one(replica, true, &second);
    CHECK(second.size != first.size || memcmp(first.bytes, second.bytes, first.size) != 0);
    buffer_done(&first);
    buffer_done(&second);
    replica_free(replica);
}

TEST(a_kernel_is_the_transposed_weight) {
    Buffer bytes = BUFFER_EMPTY;
    Replica *replica = make_replica(true, false);
    write_one(replica, true, &bytes); // no scaler: nothing to put inside
    Hdf5File *file;
    Hdf5Array kernel, bias;
    CHECK_OK(hdf5_open("x.h5", bytes.bytes, bytes.size, &file));
    CHECK_OK(hdf5_read_floats(file, "/model_weights/dense_1/dense_1/kernel:0", 100, &kernel));
    CHECK_OK(hdf5_read_floats(file, "/model_weights/dense_1/dense_1/bias:0", 100, &bias));
    CHECK_INT(kernel.dimensions, 2);
    CHECK_INT(kernel.shape[0], 4);
    CHECK_INT(kernel.shape[1], 2);
    LayerPlace place = replica_layout(replica)->layer[1];
    const real *parameters = replica_parameters(replica);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 2; j++) {
            CHECK_NEAR(kernel.data[i * 2 + j], parameters[place.weight + j * 4 + i], 0);
        }
    }
    CHECK_NEAR(bias.data[1], parameters[place.bias + 1], 0);
    CHECK(hdf5_read_floats(file, "/model_weights/dense_1/dense_1/kernel:0", 7, &kernel) ==
          STATUS_LIMIT);
    CHECK(!hdf5_has_group(file, "/model_weights/batch_normalization"));
    CHECK(!hdf5_has_group(file, "/model_weights/scaler"));
    hdf5_array_done(&kernel);
    hdf5_array_done(&bias);
    hdf5_close(file);
    buffer_done(&bytes);
    replica_free(replica);
}

TEST(a_failing_allocation_leaks_nothing) {
    Replica *replica = make_replica(false, true);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Buffer bytes = BUFFER_EMPTY;
        mem_fail_after(n);
        Status status = keras_file_write(replica, true, &bytes);
        if (status == STATUS_OK) {
            status = keras_file_write_scaler(replica, &bytes);
        }
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        buffer_done(&bytes);
        CHECK_INT(mem_blocks(), before);
        if (!has_failed) {
            CHECK_OK(status);
            CHECK(n > 5);
            break;
        }
        CHECK(status == STATUS_MEMORY);
    }
    replica_free(replica);
}

TEST_MAIN_LIST(T(same_numbers_give_the_same_bytes) T(a_kernel_is_the_transposed_weight)
                   T(a_failing_allocation_leaks_nothing))
