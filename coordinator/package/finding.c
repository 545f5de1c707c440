// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum { MOST_IN_A_ROW = 25 }; // of one file: a file with CRLF has as many as lines

void findings_done(Findings *findings) {
    for (size_t i = 0; i < findings->count; i++) {
        mem_free(findings->items[i].path);
        mem_free(findings->items[i].text);
    }
    mem_free(findings->items);
    *findings = FINDINGS_EMPTY;
}

static bool is_full(const Findings *findings, const char *path) {
    size_t same = 0;
    for (size_t i = findings->count; i > 0 && strcmp(findings->items[i - 1].path, path) == 0; i--) {
        same++;
    }
    return same >= MOST_IN_A_ROW || findings->count >= LIMIT_FINDINGS;
}

static Status make_room(Findings *findings) {
    if (findings->count < findings->capacity) {
        return STATUS_OK;
    }
    size_t capacity = findings->capacity == 0 ? 16 : 2 * findings->capacity;
    Finding *grown = mem_resize(findings->items, capacity, sizeof *grown);
    if (grown == NULL) {
        return STATUS_MEMORY;
    }
    findings->items = grown;
    findings->capacity = capacity;
    return STATUS_OK;
}

void findings_add(Findings *findings, Severity severity, const char *path, int line,
                  const char *format, ...) {
    char text[LIMIT_MESSAGE_BYTES], shown[LIMIT_MESSAGE_BYTES], shown_path[LIMIT_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_fit(shown, sizeof shown, text);
    text_fit(shown_path, sizeof shown_path, path);
    (*(severity == FINDING_ERROR ? &findings->errors : &findings->warnings))++;
    if (findings->status != STATUS_OK || is_full(findings, shown_path)) {
        findings->hidden++;
        return;
    }
    Finding made = {.line = line, .severity = severity};
    findings->status = make_room(findings);
    if (findings->status == STATUS_OK) {
        made.path = mem_copy_text(shown_path);
        made.text = mem_copy_text(shown);
    }
    if (made.path == NULL || made.text == NULL) {
        mem_free(made.path);
        mem_free(made.text);
        findings->status = STATUS_MEMORY;
        return;
    }
    findings->items[findings->count++] = made;
}

static int by_place(const void *a, const void *b) {
    const Finding *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    order = order != 0 ? order : (x->line > y->line) - (x->line < y->line);
    order = order != 0 ? order : (int)x->severity - (int)y->severity;
    return order != 0 ? order : strcmp(x->text, y->text);
}

void findings_sort(Findings *findings) {
    if (findings->count > 0) {
        qsort(findings->items, findings->count, sizeof *findings->items, by_place);
    }
}

static const char *severity_text(Severity severity) {
    return severity == FINDING_ERROR ? "error" : "warning";
}

// Control characters, which a hostile package may have in its names, do not reach a terminal.
static void append_plain(Buffer *out, const char *text) {
    for (; *text != '\0'; text++) {
        char shown = (unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text;
        buffer_append(out, &shown, 1);
    }
}

void findings_format(const Findings *findings, Buffer *out) {
    for (size_t i = 0; i < findings->count; i++) {
        const Finding *finding = &findings->items[i];
        append_plain(out, finding->path);
        if (finding->line > 0) {
            buffer_format(out, ":%d", finding->line);
        }
        buffer_format(out, ": %s: ", severity_text(finding->severity));
        append_plain(out, finding->text);
        buffer_text(out, "\n");
    }
    buffer_format(out, "%zu error%s, %zu warning%s", findings->errors,
                  findings->errors == 1 ? "" : "s", findings->warnings,
                  findings->warnings == 1 ? "" : "s");
    if (findings->hidden > 0) {
        buffer_format(out, ", %zu of them not listed", findings->hidden);
    }
    buffer_text(out, "\n");
}

void findings_json(const Findings *findings, Buffer *out) {
    buffer_format(out, "{\"errors\":%zu,\"warnings\":%zu,\"hidden\":%zu,\"findings\":[",
                  findings->errors, findings->warnings, findings->hidden);
    for (size_t i = 0; i < findings->count; i++) {
        const Finding *finding = &findings->items[i];
        buffer_text(out, i > 0 ? ",\n{\"path\":" : "\n{\"path\":");
        buffer_json(out, finding->path);
        buffer_format(out, ",\"line\":%d,\"severity\":\"%s\",\"text\":", finding->line,
                      severity_text(finding->severity));
        buffer_json(out, finding->text);
        buffer_text(out, "}");
    }
    buffer_text(out, "]}\n");
}
