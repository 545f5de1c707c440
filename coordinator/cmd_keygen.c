// SPDX-License-Identifier: Apache-2.0
//
// auscult keygen: keys for a coordinator on tcp and its workers.
#include <stdio.h>

#include "common/base/log.h"
#include "coordinator/commands.h"
#include "coordinator/options.h"
#include "proto/keys.h"

enum { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_FAILED = 3 };

static const char HELP[] =
    "usage: auscult keygen DIR\n"
    "       auscult keygen DIR --worker NAME\n"
    "\n"
    "Makes keys for `auscult run --bind tcp://... --keys DIR`, never over keys that are there:\n"
    "\n"
    "  DIR/coordinator.key   the coordinator's own; stays on its machine\n"
    "  DIR/worker.key        for workers: auscult-worker --connect ... --keys worker.key\n"
    "  DIR/workers           who is admitted, a line each: deleting one ends that worker's\n"
    "                        session at once, and it is not let in again\n"
    "\n"
    "  --worker NAME   adds DIR/NAME.key and its line, for a worker that may be shut out alone\n"
    "  -h, --help      print this help\n"
    "\n"
    "Without --keys a run on tcp makes its own in RUN/keys, and auscult-worker --run RUN reads\n"
    "them there.\n";

typedef struct Wishes {
    const char *worker; // NULL: the coordinator's and the first worker's
} Wishes;

static int take(int option, void *context) {
    Wishes *wishes = context;
    if (option == 'h') {
        fputs(HELP, stdout);
        return EXIT_DONE;
    }
    if (option != 'w') {
        return EXIT_USAGE;
    }
    wishes->worker = optarg;
    return -1;
}

int cmd_keygen(int argc, char **argv) {
    static const struct option LONG[] = {{"worker", required_argument, NULL, 'w'},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    Wishes wishes = {0};
    int exit_code = options_take(argc, argv, "h", LONG, take, &wishes);
    if (exit_code >= 0) {
        return exit_code;
    }
    if (optind != argc - 1 || argv[optind][0] == '\0') {
        fputs("auscult keygen: one DIR is needed (see auscult keygen --help)\n", stderr);
        return EXIT_USAGE;
    }
    const char *folder = argv[optind];
    Status status =
        wishes.worker != NULL ? keys_add_worker(folder, wishes.worker) : keys_make(folder);
    if (status != STATUS_OK) {
        log_error("%s", status_message());
        return status == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    printf("%s/%s.key\n", folder, wishes.worker != NULL ? wishes.worker : "worker");
    return EXIT_DONE;
}
