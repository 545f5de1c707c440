// SPDX-License-Identifier: Apache-2.0
#include "common/store/pickle_values.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { VALUES_PER_BLOCK = 256, NAME_BYTES = 128 };

static const struct {
    const char *module, *name;
    Name is;
} NAMES[] = {
    {"sklearn.preprocessing._data", "StandardScaler", NAME_SCALER},
    {"sklearn.preprocessing.data", "StandardScaler", NAME_SCALER},
    {"sklearn.preprocessing", "StandardScaler", NAME_SCALER},
    {"numpy.core.multiarray", "_reconstruct", NAME_RECONSTRUCT},
    {"numpy._core.multiarray", "_reconstruct", NAME_RECONSTRUCT},
    {"numpy.core.multiarray", "scalar", NAME_SCALAR},
    {"numpy._core.multiarray", "scalar", NAME_SCALAR},
    {"numpy", "ndarray", NAME_NDARRAY},
    {"numpy", "dtype", NAME_DTYPE},
    {"numpy", "array", NAME_ARRAY},
    {"numpy", "frombuffer", NAME_FROMBUFFER},
    {"numpy.core.numeric", "_frombuffer", NAME_FROM_BUFFER},
    {"numpy._core.numeric", "_frombuffer", NAME_FROM_BUFFER},
    {"_codecs", "encode", NAME_ENCODE},
    {"joblib.numpy_pickle", "NumpyArrayWrapper", NAME_WRAPPER},
    {"sklearn", "__version__", NAME_VERSION},
};

struct ValueBlock {
    struct ValueBlock *before;
    Value values[VALUES_PER_BLOCK];
};

// ---- values ----

Value *pickle_fail(Reader *reader, const char *what) {
    if (reader->status == STATUS_OK) {
        reader->status = status_set(STATUS_FORMAT,
                                    "%s: %s; a pickled StandardScaler is expected, as joblib.dump "
                                    "or pickle.dump write it",
                                    reader->name, what);
    }
    return NULL;
}

Value *pickle_no_memory(Reader *reader) {
    if (reader->status == STATUS_OK) {
        reader->status = STATUS_MEMORY;
    }
    return NULL;
}

Value *value_new(Reader *reader, ValueKind kind) {
    uint32_t place = reader->value_count % VALUES_PER_BLOCK;
    if (reader->value_count == VALUES_MOST) {
        return pickle_fail(reader, "too many values");
    }
    if (place == 0) {
        ValueBlock *block = mem_new(1, sizeof *block);
        if (block == NULL) {
            return pickle_no_memory(reader);
        }
        block->before = reader->blocks;
        reader->blocks = block;
    }
    reader->value_count++;
    Value *value = &reader->blocks->values[place];
    value->kind = kind;
    return value;
}

void pickle_push(Reader *reader, Value *value) {
    if (value == NULL) {
        return; // the reason is set
    }
    if (reader->depth == VALUES_MOST) {
        pickle_fail(reader, "too many values");
        return;
    }
    reader->stack[reader->depth++] = value;
}

Value *pickle_pop(Reader *reader) {
    if (reader->depth == 0 || reader->stack[reader->depth - 1]->kind == VALUE_MARK) {
        return pickle_fail(reader, "a damaged pickle");
    }
    return reader->stack[--reader->depth];
}

Value *pickle_top(Reader *reader) {
    Value *value = pickle_pop(reader);
    reader->depth += value != NULL;
    return value;
}

void value_add(Reader *reader, Value *list, Value *item) {
    if (item == NULL || list == NULL) {
        return;
    }
    if (!mem_grow(&list->items, list->count, &list->capacity, sizeof *list->items)) {
        pickle_no_memory(reader);
        return;
    }
    list->items[list->count++] = item;
}

uint32_t pickle_above_mark(Reader *reader) {
    uint32_t i = reader->depth;
    while (i > 0 && reader->stack[i - 1]->kind != VALUE_MARK) {
        i--;
    }
    if (i == 0) {
        pickle_fail(reader, "a damaged pickle");
    }
    return i;
}

Value *pickle_tuple_from(Reader *reader, uint32_t first) {
    Value *tuple = value_new(reader, VALUE_TUPLE);
    for (uint32_t i = first; i < reader->depth && tuple != NULL; i++) {
        value_add(reader, tuple, reader->stack[i]);
    }
    reader->depth = first;
    return tuple;
}

void pickle_free_values(Reader *reader) {
    while (reader->blocks != NULL) {
        ValueBlock *block = reader->blocks;
        reader->blocks = block->before;
        for (int i = 0; i < VALUES_PER_BLOCK; i++) {
            mem_free(block->values[i].owned);
            mem_free(block->values[i].array);
            mem_free(block->values[i].items);
        }
        mem_free(block);
    }
    mem_free(reader->stack);
}

// ---- bytes ----

const unsigned char *pickle_take(Reader *reader, uint64_t size) {
    if ((uint64_t)(reader->end - reader->at) < size) {
        pickle_fail(reader, "the file is cut off");
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += size;
    return bytes;
}

uint64_t pickle_take_whole(Reader *reader, int bytes) {
    const unsigned char *from = pickle_take(reader, (uint64_t)bytes);
    uint64_t value = 0;
    for (int i = bytes; from != NULL && i-- > 0;) {
        value = value << 8 | from[i];
    }
    return value;
}

void pickle_push_number(Reader *reader, double number) {
    Value *value = value_new(reader, VALUE_NUMBER);
    if (value != NULL) {
        value->number = number;
        pickle_push(reader, value);
    }
}

void pickle_push_text(Reader *reader, uint64_t size) {
    const unsigned char *bytes = pickle_take(reader, size);
    Value *value = bytes != NULL ? value_new(reader, VALUE_TEXT) : NULL;
    if (value != NULL) {
        value->text = (const char *)bytes;
        value->count = (uint32_t)size; // no file is larger
        pickle_push(reader, value);
    }
}

void pickle_push_long(Reader *reader) {
    uint64_t size = pickle_take_whole(reader, 1);
    if (size > 8) {
        pickle_fail(reader, "a number that is too large");
        return;
    }
    uint64_t value = pickle_take_whole(reader, (int)size);
    if (size > 0 && size < 8 && (value >> (8 * size - 1) & 1) != 0) {
        value |= ~(uint64_t)0 << (8 * size); // two's complement
    }
    pickle_push_number(reader, (double)(int64_t)value);
}

void pickle_push_float(Reader *reader) {
    const unsigned char *bytes = pickle_take(reader, 8);
    uint64_t bits = 0;
    double value;
    for (int i = 0; bytes != NULL && i < 8; i++) {
        bits = bits << 8 | bytes[i];
    }
    memcpy(&value, &bits, sizeof value);
    pickle_push_number(reader, value);
}

bool value_is_text(const Value *value, const char *text) {
    return value->kind == VALUE_TEXT && value->count == strlen(text) &&
           memcmp(value->text, text, value->count) == 0;
}

// ---- names ----

static void push_name(Reader *reader, const char *module, size_t module_size, const char *name,
                      size_t name_size) {
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strlen(NAMES[i].module) == module_size && strlen(NAMES[i].name) == name_size &&
            memcmp(NAMES[i].module, module, module_size) == 0 &&
            memcmp(NAMES[i].name, name, name_size) == 0) {
            bool is_version = NAMES[i].is == NAME_VERSION;
            Value *value = value_new(reader, is_version ? VALUE_TEXT : VALUE_NAME);
            if (value != NULL) {
                value->name = NAMES[i].is;
                value->text = "";
                pickle_push(reader, value);
            }
            return;
        }
    }
    char raw[NAME_BYTES], shown[NAME_BYTES], what[NAME_BYTES + 64];
    snprintf(raw, sizeof raw, "%.*s.%.*s", (int)(module_size < 48 ? module_size : 48), module,
             (int)(name_size < 48 ? name_size : 48), name);
    text_fit(shown, sizeof shown, raw);
    snprintf(what, sizeof what, "it asks for %s, and nothing of it was run",
             text_is_clean(shown) ? shown : "an odd name");
    pickle_fail(reader, what);
}

static bool take_line(Reader *reader, const char **ret_line, size_t *ret_size) {
    const unsigned char *end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    if (end == NULL) {
        pickle_fail(reader, "the file is cut off");
        return false;
    }
    *ret_line = (const char *)reader->at;
    *ret_size = (size_t)(end - reader->at);
    reader->at = end + 1;
    return true;
}

void pickle_global(Reader *reader) {
    const char *module, *name;
    size_t module_size, name_size;
    if (take_line(reader, &module, &module_size) && take_line(reader, &name, &name_size)) {
        push_name(reader, module, module_size, name, name_size);
    }
}

void pickle_stack_global(Reader *reader) {
    const Value *name = pickle_pop(reader), *module = name != NULL ? pickle_pop(reader) : NULL;
    if (module == NULL) {
        return;
    }
    if (module->kind != VALUE_TEXT || name->kind != VALUE_TEXT) {
        pickle_fail(reader, "a damaged pickle");
        return;
    }
    push_name(reader, module->text, module->count, name->text, name->count);
}

// ---- arrays ----

bool value_set_type(Reader *reader, Value *type, const Value *text) {
    char code[4] = "";
    if (text->kind != VALUE_TEXT || text->count < 2 || text->count > 3) {
        return pickle_fail(reader, "an array of another type than numbers") != NULL;
    }
    memcpy(code, text->text, text->count);
    const char *plain = strchr("<|=", code[0]) != NULL ? code + 1 : code;
    type->type = plain[0];
    type->width = plain[1] - '0';
    bool is_known = plain[0] != '\0' && strchr("fiub", plain[0]) != NULL && plain[2] == '\0' &&
                    (type->width == 8 || type->width == 4 || (type->width == 1 && *plain != 'f'));
    return is_known || pickle_fail(reader, "an array of another type than numbers") != NULL;
}

static double number_at(const Value *type, const char *bytes) {
    float narrow;
    double real;
    int64_t whole = 0;
    if (type->type == 'f' && type->width == 4) {
        memcpy(&narrow, bytes, sizeof narrow);
        return (double)narrow;
    }
    if (type->type == 'f') {
        memcpy(&real, bytes, sizeof real);
        return real;
    }
    memcpy(&whole, bytes, (size_t)type->width);
    if (type->type == 'i' && type->width == 4) {
        return (double)(int32_t)whole;
    }
    return type->type == 'i' && type->width == 1 ? (double)(int8_t)whole : (double)whole;
}

bool value_fill_array(Reader *reader, Value *array, const Value *type, const char *bytes,
                      uint64_t size) {
    if (type->kind != VALUE_TYPE || size % (uint64_t)type->width != 0 ||
        size / (uint64_t)type->width > LIMIT_VECTOR) {
        pickle_fail(reader, "an array that is too large, or damaged");
        return false;
    }
    uint32_t count = (uint32_t)(size / (uint64_t)type->width);
    double *numbers = mem_new(count > 0 ? count : 1, sizeof *numbers);
    if (numbers == NULL) {
        pickle_no_memory(reader);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = number_at(type, bytes + (size_t)i * (size_t)type->width);
    }
    mem_free(array->array);
    array->array = numbers;
    array->count = count;
    return true;
}

bool pickle_count_shape(Reader *reader, const Value *shape, uint64_t *ret_count) {
    bool is_one = shape->kind == VALUE_TUPLE && shape->count == 1 &&
                  shape->items[0]->kind == VALUE_NUMBER && shape->items[0]->number >= 0 &&
                  shape->items[0]->number <= LIMIT_VECTOR;
    if (!is_one && !(shape->kind == VALUE_TUPLE && shape->count == 0)) {
        pickle_fail(reader, "an array of another shape than a row");
        return false;
    }
    *ret_count = is_one ? (uint64_t)shape->items[0]->number : 1;
    return true;
}

void pickle_fill_wrapper(Reader *reader, Value *wrapper, const Value *state) {
    const Value *shape = NULL, *type = NULL;
    bool is_aligned = false;
    for (uint32_t i = 0; i + 1 < state->count; i += 2) {
        const Value *key = state->items[i], *value = state->items[i + 1];
        shape = value_is_text(key, "shape") ? value : shape;
        type = value_is_text(key, "dtype") ? value : type;
        is_aligned |=
            value_is_text(key, "numpy_array_alignment_bytes") && value->kind == VALUE_NUMBER;
    }
    uint64_t count = 0;
    if (shape == NULL || type == NULL || type->kind != VALUE_TYPE) {
        pickle_fail(reader, "a joblib array without shape or type");
        return;
    }
    if (!pickle_count_shape(reader, shape, &count)) {
        return;
    }
    if (is_aligned) {
        (void)pickle_take(reader, pickle_take_whole(reader, 1));
    }
    uint64_t size = count * (uint64_t)type->width;
    const unsigned char *bytes = pickle_take(reader, size);
    if (bytes != NULL && value_fill_array(reader, wrapper, type, (const char *)bytes, size)) {
        wrapper->kind = VALUE_ARRAY;
    }
}

void pickle_fill_state(Reader *reader, Value *array, const Value *state) {
    uint64_t count = 0;
    bool is_fine = state->kind == VALUE_TUPLE && state->count == 5 &&
                   state->items[4]->kind == VALUE_TEXT && state->items[2]->kind == VALUE_TYPE;
    if (!is_fine) {
        pickle_fail(reader, "an array in an unknown form");
        return;
    }
    const Value *bytes = state->items[4];
    if (pickle_count_shape(reader, state->items[1], &count) &&
        count * (uint64_t)state->items[2]->width != bytes->count) {
        pickle_fail(reader, "an array whose shape does not fit its bytes");
        return;
    }
    if (reader->status == STATUS_OK) {
        value_fill_array(reader, array, state->items[2], bytes->text, bytes->count);
    }
}
