// SPDX-License-Identifier: Apache-2.0
//
// How it works: a folder of our own gets a data file and a script for each picture, and two scripts
// that load every second one of them, for two gnuplots side by side. What these leave there is read
// back and the folder removed.
#include "coordinator/pages/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    PROCESSES = 2,
    SECONDS_MOST = 300,          // for all pictures; a gnuplot that hangs is ended
    PNG_BYTES_MOST = 8 << 20,    // one picture
    ROOM_BYTES_MOST = 512 << 20, // that a gnuplot may write to one file
    LOOK_MS = 5,
};

typedef struct Plot {
    int width, height;
    Buffer script, data;
    Buffer png[2]; // light, dark
} Plot;

struct PlotSet {
    Plot *plots; // (count)
    uint32_t count, capacity;
    char problem[256];
};

PlotSet *plot_set_new(void) {
    return mem_new(1, sizeof(PlotSet));
}

void plot_set_free(PlotSet *set) {
    if (set == NULL) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        buffer_done(&set->plots[i].script);
        buffer_done(&set->plots[i].data);
        buffer_done(&set->plots[i].png[0]);
        buffer_done(&set->plots[i].png[1]);
    }
    mem_free(set->plots);
    mem_free(set);
}

uint32_t plot_add(PlotSet *set, int width, int height, const Buffer *script, const Buffer *data) {
    if (script->status != STATUS_OK || data->status != STATUS_OK ||
        !mem_grow(&set->plots, set->count, &set->capacity, sizeof(Plot))) {
        return PLOT_NONE;
    }
    Plot *plot = &set->plots[set->count];
    *plot = (Plot){.width = width, .height = height};
    buffer_append(&plot->script, script->bytes, script->size);
    buffer_append(&plot->data, buffer_cstr(data), data->size);
    return set->count++;
}

const Buffer *plot_png(const PlotSet *set, uint32_t number, bool is_dark) {
    return &set->plots[number].png[is_dark];
}

int plot_width(const PlotSet *set, uint32_t number) {
    return set->plots[number].width;
}

int plot_height(const PlotSet *set, uint32_t number) {
    return set->plots[number].height;
}

const char *plot_problem(const PlotSet *set) {
    return set->problem;
}

// ---- scripts ----

// Colours that the colour-blind tell apart (after Okabe and Ito), on the pages' own grounds.
typedef struct Theme {
    const char *name, *back, *front, *soft, *grid;
    const char *colours[6];
} Theme;

static const Theme THEMES[2] = {
    {"light",
     "#ffffff",
     "#1b1f24",
     "#5a6472",
     "#d9dee5",
     {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#5a6472"}},
    {"dark",
     "#1b2129",
     "#e8ebef",
     "#a3adba",
     "#333c48",
     {"#56b4e9", "#ff9466", "#3fd0a4", "#e3a6c8", "#f0c24d", "#a3adba"}},
};

// Sizes in scripts are those of a picture with two pixels for each of the page's.
static void write_theme(const Plot *plot, uint32_t number, const Theme *theme, Buffer *out) {
    buffer_format(out,
                  "reset\nset terminal pngcairo size %d,%d noenhanced font 'DejaVu Sans,16.5' "
                  "linewidth 2.25 background '%s'\nset output '%u.%s.png'\nDATA='%u.dat'\n"
                  "FG='%s'\nSOFT='%s'\nGRID='%s'\n",
                  plot->width * 3 / 4, plot->height * 3 / 4, theme->back, number, theme->name,
                  number, theme->front, theme->soft, theme->grid);
    for (int c = 0; c < 6; c++) {
        buffer_format(out, "C%d='%s'\n", c + 1, theme->colours[c]);
    }
    buffer_format(out,
                  "set border 3 lc rgb FG\nset tics nomirror textcolor rgb FG\n"
                  "set grid lc rgb GRID\nset key textcolor rgb FG samplen 2\n"
                  "set xlabel textcolor rgb FG\nset ylabel textcolor rgb FG\n"
                  "set cblabel textcolor rgb FG\nset title textcolor rgb FG\n"
                  "load '%u.gp'\nset output\n",
                  number);
}

static Status write_in(const char *folder, const char *name, const Buffer *text) {
    char path[LIMIT_PATH_BYTES];
    Status status = text->status;
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, folder, name);
    }
    return status == STATUS_OK ? file_replace(path, buffer_cstr(text), text->size) : status;
}

static Status write_plot(const char *folder, const Plot *plot, uint32_t number) {
    char name[32];
    snprintf(name, sizeof name, "%u.gp", number);
    Status status = write_in(folder, name, &plot->script);
    snprintf(name, sizeof name, "%u.dat", number);
    return status == STATUS_OK ? write_in(folder, name, &plot->data) : status;
}

static Status write_scripts(const PlotSet *set, const char *folder) {
    Buffer mains[PROCESSES] = {BUFFER_EMPTY, BUFFER_EMPTY};
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < set->count && status == STATUS_OK; i++) {
        status = write_plot(folder, &set->plots[i], i);
        write_theme(&set->plots[i], i, &THEMES[0], &mains[i % PROCESSES]);
        write_theme(&set->plots[i], i, &THEMES[1], &mains[i % PROCESSES]);
    }
    for (int p = 0; p < PROCESSES; p++) {
        char name[32];
        snprintf(name, sizeof name, "main%d.gp", p);
        status = status == STATUS_OK ? write_in(folder, name, &mains[p]) : status;
        buffer_done(&mains[p]);
    }
    return status;
}

// ---- the program ----

// Between fork and exec. Nothing of the user's own settings: they would change the pictures.
static void become_gnuplot(const char *program, const char *folder, int process) {
    char script[32];
    snprintf(script, sizeof script, "main%d.gp", process);
    // A signal to all of the terminal's processes is for us to hear, and it dies with us.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit cpu = {SECONDS_MOST, SECONDS_MOST}, room = {ROOM_BYTES_MOST, ROOM_BYTES_MOST};
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_FSIZE, &room);
    int null_fd = open("/dev/null", O_RDWR);
    int log_fd = chdir(folder) == 0 ? open("log", O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (null_fd < 0 || log_fd < 0) {
        _exit(126);
    }
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    setenv("HOME", folder, 1);
    setenv("LC_ALL", "C", 1);
    unsetenv("GNUTERM");
    unsetenv("GNUPLOT_LIB");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execlp(program, "gnuplot", "-d", script, (char *)NULL);
    _exit(127);
}

// Whether a signal that asks for an end waits: signals are blocked since the run began.
static bool is_asked_to_stop(void) {
    sigset_t waiting;
    return sigpending(&waiting) == 0 &&
           (sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
            sigismember(&waiting, SIGHUP) == 1);
}

// Its exit status, 127 when there is no such program, -1 when it had to be ended.
static int wait_for(pid_t pid, int64_t until_ms) {
    int how;
    while (waitpid(pid, &how, WNOHANG) == 0) {
        if (clock_ms() > until_ms || is_asked_to_stop()) {
            kill(-pid, SIGKILL); // and what it has started
            waitpid(pid, &how, 0);
            return -1;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

// STATUS_NOT_FOUND: there is no gnuplot; STATUS_IO: one has failed, with *ret_code; STATUS_STOPPED:
// a signal asks for an end.
static Status run(const char *program, const char *folder, int *ret_code) {
    pid_t pids[PROCESSES];
    Status status = STATUS_OK;
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            become_gnuplot(program, folder, p);
        }
        if (pids[p] > 0) {
            (void)setpgid(pids[p], pids[p]); // as it does itself, whoever is first
        }
        status = pids[p] < 0 ? STATUS_IO : status;
    }
    int64_t until_ms = clock_ms() + SECONDS_MOST * 1000;
    for (int p = 0; p < PROCESSES; p++) {
        int code = pids[p] > 0 ? wait_for(pids[p], until_ms) : -1;
        if (code == 127) {
            status = STATUS_NOT_FOUND;
        } else if (code != 0 && status == STATUS_OK) {
            status = STATUS_IO;
            *ret_code = code;
        }
    }
    return is_asked_to_stop() ? status_set(STATUS_STOPPED, "stopped while pictures were drawn")
                              : status;
}

// What one gnuplot said first, for people.
static void first_words(const char *folder, char *out, size_t size) {
    char path[LIMIT_PATH_BYTES];
    Buffer log = BUFFER_EMPTY;
    out[0] = '\0';
    if (file_join(path, sizeof path, folder, "log") == STATUS_OK &&
        file_read(path, 1 << 20, &log) == STATUS_OK && log.size > 0) {
        const char *line = log.bytes + strspn(log.bytes, " \t\r\n");
        snprintf(out, size, ": %.*s", (int)strcspn(line, "\r\n"), line);
    }
    buffer_done(&log);
}

static void read_pictures(PlotSet *set, const char *folder, int code) {
    uint32_t missing = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        for (int t = 0; t < 2; t++) {
            char name[64], path[LIMIT_PATH_BYTES];
            Buffer *png = &set->plots[i].png[t];
            snprintf(name, sizeof name, "%u.%s.png", i, THEMES[t].name);
            if (file_join(path, sizeof path, folder, name) != STATUS_OK ||
                file_read(path, PNG_BYTES_MOST, png) != STATUS_OK) {
                buffer_done(png);
            }
            missing += png->size == 0;
        }
    }
    if (missing > 0 && set->problem[0] == '\0') {
        char words[160];
        first_words(folder, words, sizeof words);
        if (words[0] == '\0' && code != 0) {
            snprintf(words, sizeof words, code > 0 ? " (exit status %d)" : " (it was ended)", code);
        }
        snprintf(set->problem, sizeof set->problem, "gnuplot has left out %u of %u pictures%s",
                 missing, 2 * set->count, words);
    }
}

static Status draw_in(PlotSet *set, const char *program, const char *folder) {
    Status status = write_scripts(set, folder);
    if (status != STATUS_OK) {
        snprintf(set->problem, sizeof set->problem,
                 "no pictures: a temporary file could not be "
                 "written");
        return STATUS_OK;
    }
    int code = 0;
    status = run(program, folder, &code);
    if (status == STATUS_STOPPED) {
        return status;
    }
    if (status == STATUS_NOT_FOUND) {
        snprintf(set->problem, sizeof set->problem,
                 "There are no pictures, since gnuplot is not installed where this report was "
                 "made: apt-get install gnuplot-nox, then run the report stage again.");
        return STATUS_OK;
    }
    read_pictures(set, folder, code);
    return STATUS_OK;
}

Status plot_draw(PlotSet *set) {
    const char *program = getenv(PLOT_PROGRAM_VARIABLE);
    program = program != NULL ? program : "gnuplot";
    if (set->count == 0) {
        return STATUS_OK;
    }
    if (program[0] == '\0') {
        snprintf(set->problem, sizeof set->problem,
                 "There are no pictures, since " PLOT_PROGRAM_VARIABLE " says that none are to be "
                 "drawn.");
        return STATUS_OK;
    }
    const char *place = getenv("TMPDIR");
    char folder[LIMIT_PATH_BYTES];
    Status status =
        file_join(folder, sizeof folder, place != NULL && place[0] == '/' ? place : "/tmp",
                  "auscult-plots-XXXXXX");
    if (status != STATUS_OK || mkdtemp(folder) == NULL) {
        snprintf(set->problem, sizeof set->problem,
                 "There are no pictures: no folder for temporary files could be made.");
        return STATUS_OK;
    }
    status = draw_in(set, program, folder);
    (void)file_remove_tree(folder);
    return status;
}
