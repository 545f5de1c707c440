// SPDX-License-Identifier: Apache-2.0
#include "coordinator/synth/synth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/dsp/logmel.h"
#include "common/store/csv.h"
#include "common/store/npy.h"
#include "coordinator/synth/plan.h"
#include "coordinator/synth/wavfile.h"

typedef struct Writer {
    const SynthOptions *options;
    int64_t samples; // per channel of a clip
    int16_t *sound;  // (samples, channels)
    float *mono;     // (samples), of channel 0; only for .npy
    LogMel *logmel;  // only for .npy
    float *log_mel;  // (frames, n_mels)
    int64_t frames;
    int64_t n_mels;
    Buffer file;     // bytes of the clip at hand
    CsvWriter truth; // eval_data_list
    uint32_t done;
} Writer;

SynthOptions synth_defaults(void) {
    return (SynthOptions){.machine_count = 2,
                          .year = 2023,
                          .train = 100,
                          .test = 40,
                          .seconds = 10,
                          .rate_hz = 16000,
                          .channels = 1,
                          .seed = 13711,
                          .dev = true,
                          .eval = true};
}

uint32_t synth_clip_count(const SynthOptions *options) {
    return ((uint32_t)options->dev + (uint32_t)options->eval) * options->machine_count *
           plan_clip_count(options);
}

static Status check_range(const char *what, double value, double least, double most) {
    if (value >= least && value <= most) {
        return STATUS_OK;
    }
    char text[TEXT_NUMBER_BYTES];
    text_number(text, value);
    return status_set(STATUS_INVALID, "%s is %s, accepted are %g to %g", what, text, least, most);
}

static Status check_names(const SynthOptions *o) {
    for (uint32_t i = 0; o->machines != NULL && i < o->machine_count; i++) {
        const char *name = o->machines[i];
        if (strlen(name) > 64 || !file_is_safe_relative(name) || strchr(name, '/') != NULL ||
            !text_is_clean(name) || name[0] == '.') {
            return status_set(STATUS_INVALID, "machine name '%s' cannot be a folder's", name);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(name, o->machines[k]) == 0) {
                return status_set(STATUS_INVALID, "machine '%s' is named twice", name);
            }
        }
    }
    return STATUS_OK;
}

static Status check_count(const SynthOptions *o) {
    uint32_t most = SYNTH_MACHINES_MAX;
    for (int eval = 0; o->machines == NULL && eval <= 1; eval++) {
        uint32_t known = plan_machines_known(o->year, eval != 0);
        if (eval != 0 ? o->eval : o->dev) {
            most = known < most ? known : most;
        }
    }
    return check_range("number of machines", o->machine_count, 1, most);
}

static Status check(const SynthOptions *o) {
    const struct {
        const char *what;
        double value, least, most;
    } ranges[] = {
        {"year", o->year, SYNTH_YEAR_FIRST, SYNTH_YEAR_LAST},
        {"training clips", o->train, 0, SYNTH_CLIPS_MAX},
        {"test clips", o->test, 0, SYNTH_CLIPS_MAX},
        {"seconds", o->seconds, 0.05, SYNTH_SECONDS_MAX},
        {"rate", o->rate_hz, SYNTH_RATE_LEAST, SYNTH_RATE_MOST},
        {"channels", o->channels, 1, SYNTH_CHANNELS_MAX},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        Status status =
            check_range(ranges[i].what, ranges[i].value, ranges[i].least, ranges[i].most);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (!o->dev && !o->eval) {
        return status_set(STATUS_INVALID, "no set to write");
    }
    if (o->train + o->test == 0) {
        return status_set(STATUS_INVALID, "neither training nor test clips to write");
    }
    Status status = check_count(o);
    return status == STATUS_OK ? check_names(o) : status;
}

static Status check_empty(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT
                   ? STATUS_OK
                   : status_set(STATUS_IO, "cannot open folder %s: %s", path, strerror(errno));
    }
    Status status = STATUS_OK;
    struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status =
                status_set(STATUS_INVALID, "folder %s is not empty: nothing is written over", path);
        }
    }
    closedir(folder);
    return status;
}

static Status check_room(const Writer *writer) {
    const SynthOptions *o = writer->options;
    struct statvfs facts;
    if (statvfs(o->out, &facts) != 0) {
        return STATUS_OK; // then writing will tell
    }
    double clip_bytes = o->npy ? 128 + 4.0 * (double)(writer->frames * writer->n_mels)
                               : 44 + 2.0 * (double)(writer->samples * o->channels);
    double needed = clip_bytes * synth_clip_count(o);
    double room = (double)facts.f_bavail * (double)facts.f_frsize;
    if (needed > room) {
        return status_set(STATUS_IO, "%s has room for %.0f MB, the data need %.0f MB", o->out,
                          room / 1e6, needed / 1e6);
    }
    return STATUS_OK;
}

static Status writer_init(Writer *writer, const SynthOptions *o) {
    *writer = (Writer){.options = o};
    writer->samples = (int64_t)floor(o->seconds * o->rate_hz + 0.5);
    writer->sound = mem_new((size_t)(writer->samples * o->channels), sizeof *writer->sound);
    if (writer->sound == NULL) {
        return STATUS_MEMORY;
    }
    if (!o->npy) {
        return STATUS_OK;
    }
    Settings settings;
    Status status = settings_preset("default", &settings);
    if (status == STATUS_OK) {
        status = logmel_check(&settings, o->rate_hz);
    }
    if (status != STATUS_OK) {
        return status;
    }
    writer->logmel = logmel_new(&settings, o->rate_hz);
    if (writer->logmel == NULL) {
        return STATUS_MEMORY;
    }
    writer->n_mels = settings.n_mels;
    writer->frames = logmel_frames(writer->logmel, writer->samples);
    writer->mono = mem_new((size_t)writer->samples, sizeof *writer->mono);
    writer->log_mel = mem_new((size_t)(writer->frames * writer->n_mels), sizeof *writer->log_mel);
    return writer->mono != NULL && writer->log_mel != NULL ? STATUS_OK : STATUS_MEMORY;
}

static void writer_done(Writer *writer) {
    mem_free(writer->sound);
    mem_free(writer->mono);
    mem_free(writer->log_mel);
    logmel_free(writer->logmel);
    buffer_done(&writer->file);
    csv_writer_done(&writer->truth);
}

// Clips can be made again, so they are not synced one by one as file_write would.
static Status write_new(const char *path, const Buffer *bytes) {
    if (bytes->status != STATUS_OK) {
        return bytes->status;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return status_set(STATUS_IO, "cannot create %s: %s", path, strerror(errno));
    }
    size_t at = 0;
    Status status = STATUS_OK;
    while (at < bytes->size && status == STATUS_OK) {
        ssize_t put = write(fd, bytes->bytes + at, bytes->size - at);
        if (put >= 0) {
            at += (size_t)put;
        } else if (errno != EINTR) {
            status = status_set(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
        }
    }
    if (close(fd) != 0 && status == STATUS_OK) {
        status = status_set(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    }
    return status;
}

static void make_sound(Writer *writer, const PlanMachine *machine, const PlanClip *clip) {
    const SynthOptions *o = writer->options;
    SoundClip sound = {
        .texture = sound_texture(o->seed, machine->name, clip->section, o->rate_hz),
        .rng = plan_rng(machine, clip, "synth-clip"),
        .speed = clip->speed,
        .is_target = clip->domain == DOMAIN_TARGET,
        .parts = clip->parts,
        .fault = clip->fault,
        .severity = clip->severity,
        .rate_hz = o->rate_hz,
        .channels = o->channels,
        .samples = writer->samples,
    };
    sound_make(&sound, writer->sound);
}

// The same samples that the WAV would hold, as a reader of it would see them.
static void format_npy(Writer *writer) {
    int32_t channels = writer->options->channels;
    for (int64_t i = 0; i < writer->samples; i++) {
        writer->mono[i] = (float)writer->sound[i * channels] * (1.0F / 32768);
    }
    logmel_run(writer->logmel, writer->mono, writer->samples, writer->log_mel);
    NpyArray array = {.type = NPY_FLOAT32,
                      .dimensions = 2,
                      .shape = {writer->frames, writer->n_mels},
                      .count = writer->frames * writer->n_mels,
                      .data = writer->log_mel};
    npy_format(&array, &writer->file);
}

// Writes one clip below the machine's folder.
static Status write_clip(Writer *writer, const PlanMachine *machine, const char *folder,
                         const PlanClip *clip) {
    const SynthOptions *o = writer->options;
    char split[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES];
    Status status = file_join(split, sizeof split, folder, clip->folder);
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, split, clip->name);
    }
    if (status == STATUS_OK && !file_is_folder(split)) {
        status = file_make_folders(split);
    }
    if (status != STATUS_OK) {
        return status;
    }
    make_sound(writer, machine, clip);
    buffer_clear(&writer->file);
    if (o->npy) {
        format_npy(writer);
    } else {
        wavfile_format(writer->sound, writer->samples, o->channels, o->rate_hz, &writer->file);
    }
    status = write_new(path, &writer->file);
    writer->done++;
    if (o->progress != NULL) {
        o->progress(o->progress_context, writer->done, synth_clip_count(o));
    }
    return status;
}

static void add_attributes_row(CsvWriter *csv, const PlanMachine *machine, const PlanClip *clip) {
    char path[LIMIT_PATH_BYTES], value[16];
    snprintf(path, sizeof path, "%s/%s/%s", machine->name, clip->folder, clip->name);
    csv_writer_text(csv, path);
    if (!machine->hides_attributes) {
        csv_writer_text(csv, "spd");
        snprintf(value, sizeof value, "%d", clip->speed);
        csv_writer_text(csv, value);
        csv_writer_text(csv, "mic");
        snprintf(value, sizeof value, "%d", clip->microphone);
        csv_writer_text(csv, value);
    }
    csv_writer_end_row(csv);
}

// attributes_NN.csv of one section: what is hidden is not in it.
static Status write_attributes(const PlanMachine *machine, const char *folder, int32_t section) {
    CsvWriter csv = CSV_WRITER_EMPTY;
    csv_writer_header(&csv, machine->hides_attributes ? "file_name" : "file_name,d1p,d1v,d2p,d2v");
    for (uint32_t i = 0; i < plan_clip_count(machine->options); i++) {
        PlanClip clip = plan_clip(machine, i);
        bool hidden = machine->eval && clip.split == SPLIT_TEST;
        if (clip.section == section && clip.split != SPLIT_SUPPLEMENTAL && !hidden) {
            add_attributes_row(&csv, machine, &clip);
        }
    }
    char name[32], path[LIMIT_PATH_BYTES];
    snprintf(name, sizeof name, "attributes_%02d.csv", section);
    Status status = file_join(path, sizeof path, folder, name);
    if (status == STATUS_OK) {
        status = csv_writer_save(&csv, path);
    }
    csv_writer_done(&csv);
    return status;
}

// A row of eval_data_list_YYYY.csv; 2020 has the label as a number beside.
static void add_truth_row(Writer *writer, const PlanClip *clip) {
    csv_writer_text(&writer->truth, clip->name);
    csv_writer_text(&writer->truth, clip->true_name);
    if (writer->options->year == 2020) {
        csv_writer_int(&writer->truth, clip->label == LABEL_ANOMALY);
    }
    csv_writer_end_row(&writer->truth);
}

static Status write_machine(Writer *writer, const PlanMachine *machine) {
    const SynthOptions *o = writer->options;
    char folder[LIMIT_PATH_BYTES], name[LIMIT_NAME_BYTES];
    snprintf(name, sizeof name, "%s/raw/%s", machine->eval ? "eval_data" : "dev_data",
             machine->name);
    Status status = file_join(folder, sizeof folder, o->out, name);
    if (status == STATUS_OK) {
        status = file_make_folders(folder);
    }
    if (machine->eval) {
        csv_writer_text(&writer->truth, machine->name);
        csv_writer_end_row(&writer->truth);
    }
    for (uint32_t i = 0; i < plan_clip_count(o) && status == STATUS_OK; i++) {
        PlanClip clip = plan_clip(machine, i);
        status = write_clip(writer, machine, folder, &clip);
        if (machine->eval && clip.split == SPLIT_TEST) {
            add_truth_row(writer, &clip);
        }
    }
    for (int32_t k = 0; o->year >= 2022 && k < plan_section_count(o->year); k++) {
        if (status == STATUS_OK) {
            status = write_attributes(machine, folder, plan_section(o->year, machine->eval, k));
        }
    }
    return status;
}

static Status write_truth(const Writer *writer) {
    char name[32], path[LIMIT_PATH_BYTES];
    snprintf(name, sizeof name, "eval_data_list_%d.csv", writer->options->year);
    Status status = file_join(path, sizeof path, writer->options->out, name);
    return status == STATUS_OK ? csv_writer_save(&writer->truth, path) : status;
}

static Status write_sets(Writer *writer) {
    const SynthOptions *o = writer->options;
    Status status = STATUS_OK;
    for (int eval = 0; eval <= 1; eval++) {
        bool wanted = eval != 0 ? o->eval : o->dev;
        for (uint32_t m = 0; wanted && m < o->machine_count && status == STATUS_OK; m++) {
            PlanMachine machine = plan_machine(o, eval != 0, m);
            status = write_machine(writer, &machine);
        }
    }
    return status == STATUS_OK && o->eval ? write_truth(writer) : status;
}

Status synth_write(const SynthOptions *options) {
    Status status = check(options);
    if (status == STATUS_OK) {
        status = check_empty(options->out);
    }
    if (status == STATUS_OK) {
        status = file_make_folders(options->out);
    }
    if (status != STATUS_OK) {
        return status;
    }
    Writer writer;
    status = writer_init(&writer, options);
    if (status == STATUS_OK) {
        status = check_room(&writer);
    }
    if (status == STATUS_OK) {
        status = write_sets(&writer);
    }
    writer_done(&writer);
    return status;
}
