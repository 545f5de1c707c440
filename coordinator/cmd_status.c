// SPDX-License-Identifier: Apache-2.0
//
// auscult status: how far a run is, while it runs and after.
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/journal/journal.h"
#include "coordinator/plan/status_file.h"

static const char HELP[] =
    "usage: auscult status RUN [--json]\n"
    "\n"
    "Says how far the run in the folder RUN is, whether somebody works on it, whether its journal\n"
    "is whole (only its head is looked at while somebody does), and how much room it takes.\n"
    "Changes nothing, and does not disturb who works on it.\n"
    "\n"
    "  --json      as one JSON object\n"
    "  -h, --help  print this help\n"
    "\n"
    "Exit status: 0 it is being worked on or done, 1 it can be continued, 2 usage, 3 no run, or\n"
    "its journal cannot be used as it is.\n";

enum { EXIT_CONTINUABLE = 1, EXIT_WRONG_USAGE = 2, EXIT_NO_RUN = 3 };

// What there is to say of a run.
typedef struct View {
    const char *run;
    Buffer text; // of status.json
    StatusFacts facts;
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

static void print_headline(const View *view) {
    const StatusFacts *facts = &view->facts;
    if (view->trouble[0] != '\0') {
        printf("%s: %s, but its journal cannot be used\n", view->run,
               view->is_alive ? "running" : run_state_text(facts->state));
    } else if (view->is_alive) {
        printf("%s: running (%s), %llu worker%s\n", view->run, facts->stage,
               (unsigned long long)facts->workers, facts->workers == 1 ? "" : "s");
        if (facts->models_stranded > 0) {
            printf("  waiting         %llu model%s, for a worker that can read the data\n",
                   (unsigned long long)facts->models_stranded,
                   facts->models_stranded == 1 ? "" : "s");
        }
    } else if (facts->state == RUN_DONE) {
        printf("%s: done\n", view->run);
    } else {
        printf("%s: %s; to continue: auscult run --out %s\n", view->run,
               facts->state == RUN_RUNNING ? "killed" : run_state_text(facts->state), view->run);
    }
}

static void print_text(const View *view, const Sizes *sizes) {
    const StatusFacts *facts = &view->facts;
    print_headline(view);
    printf("  clips read      %llu of %llu\n", (unsigned long long)facts->clips_read,
           (unsigned long long)facts->clips);
    printf("  epochs trained  %llu of %llu\n", (unsigned long long)facts->epochs_trained,
           (unsigned long long)facts->epochs);
    printf("  clips scored    %llu of %llu\n", (unsigned long long)facts->clips_scored,
           (unsigned long long)facts->clips_to_score);
    printf("  left out        %llu clips, %llu models\n", (unsigned long long)facts->clips_left_out,
           (unsigned long long)facts->models_failed);
    printf("  on disk         %.1f MB: models %.1f, outputs %.1f, logs %.1f\n",
           (double)sizes->all / 1e6, (double)sizes->models / 1e6, (double)sizes->outputs / 1e6,
           (double)sizes->logs / 1e6);
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

static int show(const char *run, bool is_json) {
    View view = {.run = run, .text = BUFFER_EMPTY};
    Status status = status_file_read(run, &view.text, &view.facts, &view.is_alive);
    if (status != STATUS_OK) {
        log_error("%s is no run: %s", run, status_message());
        buffer_done(&view.text);
        return EXIT_NO_RUN;
    }
    look_at_journal(&view);
    Sizes sizes = measure(run);
    if (is_json) {
        print_json(&view, &sizes);
    } else {
        print_text(&view, &sizes);
    }
    buffer_done(&view.text);
    if (view.trouble[0] != '\0') {
        log_error("%s", view.trouble);
        return EXIT_NO_RUN;
    }
    return view.is_alive || view.facts.state == RUN_DONE ? 0 : EXIT_CONTINUABLE;
}

int cmd_status(int argc, char **argv) {
    enum { JSON = 256 };
    static const struct option LONG[] = {
        {"json", no_argument, NULL, JSON}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool is_json = false;
    optind = 0;
    for (int o; (o = getopt_long(argc, argv, "h", LONG, NULL)) != -1;) {
        if (o == 'h') {
            fputs(HELP, stdout);
            return 0;
        }
        if (o != JSON) {
            return EXIT_WRONG_USAGE;
        }
        is_json = true;
    }
    if (optind != argc - 1) {
        fputs("auscult status: one RUN is needed (see auscult status --help)\n", stderr);
        return EXIT_WRONG_USAGE;
    }
    return show(argv[optind], is_json);
}
