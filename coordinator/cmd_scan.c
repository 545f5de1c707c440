// SPDX-License-Identifier: Apache-2.0
//
// auscult scan: prints what was understood of the data, and what was not.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "coordinator/commands.h"
#include "coordinator/dataset/dataset.h"
#include "coordinator/dataset/describe.h"
#include "coordinator/options.h"

static const char help[] =
    "usage: auscult scan --data DIR [--data DIR ...] [--manifest FILE] [--truth PATH]\n"
    "                    [--csv FILE|-] [--json]\n"
    "\n"
    "Prints what is understood of the data: a row per machine, a row per clip, and what is left\n"
    "out with its reason. No sound is read.\n"
    "\n"
    "  --data DIR       a folder of machine folders (MACHINE/train, MACHINE/test), such as a "
    "DCASE\n"
    "                   Task 2 set of 2020 to 2026; may be given several times\n"
    "  --manifest FILE  take clips and labels from this CSV (as --csv writes it) instead of from\n"
    "                   folders and names; paths in it are relative to a data folder\n"
    "  --truth PATH     labels of hidden test clips: eval_data_list_YYYY.csv or the evaluator's\n"
    "                   ground_truth folders\n"
    "  --csv FILE       also write the table of clips as CSV; - writes it to stdout instead\n"
    "  --json           print everything as one JSON object\n"
    "  --summary        print no row per clip\n"
    "  -q, --quiet      print no warnings\n"
    "  -h, --help       print this help\n";

typedef struct ScanOptions {
    DatasetOptions dataset;
    const char *roots[LIMIT_ROOTS];
    const char *csv; // file, "-" for stdout, NULL for none
    bool json;
    bool summary;
} ScanOptions;

enum { OPTION_DATA = 256, OPTION_MANIFEST, OPTION_TRUTH, OPTION_CSV, OPTION_JSON, OPTION_SUMMARY };

static int usage(const char *what) {
    fprintf(stderr, "auscult scan: %s (see auscult scan --help)\n", what);
    return 2;
}

// Returns an exit status, or -1 to go on.
static int take_option(int option, void *context) {
    ScanOptions *options = context;
    switch (option) {
    case OPTION_DATA:
        if (options->dataset.root_count == LIMIT_ROOTS) {
            return usage("too many --data, at most 64");
        }
        options->roots[options->dataset.root_count++] = optarg;
        return -1;
    case OPTION_MANIFEST:
        options->dataset.manifest = optarg;
        return -1;
    case OPTION_TRUTH:
        options->dataset.truth = optarg;
        return -1;
    case OPTION_CSV:
        options->csv = optarg;
        return -1;
    case OPTION_JSON:
        options->json = true;
        return -1;
    case OPTION_SUMMARY:
        options->summary = true;
        return -1;
    case 'q':
        log_set_level(LOG_ERROR);
        return -1;
    case 'h':
        fputs(help, stdout);
        return 0;
    default:
        return 2; // getopt has said why
    }
}

static int parse(int argc, char **argv, ScanOptions *options) {
    static const struct option longs[] = {
        {"data", required_argument, NULL, OPTION_DATA},
        {"manifest", required_argument, NULL, OPTION_MANIFEST},
        {"truth", required_argument, NULL, OPTION_TRUTH},
        {"csv", required_argument, NULL, OPTION_CSV},
        {"json", no_argument, NULL, OPTION_JSON},
        {"summary", no_argument, NULL, OPTION_SUMMARY},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int status = options_take(argc, argv, "qh", longs, take_option, options);
    if (status >= 0) {
        return status;
    }
    options->dataset.roots = options->roots;
    if (optind < argc) {
        return usage("data folders are given as --data DIR");
    }
    if (options->dataset.root_count == 0) {
        return usage("--data DIR is missing");
    }
    bool csv_out = options->csv != NULL && strcmp(options->csv, "-") == 0;
    return csv_out && options->json ? usage("--csv - and --json both want stdout") : -1;
}

static void describe(const ScanOptions *options, const Dataset *dataset, Buffer *out) {
    if (options->json) {
        describe_json(dataset, out);
        return;
    }
    describe_machines(dataset, out);
    if (!options->summary) {
        buffer_text(out, "\n");
        describe_clips(dataset, out);
    }
    if (dataset->note_count + dataset->left_out_count > 0) {
        buffer_text(out, "\n");
        describe_left_out(dataset, out);
    }
}

static Status print(const Buffer *text) {
    if (text->status != STATUS_OK) {
        return text->status;
    }
    size_t written = fwrite(buffer_cstr(text), 1, text->size, stdout);
    if (written != text->size || fflush(stdout) != 0) {
        return status_set(STATUS_IO, "cannot write to stdout");
    }
    return STATUS_OK;
}

// Into what is there and is no plain file (a pipe, a device, a link to somewhere) it is written as
// it stands; a plain file is replaced as a whole.
static Status write_csv(const char *path, const Buffer *csv) {
    struct stat there;
    if (lstat(path, &there) != 0 || S_ISREG(there.st_mode)) {
        return file_write_buffer(path, csv);
    }
    FILE *file = csv->status == STATUS_OK ? fopen(path, "we") : NULL;
    bool written = file != NULL && fwrite(buffer_cstr(csv), 1, csv->size, file) == csv->size;
    bool closed = file != NULL && fclose(file) == 0;
    return written && closed ? STATUS_OK : status_set(STATUS_IO, "cannot write %s", path);
}

static Status show(const ScanOptions *options, const Dataset *dataset) {
    Buffer csv = BUFFER_EMPTY, text = BUFFER_EMPTY;
    Status status = STATUS_OK;
    bool csv_out = options->csv != NULL && strcmp(options->csv, "-") == 0;
    if (options->csv != NULL) {
        dataset_write_csv(dataset, &csv);
        status = csv_out ? print(&csv) : write_csv(options->csv, &csv);
    }
    if (status == STATUS_OK && !csv_out) {
        describe(options, dataset, &text);
        status = print(&text);
    }
    buffer_done(&csv);
    buffer_done(&text);
    return status;
}

int cmd_scan(int argc, char **argv) {
    ScanOptions options = {0};
    int exit_status = parse(argc, argv, &options);
    if (exit_status >= 0) {
        return exit_status;
    }
    Dataset *dataset = NULL;
    Status status = dataset_scan(&options.dataset, &dataset);
    if (status == STATUS_OK) {
        for (uint32_t i = 0; i < dataset->warning_count; i++) {
            log_warning("%s", dataset->warnings[i]);
        }
        status = show(&options, dataset);
    }
    dataset_free(dataset);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return 3;
    }
    return 0;
}
