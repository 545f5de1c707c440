// SPDX-License-Identifier: Apache-2.0
#include "coordinator/explore/portraits.h"

#include "common/base/mem.h"

ClipPortrait *portrait_set_add(PortraitSet *set) {
    if (!mem_grow((void *)&set->items, set->count, &set->capacity, sizeof *set->items)) {
        return NULL;
    }
    ClipPortrait *item = &set->items[set->count++];
    *item = (ClipPortrait){0};
    return item;
}

void portrait_set_done(PortraitSet *set) {
    for (uint32_t i = 0; i < set->count; i++) {
        portrait_done(&set->items[i].picture);
    }
    mem_free(set->items);
    *set = (PortraitSet){0};
}
