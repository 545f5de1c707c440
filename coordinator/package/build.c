// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/build.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/package/author.h"
#include "coordinator/package/dev_results.h"
#include "coordinator/package/meta_write.h"
#include "coordinator/package/run_system.h"

typedef struct Builder {
    const PackageConfig *config;
    YamlNode *author;
    RunSystems found;                              // of all runs
    const RunSystem *chosen[PACKAGE_SYSTEMS_MOST]; // (chosen_count)
    size_t chosen_count;
    Archive archive;
    Complaints complaints;
} Builder;

static const char *shown_name(const RunSystem *system) {
    return system->name[0] != '\0' ? system->name : "primary";
}

// ---- which systems ----

static Status choose(Builder *builder, const RunSystem *system) {
    if (builder->chosen_count < PACKAGE_SYSTEMS_MOST) {
        builder->chosen[builder->chosen_count++] = system;
        return STATUS_OK;
    }
    Buffer names = BUFFER_EMPTY;
    for (size_t i = 0; i < builder->found.count; i++) {
        buffer_format(&names, "%s%s", i > 0 ? ", " : "", shown_name(&builder->found.items[i]));
    }
    Status status =
        status_set(STATUS_INVALID, "more than %d systems: choose by --system among %.600s",
                   PACKAGE_SYSTEMS_MOST, buffer_cstr(&names));
    buffer_done(&names);
    return status;
}

static Status choose_named(Builder *builder, const char *name) {
    Status status = status_set(STATUS_INVALID, "no run has a system '%s'", name);
    for (size_t i = 0; i < builder->found.count; i++) {
        if (strcmp(shown_name(&builder->found.items[i]), name) == 0) {
            status = choose(builder, &builder->found.items[i]);
            if (status != STATUS_OK) {
                break;
            }
        }
    }
    return status;
}

static Status choose_systems(Builder *builder) {
    const PackageConfig *config = builder->config;
    Status status = STATUS_OK;
    for (uint32_t r = 0; r < config->run_count && status == STATUS_OK; r++) {
        status = run_systems_find(config->runs[r], &builder->found);
    }
    for (uint32_t s = 0; s < config->system_count && status == STATUS_OK; s++) {
        status = choose_named(builder, config->systems[s]);
    }
    for (size_t i = 0; config->system_count == 0 && i < builder->found.count; i++) {
        status = status == STATUS_OK ? choose(builder, &builder->found.items[i]) : status;
    }
    return status;
}

// ---- one system ----

// An ensemble is made of all other systems of its run; those of different scores share models.
static Status add_subsystems(const Builder *builder, const RunSystem *ensemble, MetaFacts *facts) {
    RunModel *models = mem_new(builder->found.count, sizeof *models);
    Status status = models != NULL ? STATUS_OK : STATUS_MEMORY;
    uint32_t count = 0;
    facts->subsystems = 0;
    for (size_t i = 0; i < builder->found.count && status == STATUS_OK; i++) {
        const RunSystem *other = &builder->found.items[i];
        if (strcmp(other->run, ensemble->run) != 0 || run_system_is_ensemble(other)) {
            continue;
        }
        facts->subsystems++;
        status = run_system_model(other, &models[count]);
        uint32_t same = 0;
        while (same < count && strcmp(models[same].path, models[count].path) != 0) {
            same++;
        }
        if (status == STATUS_OK && same == count) {
            meta_add_model(&models[count++], facts);
        }
    }
    mem_free(models);
    return status;
}

static Status add_meta(Builder *builder, const RunSystem *system, int year, const char *label,
                       const char *folder) {
    RunModel model;
    size_t machines = 0;
    char path[LIMIT_PATH_BYTES];
    Buffer results = BUFFER_EMPTY, meta = BUFFER_EMPTY;
    const char *dev_run = builder->config->dev_run != NULL ? builder->config->dev_run : system->run;
    Status status = run_system_model(system, &model);
    if (status == STATUS_OK) {
        DevResults wanted = {.system = system,
                             .dev_run = dev_run,
                             .year = year,
                             .max_fpr = model.settings.max_fpr,
                             .indent = 4};
        status = dev_results_write(&wanted, &results, &machines);
    }
    if (status == STATUS_OK) {
        MetaFacts facts = {.label = label,
                           .variant = builder->chosen_count > 1 ? shown_name(system) : "",
                           .author = builder->author,
                           .model = &model,
                           .subsystems = 1,
                           .results = buffer_cstr(&results)};
        if (run_system_is_ensemble(system)) {
            status = add_subsystems(builder, system, &facts);
        } else {
            meta_add_model(&model, &facts);
        }
        meta_write(&facts, &meta);
        status = status == STATUS_OK ? meta.status : status;
    }
    if (status == STATUS_OK) {
        snprintf(path, sizeof path, "%s/%s.meta.yaml", folder, label);
        if (machines == 0) {
            complaints_add(
                &builder->complaints, COMPLAINT_ERROR, path, 0,
                "%s has no figures of development data; name a run that has by --dev-run", dev_run);
        }
        status = archive_add(&builder->archive, path, meta.bytes, meta.size);
    }
    buffer_done(&results);
    buffer_done(&meta);
    return status;
}

static Status judge_left_out(Builder *builder, const RunSystem *system, const char *folder) {
    size_t count = 0;
    Buffer names = BUFFER_EMPTY;
    Status status = run_system_count_left_out(system, &count, &names);
    if (status == STATUS_OK && count > 0) {
        complaints_add(
            &builder->complaints, builder->config->is_strict ? COMPLAINT_ERROR : COMPLAINT_WARNING,
            folder, 0,
            "%zu clip%s without a score, such as %s: their rows have the machine's median "
            "score and decision 0; see %s/left_out.csv",
            count, count == 1 ? "" : "s", buffer_cstr(&names), system->outputs);
    }
    buffer_done(&names);
    return status;
}

static Status add_system(Builder *builder, size_t index) {
    char label[LIMIT_NAME_BYTES], folder[LIMIT_NAME_BYTES + 16];
    const RunSystem *system = builder->chosen[index];
    snprintf(label, sizeof label, "%s_task2_%zu", builder->config->label, index + 1);
    snprintf(folder, sizeof folder, "task2/%s", label);
    int year = 0;
    Status status = run_system_add_files(system, folder, &builder->archive, &year);
    if (status == STATUS_OK) {
        status = add_meta(builder, system, year, label, folder);
    }
    if (status == STATUS_OK) {
        status = judge_left_out(builder, system, folder);
    }
    return status;
}

// ---- the whole ----

static Status merge(const Complaints *from, Complaints *complaints) {
    for (size_t i = 0; i < from->count; i++) {
        const Complaint *complaint = &from->items[i];
        complaints_add(complaints, complaint->severity, complaint->path, complaint->line, "%s",
                       complaint->text);
    }
    return complaints->status;
}

// Checks the very bytes that will be written.
static Status check_and_write(Builder *builder) {
    const PackageConfig *config = builder->config;
    Buffer zip = BUFFER_EMPTY;
    Archive back = ARCHIVE_EMPTY;
    Complaints checked = COMPLAINTS_EMPTY;
    Status status = archive_write_zip(&builder->archive, &zip);
    if (status == STATUS_OK) {
        status = archive_read_zip(config->out, zip.bytes, zip.size, &back);
    }
    if (status == STATUS_OK) {
        CheckConfig check = {.archive = &back,
                             .name = config->out,
                             .year = config->year,
                             .expected = config->expected};
        status = package_check(&check, &checked);
    }
    if (status == STATUS_OK) {
        status = merge(&checked, &builder->complaints);
    }
    if (status == STATUS_OK && builder->complaints.errors == 0) {
        status = file_write_buffer(config->out, &zip);
    }
    complaints_done(&checked);
    archive_done(&back);
    buffer_done(&zip);
    return status;
}

Status package_build(const PackageConfig *config, Complaints *ret_complaints) {
    Builder builder = {.config = config};
    Status status = author_read(config->author, &builder.author);
    if (status == STATUS_OK) {
        status = choose_systems(&builder);
    }
    for (size_t i = 0; i < builder.chosen_count && status == STATUS_OK; i++) {
        status = add_system(&builder, i);
    }
    if (status == STATUS_OK) {
        status = check_and_write(&builder);
    }
    yaml_tree_free(builder.author);
    run_systems_done(&builder.found);
    archive_done(&builder.archive);
    if (status != STATUS_OK) {
        complaints_done(&builder.complaints);
        return status;
    }
    complaints_sort(&builder.complaints);
    *ret_complaints = builder.complaints;
    return STATUS_OK;
}
