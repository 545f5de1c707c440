// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spot/spot_models.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/base/variants.h"
#include "common/engine/source.h"
#include "common/eval/clipname.h"
#include "coordinator/spot/spot_walk.h"

// Scorers in memory at a time, some MB each. Clips come sorted, machine after machine, so that few
// are loaded twice.
#define LOADED_MOST 16
// Models named in one message.
#define NAMED_MOST 8

typedef struct Entry {
    SpotModel facts; // its texts point into this entry
    char *path;      // of the model file
    char *name, *damage;
    char set[16]; // "" when damaged
    char machine[LIMIT_NAME_BYTES], section[LIMIT_NAME_BYTES];
    SourceScorer *scorer; // NULL unless loaded
    uint64_t last_use;    // SpotModels.uses when it was last used
} Entry;

struct SpotModels {
    Entry **entries; // (count)
    uint32_t count;
    uint32_t loaded; // entries with a scorer
    uint64_t uses;
    char *root;             // as given
    const ScoreKind *score; // asked for, NULL: each model's first; borrowed while they are found
};

// ---- finding ----

static void entry_free(Entry *entry) {
    if (entry != NULL) {
        source_scorer_free(entry->scorer);
        mem_free(entry->path);
        mem_free(entry->name);
        mem_free(entry->damage);
        mem_free(entry);
    }
}

void spot_models_free(SpotModels *models) {
    if (models != NULL) {
        for (uint32_t i = 0; i < models->count; i++) {
            entry_free(models->entries[i]);
        }
        mem_free(models->entries);
        mem_free(models->root);
        mem_free(models);
    }
}

uint32_t spot_models_count(const SpotModels *models) {
    return models->count;
}

const SpotModel *spot_models_get(const SpotModels *models, uint32_t index) {
    return &models->entries[index]->facts;
}

// The part of `path` that ends at *end; *end moves before it. False when none is left.
static bool part_up(const char *path, size_t *end, char part[LIMIT_NAME_BYTES]) {
    size_t stop = *end;
    while (stop > 0 && path[stop - 1] == '/') {
        stop--;
    }
    size_t start = stop;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    snprintf(part, LIMIT_NAME_BYTES, "%.*s", (int)(stop - start), path + start);
    *end = start;
    return start < stop;
}

// "RUN/data/fan/section_00/autoencoder_model.bin" is called "fan/section_00".
static Status name_entry(const SpotModels *models, Entry *entry) {
    const char *start = entry->path;
    size_t root = strlen(models->root);
    if (strncmp(start, models->root, root) == 0 && start[root] != '\0') {
        start += root;
        start += strspn(start, "/");
    }
    start += text_starts(start, "data/") ? 5 : 0;
    const char *file = file_name(start);
    entry->name = mem_copy_text(file > start ? start : models->root);
    if (entry->name == NULL) {
        return STATUS_MEMORY;
    }
    if (file > start) {
        entry->name[file - start - 1] = '\0';
    }
    return STATUS_OK;
}

// Whether the model above, of the primary variant, takes its clips: this one was found on the way.
static bool is_further_variant(const SpotModels *models, const char *path) {
    char part[LIMIT_NAME_BYTES], above[LIMIT_PATH_BYTES];
    size_t end = (size_t)(file_name(path) - path);
    if (!part_up(path, &end, part) || !variants_is_name(part) || end < strlen(models->root)) {
        return false;
    }
    int used = snprintf(above, sizeof above, "%.*s" MODEL_FILE_NAME, (int)end, path);
    return used >= 0 && (size_t)used < sizeof above && file_exists(above);
}

// A damaged model does not tell whose it is; the name that the run gave its folder does.
static void guess_machine(Entry *entry) {
    static const char *const SETS[] = {".dev", ".eval", ".plain"};
    char part[LIMIT_NAME_BYTES];
    size_t end = (size_t)(file_name(entry->path) - entry->path);
    if (part_up(entry->path, &end, part) && variants_is_name(part)) {
        part_up(entry->path, &end, part);
    }
    if (text_starts(part, "section_")) {
        text_copy(entry->section, sizeof entry->section, part + strlen("section_"));
        part_up(entry->path, &end, part);
    }
    for (size_t i = 0; i < sizeof SETS / sizeof SETS[0]; i++) {
        if (text_ends(part, SETS[i])) {
            part[strlen(part) - strlen(SETS[i])] = '\0';
            break;
        }
    }
    text_copy(entry->machine, sizeof entry->machine, part);
}

// Which scores a model has what it takes for: "MSE, MAHALA". Says how many.
static int list_scores(const ModelFile *file, char out[64]) {
    int count = 0;
    size_t used = 0;
    out[0] = '\0';
    for (int kind = 0; kind < SCORE_KINDS; kind++) {
        if (model_file_gives(file, (ScoreKind)kind)) {
            used += (size_t)snprintf(out + used, 64 - used, "%s%s", count++ > 0 ? ", " : "",
                                     settings_score_name((ScoreKind)kind));
        }
    }
    return count;
}

static Status take_facts(const ModelFile *file, const ScoreKind *score, Entry *entry) {
    char given[64];
    text_copy(entry->set, sizeof entry->set, file->set);
    text_copy(entry->machine, sizeof entry->machine, file->machine);
    text_copy(entry->section, sizeof entry->section, file->section);
    entry->facts.score = score != NULL ? *score : (ScoreKind)file->settings.score;
    entry->facts.threshold = file->thresholds[entry->facts.score].value;
    entry->facts.kernel = (Kernel)file->settings.numerics;
    entry->facts.has_others = list_scores(file, given) > 1;
    if (!model_file_gives(file, entry->facts.score)) {
        const char *name = settings_score_name(entry->facts.score);
        return status_set(STATUS_FORMAT,
                          "%s: its %s scores were never made, it gives %s (a run with `--set "
                          "score=%s` makes them)",
                          entry->path, name, given, name);
    }
    return STATUS_OK;
}

static Status read_facts(const ScoreKind *score, Entry *entry) {
    Buffer bytes = BUFFER_EMPTY;
    ModelFile file;
    Status status = file_read(entry->path, MODEL_FILE_BYTES, &bytes);
    if (status == STATUS_OK) {
        status = model_file_read(entry->path, bytes.bytes, bytes.size, &file);
    }
    buffer_done(&bytes);
    if (status == STATUS_OK) {
        status = take_facts(&file, score, entry);
        model_file_done(&file);
    }
    return status;
}

// Everything that can be known of one model file, damage included.
static Status fill_entry(const SpotModels *models, const char *path, Entry *entry) {
    entry->path = mem_copy_text(path);
    if (entry->path == NULL) {
        return STATUS_MEMORY;
    }
    entry->facts.threshold = NAN;
    Status status = read_facts(models->score, entry);
    if (status == STATUS_MEMORY) {
        return status;
    }
    if (status != STATUS_OK) {
        entry->damage = mem_copy_text(status_message());
        if (entry->damage == NULL) {
            return STATUS_MEMORY;
        }
        guess_machine(entry);
    }
    status = name_entry(models, entry);
    entry->facts.name = entry->name;
    entry->facts.damage = entry->damage;
    entry->facts.machine = entry->machine;
    entry->facts.section = entry->section;
    return status;
}

static Status take_model(void *context, const char *path) {
    SpotModels *models = context;
    if (is_further_variant(models, path)) {
        return STATUS_OK;
    }
    if (models->count == LIMIT_MACHINES) {
        return status_set(STATUS_LIMIT, "more than %u models in %s", LIMIT_MACHINES, models->root);
    }
    Entry **room = mem_resize(models->entries, models->count + 1, sizeof(Entry *));
    if (room == NULL) {
        return STATUS_MEMORY;
    }
    models->entries = room;
    Entry *entry = mem_new(1, sizeof *entry);
    if (entry == NULL) {
        return STATUS_MEMORY;
    }
    Status status = fill_entry(models, path, entry);
    if (status != STATUS_OK) {
        entry_free(entry);
        return status;
    }
    models->entries[models->count++] = entry;
    return STATUS_OK;
}

static bool is_model_file(const char *name) {
    return strcmp(name, MODEL_FILE_NAME) == 0;
}

// What cannot be gone into holds no model for us; if that leaves none, the message says so.
static void pass_over(void *context, const char *path, const char *reason) {
    (void)context;
    status_set(STATUS_IO, "cannot read folder %s: %s", path, reason);
}

static Status find(SpotModels *models) {
    SpotWalk walk = {
        .wants = is_model_file, .take = take_model, .refuse = pass_over, .context = models};
    if (!file_exists(models->root)) {
        return status_set(STATUS_NOT_FOUND, "there is no %s", models->root);
    }
    status_clear();
    Status status = spot_walk(&walk, models->root);
    if (status != STATUS_OK) {
        return status;
    }
    if (models->count == 0) {
        const char *trouble = status_message();
        return status_set(STATUS_NOT_FOUND, "no trained model in %s: no " MODEL_FILE_NAME "%s%s",
                          models->root, trouble[0] != '\0' ? "; " : "", trouble);
    }
    for (uint32_t i = 0; i < models->count; i++) {
        if (models->entries[i]->damage == NULL) {
            return STATUS_OK;
        }
    }
    return status_set(STATUS_FORMAT, "%s", models->entries[0]->damage);
}

Status spot_models_open(const char *path, const ScoreKind *score, SpotModels **ret_models) {
    SpotModels *models = mem_new(1, sizeof *models);
    if (models == NULL) {
        return STATUS_MEMORY;
    }
    models->root = mem_copy_text(path);
    models->score = score;
    Status status = models->root != NULL ? find(models) : STATUS_MEMORY;
    if (status != STATUS_OK) {
        spot_models_free(models);
        return status;
    }
    models->score = NULL;
    *ret_models = models;
    return STATUS_OK;
}

Kernel spot_models_kernel(const SpotModels *models, Kernel best, char note[LIMIT_MESSAGE_BYTES]) {
    const SpotModel *first = NULL;
    note[0] = '\0';
    for (uint32_t i = 0; i < models->count; i++) {
        const SpotModel *model = &models->entries[i]->facts;
        if (model->damage != NULL) {
            continue;
        }
        if (first == NULL) {
            first = model;
        } else if (model->kernel != first->kernel && note[0] == '\0') {
            snprintf(note, LIMIT_MESSAGE_BYTES,
                     "model %.300s was trained with kernel %s, model %.300s with %s: scores may "
                     "differ from a run's in their last digits",
                     first->name, linalg_kernel_name(first->kernel), model->name,
                     linalg_kernel_name(model->kernel));
        }
    }
    Kernel wanted = first != NULL && first->kernel != KERNEL_AUTO ? first->kernel : best;
    if (wanted > best) {
        snprintf(note, LIMIT_MESSAGE_BYTES,
                 "model %.300s was trained with kernel %s, which this processor cannot run: with "
                 "%s, scores may differ from the run's in their last digits",
                 first->name, linalg_kernel_name(wanted), linalg_kernel_name(best));
        return best;
    }
    return wanted;
}

// ---- choosing ----

// The models still thought of, by a mark for each.
typedef struct Choice {
    const SpotModels *models;
    bool *is_in; // (models->count)
    uint32_t count;
} Choice;

static void keep_if(Choice *choice, bool (*fits)(const Entry *, const char *), const char *word) {
    choice->count = 0;
    for (uint32_t i = 0; i < choice->models->count; i++) {
        choice->is_in[i] = choice->is_in[i] && fits(choice->models->entries[i], word);
        choice->count += choice->is_in[i];
    }
}

static bool is_of_machine(const Entry *entry, const char *machine) {
    return strcmp(entry->machine, machine) == 0;
}

static bool is_of_section(const Entry *entry, const char *section) {
    return strcmp(entry->section, section) == 0;
}

// A damaged one may be of any set.
static bool is_of_set(const Entry *entry, const char *set) {
    return entry->set[0] == '\0' || strcmp(entry->set, set) == 0;
}

static bool some_fits(const Choice *choice, bool (*fits)(const Entry *, const char *),
                      const char *word) {
    for (uint32_t i = 0; i < choice->models->count; i++) {
        if (choice->is_in[i] && fits(choice->models->entries[i], word)) {
            return true;
        }
    }
    return false;
}

static bool share_one_machine(const SpotModels *models) {
    for (uint32_t i = 1; i < models->count; i++) {
        if (strcmp(models->entries[i]->machine, models->entries[0]->machine) != 0) {
            return false;
        }
    }
    return true;
}

// Goes from the clip's folder upwards to the first one with a machine's name; keeps its models.
static bool keep_machine_on(Choice *choice, const char *path) {
    char part[LIMIT_NAME_BYTES];
    size_t end = (size_t)(file_name(path) - path);
    while (part_up(path, &end, part)) {
        if (some_fits(choice, is_of_machine, part)) {
            keep_if(choice, is_of_machine, part);
            return true;
        }
    }
    return false;
}

static bool keep_machine(Choice *choice, const char *path) {
    char resolved[PATH_MAX];
    return share_one_machine(choice->models) || keep_machine_on(choice, path) ||
           (realpath(path, resolved) != NULL && keep_machine_on(choice, resolved));
}

// The model of the clip's section, else one of the whole machine. A name without a section leaves
// them all.
static bool keep_section(Choice *choice, const char *section) {
    if (section[0] != '\0' && some_fits(choice, is_of_section, section)) {
        keep_if(choice, is_of_section, section);
        return true;
    }
    if (some_fits(choice, is_of_section, "")) {
        keep_if(choice, is_of_section, "");
        return true;
    }
    return section[0] == '\0';
}

// The nearest folder that tells a set without doubt; NULL when none does.
static const char *set_on(const char *path) {
    char part[LIMIT_NAME_BYTES];
    size_t end = (size_t)(file_name(path) - path);
    while (part_up(path, &end, part)) {
        if (strncasecmp(part, "dev_data", strlen("dev_data")) == 0) {
            return "dev";
        }
        if (strncasecmp(part, "eval_data", strlen("eval_data")) == 0 ||
            strncasecmp(part, "additional", strlen("additional")) == 0) {
            return "eval";
        }
    }
    return NULL;
}

static void keep_set(Choice *choice, const char *path) {
    char resolved[PATH_MAX];
    const char *set = set_on(path);
    if (set == NULL && realpath(path, resolved) != NULL) {
        set = set_on(resolved);
    }
    if (set != NULL && some_fits(choice, is_of_set, set)) {
        keep_if(choice, is_of_set, set);
    }
}

static Status cannot_tell(const Choice *choice, const char *why) {
    char names[LIMIT_MESSAGE_BYTES / 2] = "";
    size_t used = 0;
    uint32_t named = 0;
    for (uint32_t i = 0; i < choice->models->count && used < sizeof names; i++) {
        if (choice->is_in[i] && named++ < NAMED_MOST) {
            int more = snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                                choice->models->entries[i]->name);
            used += more > 0 ? (size_t)more : 0;
        }
    }
    if (named > NAMED_MOST && used < sizeof names) {
        snprintf(names + used, sizeof names - used, " and %u more", named - NAMED_MOST);
    }
    return status_set(STATUS_NOT_FOUND,
                      "cannot tell its model: %s; there are the models %s (name one with "
                      "--model)",
                      why, names);
}

static Status choose(Choice *choice, const char *path) {
    char why[LIMIT_MESSAGE_BYTES / 4];
    ClipName name = clipname_read(path);
    if (choice->count == 1) {
        return STATUS_OK; // the only model takes every clip
    }
    if (!keep_machine(choice, path)) {
        return cannot_tell(choice, "no folder on its path is called like a machine");
    }
    if (!keep_section(choice, name.section)) {
        snprintf(why, sizeof why, "none is for section %s", name.section);
        return cannot_tell(choice, why);
    }
    keep_set(choice, path);
    if (choice->count > 1) {
        return cannot_tell(choice,
                           name.section[0] == '\0' ? "its name tells no section" : "several fit");
    }
    return STATUS_OK;
}

Status spot_models_choose(const SpotModels *models, const char *clip_path, uint32_t *ret_index) {
    Choice choice = {.models = models, .count = models->count};
    choice.is_in = mem_new(models->count, sizeof *choice.is_in);
    if (choice.is_in == NULL) {
        return STATUS_MEMORY;
    }
    memset(choice.is_in, true, models->count * sizeof *choice.is_in);
    Status status = choose(&choice, clip_path);
    uint32_t index = 0;
    while (status == STATUS_OK && !choice.is_in[index]) {
        index++;
    }
    mem_free(choice.is_in);
    if (status == STATUS_OK && models->entries[index]->damage != NULL) {
        status = status_set(STATUS_FORMAT, "its model cannot be used: %s",
                            models->entries[index]->damage);
    }
    if (status == STATUS_OK) {
        *ret_index = index;
    }
    return status;
}

// ---- scoring ----

static void unload_oldest(SpotModels *models) {
    Entry *oldest = NULL;
    for (uint32_t i = 0; i < models->count; i++) {
        Entry *entry = models->entries[i];
        if (entry->scorer != NULL && (oldest == NULL || entry->last_use < oldest->last_use)) {
            oldest = entry;
        }
    }
    source_scorer_free(oldest->scorer);
    oldest->scorer = NULL;
    models->loaded--;
}

static Status load(SpotModels *models, Entry *entry) {
    Buffer bytes = BUFFER_EMPTY;
    if (models->loaded == LOADED_MOST) {
        unload_oldest(models);
    }
    Status status = file_read(entry->path, MODEL_FILE_BYTES, &bytes);
    if (status == STATUS_OK) {
        status = source_scorer_new(bytes.bytes, bytes.size, &entry->scorer);
        models->loaded += status == STATUS_OK;
    }
    buffer_done(&bytes);
    return status == STATUS_OK ? status : status_prefix(status, "%s", entry->path);
}

Status spot_models_score(SpotModels *models, uint32_t index, const char *clip_path,
                         double *ret_score) {
    Entry *entry = models->entries[index];
    Status status = entry->scorer != NULL ? STATUS_OK : load(models, entry);
    if (status != STATUS_OK) {
        return status;
    }
    entry->last_use = ++models->uses;
    double row[LIMIT_MELS];
    ClipMeasure measure;
    status = source_measure(entry->scorer, clip_path, file_name(clip_path), 0, NULL, row, &measure);
    if (status == STATUS_OK) {
        *ret_score = source_score(entry->scorer, entry->facts.score, &measure);
    }
    return status;
}
