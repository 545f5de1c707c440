// SPDX-License-Identifier: Apache-2.0
//
// What is binary: sound, .npy, pickles of scalers and zips of others, our own model files, and the
// blocks of numbers that workers send.
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/settings.h"
#include "common/engine/clip.h"
#include "common/engine/model_file.h"
#include "common/engine/network.h"
#include "common/model/replica.h"
#include "common/store/npy.h"
#include "common/store/pickle.h"
#include "coordinator/package/archive.h"
#include "tests/fuzz/blocks.h"
#include "tests/fuzz/fuzz.h"

// ---- clips ----

static ClipExtractor *extractors[2]; // log-mels, and vectors of the notebook

static bool read_clip(ClipExtractor *extractor, const char *name, const void *bytes, size_t size) {
    ClipFeatures features = {0};
    bool is_taken = clip_extract(extractor, name, bytes, size, &features) == STATUS_OK;
    clip_features_done(&features);
    return is_taken;
}

static bool read_sound(const char *bytes, size_t size) {
    return read_clip(extractors[0], "fuzz.wav", bytes, size);
}

static bool read_notebook(const char *bytes, size_t size) {
    return read_clip(extractors[1], "fuzz.flac", bytes, size);
}

static bool read_features(const char *bytes, size_t size) {
    return read_clip(extractors[0], "fuzz.npy", bytes, size);
}

// libsndfile writes into a Buffer.
typedef struct Sink {
    Buffer *out;
    sf_count_t at, start; // start: where the file begins in `out`
} Sink;

static sf_count_t sink_size(void *context) {
    const Sink *sink = context;
    return (sf_count_t)sink->out->size - sink->start;
}

static sf_count_t sink_seek(sf_count_t offset, int whence, void *context) {
    Sink *sink = context;
    sink->at = offset + (whence == SEEK_CUR ? sink->at : whence == SEEK_END ? sink_size(sink) : 0);
    return sink->at;
}

static sf_count_t sink_read(void *to, sf_count_t count, void *context) {
    Sink *sink = context;
    sf_count_t left = sink_size(sink) - sink->at;
    count = count < left ? count : left;
    memcpy(to, sink->out->bytes + sink->start + sink->at, (size_t)count);
    sink->at += count;
    return count;
}

static sf_count_t sink_write(const void *from, sf_count_t count, void *context) {
    Sink *sink = context;
    sf_count_t over = sink_size(sink) - sink->at;
    over = over < count ? over : count;
    memcpy(sink->out->bytes + sink->start + sink->at, from, (size_t)over);
    buffer_append(sink->out, (const char *)from + over, (size_t)(count - over));
    sink->at += count;
    return count;
}

static sf_count_t sink_tell(void *context) {
    return ((const Sink *)context)->at;
}

static void make_sound(int format, int channels, int frames, Buffer *out) {
    SF_VIRTUAL_IO io = {sink_size, sink_seek, sink_read, sink_write, sink_tell};
    SF_INFO info = {.samplerate = 16000, .channels = channels, .format = format};
    Sink sink = {.out = out, .start = (sf_count_t)out->size};
    SNDFILE *file = sf_open_virtual(&io, SFM_WRITE, &info, &sink);
    for (int i = 0; i < frames && file != NULL; i++) {
        float sample[2] = {(float)(i * 37 % 201 - 100) / 128, (float)(i % 50) / 64};
        sf_writef_float(file, sample, 1);
    }
    sf_close(file);
}

static bool sound_seed(uint32_t index, Buffer *out) {
    static const int FORMATS[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_16,   SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
        SF_FORMAT_WAV | SF_FORMAT_FLOAT,    SF_FORMAT_WAV | SF_FORMAT_PCM_U8,
        SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,
        SF_FORMAT_AIFF | SF_FORMAT_PCM_16,  SF_FORMAT_RF64 | SF_FORMAT_PCM_32};
    if (index >= sizeof FORMATS / sizeof FORMATS[0]) {
        return false;
    }
    make_sound(FORMATS[index], index % 3 == 1 ? 2 : 1, 2600, out);
    return true;
}

static bool notebook_seed(uint32_t index, Buffer *out) {
    if (index == 0) {
        make_sound(SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 1, 5000, out);
    }
    return index == 0;
}

// ---- .npy ----

static bool read_npy(const char *bytes, size_t size) {
    NpyArray array = {0};
    bool is_taken = npy_parse("fuzz", bytes, size, &array) == STATUS_OK;
    if (is_taken) {
        char shape[NPY_SHAPE_BYTES];
        npy_shape_text(array.dimensions, array.shape, shape);
    }
    npy_done(&array);
    return is_taken;
}

static void make_npy(NpyType type, int32_t dimensions, int64_t rows, int64_t columns, Buffer *out) {
    double *data = mem_new((size_t)(rows * columns), sizeof *data);
    NpyArray array = {.type = type, .dimensions = dimensions, .data = data};
    array.shape[0] = rows;
    array.shape[1] = columns;
    array.count = rows * columns;
    if (data != NULL) {
        npy_format(&array, out);
    }
    mem_free(data);
}

static bool features_seed(uint32_t index, Buffer *out) {
    if (index == 0) {
        make_npy(NPY_FLOAT32, 2, 7, 128, out);
    }
    return index == 0;
}

static bool npy_seed(uint32_t index, Buffer *out) {
    if (index > NPY_BOOL) {
        return false;
    }
    make_npy((NpyType)index, index % 3 == 0 ? 2 : 1, 3, index % 3 == 0 ? 2 : 1, out);
    return true;
}

// ---- pickles ----

static bool read_pickle(const char *bytes, size_t size) {
    StandardScaler scaler = {0};
    bool is_taken = pickle_read_scaler("fuzz", bytes, size, &scaler) == STATUS_OK;
    if (is_taken) {
        Buffer again = BUFFER_EMPTY;
        StandardScaler back = {0};
        pickle_write_scaler(&scaler, &again);
        if (pickle_read_scaler("again", buffer_cstr(&again), again.size, &back) != STATUS_OK) {
            fuzz_fail("a scaler that was read cannot be written and read");
        }
        standard_scaler_done(&back);
        buffer_done(&again);
        standard_scaler_done(&scaler);
    }
    return is_taken;
}

// Pickles of others, opcode by opcode, as protocol 4 has them.
#define CODES(out_, bytes_) buffer_append(out_, bytes_, sizeof(bytes_) - 1)

static void put_word(const char *text, Buffer *out) {
    char head[] = {'\x8c', (char)strlen(text)};
    buffer_append(out, head, sizeof head);
    buffer_text(out, text);
}

static void put_global(const char *module, const char *name, Buffer *out) {
    put_word(module, out);
    put_word(name, out);
    CODES(out, "\x93");
}

// numpy.dtype("f8", False, True), little-endian
static void put_dtype(const char *type, Buffer *out) {
    put_global("numpy", "dtype", out);
    put_word(type, out);
    CODES(out, "\x89\x88\x87R(K\x03");
    put_word("<", out);
    CODES(out, "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
}

// An array of one number, as numpy 2 pickles it.
static void put_array(const char *type, const void *number, Buffer *out) {
    char size = (char)(type[1] - '0');
    put_global("numpy._core.multiarray", "_reconstruct", out);
    put_global("numpy", "ndarray", out);
    CODES(out, "K\x00\x85"
               "C\x01"
               "b\x87R(K\x01K\x01\x85");
    put_dtype(type, out);
    CODES(out, "\x89"
               "C");
    buffer_append(out, &size, 1);
    buffer_append(out, number, (size_t)size);
    CODES(out, "tb");
}

// The same as joblib lays it: a wrapper, and behind it two bytes to align by and the number.
static void put_wrapped(const void *number, Buffer *out) {
    put_global("joblib.numpy_pickle", "NumpyArrayWrapper", out);
    CODES(out, ")\x81}(");
    put_word("shape", out);
    CODES(out, "K\x01\x85");
    put_word("dtype", out);
    put_dtype("f8", out);
    put_word("allow_mmap", out);
    CODES(out, "\x88");
    put_word("numpy_array_alignment_bytes", out);
    CODES(out, "K\x10ub"
               "\x02\xff\xff");
    buffer_append(out, number, 8);
}

// A StandardScaler of one feature whose three arrays are of that type, NULL: joblib's.
static void put_scaler(const char *type, const void *number, Buffer *out) {
    static const char *const ARRAYS[] = {"mean_", "var_", "scale_"};
    CODES(out, "\x80\x04");
    put_global("sklearn.preprocessing._data", "StandardScaler", out);
    CODES(out, "\x94)\x81\x94}\x94(");
    put_word("n_samples_seen_", out);
    CODES(out, "K\x02");
    for (int i = 0; i < 3; i++) {
        put_word(ARRAYS[i], out);
        if (type != NULL) {
            put_array(type, number, out);
        } else {
            put_wrapped(number, out);
        }
    }
    CODES(out, "ub.");
}

static bool pickle_seed(uint32_t index, Buffer *out) {
    static const double DOUBLE = 2;
    static const float FLOAT = 2;
    static const int32_t WHOLE = 2;
    static const struct {
        const char *type;
        const void *number;
    } OTHERS[] = {{"f8", &DOUBLE}, {"f4", &FLOAT}, {"i4", &WHOLE}, {NULL, &DOUBLE}};
    StandardScaler scaler;
    if (index > 0 && index <= sizeof OTHERS / sizeof OTHERS[0]) {
        put_scaler(OTHERS[index - 1].type, OTHERS[index - 1].number, out);
        return true;
    }
    if (index > 0 || standard_scaler_new(4, &scaler) != STATUS_OK) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        scaler.mean[i] = i;
        scaler.variance[i] = scaler.scale[i] = 1;
    }
    pickle_write_scaler(&scaler, out); // what we write ourselves
    standard_scaler_done(&scaler);
    return true;
}

// ---- models ----

static bool read_model(const char *bytes, size_t size) {
    ModelFile file;
    bool is_taken = model_file_read("fuzz", bytes, size, &file) == STATUS_OK;
    if (is_taken) {
        model_file_done(&file);
    }
    return is_taken;
}

// The file ends with a digest of all before it, which no mutation meets: it is put right here, so
// that what is behind it is tried too.
static bool read_signed_model(const char *bytes, size_t size) {
    Buffer whole = BUFFER_EMPTY;
    Digest digest = digest_of(bytes, size);
    buffer_append(&whole, bytes, size);
    buffer_append(&whole, digest.bytes, sizeof digest.bytes);
    bool is_taken = read_model(buffer_cstr(&whole), whole.size);
    buffer_done(&whole);
    return is_taken;
}

static Network *small_network(void) {
    static const float WEIGHT[] = {1, 0, 0, 1};
    Network *network = network_new(2);
    if (network != NULL && network_add_dense(network, 2, WEIGHT, NULL) == STATUS_OK &&
        network_add_activation(network, ACTIVATION_ELU, 1, 0) == STATUS_OK) {
        return network;
    }
    network_free(network);
    return NULL;
}

// With a replica of ours, and with a network from elsewhere.
static bool model_seed(uint32_t index, Buffer *out) {
    ModelFile file = model_file_blank();
    if (index > 1 || settings_preset("default", &file.settings) != STATUS_OK ||
        settings_assign(&file.settings, index == 0 ? "n_mels=2" : "n_mels=1") != STATUS_OK ||
        settings_assign(&file.settings, index == 0 ? "hidden=[3]" : "frames=2") != STATUS_OK) {
        return false;
    }
    snprintf(file.set, sizeof file.set, "dev");
    snprintf(file.machine, sizeof file.machine, "fan");
    file.thresholds[SCORE_MSE] = (ModelThreshold){1.5, "gamma"};
    Shape shape = shape_of_settings(&file.settings);
    if (index == 0) {
        file.replica = replica_new(&shape);
        replica_init(file.replica, 3, 4);
    } else {
        file.network = small_network();
        snprintf(file.settings.network, sizeof file.settings.network, "%032d", 1);
    }
    Buffer bytes = BUFFER_EMPTY;
    model_file_write(&file, &bytes);
    buffer_append(out, buffer_cstr(&bytes), bytes.size);
    buffer_done(&bytes);
    model_file_done(&file);
    return true;
}

static bool signed_model_seed(uint32_t index, Buffer *out) {
    bool is_there = model_seed(index, out);
    out->size -= is_there ? sizeof(Digest) : 0;
    return is_there;
}

// ---- zips ----

static bool read_zip(const char *bytes, size_t size) {
    Archive archive = ARCHIVE_EMPTY;
    bool is_taken = archive_read_zip("fuzz.zip", bytes, size, &archive) == STATUS_OK;
    archive_done(&archive);
    return is_taken;
}

static bool zip_seed(uint32_t index, Buffer *out) {
    static const char REPEATED[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    Archive archive = ARCHIVE_EMPTY;
    bool is_made = index == 0 && archive_add(&archive, "task2/a/b.csv", "x,1\n", 4) == STATUS_OK &&
                   archive_add(&archive, "c", REPEATED, sizeof REPEATED) == STATUS_OK;
    Buffer zip = BUFFER_EMPTY;
    if (is_made) {
        is_made = archive_write_zip(&archive, &zip) == STATUS_OK;
        buffer_append(out, buffer_cstr(&zip), zip.size);
    }
    buffer_done(&zip);
    archive_done(&archive);
    return is_made;
}

const FuzzReader FUZZ_READERS[] = {
    {"sound", read_sound, false, NULL, sound_seed},
    {"notebook", read_notebook, false, NULL, notebook_seed},
    {"features", read_features, false, NULL, features_seed},
    {"npy", read_npy, false, NULL, npy_seed},
    {"pickle", read_pickle, false, NULL, pickle_seed},
    {"model", read_model, false, NULL, model_seed},
    {"signed_model", read_signed_model, false, NULL, signed_model_seed},
    {"zip", read_zip, false, NULL, zip_seed},
    {"partial", read_partial, false, NULL, partial_seed},
    {"scaler_sums", read_scaler_sums, false, NULL, scaler_sums_seed},
    {"validation", read_validation, false, NULL, validation_seed},
    {"replica", read_replica, false, NULL, replica_seed},
    {"residuals", read_residuals, false, NULL, residuals_seed},
    {"yardsticks", read_yardsticks, false, NULL, yardsticks_seed},
    {"portrait", read_portrait, false, NULL, portrait_seed},
    {"exploration", read_exploration, false, NULL, exploration_seed},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
    blocks_begin();
    static const char *const PRESETS[] = {"default", "notebook"};
    for (int i = 0; i < 2; i++) {
        Settings settings;
        if (settings_preset(PRESETS[i], &settings) != STATUS_OK ||
            (extractors[i] = clip_extractor_new(&settings)) == NULL) {
            fuzz_fail("no extractor");
        }
    }
}

void fuzz_end(void) {
    clip_extractor_free(extractors[0]);
    clip_extractor_free(extractors[1]);
}
