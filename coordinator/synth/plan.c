// SPDX-License-Identifier: Apache-2.0
#include "coordinator/synth/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/base/text.h"

#define NAMES_MAX 10

// The challenge's own machine names, so that what is made looks like what will come.
static const struct {
    int32_t year;
    const char *dev[NAMES_MAX];
    const char *eval[NAMES_MAX]; // empty: those of dev
} years[] = {
    {2020, {"fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor"}, {NULL}},
    {2021, {"fan", "gearbox", "pump", "slider", "valve", "ToyCar", "ToyTrain"}, {NULL}},
    {2022, {"fan", "gearbox", "bearing", "slider", "valve", "ToyCar", "ToyTrain"}, {NULL}},
    {2023,
     {"fan", "gearbox", "bearing", "slider", "valve", "ToyCar", "ToyTrain"},
     {"Vacuum", "ToyTank", "ToyNscale", "ToyDrone", "bandsaw", "grinder", "shaker"}},
    {2024,
     {"fan", "gearbox", "bearing", "slider", "valve", "ToyCar", "ToyTrain"},
     {"3DPrinter", "AirCompressor", "Scanner", "ToyCircuit", "HoveringDrone", "HairDryer",
      "ToothBrush", "RoboticArm", "BrushlessMotor"}},
    {2025,
     {"fan", "gearbox", "bearing", "slider", "valve", "ToyCar", "ToyTrain"},
     {"ToyRCCar", "ToyPet", "HomeCamera", "AutoTrash", "Polisher", "ScrewFeeder", "BandSealer",
      "CoffeeGrinder"}},
    {2026,
     {"fan", "gearboxEmu", "bearingEmu", "sliderEmu", "valveEmu", "ToyCar", "ToyCarEmu"},
     {"ToyDrone", "ToothBrush", "SewingMachine", "BlowerDustCollector", "Sander"}},
};

static const char *const *names_of(int32_t year, bool eval) {
    int index = year - SYNTH_YEAR_FIRST;
    return eval && years[index].eval[0] != NULL ? years[index].eval : years[index].dev;
}

uint32_t plan_machines_known(int32_t year, bool eval) {
    const char *const *names = names_of(year, eval);
    uint32_t count = 0;
    while (count < NAMES_MAX && names[count] != NULL) {
        count++;
    }
    return count;
}

PlanMachine plan_machine(const SynthOptions *options, bool eval, uint32_t index) {
    PlanMachine machine = {.options = options, .eval = eval};
    machine.name =
        options->machines != NULL ? options->machines[index] : names_of(options->year, eval)[index];
    machine.hides_attributes = options->year >= 2024 && index % 3 == 2;
    return machine;
}

int32_t plan_section_count(int32_t year) {
    return year == 2020 ? 2 : year <= 2022 ? 3 : 1;
}

// 2020: ids 00 and 02, eval 01 and 03. To 2022: 00 to 02, eval 03 to 05. Then only 00.
int32_t plan_section(int32_t year, bool eval, int32_t k) {
    return year == 2020 ? 2 * k + eval : year <= 2022 ? k + 3 * eval : 0;
}

static uint32_t supplemental_count(const SynthOptions *options) {
    return options->year >= 2025 ? ((uint32_t)options->train + 9) / 10 : 0;
}

uint32_t plan_clip_count(const SynthOptions *options) {
    return (uint32_t)options->train + (uint32_t)options->test + supplemental_count(options);
}

// The index-th of `count` clips dealt out to sections in runs: section k gets count / sections of
// them, the first ones one more. Returns the place within the section.
static uint32_t deal(uint32_t count, uint32_t sections, uint32_t index, int32_t *ret_k,
                     uint32_t *ret_of) {
    for (uint32_t k = 0;; k++) {
        uint32_t share = count / sections + (k < count % sections);
        if (index < share || k + 1 == sections) {
            *ret_k = (int32_t)k;
            *ret_of = share;
            return index;
        }
        index -= share;
    }
}

static const char *extension(const PlanMachine *machine) {
    return machine->options->npy ? ".npy" : ".wav";
}

// What a labelled name says of the conditions, with the '_' before it.
static void attribute_text(const PlanMachine *machine, const PlanClip *clip, char *out,
                           size_t size) {
    if (machine->hides_attributes) {
        text_copy(out, size, "_noAttributes");
    } else {
        snprintf(out, size, "_spd_%d_mic_%d", clip->speed, clip->microphone);
    }
}

// The labelled name; in 2021 hidden ones still showed the domain, and test clips no attributes.
static void name_true(const PlanMachine *machine, PlanClip *clip, uint32_t serial) {
    int32_t year = machine->options->year;
    const char *label = clipname_label_text(clip->label);
    char attributes[64] = "";
    if (year == 2020) {
        snprintf(clip->true_name, sizeof clip->true_name, "%s_id_%02d_%08" PRIu32 "%s", label,
                 clip->section, serial, extension(machine));
        return;
    }
    if (year > 2021 || clip->split == SPLIT_TRAIN) {
        attribute_text(machine, clip, attributes, sizeof attributes);
    }
    snprintf(clip->true_name, sizeof clip->true_name, "section_%02d_%s_%s_%s_%04" PRIu32 "%s%s",
             clip->section, clipname_domain_text(clip->domain), clipname_split_text(clip->split),
             label, serial, attributes, extension(machine));
}

static void name_hidden(const PlanMachine *machine, PlanClip *clip, uint32_t serial) {
    int32_t year = machine->options->year;
    if (year == 2020) {
        snprintf(clip->name, sizeof clip->name, "id_%02d_%08" PRIu32 "%s", clip->section, serial,
                 extension(machine));
    } else if (year == 2021) {
        snprintf(clip->name, sizeof clip->name, "section_%02d_%s_test_%04" PRIu32 "%s",
                 clip->section, clipname_domain_text(clip->domain), serial, extension(machine));
    } else {
        snprintf(clip->name, sizeof clip->name, "section_%02d_%04" PRIu32 "%s", clip->section,
                 serial, extension(machine));
    }
}

Rng plan_rng(const PlanMachine *machine, const PlanClip *clip, const char *purpose) {
    char place[LIMIT_NAME_BYTES + 8];
    snprintf(place, sizeof place, "%s/%s", machine->eval ? "eval" : "dev", machine->name);
    // The extension is no part of it: a .npy is of the sound its .wav would hold.
    char stem[LIMIT_NAME_BYTES];
    text_copy(stem, sizeof stem, clip->true_name);
    stem[strlen(stem) - strlen(extension(machine))] = '\0';
    return rng_of(machine->options->seed, purpose, sound_hash(place), sound_hash(stem));
}

static void set_conditions(PlanClip *clip, uint32_t serial) {
    bool target = clip->domain == DOMAIN_TARGET;
    clip->speed = target ? 4 + (int32_t)(serial % 2) : 1 + (int32_t)(serial % 3);
    clip->microphone = target ? 2 : 1;
}

static void set_fault(const PlanMachine *machine, PlanClip *clip) {
    if (clip->label == LABEL_ANOMALY) {
        Rng rng = plan_rng(machine, clip, "synth-fault");
        clip->fault = (SoundFault)(1 + rng_below(&rng, FAULT_COUNT - 1));
        clip->severity = 0.15 + 0.85 * rng_uniform(&rng);
    }
}

// One in a hundred training clips is of the target domain, as in the challenge, and at least one
// where there are two or more.
static PlanClip plan_train(const PlanMachine *machine, uint32_t index) {
    const SynthOptions *options = machine->options;
    PlanClip clip = {.folder = "train", .split = SPLIT_TRAIN, .label = LABEL_NORMAL};
    int32_t k;
    uint32_t count;
    uint32_t place = deal((uint32_t)options->train, (uint32_t)plan_section_count(options->year),
                          index, &k, &count);
    uint32_t targets = options->year == 2020 || count < 2 ? 0 : (count + 99) / 100;
    bool target = place >= count - targets;
    uint32_t serial = target ? place - (count - targets) : place;
    clip.section = plan_section(options->year, machine->eval, k);
    clip.domain = options->year == 2020 ? DOMAIN_UNKNOWN : target ? DOMAIN_TARGET : DOMAIN_SOURCE;
    set_conditions(&clip, serial);
    name_true(machine, &clip, serial);
    text_copy(clip.name, sizeof clip.name, clip.true_name);
    return clip;
}

static const char *test_folder_of(int32_t year, ClipDomain domain) {
    return year != 2021 ? "test" : domain == DOMAIN_TARGET ? "target_test" : "source_test";
}

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// The anonymous number of the place-th of `count` test clips: a permutation of 0 .. count-1, so
// that the order tells nothing. A cyclic walk with a step prime to count needs no table.
static uint32_t hidden_serial(const PlanMachine *machine, int32_t section, uint32_t place,
                              uint32_t count) {
    Rng rng =
        rng_of(machine->options->seed, "synth-order", sound_hash(machine->name), (uint64_t)section);
    uint32_t first = rng_below(&rng, count);
    uint32_t step = 1 + rng_below(&rng, count);
    while (common_divisor(step, count) != 1) {
        step++;
    }
    return (uint32_t)((first + (uint64_t)step * place) % count);
}

// Where a test clip stands among those that are numbered together: a section's, in 2021 those of
// one domain of it. Domains change with every second clip.
static void numbered_place(int32_t year, uint32_t *place, uint32_t *count) {
    if (year == 2021) {
        bool is_target = *place / 2 % 2 == 1;
        uint32_t rest = *count % 4;
        uint32_t of_rest = is_target ? (rest > 2 ? rest - 2 : 0) : (rest < 2 ? rest : 2);
        *count = *count / 4 * 2 + of_rest;
        *place = *place / 4 * 2 + *place % 2;
    }
}

static PlanClip plan_test(const PlanMachine *machine, uint32_t index) {
    const SynthOptions *options = machine->options;
    int32_t year = options->year, k;
    uint32_t count;
    uint32_t place =
        deal((uint32_t)options->test, (uint32_t)plan_section_count(year), index, &k, &count);
    PlanClip clip = {.split = SPLIT_TEST};
    clip.label = place % 2 == 0 ? LABEL_NORMAL : LABEL_ANOMALY;
    clip.domain = year == 2020         ? DOMAIN_UNKNOWN
                  : place / 2 % 2 == 0 ? DOMAIN_SOURCE
                                       : DOMAIN_TARGET;
    uint32_t serial = year == 2020 ? place / 2 : place / 4;
    clip.section = plan_section(year, machine->eval, k);
    text_copy(clip.folder, sizeof clip.folder, test_folder_of(year, clip.domain));
    set_conditions(&clip, serial);
    name_true(machine, &clip, serial);
    set_fault(machine, &clip);
    if (machine->eval) {
        numbered_place(year, &place, &count);
        name_hidden(machine, &clip, hidden_serial(machine, clip.section, place, count));
    } else {
        text_copy(clip.name, sizeof clip.name, clip.true_name);
    }
    return clip;
}

static PlanClip plan_supplemental(const PlanMachine *machine, uint32_t index) {
    PlanClip clip = {.folder = "supplemental", .split = SPLIT_SUPPLEMENTAL};
    bool noise = index % 2 == 1;
    clip.parts = noise ? SOUND_ROOM : SOUND_MACHINE;
    clip.domain = DOMAIN_SOURCE;
    set_conditions(&clip, index / 2);
    clip.domain = DOMAIN_UNKNOWN;
    snprintf(clip.true_name, sizeof clip.true_name, "section_00_%s_%04" PRIu32 "_%s",
             noise ? "noise" : "machine", index / 2 + 1, extension(machine));
    text_copy(clip.name, sizeof clip.name, clip.true_name);
    return clip;
}

PlanClip plan_clip(const PlanMachine *machine, uint32_t index) {
    uint32_t train = (uint32_t)machine->options->train, test = (uint32_t)machine->options->test;
    if (index < train) {
        return plan_train(machine, index);
    }
    return index < train + test ? plan_test(machine, index - train)
                                : plan_supplemental(machine, index - train - test);
}
