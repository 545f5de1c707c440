// SPDX-License-Identifier: Apache-2.0
//
// auscult: the command line that people use. One subcommand, one file.
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/commands.h"

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} Command;

static const Command COMMANDS[] = {
    {"run", cmd_run, "everything: extract, train, score, report; resumable"},
    {"scan", cmd_scan, "print what is understood of the data"},
    {"eda", cmd_eda, "explore the data: levels, spectra, domains, suspicious clips"},
    {"extract", cmd_extract, "a run's first stage: read every clip"},
    {"train", cmd_train, "a run up to its trained models"},
    {"score", cmd_score, "a run up to its scores; with --model, score new recordings on the spot"},
    {"report", cmd_report, "a run's reports and submission"},
    {"evaluate", cmd_evaluate, "official metrics for anybody's score files"},
    {"status", cmd_status, "how far a run is, while it runs and after"},
    {"clean", cmd_clean, "drop from a run's folder what belongs to nothing any more"},
    {"keygen", cmd_keygen, "keys for a coordinator on tcp and its workers"},
    {"package", cmd_package, "write the challenge's submission package from finished runs"},
    {"check-package", cmd_check_package, "validate anybody's submission package"},
    {"synth", cmd_synth, "make a synthetic data set in the challenge's layout"},
};

enum { COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0] };

static void print_help(FILE *out) {
    fputs("usage: auscult COMMAND [options]\n\n"
          "Anomalous sound detection: learns how healthy machines sound, and scores how far a\n"
          "recording is from that.\n\n",
          out);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-13s  %s\n", COMMANDS[i].name, COMMANDS[i].help);
    }
    fputs("\n`auscult COMMAND --help` explains one. First: auscult run --data DIR --out RUN\n",
          out);
}

static int unknown_command(const char *name) {
    const char *nearest = NULL;
    int least = 3;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        int distance = text_distance(name, COMMANDS[i].name);
        if (distance < least) {
            least = distance;
            nearest = COMMANDS[i].name;
        }
    }
    fprintf(stderr, "auscult: unknown command '%s'", name);
    if (nearest != NULL) {
        fprintf(stderr, ", did you mean '%s'?", nearest);
    }
    fputs(" (auscult --help lists them)\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    mem_start();
    log_set_program("auscult");
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("auscult " AUSCULT_VERSION);
        return 0;
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], COMMANDS[i].name) == 0) {
            return COMMANDS[i].run(argc - 1, argv + 1);
        }
    }
    return unknown_command(argv[1]);
}
