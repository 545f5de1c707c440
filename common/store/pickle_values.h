// SPDX-License-Identifier: Apache-2.0
//
// The values of a pickle that is being read, and the stack they stand on; shared by pickle_values.c
// and pickle_read.c and nobody else. Functions that return a Value give NULL once the reading has
// failed, and take NULL for "it has".
#ifndef AUSCULT_STORE_PICKLE_VALUES_H
#define AUSCULT_STORE_PICKLE_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/status.h"

enum {
    VALUES_MOST = 4 * LIMIT_VECTOR + 4096, // three arrays as lists of floats, and the rest
    MEMO_MOST = 4096,
};

typedef enum ValueKind {
    VALUE_MARK,
    VALUE_NONE,
    VALUE_NUMBER, // a bool, int or float
    VALUE_TEXT,   // also of bytes
    VALUE_TUPLE,
    VALUE_LIST,
    VALUE_DICT, // items are key, value, key, value, ...
    VALUE_NAME, // of a class or function
    VALUE_TYPE, // a numpy.dtype
    VALUE_ARRAY,
    VALUE_WRAPPER, // a joblib array whose numbers follow in the file
    VALUE_SCALER,
} ValueKind;

typedef enum Name {
    NAME_SCALER,
    NAME_RECONSTRUCT,
    NAME_SCALAR,
    NAME_NDARRAY,
    NAME_DTYPE,
    NAME_ARRAY,
    NAME_FROMBUFFER,  // numpy.frombuffer(bytes, dtype)
    NAME_FROM_BUFFER, // numpy's own _frombuffer(bytes, dtype, shape, order)
    NAME_ENCODE,
    NAME_WRAPPER,
    NAME_VERSION,
} Name;

typedef struct Value {
    ValueKind kind;
    double number;             // of VALUE_NUMBER
    Name name;                 // of VALUE_NAME
    char type;                 // 'f', 'i', 'u' or 'b' of VALUE_TYPE
    int32_t width;             // bytes of one, of VALUE_TYPE
    const char *text;          // (count) bytes in the file or in `owned`
    char *owned;               // of VALUE_TEXT where the file has other bytes
    double *array;             // (count) of VALUE_ARRAY, owned
    struct Value **items;      // (count) of tuples, lists and dictionaries, owned
    uint32_t count, capacity;  //
    const struct Value *state; // of VALUE_SCALER: its dictionary
} Value;

typedef struct ValueBlock ValueBlock;
// What is being read.
typedef struct Reader {
    const char *name;
    const unsigned char *at, *end;
    ValueBlock *blocks;
    uint32_t value_count;
    Value **stack; // (VALUES_MOST)
    uint32_t depth;
    Value *memo[MEMO_MOST];
    uint32_t memo_count;
    Status status; // sticky
} Reader;

Value *pickle_fail(Reader *reader, const char *what);
Value *pickle_no_memory(Reader *reader);
Value *value_new(Reader *reader, ValueKind kind);
void pickle_push(Reader *reader, Value *value);
Value *pickle_pop(Reader *reader);
Value *pickle_top(Reader *reader);
void value_add(Reader *reader, Value *list, Value *item);
// Index on the stack of what is above the last mark.
uint32_t pickle_above_mark(Reader *reader);
Value *pickle_tuple_from(Reader *reader, uint32_t first);
void pickle_free_values(Reader *reader);
const unsigned char *pickle_take(Reader *reader, uint64_t size);
uint64_t pickle_take_whole(Reader *reader, int bytes);
void pickle_push_number(Reader *reader, double number);
void pickle_push_text(Reader *reader, uint64_t size);
void pickle_push_long(Reader *reader);
void pickle_push_float(Reader *reader);
bool value_is_text(const Value *value, const char *text);
void pickle_global(Reader *reader);
void pickle_stack_global(Reader *reader);
bool value_set_type(Reader *reader, Value *type, const Value *text);
// Numbers of that type, all that the bytes hold.
bool value_fill_array(Reader *reader, Value *array, const Value *type, const char *bytes,
                      uint64_t size);
// Elements of a shape: of one dimension, or of none, which is one element.
bool pickle_count_shape(Reader *reader, const Value *shape, uint64_t *ret_count);
// The numbers that joblib lays behind its wrapper's state.
void pickle_fill_wrapper(Reader *reader, Value *wrapper, const Value *state);
// numpy's state of an array: version, shape, dtype, whether in Fortran's order, bytes.
void pickle_fill_state(Reader *reader, Value *array, const Value *state);

#endif
