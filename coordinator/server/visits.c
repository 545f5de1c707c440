// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/visits.h"

#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum { MINUTE_MS = 60000 };

struct Visits {
    int64_t since_ms; // when this minute began
    uint32_t count;   // in this minute
    uint32_t address_count;
    struct {
        char address[64];
        uint32_t count;
    } addresses[LIMIT_ADDRESSES]; // that were heard of in this minute
};

Visits *visits_new(void) {
    return mem_new(1, sizeof(Visits));
}

void visits_free(Visits *visits) {
    mem_free(visits);
}

// The address's count, NULL when there are too many addresses.
static uint32_t *count_of(Visits *visits, const char *address) {
    for (uint32_t i = 0; i < visits->address_count; i++) {
        if (strcmp(visits->addresses[i].address, address) == 0) {
            return &visits->addresses[i].count;
        }
    }
    if (visits->address_count == LIMIT_ADDRESSES) {
        return NULL;
    }
    uint32_t i = visits->address_count++;
    text_copy(visits->addresses[i].address, sizeof visits->addresses[i].address, address);
    visits->addresses[i].count = 0;
    return &visits->addresses[i].count;
}

bool visits_admit(Visits *visits, const char *address, int64_t now_ms) {
    if (address[0] == '\0') {
        return true;
    }
    if (visits->count == 0 || now_ms - visits->since_ms >= MINUTE_MS) {
        visits->since_ms = now_ms;
        visits->count = visits->address_count = 0;
    }
    uint32_t *count = count_of(visits, address);
    if (visits->count >= LIMIT_HELLOS || count == NULL || *count >= LIMIT_HELLOS_OF_ADDRESS) {
        return false;
    }
    visits->count++;
    ++*count;
    return true;
}
