// SPDX-License-Identifier: Apache-2.0
//
// auscult-bench: how fast the work is, each figure beside the limit that the same machine allows in
// the same minutes.
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/dsp/stft.h"
#include "common/dsp/wav.h"
#include "common/model/linalg.h"
#include "tests/bench/bench.h"

enum { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_FAILED = 3 };

static const char HELP[] =
    "usage: auscult-bench [options]\n"
    "\n"
    "Times the parts of auscult, in turns with the least that the hardware needs for the same\n"
    "work, and prints both and their ratio (median, least .. most).\n"
    "\n"
    "  --only PART,...      of logmel, eda, step, forward (one core), threads (all of them),\n"
    "                       spread, memory (real runs), evaluate (100 systems' score files),\n"
    "                       tasks, losses, capacity, sessions (clusters of empty tasks), soak\n"
    "                       (only when named)\n"
    "  --repetitions N      turns of each figure on one core (default 60), of about 10 ms each\n"
    "  --runs N             runs each way for spread, evaluate, tasks and losses (default 3)\n"
    "  --tasks N            empty tasks for figures that take many (default 1000000)\n"
    "  --minutes N          of the soak (default 10)\n"
    "  --hold S             seconds that a thousand sessions are held (default 60)\n"
    "  --kernel NAME        prescott, haswell or skylakex (default: the best of this processor)\n"
    "  --python PATH        a Python with librosa or PyTorch to compare with (default:\n"
    "                       $AUSCULT_BENCH_PYTHON, then python3)\n"
    "  --no-peers           compare with no Python\n"
    "  --wall               single-core figures in the time that passes, not in processor time\n"
    "  --json               one JSON object\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit status: 0 done, 2 usage, 3 failed.\n";

typedef struct Part {
    const char *name;
    Status (*run)(Bench *bench);
    bool is_wanted;
} Part;

static Part parts[] = {{"logmel", bench_logmel, true},     {"eda", bench_eda, true},
                       {"step", bench_step, true},         {"forward", bench_forward, true},
                       {"threads", bench_threads, true},   {"spread", bench_spread, true},
                       {"memory", bench_memory, true},     {"evaluate", bench_evaluate, true},
                       {"tasks", bench_tasks, true},       {"losses", bench_losses, true},
                       {"capacity", bench_capacity, true}, {"sessions", bench_sessions, true},
                       {"soak", bench_soak, false}};
enum { PARTS = sizeof parts / sizeof parts[0] };

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

bool bench_is_stopped(void) {
    return is_stopped != 0;
}

// ---- the table ----

Figure *bench_figure(Bench *bench, const char *name, const char *what) {
    if (bench->figure_count == BENCH_FIGURES_MOST) {
        abort(); // a part was added without room for it
    }
    Figure *figure = &bench->figures[bench->figure_count++];
    *figure = (Figure){.name = name, .what = what};
    return figure;
}

static Range scaled(Range range, double factor) {
    return (Range){factor * range.least, factor * range.median, factor * range.most};
}

void bench_duel(Bench *bench, const char *name, const char *what, const char *against,
                const Duel *result, bool is_peer) {
    Figure *figure = bench_figure(bench, name, what);
    Range ratio = result->ratio;
    figure->unit = "ms";
    text_copy(figure->against, sizeof figure->against, against);
    figure->ratio_is = is_peer ? "other / value" : "value / other";
    figure->value = scaled(result->a_ns, 1e-6);
    figure->other = scaled(result->b_ns, 1e-6);
    figure->ratio = is_peer ? (Range){1 / ratio.most, 1 / ratio.median, 1 / ratio.least} : ratio;
    figure->turns = bench->turns;
}

static Range exactly(double value) {
    return (Range){value, value, value};
}

Figure *bench_goal(Bench *bench, const char *name, const char *what, const char *unit, double value,
                   const char *against, double other) {
    Figure *figure = bench_figure(bench, name, what);
    figure->unit = unit;
    text_copy(figure->against, sizeof figure->against, against);
    figure->ratio_is = "value / other";
    figure->value = exactly(value);
    figure->other = exactly(other);
    figure->ratio = exactly(value / other);
    figure->turns = 1;
    return figure;
}

void bench_note(Bench *bench, const char *format, ...) {
    if (bench->note_count == BENCH_NOTES_MOST) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(bench->notes[bench->note_count++], sizeof bench->notes[0], format, args);
    va_end(args);
}

Status bench_path(const Bench *bench, const char *name, char out[LIMIT_PATH_BYTES]) {
    return file_join(out, LIMIT_PATH_BYTES, bench->folder, name);
}

// ---- printing ----

static void processor_name(char *out, size_t size) {
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "re");
    text_copy(out, size, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (text_starts(line, "model name") && colon != NULL) {
            line[strcspn(line, "\n")] = '\0';
            text_copy(out, size, colon + 1 + strspn(colon + 1, " "));
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

typedef struct Machine {
    char processor[128];
    int processors;
    struct utsname system;
    char blas[256]; // OpenBLAS's build options, without trailing blanks
} Machine;

static Machine machine_of(const Bench *bench) {
    Machine machine = {.processors = CPU_COUNT(&bench->all_cpus)};
    processor_name(machine.processor, sizeof machine.processor);
    uname(&machine.system);
    text_copy(machine.blas, sizeof machine.blas, linalg_library());
    for (size_t size = strlen(machine.blas); size > 0 && machine.blas[size - 1] == ' '; size--) {
        machine.blas[size - 1] = '\0';
    }
    return machine;
}

static const char *clock_name(void) {
    return measure_is_by_wall() ? "passing time" : "processor time";
}

static void print_head(const Bench *bench) {
    Machine machine = machine_of(bench);
    printf("auscult-bench " AUSCULT_VERSION " on %s, %d processors, %s %s\n", machine.processor,
           machine.processors, machine.system.sysname, machine.system.release);
    printf("kernel %s of %s\n%s, %s\n", linalg_kernel_name(linalg_kernel()), machine.blas,
           stft_library(), wav_library());
    printf("one core: processor %d, %s; medians (ratio: median, least .. most of %d turns)\n\n",
           bench->cpu, clock_name(), bench->turns);
    fflush(stdout);
}

static void print_figure(const Figure *figure) {
    const char *is_peer = strcmp(figure->ratio_is, "other / value") == 0 ? "as fast" : "";
    printf("%-52s %9.3f %-2s  %-30s %9.3f %-2s  x %.2f %s(%.2f .. %.2f)\n", figure->what,
           figure->value.median, figure->unit, figure->against, figure->other.median, figure->unit,
           figure->ratio.median, is_peer[0] != '\0' ? "as fast " : "", figure->ratio.least,
           figure->ratio.most);
    fflush(stdout);
}

static void json_text(Buffer *out, const char *text) {
    buffer_text(out, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            buffer_format(out, "\\%c", *c);
        } else {
            buffer_format(out, (unsigned char)*c < 0x20 ? "\\u%04x" : "%c", (unsigned char)*c);
        }
    }
    buffer_text(out, "\"");
}

static void json_pair(Buffer *out, const char *key, const char *text, const char *behind) {
    json_text(out, key);
    buffer_text(out, ": ");
    json_text(out, text);
    buffer_text(out, behind);
}

static void json_range(Buffer *out, const char *key, Range range, const char *behind) {
    buffer_format(out, "\"%s\": {\"median\": ", key);
    buffer_number(out, range.median);
    buffer_text(out, ", \"least\": ");
    buffer_number(out, range.least);
    buffer_text(out, ", \"most\": ");
    buffer_number(out, range.most);
    buffer_format(out, "}%s", behind);
}

static void json_figure(Buffer *out, const Figure *figure) {
    buffer_text(out, "    {");
    json_pair(out, "name", figure->name, ", ");
    json_pair(out, "what", figure->what, ", ");
    json_pair(out, "unit", figure->unit, ",\n     ");
    json_range(out, "value", figure->value, ",\n     ");
    json_pair(out, "against", figure->against, ", ");
    json_range(out, "other", figure->other, ",\n     ");
    json_pair(out, "ratio_is", figure->ratio_is, ", ");
    json_range(out, "ratio", figure->ratio, ", ");
    buffer_format(out, "\"turns\": %d}", figure->turns);
}

static Status print_json(const Bench *bench) {
    Machine machine = machine_of(bench);
    Buffer out = BUFFER_EMPTY;
    char system[160];
    snprintf(system, sizeof system, "%.64s %.64s", machine.system.sysname, machine.system.release);
    buffer_text(&out, "{\n  ");
    json_pair(&out, "version", AUSCULT_VERSION, ",\n  \"machine\": {");
    json_pair(&out, "processor", machine.processor, ", ");
    buffer_format(&out, "\"processors\": %d, ", machine.processors);
    json_pair(&out, "system", system, "},\n  \"libraries\": [");
    json_text(&out, machine.blas);
    buffer_text(&out, ", ");
    json_text(&out, stft_library());
    buffer_text(&out, ", ");
    json_text(&out, wav_library());
    buffer_text(&out, "],\n  ");
    json_pair(&out, "kernel", linalg_kernel_name(linalg_kernel()), ", ");
    json_pair(&out, "clock", clock_name(), ",\n  \"figures\": [\n");
    for (int32_t f = 0; f < bench->figure_count; f++) {
        json_figure(&out, &bench->figures[f]);
        buffer_text(&out, f + 1 < bench->figure_count ? ",\n" : "\n");
    }
    buffer_text(&out, "  ],\n  \"notes\": [");
    for (int32_t n = 0; n < bench->note_count; n++) {
        buffer_text(&out, n > 0 ? ", " : "");
        json_text(&out, bench->notes[n]);
    }
    buffer_text(&out, "]\n}\n");
    fputs(buffer_cstr(&out), stdout);
    Status status = out.status;
    buffer_done(&out);
    return status;
}

// ---- options ----

static int usage(const char *what, const char *value) {
    fprintf(stderr, "auscult-bench: %s%s (see auscult-bench --help)\n", what, value);
    return EXIT_USAGE;
}

static Part *find_part(const char *name) {
    for (size_t p = 0; p < PARTS; p++) {
        if (strcmp(parts[p].name, name) == 0) {
            return &parts[p];
        }
    }
    return NULL;
}

// Cuts a copy: linalg_start may execute the program anew with argv as it came.
static int take_parts(const char *text) {
    char list[128];
    char *save = NULL;
    if (!text_copy(list, sizeof list, text)) {
        return usage("--only names more parts than there are: ", text);
    }
    for (size_t p = 0; p < PARTS; p++) {
        parts[p].is_wanted = false;
    }
    for (char *name = strtok_r(list, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        Part *part = find_part(name);
        if (part == NULL) {
            return usage("--only names no part of this program: ", name);
        }
        part->is_wanted = true;
    }
    return -1;
}

static int take_kernel(const char *text, Bench *bench) {
    for (int k = KERNEL_PRESCOTT; k <= KERNEL_SKYLAKEX; k++) {
        if (strcmp(text, linalg_kernel_name((Kernel)k)) == 0) {
            bench->settings.numerics = k;
            return -1;
        }
    }
    return usage("--kernel accepts prescott, haswell or skylakex, not ", text);
}

static int take_count(const char *text, const char *complaint, int64_t most, int32_t *ret_count) {
    int64_t count;
    if (text_to_int(text, &count) != STATUS_OK || count < 1 || count > most) {
        return usage(complaint, text);
    }
    *ret_count = (int32_t)count;
    return -1;
}

enum {
    ONLY = 256,
    REPETITIONS,
    RUNS,
    TASKS,
    MINUTES,
    HOLD,
    KERNEL,
    PYTHON,
    NO_PEERS,
    WALL,
    JSON,
    VERSION
};

// Returns -1 to go on, else the exit status.
static int take_option(int option, char *value, Bench *bench) {
    switch (option) {
    case ONLY:
        return take_parts(value);
    case REPETITIONS:
        return take_count(value, "--repetitions accepts 1 to 10000, not ", MEASURE_TURNS_MOST,
                          &bench->turns);
    case RUNS:
        return take_count(value, "--runs accepts 1 to 100, not ", 100, &bench->runs);
    case TASKS:
        return take_count(value, "--tasks accepts 1 to 10000000, not ", 10000000, &bench->tasks);
    case MINUTES:
        return take_count(value, "--minutes accepts 1 to 10000, not ", 10000, &bench->minutes);
    case HOLD:
        return take_count(value, "--hold accepts 1 to 10000, not ", 10000, &bench->hold_s);
    case KERNEL:
        return take_kernel(value, bench);
    case PYTHON:
        bench->python = value;
        return -1;
    case NO_PEERS:
        bench->has_peers = false;
        return -1;
    case WALL:
        measure_by_wall(true);
        return -1;
    case JSON:
        bench->is_json = true;
        return -1;
    case VERSION:
        puts("auscult-bench " AUSCULT_VERSION);
        return EXIT_DONE;
    case 'h':
        fputs(HELP, stdout);
        return EXIT_DONE;
    default:
        return usage("unknown option", "");
    }
}

static int parse_options(int argc, char **argv, Bench *bench) {
    static const struct option LONG[] = {{"only", required_argument, NULL, ONLY},
                                         {"repetitions", required_argument, NULL, REPETITIONS},
                                         {"runs", required_argument, NULL, RUNS},
                                         {"tasks", required_argument, NULL, TASKS},
                                         {"minutes", required_argument, NULL, MINUTES},
                                         {"hold", required_argument, NULL, HOLD},
                                         {"kernel", required_argument, NULL, KERNEL},
                                         {"python", required_argument, NULL, PYTHON},
                                         {"no-peers", no_argument, NULL, NO_PEERS},
                                         {"wall", no_argument, NULL, WALL},
                                         {"json", no_argument, NULL, JSON},
                                         {"version", no_argument, NULL, VERSION},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "h", LONG, NULL)) != -1;) {
        int result = take_option(option, optarg, bench);
        if (result >= 0) {
            return result;
        }
    }
    return optind < argc ? usage("what is this: ", argv[optind]) : -1;
}

// ---- the whole ----

// Everything single-threaded stays on the last processor: the first ones get the interrupts.
static Status pin(Bench *bench) {
    cpu_set_t one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof bench->all_cpus, &bench->all_cpus) != 0) {
        return status_set(STATUS_IO, "cannot see the processors: %s", strerror(errno));
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &bench->all_cpus)) {
            bench->cpu = cpu;
        }
    }
    CPU_SET(bench->cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0
               ? STATUS_OK
               : status_set(STATUS_IO, "cannot stay on one processor: %s", strerror(errno));
}

static Status make_folder(Bench *bench) {
    const char *base = getenv("TMPDIR");
    snprintf(bench->folder, sizeof bench->folder, "%.200s/auscult-bench-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(bench->folder) == NULL) {
        Status status = status_set(STATUS_IO, "cannot make %s: %s", bench->folder, strerror(errno));
        bench->folder[0] = '\0';
        return status;
    }
    return STATUS_OK;
}

static void prepare_process(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    // For the Python peers, whose libraries have threads of their own.
    static const char *const ONE_THREAD[] = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
                                             "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"};
    for (size_t i = 0; i < sizeof ONE_THREAD / sizeof ONE_THREAD[0]; i++) {
        setenv(ONE_THREAD[i], "1", 1);
    }
}

static Status run_parts(Bench *bench) {
    Status status = STATUS_OK;
    for (size_t p = 0; p < PARTS && status == STATUS_OK; p++) {
        int32_t before = bench->figure_count;
        if (parts[p].is_wanted) {
            status = parts[p].run(bench);
        }
        for (int32_t f = before; f < bench->figure_count && !bench->is_json; f++) {
            print_figure(&bench->figures[f]);
        }
    }
    for (int32_t n = 0; n < bench->note_count && !bench->is_json; n++) {
        printf("%s%s\n", n == 0 ? "\n" : "", bench->notes[n]);
    }
    return status == STATUS_OK && bench->is_json ? print_json(bench) : status;
}

static Status run(Bench *bench) {
    prepare_process();
    Status status = pin(bench);
    if (status == STATUS_OK) {
        status = make_folder(bench);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!bench->is_json) {
        print_head(bench);
    }
    status = run_parts(bench);
    char message[LIMIT_MESSAGE_BYTES];
    text_copy(message, sizeof message, status_message());
    Status removed = file_remove_tree(bench->folder);
    return status != STATUS_OK ? status_set(status, "%s", message) : removed;
}

int main(int argc, char **argv) {
    Bench bench = {
        .has_peers = true, .turns = 60, .runs = 3, .tasks = 1000000, .minutes = 10, .hold_s = 60};
    Status status = settings_preset("default", &bench.settings);
    int parsed = status == STATUS_OK ? parse_options(argc, argv, &bench) : -1;
    if (parsed >= 0) {
        return parsed;
    }
    if (status == STATUS_OK) {
        status = linalg_start((Kernel)bench.settings.numerics, argv);
    }
    if (status == STATUS_OK) {
        bench.settings.numerics = (int32_t)linalg_kernel();
        status = linalg_self_check();
    }
    if (status == STATUS_OK) {
        status = run(&bench);
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "auscult-bench: %s\n", status_message());
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
