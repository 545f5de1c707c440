// SPDX-License-Identifier: Apache-2.0
//
// auscult score --model: scores any recordings on the spot with trained models, without cluster or
// journal; a row for each clip as soon as it is known. Without --model, `score` is a stage of a run
// (cmd_run.c).
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/settings.h"
#include "common/base/text.h"
#include "common/eval/clipname.h"
#include "common/eval/decision.h"
#include "common/model/linalg.h"
#include "common/store/csv.h"
#include "coordinator/commands.h"
#include "coordinator/import/import.h"
#include "coordinator/options.h"
#include "coordinator/spot/spot_models.h"
#include "coordinator/spot/spot_walk.h"

static const char HELP[] =
    "usage: auscult score --model RUN[/data/MACHINE[/section_NN]] [options] PATH...\n"
    "       auscult score --model NET.h5 [--scaler S.pkl] --data DIR --out RUN [options]\n"
    "       auscult score --out RUN [options]        (a stage of a run: see the end)\n"
    "\n"
    "Scores new recordings on the spot, without cluster or journal: prints a row for each clip as\n"
    "soon as its score is known. A PATH is a clip (.wav, .flac, or .npy with its features) or a\n"
    "folder, which is searched for clips, sorted by name. Columns: file_name, machine_type,\n"
    "section, reconstruction_error, threshold, is_anomaly. A clip that cannot be scored is named\n"
    "on stderr with the reason, and the others go on.\n"
    "\n"
    "  --model PATH      a run's folder, a model's folder or a model file, copied elsewhere or "
    "not\n"
    "                    where it was made. Of several models, a clip's is told by a folder on "
    "its\n"
    "                    path that is called like the machine, and by the section in its name; a\n"
    "                    single model takes every clip. Of several seeds, the primary one's is\n"
    "                    taken unless another's folder is named: RUN/data/MACHINE/seed_N.\n"
    "  --score KIND      MSE, MAHALA or CLIPMAHALA, which the run must have made; without it the\n"
    "                    first of the run's `score`\n"
    "  --json            a JSON object for each clip, one a line\n"
    "  --strict          exit 1 when a clip could not be scored\n"
    "  -v, --verbose  -q, --quiet  -h, --help\n"
    "\n"
    "With --out, --model is a network from elsewhere, and a whole run scores DIR with it, on all\n"
    "workers, with every output of a run (--local, --bind, --set and so on as `auscult run "
    "--help`\n"
    "has them):\n"
    "  --model FILE      a Sequential network of dense layers that Keras saved as .h5, or "
    "PyTorch's\n"
    "                    weights under the official baseline's names as .npz; its inputs are\n"
    "                    vectors of n_mels * frames features, its outputs their reconstructions\n"
    "  --scaler FILE     what scales the vectors: a pickled StandardScaler, or mean_ and scale_ "
    "in\n"
    "                    a .npz; without it they go in as they are\n"
    "  --threshold FILE  a .npy with one number; without it the setting `threshold` decides from\n"
    "                    the clips under train/, and where there are none no clip is decided\n"
    "\n"
    "Exit status: 0 done, 1 some clip could not be scored and --strict, 2 usage, 3 no clip could\n"
    "be scored.\n";

enum { EXIT_DONE = 0, EXIT_SOME_MISSED = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

typedef struct SpotOptions {
    const char *model;
    ScoreKind score; // if has_score
    bool has_score;
    char **paths; // (path_count) as typed
    int path_count;
    bool is_json, is_strict;
} SpotOptions;

typedef struct Spot {
    const SpotOptions *options;
    SpotModels *models;
    uint64_t found;       // clips met
    uint64_t scored;      // of them
    bool threshold_noted; // it was said that a model has none
} Spot;

// ---- the command line ----

static int usage(const char *what, const char *value) {
    fprintf(stderr, "auscult score: %s%s (see auscult score --help)\n", what, value);
    return EXIT_USAGE;
}

static bool parse_score(const char *text, ScoreKind *ret_score) {
    for (int kind = 0; kind < SCORE_KINDS; kind++) {
        if (strcmp(text, settings_score_name((ScoreKind)kind)) == 0) {
            *ret_score = (ScoreKind)kind;
            return true;
        }
    }
    return false;
}

// Returns an exit status, or -1 to go on.
static int take_option(int option, void *context) {
    SpotOptions *options = context;
    switch (option) {
    case 'm':
        if (options->model != NULL) {
            return usage("one --model at a time, not also ", optarg);
        }
        options->model = optarg;
        return -1;
    case 'k':
        options->has_score = true;
        return parse_score(optarg, &options->score)
                   ? -1
                   : usage("--score accepts MSE, MAHALA or CLIPMAHALA, not ", optarg);
    case 'j':
        options->is_json = true;
        return -1;
    case 's':
        options->is_strict = true;
        return -1;
    case 'v':
        log_set_level(LOG_DEBUG);
        return -1;
    case 'q':
        log_set_level(LOG_ERROR);
        return -1;
    case 'h':
        fputs(HELP, stdout);
        return EXIT_DONE;
    default:
        return EXIT_USAGE; // getopt has said why
    }
}

static int parse(int argc, char **argv, SpotOptions *options) {
    static const struct option LONG[] = {
        {"model", required_argument, NULL, 'm'}, {"score", required_argument, NULL, 'k'},
        {"json", no_argument, NULL, 'j'},        {"strict", no_argument, NULL, 's'},
        {"verbose", no_argument, NULL, 'v'},     {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    int status = options_take(argc, argv, "vqh", LONG, take_option, options);
    if (status >= 0) {
        return status;
    }
    options->paths = argv + optind;
    options->path_count = argc - optind;
    return options->path_count > 0 ? -1
                                   : usage("PATH is missing: which clips shall be scored?", "");
}

// ---- rows ----

static void write_csv(Buffer *out, const char *path, const char *section, const SpotModel *model,
                      double score) {
    CsvWriter row = CSV_WRITER_EMPTY;
    csv_writer_text(&row, path);
    csv_writer_text(&row, model->machine);
    csv_writer_text(&row, section);
    csv_writer_number(&row, score);
    csv_writer_number(&row, model->threshold);
    if (isnan(model->threshold)) {
        csv_writer_text(&row, "");
    } else {
        csv_writer_int(&row, decision_is_anomaly(score, model->threshold));
    }
    csv_writer_end_row(&row);
    buffer_text(out, buffer_cstr(&row.text));
    out->status = row.text.status != STATUS_OK ? row.text.status : out->status;
    csv_writer_done(&row);
}

// null where there is none: unknown is not a value.
static void json_member(Buffer *out, const char *name, const char *value) {
    char text[LIMIT_PATH_BYTES];
    text_fit(text, sizeof text, value); // names of files are any bytes
    buffer_text(out, name);
    if (text[0] != '\0') {
        buffer_json(out, text);
    } else {
        buffer_text(out, "null");
    }
}

static void write_json(Buffer *out, const char *path, const char *section, const SpotModel *model,
                       double score) {
    json_member(out, "{\"file_name\":", path);
    json_member(out, ",\"machine_type\":", model->machine);
    json_member(out, ",\"section\":", section);
    buffer_text(out, ",\"reconstruction_error\":");
    buffer_number(out, score);
    if (isnan(model->threshold)) {
        buffer_text(out, ",\"threshold\":null,\"is_anomaly\":null}\n");
        return;
    }
    buffer_text(out, ",\"threshold\":");
    buffer_number(out, model->threshold);
    bool is_anomaly = decision_is_anomaly(score, model->threshold);
    buffer_format(out, ",\"is_anomaly\":%s}\n", is_anomaly ? "true" : "false");
}

// Somebody may be reading along: every row leaves at once.
static Status print(const char *text) {
    if (fputs(text, stdout) == EOF || fflush(stdout) != 0) {
        return status_set(STATUS_IO, "cannot write to stdout: %s", strerror(errno));
    }
    return STATUS_OK;
}

static Status print_row(const Spot *spot, const char *path, const SpotModel *model, double score) {
    Buffer out = BUFFER_EMPTY;
    ClipName name = clipname_read(path);
    const char *section = name.section[0] != '\0' ? name.section : model->section;
    if (spot->options->is_json) {
        write_json(&out, path, section, model, score);
    } else {
        write_csv(&out, path, section, model, score);
    }
    Status status = out.status == STATUS_OK ? print(buffer_cstr(&out)) : out.status;
    buffer_done(&out);
    return status;
}

// ---- clips ----

static void note_threshold(Spot *spot, const SpotModel *model) {
    if (isnan(model->threshold) && !spot->threshold_noted) {
        spot->threshold_noted = true;
        log_warning("model %s has no threshold yet (`auscult score --out RUN` decides on one): "
                    "threshold and is_anomaly stay empty",
                    model->name);
    }
}

static Status take_clip(void *context, const char *path) {
    Spot *spot = context;
    uint32_t index = 0;
    double score = NAN;
    spot->found++;
    Status status = spot_models_choose(spot->models, path, &index);
    if (status == STATUS_OK) {
        status = spot_models_score(spot->models, index, path, &score);
    }
    if (status != STATUS_OK) {
        log_warning("%s: %s", path, status_message());
        return STATUS_OK;
    }
    const SpotModel *model = spot_models_get(spot->models, index);
    spot->scored++;
    note_threshold(spot, model);
    return print_row(spot, path, model, score);
}

static void refuse_folder(void *context, const char *path, const char *reason) {
    (void)context;
    log_warning("%s: %s", path, reason);
}

static Status score_path(Spot *spot, const char *path) {
    SpotWalk walk = {
        .wants = clipname_is_clip, .take = take_clip, .refuse = refuse_folder, .context = spot};
    uint64_t before = spot->found;
    Status status = spot_walk(&walk, path);
    if (status == STATUS_OK && spot->found == before) {
        log_warning("%s: no clip in it (.wav, .flac or .npy)", path);
    }
    return status;
}

static Status score_all(Spot *spot) {
    Status status = STATUS_OK;
    if (!spot->options->is_json) {
        status =
            print("file_name,machine_type,section,reconstruction_error,threshold,is_anomaly\n");
    }
    for (int i = 0; i < spot->options->path_count && status == STATUS_OK; i++) {
        status = score_path(spot, spot->options->paths[i]);
    }
    return status;
}

// ---- the command ----

// With the kernel of the training, so that scores are the run's bit for bit. May execute the
// program anew; nothing has been printed before.
static Status start_numerics(const SpotModels *models, char **argv) {
    char note[LIMIT_MESSAGE_BYTES];
    Kernel kernel = spot_models_kernel(models, linalg_best_kernel(), note);
    Status status = linalg_start(kernel, argv);
    if (status == STATUS_OK) {
        status = linalg_self_check();
    }
    if (status == STATUS_OK && note[0] != '\0') {
        log_warning("%s", note);
    }
    return status;
}

// A run of several scores: which of them the rows have is not to be guessed.
static void speak_of_score(const SpotModels *models) {
    for (uint32_t i = 0; i < spot_models_count(models); i++) {
        const SpotModel *model = spot_models_get(models, i);
        if (model->damage == NULL && model->has_others) {
            log_warning("scores are %s, the first that the run made; --score names another",
                        settings_score_name(model->score));
            return;
        }
    }
}

static void speak_of_models(const SpotModels *models) {
    for (uint32_t i = 0; i < spot_models_count(models); i++) {
        const SpotModel *model = spot_models_get(models, i);
        if (model->damage != NULL) {
            log_warning("model %s cannot be used: %s", model->name, model->damage);
        } else {
            log_debug("model %s: machine %s, section %s, kernel %s", model->name, model->machine,
                      model->section[0] != '\0' ? model->section : "any",
                      linalg_kernel_name(model->kernel));
        }
    }
}

static int verdict(const Spot *spot, Status status) {
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    if (spot->scored == 0) {
        log_error("no clip could be scored");
        return EXIT_FAILED;
    }
    bool is_complete = spot->scored == spot->found;
    return is_complete || !spot->options->is_strict ? EXIT_DONE : EXIT_SOME_MISSED;
}

static int score_on_the_spot(int argc, char **argv) {
    SpotOptions options = {0};
    int parsed = parse(argc, argv, &options);
    if (parsed >= 0) {
        return parsed;
    }
    if (import_is_known(options.model)) {
        return usage("a network from elsewhere scores a whole run, with --data DIR and --out RUN: ",
                     options.model);
    }
    // Whoever started us may have it ignored; `| head` should simply end this program.
    signal(SIGPIPE, SIG_DFL);
    Spot spot = {.options = &options};
    Status status =
        spot_models_open(options.model, options.has_score ? &options.score : NULL, &spot.models);
    if (status == STATUS_OK) {
        // argv[-1] is the program: linalg_start may execute it anew with the whole command line.
        status = start_numerics(spot.models, argv - 1);
    }
    if (status == STATUS_OK) {
        speak_of_models(spot.models);
        if (!options.has_score) {
            speak_of_score(spot.models);
        }
        status = score_all(&spot);
    }
    int exit_status = verdict(&spot, status);
    spot_models_free(spot.models);
    return exit_status;
}

// Whether the option is among the words; `--` ends them.
static bool has_option(int argc, char **argv, const char *option) {
    size_t size = strlen(option);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], option, size) == 0 &&
            (argv[i][size] == '\0' || argv[i][size] == '=')) {
            return true;
        }
    }
    return false;
}

int cmd_score(int argc, char **argv) {
    if (has_option(argc, argv, "--model")) {
        return has_option(argc, argv, "--out") ? cmd_score_network(argc, argv)
                                               : score_on_the_spot(argc, argv);
    }
    if (has_option(argc, argv, "--help") || has_option(argc, argv, "-h")) {
        fputs(HELP, stdout);
        puts("\n---- as a stage of a run ----\n");
        return cmd_score_stage(argc, argv);
    }
    if (argc > 1 && argv[1][0] != '-') {
        return usage("--model RUN is missing (or --out RUN for the stage of a run) to score ",
                     argv[1]);
    }
    return cmd_score_stage(argc, argv);
}
