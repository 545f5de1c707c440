// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/store/csv.h"
#include "coordinator/dataset/truth_build.h"

// One file while it is read.
typedef struct TruthReader {
    TruthBuilder *builder;
    const char *path;
    CsvReader *csv;
    CsvRow row;
    char machine[LIMIT_NAME_BYTES]; // of the file, or of the list's last machine line
    ClipDomain domain;              // of the file, where its name says one
} TruthReader;

// ---- what a file is ----

static bool folder_is(const char *path, const char *name) {
    char folder[LIMIT_PATH_BYTES];
    if (!text_copy(folder, sizeof folder, path) || strrchr(folder, '/') == NULL) {
        return false;
    }
    *strrchr(folder, '/') = '\0';
    return strcmp(file_name(folder), name) == 0;
}

TruthForm truth_form_of(const char *path) {
    const char *name = file_name(path);
    if (!text_ends_nocase(name, ".csv")) {
        return FORM_NONE;
    }
    if (text_starts(name, "ground_truth_")) {
        return folder_is(path, "ground_truth_domain")       ? FORM_DOMAINS
               : folder_is(path, "ground_truth_attributes") ? FORM_ATTRIBUTES
                                                            : FORM_LABELS;
    }
    if (text_ends(name, "_test_correspondence.csv")) {
        return FORM_CORRESPONDENCE;
    }
    return text_starts(name, "eval_data_list") ? FORM_LIST : FORM_NONE;
}

int32_t truth_list_year(const char *path) {
    const char *name = file_name(path);
    return text_starts(name, "eval_data_list_2") ? (int32_t)atoi(name + strlen("eval_data_list_"))
                                                 : 0;
}

// ---- rows ----

static void complain(TruthReader *reader, const char *what, const char *field) {
    csv_reader_fail(reader->csv, &reader->row, STATUS_FORMAT, "%s%s%s%s", what,
                    field[0] != '\0' ? " '" : "", field, field[0] != '\0' ? "'" : "");
    remarks_add_status(&reader->builder->remarks, REMARK_ERROR);
}

// A statement about the clip of this row; the section is the name's.
static Statement begin(const TruthReader *reader, TruthForm form, const char *name) {
    return (Statement){.form = form,
                       .set = SET_EVAL,
                       .domain = reader->domain,
                       .machine = reader->machine,
                       .section = "",
                       .name = name,
                       .telling = "",
                       .file = reader->path,
                       .line = reader->row.line};
}

// 0 or 1, also as 0.0 or 1.0; -1 for anything else.
static int binary(const char *text) {
    double value;
    return text_to_double(text, &value) != STATUS_OK || (value != 0 && value != 1) ? -1
                                                                                   : (int)value;
}

static bool check_name(TruthReader *reader, const char *name) {
    bool is_good = name[0] != '\0' && text_is_clean(name) && strlen(name) < LIMIT_NAME_BYTES;
    if (!is_good) {
        complain(reader, "not the name of a clip", name);
    }
    return is_good;
}

// "section_00_0001.wav,1" of ground_truth_data and ground_truth_domain.
static Status read_value(TruthReader *reader, TruthForm form) {
    const char *name = reader->row.fields[0];
    if (reader->row.count != 2) {
        complain(reader, "not a name and 0 or 1", "");
        return STATUS_OK;
    }
    if (!check_name(reader, name)) {
        return STATUS_OK;
    }
    Statement statement = begin(reader, form, name);
    int value = binary(reader->row.fields[1]);
    if (value < 0) {
        complain(reader, "neither 0 nor 1:", reader->row.fields[1]);
    } else if (form == FORM_LABELS) {
        statement.label = value == 1 ? LABEL_ANOMALY : LABEL_NORMAL;
    } else {
        statement.domain = value == 1 ? DOMAIN_TARGET : DOMAIN_SOURCE;
    }
    return truth_state(reader->builder, &statement);
}

// The telling name of a row, which must tell the label; its extension may be missing. False after a
// complaint.
static bool take_telling(TruthReader *reader, const char *telling, char out[LIMIT_NAME_BYTES]) {
    int used =
        snprintf(out, LIMIT_NAME_BYTES, "%s%s", telling, clipname_is_clip(telling) ? "" : ".wav");
    if (used < 0 || used >= LIMIT_NAME_BYTES || !text_is_clean(telling)) {
        complain(reader, "not the name of a clip", telling);
        return false;
    }
    if (clipname_read(out).label == LABEL_UNKNOWN) {
        complain(reader, "this name tells neither normal nor anomaly:", telling);
        return false;
    }
    return true;
}

// What both names of a row tell must be the same; what the clip itself is called is believed.
static void compare_names(TruthReader *reader, const char *name, const char *telling) {
    ClipName clip = clipname_read(name), told = clipname_read(telling);
    bool other_section = clip.section[0] != '\0' && told.section[0] != '\0' &&
                         strcmp(clip.section, told.section) != 0;
    bool other_domain = clip.domain != DOMAIN_UNKNOWN && told.domain != DOMAIN_UNKNOWN &&
                        clip.domain != told.domain;
    if (other_section || other_domain) {
        csv_reader_fail(reader->csv, &reader->row, STATUS_FORMAT,
                        "%s is called %s, of another %s: its own name is believed", name, telling,
                        other_section ? "section" : "domain");
        remarks_add_status(&reader->builder->remarks, REMARK_WARNING);
    }
}

// "anonymous.wav,telling", and in 2020's list a third field, the label again.
static Status read_pair(TruthReader *reader, TruthForm form) {
    const CsvRow *row = &reader->row;
    char telling[LIMIT_NAME_BYTES];
    if (row->count != 2 && !(row->count == 3 && form == FORM_LIST)) {
        complain(reader, "not an anonymous and a telling name", "");
        return STATUS_OK;
    }
    if (!check_name(reader, row->fields[0])) {
        return STATUS_OK;
    }
    Statement statement = begin(reader, form, row->fields[0]);
    ClipLabel told = LABEL_UNKNOWN;
    if (take_telling(reader, row->fields[1], telling)) {
        statement.telling = telling;
        told = clipname_read(telling).label;
        compare_names(reader, row->fields[0], telling);
    }
    if (row->count == 3) {
        int value = binary(row->fields[2]);
        ClipLabel third = value == 1 ? LABEL_ANOMALY : LABEL_NORMAL;
        if (value < 0) {
            complain(reader, "the third field is neither 0 nor 1:", row->fields[2]);
        } else if (told != LABEL_UNKNOWN && third != told) {
            csv_reader_fail(reader->csv, row, STATUS_FORMAT,
                            "%s says %s, its third field %s: the field is believed", row->fields[1],
                            clipname_label_text(told), row->fields[2]);
            remarks_add_status(&reader->builder->remarks, REMARK_WARNING);
        }
        statement.label = value < 0 ? LABEL_UNKNOWN : third;
    }
    return truth_state(reader->builder, &statement);
}

// Of a correspondence file either column may be the telling one.
static Status read_correspondence(TruthReader *reader) {
    CsvRow *row = &reader->row;
    if (row->count == 2 && clipname_read(row->fields[0]).label != LABEL_UNKNOWN &&
        clipname_read(row->fields[1]).label == LABEL_UNKNOWN) {
        const char *telling = row->fields[0];
        row->fields[0] = row->fields[1];
        row->fields[1] = telling;
    }
    char name[LIMIT_NAME_BYTES], telling[LIMIT_NAME_BYTES];
    if (row->count == 2) { // paths are legal there
        text_copy(telling, sizeof telling, file_name(row->fields[1]));
        row->fields[1] = telling;
        const char *hidden = file_name(row->fields[0]);
        snprintf(name, sizeof name, "%s%s", hidden, clipname_is_clip(hidden) ? "" : ".wav");
        row->fields[0] = name;
    }
    return read_pair(reader, FORM_CORRESPONDENCE);
}

// A line of one field names the machine of those that follow.
static Status read_list_row(TruthReader *reader) {
    const char *first = reader->row.fields[0];
    bool rest_is_empty = true;
    for (size_t i = 1; i < reader->row.count; i++) {
        rest_is_empty = rest_is_empty && reader->row.fields[i][0] == '\0';
    }
    if (rest_is_empty) {
        bool is_good = first[0] != '\0' && text_is_clean(first) && !clipname_is_clip(first) &&
                       text_copy(reader->machine, sizeof reader->machine, first);
        if (!is_good) {
            complain(reader, "not the name of a machine:", first);
        }
        return STATUS_OK;
    }
    if (reader->machine[0] == '\0') {
        complain(reader, "a clip before any line that names a machine", "");
        return STATUS_OK;
    }
    return read_pair(reader, FORM_LIST);
}

static Status read_row(TruthReader *reader, TruthForm form) {
    switch (form) {
    case FORM_LABELS:
    case FORM_DOMAINS:
        return read_value(reader, form);
    case FORM_ATTRIBUTES:
        return read_pair(reader, form);
    case FORM_LIST:
        return read_list_row(reader);
    case FORM_CORRESPONDENCE:
        return read_correspondence(reader);
    case FORM_DATA:
    case FORM_NONE:
        break;
    }
    return STATUS_OK;
}

// ---- files ----

// ground_truth_<machine>_section_NN[_source|_target]_test.csv; false when the name is none such.
static bool machine_of_ground_truth(TruthReader *reader) {
    const char *name = file_name(reader->path) + strlen("ground_truth_");
    const char *end = NULL;
    for (const char *at = name; (at = strstr(at, "_section_")) != NULL; at++) {
        end = at;
    }
    for (const char *at = name; end == NULL && (at = strstr(at, "_id_")) != NULL; at++) {
        end = at;
    }
    if (end == NULL || end == name || (size_t)(end - name) >= sizeof reader->machine) {
        return false;
    }
    memcpy(reader->machine, name, (size_t)(end - name));
    reader->machine[end - name] = '\0';
    reader->domain = strstr(end, "_source_") != NULL   ? DOMAIN_SOURCE
                     : strstr(end, "_target_") != NULL ? DOMAIN_TARGET
                                                       : DOMAIN_UNKNOWN;
    return true;
}

static bool machine_of_folder(TruthReader *reader) {
    char folder[LIMIT_PATH_BYTES];
    text_copy(folder, sizeof folder, reader->path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    return slash != NULL && text_copy(reader->machine, sizeof reader->machine, file_name(folder)) &&
           reader->machine[0] != '\0';
}

static bool find_machine(TruthReader *reader, TruthForm form) {
    return form == FORM_LIST             ? true
           : form == FORM_CORRESPONDENCE ? machine_of_folder(reader)
                                         : machine_of_ground_truth(reader);
}

static bool is_header(const CsvRow *row, TruthForm form) {
    return form == FORM_CORRESPONDENCE && row->count > 0 &&
           strcmp(row->fields[0], "source_file_name") == 0;
}

Status truth_file_read(TruthBuilder *builder, const char *path, TruthForm form) {
    TruthReader reader = {.builder = builder, .path = path};
    if (!find_machine(&reader, form)) {
        remarks_add(&builder->remarks, REMARK_ERROR, "%s: its name tells no machine and section",
                    path);
        return STATUS_OK;
    }
    Status read = csv_reader_open(path, &reader.csv), status = read;
    while (status == STATUS_OK) {
        read = csv_reader_next(reader.csv, &reader.row);
        if (read != STATUS_OK || reader.row.count == 0) {
            break;
        }
        if (!is_header(&reader.row, form)) {
            status = read_row(&reader, form);
        }
    }
    if (status == STATUS_OK && read != STATUS_OK) {
        remarks_add(&builder->remarks, REMARK_ERROR, "%s: the rest of it is not read",
                    status_message());
    } else if (read != STATUS_OK && read != STATUS_MEMORY) {
        remarks_add_status(&builder->remarks, REMARK_ERROR); // it could not be opened
        status = STATUS_OK;
    }
    csv_reader_free(reader.csv);
    return status;
}
