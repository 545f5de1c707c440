// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/words.h"

#include <math.h>
#include <stdio.h>

void words_time(char out[WORDS_BYTES], double seconds) {
    out[0] = '\0';
    if (!(seconds >= 0 && seconds < 1e12)) {
        return;
    }
    long long whole = llround(seconds);
    if (whole >= 86400) {
        snprintf(out, WORDS_BYTES, "%lld d %02lld h", whole / 86400, whole / 3600 % 24);
    } else if (whole >= 3600) {
        snprintf(out, WORDS_BYTES, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
    } else if (whole >= 60) {
        snprintf(out, WORDS_BYTES, "%lld min %02lld s", whole / 60, whole % 60);
    } else {
        snprintf(out, WORDS_BYTES, "%lld s", whole);
    }
}

void words_short_time(char out[WORDS_BYTES], double seconds) {
    if (seconds >= 0 && seconds < 9.95) {
        snprintf(out, WORDS_BYTES, "%.1f s", seconds);
    } else {
        words_time(out, seconds);
    }
}

void words_rate(char out[WORDS_BYTES], double per_second) {
    static const struct {
        double least, factor;
        const char *unit;
    } UNITS[] = {{0.1, 1, "s"}, {0.1 / 60, 60, "min"}, {0, 3600, "h"}};
    out[0] = '\0';
    if (!(per_second > 0 && per_second < 1e15)) {
        return;
    }
    int u = 0;
    while (per_second < UNITS[u].least) {
        u++;
    }
    double value = per_second * UNITS[u].factor;
    int decimals = value < 1 ? 2 : value < 10 ? 1 : 0;
    snprintf(out, WORDS_BYTES, "%.*f/%s", decimals, value, UNITS[u].unit);
}
