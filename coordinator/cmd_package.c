// SPDX-License-Identifier: Apache-2.0
//
// auscult package: the official submission package from finished runs.
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/options.h"
#include "coordinator/package/author.h"
#include "coordinator/package/build.h"
#include "coordinator/package/years.h"

static const char HELP[] =
    "usage: auscult package --run RUN [--run RUN2 ...] --label LastName_Inst --author FILE ...\n"
    "\n"
    "Writes the submission package of DCASE Task 2 from finished runs: the official files of up "
    "to\n"
    "four systems, and for each a meta.yaml from its model, its settings, its figures on\n"
    "development data and the author file. It is checked as by `auscult check-package` before\n"
    "there is a file. The same runs give the same bytes.\n"
    "\n"
    "  --run RUN          a finished run with the evaluation set; may be given several times\n"
    "  --system NAME      hand in this system of the runs (a folder in RUN/outputs; `primary` for\n"
    "                     the one at the top); may be given several times; default: all\n"
    "  --label L_I        last name and institute; `_task2_1` and so on is put behind\n"
    "  --author FILE      names, authors and whatever else a run cannot know (YAML)\n"
    "  --author-template  print such a file to be filled in\n"
    "  --dev-run RUN      the run whose report has the results on development data (default: the\n"
    "                     run itself)\n"
    "  --out FILE.zip     default: LABEL_task2.zip\n"
    "  --strict           refuse clips without a score; else they are warned of, and have their\n"
    "                     machine's median score and decision 0\n"
    "  --data DIR         check against exactly the test clips of this data set\n"
    "  --year Y           check against this year's machines (recognised by the machines)\n"
    "  -h, --help         print this help\n"
    "\n"
    "Exit status: 0 written (warnings may be), 1 refused by the checker, 2 usage, 3 failed.\n";

enum { PACKAGE_WRITTEN, PACKAGE_REFUSED, PACKAGE_USAGE, PACKAGE_FAILED };

typedef struct PackageOptions {
    PackageConfig config;
    DatasetOptions dataset;
    const char *runs[LIMIT_ROOTS];
    const char *systems[LIMIT_ROOTS];
    const char *roots[LIMIT_ROOTS];
    char out[LIMIT_NAME_BYTES]; // the default
} PackageOptions;

static int usage(const char *what) {
    fprintf(stderr, "auscult package: %s (see auscult package --help)\n", what);
    return PACKAGE_USAGE;
}

static int add(const char **list, uint32_t *count, const char *value) {
    if (*count == LIMIT_ROOTS) {
        return usage("an option given more than 64 times");
    }
    list[(*count)++] = value;
    return -1;
}

// Returns an exit status, or -1 to go on.
static int take_option(int option, void *context) {
    PackageOptions *options = context;
    PackageConfig *config = &options->config;
    switch (option) {
    case 'r':
        return add(options->runs, &config->run_count, optarg);
    case 's':
        return add(options->systems, &config->system_count, optarg);
    case 'd':
        return add(options->roots, &options->dataset.root_count, optarg);
    case 'l':
        config->label = optarg;
        return -1;
    case 'a':
        config->author = optarg;
        return -1;
    case 't':
        fputs(AUTHOR_TEMPLATE, stdout);
        return PACKAGE_WRITTEN;
    case 'v':
        config->dev_run = optarg;
        return -1;
    case 'o':
        config->out = optarg;
        return -1;
    case 'x':
        config->is_strict = true;
        return -1;
    case 'y':
        return year_from_text(optarg, &config->year) ? -1 : usage(YEAR_WANTED);
    case 'h':
        fputs(HELP, stdout);
        return PACKAGE_WRITTEN;
    default:
        return PACKAGE_USAGE; // getopt has said why
    }
}

static int check_options(PackageOptions *options) {
    PackageConfig *config = &options->config;
    char label[LIMIT_NAME_BYTES];
    if (config->run_count == 0 || config->label == NULL) {
        return usage(config->run_count == 0 ? "--run RUN is missing" : "--label is missing");
    }
    if (config->author == NULL) {
        return usage("--author FILE is missing; `auscult package --author-template` prints one");
    }
    int used = snprintf(label, sizeof label, "%s_task2_1", config->label);
    if (used > 100 || !package_is_label(label) || strstr(config->label, "_task2") != NULL) {
        return usage("--label has the form LastName_Institute, of letters, digits and '-'");
    }
    snprintf(options->out, sizeof options->out, "%s_task2.zip", config->label);
    config->out = config->out != NULL ? config->out : options->out;
    config->runs = options->runs;
    config->systems = options->systems;
    options->dataset.roots = options->roots;
    return -1;
}

static int parse(int argc, char **argv, PackageOptions *options) {
    static const struct option longs[] = {
        {"run", required_argument, NULL, 'r'},     {"system", required_argument, NULL, 's'},
        {"data", required_argument, NULL, 'd'},    {"label", required_argument, NULL, 'l'},
        {"author", required_argument, NULL, 'a'},  {"author-template", no_argument, NULL, 't'},
        {"dev-run", required_argument, NULL, 'v'}, {"out", required_argument, NULL, 'o'},
        {"strict", no_argument, NULL, 'x'},        {"year", required_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int status = options_take(argc, argv, "h", longs, take_option, options);
    if (status >= 0) {
        return status;
    }
    return optind < argc ? usage("runs are given as --run RUN") : check_options(options);
}

static Status build(PackageOptions *options, Complaints *ret_complaints) {
    Dataset *dataset = NULL;
    Expected expected = {0};
    Status status = STATUS_OK;
    if (options->dataset.root_count > 0) {
        status = dataset_scan(&options->dataset, &dataset);
        status = status == STATUS_OK ? expected_make(dataset, &expected) : status;
        options->config.expected = &expected;
    }
    if (status == STATUS_OK) {
        status = package_build(&options->config, ret_complaints);
    }
    expected_done(&expected);
    dataset_free(dataset);
    return status;
}

int cmd_package(int argc, char **argv) {
    PackageOptions options = {0};
    int exit_status = parse(argc, argv, &options);
    if (exit_status >= 0) {
        return exit_status;
    }
    Complaints complaints = COMPLAINTS_EMPTY;
    Buffer text = BUFFER_EMPTY;
    Status status = build(&options, &complaints);
    if (status == STATUS_OK) {
        complaints_format(&complaints, &text);
        fputs(buffer_cstr(&text), complaints.errors > 0 ? stdout : stderr);
        if (complaints.errors == 0) {
            printf("%s\n", options.config.out);
        }
    } else {
        log_error("%s", status_message());
    }
    exit_status = status != STATUS_OK     ? PACKAGE_FAILED
                  : complaints.errors > 0 ? PACKAGE_REFUSED
                                          : PACKAGE_WRITTEN;
    buffer_done(&text);
    complaints_done(&complaints);
    return exit_status;
}
