// SPDX-License-Identifier: Apache-2.0
#include "coordinator/run_options.h"

#include <stdio.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/options.h"

static const char HELP[] =
    "usage: auscult %s --data DIR [--data DIR ...] --out RUN [options]\n"
    "       auscult %s --out RUN                  (continues a run that was begun)\n"
    "\n"
    "%s\n"
    "\n"
    "Data and output\n"
    "  --data DIR        a folder of machine folders (MACHINE/train, MACHINE/test), such as a\n"
    "                    DCASE Task 2 set of 2020 to 2026; may be given several times\n"
    "  --manifest FILE   take clips and labels from this CSV (as `auscult scan --csv` writes it)\n"
    "  --truth PATH      labels of hidden test clips, for the reports alone: "
    "eval_data_list_YYYY.csv\n"
    "                    or the evaluator's ground_truth folders\n"
    "  --out RUN         the run's folder; made if it is not there\n"
    "  --export FORM     (extract) write the clips' features too: npy, a file for each clip, or\n"
    "                    hdf5, one for each machine; RUN/features\n"
    "  --label NAME      of the submission files (default auscult_task2_1)\n"
    "\n"
    "Workers\n"
    "  --local N         workers on this machine (default: number of cores; 0 with --bind)\n"
    "  --bind ENDPOINT   serve workers elsewhere: tcp://HOST:PORT, PORT 0 for a free one\n"
    "                    (HOST a name, an address, a network interface or *); workers need keys\n"
    "  --keys DIR        those that `auscult keygen DIR` made, in place of the run's own, which\n"
    "                    are in RUN/keys and found by `auscult-worker --run RUN`\n"
    "  --insecure        tcp without keys: everybody who reaches the port can take part\n"
    "  --http HOST:PORT  a live page that follows the run, such as 127.0.0.1:8080 (PORT 0: a free\n"
    "                    one); /status.json, /metrics and /healthz beside it. Everybody who "
    "reaches\n"
    "                    that address can look on\n"
    "\n"
    "Settings (preset < file < --set)\n"
    "  --preset NAME     default, dcase-baseline or notebook\n"
    "  --config FILE     YAML with flat keys; the official baseline's baseline.yaml will do\n"
    "  --set KEY=VALUE   one setting; may be given several times\n"
    "  --help-settings   every key with default, accepted range and meaning\n"
    "\n"
    "A run that was begun\n"
    "  --update          do finished work anew that a change of settings or data touches\n"
    "  --retry           look again at clips that were left out\n"
    "  --restart         keep the run as RUN.1, RUN.2, ... and begin a new one\n"
    "\n"
    "Other\n"
    "  --strict          exit 1 when a clip was left out\n"
    "  --dry-run         say what would be done, and stop\n"
    "  --json            the closing table as JSON\n"
    "  -v, --verbose  -q, --quiet  -h, --help  --version\n"
    "\n"
    "Exit status: 0 done, 1 clips left out and --strict, 2 usage, 3 failed, 75 stopped by a\n"
    "signal and resumable.\n";

static const char *describe_command(const char *command) {
    static const char *const TEXTS[][2] = {
        {"run",
         "Does everything: extracts features, trains a model for each machine, scores every\n"
         "clip, writes reports and the challenge's submission."},
        {"eda",
         "Explores the data, without any model: levels, clipping, silence, spectra, domain shift,\n"
         "duplicates and other suspicious clips, as tables (RUN/outputs/eda_*.csv)."},
        {"extract", "The first stage of a run: reads every clip and says which can be used."},
        {"train", "The stages of a run up to training: model files and training histories."},
        {"score", "The stages of a run up to scoring: thresholds and predictions."},
        {"report", "All stages of a run, like `auscult run`: what is done already is only "
                   "reported."},
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        if (strcmp(TEXTS[i][0], command) == 0) {
            return TEXTS[i][1];
        }
    }
    return "";
}

static int usage(const char *command, const char *format, const char *value) {
    fprintf(stderr, "auscult %s: ", command);
    fprintf(stderr, "%s%s", format, value);
    fprintf(stderr, " (see auscult %s --help)\n", command);
    return 2;
}

enum {
    DATA = 256,
    MANIFEST,
    TRUTH,
    EXPORT,
    MODEL,
    SCALER,
    THRESHOLD,
    OUT,
    LABEL,
    LOCAL,
    BIND,
    KEYS,
    INSECURE,
    HTTP,
    PRESET,
    CONFIG,
    SET,
    HELP_SETTINGS,
    UPDATE,
    RETRY,
    RESTART,
    STRICT,
    DRY_RUN,
    JSON,
    VERSION,
};

static int take_workers(const char *command, const char *text, RunOptions *options) {
    int64_t workers;
    if (text_to_int(text, &workers) != STATUS_OK || workers < 0 || workers > LIMIT_WORKERS) {
        return usage(command, "--local accepts a whole number from 0 to 1024, not ", text);
    }
    options->local_workers = (uint32_t)workers;
    return -1;
}

static int print_reference(void) {
    Buffer text = BUFFER_EMPTY;
    settings_reference(&text);
    fputs(buffer_cstr(&text), stdout);
    buffer_done(&text);
    return 0;
}

// Returns -1 to go on, else the exit status.
static int take_option(const char *command, int option, const char *value, RunOptions *options) {
    switch (option) {
    case DATA:
        if (options->root_count == LIMIT_ROOTS) {
            return usage(command, "too many --data, at most 64", "");
        }
        options->roots[options->root_count++] = value;
        return -1;
    case MANIFEST:
        options->manifest = value;
        return -1;
    case EXPORT:
        options->export = value;
        return -1;
    case MODEL:
        options->model = value;
        return -1;
    case SCALER:
        options->scaler = value;
        return -1;
    case THRESHOLD:
        options->threshold = value;
        return -1;
    case TRUTH:
        options->truth = value;
        return -1;
    case OUT:
        options->out = value;
        return -1;
    case LABEL:
        options->label = value;
        return -1;
    case LOCAL:
        return take_workers(command, value, options);
    case BIND:
        options->bind = value;
        return -1;
    case KEYS:
        options->keys = value;
        return -1;
    case INSECURE:
        options->is_insecure = true;
        return -1;
    case HTTP:
        options->http = value;
        return -1;
    case PRESET:
        options->preset = value;
        return -1;
    case CONFIG:
        options->config = value;
        return -1;
    case SET:
        if (options->assignment_count ==
            sizeof options->assignments / sizeof options->assignments[0]) {
            return usage(command, "too many --set", "");
        }
        options->assignments[options->assignment_count++] = value;
        return -1;
    case HELP_SETTINGS:
        return print_reference();
    case UPDATE:
        options->is_update = true;
        return -1;
    case RETRY:
        options->is_retry = true;
        return -1;
    case RESTART:
        options->is_restart = true;
        return -1;
    case STRICT:
        options->is_strict = true;
        return -1;
    case DRY_RUN:
        options->is_dry = true;
        return -1;
    case JSON:
        options->is_json = true;
        return -1;
    case VERSION:
        puts("auscult " AUSCULT_VERSION);
        return 0;
    case 'v':
        options->is_verbose = true;
        return -1;
    case 'q':
        options->is_quiet = true;
        return -1;
    case 'h':
        printf(HELP, command, command, describe_command(command));
        return 0;
    default:
        return 2; // getopt has said why
    }
}

static bool is_plain_word(const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || *c == '.';
        if (!fine) {
            return false;
        }
    }
    return text[0] != '\0' && text[0] != '.';
}

static int check(const char *command, const RunOptions *options) {
    // Empty: a shell variable that is not set. Its run would lie at the root of the disk.
    if (options->out == NULL || options->out[0] == '\0') {
        return usage(command, "--out RUN is missing", "");
    }
    if (options->export != NULL && strcmp(command, "extract") != 0) {
        return usage(command, "--export belongs to `auscult extract`", "");
    }
    if (options->export != NULL && strcmp(options->export, "npy") != 0 &&
        strcmp(options->export, "hdf5") != 0) {
        return usage(command, "--export accepts npy or hdf5, not ", options->export);
    }
    bool has_network =
        options->model != NULL || options->scaler != NULL || options->threshold != NULL;
    if (has_network && strcmp(command, "score") != 0) {
        return usage(command, "--model, --scaler and --threshold belong to `auscult score`", "");
    }
    for (uint32_t i = 0; i < options->root_count; i++) {
        if (options->roots[i][0] == '\0') {
            return usage(command, "--data is empty", "");
        }
    }
    if (options->bind != NULL && strncmp(options->bind, "ipc://", 6) != 0 &&
        strncmp(options->bind, "tcp://", 6) != 0) {
        return usage(command, "--bind accepts tcp://HOST:PORT or ipc://PATH, not ", options->bind);
    }
    if (options->keys != NULL && options->is_insecure) {
        return usage(command, "--keys and --insecure contradict each other", "");
    }
    if (options->keys != NULL &&
        (options->bind == NULL || strncmp(options->bind, "tcp://", 6) != 0)) {
        return usage(command, "--keys is for --bind tcp://...", "");
    }
    if (!is_plain_word(options->label)) {
        return usage(command, "--label accepts letters, digits, '_', '-' and '.', not ",
                     options->label);
    }
    if (options->local_workers == 0 && options->bind == NULL) {
        return usage(command, "--local 0 needs --bind: nobody would do the work", "");
    }
    return -1;
}

typedef struct Taking {
    const char *command;
    RunOptions *options;
} Taking;

static int take_of(int option, void *context) {
    const Taking *taking = context;
    return take_option(taking->command, option, optarg, taking->options);
}

int run_options_parse(int argc, char **argv, RunOptions *options) {
    static const struct option LONG[] = {{"data", required_argument, NULL, DATA},
                                         {"manifest", required_argument, NULL, MANIFEST},
                                         {"truth", required_argument, NULL, TRUTH},
                                         {"export", required_argument, NULL, EXPORT},
                                         {"model", required_argument, NULL, MODEL},
                                         {"scaler", required_argument, NULL, SCALER},
                                         {"threshold", required_argument, NULL, THRESHOLD},
                                         {"out", required_argument, NULL, OUT},
                                         {"label", required_argument, NULL, LABEL},
                                         {"local", required_argument, NULL, LOCAL},
                                         {"bind", required_argument, NULL, BIND},
                                         {"keys", required_argument, NULL, KEYS},
                                         {"insecure", no_argument, NULL, INSECURE},
                                         {"http", required_argument, NULL, HTTP},
                                         {"preset", required_argument, NULL, PRESET},
                                         {"config", required_argument, NULL, CONFIG},
                                         {"set", required_argument, NULL, SET},
                                         {"help-settings", no_argument, NULL, HELP_SETTINGS},
                                         {"update", no_argument, NULL, UPDATE},
                                         {"retry", no_argument, NULL, RETRY},
                                         {"restart", no_argument, NULL, RESTART},
                                         {"strict", no_argument, NULL, STRICT},
                                         {"dry-run", no_argument, NULL, DRY_RUN},
                                         {"json", no_argument, NULL, JSON},
                                         {"version", no_argument, NULL, VERSION},
                                         {"verbose", no_argument, NULL, 'v'},
                                         {"quiet", no_argument, NULL, 'q'},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    const char *command = argv[0];
    *options = (RunOptions){.local_workers = UINT32_MAX, .label = "auscult_task2_1"};
    int status = options_take(argc, argv, "vqh", LONG, take_of, &(Taking){command, options});
    if (status >= 0) {
        return status;
    }
    if (optind < argc) {
        return usage(command, "data folders are given as --data DIR; what is ", argv[optind]);
    }
    return check(command, options);
}

Status run_options_settings(const RunOptions *options, Settings *ret_settings, Buffer *notes) {
    Settings settings;
    Status status =
        settings_preset(options->preset != NULL ? options->preset : "default", &settings);
    if (status == STATUS_OK && options->config != NULL) {
        status = config_read_file(options->config, &settings, notes);
    }
    for (uint32_t i = 0; i < options->assignment_count && status == STATUS_OK; i++) {
        status = settings_assign(&settings, options->assignments[i]);
    }
    if (status == STATUS_OK) {
        // Which systems there are, a begun run may know (run_choose_settings).
        Settings checked = settings;
        memset(checked.primary, 0, sizeof checked.primary);
        checked.ensemble = ENSEMBLE_NONE;
        status = settings_check(&checked);
    }
    if (status == STATUS_OK) {
        *ret_settings = settings;
    }
    return status;
}
