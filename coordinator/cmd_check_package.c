// SPDX-License-Identifier: Apache-2.0
//
// auscult check-package: whether the challenge would take a submission package, anybody's.
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/options.h"
#include "coordinator/package/check.h"
#include "coordinator/package/years.h"

static const char HELP[] =
    "usage: auscult check-package PATH [--data DIR ... | --truth-names PATH] [--year Y] [--json]\n"
    "\n"
    "Validates a submission package of DCASE Task 2, a zip file or a folder: structure, labels,\n"
    "every machine, every clip once, numbers, decisions, text form, meta.yaml. Nothing is "
    "unpacked\n"
    "to disk. Each finding is `file:line: error|warning: what; what to do`.\n"
    "\n"
    "  --data DIR          hold the rows against the test clips of this data set (as auscult run\n"
    "                      takes it); without it, against the year's machines and the clips'\n"
    "                      numbering\n"
    "  --truth-names PATH  the same with the names of a ground truth (as auscult evaluate takes "
    "it);\n"
    "                      its labels are not looked at\n"
    "  --year Y            2020 to 2026 (recognised by the machines)\n"
    "  --json              print the findings as one JSON object\n"
    "  -h, --help          print this help\n"
    "\n"
    "Exit status: 0 no errors (warnings may be), 1 errors, 2 usage, 3 it cannot be read.\n";

enum { EXIT_FINE, EXIT_ERRORS, EXIT_WRONG_USAGE, EXIT_UNREADABLE };

typedef struct CheckOptions {
    const char *path;
    const char *roots[LIMIT_ROOTS];
    DatasetOptions dataset;
    const char *truth; // NULL for none
    int year;
    bool is_json;
} CheckOptions;

static int usage(const char *what) {
    fprintf(stderr, "auscult check-package: %s (see auscult check-package --help)\n", what);
    return EXIT_WRONG_USAGE;
}

// Returns an exit status, or -1 to go on.
static int take_option(int option, void *context) {
    CheckOptions *options = context;
    switch (option) {
    case 'd':
        if (options->dataset.root_count == LIMIT_ROOTS) {
            return usage("too many --data, at most 64");
        }
        options->roots[options->dataset.root_count++] = optarg;
        return -1;
    case 'y':
        return year_from_text(optarg, &options->year) ? -1 : usage(YEAR_WANTED);
    case 't':
        options->truth = optarg;
        return -1;
    case 'j':
        options->is_json = true;
        return -1;
    case 'h':
        fputs(HELP, stdout);
        return EXIT_FINE;
    default:
        return EXIT_WRONG_USAGE; // getopt has said why
    }
}

// A folder may be its system's own, so its name must be seen.
static const char *without_slashes(char *path) {
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/';) {
        path[--length] = '\0';
    }
    return path;
}

static int parse(int argc, char **argv, CheckOptions *options) {
    static const struct option longs[] = {
        {"data", required_argument, NULL, 'd'}, {"truth-names", required_argument, NULL, 't'},
        {"year", required_argument, NULL, 'y'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int status = options_take(argc, argv, "h", longs, take_option, options);
    if (status >= 0) {
        return status;
    }
    if (optind != argc - 1) {
        return usage(optind == argc ? "which package?" : "one package at a time");
    }
    if (options->truth != NULL && options->dataset.root_count > 0) {
        return usage("--data and --truth-names both say which clips there are");
    }
    options->path = without_slashes(argv[optind]);
    options->dataset.roots = options->roots;
    return -1;
}

static Status check(const CheckOptions *options, const Expected *expected,
                    Complaints *ret_complaints) {
    Archive archive = ARCHIVE_EMPTY;
    Status status = archive_read(options->path, &archive);
    if (status == STATUS_OK) {
        CheckConfig config = {.archive = &archive,
                              .name = options->path,
                              .year = options->year,
                              .expected = expected};
        status = package_check(&config, ret_complaints);
    }
    archive_done(&archive);
    return status;
}

static Status check_with_data(const CheckOptions *options, Complaints *ret_complaints) {
    Dataset *dataset = NULL;
    Expected expected = {0};
    Status status = dataset_scan(&options->dataset, &dataset);
    if (status == STATUS_OK) {
        status = expected_make(dataset, &expected);
    }
    if (status == STATUS_OK) {
        status = check(options, &expected, ret_complaints);
    }
    expected_done(&expected);
    dataset_free(dataset);
    return status;
}

static Status check_with_truth(const CheckOptions *options, Complaints *ret_complaints) {
    Truth *truth = NULL;
    Expected expected = {0};
    Status status = truth_read(options->truth, options->year, &truth);
    if (status == STATUS_OK) {
        status = expected_from_truth(truth, &expected);
    }
    if (status == STATUS_OK) {
        status = check(options, &expected, ret_complaints);
    }
    expected_done(&expected);
    truth_free(truth);
    return status;
}

static Status check_as_asked(const CheckOptions *options, Complaints *ret_complaints) {
    return options->truth != NULL            ? check_with_truth(options, ret_complaints)
           : options->dataset.root_count > 0 ? check_with_data(options, ret_complaints)
                                             : check(options, NULL, ret_complaints);
}

int cmd_check_package(int argc, char **argv) {
    CheckOptions options = {0};
    int exit_status = parse(argc, argv, &options);
    if (exit_status >= 0) {
        return exit_status;
    }
    Complaints complaints = COMPLAINTS_EMPTY;
    Buffer text = BUFFER_EMPTY;
    Status status = check_as_asked(&options, &complaints);
    if (status == STATUS_OK) {
        (options.is_json ? complaints_json : complaints_format)(&complaints, &text);
        bool written = text.status == STATUS_OK && fputs(buffer_cstr(&text), stdout) >= 0 &&
                       fflush(stdout) == 0;
        status = written ? STATUS_OK : status_set(STATUS_IO, "cannot write to stdout");
    }
    exit_status = status != STATUS_OK     ? EXIT_UNREADABLE
                  : complaints.errors > 0 ? EXIT_ERRORS
                                          : EXIT_FINE;
    if (status != STATUS_OK) {
        log_error("%s", status_message());
    }
    buffer_done(&text);
    complaints_done(&complaints);
    return exit_status;
}
