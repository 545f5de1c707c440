// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void text_number(char out[TEXT_NUMBER_BYTES], double value) {
    if (isnan(value)) {
        strcpy(out, "nan");
        return;
    }
    if (isinf(value)) {
        strcpy(out, value > 0 ? "inf" : "-inf");
        return;
    }
    // A decimal of up to 15 digits survives the way through a normal double, so %.15g, which drops
    // trailing zeros, finds the shortest of them; below the normals fewer digits may do.
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(out, TEXT_NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            return;
        }
    }
}

Status text_to_double(const char *text, double *ret_value) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool overflow = errno == ERANGE && isinf(value);
    if (text[0] == '\0' || *end != '\0' || isspace((unsigned char)text[0]) || overflow) {
        return status_set(STATUS_INVALID, "'%s' is not a number", text);
    }
    *ret_value = value;
    return STATUS_OK;
}

Status text_to_int(const char *text, int64_t *ret_value) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (text[0] == '\0' || *end != '\0' || isspace((unsigned char)text[0]) || errno == ERANGE) {
        return status_set(STATUS_INVALID, "'%s' is not a whole number", text);
    }
    *ret_value = value;
    return STATUS_OK;
}

bool text_starts(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

bool text_ends(const char *text, const char *end) {
    size_t size = strlen(text);
    size_t tail = strlen(end);
    return size >= tail && memcmp(text + size - tail, end, tail) == 0;
}

bool text_ends_nocase(const char *text, const char *end) {
    size_t size = strlen(text);
    size_t tail = strlen(end);
    return size >= tail && strcasecmp(text + size - tail, end) == 0;
}

bool text_copy(char *out, size_t size, const char *text) {
    int used = snprintf(out, size, "%s", text);
    return used >= 0 && (size_t)used < size;
}

int text_distance(const char *a, const char *b) {
    enum { MOST = 63 };
    int rows = (int)strlen(a);
    int columns = (int)strlen(b);
    if (rows > MOST || columns > MOST) {
        return MOST;
    }
    int cost[MOST + 1][MOST + 1];
    for (int i = 0; i <= rows; i++) {
        cost[i][0] = i;
    }
    for (int j = 0; j <= columns; j++) {
        cost[0][j] = j;
    }
    for (int i = 1; i <= rows; i++) {
        for (int j = 1; j <= columns; j++) {
            int differ = a[i - 1] != b[j - 1];
            int best = cost[i - 1][j - 1] + differ;
            best = cost[i - 1][j] + 1 < best ? cost[i - 1][j] + 1 : best;
            best = cost[i][j - 1] + 1 < best ? cost[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                cost[i - 2][j - 2] + 1 < best) {
                best = cost[i - 2][j - 2] + 1;
            }
            cost[i][j] = best;
        }
    }
    return cost[rows][columns];
}

// Length of the UTF-8 sequence that starts at `s`, 0 when it is malformed (RFC 3629).
static int sequence_length(const unsigned char *s) {
    if (s[0] < 0x80) {
        return 1;
    }
    int length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4) {
        return 0;
    }
    for (int i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xED && s[1] >= 0xA0;
    bool beyond = s[0] == 0xF4 && s[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

bool text_is_clean(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s != 0) {
        int length = sequence_length(s);
        if (length == 0 || *s < 0x20 || *s == 0x7F) {
            return false;
        }
        s += length;
    }
    return true;
}

bool text_is_utf8(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s != 0) {
        int length = sequence_length(s);
        if (length == 0) {
            return false;
        }
        s += length;
    }
    return true;
}

bool text_fit(char *out, size_t size, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    size_t used = 0;
    while (*s != 0) {
        int length = sequence_length(s);
        size_t step = length > 0 ? (size_t)length : 1;
        if (used + step >= size) {
            break;
        }
        memcpy(out + used, length > 0 ? (const char *)s : "?", step);
        used += step;
        s += step;
    }
    out[used] = '\0';
    return *s == 0;
}
