// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/meta_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/yaml_tree.h"

// The keys are those of the packages of 2020 to 2026; an optional one may be missing with a
// warning, one that its year did not have yet without.
typedef enum MetaType {
    META_TEXT,
    META_ABBREVIATION, // at most ten characters
    META_EMAIL,
    META_TRUTH,
    META_COUNT,    // a whole number, 0 or more
    META_AMOUNT,   // a number, which may have a unit: "1.036 G"
    META_FREE,     // text, a number, a list of them, or null
    META_MAPPING,  // its keys are in the table
    META_AUTHORS,  // a list of mappings
    META_RESULTS,  // machines with figures
    META_DATASETS, // a list of mappings, or null
} MetaType;

typedef struct MetaKey {
    const char *path; // dots between keys; "[]" is any item of a list
    MetaType type;
    bool is_required; // else its absence is a warning
    bool may_be_null;
    int first_year; // 0: every year has it
} MetaKey;

static const MetaKey KEYS[] = {
    {"submission", META_MAPPING, true, false, 0},
    {"submission.label", META_TEXT, true, false, 0},
    {"submission.name", META_TEXT, true, false, 0},
    {"submission.abbreviation", META_ABBREVIATION, true, false, 0},
    {"submission.authors", META_AUTHORS, true, false, 0},
    {"submission.authors[].lastname", META_TEXT, true, false, 0},
    {"submission.authors[].firstname", META_TEXT, true, false, 0},
    {"submission.authors[].email", META_EMAIL, true, false, 0},
    {"submission.authors[].corresponding", META_TRUTH, false, true, 0},
    {"submission.authors[].affiliation", META_MAPPING, true, false, 0},
    {"submission.authors[].affiliation.institution", META_TEXT, true, false, 0},
    {"submission.authors[].affiliation.department", META_TEXT, false, true, 0},
    {"submission.authors[].affiliation.location", META_TEXT, false, true, 0},
    {"system", META_MAPPING, true, false, 0},
    {"system.description", META_MAPPING, true, false, 0},
    {"system.description.input_sampling_rate", META_FREE, true, false, 0},
    {"system.description.data_augmentation", META_FREE, false, true, 0},
    {"system.description.front_end", META_FREE, false, true, 0},
    {"system.description.acoustic_features", META_FREE, true, true, 0},
    {"system.description.embeddings", META_FREE, false, true, 0},
    {"system.description.machine_learning_method", META_FREE, true, false, 0},
    {"system.description.aggregation_method", META_FREE, false, true, 0},
    {"system.description.domain_adaptation_method", META_FREE, false, true, 2021},
    {"system.description.domain_generalization_method", META_FREE, false, true, 2022},
    {"system.description.ensemble_method_subsystem_count", META_COUNT, false, true, 0},
    {"system.description.decision_making", META_FREE, false, true, 0},
    {"system.description.attribute_usage", META_FREE, false, true, 2022},
    {"system.description.external_data_usage", META_FREE, false, true, 0},
    {"system.description.development_data_usage", META_FREE, false, true, 0},
    {"system.complexity", META_MAPPING, true, false, 0},
    {"system.complexity.total_parameters", META_COUNT, true, false, 0},
    {"system.complexity.MACS", META_AMOUNT, true, true, 2022},
    {"system.external_datasets", META_DATASETS, false, true, 0},
    {"system.source_code", META_FREE, false, true, 0},
    {"results", META_MAPPING, true, false, 0},
    {"results.development_dataset", META_RESULTS, true, false, 0},
};

enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0], MOST_PATH = 200 };

typedef struct Checker {
    Complaints *complaints;
    const char *path;                       // of the file
    int year;                               // whose keys it has
    const char *figures[META_FIGURES_MOST]; // (figure_count) of a machine
    size_t figure_count;
    char figure_text[64]; // "auc_source, auc_target, pauc"
} Checker;

#define ERROR_AT(checker, at, ...)                                                                 \
    complaints_add((checker)->complaints, COMPLAINT_ERROR, (checker)->path, at, __VA_ARGS__)
#define WARN_AT(checker, at, ...)                                                                  \
    complaints_add((checker)->complaints, COMPLAINT_WARNING, (checker)->path, at, __VA_ARGS__)

static void check_mapping(const Checker *checker, const YamlNode *node, const char *path);

// The last part of a key's path when the rest is `parent`, NULL when it is not below it.
static const char *key_below(const char *path, const char *parent) {
    size_t length = strlen(parent);
    if (length > 0 && (!text_starts(path, parent) || path[length] != '.')) {
        return NULL;
    }
    const char *key = path + length + (length > 0);
    return strchr(key, '.') == NULL && strstr(key, "[]") == NULL ? key : NULL;
}

// ---- single values ----

static size_t characters(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

static bool is_email(const char *text) {
    const char *at = strchr(text, '@');
    const char *dot = at != NULL ? strrchr(at, '.') : NULL;
    return at != NULL && at != text && strchr(at + 1, '@') == NULL && dot > at + 1 &&
           dot[1] != '\0' && strpbrk(text, " \t,;<>()") == NULL;
}

static bool is_truth(const YamlNode *node) {
    static const char *const WORDS[] = {"true", "false", "True", "False", "TRUE", "FALSE"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (node->is_plain && strcmp(node->text, WORDS[i]) == 0) {
            return true;
        }
    }
    return false;
}

// Without a unit, or with one of k, M, G, T behind it.
static bool is_amount(const char *text) {
    char number[32];
    size_t length = strspn(text, "0123456789.+-eE");
    const char *unit = text + length + strspn(text + length, " ");
    bool has_unit = unit[0] != '\0' && strchr("kKMGT", unit[0]) != NULL && unit[1] == '\0';
    double value;
    if (length >= sizeof number || (unit[0] != '\0' && !has_unit)) {
        return false;
    }
    memcpy(number, text, length);
    number[length] = '\0';
    return text_to_double(number, &value) == STATUS_OK && isfinite(value) && value >= 0;
}

static void check_scalar(const Checker *checker, const MetaKey *key, const YamlNode *node) {
    int64_t count;
    const char *name = node->key;
    switch (key->type) {
    case META_ABBREVIATION:
        if (characters(node->text) > 10) {
            ERROR_AT(checker, node->line, "%s '%.40s' has %zu characters; 10 at most", name,
                     node->text, characters(node->text));
        }
        break;
    case META_EMAIL:
        if (!is_email(node->text)) {
            ERROR_AT(checker, node->line, "%s '%.80s' is no address; write name@host.domain", name,
                     node->text);
        }
        break;
    case META_TRUTH:
        if (!is_truth(node)) {
            ERROR_AT(checker, node->line, "%s is '%.40s'; write true or false", name, node->text);
        }
        break;
    case META_COUNT:
        if (!node->is_plain || text_to_int(node->text, &count) != STATUS_OK || count < 0) {
            ERROR_AT(checker, node->line,
                     "%s is '%.40s'; write a whole number without unit, commas or quotes", name,
                     node->text);
        }
        break;
    case META_AMOUNT:
        if (!is_amount(node->text)) {
            ERROR_AT(checker, node->line,
                     "%s is '%.40s'; write a number, alone or with k, M, G or T behind it", name,
                     node->text);
        }
        break;
    case META_TEXT:
    case META_FREE:
    case META_MAPPING:
    case META_AUTHORS:
    case META_RESULTS:
    case META_DATASETS:
        break;
    }
}

// ---- lists and mappings ----

static const char *kind_text(YamlKind kind) {
    return kind == YAML_IS_SCALAR ? "a single value"
           : kind == YAML_IS_LIST ? "a list"
                                  : "a mapping";
}

static bool wants(const Checker *checker, const YamlNode *node, const char *name, YamlKind kind) {
    if (node->kind != kind) {
        ERROR_AT(checker, node->line, "%s is %s; it must be %s", name, kind_text(node->kind),
                 kind_text(kind));
    }
    return node->kind == kind;
}

static void check_authors(const Checker *checker, const YamlNode *node, const char *path) {
    int corresponding = 0;
    if (!wants(checker, node, node->key, YAML_IS_LIST)) {
        return;
    }
    if (node->count == 0) {
        ERROR_AT(checker, node->line, "no authors; name them all");
    }
    for (const YamlNode *author = node->first; author != NULL; author = author->next) {
        if (wants(checker, author, "an author", YAML_IS_MAPPING)) {
            check_mapping(checker, author, path);
            const YamlNode *mark = yaml_node_find(author, "corresponding");
            corresponding +=
                mark != NULL && mark->kind == YAML_IS_SCALAR && (mark->text[0] | 0x20) == 't';
        }
    }
    if (node->count > 0 && corresponding != 1) {
        WARN_AT(checker, node->key_line,
                "%d corresponding authors; mark one with corresponding: true", corresponding);
    }
}

size_t meta_figures(int year, const char *ret_names[META_FIGURES_MOST]) {
    static const char *const NAMES[][META_FIGURES_MOST] = {
        {"averaged_auc", "averaged_pauc", NULL},
        {"harmonic_mean_auc", "harmonic_mean_pauc", NULL},
        {"auc_source", "auc_target", "pauc"}};
    const char *const *names = NAMES[year == 2020 ? 0 : year == 2021 ? 1 : 2];
    size_t count = 0;
    while (count < META_FIGURES_MOST && names[count] != NULL) {
        ret_names[count] = names[count];
        count++;
    }
    return count;
}

static void check_figure(const Checker *checker, const YamlNode *figure) {
    double value = 0;
    bool is_known = false;
    for (size_t i = 0; i < checker->figure_count; i++) {
        is_known |= strcmp(figure->key, checker->figures[i]) == 0;
    }
    if (!is_known) {
        WARN_AT(checker, figure->key_line, "'%.40s' is none of %s; remove it", figure->key,
                checker->figure_text);
    } else if (figure->kind != YAML_IS_SCALAR || !figure->is_plain ||
               text_to_double(figure->text, &value) != STATUS_OK || !(value >= 0 && value <= 100)) {
        ERROR_AT(checker, figure->line, "%s is '%.40s'; write a number of 0 to 100 without quotes",
                 figure->key, figure->kind == YAML_IS_SCALAR ? figure->text : "no single value");
    }
}

static void find_repeated(const Checker *checker, const YamlNode *node) {
    for (const YamlNode *entry = node->first; entry != NULL; entry = entry->next) {
        const YamlNode *first = yaml_node_find(node, entry->key);
        if (first != entry) {
            ERROR_AT(checker, entry->key_line, "'%.80s' stands in line %d already; remove one",
                     entry->key, first->key_line);
        }
    }
}

static void check_results(const Checker *checker, const YamlNode *node) {
    if (!wants(checker, node, node->key, YAML_IS_MAPPING)) {
        return;
    }
    if (node->count == 0) {
        ERROR_AT(checker, node->key_line,
                 "no machines; give %s of each machine of the development set",
                 checker->figure_text);
    }
    find_repeated(checker, node);
    for (const YamlNode *machine = node->first; machine != NULL; machine = machine->next) {
        if (!wants(checker, machine, machine->key, YAML_IS_MAPPING)) {
            continue;
        }
        find_repeated(checker, machine);
        for (const YamlNode *figure = machine->first; figure != NULL; figure = figure->next) {
            check_figure(checker, figure);
        }
        for (size_t i = 0; i < checker->figure_count; i++) {
            if (yaml_node_find(machine, checker->figures[i]) == NULL) {
                ERROR_AT(checker, machine->key_line, "%s is missing for %.80s; add it",
                         checker->figures[i], machine->key);
            }
        }
    }
}

static void check_datasets(const Checker *checker, const YamlNode *node) {
    if (!wants(checker, node, node->key, YAML_IS_LIST)) {
        return;
    }
    for (const YamlNode *dataset = node->first; dataset != NULL; dataset = dataset->next) {
        if (wants(checker, dataset, "an external data set", YAML_IS_MAPPING) &&
            yaml_node_find(dataset, "name") == NULL) {
            ERROR_AT(checker, dataset->line, "an external data set without name; add it");
        }
    }
}

// ---- by the table ----

static void check_value(const Checker *checker, const MetaKey *key, const YamlNode *node) {
    if (yaml_node_is_null(node)) {
        if (!key->may_be_null) {
            ERROR_AT(checker, node->line, "%s has no value; fill it in", key->path);
        }
        return;
    }
    switch (key->type) {
    case META_MAPPING:
        if (wants(checker, node, key->path, YAML_IS_MAPPING)) {
            check_mapping(checker, node, key->path);
        }
        return;
    case META_AUTHORS:
        check_authors(checker, node, "submission.authors[]");
        return;
    case META_RESULTS:
        check_results(checker, node);
        return;
    case META_DATASETS:
        check_datasets(checker, node);
        return;
    case META_FREE:
        if (node->kind == YAML_IS_MAPPING) {
            wants(checker, node, key->path, YAML_IS_SCALAR);
        }
        return;
    case META_TEXT:
    case META_ABBREVIATION:
    case META_EMAIL:
    case META_TRUTH:
    case META_COUNT:
    case META_AMOUNT:
        break;
    }
    if (wants(checker, node, key->path, YAML_IS_SCALAR)) {
        if (node->text[strspn(node->text, " ")] == '\0') {
            ERROR_AT(checker, node->line, "%s is empty; fill it in", key->path);
        } else {
            check_scalar(checker, key, node);
        }
    }
}

static const MetaKey *find_key(const char *parent, const char *name) {
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *key = key_below(KEYS[i].path, parent);
        if (key != NULL && strcmp(key, name) == 0) {
            return &KEYS[i];
        }
    }
    return NULL;
}

static void tell_unknown(const Checker *checker, const YamlNode *entry, const char *parent) {
    const char *nearest = NULL;
    int least = 4;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *key = key_below(KEYS[i].path, parent);
        int distance = key != NULL ? text_distance(key, entry->key) : least;
        if (distance < least) {
            least = distance;
            nearest = key;
        }
    }
    WARN_AT(checker, entry->key_line, "unknown key '%.80s' in %s; %s%s%s", entry->key,
            parent[0] != '\0' ? parent : "the file",
            nearest != NULL ? "did you mean '" : "remove it", nearest != NULL ? nearest : "",
            nearest != NULL ? "'?" : "");
}

static void check_mapping(const Checker *checker, const YamlNode *node, const char *path) {
    find_repeated(checker, node);
    for (const YamlNode *entry = node->first; entry != NULL; entry = entry->next) {
        const MetaKey *key = find_key(path, entry->key);
        if (key == NULL) {
            tell_unknown(checker, entry, path);
        } else {
            check_value(checker, key, entry);
        }
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *key = key_below(KEYS[i].path, path);
        bool is_of_year = checker->year == 0 || KEYS[i].first_year <= checker->year;
        if (key != NULL && is_of_year && yaml_node_find(node, key) == NULL) {
            complaints_add(checker->complaints,
                           KEYS[i].is_required ? COMPLAINT_ERROR : COMPLAINT_WARNING, checker->path,
                           node->key_line > 0 ? node->key_line : node->line,
                           "%s is missing; add it%s", KEYS[i].path,
                           KEYS[i].may_be_null ? ", or null where it does not apply" : "");
        }
    }
}

static void check_label(const Checker *checker, const YamlNode *root, const char *label) {
    const YamlNode *node = yaml_node_find(yaml_node_find(root, "submission"), "label");
    if (node != NULL && node->kind == YAML_IS_SCALAR && strcmp(node->text, label) != 0) {
        ERROR_AT(checker, node->line, "label '%.80s' is not '%s', the folder's name; use one label",
                 node->text, label);
    }
}

// The message without its "FILE line N: ", which a complaint has in front already.
static const char *without_place(const char *message, const char *path) {
    const char *rest = text_starts(message, path) ? strchr(message + strlen(path), ':') : NULL;
    return rest != NULL && rest[1] == ' ' ? rest + 2 : message;
}

static Checker checker_of(const char *path, int year, Complaints *complaints) {
    Checker checker = {.complaints = complaints, .path = path, .year = year};
    checker.figure_count = meta_figures(year, checker.figures);
    size_t used = 0;
    for (size_t i = 0; i < checker.figure_count; i++) {
        used += (size_t)snprintf(checker.figure_text + used, sizeof checker.figure_text - used,
                                 "%s%s", i > 0 ? ", " : "", checker.figures[i]);
    }
    return checker;
}

Status meta_check(const ArchiveEntry *entry, const char *label, int year, Complaints *complaints) {
    Checker checker = checker_of(entry->path, year, complaints);
    YamlNode *root = NULL;
    int line = 0;
    const char *bytes = buffer_cstr(&entry->bytes);
    if (text_starts(bytes, "\xEF\xBB\xBF")) {
        ERROR_AT(&checker, 1, "a byte-order mark; save the file as UTF-8 without one");
    }
    Status status = yaml_tree_read(entry->path, bytes, entry->bytes.size, &root, &line);
    if (status == STATUS_FORMAT) {
        ERROR_AT(&checker, line, "%s; correct the YAML",
                 without_place(status_message(), entry->path));
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (wants(&checker, root, "the file", YAML_IS_MAPPING)) {
        check_mapping(&checker, root, "");
        check_label(&checker, root, label);
    }
    yaml_tree_free(root);
    return STATUS_OK;
}
