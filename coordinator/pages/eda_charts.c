// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/eda_charts.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    WIDE = 1040, // for 520 on the page
    HIGH = 720,
    NUMBERS_HIGH = 1260,
    KEY_HIGH = 96,
    BINS = 14,
    CLIPS_LEAST = 5, // of a kind whose distribution is drawn
};

// ---- kinds of clips ----

typedef enum Kind {
    NORMAL_SOURCE,
    NORMAL_TARGET,
    NORMAL_ANY, // domain not known
    ANOMALY_SOURCE,
    ANOMALY_TARGET,
    ANOMALY_ANY,
    UNLABELLED,
    KINDS,
} Kind;

#define STEPS 2.6 // of an axis; there is room for twice as many

static const struct {
    const char *title, *colour, *line;
    int point;
} LOOKS[KINDS] = {
    [NORMAL_SOURCE] = {"normal, source", "C1", "", 7},
    [NORMAL_TARGET] = {"normal, target", "C3", "dt (5,3)", 5},
    [NORMAL_ANY] = {"normal", "C1", "", 7},
    [ANOMALY_SOURCE] = {"anomalous, source", "C2", "", 9},
    [ANOMALY_TARGET] = {"anomalous, target", "C5", "dt (5,3)", 11},
    [ANOMALY_ANY] = {"anomalous", "C2", "", 9},
    [UNLABELLED] = {"label not known", "C4", "dt (2,2)", 13},
};

static Kind kind_of(ClipLabel label, ClipDomain domain) {
    if (label != LABEL_NORMAL && label != LABEL_ANOMALY) {
        return UNLABELLED;
    }
    Kind first = label == LABEL_NORMAL ? NORMAL_SOURCE : ANOMALY_SOURCE;
    return domain == DOMAIN_SOURCE ? first : domain == DOMAIN_TARGET ? first + 1 : first + 2;
}

// ---- spectra ----

// Sums over the clips of a kind, of their mean log-mels in one band.
typedef struct Band {
    double clips, sum, squares;
} Band;

static void write_band(const ExploreSummary *summary, uint32_t machine, int32_t band,
                       bool is_there[KINDS], Buffer *out) {
    Band bands[KINDS] = {0};
    for (uint32_t g = 0; g < summary->group_count; g++) {
        const ExploredGroup *group = &summary->groups[g];
        if (group->machine != machine || group->count == 0) {
            continue;
        }
        Band *of = &bands[kind_of(group->label, group->domain)];
        double mean = group->mean[band], spread = group->spread[band], count = group->count;
        of->clips += count;
        of->sum += count * mean;
        of->squares += count * (spread * spread + mean * mean);
    }
    buffer_format(out, "%d", band + 1);
    for (int k = 0; k < KINDS; k++) {
        is_there[k] = bands[k].clips > 0;
        double mean = is_there[k] ? bands[k].sum / bands[k].clips : 0;
        double square = is_there[k] ? bands[k].squares / bands[k].clips - mean * mean : 0;
        double spread = sqrt(fmax(square, 0));
        buffer_format(out, " %.6g %.6g %.6g", mean, mean - spread, mean + spread);
    }
    buffer_text(out, "\n");
}

uint32_t eda_chart_spectrum(PlotSet *set, const ExploreSummary *summary, uint32_t machine) {
    bool is_there[KINDS] = {false};
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    for (int32_t band = 0; band < summary->n_mels; band++) {
        write_band(summary, machine, band, is_there, &data);
    }
    buffer_format(&script,
                  "set xlabel 'mel band, low to high'\nset ylabel 'mean log-mel energy (dB)'\n"
                  "set xrange [1:%d]\nset key outside top center horizontal maxrows 3 samplen 3\n",
                  summary->n_mels > 1 ? summary->n_mels : 2);
    const char *joint = "plot ";
    for (int k = 0; k < KINDS; k++) { // the areas first, so that lines stand before them
        if (is_there[k]) {
            buffer_format(&script,
                          "%sDATA using 1:%d:%d with filledcurves fs transparent solid 0.15 "
                          "noborder lc rgb %s notitle",
                          joint, 3 * k + 3, 3 * k + 4, LOOKS[k].colour);
            joint = ", ";
        }
    }
    uint32_t number = PLOT_NONE;
    if (joint[0] == ',') {
        for (int k = 0; k < KINDS; k++) {
            if (is_there[k]) {
                buffer_format(&script, ", DATA using 1:%d with lines lc rgb %s %s title '%s'",
                              3 * k + 2, LOOKS[k].colour, LOOKS[k].line, LOOKS[k].title);
            }
        }
        buffer_text(&script, "\n");
        number = plot_add(set, WIDE, HIGH, &script, &data);
    }
    buffer_done(&script);
    buffer_done(&data);
    return number;
}

// ---- distributions ----

static const struct {
    ExplorationNumber number;
    double scale; // to the unit in the title
    const char *title;
} SHOWN[] = {
    {NUMBER_LEVEL_DB, 1, "level (dB re full scale)"},
    {NUMBER_CREST_DB, 1, "crest factor (dB)"},
    {NUMBER_CENTROID_HZ, 1e-3, "spectral centroid (kHz)"},
    {NUMBER_BANDWIDTH_HZ, 1e-3, "spectral bandwidth (kHz)"},
    {NUMBER_ROLLOFF_HZ, 1e-3, "rolloff, 85 % (kHz)"},
    {NUMBER_FLATNESS, 1, "spectral flatness"},
};
enum { SHOWN_COUNT = sizeof SHOWN / sizeof SHOWN[0], SHOWN_ACROSS = 2 };

typedef struct Histogram {
    double least, most;
    double counts[BINS][KINDS], totals[KINDS];
} Histogram;

static bool is_sound(const ExploreSummary *summary, uint32_t clip) {
    const Exploration *found = &summary->explorations[clip];
    return found->n_mels > 0 && found->is_sound;
}

// False when no clip of the machine is sound.
static bool count_number(const ExploreSummary *summary, uint32_t machine, int shown,
                         Histogram *out) {
    const Machine *of = &summary->dataset->machines[machine];
    *out = (Histogram){.least = INFINITY, .most = -INFINITY};
    for (uint32_t c = of->first_clip; c < of->first_clip + of->clip_count; c++) {
        if (is_sound(summary, c)) {
            double value = summary->explorations[c].numbers[SHOWN[shown].number];
            out->least = fmin(out->least, value * SHOWN[shown].scale);
            out->most = fmax(out->most, value * SHOWN[shown].scale);
        }
    }
    if (!(out->least <= out->most)) {
        return false;
    }
    double room = fmax(1e-3 * fmax(fabs(out->most), 1e-3), 0.02 * (out->most - out->least));
    out->least -= room;
    out->most += room;
    for (uint32_t c = of->first_clip; c < of->first_clip + of->clip_count; c++) {
        if (is_sound(summary, c)) {
            const Clip *clip = &summary->dataset->clips[c];
            Kind kind = kind_of(clip->label, clip->domain);
            double value =
                summary->explorations[c].numbers[SHOWN[shown].number] * SHOWN[shown].scale;
            int bin = (int)((value - out->least) / (out->most - out->least) * BINS);
            out->counts[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1][kind]++;
            out->totals[kind]++;
        }
    }
    return true;
}

// A block of rows: an edge, then the share of the bin above it of each kind in per cent.
static void write_histogram(const Histogram *histogram, Buffer *out) {
    for (int bin = -1; bin <= BINS; bin++) {
        double edge =
            histogram->least + (histogram->most - histogram->least) * (bin < 0 ? 0 : bin) / BINS;
        buffer_format(out, "%.9g", edge);
        for (int k = 0; k < KINDS; k++) {
            bool inside = bin >= 0 && bin < BINS && histogram->totals[k] > 0;
            buffer_format(out, " %.6g",
                          inside ? 100 * histogram->counts[bin][k] / histogram->totals[k] : 0);
        }
        buffer_text(out, "\n");
    }
    buffer_text(out, "\n\n");
}

// A few clips have no distribution, and would flatten that of the others.
static bool is_drawn(const double totals[KINDS], int kind) {
    bool are_all_few = true;
    for (int k = 0; k < KINDS; k++) {
        are_all_few &= totals[k] < CLIPS_LEAST;
    }
    return totals[kind] >= CLIPS_LEAST || (are_all_few && totals[kind] > 0);
}

// The key stands once, above all panels.
static void write_key(const double totals[KINDS], Buffer *out) {
    buffer_format(out,
                  "set multiplot\nset size 1,%.5f\nset origin 0,%.5f\nset margins 0,0,0,0\n"
                  "unset border\nunset tics\nunset grid\nset key center horizontal maxrows 3\n"
                  "set xrange [0:1]\nset yrange [0:1]\n",
                  (double)KEY_HIGH / NUMBERS_HIGH, 1 - (double)KEY_HIGH / NUMBERS_HIGH);
    buffer_text(out, "plot -1 notitle"); // out of sight: keys alone make no plot
    for (int k = 0; k < KINDS; k++) {
        if (is_drawn(totals, k)) {
            buffer_format(out, ", keyentry with lines lc rgb %s %s title '%s (%.0f)'",
                          LOOKS[k].colour, LOOKS[k].line, LOOKS[k].title, totals[k]);
        }
    }
    buffer_text(out, "\nset border 3 lc rgb FG\nset tics nomirror textcolor rgb FG\nset ytics "
                     "nomirror autofreq\nset grid lc rgb GRID\nunset key\n"
                     "set yrange [0:*]\n");
}

// The largest of 1, 2 and 5 times a power of ten that divides the range into STEPS or more; into
// fewer where numbers are many steps from zero, and so long.
static double nice_step(double least, double high) {
    double largest = fmax(fabs(least), fabs(high)), most = (high - least) / STEPS;
    most *= largest > 200 * most ? 2 : 1;
    double power = pow(10, floor(log10(most)));
    return most >= 5 * power ? 5 * power : most >= 2 * power ? 2 * power : power;
}

// The largest share of the kinds that are drawn, in per cent.
static double largest_share(const Histogram *histogram) {
    double most = 1;
    for (int k = 0; k < KINDS; k++) {
        for (int bin = 0; bin < BINS && is_drawn(histogram->totals, k); bin++) {
            most = fmax(most, 100 * histogram->counts[bin][k] / histogram->totals[k]);
        }
    }
    return most;
}

static void write_panel(const Histogram *histogram, int shown, Buffer *out) {
    enum { DOWN = (SHOWN_COUNT + SHOWN_ACROSS - 1) / SHOWN_ACROSS };
    double top = 1 - (double)KEY_HIGH / NUMBERS_HIGH, high = top / DOWN;
    double above = top - shown / SHOWN_ACROSS * high, left = shown % SHOWN_ACROSS * 0.5;
    buffer_format(out,
                  "set lmargin at screen %.5f\nset rmargin at screen %.5f\nset tmargin at screen "
                  "%.5f\nset bmargin at screen %.5f\nset xlabel '%s'\nset label 1 '%s' at screen "
                  "0.016,%.5f center rotate textcolor rgb FG\n"
                  "set xrange [%.9g:%.9g]\nset xtics nomirror %.9g\nset ytics nomirror %.9g\n",
                  left + 0.115, left + 0.462, above - 0.016, above - high + 0.092,
                  SHOWN[shown].title, shown % SHOWN_ACROSS == 0 ? "share of clips (%)" : "",
                  above - high / 2 + 0.03, histogram->least, histogram->most,
                  nice_step(histogram->least, histogram->most),
                  nice_step(0, largest_share(histogram)));
    const char *joint = "plot ";
    for (int k = 0; k < KINDS; k++) {
        if (is_drawn(histogram->totals, k)) {
            buffer_format(out, "%sDATA index %d using 1:%d with steps lc rgb %s %s notitle", joint,
                          shown, k + 2, LOOKS[k].colour, LOOKS[k].line);
            joint = ", ";
        }
    }
    buffer_text(out, "\n");
}

uint32_t eda_chart_numbers(PlotSet *set, const ExploreSummary *summary, uint32_t machine) {
    Histogram *histogram = mem_new(1, sizeof *histogram);
    if (histogram == NULL || !count_number(summary, machine, 0, histogram)) {
        mem_free(histogram);
        return PLOT_NONE;
    }
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    write_key(histogram->totals, &script);
    for (int s = 0; s < SHOWN_COUNT; s++) {
        if (count_number(summary, machine, s, histogram)) {
            write_histogram(histogram, &data);
            write_panel(histogram, s, &script);
        }
    }
    buffer_text(&script, "unset multiplot\n");
    uint32_t number = plot_add(set, WIDE, NUMBERS_HIGH, &script, &data);
    buffer_done(&script);
    buffer_done(&data);
    mem_free(histogram);
    return number;
}

// ---- the plane ----

static uint32_t write_points(const ExploreSummary *summary, uint32_t machine, Kind kind,
                             Buffer *out) {
    const Machine *of = &summary->dataset->machines[machine];
    uint32_t count = 0;
    for (uint32_t c = of->first_clip; c < of->first_clip + of->clip_count; c++) {
        const Clip *clip = &summary->dataset->clips[c];
        if (summary->points[c].is_there && kind_of(clip->label, clip->domain) == kind) {
            buffer_format(out, "%.6g %.6g\n", summary->points[c].x, summary->points[c].y);
            count++;
        }
    }
    if (count > 0) {
        buffer_text(out, "\n\n");
    }
    return count;
}

uint32_t eda_chart_plane(PlotSet *set, const ExploreSummary *summary, uint32_t machine) {
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    buffer_text(&script, "set xlabel 'along the first direction (dB)'\nset ylabel 'along the "
                         "second (dB)'\nset xzeroaxis lc rgb GRID\nset yzeroaxis lc rgb GRID\n"
                         "set key outside top center horizontal maxrows 3\nset offsets graph "
                         "0.04, graph 0.04, graph 0.04, graph 0.04\n");
    int blocks = 0;
    for (int k = 0; k < KINDS; k++) {
        uint32_t count = write_points(summary, machine, (Kind)k, &data);
        if (count > 0) {
            buffer_format(&script,
                          "%sDATA index %d using 1:2 with points pt %d ps 1.1 lc rgb %s title "
                          "'%s (%u)'",
                          blocks == 0 ? "plot " : ", ", blocks, LOOKS[k].point, LOOKS[k].colour,
                          LOOKS[k].title, count);
            blocks++;
        }
    }
    buffer_text(&script, "\n");
    uint32_t number = blocks > 0 ? plot_add(set, WIDE, HIGH, &script, &data) : PLOT_NONE;
    buffer_done(&script);
    buffer_done(&data);
    return number;
}
