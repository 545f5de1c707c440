// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/years.h"

#include <string.h>

#include "common/base/text.h"

#define ODD                                                                                        \
    { "01", "03", "05", NULL }
#define LATER                                                                                      \
    { "03", "04", "05", NULL }
#define ONE                                                                                        \
    { "00", NULL }

static const YearMachine OF_2020[] = {{"fan", ODD},
                                      {"pump", ODD},
                                      {"slider", ODD},
                                      {"valve", ODD},
                                      {"ToyCar", {"05", "06", "07", NULL}},
                                      {"ToyConveyor", {"04", "05", "06", NULL}},
                                      {NULL, {NULL}}};
static const YearMachine OF_2021[] = {{"ToyCar", LATER},  {"ToyTrain", LATER}, {"fan", LATER},
                                      {"gearbox", LATER}, {"pump", LATER},     {"slider", LATER},
                                      {"valve", LATER},   {NULL, {NULL}}};
static const YearMachine OF_2022[] = {{"ToyCar", LATER},  {"ToyTrain", LATER}, {"fan", LATER},
                                      {"gearbox", LATER}, {"bearing", LATER},  {"slider", LATER},
                                      {"valve", LATER},   {NULL, {NULL}}};
static const YearMachine OF_2023[] = {{"ToyDrone", ONE}, {"ToyNscale", ONE}, {"ToyTank", ONE},
                                      {"Vacuum", ONE},   {"bandsaw", ONE},   {"grinder", ONE},
                                      {"shaker", ONE},   {NULL, {NULL}}};
static const YearMachine OF_2024[] = {
    {"3DPrinter", ONE},      {"AirCompressor", ONE}, {"Scanner", ONE},    {"ToyCircuit", ONE},
    {"HoveringDrone", ONE},  {"HairDryer", ONE},     {"ToothBrush", ONE}, {"RoboticArm", ONE},
    {"BrushlessMotor", ONE}, {NULL, {NULL}}};
static const YearMachine OF_2025[] = {
    {"ToyRCCar", ONE},   {"ToyPet", ONE},        {"HomeCamera", ONE},
    {"AutoTrash", ONE},  {"Polisher", ONE},      {"ScrewFeeder", ONE},
    {"BandSealer", ONE}, {"CoffeeGrinder", ONE}, {NULL, {NULL}}};
static const YearMachine OF_2026[] = {{"ToyDrone", ONE},      {"ToothBrush", ONE},
                                      {"SewingMachine", ONE}, {"BlowerDustCollector", ONE},
                                      {"Sander", ONE},        {NULL, {NULL}}};

static const YearMachine *const YEARS[] = {OF_2020, OF_2021, OF_2022, OF_2023,
                                           OF_2024, OF_2025, OF_2026};

bool year_from_text(const char *text, int *ret_year) {
    int64_t year;
    if (text_to_int(text, &year) != STATUS_OK || year < YEAR_FIRST || year > YEAR_LAST) {
        return false;
    }
    *ret_year = (int)year;
    return true;
}

const YearMachine *year_machines(int year) {
    return year >= YEAR_FIRST && year <= YEAR_LAST ? YEARS[year - YEAR_FIRST] : NULL;
}

const YearMachine *year_find(int year, const char *name) {
    const YearMachine *machine = year_machines(year);
    while (machine != NULL && machine->name != NULL && strcmp(machine->name, name) != 0) {
        machine++;
    }
    return machine != NULL && machine->name != NULL ? machine : NULL;
}

const char *year_nearest(int year, const char *name) {
    const char *nearest = NULL;
    int least = 4;
    for (const YearMachine *machine = year_machines(year); machine != NULL && machine->name != NULL;
         machine++) {
        int distance = text_distance(machine->name, name);
        if (distance < least) {
            least = distance;
            nearest = machine->name;
        }
    }
    return nearest;
}

size_t year_files(int year, ClipFile out[2]) {
    out[0] = year == 2020 ? FILE_OF_ID : year == 2021 ? FILE_OF_SOURCE : FILE_OF_SECTION;
    out[1] = FILE_OF_TARGET;
    return year == 2021 ? 2 : 1;
}

bool year_has_decisions(int year) {
    return year != 2020;
}

size_t year_clips(int year) {
    return (year >= 2023 && year <= YEAR_LAST) || year == 2021 ? 200 : 0;
}
