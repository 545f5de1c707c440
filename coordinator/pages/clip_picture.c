// SPDX-License-Identifier: Apache-2.0
//
// How it works: all panels' numbers go as floats into one binary file, and the script says at which
// byte each begins. The height follows from the number of panels.
#include "coordinator/pages/clip_picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    WIDE = 1040, // for 520 on the page
    PANEL_HIGH = 330,
    GAP_HIGH = 62,   // between panels, for the name of the next
    COLUMNS = 200,   // drawn at most: pages of noisy pictures are large
    FOOT_HIGH = 118, // below the last, for the axis of time
};
#define DB_SHOWN          80.0 // below the loudest; what is further down is no more to be seen
#define DB_SHOWN_RESIDUAL 25.0 // what is reconstructed is noise without meaning

static const struct {
    const char *name, *unit, *rows;
} LOOKS[CLIP_PANELS] = {
    [PANEL_WAVEFORM] = {"waveform, 1 is full scale", "", ""},
    [PANEL_SPECTROGRAM] = {"spectrogram", "dB", "kHz"},
    [PANEL_LOG_MEL] = {"log-mel energies", "dB", "mel band"},
    [PANEL_MFCC] = {"MFCC, without the first", "", "coefficient"},
    [PANEL_RESIDUAL] = {"not reconstructed by the model", "dB", "mel band"},
};

// Dark to bright in even steps of lightness, which colour-blind eyes read as well; and from blue
// over white to orange for what has a sign.
static const char PALETTE_LEVEL[] =
    "set palette defined (0 '#0b1030', 1 '#1f3f7a', 2 '#2f7f8f', 3 '#5fb57a', 4 '#c9dc60', "
    "5 '#fdf6c3') maxcolors 40\n";
static const char PALETTE_SIGNED[] = "set palette defined (0 '#004a80', 1 '#56a4d9', 2 '#f4f4f4', "
                                     "3 '#ee9a4d', 4 '#9c4300') maxcolors 40\n";

// ---- what there is ----

// A panel's picture; `first` row is its lowest. NULL: the portrait has none.
static const float *panel_values(const Portrait *portrait, int panel, int32_t *ret_rows) {
    *ret_rows = 0;
    switch ((ClipPanel)panel) {
    case PANEL_WAVEFORM:
        *ret_rows = 1;
        return portrait->rate_hz > 0 ? portrait->low : NULL;
    case PANEL_SPECTROGRAM:
        *ret_rows = portrait->spectrum_rows;
        return portrait->spectrum_rows > 0 ? portrait->spectrogram : NULL;
    case PANEL_LOG_MEL:
        *ret_rows = portrait->mel_rows;
        return portrait->log_mel;
    case PANEL_MFCC:
        *ret_rows = portrait->mfcc_rows - 1;
        return portrait->mfcc_rows > 1 ? portrait->mfcc + portrait->columns : NULL;
    case PANEL_RESIDUAL:
        *ret_rows = portrait->mel_rows;
        return portrait->has_residual ? portrait->residual : NULL;
    case CLIP_PANELS:
        break;
    }
    return NULL;
}

static int by_value(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static void widen(ClipScale *scale, int panel, double low, double high) {
    if (panel == PANEL_WAVEFORM || panel == PANEL_MFCC) {
        high = fmax(fabs(low), fabs(high));
        low = -high;
    }
    bool was_set = scale->is_set[panel];
    scale->low[panel] = was_set ? fmin(scale->low[panel], low) : low;
    scale->high[panel] = was_set ? fmax(scale->high[panel], high) : high;
    scale->is_set[panel] = true;
    if (panel != PANEL_WAVEFORM && panel != PANEL_MFCC) {
        double shown = panel == PANEL_RESIDUAL ? DB_SHOWN_RESIDUAL : DB_SHOWN;
        scale->low[panel] = fmax(scale->low[panel], scale->high[panel] - shown);
    }
}

static void take_waveform(ClipScale *scale, const Portrait *portrait) {
    double most = 1e-4;
    for (int32_t c = 0; c < portrait->columns; c++) {
        most = fmax(most, fmax(fabs((double)portrait->low[c]), fabs((double)portrait->high[c])));
    }
    widen(scale, PANEL_WAVEFORM, -most, most);
}

Status clip_scale_take(ClipScale *scale, const Portrait *portrait) {
    float *sorted = mem_new((size_t)PORTRAIT_ROWS * PORTRAIT_COLUMNS, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    for (int p = 0; p < CLIP_PANELS; p++) {
        int32_t rows;
        const float *values = panel_values(portrait, p, &rows); // (rows, columns)
        size_t count = (size_t)rows * (size_t)portrait->columns;
        if (values == NULL) {
            continue;
        }
        if (p == PANEL_WAVEFORM) {
            take_waveform(scale, portrait);
            continue;
        }
        memcpy(sorted, values, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, by_value);
        widen(scale, p, (double)sorted[count / 100], (double)sorted[count - 1 - count / 500]);
    }
    mem_free(sorted);
    return STATUS_OK;
}

// ---- the script ----

// Where a panel stands, as shares of the picture, and what its axes hold.
typedef struct Place {
    double low, high;      // of the picture's height
    int32_t columns;       // drawn
    double seconds;        // of a column; 1 where time is not known
    double row, first_row; // height of a row and middle of the first, in the axis' unit
} Place;

static void place_rows(const Portrait *portrait, int panel, int32_t rows, int32_t n_mels,
                       Place *place) {
    double height = 1;
    if (panel == PANEL_SPECTROGRAM) {
        height = portrait->rate_hz / 2000.0 / rows;
    } else if (panel == PANEL_LOG_MEL || panel == PANEL_RESIDUAL) {
        height = (double)n_mels / rows;
    }
    place->row = height;
    place->first_row = panel == PANEL_MFCC ? 1 : height / 2;
}

static void frame_panel(int panel, const Place *place, bool is_last, bool has_time, Buffer *out) {
    buffer_format(out,
                  "unset colorbox\nunset label\nset tmargin at screen %.5f\nset bmargin at screen "
                  "%.5f\nset label 1 '%s' at screen 0.125,%.5f left offset 0,0.6 textcolor rgb FG\n"
                  "set label 3 '%s' at screen 0.018,%.5f center rotate textcolor rgb SOFT\n",
                  place->high, place->low, LOOKS[panel].name, place->high, LOOKS[panel].rows,
                  (place->high + place->low) / 2);
    if (is_last) {
        buffer_format(out, "set xlabel '%s' textcolor rgb FG\nset format x '%%g'\n",
                      has_time ? "time (s)" : "part");
    } else {
        buffer_text(out, "unset xlabel\nset format x ''\n");
    }
}

static void draw_waveform(const Place *place, const ClipScale *scale, size_t skip, Buffer *out) {
    double most = 1.05 * fmax(scale->high[PANEL_WAVEFORM], 1e-4);
    buffer_format(out,
                  "set yrange [%.6g:%.6g]\nset format y '%%.3g'\nset ytics autofreq\n"
                  "plot DATA binary record=(%d) format='%%float%%float' skip=%zu using "
                  "(($0+0.5)*%.9g):1:2 with filledcurves lc rgb C1 notitle, '' binary "
                  "record=(%d) format='%%float%%float' skip=%zu using (($0+0.5)*%.9g):2 with lines "
                  "lc rgb C1 lw 0.5 notitle\n",
                  -most, most, place->columns, skip, place->seconds, place->columns, skip,
                  place->seconds);
}

static void draw_image(int panel, int32_t rows, const Place *place, const ClipScale *scale,
                       size_t skip, Buffer *out) {
    double low = scale->low[panel], high = fmax(scale->high[panel], low + 1e-3);
    double edge = place->first_row - place->row / 2;
    buffer_format(out,
                  "%sset cbrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\nset format y '%%g'\n"
                  "set colorbox user origin 0.885,%.5f size 0.02,%.5f\nset format cb '%%g'\n"
                  "set label 2 '%s' at screen 0.885,%.5f left offset 0,0.6 textcolor rgb FG\n",
                  panel == PANEL_MFCC ? PALETTE_SIGNED : PALETTE_LEVEL, low, high, edge,
                  edge + rows * place->row, place->low, place->high - place->low, LOOKS[panel].unit,
                  place->high);
    buffer_format(out,
                  "plot DATA binary array=(%d,%d) format='%%float' skip=%zu origin=(%.9g,%.9g) "
                  "dx=%.9g dy=%.9g using 1 with image notitle\n",
                  place->columns, rows, skip, place->seconds / 2, place->first_row, place->seconds,
                  place->row);
}

// Means of `fold` columns each; of the waveform, lowest and highest.
static void add_values(const Portrait *portrait, int panel, const float *values, int32_t rows,
                       int32_t fold, Buffer *data) {
    int32_t columns = portrait->columns;
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t first = 0; first < columns; first += fold) {
            int32_t count = columns - first < fold ? columns - first : fold;
            float low = INFINITY, high = -INFINITY, sum = 0;
            for (int32_t c = first; c < first + count; c++) {
                low = fminf(low, panel == PANEL_WAVEFORM ? portrait->low[c] : 0);
                high = fmaxf(high, panel == PANEL_WAVEFORM ? portrait->high[c] : 0);
                sum += values[r * columns + c];
            }
            float out[2] = {panel == PANEL_WAVEFORM ? low : sum / (float)count, high};
            buffer_append(data, out, (panel == PANEL_WAVEFORM ? 2 : 1) * sizeof out[0]);
        }
    }
}

static int list_panels(const Portrait *portrait, unsigned wanted, int out[CLIP_PANELS]) {
    int count = 0;
    for (int p = 0; p < CLIP_PANELS; p++) {
        int32_t rows;
        if ((wanted & 1u << p) != 0 && panel_values(portrait, p, &rows) != NULL) {
            out[count++] = p;
        }
    }
    return count;
}

uint32_t clip_picture_add(PlotSet *set, const Portrait *portrait, unsigned panels,
                          const ClipScale *scale, int32_t n_mels) {
    int list[CLIP_PANELS], count = list_panels(portrait, panels, list);
    if (count == 0) {
        return PLOT_NONE;
    }
    int height = count * (PANEL_HIGH + GAP_HIGH) + FOOT_HIGH - PANEL_HIGH / 4;
    bool has_time = portrait->seconds > 0;
    int32_t fold = (portrait->columns + COLUMNS - 1) / COLUMNS;
    Place place = {.columns = (portrait->columns + fold - 1) / fold,
                   .seconds = (has_time ? portrait->seconds / portrait->columns : 1) * fold};
    double panel_share = (double)(height - FOOT_HIGH - count * GAP_HIGH) / count / height;
    Buffer script = BUFFER_EMPTY, data = BUFFER_EMPTY;
    buffer_format(&script,
                  "unset grid\nset border 3\nset tics out\nset multiplot\nset lmargin at screen "
                  "0.125\nset rmargin at screen 0.87\nset xrange [0:%.9g]\n",
                  place.seconds * portrait->columns / fold);
    for (int i = 0; i < count; i++) {
        int32_t rows;
        const float *values = panel_values(portrait, list[i], &rows);
        size_t skip = data.size;
        place.high = 1 - (i + 1) * (double)GAP_HIGH / height - i * panel_share;
        place.low = place.high - panel_share;
        place_rows(portrait, list[i], rows, n_mels, &place);
        add_values(portrait, list[i], values, rows, fold, &data);
        frame_panel(list[i], &place, i + 1 == count, has_time, &script);
        if (list[i] == PANEL_WAVEFORM) {
            draw_waveform(&place, scale, skip, &script);
        } else {
            draw_image(list[i], rows, &place, scale, skip, &script);
        }
    }
    buffer_text(&script, "unset multiplot\n");
    uint32_t number = plot_add(set, WIDE, height, &script, &data);
    buffer_done(&script);
    buffer_done(&data);
    return number;
}
