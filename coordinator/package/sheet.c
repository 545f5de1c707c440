// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/eval/clipname.h"

// Where a sheet's complaints go while it is read.
typedef struct Reader {
    Sheet *sheet;
    Complaints *complaints;
    bool checks_names;
    int line;
    bool told_crlf; // once for a file
} Reader;

#define ERROR_AT(reader, ...)                                                                      \
    complaints_add((reader)->complaints, COMPLAINT_ERROR, (reader)->sheet->path, (reader)->line,   \
                   __VA_ARGS__)

// ---- the name ----

static const char *last_of(const char *text, const char *part) {
    const char *last = NULL;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        last = at;
    }
    return last;
}

// "_section_00_test", "_section_03_source_test" (2021), "_id_01", "_id_01_test" (2020).
static bool parse_part(const char *part, Sheet *sheet) {
    static const char *const ENDS[] = {"_test", "_source_test", "_target_test", ""};
    bool is_id = text_starts(part, "_id_");
    const char *digits = part + (is_id ? strlen("_id_") : strlen("_section_"));
    size_t count = strspn(digits, "0123456789");
    bool is_good = false;
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        is_good |= strcmp(digits + count, ENDS[i]) == 0 && (is_id || ENDS[i][0] != '\0');
    }
    if (count != 2 || !is_good) {
        return false;
    }
    snprintf(sheet->section, sizeof sheet->section, "%.2s", digits);
    sheet->file = is_id                                         ? FILE_OF_ID
                  : strcmp(digits + count, "_source_test") == 0 ? FILE_OF_SOURCE
                  : strcmp(digits + count, "_target_test") == 0 ? FILE_OF_TARGET
                                                                : FILE_OF_SECTION;
    return text_copy(sheet->part, sizeof sheet->part, part + 1);
}

bool sheet_parse_name(const char *path, Complaints *complaints, Sheet *ret_sheet) {
    static const char *const KINDS[] = {"anomaly_score_", "decision_result_"};
    const char *name = file_name(path);
    int kind = text_starts(name, KINDS[0]) ? 0 : text_starts(name, KINDS[1]) ? 1 : -1;
    if (kind < 0) {
        return false;
    }
    Sheet sheet = {.path = path, .is_decision = kind == 1};
    char stem[LIMIT_NAME_BYTES];
    bool fits = text_copy(stem, sizeof stem, name + strlen(KINDS[kind])) && text_ends(stem, ".csv");
    stem[fits ? strlen(stem) - strlen(".csv") : 0] = '\0';
    const char *section = last_of(stem, "_section_"), *id = last_of(stem, "_id_");
    const char *part = section != NULL ? section : id;
    if (part == NULL || part == stem || !parse_part(part, &sheet)) {
        complaints_add(complaints, COMPLAINT_ERROR, path, 0,
                       "this name is none of a score or decision file; it is "
                       "%sMACHINE_section_00_test.csv",
                       KINDS[kind]);
        return false;
    }
    snprintf(sheet.machine, sizeof sheet.machine, "%.*s", (int)(part - stem), stem);
    *ret_sheet = sheet;
    return true;
}

// ---- the rows ----

// Quotes and blanks are told of, then taken off, so that what they hold is judged too.
static char *strip(Reader *reader, char *field, const char *what) {
    size_t length = strlen(field);
    if (field[0] == ' ' || field[0] == '\t' ||
        (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\t'))) {
        ERROR_AT(reader, "blanks around the %s; remove them", what);
        field += strspn(field, " \t");
        for (length = strlen(field);
             length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\t');) {
            field[--length] = '\0';
        }
    }
    if (strchr(field, '"') != NULL || strchr(field, '\'') != NULL) {
        ERROR_AT(reader, "quotes around the %s; write it without", what);
        field += strspn(field, "\"'");
        field[strcspn(field, "\"'")] = '\0';
    }
    return field;
}

static void check_name(Reader *reader, const char *name) {
    const Sheet *sheet = reader->sheet;
    ClipName clip = clipname_read(name);
    if (strchr(name, '/') != NULL || strchr(name, '\\') != NULL) {
        ERROR_AT(reader, "'%s' has a folder in it; write the file name alone", name);
    } else if (clip.keyword == KEYWORD_NONE || clip.section[0] == '\0' || clip.serial < 0 ||
               !text_ends(name, ".wav")) {
        ERROR_AT(reader, "'%s' is no name of a test clip; these are called section_%s_0000.wav",
                 name, sheet->section);
    } else if (clip.label != LABEL_UNKNOWN || clip.split == SPLIT_TRAIN) {
        ERROR_AT(reader,
                 "'%s' is the name of a labelled clip; evaluation clips are called "
                 "section_%s_0000.wav",
                 name, sheet->section);
    } else if (strcmp(clip.section, sheet->section) != 0) {
        ERROR_AT(reader, "'%s' is of section %s; this file is for section %s", name, clip.section,
                 sheet->section);
    } else if ((sheet->file == FILE_OF_SOURCE && clip.domain != DOMAIN_SOURCE) ||
               (sheet->file == FILE_OF_TARGET && clip.domain != DOMAIN_TARGET)) {
        ERROR_AT(reader, "'%s' is not of the domain that this file is for; move the row", name);
    }
}

static double check_decision(Reader *reader, const char *value) {
    if (strcmp(value, "0") == 0 || strcmp(value, "1") == 0) {
        return value[0] == '1';
    }
    ERROR_AT(reader, "decision '%.40s'; write 0 for normal or 1 for anomalous", value);
    return NAN;
}

static double check_score(Reader *reader, const char *value) {
    double number = NAN;
    if (value[0] == '\0') {
        ERROR_AT(reader, "the score is missing; every clip needs a number");
    } else if (strspn(value, "0123456789+-.eE") != strlen(value)) {
        bool is_known = strpbrk(value, "xX") == NULL && text_to_double(value, &number) == STATUS_OK;
        ERROR_AT(reader, "score '%.40s' is no %snumber; write a finite decimal number", value,
                 is_known ? "finite " : "");
        number = NAN;
    } else if (text_to_double(value, &number) != STATUS_OK || !isfinite(number)) {
        ERROR_AT(reader, "score '%.40s' cannot be read as a finite number; write a decimal one",
                 value);
        number = NAN;
    }
    return number;
}

static bool is_header(const Reader *reader, const char *name, const char *value) {
    double number;
    return reader->line == 1 && !clipname_is_clip(name) &&
           text_to_double(value, &number) != STATUS_OK;
}

static void take_fields(Reader *reader, char *name, char *value) {
    Sheet *sheet = reader->sheet;
    name = strip(reader, name, "file name");
    value = strip(reader, value, sheet->is_decision ? "decision" : "score");
    if (is_header(reader, name, value)) {
        ERROR_AT(reader, "a header; remove the line, the first row is the first clip");
        return;
    }
    if (reader->checks_names) {
        check_name(reader, name);
    }
    sheet->rows[sheet->count++] = (SheetRow){
        .name = name,
        .line = reader->line,
        .value = sheet->is_decision ? check_decision(reader, value) : check_score(reader, value)};
}

static void take_line(Reader *reader, char *line) {
    size_t length = strlen(line);
    if (length > 0 && line[length - 1] == '\r') {
        line[length - 1] = '\0';
        if (!reader->told_crlf) {
            ERROR_AT(reader, "the line ends in CR and LF; save the file with LF (Unix) line ends");
        }
        reader->told_crlf = true;
    }
    if (line[strspn(line, " \t")] == '\0') {
        ERROR_AT(reader, "an empty line; remove it");
        return;
    }
    if (!text_is_utf8(line) || strchr(line, '\r') != NULL) {
        ERROR_AT(reader, "the line is not UTF-8 text with LF line ends; save the file as that");
        return;
    }
    char *comma = strchr(line, ',');
    if (comma == NULL || strchr(comma + 1, ',') != NULL) {
        size_t fields = 1;
        for (const char *at = comma; at != NULL; at = strchr(at + 1, ',')) {
            fields++;
        }
        ERROR_AT(reader, "%zu field%s; a row is name,%s", fields, fields == 1 ? "" : "s",
                 reader->sheet->is_decision ? "decision" : "score");
        return;
    }
    *comma = '\0';
    take_fields(reader, line, comma + 1);
}

static int by_name(const void *a, const void *b) {
    const SheetRow *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static void find_doubles(Reader *reader) {
    const Sheet *sheet = reader->sheet;
    for (size_t i = 1; i < sheet->count; i++) {
        if (strcmp(sheet->rows[i].name, sheet->rows[i - 1].name) == 0) {
            reader->line = sheet->rows[i].line;
            ERROR_AT(reader, "'%s' stands in line %d already; every clip has one row",
                     sheet->rows[i].name, sheet->rows[i - 1].line);
        }
    }
}

static Status make_room(const ArchiveEntry *entry, Sheet *sheet) {
    size_t lines = 1;
    for (size_t i = 0; i < entry->bytes.size; i++) {
        lines += entry->bytes.bytes[i] == '\n';
    }
    sheet->text = mem_copy_text(buffer_cstr(&entry->bytes));
    sheet->rows = mem_new(lines, sizeof *sheet->rows);
    return sheet->text != NULL && sheet->rows != NULL ? STATUS_OK : STATUS_MEMORY;
}

static void read_lines(Reader *reader, char *text) {
    for (char *line = text, *end; *line != '\0'; line = end) {
        reader->line++;
        end = line + strcspn(line, "\n");
        bool is_ended = *end == '\n';
        *end = '\0';
        take_line(reader, line);
        if (!is_ended) {
            complaints_add(reader->complaints, COMPLAINT_WARNING, reader->sheet->path, reader->line,
                           "the last line has no line end; add one");
            break;
        }
        end++;
    }
}

Status sheet_read(const ArchiveEntry *entry, bool checks_names, Complaints *complaints,
                  Sheet *sheet) {
    Reader reader = {.sheet = sheet, .complaints = complaints, .checks_names = checks_names};
    const Buffer *bytes = &entry->bytes;
    if (bytes->size > 0 && memchr(bytes->bytes, '\0', bytes->size) != NULL) {
        ERROR_AT(&reader, "zero bytes; this is no text file in UTF-8");
        return STATUS_OK;
    }
    Status status = make_room(entry, sheet);
    if (status != STATUS_OK) {
        return status;
    }
    bool has_mark = text_starts(sheet->text, "\xEF\xBB\xBF");
    if (has_mark) {
        reader.line = 1;
        ERROR_AT(&reader, "a byte-order mark; save the file as UTF-8 without one");
        reader.line = 0;
    }
    read_lines(&reader, sheet->text + (has_mark ? 3 : 0));
    if (sheet->count > 0) {
        qsort(sheet->rows, sheet->count, sizeof *sheet->rows, by_name);
    }
    find_doubles(&reader);
    if (sheet->count == 0) {
        reader.line = 0;
        ERROR_AT(&reader, "no rows; every test clip of the machine needs one");
    }
    return STATUS_OK;
}

void sheet_done(Sheet *sheet) {
    mem_free(sheet->text);
    mem_free(sheet->rows);
    *sheet = (Sheet){0};
}

const SheetRow *sheet_find(const Sheet *sheet, const char *name) {
    size_t low = 0, high = sheet->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(sheet->rows[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < sheet->count && strcmp(sheet->rows[low].name, name) == 0;
    return found ? &sheet->rows[low] : NULL;
}
