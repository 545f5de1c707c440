// SPDX-License-Identifier: Apache-2.0
//
// How it works. A pickle's opcodes push and combine values on a stack. Here a value is data alone:
// a "call" is recognised by its name from a short table and makes what that name would make of such
// arguments, an array or a number; every other name ends the reading. Values lie in blocks that
// stay where they are, and refer only to older ones, but that a list or dictionary may be put into
// itself, which nothing here follows.
#include "common/store/pickle.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/pickle_values.h"

// ---- calls ----

// Characters up to U+00FF as bytes: how protocol 2 writes bytes.
static Value *encode(Reader *reader, const Value *text) {
    Value *bytes = value_new(reader, VALUE_TEXT);
    char *owned = text->kind == VALUE_TEXT ? mem_new((size_t)text->count + 1, 1) : NULL;
    if (bytes == NULL || text->kind != VALUE_TEXT) {
        mem_free(owned);
        return bytes == NULL ? NULL : pickle_fail(reader, "a damaged pickle");
    }
    if (owned == NULL) {
        return pickle_no_memory(reader);
    }
    bytes->owned = owned;
    bytes->text = owned;
    for (uint32_t i = 0; i < text->count; i++) {
        unsigned char c = (unsigned char)text->text[i];
        if (c >= 0x80) {
            bool is_pair = (c == 0xc2 || c == 0xc3) && i + 1 < text->count;
            if (!is_pair) {
                return pickle_fail(reader, "a damaged pickle");
            }
            c = (unsigned char)((c & 3) << 6 | ((unsigned char)text->text[++i] & 0x3f));
        }
        owned[bytes->count++] = (char)c;
    }
    return bytes;
}

static Value *array_of_list(Reader *reader, const Value *list) {
    bool is_list = list->kind == VALUE_LIST || list->kind == VALUE_TUPLE;
    Value *array = value_new(reader, VALUE_ARRAY);
    if (!is_list || list->count > LIMIT_VECTOR || array == NULL) {
        return array == NULL ? NULL
                             : pickle_fail(reader, "an array of something else than numbers");
    }
    array->array = mem_new(list->count > 0 ? list->count : 1, sizeof *array->array);
    if (array->array == NULL) {
        return pickle_no_memory(reader);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != VALUE_NUMBER) {
            return pickle_fail(reader, "an array of something else than numbers");
        }
        array->array[i] = list->items[i]->number;
    }
    array->count = list->count;
    return array;
}

static Value *type_of(Reader *reader, const Value *text) {
    Value *type = text->kind == VALUE_TEXT ? value_new(reader, VALUE_TYPE) : NULL;
    if (type == NULL) {
        return pickle_fail(reader, "an array of another type than numbers");
    }
    return value_set_type(reader, type, text) ? type : NULL;
}

static Value *array_of_bytes(Reader *reader, const Value *args) {
    const Value *type = args->count > 1 ? args->items[1] : NULL;
    type = type != NULL && type->kind == VALUE_TEXT ? type_of(reader, type) : type;
    Value *array = type != NULL ? value_new(reader, VALUE_ARRAY) : NULL;
    uint64_t count;
    if (array == NULL || args->items[0]->kind != VALUE_TEXT) {
        return pickle_fail(reader, "an array in an unknown form");
    }
    if (args->count > 2 && !pickle_count_shape(reader, args->items[2], &count)) {
        return NULL;
    }
    return value_fill_array(reader, array, type, args->items[0]->text, args->items[0]->count)
               ? array
               : NULL;
}

static Value *scalar_of(Reader *reader, const Value *args) {
    Value *array =
        array_of_bytes(reader, &(Value){.kind = VALUE_TUPLE,
                                        .count = 2,
                                        .items = (Value *[]){args->items[1], args->items[0]}});
    if (array == NULL || array->count != 1) {
        return pickle_fail(reader, "a number in an unknown form");
    }
    Value *number = value_new(reader, VALUE_NUMBER);
    if (number != NULL) {
        number->number = array->array[0];
    }
    return number;
}

static Value *call(Reader *reader, Name name, const Value *args) {
    switch (name) {
    case NAME_RECONSTRUCT:
        return value_new(reader, VALUE_ARRAY);
    case NAME_DTYPE:
        return args->count > 0 ? type_of(reader, args->items[0]) : pickle_fail(reader, "no type");
    case NAME_ARRAY:
        return args->count > 0 ? array_of_list(reader, args->items[0])
                               : pickle_fail(reader, "no array");
    case NAME_ENCODE:
        return args->count > 0 ? encode(reader, args->items[0]) : pickle_fail(reader, "no bytes");
    case NAME_SCALAR:
        return args->count == 2 ? scalar_of(reader, args) : pickle_fail(reader, "no number");
    case NAME_FROMBUFFER:
    case NAME_FROM_BUFFER:
        return args->count > 0 ? array_of_bytes(reader, args) : pickle_fail(reader, "no array");
    case NAME_SCALER:
        return value_new(reader, VALUE_SCALER);
    case NAME_WRAPPER:
        return value_new(reader, VALUE_WRAPPER);
    case NAME_NDARRAY:
    case NAME_VERSION:
        break;
    }
    return pickle_fail(reader, "a call that no scaler needs");
}

static void do_call(Reader *reader, bool is_new) {
    const Value *args = pickle_pop(reader), *name = args != NULL ? pickle_pop(reader) : NULL;
    if (name == NULL) {
        return;
    }
    bool is_class =
        name->kind == VALUE_NAME && (name->name == NAME_SCALER || name->name == NAME_WRAPPER);
    if (name->kind != VALUE_NAME || args->kind != VALUE_TUPLE || (is_new && !is_class)) {
        pickle_fail(reader, "a call that no scaler needs");
        return;
    }
    pickle_push(reader, call(reader, name->name, args));
}

static void do_build(Reader *reader) {
    const Value *state = pickle_pop(reader);
    Value *object = state != NULL ? pickle_top(reader) : NULL;
    if (object == NULL) {
        return;
    }
    bool is_dict = state->kind == VALUE_DICT;
    if (object->kind == VALUE_SCALER && is_dict) {
        object->state = state;
    } else if (object->kind == VALUE_WRAPPER && is_dict) {
        pickle_fill_wrapper(reader, object, state);
    } else if (object->kind == VALUE_ARRAY) {
        pickle_fill_state(reader, object, state);
    } else if (object->kind == VALUE_TYPE && state->kind == VALUE_TUPLE && state->count > 1) {
        const Value *order = state->items[1];
        if (!value_is_text(order, "<") && !value_is_text(order, "|") &&
            !value_is_text(order, "=")) {
            pickle_fail(reader, "an array in big-endian order");
        }
    } else {
        pickle_fail(reader, "a state that no scaler has");
    }
}

// ---- containers ----

// The items above the mark go into what lies below it.
static void do_append(Reader *reader, ValueKind kind, uint32_t first, bool has_mark) {
    uint32_t below = has_mark ? first - 1 : first;
    Value *container = below > 0 ? reader->stack[below - 1] : NULL;
    uint32_t count = reader->depth - first;
    if (container == NULL || container->kind != kind || (kind == VALUE_DICT && count % 2 != 0)) {
        pickle_fail(reader, "a damaged pickle");
        return;
    }
    for (uint32_t i = first; i < reader->depth; i++) {
        value_add(reader, container, reader->stack[i]);
    }
    reader->depth = below;
}

static void do_mark_append(Reader *reader, ValueKind kind) {
    uint32_t first = pickle_above_mark(reader);
    if (reader->status == STATUS_OK) {
        do_append(reader, kind, first, true);
    }
}

static void do_few(Reader *reader, ValueKind kind, uint32_t count) {
    if (reader->depth < count) {
        pickle_fail(reader, "a damaged pickle");
    } else if (kind == VALUE_TUPLE) {
        pickle_push(reader, pickle_tuple_from(reader, reader->depth - count));
    } else {
        do_append(reader, kind, reader->depth - count, false);
    }
}

static void do_tuple(Reader *reader) {
    uint32_t first = pickle_above_mark(reader);
    if (reader->status == STATUS_OK) {
        Value *tuple = pickle_tuple_from(reader, first);
        reader->depth--; // the mark
        pickle_push(reader, tuple);
    }
}

static void put_memo(Reader *reader, uint64_t index) {
    Value *value = pickle_top(reader);
    if (index >= MEMO_MOST) {
        pickle_fail(reader, "too many values are remembered");
    } else if (value != NULL) {
        reader->memo[index] = value;
    }
}

static void get_memo(Reader *reader, uint64_t index) {
    if (index >= MEMO_MOST || reader->memo[index] == NULL) {
        pickle_fail(reader, "a damaged pickle");
    } else {
        pickle_push(reader, reader->memo[index]);
    }
}

// ---- opcodes ----

static void do_data(Reader *reader, int opcode) {
    switch (opcode) {
    case 'N':
        pickle_push(reader, value_new(reader, VALUE_NONE));
        break;
    case 0x88: // NEWTRUE
    case 0x89: // NEWFALSE
        pickle_push_number(reader, opcode == 0x88);
        break;
    case 'J': // BININT
        pickle_push_number(reader, (int32_t)pickle_take_whole(reader, 4));
        break;
    case 'K': // BININT1
        pickle_push_number(reader, (double)pickle_take_whole(reader, 1));
        break;
    case 'M': // BININT2
        pickle_push_number(reader, (double)pickle_take_whole(reader, 2));
        break;
    case 0x8a: // LONG1
        pickle_push_long(reader);
        break;
    case 'G': // BINFLOAT
        pickle_push_float(reader);
        break;
    case 0x8c: // SHORT_BINUNICODE
    case 'C':  // SHORT_BINBYTES
    case 'U':  // SHORT_BINSTRING
        pickle_push_text(reader, pickle_take_whole(reader, 1));
        break;
    case 'X': // BINUNICODE
    case 'B': // BINBYTES
    case 'T': // BINSTRING
        pickle_push_text(reader, pickle_take_whole(reader, 4));
        break;
    case 0x8d: // BINUNICODE8
    case 0x8e: // BINBYTES8
    case 0x96: // BYTEARRAY8
        pickle_push_text(reader, pickle_take_whole(reader, 8));
        break;
    default: {
        char what[64];
        snprintf(what, sizeof what, "opcode 0x%02x, which no scaler needs", opcode);
        pickle_fail(reader, what);
    }
    }
}

static void do_opcode(Reader *reader, int opcode) {
    switch (opcode) {
    case 0x95: // FRAME: where the opcodes of a part end, which they tell themselves
        (void)pickle_take(reader, 8);
        break;
    case '(':
        pickle_push(reader, value_new(reader, VALUE_MARK));
        break;
    case ')': // EMPTY_TUPLE
    case 0x85:
    case 0x86:
    case 0x87:
        do_few(reader, VALUE_TUPLE, opcode == ')' ? 0 : (uint32_t)opcode - 0x84);
        break;
    case 't':
        do_tuple(reader);
        break;
    case ']':
        pickle_push(reader, value_new(reader, VALUE_LIST));
        break;
    case '}':
        pickle_push(reader, value_new(reader, VALUE_DICT));
        break;
    case 'a': // APPEND
        do_few(reader, VALUE_LIST, 1);
        break;
    case 's': // SETITEM
        do_few(reader, VALUE_DICT, 2);
        break;
    case 'e': // APPENDS
    case 'u': // SETITEMS
        do_mark_append(reader, opcode == 'e' ? VALUE_LIST : VALUE_DICT);
        break;
    case 'c':
        pickle_global(reader);
        break;
    case 0x93:
        pickle_stack_global(reader);
        break;
    case 'R':
    case 0x81: // NEWOBJ
        do_call(reader, opcode != 'R');
        break;
    case 'b':
        do_build(reader);
        break;
    case '0': // POP
        (void)pickle_pop(reader);
        break;
    case 'q': // BINPUT
    case 'r': // LONG_BINPUT
        put_memo(reader, pickle_take_whole(reader, opcode == 'q' ? 1 : 4));
        break;
    case 'h': // BINGET
    case 'j': // LONG_BINGET
        get_memo(reader, pickle_take_whole(reader, opcode == 'h' ? 1 : 4));
        break;
    case 0x94: // MEMOIZE
        put_memo(reader, reader->memo_count++);
        break;
    default:
        do_data(reader, opcode);
    }
}

// ---- the scaler ----

static const Value *entry(const Value *dict, const char *key) {
    const Value *found = NULL; // the last one counts, as in Python
    for (uint32_t i = 0; i + 1 < dict->count; i += 2) {
        found = value_is_text(dict->items[i], key) ? dict->items[i + 1] : found;
    }
    return found;
}

static Status take_array(Reader *reader, const Value *state, const char *key, double otherwise,
                         int32_t dimension, double *out) {
    const Value *value = entry(state, key);
    bool is_none = value == NULL || value->kind == VALUE_NONE;
    if (!is_none && (value->kind != VALUE_ARRAY || value->count != (uint32_t)dimension)) {
        return status_set(STATUS_FORMAT, "%s: %s of the scaler is no row of %d numbers",
                          reader->name, key, dimension);
    }
    for (int32_t i = 0; i < dimension; i++) {
        out[i] = is_none ? otherwise : value->array[i];
        if (!isfinite(out[i])) {
            return status_set(STATUS_FORMAT, "%s: %s of feature %d is not finite", reader->name,
                              key, i);
        }
    }
    return STATUS_OK;
}

static bool is_false(const Value *value) {
    return value != NULL && value->kind == VALUE_NUMBER && value->number == 0;
}

static Status take_scaler(Reader *reader, const Value *object, StandardScaler *ret_scaler) {
    const Value *state = object->state;
    const Value *mean = state != NULL ? entry(state, "mean_") : NULL;
    const Value *scale = state != NULL ? entry(state, "scale_") : NULL;
    const Value *sized = mean != NULL && mean->kind == VALUE_ARRAY ? mean : scale;
    if (sized == NULL || sized->kind != VALUE_ARRAY || sized->count < 1) {
        return status_set(STATUS_FORMAT, "%s: a StandardScaler that was not fitted", reader->name);
    }
    int32_t dimension = (int32_t)sized->count;
    StandardScaler scaler;
    Status status = standard_scaler_new(dimension, &scaler);
    if (status != STATUS_OK) {
        return status;
    }
    const Value *seen = entry(state, "n_samples_seen_");
    bool is_count = seen != NULL && seen->kind == VALUE_NUMBER && seen->number >= 0 &&
                    seen->number <= 9007199254740992.0;
    scaler.samples_seen = is_count ? (int64_t)seen->number : 0;
    status = take_array(reader, state, "mean_", 0, dimension, scaler.mean);
    if (status == STATUS_OK) {
        status = take_array(reader, state, "var_", 1, dimension, scaler.variance);
    }
    if (status == STATUS_OK) {
        status = take_array(reader, state, "scale_", 1, dimension, scaler.scale);
    }
    for (int32_t i = 0; status == STATUS_OK && i < dimension; i++) {
        scaler.mean[i] = is_false(entry(state, "with_mean")) ? 0 : scaler.mean[i];
        scaler.scale[i] = is_false(entry(state, "with_std")) ? 1 : scaler.scale[i];
        if (scaler.scale[i] == 0) {
            status = status_set(STATUS_FORMAT, "%s: scale_ of feature %d is 0", reader->name, i);
        }
    }
    if (status != STATUS_OK) {
        standard_scaler_done(&scaler);
        return status;
    }
    *ret_scaler = scaler;
    return STATUS_OK;
}

static void run(Reader *reader) {
    if (pickle_take_whole(reader, 1) != 0x80 || pickle_take_whole(reader, 1) > 5) { // PROTO
        pickle_fail(reader, "no pickle of protocol 2 to 5 (compressed, perhaps?)");
    }
    while (reader->status == STATUS_OK) {
        int opcode = (int)pickle_take_whole(reader, 1);
        if (reader->status != STATUS_OK || opcode == '.') { // STOP
            return;
        }
        do_opcode(reader, opcode);
    }
}

Status pickle_read_scaler(const char *name, const void *bytes, size_t size,
                          StandardScaler *ret_scaler) {
    if (size > PICKLE_BYTES_MOST) {
        return status_set(STATUS_LIMIT, "%s: %zu bytes, a scaler has at most %u", name, size,
                          PICKLE_BYTES_MOST);
    }
    Reader *reader = mem_new(1, sizeof *reader);
    if (reader == NULL) {
        return STATUS_MEMORY;
    }
    reader->name = name;
    reader->at = bytes;
    reader->end = reader->at + size;
    reader->stack = mem_new(VALUES_MOST, sizeof *reader->stack);
    if (reader->stack == NULL) {
        reader->status = STATUS_MEMORY;
    } else {
        run(reader);
    }
    const Value *result = reader->status == STATUS_OK ? pickle_pop(reader) : NULL;
    if (result != NULL && result->kind != VALUE_SCALER) {
        pickle_fail(reader, "something else than a scaler");
    }
    Status status = reader->status;
    if (status == STATUS_OK) {
        status = take_scaler(reader, result, ret_scaler);
    }
    pickle_free_values(reader);
    mem_free(reader);
    return status;
}
