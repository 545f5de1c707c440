// SPDX-License-Identifier: Apache-2.0
//
// auscult status: how far a run is, while it runs and after.
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/journal/journal.h"
#include "coordinator/live/status_file.h"

static const char HELP[] =
    "usage: auscult status RUN [--watch] [--json]\n"
    "\n"
    "Says how far the run in the folder RUN is, whether somebody works on it, who, whether its\n"
    "journal is whole (only its head is looked at while somebody does), and how much room it\n"
    "takes. Changes nothing, and does not disturb who works on it.\n"
    "\n"
    "  --watch     once a second until nobody works on it any more; not on a terminal: a line "
    "each\n"
    "  --json      as one JSON object; with --watch, one a line\n"
    "  -h, --help  print this help\n"
    "\n"
    "Exit status: 0 it is being worked on or done, 1 it can be continued, 2 usage, 3 no run, or\n"
    "its journal cannot be used as it is.\n";

enum { EXIT_CONTINUABLE = 1, EXIT_WRONG_USAGE = 2, EXIT_NO_RUN = 3 };

enum {
    WATCH_MS = 1000,  // between two looks
    SIZES_TURNS = 10, // looks between two measurings of the disk, which walk the whole run
};

// What there is to say of a run.
typedef struct View {
    const char *run;
    Buffer text; // of status.json
    Snapshot *facts;
    bool is_alive;
    char trouble[LIMIT_MESSAGE_BYTES]; // with its journal; empty: none
} View;

typedef struct Sizes {
    uint64_t models, outputs, logs, all; // bytes on disk
} Sizes;

static uint64_t part_bytes(const char *run, const char *name) {
    char path[LIMIT_PATH_BYTES];
    return file_join(path, sizeof path, run, name) == STATUS_OK ? file_tree_bytes(path) : 0;
}

static Sizes measure(const char *run) {
    return (Sizes){.models = part_bytes(run, "data"),
                   .outputs = part_bytes(run, "outputs"),
                   .logs = part_bytes(run, "logs"),
                   .all = file_tree_bytes(run)};
}

static void print_json(const View *view, const Sizes *sizes) {
    Buffer journal = BUFFER_EMPTY;
    const char *json = buffer_cstr(&view->text);
    const char *end = strrchr(json, '\n');
    while (end > json && (*end == '\n' || *end == '}')) {
        end--;
    }
    buffer_json(&journal, view->trouble[0] != '\0' ? view->trouble : "ok");
    printf("%.*s,\n  \"is_alive\": %s,\n  \"journal\": %s,\n  \"bytes\": %llu,\n"
           "  \"bytes_models\": %llu\n}\n",
           (int)(end - json + 1), json, view->is_alive ? "true" : "false", buffer_cstr(&journal),
           (unsigned long long)sizes->all, (unsigned long long)sizes->models);
    buffer_done(&journal);
}

static void write_headline(const View *view, Buffer *out) {
    const Snapshot *facts = view->facts;
    if (view->trouble[0] != '\0') {
        buffer_format(out, "%s: %s, but its journal cannot be used\n", view->run,
                      view->is_alive ? "running" : run_state_text(facts->state));
    } else if (view->is_alive) {
        buffer_format(out, "%s: running (%s), %llu worker%s%s%s\n", view->run,
                      run_stage_text(facts->stage), (unsigned long long)facts->workers,
                      facts->workers == 1 ? "" : "s", facts->http[0] != '\0' ? ", " : "",
                      facts->http);
    } else if (facts->state == RUN_DONE) {
        buffer_format(out, "%s: done\n", view->run);
    } else {
        // What explores has no models to come to, and `run` would train.
        bool explores = facts->models == 0 && facts->clips_to_explore > 0;
        buffer_format(out, "%s: %s; to continue: auscult %s --out %s\n", view->run,
                      facts->state == RUN_RUNNING ? "killed" : run_state_text(facts->state),
                      explores ? "eda" : "run", view->run);
    }
}

static void write_text(const View *view, const Sizes *sizes, Buffer *out) {
    write_headline(view, out);
    // Who is not alive any more does nothing more, whatever the file says.
    RunState said = view->facts->state;
    view->facts->state = said == RUN_RUNNING && !view->is_alive ? RUN_STOPPED : said;
    snapshot_print(view->facts, out);
    view->facts->state = said;
    buffer_format(out, "  on disk         %.1f MB: models %.1f, outputs %.1f, logs %.1f\n",
                  (double)sizes->all / 1e6, (double)sizes->models / 1e6,
                  (double)sizes->outputs / 1e6, (double)sizes->logs / 1e6);
}

static void print_text(const View *view, const Sizes *sizes) {
    Buffer text = BUFFER_EMPTY;
    write_text(view, sizes, &text);
    fputs(buffer_cstr(&text), stdout);
    buffer_done(&text);
}

static void look_at_journal(View *view) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, view->run, "journal.db");
    if (status == STATUS_OK) {
        status = journal_look(path, view->is_alive);
    }
    if (status != STATUS_OK) {
        text_copy(view->trouble, sizeof view->trouble, status_message());
    }
}

static Status open_view(const char *run, View *ret) {
    *ret = (View){.run = run, .text = BUFFER_EMPTY};
    return status_file_read(run, &ret->text, &ret->facts, &ret->is_alive);
}

static void close_view(View *view) {
    snapshot_free(view->facts);
    buffer_done(&view->text);
}

static int no_run(const char *run) {
    log_error("%s is no run: %s", run, status_message());
    return EXIT_NO_RUN;
}

static int show(const char *run, bool is_json) {
    View view;
    if (open_view(run, &view) != STATUS_OK) {
        close_view(&view);
        return no_run(run);
    }
    look_at_journal(&view);
    Sizes sizes = measure(run);
    if (is_json) {
        print_json(&view, &sizes);
    } else {
        print_text(&view, &sizes);
    }
    bool is_fine = view.is_alive || view.facts->state == RUN_DONE;
    close_view(&view);
    if (view.trouble[0] != '\0') {
        log_error("%s", view.trouble);
        return EXIT_NO_RUN;
    }
    return is_fine ? 0 : EXIT_CONTINUABLE;
}

// ---- watching ----

// The file on one line: its line ends all stand between values.
static void print_json_line(const View *view) {
    for (const char *c = buffer_cstr(&view->text); *c != '\0'; c++) {
        putchar(*c == '\n' ? ' ' : *c);
    }
    putchar('\n');
}

static void print_look(const View *view, const Sizes *sizes, bool is_json) {
    Buffer text = BUFFER_EMPTY;
    if (is_json) {
        print_json_line(view);
    } else if (isatty(STDOUT_FILENO) == 1) {
        write_text(view, sizes, &text);
        printf("\033[H\033[J%s", buffer_cstr(&text)); // from the top, and nothing below
    } else {
        snapshot_line(view->facts, &text);
        fputs(buffer_cstr(&text), stdout);
    }
    buffer_done(&text);
}

static int watch(const char *run, bool is_json) {
    Sizes sizes = {0, 0, 0, 0};
    for (unsigned turn = 0;; turn++) {
        View view;
        bool is_there = open_view(run, &view) == STATUS_OK;
        bool goes_on = is_there && view.is_alive;
        if (goes_on) {
            sizes = turn % SIZES_TURNS == 0 ? measure(run) : sizes;
            print_look(&view, &sizes, is_json);
        }
        close_view(&view);
        if (!is_there) {
            return no_run(run);
        }
        if (!goes_on) {
            return show(run, is_json);
        }
        if (fflush(stdout) != 0) {
            return EXIT_NO_RUN; // nobody reads any more
        }
        usleep(WATCH_MS * 1000);
    }
}

int cmd_status(int argc, char **argv) {
    enum { JSON = 256, WATCH };
    static const struct option LONG[] = {{"json", no_argument, NULL, JSON},
                                         {"watch", no_argument, NULL, WATCH},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    bool is_json = false, is_watch = false;
    optind = 0;
    for (int o; (o = getopt_long(argc, argv, "h", LONG, NULL)) != -1;) {
        if (o == 'h') {
            fputs(HELP, stdout);
            return 0;
        }
        if (o != JSON && o != WATCH) {
            return EXIT_WRONG_USAGE;
        }
        is_json = is_json || o == JSON;
        is_watch = is_watch || o == WATCH;
    }
    if (optind != argc - 1) {
        fputs("auscult status: one RUN is needed (see auscult status --help)\n", stderr);
        return EXIT_WRONG_USAGE;
    }
    return is_watch ? watch(argv[optind], is_json) : show(argv[optind], is_json);
}
