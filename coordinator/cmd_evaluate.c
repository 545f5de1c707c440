// SPDX-License-Identifier: Apache-2.0
//
// auscult evaluate: the official metrics for anybody's score files.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/commands.h"
#include "coordinator/evaluate/judging.h"
#include "coordinator/evaluate/ranking.h"
#include "coordinator/evaluate/result_file.h"
#include "coordinator/options.h"

static const char help[] =
    "usage: auscult evaluate --scores PATH [--scores PATH ...] --truth PATH [--results DIR]\n"
    "                        [--csv FILE|-] [--json]\n"
    "\n"
    "Judges score files by the ground truth as the official evaluators of the challenge do: AUC,\n"
    "pAUC, precision, recall and F1 of every machine and section, the official score of the year,\n"
    "and how sure it is. Rows are matched by name. A system with errors in its files has no rank;\n"
    "each is named with file and line, and the others are judged.\n"
    "\n"
    "  --scores PATH    a folder with anomaly_score_<machine>_section_NN_test.csv and\n"
    "                   decision_result_... (the baseline's longer names are known too), a run of\n"
    "                   auscult or its challenge_predictions.csv, or a folder of such folders\n"
    "                   (TEAM/SYSTEM): every folder with score files is a system\n"
    "  --truth PATH     eval_data_list_YYYY.csv, a folder with the evaluator's "
    "ground_truth_data/,\n"
    "                   ground_truth_domain/ and ground_truth_attributes/, correspondence files, "
    "or\n"
    "                   data whose test clips have telling names (also in test_rename/)\n"
    "  --year N         the challenge whose official score is meant (default: what the files say)\n"
    "  --set dev|eval   which clips, where the ground truth has both (default: eval if scored)\n"
    "  --results DIR    also write DIR/SYSTEM/result.csv (the evaluator's columns),\n"
    "                   result_<machine>.csv (the baseline's) and result_by_attribute.csv\n"
    "  --csv FILE       also write the table of systems as CSV; - writes it to stdout instead\n"
    "  --json           print everything as one JSON object\n"
    "  --max-fpr X      where the pAUC ends (default 0.1)\n"
    "  --resamples N    of the bootstrap (default 1000; 0: none)\n"
    "  --seed N         of the bootstrap (default 13711)\n"
    "  --threads N      systems judged at a time (default: processors)\n"
    "  -q, --quiet      print no remarks\n"
    "  -h, --help       print this help\n"
    "\n"
    "Exit status: 0 done, 1 something was found that somebody should look at, 2 usage, 3 failed.\n";

enum { EXIT_DONE = 0, EXIT_FOUND = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };
enum { SCORES_MOST = 64 };

typedef struct EvaluateOptions {
    const char *scores[SCORES_MOST];
    uint32_t score_count;
    const char *truth;
    const char *results; // folder, or NULL
    const char *csv;     // file, "-" for stdout, or NULL
    int64_t year;        // 0: what the files say
    int64_t threads;     // 0: processors
    int64_t resamples, seed;
    double max_fpr;
    int set; // a ClipSet, or -1
    bool is_json;
} EvaluateOptions;

static int usage(const char *what, const char *value) {
    fprintf(stderr, "auscult evaluate: %s%s (see auscult evaluate --help)\n", what, value);
    return EXIT_USAGE;
}

// ---- options ----

enum {
    OPTION_SCORES = 256,
    OPTION_TRUTH,
    OPTION_YEAR,
    OPTION_SET,
    OPTION_RESULTS,
    OPTION_CSV,
    OPTION_JSON,
    OPTION_MAX_FPR,
    OPTION_RESAMPLES,
    OPTION_SEED,
    OPTION_THREADS,
};

// Returns an exit status, or -1 to go on.
static int take_number(const char *what, int64_t least, int64_t most, int64_t *ret_value) {
    int64_t value;
    if (text_to_int(optarg, &value) != STATUS_OK || value < least || value > most) {
        return usage(what, optarg);
    }
    *ret_value = value;
    return -1;
}

static int take_set(EvaluateOptions *options) {
    options->set = dataset_set_of(optarg);
    return options->set >= 0 ? -1 : usage("--set accepts dev, eval and plain, not ", optarg);
}

static int take_max_fpr(EvaluateOptions *options) {
    bool is_number = text_to_double(optarg, &options->max_fpr) == STATUS_OK;
    return is_number && options->max_fpr > 0 && options->max_fpr <= 1
               ? -1
               : usage("--max-fpr accepts numbers above 0 and up to 1, not ", optarg);
}

static int take_option(int option, void *context) {
    EvaluateOptions *options = context;
    switch (option) {
    case OPTION_SCORES:
        if (options->score_count == SCORES_MOST) {
            return usage("too many --scores, at most 64; give a folder of them", "");
        }
        options->scores[options->score_count++] = optarg;
        return -1;
    case OPTION_TRUTH:
        options->truth = optarg;
        return -1;
    case OPTION_YEAR:
        return take_number("--year accepts 2020 to 2099, not ", 2020, 2099, &options->year);
    case OPTION_SET:
        return take_set(options);
    case OPTION_RESULTS:
        options->results = optarg;
        return -1;
    case OPTION_CSV:
        options->csv = optarg;
        return -1;
    case OPTION_JSON:
        options->is_json = true;
        return -1;
    case OPTION_MAX_FPR:
        return take_max_fpr(options);
    case OPTION_RESAMPLES:
        return take_number("--resamples accepts 0 to 1000000, not ", 0, 1000000,
                           &options->resamples);
    case OPTION_SEED:
        return take_number("--seed accepts whole numbers from 0 on, not ", 0, INT32_MAX,
                           &options->seed);
    case OPTION_THREADS:
        return take_number("--threads accepts 1 to 64, not ", 1, 64, &options->threads);
    case 'q':
        log_set_level(LOG_ERROR);
        return -1;
    case 'h':
        fputs(help, stdout);
        return EXIT_DONE;
    default:
        return EXIT_USAGE; // getopt has said why
    }
}

static int parse(int argc, char **argv, EvaluateOptions *options) {
    static const struct option longs[] = {
        {"scores", required_argument, NULL, OPTION_SCORES},
        {"truth", required_argument, NULL, OPTION_TRUTH},
        {"year", required_argument, NULL, OPTION_YEAR},
        {"set", required_argument, NULL, OPTION_SET},
        {"results", required_argument, NULL, OPTION_RESULTS},
        {"csv", required_argument, NULL, OPTION_CSV},
        {"json", no_argument, NULL, OPTION_JSON},
        {"max-fpr", required_argument, NULL, OPTION_MAX_FPR},
        {"resamples", required_argument, NULL, OPTION_RESAMPLES},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"threads", required_argument, NULL, OPTION_THREADS},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int status = options_take(argc, argv, "qh", longs, take_option, options);
    if (status >= 0) {
        return status;
    }
    if (optind < argc) {
        return usage("score files are given as --scores PATH, not ", argv[optind]);
    }
    if (options->score_count == 0) {
        return usage("--scores PATH is missing", "");
    }
    if (options->truth == NULL) {
        return usage("--truth PATH is missing", "");
    }
    bool csv_out = options->csv != NULL && strcmp(options->csv, "-") == 0;
    return csv_out && options->is_json ? usage("--csv - and --json both want stdout", "") : -1;
}

// ---- output ----

static void say(const char *whose, const Remarks *remarks) {
    const char *between = whose[0] != '\0' ? ": " : "";
    for (uint32_t i = 0; i < remarks->count; i++) {
        const Remark *finding = &remarks->items[i];
        if (finding->kind == REMARK_NOTE) {
            log_info("%s%s%s", whose, between, finding->text);
        } else {
            log_warning("%s%s%s", whose, between, finding->text);
        }
    }
    for (int kind = 0; kind < REMARK_KINDS; kind++) {
        uint32_t more = remarks_unkept(remarks, (RemarkKind)kind);
        if (more > 0) {
            log_warning("%s%sand %u more of kind %s", whose, between, more,
                        remark_kind_text((RemarkKind)kind));
        }
    }
}

static Status print(const Buffer *text) {
    if (text->status != STATUS_OK) {
        return text->status;
    }
    size_t written = fwrite(buffer_cstr(text), 1, text->size, stdout);
    bool is_out = written == text->size && fflush(stdout) == 0;
    return is_out ? STATUS_OK : status_set(STATUS_IO, "cannot write to stdout");
}

static Status show(const EvaluateOptions *options, const Ranking *ranking) {
    Buffer csv = BUFFER_EMPTY, text = BUFFER_EMPTY;
    Status status = STATUS_OK;
    bool csv_out = options->csv != NULL && strcmp(options->csv, "-") == 0;
    if (options->csv != NULL) {
        ranking_csv(ranking, &csv);
        status = csv_out ? print(&csv) : file_write_buffer(options->csv, &csv);
    }
    if (status == STATUS_OK && !csv_out) {
        if (options->is_json) {
            ranking_json(ranking, &text);
        } else {
            ranking_format(ranking, &text);
        }
        status = print(&text);
    }
    buffer_done(&csv);
    buffer_done(&text);
    return status;
}

static Status write_results(const char *results, const RankedSystem *system) {
    char folder[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES];
    Status status = file_join(folder, sizeof folder, results, system->name);
    if (status == STATUS_OK) {
        status = file_make_folders(folder);
    }
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, folder, "result.csv");
    }
    if (status == STATUS_OK) {
        status = result_write(path, system->evaluation);
    }
    if (status == STATUS_OK) {
        status = result_write_of_machines(folder, system->evaluation);
    }
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, folder, "result_by_attribute.csv");
    }
    return status == STATUS_OK ? result_write_by_attribute(path, system->evaluation) : status;
}

// ---- what is judged, and how ----

static void choose_year(const EvaluateOptions *options, const Truth *truth,
                        const SystemList *systems, Ranking *ranking) {
    int32_t named = 0;
    for (uint32_t s = 0; s < systems->count && named == 0; s++) {
        for (uint32_t f = 0; f < systems->systems[s].count && named == 0; f++) {
            named = systems->systems[s].files[f].name.year;
        }
    }
    bool has_domains = false;
    for (uint32_t i = 0; i < truth->count; i++) {
        has_domains = has_domains || truth->clips[i].domain != DOMAIN_UNKNOWN;
    }
    ranking->year = options->year != 0 ? (int32_t)options->year
                    : truth->year != 0 ? truth->year
                                       : named;
    ranking->year_is = options->year != 0 ? "as --year says"
                       : truth->year != 0 ? "as the ground truth says"
                       : named != 0       ? "as the names of the score files say"
                       : has_domains      ? "taken because the clips have domains"
                                          : "taken because no clip has a domain";
    ranking->rule = ranking->year != 0 ? official_rule_of_year(ranking->year)
                    : has_domains      ? OFFICIAL_2022
                                       : OFFICIAL_2020;
}

static uint32_t thread_count(const EvaluateOptions *options, uint32_t systems) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t threads = options->threads > 0 ? options->threads
                      : processors > 64    ? 64
                      : processors > 1     ? processors
                                           : 1;
    return threads < systems ? (uint32_t)threads : systems;
}

// The baseline writes development results beside those of the evaluation.
static bool is_of_dev(const SystemFiles *files) {
    return files->count > 0 && text_ends(files->files[0].name.variant, "Dev");
}

// A system that has no file in this truth is an error of its own, but for development results.
static void find_elsewhere(const SystemFiles *files, Judgement *judgement) {
    remarks_add(&judgement->scores.remarks, is_of_dev(files) ? REMARK_NOTE : REMARK_ERROR,
                "%s: the ground truth knows none of its %u files, such as %s", files->folder,
                files->count, file_name(files->files[0].path));
}

static bool rank(const SystemList *systems, Judgement *judgements, Ranking *ranking) {
    bool has_findings = false;
    for (uint32_t s = 0; s < systems->count; s++) {
        Judgement *judgement = &judgements[s];
        const Remarks *remarks = &judgement->scores.remarks;
        if (judgement->scores.is_elsewhere) {
            find_elsewhere(&systems->systems[s], judgement);
        }
        say(systems->systems[s].name, remarks);
        has_findings =
            has_findings || remarks->found[REMARK_ERROR] > 0 || remarks->found[REMARK_WARNING] > 0;
        if (!judgement->scores.is_elsewhere || remarks->found[REMARK_ERROR] > 0) {
            ranking->systems[ranking->count++] =
                (RankedSystem){.name = systems->systems[s].name,
                               .evaluation = judgement->is_judged ? &judgement->evaluation : NULL,
                               .remarks = remarks};
        }
    }
    ranking_settle(ranking);
    return has_findings;
}

static Status finish(const EvaluateOptions *options, const Ranking *ranking) {
    Status status = show(options, ranking);
    for (uint32_t i = 0; options->results != NULL && i < ranking->count && status == STATUS_OK;
         i++) {
        if (ranking->systems[i].evaluation != NULL) {
            status = write_results(options->results, &ranking->systems[i]);
        }
    }
    return status;
}

static Status judge(const EvaluateOptions *options, const Truth *truth, const SystemList *systems,
                    bool *ret_found) {
    Ranking ranking = {.truth_remarks = &truth->remarks,
                       .truth_clips = truth->count,
                       .truth_labelled = truth->labelled};
    choose_year(options, truth, systems, &ranking);
    JudgingConfig config = {.truth = truth,
                            .systems = systems,
                            .evaluation = {.rule = ranking.rule,
                                           .max_fpr = options->max_fpr,
                                           .resamples = (uint32_t)options->resamples,
                                           .seed = (uint64_t)options->seed,
                                           .has_intervals = true},
                            .set = options->set,
                            .threads = thread_count(options, systems->count)};
    Judgement *judgements = NULL;
    ranking.systems = mem_new(systems->count + 1, sizeof *ranking.systems);
    Status status = ranking.systems != NULL ? judging_make(&config, &judgements) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        *ret_found = rank(systems, judgements, &ranking) || *ret_found;
        status = finish(options, &ranking);
    }
    judgements_done(judgements, systems->count);
    mem_free(ranking.systems);
    return status;
}

static Status find_systems(const EvaluateOptions *options, SystemList *systems) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < options->score_count && status == STATUS_OK; i++) {
        status = system_list_add(systems, options->scores[i], options->set == SET_DEV);
    }
    if (status == STATUS_OK && systems->count == 0) {
        status = status_set(STATUS_NOT_FOUND,
                            "no score files in %s: looked for anomaly_score_..., "
                            "decision_result_... and challenge_predictions.csv",
                            options->scores[0]);
    }
    return status;
}

int cmd_evaluate(int argc, char **argv) {
    EvaluateOptions options = {.resamples = 1000, .seed = 13711, .max_fpr = 0.1, .set = -1};
    int exit_status = parse(argc, argv, &options);
    if (exit_status >= 0) {
        return exit_status;
    }
    SystemList systems = {0};
    Truth *truth = NULL;
    bool has_findings = false;
    Status status = find_systems(&options, &systems);
    if (status == STATUS_OK) {
        status = truth_read(options.truth, (int32_t)options.year, &truth);
    }
    if (status == STATUS_OK) {
        say("", &truth->remarks);
        has_findings =
            truth->remarks.found[REMARK_ERROR] > 0 || truth->remarks.found[REMARK_WARNING] > 0;
        status = judge(&options, truth, &systems, &has_findings);
    }
    if (status != STATUS_OK) {
        log_error("%s", status_message());
    }
    truth_free(truth);
    system_list_done(&systems);
    return status == STATUS_INVALID ? EXIT_USAGE
           : status != STATUS_OK    ? EXIT_FAILED
           : has_findings           ? EXIT_FOUND
                                    : EXIT_DONE;
}
