// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/system.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/store/csv.h"

// What a system says of one clip of the truth.
typedef struct Said {
    double score;
    bool is_anomaly;
    size_t score_line, decision_line; // 0: nothing yet
} Said;

// The clips of one section: a run of the truth.
typedef struct Part {
    uint32_t first, count, labelled;
    ClipSet set;
    bool is_wanted;         // of the set that is judged
    const char *score_file; // the first of its kind, NULL for none
    const char *decision_file;
} Part;

typedef struct Judge {
    const Truth *truth;
    const SystemFiles *files;
    Remarks *remarks;
    Said *said;  // (truth->count)
    Part *parts; // (part_count)
    uint32_t part_count;
    bool has_predictions;
} Judge;

// ---- sections ----

static Status cut_parts(Judge *judge) {
    const Truth *truth = judge->truth;
    judge->said = mem_new(truth->count + 1, sizeof *judge->said);
    judge->parts = mem_new(truth->count + 1, sizeof *judge->parts);
    if (judge->said == NULL || judge->parts == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < truth->count; i++) {
        const TruthClip *clip = &truth->clips[i];
        bool is_new = i == 0 || strcmp(clip->machine, clip[-1].machine) != 0 ||
                      strcmp(clip->section, clip[-1].section) != 0;
        if (is_new) {
            judge->parts[judge->part_count++] = (Part){.first = i, .set = clip->set};
        }
        Part *part = &judge->parts[judge->part_count - 1];
        part->count++;
        part->labelled += clip->label != LABEL_UNKNOWN;
    }
    return STATUS_OK;
}

static const TruthClip *clip_of(const Judge *judge, const Part *part) {
    return &judge->truth->clips[part->first];
}

static Part *find_part(const Judge *judge, const char *machine, const char *section) {
    for (uint32_t p = 0; p < judge->part_count; p++) {
        const TruthClip *clip = clip_of(judge, &judge->parts[p]);
        if (strcmp(clip->machine, machine) == 0 && truth_same_section(clip->section, section)) {
            return &judge->parts[p];
        }
    }
    return NULL;
}

// Which sets the system has files for; a bit each.
static unsigned sets_of_files(const Judge *judge) {
    unsigned sets = 0;
    for (uint32_t f = 0; f < judge->files->count; f++) {
        const ScoreName *name = &judge->files->files[f].name;
        const Part *part = find_part(judge, name->machine, name->section);
        sets |= part != NULL ? 1u << part->set : 0;
    }
    return sets;
}

static unsigned sets_of_truth(const Judge *judge) {
    unsigned sets = 0;
    for (uint32_t p = 0; p < judge->part_count; p++) {
        sets |= judge->parts[p].labelled > 0 ? 1u << judge->parts[p].set : 0;
    }
    return sets;
}

static void choose_set(Judge *judge, int wanted, SystemScores *scores) {
    unsigned named = sets_of_files(judge), known = sets_of_truth(judge);
    unsigned sets = judge->has_predictions ? known : named;
    scores->is_elsewhere = !judge->has_predictions && named == 0;
    int set = wanted >= 0             ? wanted
              : sets >> SET_EVAL & 1u ? (int)SET_EVAL
              : sets >> SET_DEV & 1u  ? (int)SET_DEV
                                      : (int)SET_PLAIN;
    for (uint32_t p = 0; p < judge->part_count; p++) {
        judge->parts[p].is_wanted = (int)judge->parts[p].set == set;
    }
    if (wanted < 0 && (known & (known - 1)) != 0) {
        remarks_add(judge->remarks, REMARK_NOTE,
                    "the ground truth has several sets; judged is %s (--set says another)",
                    dataset_set_text((ClipSet)set));
    }
}

// ---- rows ----

typedef struct FileReader {
    Judge *judge;
    const ScoreFile *file;
    CsvReader *csv;
    CsvRow row;
    Part *part;     // of its section, NULL for predictions
    int columns[5]; // of predictions: name, machine, score, decision
} FileReader;

__attribute__((format(printf, 2, 3))) static void complain(FileReader *reader, const char *format,
                                                           ...) {
    char text[LIMIT_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    csv_reader_fail(reader->csv, &reader->row, STATUS_FORMAT, "%s", text);
    remarks_add_status(reader->judge->remarks, REMARK_ERROR);
}

// The field without spaces around it, in `out`; they are warned of, for no other program takes
// them.
static const char *trimmed(FileReader *reader, const char *field, char out[LIMIT_NAME_BYTES]) {
    size_t lead = strspn(field, " \t"), size = strlen(field + lead);
    while (size > 0 && strchr(" \t", field[lead + size - 1]) != NULL) {
        size--;
    }
    if (lead == 0 && field[size] == '\0') {
        return field;
    }
    snprintf(out, LIMIT_NAME_BYTES, "%.*s", (int)size, field + lead);
    csv_reader_fail(reader->csv, &reader->row, STATUS_FORMAT, "spaces around '%s'", out);
    remarks_add_status(reader->judge->remarks, REMARK_WARNING);
    return out;
}

// The clip that a row names; NULL after a complaint, or when it is not judged.
static const TruthClip *find_clip(FileReader *reader, const char *machine, const char *name) {
    const TruthClip *clip = truth_find(reader->judge->truth, machine, name);
    if (clip == NULL) {
        complain(reader, "the ground truth has no clip '%s' of this machine", name);
        return NULL;
    }
    const TruthClip *own = reader->part != NULL ? clip_of(reader->judge, reader->part) : clip;
    if (!truth_same_section(own->section, clip->section)) {
        complain(reader, "'%s' is a clip of another section", name);
        return NULL;
    }
    return clip;
}

static Said *said_of(const FileReader *reader, const TruthClip *clip) {
    return &reader->judge->said[clip - reader->judge->truth->clips];
}

// Marks that a clip has its row; false after a complaint when it has one already.
static bool mark(FileReader *reader, const char *name, size_t *line) {
    if (*line != 0) {
        complain(reader, "%s again, first at line %zu", name, *line);
        return false;
    }
    *line = reader->row.line;
    return true;
}

static void take_score(FileReader *reader, const TruthClip *clip, const char *name,
                       const char *text) {
    Said *said = said_of(reader, clip);
    if (!mark(reader, name, &said->score_line)) {
        return;
    }
    if (text_to_double(text, &said->score) != STATUS_OK) {
        complain(reader, "the score '%s' is no number", text);
    } else if (!isfinite(said->score)) {
        complain(reader, "the score is '%s', it must be finite", text);
    }
}

static void take_decision(FileReader *reader, const TruthClip *clip, const char *name,
                          const char *text) {
    Said *said = said_of(reader, clip);
    double value;
    if (!mark(reader, name, &said->decision_line)) {
        return;
    }
    if (text_to_double(text, &value) != STATUS_OK || (value != 0 && value != 1)) {
        complain(reader, "the decision '%s' is neither 0 nor 1", text);
    } else {
        said->is_anomaly = value == 1;
    }
}

static void read_score_row(FileReader *reader) {
    char name_room[LIMIT_NAME_BYTES], value_room[LIMIT_NAME_BYTES];
    if (reader->row.count != 2) {
        complain(reader, "%s", "not two fields, a clip's name and a number");
        return;
    }
    const char *name = trimmed(reader, reader->row.fields[0], name_room);
    const char *value = trimmed(reader, reader->row.fields[1], value_room);
    const TruthClip *clip = find_clip(reader, reader->file->name.machine, name);
    if (clip != NULL && reader->file->name.kind == SCORE_VALUES) {
        take_score(reader, clip, name, value);
    } else if (clip != NULL) {
        take_decision(reader, clip, name, value);
    }
}

// ---- predictions of a run ----

enum { COLUMN_NAME, COLUMN_MACHINE, COLUMN_SCORE, COLUMN_DECISION, COLUMNS };

// From the header; false after a complaint.
static bool find_columns(FileReader *reader) {
    static const char *const NAMES[COLUMNS] = {"file_name", "machine_type", "reconstruction_error",
                                               "is_anomaly"};
    for (int c = 0; c < COLUMNS; c++) {
        reader->columns[c] = -1;
        for (size_t i = 0; i < reader->row.count; i++) {
            if (strcmp(reader->row.fields[i], NAMES[c]) == 0) {
                reader->columns[c] = (int)i;
            }
        }
        if (reader->columns[c] < 0) {
            complain(reader, "there is no column %s", NAMES[c]);
            return false;
        }
    }
    return true;
}

// Clips that nobody has labelled are no fault of a run's table, which has all test clips.
static void read_prediction(FileReader *reader) {
    const CsvRow *row = &reader->row;
    for (int c = 0; c < COLUMNS; c++) {
        if ((size_t)reader->columns[c] >= row->count) {
            complain(reader, "%s", "fewer fields than the header");
            return;
        }
    }
    const char *name = row->fields[reader->columns[COLUMN_NAME]];
    const TruthClip *clip =
        truth_find(reader->judge->truth, row->fields[reader->columns[COLUMN_MACHINE]], name);
    if (clip != NULL) {
        take_score(reader, clip, name, row->fields[reader->columns[COLUMN_SCORE]]);
        take_decision(reader, clip, name, row->fields[reader->columns[COLUMN_DECISION]]);
    }
}

// ---- files ----

// What Python's csv or the evaluator's float() and sorted() take amiss: named by the first line.
static void warn_of_form(Remarks *remarks, const char *path, const Buffer *text) {
    const char *bytes = buffer_cstr(text);
    size_t line = 1, carriage = 0, blank = 0;
    bool is_empty = true;
    for (size_t i = 0; i < text->size; i++) {
        if (bytes[i] == '\n') {
            blank = blank == 0 && is_empty ? line : blank;
            is_empty = true;
            line++;
        } else if (bytes[i] == '\r') {
            carriage = carriage == 0 ? line : carriage;
        } else {
            is_empty = false;
        }
    }
    if (text->size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        remarks_add(remarks, REMARK_WARNING, "%s:1: a byte-order mark before the first name", path);
    }
    if (carriage > 0) {
        remarks_add(remarks, REMARK_WARNING, "%s:%zu: lines end with CR LF, not LF", path,
                    carriage);
    }
    if (blank > 0) {
        remarks_add(remarks, REMARK_WARNING, "%s:%zu: a blank line", path, blank);
    }
}

static void read_rows(FileReader *reader) {
    bool is_table = reader->file->name.kind == SCORE_PREDICTIONS;
    Status status = csv_reader_next(reader->csv, &reader->row);
    if (is_table && status == STATUS_OK && reader->row.count > 0) {
        if (!find_columns(reader)) {
            return;
        }
        status = csv_reader_next(reader->csv, &reader->row);
    }
    while (status == STATUS_OK && reader->row.count > 0) {
        if (is_table) {
            read_prediction(reader);
        } else {
            read_score_row(reader);
        }
        status = csv_reader_next(reader->csv, &reader->row);
    }
    if (status != STATUS_OK) {
        remarks_add_status(reader->judge->remarks, REMARK_ERROR);
    }
}

static Status read_file(Judge *judge, const ScoreFile *file, Part *part) {
    FileReader reader = {.judge = judge, .file = file, .part = part};
    Buffer text = BUFFER_EMPTY;
    Status status = file_read(file->path, LIMIT_SIDE_BYTES, &text);
    if (status == STATUS_OK) {
        warn_of_form(judge->remarks, file->path, &text);
        status = csv_reader_from_text(file->path, buffer_cstr(&text), text.size, &reader.csv);
    }
    if (status == STATUS_OK) {
        read_rows(&reader);
    } else if (status != STATUS_MEMORY) {
        remarks_add_status(judge->remarks, REMARK_ERROR);
        status = STATUS_OK;
    }
    csv_reader_free(reader.csv);
    buffer_done(&text);
    return status;
}

static Status read_score_file(Judge *judge, const ScoreFile *file) {
    Part *part = find_part(judge, file->name.machine, file->name.section);
    if (part == NULL) {
        remarks_add(judge->remarks, REMARK_ERROR,
                    "%s: the ground truth has no section %s of a machine %s", file->path,
                    file->name.section, file->name.machine);
        return STATUS_OK;
    }
    if (!part->is_wanted) {
        return STATUS_OK; // of the other set
    }
    const char **first = file->name.kind == SCORE_VALUES ? &part->score_file : &part->decision_file;
    *first = *first != NULL ? *first : file->path;
    return read_file(judge, file, part);
}

static Status read_files(Judge *judge, SystemScores *scores) {
    Status status = STATUS_OK;
    for (uint32_t f = 0; f < judge->files->count && status == STATUS_OK; f++) {
        const ScoreFile *file = &judge->files->files[f];
        scores->year = file->name.year != 0 ? file->name.year : scores->year;
        status = file->name.kind == SCORE_PREDICTIONS ? read_file(judge, file, NULL)
                                                      : read_score_file(judge, file);
    }
    return status;
}

// ---- what is not there ----

// How many labelled clips of a section lack what `is_decision` says; one of them as an example.
static uint32_t count_missing(const Judge *judge, const Part *part, bool is_decision,
                              const char **ret_example) {
    uint32_t missing = 0;
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        const Said *said = &judge->said[i];
        bool is_there = (is_decision ? said->decision_line : said->score_line) != 0;
        if (!is_there && judge->truth->clips[i].label != LABEL_UNKNOWN) {
            *ret_example = missing++ == 0 ? judge->truth->clips[i].name : *ret_example;
        }
    }
    return missing;
}

static void check_rows(Judge *judge, const Part *part, bool is_decision) {
    const char *example = NULL;
    uint32_t missing = count_missing(judge, part, is_decision, &example);
    if (missing == 0) {
        return;
    }
    const TruthClip *clip = clip_of(judge, part);
    const char *file = is_decision ? part->decision_file : part->score_file;
    file = judge->has_predictions ? judge->files->files[0].path : file;
    if (file == NULL) {
        remarks_add(judge->remarks, REMARK_ERROR, "%s: no %s file of %s section %s",
                    judge->files->folder, is_decision ? "decision_result" : "anomaly_score",
                    clip->machine, clip->section[0] != '\0' ? clip->section : "00");
    } else if (missing == 1) {
        remarks_add(judge->remarks, REMARK_ERROR, "%s: no row for %s of %s", file, example,
                    clip->machine);
    } else {
        remarks_add(judge->remarks, REMARK_ERROR, "%s: no row for %s of %s and %u others", file,
                    example, clip->machine, missing - 1);
    }
}

static bool any_decision(const Judge *judge) {
    for (uint32_t p = 0; p < judge->part_count; p++) {
        if (judge->parts[p].decision_file != NULL) {
            return true;
        }
    }
    return judge->has_predictions;
}

static void check_complete(Judge *judge, SystemScores *scores) {
    bool has_decisions = any_decision(judge);
    for (uint32_t p = 0; p < judge->part_count; p++) {
        const Part *part = &judge->parts[p];
        if (part->is_wanted) {
            check_rows(judge, part, false);
        }
        if (part->is_wanted && has_decisions) {
            check_rows(judge, part, true);
        }
    }
    if (!has_decisions) {
        remarks_add(judge->remarks, REMARK_NOTE,
                    "%s: no decision_result files: precision, recall and F1 are undefined",
                    judge->files->folder);
    }
    scores->has_decisions = has_decisions;
}

// ---- all of it ----

static void take_clips(const Judge *judge, SystemScores *scores) {
    static const int DOMAINS[] = {[DOMAIN_UNKNOWN] = -1, [DOMAIN_SOURCE] = 0, [DOMAIN_TARGET] = 1};
    for (uint32_t p = 0; p < judge->part_count; p++) {
        const Part *part = &judge->parts[p];
        for (uint32_t i = part->first; part->is_wanted && i < part->first + part->count; i++) {
            const TruthClip *clip = &judge->truth->clips[i];
            const Said *said = &judge->said[i];
            if (clip->label == LABEL_UNKNOWN || said->score_line == 0) {
                continue;
            }
            scores->clips[scores->count++] =
                (JudgedClip){.machine = clip->machine,
                             .section = clip->section,
                             .attributes = clip->attributes,
                             .attribute_count = clip->attribute_count,
                             .metric = {.score = said->score,
                                        .domain = DOMAINS[clip->domain],
                                        .label = clip->label == LABEL_ANOMALY,
                                        .is_anomaly = said->is_anomaly}};
        }
    }
}

static Status judge_all(Judge *judge, int set, SystemScores *scores) {
    Status status = cut_parts(judge);
    if (status != STATUS_OK) {
        return status;
    }
    choose_set(judge, set, scores);
    if (scores->is_elsewhere) {
        return STATUS_OK;
    }
    status = read_files(judge, scores);
    if (status != STATUS_OK) {
        return status;
    }
    check_complete(judge, scores);
    scores->clips = mem_new(judge->truth->count + 1, sizeof *scores->clips);
    if (scores->clips == NULL) {
        return STATUS_MEMORY;
    }
    take_clips(judge, scores);
    return judge->remarks->status;
}

Status system_scores_read(const Truth *truth, int set, const SystemFiles *files,
                          SystemScores *ret_scores) {
    *ret_scores = (SystemScores){0};
    Judge judge = {.truth = truth, .files = files, .remarks = &ret_scores->remarks};
    judge.has_predictions = files->count > 0 && files->files[0].name.kind == SCORE_PREDICTIONS;
    Status status = judge_all(&judge, set, ret_scores);
    mem_free(judge.said);
    mem_free(judge.parts);
    return status;
}

void system_scores_done(SystemScores *scores) {
    remarks_done(&scores->remarks);
    mem_free(scores->clips);
    *scores = (SystemScores){0};
}
