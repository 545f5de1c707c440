// SPDX-License-Identifier: Apache-2.0
#include "common/model/block.h"

#include <string.h>

BlockHead block_head(const char magic[4], uint32_t version, size_t bytes) {
    BlockHead head = {.version = version, .bytes = bytes};
    memcpy(head.magic, magic, sizeof head.magic);
    return head;
}

Status block_check(const void *bytes, size_t size, const char magic[4], uint32_t version,
                   const char *what) {
    BlockHead head;
    if (size < sizeof head) {
        return status_set(STATUS_FORMAT, "%s of %zu bytes is cut off", what, size);
    }
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, magic, sizeof head.magic) != 0) {
        return status_set(STATUS_FORMAT, "these bytes are no %s", what);
    }
    if (head.version != version) {
        return status_set(STATUS_MISMATCH, "%s has version %u, this program knows version %u", what,
                          head.version, version);
    }
    if (head.bytes != size) {
        return status_set(STATUS_FORMAT, "%s says %llu bytes and has %zu", what,
                          (unsigned long long)head.bytes, size);
    }
    return STATUS_OK;
}
