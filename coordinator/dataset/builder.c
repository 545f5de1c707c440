// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/dataset/attributes.h"

// Blocks of one size, filled from the start; what is larger gets a block of its own.
#define MEMORY_BLOCK_BYTES 65536

struct DatasetMemory {
    struct DatasetMemory *next; // older block
    size_t used, size;          // bytes of `bytes`
    char *bytes;
};

static DatasetMemory *memory_block(size_t size) {
    DatasetMemory *block = mem_new(1, sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    block->bytes = mem_new(1, size);
    block->size = size;
    if (block->bytes == NULL) {
        mem_free(block);
        return NULL;
    }
    return block;
}

DatasetMemory *memory_begin(void) {
    return memory_block(MEMORY_BLOCK_BYTES);
}

void *memory_new(DatasetMemory *memory, size_t count, size_t size) {
    size_t bytes = (count * size + 15) & ~(size_t)15;
    if (memory->size - memory->used < bytes) {
        DatasetMemory *block =
            memory_block(bytes > MEMORY_BLOCK_BYTES ? bytes : MEMORY_BLOCK_BYTES);
        if (block == NULL) {
            return NULL;
        }
        // The head stays the head, so that nobody's pointer to it grows stale: the new block
        // becomes the current one by changing places with it.
        DatasetMemory old = *memory;
        *memory = *block;
        *block = old;
        memory->next = block;
    }
    void *result = memory->bytes + memory->used;
    memory->used += bytes;
    return result;
}

char *memory_text(DatasetMemory *memory, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = memory_new(memory, 1, size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void memory_free(DatasetMemory *memory) {
    while (memory != NULL) {
        DatasetMemory *next = memory->next;
        mem_free(memory->bytes);
        mem_free(memory);
        memory = next;
    }
}

Status builder_init(Builder *builder, const DatasetOptions *options) {
    *builder = (Builder){.options = options};
    builder->memory = memory_begin();
    return builder->memory != NULL ? STATUS_OK : STATUS_MEMORY;
}

void builder_done(Builder *builder) {
    mem_free(builder->found);
    mem_free(builder->places);
    mem_free(builder->side_files);
    mem_free(builder->left_out);
    mem_free(builder->warnings.texts);
    mem_free(builder->notes.texts);
    memory_free(builder->memory);
    *builder = (Builder){0};
}

Found *builder_add_found(Builder *b) {
    if (b->found_count >= LIMIT_CLIPS) {
        status_set(STATUS_LIMIT, "more than %u clips", LIMIT_CLIPS);
        return NULL;
    }
    if (!mem_grow(&b->found, b->found_count, &b->found_capacity, sizeof *b->found)) {
        return NULL;
    }
    Found *found = &b->found[b->found_count++];
    *found = (Found){.clip = {.path = "", .name = "", .section = ""}, .machine = ""};
    return found;
}

Place *builder_add_place(Builder *b) {
    if (b->place_count >= LIMIT_MACHINES) {
        status_set(STATUS_LIMIT, "more than %u machine folders", LIMIT_MACHINES);
        return NULL;
    }
    if (!mem_grow(&b->places, b->place_count, &b->place_capacity, sizeof *b->places)) {
        return NULL;
    }
    Place *place = &b->places[b->place_count++];
    *place = (Place){.machine = "", .path = "", .first_found = b->found_count};
    return place;
}

SideFile *builder_add_side_file(Builder *b) {
    if (!mem_grow(&b->side_files, b->side_file_count, &b->side_file_capacity,
                  sizeof *b->side_files)) {
        return NULL;
    }
    SideFile *file = &b->side_files[b->side_file_count++];
    *file = (SideFile){.path = ""};
    return file;
}

static Status add_text(Builder *b, TextList *list, const char *text) {
    if (!mem_grow(&list->texts, list->count, &list->capacity, sizeof *list->texts)) {
        return STATUS_MEMORY;
    }
    const char *copy = memory_text(b->memory, text);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    list->texts[list->count++] = copy;
    return STATUS_OK;
}

// A warning may hold a path and a message that holds a path.
#define TEXT_BYTES (2 * LIMIT_PATH_BYTES)

Status builder_warn(Builder *builder, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char clean[TEXT_BYTES];
    builder_escape(text, clean, sizeof clean);
    return add_text(builder, &builder->warnings, clean);
}

Status builder_note(Builder *builder, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return add_text(builder, &builder->notes, text);
}

const char *builder_reason(Builder *builder, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return memory_text(builder->memory, text);
}

Status builder_leave_out(Builder *b, uint32_t root, const char *machine, const char *path,
                         const char *reason) {
    char clean[LIMIT_PATH_BYTES];
    builder_escape(path, clean, sizeof clean);
    if (!mem_grow(&b->left_out, b->left_out_count, &b->left_out_capacity, sizeof *b->left_out)) {
        return STATUS_MEMORY;
    }
    LeftOut item = {.clip = -1};
    item.machine = memory_text(b->memory, machine);
    item.path = memory_text(b->memory, clean);
    item.reason = memory_text(b->memory, reason);
    if (item.machine == NULL || item.path == NULL || item.reason == NULL) {
        return STATUS_MEMORY;
    }
    b->left_out[b->left_out_count++] = item;
    return builder_warn(b, "%s/%s: left out: %s", b->options->roots[root], path, reason);
}

// Bytes of clean UTF-8 at the start of `text`, 0 when it does not start so.
static size_t clean_prefix(const char *text) {
    char piece[5] = "";
    for (size_t i = 0; i < 4 && text[i] != '\0'; i++) {
        piece[i] = text[i];
        if (text_is_clean(piece)) {
            return i + 1;
        }
    }
    return 0;
}

void builder_escape(const char *text, char *out, size_t size) {
    size_t used = 0;
    while (*text != '\0' && used + 5 < size) {
        size_t clean = clean_prefix(text);
        if (clean > 0) {
            memcpy(out + used, text, clean);
            used += clean;
            text += clean;
        } else {
            used += (size_t)snprintf(out + used, size - used, "\\x%02X", (unsigned char)*text);
            text++;
        }
    }
    out[used] = '\0';
}

static ClipSplit split_of_folder(FolderKind folder, ClipSplit said) {
    switch (folder) {
    case FOLDER_TRAIN:
        // Noise and clean-machine clips are never trained on, wherever somebody put them.
        return said == SPLIT_SUPPLEMENTAL ? said : SPLIT_TRAIN;
    case FOLDER_TEST:
    case FOLDER_SOURCE_TEST:
    case FOLDER_TARGET_TEST:
    case FOLDER_TEST_RENAME:
        return SPLIT_TEST;
    case FOLDER_SUPPLEMENTAL:
        return SPLIT_SUPPLEMENTAL;
    case FOLDER_NONE:
        break;
    }
    return said;
}

static ClipDomain domain_of_folder(FolderKind folder) {
    return folder == FOLDER_SOURCE_TEST   ? DOMAIN_SOURCE
           : folder == FOLDER_TARGET_TEST ? DOMAIN_TARGET
                                          : DOMAIN_UNKNOWN;
}

Status builder_understand(Builder *b, Found *found) {
    Clip *clip = &found->clip;
    clip->name = file_name(clip->path);
    ClipName name = clipname_read(clip->name);
    clip->keyword = name.keyword;
    clip->domain = name.domain != DOMAIN_UNKNOWN ? name.domain : domain_of_folder(found->folder);
    clip->label = name.label;
    clip->split = split_of_folder(found->folder, name.split);
    if (name.section[0] != '\0' && (clip->section = memory_text(b->memory, name.section)) == NULL) {
        clip->section = "";
        return STATUS_MEMORY;
    }
    return attributes_of_name(b->memory, name.attributes, clip);
}

static int rank_of(const Found *found) {
    return found->folder == FOLDER_TEST_RENAME ? 9 : (int)found->clip.split;
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_found(const void *left, const void *right) {
    const Found *a = left, *b = right;
    int order = ORDER(a->set, b->set);
    order = order != 0 ? order : strcmp(a->machine, b->machine);
    order = order != 0 ? order : ORDER(rank_of(a), rank_of(b));
    order = order != 0 ? order : strcmp(a->clip.path, b->clip.path);
    order = order != 0 ? order : ORDER(a->clip.size_bytes, b->clip.size_bytes);
    order = order != 0 ? order : ORDER(a->clip.mtime_ns, b->clip.mtime_ns);
    return order != 0 ? order : ORDER(a->clip.root, b->clip.root);
}

void builder_sort(Builder *b) {
    if (b->found_count > 0) {
        qsort(b->found, b->found_count, sizeof *b->found, compare_found);
    }
}

static bool same_machine(const Found *a, const Found *b) {
    return a->set == b->set && strcmp(a->machine, b->machine) == 0;
}

static void count_clip(Machine *machine, const Clip *clip) {
    machine->clip_count++;
    machine->train_count += clip->split == SPLIT_TRAIN;
    machine->test_count += clip->split == SPLIT_TEST;
    machine->supplemental_count += clip->split == SPLIT_SUPPLEMENTAL;
}

// Of a machine whose places are of different years, until it has been warned of.
#define YEAR_CONFLICT (-1)

static void merge_year(Machine *machine, int32_t year) {
    if (machine->year == 0) {
        machine->year = year;
    } else if (year != 0 && year != machine->year) {
        machine->year = YEAR_CONFLICT;
    }
}

// Machine names repeat over the years, and those machines are not the same.
static Status settle_year(Builder *b, Machine *machine) {
    if (machine->year != YEAR_CONFLICT) {
        return STATUS_OK;
    }
    machine->year = 0;
    return builder_warn(b,
                        "%s (%s): clips of different years are taken as one machine: give the data "
                        "of one year only if that is not meant",
                        machine->name, dataset_set_text(machine->set));
}

static Status warn_of_machine(Builder *b, Machine *machine, const Clip *clips) {
    uint32_t usable = 0;
    for (uint32_t i = 0; i < machine->train_count; i++) {
        usable += clips[machine->first_clip + i].left_out == NULL;
    }
    const char *set = dataset_set_text(machine->set);
    Status status = settle_year(b, machine);
    if (status == STATUS_OK && usable == 0) {
        status = builder_warn(b, "%s (%s): no training clips", machine->name, set);
    }
    if (status == STATUS_OK && machine->test_count == 0) {
        status = builder_warn(b, "%s (%s): no test clips", machine->name, set);
    }
    return status;
}

// Drops what is dropped; returns the number of machines that are left.
static uint32_t compact(Builder *b) {
    uint32_t kept = 0, machines = 0;
    for (uint32_t i = 0; i < b->found_count; i++) {
        if (!b->found[i].dropped) {
            b->found[kept] = b->found[i];
            machines += kept == 0 || !same_machine(&b->found[kept - 1], &b->found[kept]);
            kept++;
        }
    }
    b->found_count = kept;
    return machines;
}

static Status fill_tables(Builder *b, Clip *clips, Machine *machines) {
    Machine *machine = machines - 1;
    for (uint32_t i = 0; i < b->found_count; i++) {
        const Found *found = &b->found[i];
        bool first = i == 0 || !same_machine(&b->found[i - 1], found);
        if (first) {
            machine++;
            *machine = (Machine){.name = found->machine, .set = found->set, .first_clip = i};
        }
        merge_year(machine, b->places[found->place].year);
        clips[i] = found->clip;
        clips[i].machine = (uint32_t)(machine - machines);
        count_clip(machine, &clips[i]);
        if (clips[i].left_out != NULL) {
            if (!mem_grow(&b->left_out, b->left_out_count, &b->left_out_capacity,
                          sizeof *b->left_out)) {
                return STATUS_MEMORY;
            }
            b->left_out[b->left_out_count++] = (LeftOut){.clip = i,
                                                         .machine = machine->name,
                                                         .path = clips[i].path,
                                                         .reason = clips[i].left_out};
        }
    }
    return STATUS_OK;
}

static void *keep(Builder *b, const void *items, size_t count, size_t size) {
    void *copy = memory_new(b->memory, count > 0 ? count : 1, size);
    return copy == NULL || count == 0 ? copy : memcpy(copy, items, count * size);
}

Status builder_finish(Builder *b, Dataset **ret_dataset) {
    builder_sort(b);
    uint32_t machine_count = compact(b);
    Dataset *dataset = memory_new(b->memory, 1, sizeof *dataset);
    Clip *clips = memory_new(b->memory, b->found_count + 1, sizeof *clips);
    Machine *machines = memory_new(b->memory, machine_count + 1, sizeof *machines);
    if (dataset == NULL || clips == NULL || machines == NULL) {
        return STATUS_MEMORY;
    }
    Status status = fill_tables(b, clips, machines);
    for (uint32_t i = 0; i < machine_count && status == STATUS_OK; i++) {
        status = warn_of_machine(b, &machines[i], clips);
    }
    if (status != STATUS_OK) {
        return status;
    }
    *dataset = (Dataset){
        .clips = clips,
        .clip_count = b->found_count,
        .machines = machines,
        .machine_count = machine_count,
        .left_out = keep(b, b->left_out, b->left_out_count, sizeof *b->left_out),
        .left_out_count = b->left_out_count,
        .warnings = keep(b, b->warnings.texts, b->warnings.count, sizeof *b->warnings.texts),
        .warning_count = b->warnings.count,
        .notes = keep(b, b->notes.texts, b->notes.count, sizeof *b->notes.texts),
        .note_count = b->notes.count,
        .root_count = b->options->root_count,
        .memory = b->memory,
    };
    if (dataset->left_out == NULL || dataset->warnings == NULL || dataset->notes == NULL) {
        return STATUS_MEMORY;
    }
    b->memory = NULL;
    *ret_dataset = dataset;
    return STATUS_OK;
}
