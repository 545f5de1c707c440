// SPDX-License-Identifier: Apache-2.0
#include "coordinator/explore/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/csv.h"
#include "coordinator/explore/parts.h"

typedef Status Write(const ExploreSummary *summary, CsvWriter *writer);

// What a clip is, in the first columns of most tables.
#define WHAT_COLUMNS "set,machine,section,domain,split,label"

static void put_what(const Dataset *dataset, uint32_t machine, const char *section,
                     ClipDomain domain, ClipSplit split, ClipLabel label, CsvWriter *writer) {
    csv_writer_text(writer, dataset_set_text(dataset->machines[machine].set));
    csv_writer_text(writer, dataset->machines[machine].name);
    csv_writer_text(writer, section);
    csv_writer_text(writer, clipname_domain_text(domain));
    csv_writer_text(writer, clipname_split_text(split));
    csv_writer_text(writer, clipname_label_text(label));
}

static void put_clip(const Dataset *dataset, uint32_t clip, CsvWriter *writer) {
    const Clip *facts = &dataset->clips[clip];
    csv_writer_text(writer, facts->path);
    put_what(dataset, facts->machine, facts->section, facts->domain, facts->split, facts->label,
             writer);
}

// Appends ",NAME" to a header.
static void add_column(Buffer *header, const char *name) {
    buffer_format(header, ",%s", name);
}

static void end_header(Buffer *header, CsvWriter *writer) {
    if (header->status == STATUS_OK) {
        csv_writer_header(writer, buffer_cstr(header));
    } else {
        writer->text.status = header->status;
    }
    buffer_done(header);
}

// ---- the tables ----

static Status write_clips(const ExploreSummary *summary, CsvWriter *writer) {
    Buffer header = BUFFER_EMPTY;
    buffer_text(&header, "clip," WHAT_COLUMNS);
    for (int n = 0; n < EXPLORATION_NUMBERS; n++) {
        add_column(&header, EXPLORATION_FACTS[n].column);
    }
    end_header(&header, writer);
    for (uint32_t c = 0; c < summary->dataset->clip_count; c++) {
        if (!explore_is_there(summary, c)) {
            continue;
        }
        const Exploration *found = &summary->explorations[c];
        put_clip(summary->dataset, c, writer);
        for (int n = 0; n < EXPLORATION_NUMBERS; n++) {
            bool is_measured = found->is_sound || n == NUMBER_FRAMES;
            csv_writer_number(writer, is_measured ? found->numbers[n] : NAN);
        }
        csv_writer_end_row(writer);
    }
    return STATUS_OK;
}

static void put_group(const ExploreSummary *summary, const ExploredGroup *group,
                      CsvWriter *writer) {
    put_what(summary->dataset, group->machine, group->section, group->domain, group->split,
             group->label, writer);
}

static Status write_groups(const ExploreSummary *summary, CsvWriter *writer) {
    static const char *const SPREADS[] = {"min", "median", "max", "mean", "sd"};
    Buffer header = BUFFER_EMPTY;
    buffer_text(&header, WHAT_COLUMNS ",clips,sounds,rates,total_seconds,clipped_clips,"
                                      "silent_clips");
    for (int n = 0; n < EXPLORATION_NUMBERS; n++) {
        for (size_t s = 0; s < sizeof SPREADS / sizeof SPREADS[0]; s++) {
            buffer_format(&header, ",%s_%s", EXPLORATION_FACTS[n].column, SPREADS[s]);
        }
    }
    end_header(&header, writer);
    for (uint32_t g = 0; g < summary->group_count; g++) {
        const ExploredGroup *group = &summary->groups[g];
        put_group(summary, group, writer);
        csv_writer_int(writer, group->count);
        csv_writer_int(writer, group->sounds);
        csv_writer_int(writer, group->rates);
        csv_writer_number(writer, group->seconds);
        csv_writer_int(writer, group->clipped);
        csv_writer_int(writer, group->silent);
        for (int n = 0; n < EXPLORATION_NUMBERS; n++) {
            const Spread *of = &group->numbers[n];
            const double values[] = {of->least, of->median, of->most, of->mean, of->deviation};
            for (size_t s = 0; s < sizeof values / sizeof values[0]; s++) {
                csv_writer_number(writer, group->sounds > 0 ? values[s] : NAN);
            }
        }
        csv_writer_end_row(writer);
    }
    return STATUS_OK;
}

static Status write_spectra(const ExploreSummary *summary, CsvWriter *writer) {
    csv_writer_header(writer, WHAT_COLUMNS ",band,centre_hz,mean_db,sd_db");
    for (uint32_t g = 0; g < summary->group_count; g++) {
        const double *centres = summary->centres_hz;
        size_t first = summary->groups[g].machine * (size_t)summary->n_mels;
        for (int32_t m = 0; m < summary->n_mels; m++) {
            put_group(summary, &summary->groups[g], writer);
            csv_writer_int(writer, m);
            csv_writer_number(writer, centres != NULL ? centres[first + (size_t)m] : NAN);
            csv_writer_number(writer, summary->groups[g].mean[m]);
            csv_writer_number(writer, summary->groups[g].spread[m]);
            csv_writer_end_row(writer);
        }
    }
    return STATUS_OK;
}

static Status write_suspicious(const ExploreSummary *summary, CsvWriter *writer) {
    csv_writer_header(writer, "clip," WHAT_COLUMNS ",suspicion,value,usual,other_clip,reason");
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        const SuspiciousClip *clip = &summary->suspicious[i];
        bool has_other = clip->other != UINT32_MAX;
        put_clip(summary->dataset, clip->clip, writer);
        csv_writer_text(writer, suspicion_name(clip->suspicion));
        csv_writer_number(writer, has_other ? NAN : clip->value);
        csv_writer_number(writer, has_other ? NAN : clip->usual);
        csv_writer_text(writer, has_other ? summary->dataset->clips[clip->other].path : "");
        csv_writer_text(writer, clip->reason);
        csv_writer_end_row(writer);
    }
    return STATUS_OK;
}

static Status write_shifts(const ExploreSummary *summary, CsvWriter *writer) {
    csv_writer_header(writer, "set,machine,feature,source_clips,target_clips,source_mean,"
                              "target_mean,shift");
    for (uint32_t i = 0; i < summary->shift_count; i++) {
        const DomainShift *shift = &summary->shifts[i];
        const Machine *machine = &summary->dataset->machines[shift->machine];
        char band[32];
        snprintf(band, sizeof band, "mel_%d", shift->feature - EXPLORATION_NUMBERS);
        csv_writer_text(writer, dataset_set_text(machine->set));
        csv_writer_text(writer, machine->name);
        csv_writer_text(writer, shift->feature < EXPLORATION_NUMBERS
                                    ? EXPLORATION_FACTS[shift->feature].column
                                    : band);
        csv_writer_int(writer, shift->source_count);
        csv_writer_int(writer, shift->target_count);
        csv_writer_number(writer, shift->source);
        csv_writer_number(writer, shift->target);
        csv_writer_number(writer, shift->shift);
        csv_writer_end_row(writer);
    }
    return STATUS_OK;
}

static Status write_points(const ExploreSummary *summary, CsvWriter *writer) {
    csv_writer_header(writer, "clip," WHAT_COLUMNS ",pc1,pc2,explained1,explained2");
    for (uint32_t c = 0; c < summary->dataset->clip_count; c++) {
        const MachinePlane *plane = &summary->planes[summary->dataset->clips[c].machine];
        if (summary->points[c].is_there) {
            put_clip(summary->dataset, c, writer);
            csv_writer_number(writer, summary->points[c].x);
            csv_writer_number(writer, summary->points[c].y);
            csv_writer_number(writer, plane->explained[0]);
            csv_writer_number(writer, plane->explained[1]);
            csv_writer_end_row(writer);
        }
    }
    return STATUS_OK;
}

// ---- attributes ----

// One attribute of one clip.
typedef struct Mention {
    const Clip *clip;
    const ClipAttribute *attribute;
} Mention;

static int order(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int compare_mentions(const void *left, const void *right) {
    const Mention *a = left, *b = right;
    int by = order(a->clip->machine, b->clip->machine);
    by = by != 0 ? by : strcmp(a->attribute->name, b->attribute->name);
    by = by != 0 ? by : strcmp(a->attribute->value, b->attribute->value);
    by = by != 0 ? by : strcmp(a->clip->section, b->clip->section);
    by = by != 0 ? by : order(a->clip->domain, b->clip->domain);
    by = by != 0 ? by : order(a->clip->split, b->clip->split);
    return by != 0 ? by : order(a->clip->label, b->clip->label);
}

static Status write_attributes(const ExploreSummary *summary, CsvWriter *writer) {
    const Dataset *dataset = summary->dataset;
    size_t most = 0, count = 0;
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        most += dataset->clips[c].attribute_count;
    }
    Mention *mentions = mem_new(most, sizeof *mentions);
    if (mentions == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        const Clip *clip = &dataset->clips[c];
        for (uint32_t a = 0; explore_is_there(summary, c) && a < clip->attribute_count; a++) {
            mentions[count++] = (Mention){clip, &clip->attributes[a]};
        }
    }
    qsort(mentions, count, sizeof *mentions, compare_mentions);
    csv_writer_header(writer, WHAT_COLUMNS ",attribute,value,clips");
    for (size_t i = 0; i < count;) {
        const Mention *first = &mentions[i];
        size_t same = 1;
        while (i + same < count && compare_mentions(first, &mentions[i + same]) == 0) {
            same++;
        }
        put_what(dataset, first->clip->machine, first->clip->section, first->clip->domain,
                 first->clip->split, first->clip->label, writer);
        csv_writer_text(writer, first->attribute->name);
        csv_writer_text(writer, first->attribute->value);
        csv_writer_int(writer, (int64_t)same);
        csv_writer_end_row(writer);
        i += same;
    }
    mem_free(mentions);
    return STATUS_OK;
}

// ---- all of them ----

static Status write_table(const char *folder, const char *name, Write *write,
                          const ExploreSummary *summary) {
    char path[LIMIT_PATH_BYTES];
    CsvWriter writer = CSV_WRITER_EMPTY;
    Status status = file_join(path, sizeof path, folder, name);
    if (status == STATUS_OK) {
        status = write(summary, &writer);
    }
    if (status == STATUS_OK) {
        status = csv_writer_save(&writer, path);
    }
    csv_writer_done(&writer);
    return status;
}

Status explore_tables_write(const char *folder, const ExploreSummary *summary) {
    static const struct {
        const char *name;
        Write *write;
    } TABLES[] = {
        {"eda_clips.csv", write_clips},
        {"eda_groups.csv", write_groups},
        {"eda_spectra.csv", write_spectra},
        {"eda_suspicious.csv", write_suspicious},
        {"eda_attributes.csv", write_attributes},
        {"eda_domain_shift.csv", write_shifts},
        {"eda_pca.csv", write_points},
    };
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0] && status == STATUS_OK; i++) {
        status = write_table(folder, TABLES[i].name, TABLES[i].write, summary);
    }
    return status;
}
