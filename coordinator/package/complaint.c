// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/complaint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum { MOST_IN_A_ROW = 25 }; // of one file: a file with CRLF has as many as lines

void complaints_done(Complaints *complaints) {
    for (size_t i = 0; i < complaints->count; i++) {
        mem_free(complaints->items[i].path);
        mem_free(complaints->items[i].text);
    }
    mem_free(complaints->items);
    *complaints = COMPLAINTS_EMPTY;
}

static bool is_full(const Complaints *complaints, const char *path) {
    size_t same = 0;
    for (size_t i = complaints->count; i > 0 && strcmp(complaints->items[i - 1].path, path) == 0;
         i--) {
        same++;
    }
    return same >= MOST_IN_A_ROW || complaints->count >= LIMIT_FINDINGS;
}

void complaints_add(Complaints *complaints, Severity severity, const char *path, int line,
                    const char *format, ...) {
    char text[LIMIT_MESSAGE_BYTES], shown[LIMIT_MESSAGE_BYTES], shown_path[LIMIT_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_fit(shown, sizeof shown, text);
    text_fit(shown_path, sizeof shown_path, path);
    (*(severity == COMPLAINT_ERROR ? &complaints->errors : &complaints->warnings))++;
    if (complaints->status != STATUS_OK || is_full(complaints, shown_path)) {
        complaints->hidden++;
        return;
    }
    Complaint made = {.line = line, .severity = severity};
    bool has_room = mem_grow(&complaints->items, complaints->count, &complaints->capacity,
                             sizeof *complaints->items);
    complaints->status = has_room ? STATUS_OK : STATUS_MEMORY;
    if (complaints->status == STATUS_OK) {
        made.path = mem_copy_text(shown_path);
        made.text = mem_copy_text(shown);
    }
    if (made.path == NULL || made.text == NULL) {
        mem_free(made.path);
        mem_free(made.text);
        complaints->status = STATUS_MEMORY;
        return;
    }
    complaints->items[complaints->count++] = made;
}

static int by_place(const void *a, const void *b) {
    const Complaint *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    order = order != 0 ? order : (x->line > y->line) - (x->line < y->line);
    order = order != 0 ? order : (int)x->severity - (int)y->severity;
    return order != 0 ? order : strcmp(x->text, y->text);
}

void complaints_sort(Complaints *complaints) {
    if (complaints->count > 0) {
        qsort(complaints->items, complaints->count, sizeof *complaints->items, by_place);
    }
}

static const char *severity_text(Severity severity) {
    return severity == COMPLAINT_ERROR ? "error" : "warning";
}

// Control characters, which a hostile package may have in its names, do not reach a terminal.
static void append_plain(Buffer *out, const char *text) {
    for (; *text != '\0'; text++) {
        char shown = (unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text;
        buffer_append(out, &shown, 1);
    }
}

void complaints_format(const Complaints *complaints, Buffer *out) {
    for (size_t i = 0; i < complaints->count; i++) {
        const Complaint *complaint = &complaints->items[i];
        append_plain(out, complaint->path);
        if (complaint->line > 0) {
            buffer_format(out, ":%d", complaint->line);
        }
        buffer_format(out, ": %s: ", severity_text(complaint->severity));
        append_plain(out, complaint->text);
        buffer_text(out, "\n");
    }
    buffer_format(out, "%zu error%s, %zu warning%s", complaints->errors,
                  complaints->errors == 1 ? "" : "s", complaints->warnings,
                  complaints->warnings == 1 ? "" : "s");
    if (complaints->hidden > 0) {
        buffer_format(out, ", %zu of them not listed", complaints->hidden);
    }
    buffer_text(out, "\n");
}

void complaints_json(const Complaints *complaints, Buffer *out) {
    buffer_format(out, "{\"errors\":%zu,\"warnings\":%zu,\"hidden\":%zu,\"findings\":[",
                  complaints->errors, complaints->warnings, complaints->hidden);
    for (size_t i = 0; i < complaints->count; i++) {
        const Complaint *complaint = &complaints->items[i];
        buffer_text(out, i > 0 ? ",\n{\"path\":" : "\n{\"path\":");
        buffer_json(out, complaint->path);
        buffer_format(out, ",\"line\":%d,\"severity\":\"%s\",\"text\":", complaint->line,
                      severity_text(complaint->severity));
        buffer_json(out, complaint->text);
        buffer_text(out, "}");
    }
    buffer_text(out, "]}\n");
}
