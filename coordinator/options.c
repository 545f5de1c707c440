// SPDX-License-Identifier: Apache-2.0
#include "coordinator/options.h"

#include <stddef.h>

int options_take(int argc, char **argv, const char *letters, const struct option *longs,
                 OptionTake *take, void *context) {
    optind = 0; // start afresh, whoever parsed before
    for (int option; (option = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        int status = take(option, context);
        if (status >= 0) {
            return status;
        }
    }
    return -1;
}
