// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan/models.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/base/variants.h"

void models_done(Models *models) {
    for (uint32_t i = 0; i < models->per_variant; i++) {
        mem_free(models->models[i].train);
        mem_free(models->models[i].test);
    }
    mem_free(models->groups);
    mem_free(models->variants);
    mem_free(models->systems);
    mem_free(models->models);
    mem_free(models->model_of_clip);
    *models = (Models){0};
}

static bool name_is_in_another_set(const Dataset *dataset, uint32_t machine) {
    for (uint32_t i = 0; i < dataset->machine_count; i++) {
        if (i != machine &&
            strcmp(dataset->machines[i].name, dataset->machines[machine].name) == 0) {
            return true;
        }
    }
    return false;
}

// `number` 1 is what a model is called as a rule.
static void name_model(const Dataset *dataset, Model *model, uint32_t number) {
    const Machine *machine = &dataset->machines[model->machine];
    char name[LIMIT_NAME_BYTES + 8], again[16] = "";
    const char *set = dataset_set_text(machine->set);
    bool doubled = name_is_in_another_set(dataset, model->machine);
    snprintf(name, sizeof name, "%s%s%s", machine->name, doubled ? "." : "", doubled ? set : "");
    if (number > 1) {
        snprintf(again, sizeof again, "~%u", number);
    }
    if (model->section[0] == '\0') {
        snprintf(model->label, sizeof model->label, "%s%s", name, again);
        snprintf(model->home, sizeof model->home, "%s%s", name, again);
    } else {
        snprintf(model->label, sizeof model->label, "%s_section_%s%s", name, model->section, again);
        snprintf(model->home, sizeof model->home, "%s%s/section_%s", name, again, model->section);
    }
}

static void key_model(const Dataset *dataset, Model *model) {
    const Machine *machine = &dataset->machines[model->machine];
    const char *set = dataset_set_text(machine->set);
    DigestStream *stream = digest_begin();
    Digest digest = {{0}};
    if (stream != NULL) {
        digest_add_text(stream, set);
        digest_add_text(stream, machine->name);
        digest_add_text(stream, model->section);
        digest = digest_end(stream);
    }
    memcpy(&model->key, digest.bytes, sizeof model->key);
}

// The model of this machine and section, made when there is none yet.
static Model *find_or_add(Models *models, const Dataset *dataset, uint32_t machine,
                          const char *section) {
    for (uint32_t i = models->per_variant; i-- > 0 && models->models[i].machine == machine;) {
        if (strcmp(models->models[i].section, section) == 0) {
            return &models->models[i];
        }
    }
    Model *grown = mem_resize(models->models, models->per_variant + 1, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    models->models = grown;
    Model *model = &models->models[models->per_variant++];
    *model = (Model){.machine = machine, .section = section};
    name_model(dataset, model, 1);
    key_model(dataset, model);
    return model;
}

static Status add_clip(uint32_t **list, uint32_t *count, uint32_t clip) {
    // Room grows by doubling at powers of two.
    if ((*count & (*count - 1)) == 0) {
        uint32_t *grown = mem_resize(*list, *count > 0 ? 2 * (size_t)*count : 1, sizeof *grown);
        if (grown == NULL) {
            return STATUS_MEMORY;
        }
        *list = grown;
    }
    (*list)[(*count)++] = clip;
    return STATUS_OK;
}

static int compare_sections(const Model *a, const Model *b) {
    return a->machine != b->machine ? (a->machine > b->machine) - (a->machine < b->machine)
                                    : strcmp(a->section, b->section);
}

// Few sections a machine, and nearly sorted: insertion sort.
static void sort_models(Models *models) {
    for (uint32_t i = 1; i < models->per_variant; i++) {
        Model model = models->models[i];
        uint32_t j = i;
        for (; j > 0 && compare_sections(&models->models[j - 1], &model) > 0; j--) {
            models->models[j] = models->models[j - 1];
        }
        models->models[j] = model;
    }
}

// A machine may be called what we would call a model of another one: "fan.dev", "fan_section_00".
static bool is_odd(const char *name) {
    return strstr(name, "_section_") != NULL || text_ends(name, ".dev") ||
           text_ends(name, ".eval") || text_ends(name, ".plain");
}

static bool is_taken(const Models *models, const Model *model) {
    for (uint32_t i = 0; i < models->per_variant; i++) {
        const Model *other = &models->models[i];
        if (other != model &&
            (strcmp(other->label, model->label) == 0 || strcmp(other->home, model->home) == 0)) {
            return true;
        }
    }
    return false;
}

// Of two models that would write the same files, the oddly named machine's gets a number.
static void tell_apart(Models *models, const Dataset *dataset) {
    for (uint32_t i = 0; i < models->per_variant; i++) {
        Model *model = &models->models[i];
        if (is_odd(dataset->machines[model->machine].name)) {
            for (uint32_t number = 2; is_taken(models, model); number++) {
                name_model(dataset, model, number);
            }
        }
    }
}

static void index_clips(Models *models, uint32_t clip_count) {
    for (uint32_t c = 0; c < clip_count; c++) {
        models->model_of_clip[c] = UINT32_MAX;
    }
    for (uint32_t m = 0; m < models->per_variant; m++) {
        const Model *model = &models->models[m];
        for (uint32_t i = 0; i < model->train_count; i++) {
            models->model_of_clip[model->train[i]] = m;
        }
        for (uint32_t i = 0; i < model->test_count; i++) {
            models->model_of_clip[model->test[i]] = m;
        }
    }
}

uint32_t models_of_clip(const Models *models, uint32_t system, uint32_t clip) {
    uint32_t model = models->model_of_clip[clip];
    return model == UINT32_MAX ? model : models_of_system(models, system) + model;
}

uint32_t models_of_system(const Models *models, uint32_t system) {
    return models->systems[system].variant * models->per_variant;
}

uint32_t models_group(const Models *models, uint32_t model) {
    return models->variants[models->models[model].variant].group;
}

bool models_decide_by(const Models *models, uint32_t model, ThresholdKind kind) {
    const Variant *variant = &models->variants[models->models[model].variant];
    for (uint32_t s = 0; s < variant->system_count; s++) {
        if (models->systems[variant->first_system + s].settings.threshold == (int32_t)kind) {
            return true;
        }
    }
    return false;
}

// ---- groups, variants, systems ----

// The index at which the `place`-th of them stands in the settings' own order, when the primary one
// comes first.
static uint32_t index_at(uint32_t place, uint32_t primary) {
    return place == 0 ? primary : place <= primary ? place - 1 : place;
}

static Status find_or_add_group(Models *models, const Settings *settings, uint32_t *ret_group) {
    Digest digest;
    Status status = settings_digest_all(settings, SETTING_FEATURES, &digest);
    uint32_t group = 0;
    while (group < models->group_count && !digest_equal(models->groups[group].digest, digest)) {
        group++;
    }
    if (status == STATUS_OK && group == models->group_count) {
        models->groups[models->group_count++] = (FeatureGroup){*settings, digest};
    }
    *ret_group = group;
    return status;
}

static void make_system(Models *models, const Settings *settings, uint32_t variant, uint32_t number,
                        uint32_t index) {
    System *system = &models->systems[models->system_count++];
    system->variant = variant;
    system->settings = variants_system_settings(settings, number, index);
    variants_system_name(settings, number, index, system->name);
    variants_setting_name(settings, number, index, system->setting);
}

static Status make_systems(Models *models, const Settings *settings) {
    uint32_t variants = variants_count(settings), systems = variants_systems(settings);
    uint32_t primary = 0, first = 0;
    models->groups = mem_new(variants, sizeof *models->groups);
    models->variants = mem_new(variants, sizeof *models->variants);
    models->systems = mem_new((size_t)variants * systems, sizeof *models->systems);
    if (models->groups == NULL || models->variants == NULL || models->systems == NULL) {
        return STATUS_MEMORY;
    }
    (void)variants_primary(settings, &primary, &first); // settings_check knows that there is one
    Status status = STATUS_OK;
    for (uint32_t v = 0; v < variants && status == STATUS_OK; v++) {
        uint32_t number = index_at(v, primary);
        Variant *variant = &models->variants[models->variant_count++];
        variants_name(settings, number, variant->name);
        variant->settings = variants_settings(settings, number);
        status = find_or_add_group(models, &variant->settings, &variant->group);
        variant->first_system = models->system_count;
        variant->system_count = systems;
        for (uint32_t s = 0; s < systems; s++) {
            make_system(models, settings, v, number, v == 0 ? index_at(s, first) : s);
        }
    }
    return status;
}

// ---- the models of all variants ----

static bool is_label_of_primary(const Models *models, const char *label) {
    for (uint32_t i = 0; i < models->per_variant; i++) {
        if (strcmp(models->models[i].label, label) == 0) {
            return true;
        }
    }
    return false;
}

// "fan_seed_2", which a machine may be called as well.
static void label_further(const Models *models, const char *label, Model *model) {
    const char *name = models->variants[model->variant].name;
    snprintf(model->label, sizeof model->label, "%s_%s", label, name);
    for (uint32_t number = 2; is_label_of_primary(models, model->label); number++) {
        snprintf(model->label, sizeof model->label, "%s_%s~%u", label, name, number);
    }
}

// Made of what the model itself is, whatever other machines and sets there are, and so unlike any
// other's. The seed is always part of the name, so that a second one never moves the first.
static void name_folder(const Variant *variant, const Machine *machine, Model *model) {
    bool has_section = model->section[0] != '\0', has_set = machine->set != SET_PLAIN;
    char seed[32];
    snprintf(seed, sizeof seed, "seed_%lld", (long long)variant->settings.seed);
    bool is_named = text_ends(variant->name, seed); // a name ends with the seed, if it has one
    const char *joint = variant->name[0] != '\0' && !is_named ? "_" : "";
    snprintf(model->folder, sizeof model->folder, "%s%s%s%s%s/%s%s%s", machine->name,
             has_section ? "/section_" : "", model->section, has_set ? "/" : "",
             has_set ? dataset_set_text(machine->set) : "", variant->name, joint,
             is_named ? "" : seed);
}

// Its history is called after it.
static Status check_label(const Model *model) {
    enum { AROUND = sizeof "history_.csv" };
    return strlen(model->label) + AROUND <= LIMIT_NAME_BYTES
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "%s: so long a name that no file can be called after it",
                            model->label);
}

// The first variant's models once more for each further one.
static Status add_variants(Models *models, const Dataset *dataset) {
    uint32_t count = models->per_variant * models->variant_count;
    Model *grown = mem_resize(models->models, count, sizeof *grown);
    Status status = grown != NULL || count == 0 ? STATUS_OK : STATUS_MEMORY;
    if (status != STATUS_OK) {
        return status;
    }
    models->models = grown;
    models->count = count;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const Model first = grown[i % models->per_variant];
        Model *model = &grown[i];
        *model = first;
        model->variant = i / models->per_variant;
        const Variant *variant = &models->variants[model->variant];
        model->settings = &variant->settings;
        name_folder(variant, &dataset->machines[model->machine], model);
        if (model->variant > 0) {
            snprintf(model->home, sizeof model->home, "%s/%s", first.home, variant->name);
            label_further(models, first.label, model);
        }
        status = check_label(model);
    }
    return status;
}

Status models_make(const Dataset *dataset, const Settings *settings, Models *ret_models) {
    Models models = {0};
    Status status = make_systems(&models, settings);
    models.model_of_clip = mem_new(dataset->clip_count, sizeof *models.model_of_clip);
    if (models.model_of_clip == NULL) {
        status = STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < dataset->clip_count && status == STATUS_OK; c++) {
        const Clip *clip = &dataset->clips[c];
        if (clip->split != SPLIT_TRAIN && clip->split != SPLIT_TEST) {
            continue;
        }
        const char *section = settings->model_per == MODEL_PER_SECTION ? clip->section : "";
        Model *model = find_or_add(&models, dataset, clip->machine, section);
        if (model == NULL) {
            status = STATUS_MEMORY;
        } else if (clip->split == SPLIT_TRAIN) {
            status = add_clip(&model->train, &model->train_count, c);
        } else {
            status = add_clip(&model->test, &model->test_count, c);
        }
    }
    if (status == STATUS_OK) {
        sort_models(&models);
        tell_apart(&models, dataset);
        index_clips(&models, dataset->clip_count);
        status = add_variants(&models, dataset);
    }
    if (status != STATUS_OK) {
        models_done(&models);
        return status;
    }
    *ret_models = models;
    return STATUS_OK;
}
