// SPDX-License-Identifier: Apache-2.0
#include "coordinator/remarks.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

// A path of the user's and a name or two out of a file.
#define TEXT_BYTES (LIMIT_PATH_BYTES + LIMIT_MESSAGE_BYTES)

void remarks_done(Remarks *findings) {
    for (uint32_t i = 0; i < findings->count; i++) {
        mem_free(findings->items[i].text);
    }
    mem_free(findings->items);
    *findings = REMARKS_EMPTY;
}

// What comes out of a file may hold what moves a terminal's cursor.
static void make_clean(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            *text = '?';
        }
    }
}

static Status keep(Remarks *findings, RemarkKind kind, const char *text) {
    if (findings->count == findings->capacity) {
        uint32_t capacity = findings->capacity + REMARKS_KEPT_MOST;
        Remark *items = mem_resize(findings->items, capacity, sizeof *items);
        if (items == NULL) {
            return STATUS_MEMORY;
        }
        findings->items = items;
        findings->capacity = capacity;
    }
    char *copy = mem_copy_text(text);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    findings->items[findings->count++] = (Remark){kind, copy};
    return STATUS_OK;
}

void remarks_add(Remarks *findings, RemarkKind kind, const char *format, ...) {
    char raw[TEXT_BYTES], text[TEXT_BYTES];
    if (findings->status != STATUS_OK || ++findings->found[kind] > REMARKS_KEPT_MOST) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_fit(text, sizeof text, raw);
    make_clean(text);
    findings->status = keep(findings, kind, text);
}

void remarks_add_status(Remarks *findings, RemarkKind kind) {
    remarks_add(findings, kind, "%s", status_message());
}

uint32_t remarks_unkept(const Remarks *findings, RemarkKind kind) {
    uint32_t found = findings->found[kind];
    return found > REMARKS_KEPT_MOST ? found - REMARKS_KEPT_MOST : 0;
}

const char *remark_kind_text(RemarkKind kind) {
    static const char *const TEXTS[REMARK_KINDS] = {"error", "warning", "note"};
    return TEXTS[kind];
}
