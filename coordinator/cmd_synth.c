// SPDX-License-Identifier: Apache-2.0
//
// auscult synth: writes a synthetic data set.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/options.h"
#include "coordinator/synth/synth.h"

static const char help[] =
    "usage: auscult synth --out DIR [--year Y] [--machines N|NAME,...] [--train N] [--test N] ...\n"
    "\n"
    "Writes a synthetic data set in the layout of one year of DCASE Task 2: machines with sounds\n"
    "of their own, source and target domains, anomalies from hardly to clearly heard. The same\n"
    "options give the same bytes.\n"
    "\n"
    "  --out DIR         folder to make; must be absent or empty\n"
    "  --year Y          names and layout of this year, 2020 to 2026 (2023)\n"
    "  --machines N|A,B  so many machines in each set, or machines of these names (2)\n"
    "  --train N         training clips of a machine (100)\n"
    "  --test N          test clips of a machine, half of them anomalous (40)\n"
    "  --seconds S       length of a clip (10)\n"
    "  --rate HZ         samples per second (16000)\n"
    "  --channels C      channels of a clip (1; 2 in 2026)\n"
    "  --set SET         dev, eval or both (both); the truth about the hidden test clips of eval\n"
    "                    goes to DIR/eval_data_list_YEAR.csv\n"
    "  --npy             write log-mels (frames, 128) instead of sound\n"
    "  --seed N          another data set (13711)\n"
    "  -q, --quiet       print no progress\n"
    "  -h, --help        print this help\n";

enum {
    OPTION_OUT = 256,
    OPTION_YEAR,
    OPTION_MACHINES,
    OPTION_TRAIN,
    OPTION_TEST,
    OPTION_SECONDS,
    OPTION_RATE,
    OPTION_CHANNELS,
    OPTION_SET,
    OPTION_NPY,
    OPTION_SEED,
};

typedef struct SynthCommand {
    SynthOptions options;
    char names[4096]; // of --machines, cut at its commas
    const char *machines[SYNTH_MACHINES_MAX];
    bool quiet;
    bool channels_given;
} SynthCommand;

static int usage(const char *what) {
    fprintf(stderr, "auscult synth: %s (see auscult synth --help)\n", what);
    return 2;
}

// A whole number of the command line into an int32_t; the range that makes sense is synth_write's
// to check.
static int take_int(const char *text, int32_t *out) {
    int64_t value;
    if (text_to_int(text, &value) != STATUS_OK) {
        return usage(status_message());
    }
    *out = (int32_t)(value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : value);
    return -1;
}

static int take_machines(SynthCommand *command, const char *text) {
    int64_t count;
    if (text_to_int(text, &count) == STATUS_OK) {
        command->options.machines = NULL;
        command->options.machine_count = count < 0 || count > UINT32_MAX ? 0 : (uint32_t)count;
        return -1;
    }
    if (!text_copy(command->names, sizeof command->names, text)) {
        return usage("--machines is too long");
    }
    command->options.machine_count = 0;
    char *at = command->names, *name;
    while ((name = strsep(&at, ",")) != NULL) {
        if (command->options.machine_count == SYNTH_MACHINES_MAX) {
            return usage("--machines names more than 256");
        }
        command->machines[command->options.machine_count++] = name;
    }
    command->options.machines = command->machines;
    return -1;
}

static int take_set(SynthOptions *options, const char *text) {
    bool both = strcmp(text, "both") == 0;
    options->dev = both || strcmp(text, "dev") == 0;
    options->eval = both || strcmp(text, "eval") == 0;
    return options->dev || options->eval ? -1 : usage("--set takes dev, eval or both");
}

// Returns an exit status, or -1 to go on.
static int take_option(int option, void *context) {
    SynthCommand *command = context;
    SynthOptions *o = &command->options;
    int64_t seed;
    switch (option) {
    case OPTION_OUT:
        o->out = optarg;
        return -1;
    case OPTION_YEAR:
        return take_int(optarg, &o->year);
    case OPTION_MACHINES:
        return take_machines(command, optarg);
    case OPTION_TRAIN:
        return take_int(optarg, &o->train);
    case OPTION_TEST:
        return take_int(optarg, &o->test);
    case OPTION_SECONDS:
        return text_to_double(optarg, &o->seconds) == STATUS_OK ? -1 : usage(status_message());
    case OPTION_RATE:
        return take_int(optarg, &o->rate_hz);
    case OPTION_CHANNELS:
        command->channels_given = true;
        return take_int(optarg, &o->channels);
    case OPTION_SET:
        return take_set(o, optarg);
    case OPTION_NPY:
        o->npy = true;
        return -1;
    case OPTION_SEED:
        if (text_to_int(optarg, &seed) != STATUS_OK) {
            return usage(status_message());
        }
        o->seed = (uint64_t)seed;
        return -1;
    case 'q':
        command->quiet = true;
        return -1;
    case 'h':
        fputs(help, stdout);
        return 0;
    default:
        return 2; // getopt has said why
    }
}

static int parse(int argc, char **argv, SynthCommand *command) {
    static const struct option longs[] = {
        {"out", required_argument, NULL, OPTION_OUT},
        {"year", required_argument, NULL, OPTION_YEAR},
        {"machines", required_argument, NULL, OPTION_MACHINES},
        {"train", required_argument, NULL, OPTION_TRAIN},
        {"test", required_argument, NULL, OPTION_TEST},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"channels", required_argument, NULL, OPTION_CHANNELS},
        {"set", required_argument, NULL, OPTION_SET},
        {"npy", no_argument, NULL, OPTION_NPY},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int status = options_take(argc, argv, "qh", longs, take_option, command);
    if (status >= 0) {
        return status;
    }
    if (optind < argc) {
        return usage("every argument is an option");
    }
    if (command->options.out == NULL) {
        return usage("--out DIR is missing");
    }
    if (!command->channels_given && command->options.year == 2026) {
        command->options.channels = 2;
    }
    return -1;
}

// On a terminal a line that renews itself some times a second.
static void show_progress(void *context, uint32_t done, uint32_t total) {
    int64_t *shown_ms = context;
    int64_t now_ms = clock_ms();
    if (done == total || now_ms - *shown_ms >= 200) {
        *shown_ms = now_ms;
        fprintf(stderr, "\rsynth: %u/%u clips%s", done, total, done == total ? "\n" : "");
    }
}

int cmd_synth(int argc, char **argv) {
    SynthCommand command = {.options = synth_defaults()};
    int exit_status = parse(argc, argv, &command);
    if (exit_status >= 0) {
        return exit_status;
    }
    int64_t shown_ms = clock_ms();
    if (!command.quiet && isatty(STDERR_FILENO)) {
        command.options.progress = show_progress;
        command.options.progress_context = &shown_ms;
    }
    Status status = synth_write(&command.options);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return status == STATUS_INVALID ? 2 : 3;
    }
    return 0;
}
