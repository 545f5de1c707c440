// SPDX-License-Identifier: Apache-2.0
//
// Small things done with text: numbers out and in, comparison, near misses. No locale is ever
// consulted: a decimal point is a point. Any thread.
#ifndef AUSCULT_BASE_TEXT_H
#define AUSCULT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define TEXT_NUMBER_BYTES 40

// The shortest decimal that reads back to the same double.
void text_number(char out[TEXT_NUMBER_BYTES], double value);

// The whole of `text` as a number; STATUS_INVALID when anything else stands in it (spaces too) or
// when it is too large for the type.
Status text_to_double(const char *text, double *ret_value);
Status text_to_int(const char *text, int64_t *ret_value);

bool text_starts(const char *text, const char *start);
bool text_ends(const char *text, const char *end);
// As text_ends, letters A to Z and a to z taken as equal.
bool text_ends_nocase(const char *text, const char *end);

// Copies into a fixed array, cut at the end; returns false when it was cut.
bool text_copy(char *out, size_t size, const char *text);

// Damerau-Levenshtein distance, for "did you mean"; texts beyond 63 bytes count as far apart.
int text_distance(const char *a, const char *b);

// Whether the bytes are well-formed UTF-8 without control characters (tab included).
bool text_is_clean(const char *text);
// Whether the bytes are well-formed UTF-8; control characters are allowed.
bool text_is_utf8(const char *text);
// As text_copy, for people: what is not UTF-8 becomes '?', and the cut falls between characters.
bool text_fit(char *out, size_t size, const char *text);

#endif
