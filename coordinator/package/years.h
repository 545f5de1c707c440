// SPDX-License-Identifier: Apache-2.0
//
// Which machines and sections each year of the challenge wants scores for, and how many test clips
// they have: what a package is held against when no data are at hand. Pure functions, any thread.
#ifndef AUSCULT_PACKAGE_YEARS_H
#define AUSCULT_PACKAGE_YEARS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/eval/clipname.h"

enum { YEAR_FIRST = 2020, YEAR_LAST = 2026 };

typedef struct YearMachine {
    const char *name;        // NULL ends a list
    const char *sections[4]; // NULL ends them
} YearMachine;

// What to say where year_from_text is false.
#define YEAR_WANTED "--year is one of 2020 to 2026"
// Whether the text is one of these years.
bool year_from_text(const char *text, int *ret_year);

// The evaluation set's machines; NULL for a year that is not known.
const YearMachine *year_machines(int year);
// The machine of that name, NULL when the year has none; and the name that looks most like it, NULL
// when none does.
const YearMachine *year_find(int year, const char *name);
const char *year_nearest(int year, const char *name);
// The files that a year wants of each section: writes them to `out`, says how many, 1 or 2.
size_t year_files(int year, ClipFile out[2]);
// Whether it wants decisions, too: 2020 asked for scores alone.
bool year_has_decisions(int year);
// Test clips of one file where every one has as many (2021, 2023 and later: 200), else 0.
size_t year_clips(int year);

#endif
