// SPDX-License-Identifier: Apache-2.0
//
// A subcommand's options, one after the other. main's thread.
#ifndef AUSCULT_COORDINATOR_OPTIONS_H
#define AUSCULT_COORDINATOR_OPTIONS_H

#include <getopt.h>

// Takes one option, its value in optarg. Returns an exit status, or -1 to go on.
typedef int OptionTake(int option, void *context);

// Gives every option to `take`, as getopt_long knows them by letters and long names, '?' for one
// that it has complained about. Returns the first exit status, or -1 when all were taken: argv from
// optind on is then what is no option.
int options_take(int argc, char **argv, const char *letters, const struct option *longs,
                 OptionTake *take, void *context);

#endif
