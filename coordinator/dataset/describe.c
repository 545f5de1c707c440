// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/describe.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "coordinator/dataset/attributes.h"
#include "coordinator/table.h"

// Distinct words in the order they came; beyond WORDS_MAX it is only known that there are more.
#define WORDS_MAX 12

typedef struct Words {
    const char *words[WORDS_MAX];
    uint32_t count;
    bool more;
} Words;

static void add_word(Words *words, const char *word) {
    if (word[0] == '\0') {
        return;
    }
    for (uint32_t i = 0; i < words->count; i++) {
        if (strcmp(words->words[i], word) == 0) {
            return;
        }
    }
    if (words->count == WORDS_MAX) {
        words->more = true;
    } else {
        words->words[words->count++] = word;
    }
}

static void words_text(const Words *words, Buffer *out) {
    buffer_clear(out);
    for (uint32_t i = 0; i < words->count; i++) {
        buffer_format(out, "%s%s", i > 0 ? "," : "", words->words[i]);
    }
    buffer_text(out, words->more ? ",..." : "");
}

typedef struct Summary {
    Words sections, attributes;
    uint32_t domains[DOMAIN_TARGET + 1];
    uint32_t labels[LABEL_ANOMALY + 1];
    uint32_t left_out;
} Summary;

static Summary summarise(const Dataset *dataset, const Machine *machine) {
    Summary summary = {0};
    for (uint32_t i = 0; i < machine->clip_count; i++) {
        const Clip *clip = &dataset->clips[machine->first_clip + i];
        add_word(&summary.sections, clip->section);
        for (uint32_t a = 0; a < clip->attribute_count; a++) {
            add_word(&summary.attributes, clip->attributes[a].name);
        }
        bool counts = clip->split != SPLIT_SUPPLEMENTAL && clip->left_out == NULL;
        summary.domains[clip->domain] += counts;
        summary.labels[clip->label] += counts;
        summary.left_out += clip->left_out != NULL;
    }
    return summary;
}

static void add_machine(Table *table, const Dataset *dataset, const Machine *machine,
                        Buffer *words) {
    Summary summary = summarise(dataset, machine);
    table_text(table, dataset_set_text(machine->set));
    table_text(table, machine->name);
    if (machine->year != 0) {
        table_number(table, machine->year);
    } else {
        table_text(table, "");
    }
    words_text(&summary.sections, words);
    table_text(table, buffer_cstr(words));
    table_number(table, machine->train_count);
    table_number(table, machine->test_count);
    table_number(table, machine->supplemental_count);
    table_number(table, summary.domains[DOMAIN_SOURCE]);
    table_number(table, summary.domains[DOMAIN_TARGET]);
    table_number(table, summary.labels[LABEL_NORMAL]);
    table_number(table, summary.labels[LABEL_ANOMALY]);
    table_number(table, summary.labels[LABEL_UNKNOWN]);
    table_number(table, summary.left_out);
    words_text(&summary.attributes, words);
    table_text(table, buffer_cstr(words));
}

static void finish(Table *table, Buffer *words, Buffer *out) {
    table_format(table, out);
    if (words->status != STATUS_OK) {
        out->status = words->status;
    }
    buffer_done(words);
    table_done(table);
}

void describe_machines(const Dataset *dataset, Buffer *out) {
    static const char *const headers[] = {
        "set",     "machine",      "year",     "sections",   "train",
        "test",    "supplemental", "source",   "target",     "normal",
        "anomaly", "unlabelled",   "left out", "attributes", NULL};
    Table table;
    Buffer words = BUFFER_EMPTY;
    table_init(&table, headers);
    for (uint32_t i = 0; i < dataset->machine_count; i++) {
        add_machine(&table, dataset, &dataset->machines[i], &words);
    }
    finish(&table, &words, out);
}

void describe_clips(const Dataset *dataset, Buffer *out) {
    static const char *const headers[] = {"set",   "machine",    "section", "domain", "label",
                                          "split", "attributes", "path",    NULL};
    Table table;
    Buffer attributes = BUFFER_EMPTY;
    table_init(&table, headers);
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        const Machine *machine = &dataset->machines[clip->machine];
        buffer_clear(&attributes);
        attributes_format(clip, &attributes);
        table_text(&table, dataset_set_text(machine->set));
        table_text(&table, machine->name);
        table_text(&table, clip->section);
        table_text(&table, clipname_domain_text(clip->domain));
        table_text(&table, clipname_label_text(clip->label));
        table_text(&table, clipname_split_text(clip->split));
        table_text(&table, buffer_cstr(&attributes));
        table_text(&table, clip->path);
    }
    finish(&table, &attributes, out);
}

void describe_left_out(const Dataset *dataset, Buffer *out) {
    for (uint32_t i = 0; i < dataset->note_count; i++) {
        buffer_format(out, "note: %s\n", dataset->notes[i]);
    }
    for (uint32_t i = 0; i < dataset->left_out_count; i++) {
        const LeftOut *item = &dataset->left_out[i];
        buffer_format(out, "left out: %s: %s\n", item->path, item->reason);
    }
}

// Texts of a data set have no control characters, but messages in warnings might.
static void json_text(Buffer *out, const char *text) {
    buffer_append(out, "\"", 1);
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20) {
            buffer_format(out, "\\u%04x", (unsigned char)*text);
        } else {
            buffer_text(out, *text == '"' || *text == '\\' ? "\\" : "");
            buffer_append(out, text, 1);
        }
    }
    buffer_append(out, "\"", 1);
}

static void json_member(Buffer *out, const char *name, const char *text) {
    buffer_format(out, "\"%s\":", name);
    json_text(out, text);
}

// null where a word is empty: unknown is not a value.
static void json_word(Buffer *out, const char *name, const char *word) {
    if (word[0] == '\0') {
        buffer_format(out, "\"%s\":null", name);
    } else {
        json_member(out, name, word);
    }
}

static void json_machine(const Machine *machine, Buffer *out) {
    buffer_text(out, "{");
    json_member(out, "set", dataset_set_text(machine->set));
    buffer_text(out, ",");
    json_member(out, "machine", machine->name);
    buffer_text(out, ",\"year\":");
    if (machine->year != 0) {
        buffer_format(out, "%" PRId32, machine->year);
    } else {
        buffer_text(out, "null");
    }
    buffer_format(out, ",\"train\":%" PRIu32 ",\"test\":%" PRIu32 ",\"supplemental\":%" PRIu32 "}",
                  machine->train_count, machine->test_count, machine->supplemental_count);
}

static void json_attributes(const Clip *clip, Buffer *out) {
    buffer_text(out, "\"attributes\":[");
    for (uint32_t i = 0; i < clip->attribute_count; i++) {
        buffer_text(out, i > 0 ? ",[" : "[");
        json_text(out, clip->attributes[i].name);
        buffer_text(out, ",");
        json_text(out, clip->attributes[i].value);
        buffer_text(out, "]");
    }
    buffer_text(out, "]");
}

static void json_clip(const Dataset *dataset, const Clip *clip, Buffer *out) {
    const Machine *machine = &dataset->machines[clip->machine];
    buffer_format(out, "{\"root\":%" PRIu32 ",", clip->root);
    json_member(out, "path", clip->path);
    buffer_text(out, ",");
    json_member(out, "set", dataset_set_text(machine->set));
    buffer_text(out, ",");
    json_member(out, "machine", machine->name);
    buffer_text(out, ",");
    json_word(out, "section", clip->section);
    buffer_text(out, ",");
    json_word(out, "domain", clipname_domain_text(clip->domain));
    buffer_text(out, ",");
    json_word(out, "label", clipname_label_text(clip->label));
    buffer_text(out, ",");
    json_member(out, "split", clipname_split_text(clip->split));
    buffer_format(out, ",\"size_bytes\":%" PRIu64 ",\"mtime_ns\":%" PRId64 ",", clip->size_bytes,
                  clip->mtime_ns);
    json_attributes(clip, out);
    buffer_text(out, ",");
    json_word(out, "left_out", clip->left_out != NULL ? clip->left_out : "");
    buffer_text(out, "}");
}

static void json_left_out(const LeftOut *item, Buffer *out) {
    buffer_text(out, "{");
    json_word(out, "machine", item->machine);
    buffer_text(out, ",");
    json_member(out, "path", item->path);
    buffer_text(out, ",");
    json_member(out, "reason", item->reason);
    buffer_text(out, "}");
}

static void json_texts(Buffer *out, const char *name, const char *const *texts, uint32_t count) {
    buffer_format(out, ",\n\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        buffer_text(out, i > 0 ? ",\n" : "\n");
        json_text(out, texts[i]);
    }
    buffer_text(out, "]");
}

void describe_json(const Dataset *dataset, Buffer *out) {
    buffer_text(out, "{\"machines\":[");
    for (uint32_t i = 0; i < dataset->machine_count; i++) {
        buffer_text(out, i > 0 ? ",\n" : "\n");
        json_machine(&dataset->machines[i], out);
    }
    buffer_text(out, "],\n\"clips\":[");
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        buffer_text(out, i > 0 ? ",\n" : "\n");
        json_clip(dataset, &dataset->clips[i], out);
    }
    buffer_text(out, "],\n\"left_out\":[");
    for (uint32_t i = 0; i < dataset->left_out_count; i++) {
        buffer_text(out, i > 0 ? ",\n" : "\n");
        json_left_out(&dataset->left_out[i], out);
    }
    buffer_text(out, "]");
    json_texts(out, "notes", dataset->notes, dataset->note_count);
    json_texts(out, "warnings", dataset->warnings, dataset->warning_count);
    buffer_text(out, "}\n");
}
