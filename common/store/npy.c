// SPDX-License-Identifier: Apache-2.0
#include "common/store/npy.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

#define MAGIC            "\x93NUMPY"
#define MAGIC_BYTES      6
#define HEADER_BYTES_MAX 65535 // the most that format 1.0 can say; eight dimensions need 300
#define DATA_ALIGNMENT   64
#define GROWTH_DIGITS    21 // numpy leaves room for the first dimension to grow to this many digits

static const struct {
    const char *name;
    size_t bytes;
} TYPES[] = {
    [NPY_FLOAT32] = {"<f4", 4}, [NPY_FLOAT64] = {"<f8", 8}, [NPY_INT32] = {"<i4", 4},
    [NPY_INT64] = {"<i8", 8},   [NPY_UINT32] = {"<u4", 4},  [NPY_BOOL] = {"|b1", 1},
};
#define TYPE_COUNT (sizeof TYPES / sizeof TYPES[0])

// The header is one Python dictionary. A Cursor walks over it and never passes its end; `failed`
// is sticky, so that a caller reads all it expects and checks once.
typedef struct Cursor {
    const char *at, *end;
    bool failed;
} Cursor;

typedef struct Header {
    char type_text[8];
    NpyType type;
    bool is_fortran;
    int32_t dimensions;
    int64_t shape[NPY_DIMENSIONS_MAX];
    bool has_type, has_order, has_shape;
} Header;

static void skip_space(Cursor *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n')) {
        cursor->at++;
    }
}

// Whether the next character is `wanted`, which is then taken.
static bool take(Cursor *cursor, char wanted) {
    skip_space(cursor);
    if (cursor->failed || cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

static void need(Cursor *cursor, char wanted) {
    if (!take(cursor, wanted)) {
        cursor->failed = true;
    }
}

static bool take_word(Cursor *cursor, const char *word) {
    size_t length = strlen(word);
    skip_space(cursor);
    if (cursor->failed || (size_t)(cursor->end - cursor->at) < length ||
        memcmp(cursor->at, word, length) != 0) {
        return false;
    }
    cursor->at += length;
    return true;
}

// A quoted text without escapes, cut never: one that does not fit fails.
static void read_text(Cursor *cursor, char *out, size_t size) {
    skip_space(cursor);
    size_t used = 0;
    char quote = cursor->at < cursor->end ? *cursor->at : '\0';
    if (quote != '\'' && quote != '"') {
        cursor->failed = true;
        return;
    }
    cursor->at++;
    while (cursor->at < cursor->end && *cursor->at != quote && used + 1 < size) {
        out[used++] = *cursor->at++;
    }
    out[used] = '\0';
    need(cursor, quote);
}

static int64_t read_size(Cursor *cursor) {
    skip_space(cursor);
    int64_t value = 0;
    const char *start = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        if (value > (INT64_MAX - 9) / 10) {
            cursor->failed = true;
            return 0;
        }
        value = value * 10 + (*cursor->at++ - '0');
    }
    if (cursor->at == start) {
        cursor->failed = true;
    }
    (void)take(cursor, 'L'); // Python 2 wrote long integers so
    return value;
}

static void read_shape(Cursor *cursor, Header *header) {
    need(cursor, '(');
    while (!cursor->failed && !take(cursor, ')')) {
        if (header->dimensions == NPY_DIMENSIONS_MAX) {
            cursor->failed = true;
            return;
        }
        header->shape[header->dimensions++] = read_size(cursor);
        if (!take(cursor, ',')) {
            need(cursor, ')');
            return;
        }
    }
}

static void read_entry(Cursor *cursor, Header *header) {
    char key[16] = "";
    read_text(cursor, key, sizeof key);
    need(cursor, ':');
    if (strcmp(key, "descr") == 0 && !header->has_type) {
        header->has_type = true;
        read_text(cursor, header->type_text, sizeof header->type_text);
    } else if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
        header->has_order = true;
        header->is_fortran = take_word(cursor, "True");
        if (!header->is_fortran && !take_word(cursor, "False")) {
            cursor->failed = true;
        }
    } else if (strcmp(key, "shape") == 0 && !header->has_shape) {
        header->has_shape = true;
        read_shape(cursor, header);
    } else {
        cursor->failed = true;
    }
}

static Status parse_header(const char *name, const char *text, size_t size, Header *header) {
    Cursor cursor = {text, text + size, false};
    need(&cursor, '{');
    while (!cursor.failed && !take(&cursor, '}')) {
        read_entry(&cursor, header);
        if (!take(&cursor, ',')) {
            need(&cursor, '}');
            break;
        }
    }
    skip_space(&cursor);
    if (cursor.failed || cursor.at != cursor.end || !header->has_type || !header->has_order ||
        !header->has_shape) {
        return status_set(STATUS_FORMAT, "%s: the .npy header is damaged", name);
    }
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(header->type_text, TYPES[i].name) == 0) {
            header->type = (NpyType)i;
            return STATUS_OK;
        }
    }
    return status_set(STATUS_FORMAT,
                      "%s: .npy of type %s, accepted are <f4, <f8, <i4, <i8, <u4 and |b1", name,
                      header->type_text);
}

// Where the header's text begins and how long it is.
static Status find_header(const char *name, const unsigned char *bytes, size_t size,
                          size_t *ret_start, size_t *ret_length) {
    if (size < MAGIC_BYTES + 4 || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0) {
        return status_set(STATUS_FORMAT, "%s is no .npy file", name);
    }
    unsigned major = bytes[6], minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0) {
        return status_set(STATUS_FORMAT, "%s: .npy format %u.%u, accepted are 1.0, 2.0 and 3.0",
                          name, major, minor);
    }
    size_t start = major == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (major > 1 && size >= start) {
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (size < start || length > HEADER_BYTES_MAX || length > size - start) {
        return status_set(STATUS_FORMAT, "%s: the .npy header is cut short or damaged", name);
    }
    *ret_start = start;
    *ret_length = length;
    return STATUS_OK;
}

// Elements of the array, once they are known to be as many as the bytes that follow the header.
static Status check_size(const char *name, const Header *header, size_t present,
                         int64_t *ret_count) {
    uint64_t count = 1;
    bool is_empty = false, is_beyond = false;
    for (int32_t i = 0; i < header->dimensions; i++) {
        uint64_t extent = (uint64_t)header->shape[i];
        is_empty = is_empty || extent == 0;
        is_beyond = is_beyond || (extent != 0 && count > INT64_MAX / extent);
        count = is_beyond || extent == 0 ? count : count * extent;
    }
    count = is_empty ? 0 : count;
    size_t bytes = TYPES[header->type].bytes;
    if ((is_beyond && !is_empty) || count > present / bytes || count * bytes != present) {
        char shape[NPY_SHAPE_BYTES];
        npy_shape_text(header->dimensions, header->shape, shape);
        return status_set(STATUS_FORMAT,
                          "%s: the .npy header promises shape %s of %s, %zu bytes of data are "
                          "there",
                          name, shape, header->type_text, present);
    }
    *ret_count = (int64_t)count;
    return STATUS_OK;
}

// (rows, columns) stored column by column -> row by row.
static void transpose(char *out, const char *in, size_t rows, size_t columns, size_t bytes) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            memcpy(out + (r * columns + c) * bytes, in + (c * rows + r) * bytes, bytes);
        }
    }
}

Status npy_parse(const char *name, const void *bytes, size_t size, NpyArray *ret_array) {
    size_t start = 0, length = 0;
    Status status = find_header(name, bytes, size, &start, &length);
    if (status != STATUS_OK) {
        return status;
    }
    Header header = {0};
    status = parse_header(name, (const char *)bytes + start, length, &header);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t count = 0;
    status = check_size(name, &header, size - start - length, &count);
    if (status != STATUS_OK) {
        return status;
    }
    if (header.is_fortran && header.dimensions > 2) {
        return status_set(STATUS_FORMAT,
                          "%s: .npy in Fortran order with %d dimensions, at most 2 are accepted",
                          name, header.dimensions);
    }
    size_t element = TYPES[header.type].bytes;
    char *data = mem_new_aligned((size_t)count, element);
    if (data == NULL) {
        return STATUS_MEMORY;
    }
    const char *from = (const char *)bytes + start + length;
    if (header.is_fortran && header.dimensions == 2) {
        transpose(data, from, (size_t)header.shape[0], (size_t)header.shape[1], element);
    } else if (count > 0) {
        memcpy(data, from, (size_t)count * element);
    }
    *ret_array = (NpyArray){
        .type = header.type, .dimensions = header.dimensions, .count = count, .data = data};
    memcpy(ret_array->shape, header.shape, sizeof header.shape);
    return STATUS_OK;
}

Status npy_read(const char *path, NpyArray *ret_array) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = file_read(path, LIMIT_CLIP_BYTES, &bytes);
    if (status == STATUS_OK) {
        status = npy_parse(path, buffer_cstr(&bytes), bytes.size, ret_array);
    }
    buffer_done(&bytes);
    return status;
}

void npy_done(NpyArray *array) {
    mem_free(array->data);
    *array = (NpyArray){0};
}

const char *npy_type_name(NpyType type) {
    return TYPES[type].name;
}

void npy_shape_text(int32_t dimensions, const int64_t *shape, char out[NPY_SHAPE_BYTES]) {
    size_t used = 0;
    out[used++] = '(';
    for (int32_t i = 0; i < dimensions; i++) {
        const char *after = i + 1 < dimensions ? ", " : dimensions == 1 ? "," : "";
        used += (size_t)snprintf(out + used, NPY_SHAPE_BYTES - used, "%lld%s", (long long)shape[i],
                                 after);
    }
    snprintf(out + used, NPY_SHAPE_BYTES - used, ")");
}

void npy_format(const NpyArray *array, Buffer *out) {
    assert(array->dimensions >= 0 && array->dimensions <= NPY_DIMENSIONS_MAX);
    char shape[NPY_SHAPE_BYTES], text[512];
    npy_shape_text(array->dimensions, array->shape, shape);
    int room = 0;
    size_t count = 1;
    if (array->dimensions > 0) {
        room = GROWTH_DIGITS - snprintf(NULL, 0, "%lld", (long long)array->shape[0]);
    }
    for (int32_t i = 0; i < array->dimensions; i++) {
        count *= (size_t)array->shape[i];
    }
    int used =
        snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }%*s",
                 TYPES[array->type].name, shape, room, "");
    // Spaces up to the boundary, the newline counted; on a boundary numpy adds a whole one.
    int padding = DATA_ALIGNMENT - (MAGIC_BYTES + 4 + used + 1) % DATA_ALIGNMENT;
    used += snprintf(text + used, sizeof text - (size_t)used, "%*s\n", padding, "");
    unsigned char start[] = {0x93,
                             'N',
                             'U',
                             'M',
                             'P',
                             'Y',
                             1,
                             0,
                             (unsigned char)(used & 255),
                             (unsigned char)(used >> 8)};
    buffer_append(out, start, sizeof start);
    buffer_append(out, text, (size_t)used);
    if (count > 0) {
        buffer_append(out, array->data, count * TYPES[array->type].bytes);
    }
}

// `array` borrows its data from a caller who keeps them.
static Status write_array(const char *path, NpyArray *array, const int64_t *shape) {
    assert(array->dimensions >= 0 && array->dimensions <= NPY_DIMENSIONS_MAX);
    for (int32_t i = 0; i < array->dimensions; i++) {
        array->shape[i] = shape[i];
    }
    Buffer bytes = BUFFER_EMPTY;
    npy_format(array, &bytes);
    Status status = bytes.status;
    if (status == STATUS_OK) {
        status = file_update(path, &bytes);
    }
    buffer_done(&bytes);
    return status;
}

Status npy_write_float32(const char *path, const float *data, int32_t dimensions,
                         const int64_t *shape) {
    NpyArray array = {.type = NPY_FLOAT32, .dimensions = dimensions, .data = (void *)data};
    return write_array(path, &array, shape);
}

Status npy_write_float64(const char *path, const double *data, int32_t dimensions,
                         const int64_t *shape) {
    NpyArray array = {.type = NPY_FLOAT64, .dimensions = dimensions, .data = (void *)data};
    return write_array(path, &array, shape);
}
