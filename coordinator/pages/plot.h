// SPDX-License-Identifier: Apache-2.0
//
// Pictures by gnuplot, run as a program: many at once, since starting it costs more than a picture.
// Scripts are ours and hold our words and numbers only; what comes from data are numbers in a file
// beside them, so that no name in data is ever read as a command. Each picture is drawn for light
// and for dark pages. Without gnuplot there are no pictures and a line that says so. The same
// gnuplot and fonts draw the same bytes. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_PLOT_H
#define AUSCULT_COORDINATOR_PAGES_PLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

// Names another gnuplot; set and empty: none is to be run.
#define PLOT_PROGRAM_VARIABLE "AUSCULT_GNUPLOT"

#define PLOT_NONE UINT32_MAX

typedef struct PlotSet PlotSet;
PlotSet *plot_set_new(void); // NULL when out of memory
void plot_set_free(PlotSet *set);

// A picture that is shown half as large as this, and drawn with three quarters of it: one and a
// half pixels for each of the page's, on which a sharper screen shows nothing more. In `script`
// DATA is the name of the file that holds `data`, and FG, SOFT, GRID and C1 to C6 are colours. Both
// are copied. Returns its number, PLOT_NONE when out of memory.
uint32_t plot_add(PlotSet *set, int width, int height, const Buffer *script, const Buffer *data);

// Draws all that were added. What cannot be drawn is missing, and plot_problem says why.
// STATUS_MEMORY; STATUS_STOPPED: a signal asks for an end, and nothing is drawn.
Status plot_draw(PlotSet *set);
// A PNG; empty when it could not be drawn. Borrowed.
const Buffer *plot_png(const PlotSet *set, uint32_t number, bool is_dark);
int plot_width(const PlotSet *set, uint32_t number); // as it was added
int plot_height(const PlotSet *set, uint32_t number);
// Why pictures are missing and what to do, "" when none is; names no path. Borrowed.
const char *plot_problem(const PlotSet *set);

#endif
