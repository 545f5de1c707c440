// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/charts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    WIDE = 1040, // for 520 on the page
    HIGH = 680,
    BINS = 40,
    THRESHOLDS_MOST = 8, // drawn
};

// ---- losses ----

// Whether the losses, the first two columns, span more than a decade.
static bool is_steep(const Buffer *history) {
    double least = INFINITY, most = 0;
    for (const char *line = strchr(buffer_cstr(history), '\n'); line != NULL && line[1] != '\0';
         line = strchr(line + 1, '\n')) {
        char *end;
        double loss = strtod(line + 1, &end);
        double held_out = *end == ',' ? strtod(end + 1, NULL) : 0;
        least = loss > 0 ? fmin(least, loss) : least;
        least = held_out > 0 ? fmin(least, held_out) : least;
        most = fmax(most, fmax(loss, held_out));
    }
    return most > 10 * least;
}

uint32_t chart_losses(PlotSet *set, const Buffer *history) {
    size_t rows = 0;
    for (size_t i = 0; i < history->size; i++) {
        rows += history->bytes[i] == '\n';
    }
    if (rows < 2) { // its header alone
        return PLOT_NONE;
    }
    Buffer script = BUFFER_EMPTY;
    const char *style = rows <= 4 ? "linespoints pt 7" : "lines";
    buffer_format(&script,
                  "set datafile separator comma\nset datafile missing ''\n"
                  "set xlabel 'epoch'\nset ylabel 'mean squared error'\n%s"
                  "set xrange [%s:%zu]\nset format y '%%.3g'\n%s"
                  "plot DATA using ($0+1):1 skip 1 with %s lc rgb C1 title 'training', "
                  "'' using ($0+1):2 skip 1 with %s lc rgb C2 title 'validation'\n",
                  is_steep(history) ? "set logscale y\n" : "", rows == 2 ? "0" : "1",
                  rows == 2 ? (size_t)2 : rows - 1, rows <= 8 ? "set xtics 1\n" : "", style, style);
    uint32_t number = plot_add(set, WIDE, HIGH, &script, history);
    buffer_done(&script);
    return number;
}

// ---- scores ----

typedef enum Group {
    TRAINING,
    NORMAL_SOURCE,
    NORMAL_TARGET,
    NORMAL_ANY, // domain not known
    ANOMALY_SOURCE,
    ANOMALY_TARGET,
    ANOMALY_ANY,
    UNLABELLED,
    GROUPS,
} Group;

static const struct {
    const char *title, *style;
} LOOKS[GROUPS] = {
    [TRAINING] = {"training", "lc rgb SOFT dt 3"},
    [NORMAL_SOURCE] = {"normal, source", "lc rgb C1"},
    [NORMAL_TARGET] = {"normal, target", "lc rgb C1 dt 2"},
    [NORMAL_ANY] = {"normal", "lc rgb C1"},
    [ANOMALY_SOURCE] = {"anomalous, source", "lc rgb C2"},
    [ANOMALY_TARGET] = {"anomalous, target", "lc rgb C2 dt 2"},
    [ANOMALY_ANY] = {"anomalous", "lc rgb C2"},
    [UNLABELLED] = {"test clips", "lc rgb C3"},
};

static Group group_of(const ScoredClip *clip) {
    if (!clip->is_test) {
        return TRAINING;
    }
    if (clip->label < 0) {
        return UNLABELLED;
    }
    Group first = clip->label == 0 ? NORMAL_SOURCE : ANOMALY_SOURCE;
    return clip->domain < 0 ? first + 2 : first + (Group)clip->domain;
}

typedef struct Histogram {
    double least, most; // of the axis, logarithms where it is logarithmic
    bool is_log;
    double counts[BINS][GROUPS];
    double totals[GROUPS];
} Histogram;

static double place_of(const Histogram *histogram, double score) {
    return histogram->is_log ? log10(score) : score;
}

static bool measure(const ChartClips *of, Histogram *histogram) {
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < of->count; i++) {
        if (scored_clip_has_score(of->clips[i])) {
            least = fmin(least, of->clips[i]->score);
            most = fmax(most, of->clips[i]->score);
        }
    }
    if (!(least <= most)) {
        return false;
    }
    histogram->is_log = least > 0 && most / least > 10;
    histogram->least = place_of(histogram, least);
    histogram->most = place_of(histogram, most);
    if (!(histogram->most > histogram->least)) {
        histogram->least -= 0.5;
        histogram->most += 0.5;
    }
    return true;
}

static void fill(const ChartClips *of, Histogram *histogram) {
    double width = (histogram->most - histogram->least) / BINS;
    for (size_t i = 0; i < of->count; i++) {
        const ScoredClip *clip = of->clips[i];
        if (!scored_clip_has_score(clip)) {
            continue;
        }
        int bin = (int)((place_of(histogram, clip->score) - histogram->least) / width);
        bin = bin < 0 ? 0 : bin < BINS ? bin : BINS - 1;
        Group group = group_of(clip);
        histogram->counts[bin][group]++;
        histogram->totals[group]++;
    }
}

static double edge_of(const Histogram *histogram, int bin) {
    double edge = histogram->least + (histogram->most - histogram->least) * bin / BINS;
    return histogram->is_log ? pow(10, edge) : edge;
}

// A row for each edge: the edge, then the share of the bin above it in per cent; the last closes.
static void write_bins(const Histogram *histogram, Buffer *out) {
    for (int bin = -1; bin <= BINS; bin++) {
        buffer_format(out, "%.9g", edge_of(histogram, bin < 0 ? 0 : bin));
        for (int g = 0; g < GROUPS; g++) {
            bool inside = bin >= 0 && bin < BINS && histogram->totals[g] > 0;
            double share = inside ? 100 * histogram->counts[bin][g] / histogram->totals[g] : 0;
            buffer_format(out, " %.6g", share);
        }
        buffer_text(out, "\n");
    }
}

static void draw_thresholds(const ChartClips *of, Buffer *script) {
    double drawn[THRESHOLDS_MOST];
    int count = 0;
    for (size_t i = 0; i < of->count && count < THRESHOLDS_MOST; i++) {
        double threshold = of->clips[i]->threshold;
        bool is_new = isfinite(threshold);
        for (int t = 0; t < count; t++) {
            is_new &= drawn[t] != threshold;
        }
        if (is_new) {
            drawn[count++] = threshold;
            buffer_format(script,
                          "set arrow from first %.9g, graph 0 to first %.9g, graph 1 nohead lc rgb "
                          "FG dt 4\n",
                          threshold, threshold);
        }
    }
    if (count > 0) {
        buffer_format(script,
                      "set label 'threshold' at first %.9g, graph 1.04 center textcolor rgb FG\n",
                      drawn[0]);
    }
}

uint32_t chart_scores(PlotSet *set, const ChartClips *of) {
    Histogram *histogram = mem_new(1, sizeof *histogram);
    if (histogram == NULL || !measure(of, histogram)) {
        mem_free(histogram);
        return PLOT_NONE;
    }
    fill(of, histogram);
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    write_bins(histogram, &data);
    buffer_format(&script,
                  "set xlabel 'anomaly score'\nset ylabel 'share of clips (%%)'\nset tmargin 3\n"
                  "set format x '%%.3g'\n%s",
                  histogram->is_log ? "set logscale x\nset mxtics 10\n" : "");
    draw_thresholds(of, &script);
    const char *joint = "plot ";
    for (int g = 0; g < GROUPS; g++) {
        if (histogram->totals[g] > 0) {
            buffer_format(&script, "%sDATA using 1:%d with steps %s title '%s (%.0f)'", joint,
                          g + 2, LOOKS[g].style, LOOKS[g].title, histogram->totals[g]);
            joint = ", ";
        }
    }
    buffer_text(&script, "\n");
    uint32_t number = plot_add(set, WIDE, HIGH, &script, &data);
    buffer_done(&script);
    buffer_done(&data);
    mem_free(histogram);
    return number;
}

// ---- ROC ----

static int by_score_down(const void *left, const void *right) {
    double a = (*(const ScoredClip *const *)left)->score;
    double b = (*(const ScoredClip *const *)right)->score;
    return (a < b) - (a > b);
}

// A block of points: normals of this domain (-1: of any) against all anomalies. False when one of
// the two is missing.
static bool write_curve(const ScoredClip *const *sorted, size_t count, int domain, Buffer *out) {
    double normals = 0, anomalies = 0, above_normals = 0, above_anomalies = 0;
    for (size_t i = 0; i < count; i++) {
        anomalies += sorted[i]->label == 1;
        normals += sorted[i]->label == 0 && (domain < 0 || sorted[i]->domain == domain);
    }
    if (normals == 0 || anomalies == 0) {
        return false;
    }
    buffer_text(out, "0 0\n");
    for (size_t i = 0; i < count; i++) {
        above_anomalies += sorted[i]->label == 1;
        above_normals += sorted[i]->label == 0 && (domain < 0 || sorted[i]->domain == domain);
        if (i + 1 == count || sorted[i + 1]->score != sorted[i]->score) { // ties go together
            buffer_format(out, "%.6g %.6g\n", above_normals / normals, above_anomalies / anomalies);
        }
    }
    buffer_text(out, "\n\n");
    return true;
}

uint32_t chart_roc(PlotSet *set, const ChartClips *of, double max_fpr) {
    static const struct {
        int domain;
        const char *title, *style;
    } CURVES[] = {{-1, "all", "lc rgb FG"},
                  {0, "source normals", "lc rgb C1"},
                  {1, "target normals", "lc rgb C2 dt 2"}};
    const ScoredClip **sorted = mem_new(of->count > 0 ? of->count : 1, sizeof *sorted);
    if (sorted == NULL) {
        return PLOT_NONE;
    }
    size_t count = 0;
    for (size_t i = 0; i < of->count; i++) {
        const ScoredClip *clip = of->clips[i];
        if (clip->is_test && clip->label >= 0 && scored_clip_has_score(clip)) {
            sorted[count++] = clip;
        }
    }
    qsort(sorted, count, sizeof *sorted, by_score_down);
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    buffer_format(&script,
                  "set size square\nset xrange [0:1]\nset yrange [0:1]\nset key bottom right\n"
                  "set xlabel 'false positive rate'\nset ylabel 'true positive rate'\n"
                  "set object 1 rectangle from 0,0 to %.9g,1 fc rgb GRID fs solid 0.7 noborder "
                  "behind\nset label 'pAUC' at %.9g,1.03 center textcolor rgb SOFT\n"
                  "plot x with lines lc rgb SOFT dt 3 lw 0.5 notitle",
                  max_fpr, max_fpr / 2);
    int curves = 0;
    for (size_t c = 0; c < sizeof CURVES / sizeof CURVES[0]; c++) {
        if (write_curve(sorted, count, CURVES[c].domain, &data)) {
            buffer_format(&script, ", DATA index %d with lines %s title '%s'", curves++,
                          CURVES[c].style, CURVES[c].title);
        }
    }
    buffer_text(&script, "\n");
    uint32_t number = curves > 0 ? plot_add(set, WIDE, HIGH, &script, &data) : PLOT_NONE;
    buffer_done(&script);
    buffer_done(&data);
    mem_free(sorted);
    return number;
}
