// SPDX-License-Identifier: Apache-2.0
#include "coordinator/remarks.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

// A path of the user's and a name or two out of a file.
#define TEXT_BYTES (LIMIT_PATH_BYTES + LIMIT_MESSAGE_BYTES)

void remarks_done(Remarks *remarks) {
    for (uint32_t i = 0; i < remarks->count; i++) {
        mem_free(remarks->items[i].text);
    }
    mem_free(remarks->items);
    *remarks = REMARKS_EMPTY;
}

// What comes out of a file may hold what moves a terminal's cursor.
static void make_clean(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            *text = '?';
        }
    }
}

static Status keep(Remarks *remarks, RemarkKind kind, const char *text) {
    if (!mem_grow(&remarks->items, remarks->count, &remarks->capacity, sizeof *remarks->items)) {
        return STATUS_MEMORY;
    }
    char *copy = mem_copy_text(text);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    remarks->items[remarks->count++] = (Remark){kind, copy};
    return STATUS_OK;
}

void remarks_add(Remarks *remarks, RemarkKind kind, const char *format, ...) {
    char raw[TEXT_BYTES], text[TEXT_BYTES];
    if (remarks->status != STATUS_OK || ++remarks->found[kind] > REMARKS_KEPT_MOST) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_fit(text, sizeof text, raw);
    make_clean(text);
    remarks->status = keep(remarks, kind, text);
}

void remarks_add_status(Remarks *remarks, RemarkKind kind) {
    remarks_add(remarks, kind, "%s", status_message());
}

uint32_t remarks_unkept(const Remarks *remarks, RemarkKind kind) {
    uint32_t found = remarks->found[kind];
    return found > REMARKS_KEPT_MOST ? found - REMARKS_KEPT_MOST : 0;
}

const char *remark_kind_text(RemarkKind kind) {
    static const char *const TEXTS[REMARK_KINDS] = {"error", "warning", "note"};
    return TEXTS[kind];
}
