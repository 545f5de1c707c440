// SPDX-License-Identifier: Apache-2.0
//
// auscult-worker: joins a coordinator and does what it is given, until the run is over.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "common/engine/fingerprint.h"
#include "common/model/linalg.h"
#include "worker/compute.h"
#include "worker/notice.h"
#include "worker/session.h"

// A coordinator that started this worker tells EXIT_REFUSED from an accident: another try is vain.
enum { EXIT_USAGE = 2, EXIT_FAILED = 3, EXIT_REFUSED = 4 };
#define QUIET_S 2.0 // a coordinator that is back so soon is not worth a word

static const char HELP[] =
    "usage: auscult-worker --connect ENDPOINT [options]\n"
    "       auscult-worker --run RUN [options]\n"
    "\n"
    "Joins the coordinator of an auscult run and works for it until the run is over.\n"
    "\n"
    "  --connect ENDPOINT   tcp://HOST:PORT or ipc://PATH, as `auscult run --bind` prints it\n"
    "  --run RUN            read the endpoint from the run folder (on a shared disk)\n"
    "  --data DIR           where this machine has the run's data, once for each of its data\n"
    "                       folders, in their order; without it, where the coordinator has them.\n"
    "                       Clips that are not there come from the coordinator\n"
    "  --cache DIR          keep clips that the coordinator sends there, by their contents; they\n"
    "                       outlive this worker, and several may share the folder\n"
    "  --cache-bytes N      most of it, with K, M, G or T behind N for powers of 1024 (default\n"
    "                       4G); without --cache, of the files that go with this worker\n"
    "  --no-fetch           never ask the coordinator for clips that are not here\n"
    "  --keys FILE          this worker's keys, as `auscult keygen` makes them; with --run, those\n"
    "                       in RUN/keys if they are there\n"
    "  --kernel NAME        BLAS kernel to run: prescott, haswell or skylakex (by default the\n"
    "                       best one, or the run's if that is another that can run here)\n"
    "  --threads N          threads that share each task, its clips or its part of a training\n"
    "                       (default 1; 0: as many as processors may be used); one replica and "
    "one\n"
    "                       partial sum for all, the same bits for any number\n"
    "  --keep N             bytes of clips' features to keep in memory for other tasks, as above\n"
    "                       (default 256M, less where memory is short; 0: none)\n"
    "  --give-up-after S    seconds without a coordinator after which to leave (default 60)\n"
    "  --leave-after S      seconds that the task under work may go on once SIGTERM or SIGINT "
    "asks\n"
    "                       this worker to leave (default 30); a second signal ends it at once\n"
    "  -v, --verbose        say more\n"
    "  -q, --quiet          say only errors\n"
    "  -h, --help           this text\n"
    "  --version            version\n"
    "\n"
    "Exit status: 0 the run is over or the worker was asked to leave, 2 usage, 3 failed or given\n"
    "up, 4 refused for good.\n";

typedef struct Options {
    const char *run;                      // --run, NULL without
    char endpoint[CHANNEL_ADDRESS_BYTES]; // --connect, or as the run's folder says now
    const char *roots[LIMIT_ROOTS];
    uint32_t root_count;
    Kernel kernel;
    double give_up_seconds, leave_seconds;
    ComputeConfig compute;
    const char *keys; // file, NULL without
    Notice notice;    // of --run, as it was first read
} Options;

static atomic_int stop_asked; // signals so far
static int stop_fd = -1;      // stays readable
static int desk_fd = -1;      // the desk's answer_fd: wakes the session

static void on_signal(int number) {
    (void)number;
    int before = errno;
    uint64_t one = 1;
    atomic_fetch_add(&stop_asked, 1);
    ssize_t written = write(stop_fd, &one, sizeof one);
    written = write(desk_fd, &one, sizeof one);
    (void)written;
    errno = before;
}

static bool parse_kernel(const char *text, Kernel *ret_kernel) {
    for (int k = KERNEL_PRESCOTT; k <= KERNEL_SKYLAKEX; k++) {
        if (strcmp(text, linalg_kernel_name((Kernel)k)) == 0) {
            *ret_kernel = (Kernel)k;
            return true;
        }
    }
    return false;
}

// At most a thousand years, so that milliseconds fit.
static bool parse_seconds(const char *text, double *ret_seconds) {
    double seconds;
    bool good = text_to_double(text, &seconds) == STATUS_OK && seconds >= 0;
    if (good) {
        *ret_seconds = seconds < 3e10 ? seconds : 3e10;
    }
    return good;
}

// "500M": bytes.
static bool parse_bytes(const char *text, uint64_t *ret_bytes) {
    static const char UNITS[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9') {
        return false;
    }
    const char *unit = *end != '\0' ? strchr(UNITS, *end) : NULL;
    unsigned shift = unit != NULL ? 10u * (unsigned)(unit - UNITS + 1) : 0;
    end += unit != NULL;
    if (*end != '\0' || number > UINT64_MAX >> shift) {
        return false;
    }
    *ret_bytes = (uint64_t)number << shift;
    return true;
}

// 0: as many as there may be.
static bool parse_threads(const char *text, int *ret_threads) {
    int64_t threads;
    bool good =
        text_to_int(text, &threads) == STATUS_OK && threads >= 0 && threads <= CREW_LANES_MOST;
    if (good) {
        *ret_threads = threads > 0 ? (int)threads : crew_usual_lanes();
    }
    return good;
}

static int usage_error(const char *what, const char *value) {
    fprintf(stderr, "auscult-worker: %s%s; see auscult-worker --help\n", what, value);
    return EXIT_USAGE;
}

// Returns -1 to go on, else the exit status.
static int parse_options(int argc, char **argv, Options *options) {
    enum {
        CONNECT = 256,
        RUN,
        DATA,
        KEYS,
        CACHE,
        CACHE_BYTES,
        NO_FETCH,
        KERNEL,
        THREADS,
        KEEP,
        GIVE_UP,
        LEAVE,
        LOCAL,
        VERSION
    };
    static const struct option LONG[] = {{"connect", required_argument, NULL, CONNECT},
                                         {"run", required_argument, NULL, RUN},
                                         {"data", required_argument, NULL, DATA},
                                         {"keys", required_argument, NULL, KEYS},
                                         {"cache", required_argument, NULL, CACHE},
                                         {"cache-bytes", required_argument, NULL, CACHE_BYTES},
                                         {"no-fetch", no_argument, NULL, NO_FETCH},
                                         {"kernel", required_argument, NULL, KERNEL},
                                         {"threads", required_argument, NULL, THREADS},
                                         {"keep", required_argument, NULL, KEEP},
                                         {"give-up-after", required_argument, NULL, GIVE_UP},
                                         {"leave-after", required_argument, NULL, LEAVE},
                                         {"local", required_argument, NULL, LOCAL},
                                         {"verbose", no_argument, NULL, 'v'},
                                         {"quiet", no_argument, NULL, 'q'},
                                         {"help", no_argument, NULL, 'h'},
                                         {"version", no_argument, NULL, VERSION},
                                         {NULL, 0, NULL, 0}};
    log_set_level(LOG_INFO);
    for (int o; (o = getopt_long(argc, argv, "vqh", LONG, NULL)) != -1;) {
        switch (o) {
        case CONNECT:
            if (!text_copy(options->endpoint, sizeof options->endpoint, optarg)) {
                return usage_error("--connect is too long: ", optarg);
            }
            options->run = NULL;
            break;
        case RUN:
            options->run = optarg;
            break;
        case DATA:
            if (options->root_count == LIMIT_ROOTS) {
                return usage_error("too many --data", "");
            }
            options->roots[options->root_count++] = optarg;
            break;
        case KEYS:
            options->keys = optarg;
            break;
        case CACHE:
            if (optarg[0] == '\0') {
                return usage_error("--cache accepts a folder's name, not ''", "");
            }
            options->compute.files.cache_folder = optarg;
            break;
        case CACHE_BYTES:
            if (!parse_bytes(optarg, &options->compute.files.cache_bytes)) {
                return usage_error("--cache-bytes accepts a whole number, with K, M, G or T behind "
                                   "it or not: not ",
                                   optarg);
            }
            break;
        case NO_FETCH:
            options->compute.files.may_fetch = false;
            break;
        case KERNEL:
            if (!parse_kernel(optarg, &options->kernel)) {
                return usage_error("--kernel accepts prescott, haswell or skylakex, not ", optarg);
            }
            break;
        case THREADS:
            if (!parse_threads(optarg, &options->compute.threads)) {
                return usage_error("--threads accepts 0 to 64, not ", optarg);
            }
            break;
        case KEEP:
            if (!parse_bytes(optarg, &options->compute.keep_bytes)) {
                return usage_error("--keep accepts bytes, like 256M, not ", optarg);
            }
            break;
        case GIVE_UP:
            if (!parse_seconds(optarg, &options->give_up_seconds)) {
                return usage_error("--give-up-after accepts seconds, 0 or more, not ", optarg);
            }
            break;
        case LEAVE:
            if (!parse_seconds(optarg, &options->leave_seconds)) {
                return usage_error("--leave-after accepts seconds, 0 or more, not ", optarg);
            }
            break;
        case LOCAL: // of the coordinator's own machine: it sees what the coordinator sees
            options->compute.files.may_fetch = false;
            break;
        case 'v':
            log_set_level(LOG_DEBUG);
            break;
        case 'q':
            log_set_level(LOG_ERROR);
            break;
        case 'h':
            fputs(HELP, stdout);
            return 0;
        case VERSION:
            puts("auscult-worker " AUSCULT_VERSION);
            return 0;
        default:
            return usage_error("unknown option", "");
        }
    }
    if (optind < argc) {
        return usage_error("what is this: ", argv[optind]);
    }
    if (options->run != NULL) {
        return -1; // where it says
    }
    if (options->endpoint[0] == '\0') {
        return usage_error("--connect or --run is missing", "");
    }
    return line_check_endpoint(options->endpoint) == STATUS_OK
               ? -1
               : usage_error("--connect accepts tcp://HOST:PORT or ipc://PATH: ", status_message());
}

// The coordinator may be started after its workers: its endpoint is waited for as long as it would
// be when it is gone.
static Status wait_for_endpoint(Options *options) {
    int64_t until_ms = clock_ms() + (int64_t)(options->give_up_seconds * 1000);
    bool has_said = false;
    for (;;) {
        Status status = notice_read(options->run, &options->notice);
        text_copy(options->endpoint, sizeof options->endpoint, options->notice.endpoint);
        if (status != STATUS_NOT_FOUND || clock_ms() >= until_ms || stop_asked) {
            return status;
        }
        if (!has_said) {
            log_info("%s; waiting for it", status_message());
            has_said = true;
        }
        usleep(200000);
    }
}

// Those named, or the run's own where its coordinator serves with keys.
static Status use_keys(ZmqContext *context, const Options *options) {
    char path[LIMIT_PATH_BYTES];
    const char *file = options->keys;
    if (file == NULL && options->notice.key[0] != '\0') {
        Status status = file_join(path, sizeof path, options->run, "keys/" KEYS_WORKER);
        if (status != STATUS_OK) {
            return status;
        }
        file = path;
    }
    if (file == NULL) {
        return STATUS_OK;
    }
    WorkerKeys keys;
    Status status = keys_read_worker(file, &keys);
    if (status == STATUS_OK && options->notice.key[0] != '\0' &&
        strcmp(keys.coordinator, options->notice.key) != 0) {
        status = status_set(STATUS_MISMATCH,
                            "%s is for another coordinator than the one that serves %s: name the "
                            "key file that belongs to it (--keys FILE)",
                            file, options->run);
    }
    if (status == STATUS_OK) {
        status = zmq_context_unlock(context, &keys);
    }
    keys_wipe(&keys, sizeof keys);
    return status;
}

// A coordinator that was started again may be elsewhere. False: it has other keys, too, which only
// a worker that is started again takes up.
static bool follow(Options *options) {
    Notice now;
    if (notice_read(options->run, &now) != STATUS_OK) {
        return true; // where it was, once more
    }
    text_copy(options->endpoint, sizeof options->endpoint, now.endpoint);
    return strcmp(now.key, options->notice.key) == 0;
}

static Status random_digest(Digest *out) {
    return getrandom(out->bytes, sizeof out->bytes, 0) == (ssize_t)sizeof out->bytes
               ? STATUS_OK
               : status_set(STATUS_IO, "no random numbers: %s", strerror(errno));
}

static void catch_signals(const Desk *desk) {
    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    desk_fd = desk_answer_fd(desk);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

// The same program, the same arguments, another kernel; getopt takes the last --kernel.
static Status restart_with(const char *kernel, int argc, char **argv) {
    Kernel wanted;
    char **next = mem_new((size_t)argc + 3, sizeof *next);
    if (next == NULL) {
        return STATUS_MEMORY;
    }
    if (!parse_kernel(kernel, &wanted)) {
        return status_set(STATUS_MISMATCH, "unknown BLAS kernel '%s'", kernel);
    }
    for (int i = 0; i < argc; i++) {
        next[i] = argv[i];
    }
    next[argc] = "--kernel";
    next[argc + 1] = (char *)(size_t)linalg_kernel_name(wanted);
    Status status = linalg_start(wanted, next);
    mem_free(next);
    return status;
}

// Waits before the next try: doubling up to a second, with jitter so that a thousand workers do not
// come at once.
static void back_off(uint32_t tries, Rng *rng) {
    double seconds = 0.1 * (double)(1u << (tries < 3 ? tries : 3)) * (0.75 + rng_uniform(rng) / 2);
    for (int i = 0; i < 10 && !stop_asked; i++) {
        usleep((useconds_t)(seconds * 1e5));
    }
}

static int serve(ZmqContext *context, const SessionConfig *config, Desk *desk, Options *options,
                 int argc, char **argv) {
    Rng rng = rng_of((uint64_t)getpid(), "back-off", (uint64_t)clock_ns(), 0);
    int64_t seen_ms = clock_ms();
    bool has_said = false; // since then, that there is none
    for (uint32_t tries = 0;; tries++) {
        bool was_welcome;
        char kernel[32] = "";
        SessionEnd end = session_run(context, config, desk, &was_welcome, kernel);
        if (was_welcome) {
            seen_ms = clock_ms();
            has_said = false;
            tries = 0;
        }
        switch (end) {
        case SESSION_OVER:
            return 0;
        case SESSION_KERNEL:
            if (options->kernel != KERNEL_AUTO) {
                log_error("%s", status_message());
                return EXIT_REFUSED;
            }
            log_info("%s; starting again with it", status_message());
            if (restart_with(kernel, argc, argv) != STATUS_OK) {
                log_error("%s", status_message());
            }
            return EXIT_FAILED;
        case SESSION_REFUSED:
        case SESSION_FAILED:
            log_error("%s", status_message());
            return end == SESSION_REFUSED ? EXIT_REFUSED : EXIT_FAILED;
        case SESSION_LOST:
            break;
        }
        log_debug("%s", status_message());
        double waited = (double)(clock_ms() - seen_ms) / 1000.0;
        if (stop_asked || waited > options->give_up_seconds) {
            log_error("no coordinator at %s for %.0f s: %s", config->endpoint, waited,
                      status_message());
            return stop_asked ? 0 : EXIT_FAILED;
        }
        if (waited >= QUIET_S && !has_said) {
            log_info("no coordinator at %s: %s; trying for %.0f s", config->endpoint,
                     status_message(), options->give_up_seconds);
            has_said = true;
        }
        back_off(tries, &rng);
        if (options->run != NULL && !follow(options)) {
            log_error("the coordinator of %s has other keys than before: start this worker again",
                      options->run);
            return EXIT_FAILED;
        }
    }
}

static int work(Options *options, int argc, char **argv) {
    char host[64] = "";
    char name[128];
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "%s:%ld", host, (long)getpid());
    ZmqContext *context = zmq_context_new();
    Desk *desk = desk_new();
    Compute *compute = NULL;
    if (desk != NULL) {
        catch_signals(desk);
    }
    SessionConfig config = {.endpoint = options->endpoint,
                            .roots = options->roots,
                            .root_count = options->root_count,
                            .kernel = linalg_kernel_name(linalg_kernel()),
                            .threads = (uint32_t)options->compute.threads,
                            .name = name,
                            .stop = &stop_asked,
                            .stop_fd = stop_fd,
                            .leave_seconds = options->leave_seconds};
    Fingerprint fingerprint = {0};
    config.fingerprint = &fingerprint;
    Status status = context != NULL && desk != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK && options->run != NULL) {
        status = wait_for_endpoint(options);
    }
    if (status == STATUS_OK) {
        status = use_keys(context, options);
    }
    if (status == STATUS_OK) {
        status = linalg_self_check();
    }
    if (status == STATUS_OK) {
        status = fingerprint_make(&fingerprint);
    }
    if (status == STATUS_OK) {
        status = random_digest(&config.worker_id);
    }
    if (status == STATUS_OK) {
        status = compute_start(context, desk, &options->compute, &compute);
    }
    int exit_status = EXIT_FAILED;
    if (status == STATUS_NOT_FOUND && stop_asked) {
        exit_status = 0; // asked to leave before there was a coordinator
    } else if (status == STATUS_OK) {
        exit_status = serve(context, &config, desk, options, argc, argv);
        desk_stop(desk);
        compute_join(compute);
    } else {
        log_error("%s", status_message());
    }
    desk_free(desk);
    zmq_context_free(context);
    return exit_status;
}

int main(int argc, char **argv) {
    Options options = {.give_up_seconds = 60,
                       .leave_seconds = 30,
                       .compute = {.files = {.may_fetch = true, .cache_bytes = 4ull << 30},
                                   .keep_bytes = feature_store_usual_bytes(),
                                   .threads = 1}};
    mem_start();
    log_set_program("auscult-worker");
    int parsed = parse_options(argc, argv, &options);
    if (parsed >= 0) {
        return parsed;
    }
    if (linalg_start(options.kernel, argv) != STATUS_OK) {
        log_error("%s", status_message());
        return EXIT_FAILED;
    }
    return work(&options, argc, argv);
}
