// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/record.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "coordinator/dataset/builder.h"

// Raised when a line changes; a record of another version cannot be compared and is not.
static const char HEAD[] = "auscult data 1";

// No text of a Dataset has a control character in it, so tabs and newlines part them.
void dataset_record_write(const Dataset *dataset, Buffer *out) {
    buffer_format(out, "%s\n", HEAD);
    for (uint32_t m = 0; m < dataset->machine_count; m++) {
        const Machine *machine = &dataset->machines[m];
        buffer_format(out, "machine\t%d\t%s\n", (int)machine->set, machine->name);
        for (uint32_t i = 0; i < machine->clip_count; i++) {
            const Clip *clip = &dataset->clips[machine->first_clip + i];
            buffer_format(out, "%d\t%d\t%d\t%u\t%" PRIu64 "\t%" PRId64 "\t", (int)clip->split,
                          (int)clip->domain, (int)clip->label, clip->root, clip->size_bytes,
                          clip->mtime_ns);
            buffer_text(out, clip->section);
            buffer_text(out, "\t");
            buffer_text(out, clip->path);
            buffer_text(out, "\t");
            buffer_text(out, clip->left_out != NULL ? clip->left_out : "");
            buffer_text(out, "\n");
        }
    }
}

typedef struct Reader {
    Builder builder;
    const char *machine; // that the next clips belong to
    ClipSet set;
} Reader;

// The next field of the line, -1 when it is no number in the range.
static int64_t take_number(char **line, int64_t least, int64_t most) {
    char *field = strsep(line, "\t");
    int64_t value;
    bool fine =
        field != NULL && text_to_int(field, &value) == STATUS_OK && value >= least && value <= most;
    return fine ? value : -1;
}

static Status malformed(void) {
    return status_set(STATUS_FORMAT, "the record of the data is not well formed");
}

static Status read_machine(Reader *reader, char *line) {
    int64_t set = take_number(&line, SET_DEV, SET_PLAIN);
    if (set < 0 || line == NULL || line[0] == '\0') {
        return malformed();
    }
    reader->set = (ClipSet)set;
    reader->machine = memory_text(reader->builder.memory, line);
    return reader->machine != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status read_clip(Reader *reader, char *line) {
    int64_t split = take_number(&line, SPLIT_UNKNOWN, SPLIT_SUPPLEMENTAL);
    int64_t domain = take_number(&line, DOMAIN_UNKNOWN, DOMAIN_TARGET);
    int64_t label = take_number(&line, LABEL_UNKNOWN, LABEL_ANOMALY);
    int64_t root = take_number(&line, 0, LIMIT_ROOTS - 1);
    int64_t size = take_number(&line, 0, INT64_MAX);
    char *mtime_text = strsep(&line, "\t");
    char *section = strsep(&line, "\t");
    char *path = strsep(&line, "\t");
    int64_t mtime; // may be before 1970
    if (split < 0 || domain < 0 || label < 0 || root < 0 || size < 0 || path == NULL ||
        line == NULL || reader->machine == NULL || !file_is_safe_relative(path) ||
        text_to_int(mtime_text, &mtime) != STATUS_OK) {
        return malformed();
    }
    Found *found = builder_add_found(&reader->builder);
    if (found == NULL) {
        return STATUS_MEMORY;
    }
    DatasetMemory *memory = reader->builder.memory;
    found->machine = reader->machine;
    found->set = reader->set;
    found->clip = (Clip){.path = memory_text(memory, path),
                         .section = memory_text(memory, section),
                         .size_bytes = (uint64_t)size,
                         .mtime_ns = mtime,
                         .root = (uint32_t)root,
                         .split = (ClipSplit)split,
                         .domain = (ClipDomain)domain,
                         .label = (ClipLabel)label};
    if (found->clip.path == NULL || found->clip.section == NULL) {
        return STATUS_MEMORY;
    }
    found->clip.name = file_name(found->clip.path);
    found->clip.left_out = line[0] != '\0' ? memory_text(memory, line) : NULL;
    return line[0] == '\0' || found->clip.left_out != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status read_lines(Reader *reader, char *text) {
    char *line = strsep(&text, "\n");
    if (strcmp(line, HEAD) != 0) {
        return malformed();
    }
    Status status = builder_add_place(&reader->builder) != NULL ? STATUS_OK : STATUS_MEMORY;
    while (status == STATUS_OK && (line = strsep(&text, "\n")) != NULL && line[0] != '\0') {
        bool is_machine = strncmp(line, "machine\t", 8) == 0;
        status = is_machine ? read_machine(reader, line + 8) : read_clip(reader, line);
    }
    return status;
}

Status dataset_record_read(const Buffer *record, Dataset **ret_dataset) {
    DatasetOptions options = {.root_count = LIMIT_ROOTS};
    Reader reader = {.machine = NULL};
    Buffer text = BUFFER_EMPTY;
    buffer_append(&text, buffer_cstr(record), record->size);
    Status status = text.status;
    if (status == STATUS_OK) {
        status = builder_init(&reader.builder, &options);
    }
    if (status == STATUS_OK && text.size == 0) {
        status = malformed();
    }
    if (status == STATUS_OK) {
        status = read_lines(&reader, text.bytes);
    }
    if (status == STATUS_OK) {
        status = builder_finish(&reader.builder, ret_dataset);
    }
    builder_done(&reader.builder);
    buffer_done(&text);
    return status;
}
