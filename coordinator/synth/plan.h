// SPDX-License-Identifier: Apache-2.0
//
// Which clips a synthetic machine has, how they are called in which year, and what is wrong with
// them. No sound, no disk. Any thread.
#ifndef AUSCULT_COORDINATOR_SYNTH_PLAN_H
#define AUSCULT_COORDINATOR_SYNTH_PLAN_H

#include "common/base/limits.h"
#include "common/eval/clipname.h"
#include "coordinator/synth/sound.h"
#include "coordinator/synth/synth.h"

typedef struct PlanClip {
    char folder[16];                  // "train", "test", "source_test", ...
    char name[LIMIT_NAME_BYTES];      // of the file, with extension
    char true_name[LIMIT_NAME_BYTES]; // what it is called where nothing is hidden
    int32_t section;
    ClipSplit split;
    ClipDomain domain;  // DOMAIN_UNKNOWN in 2020
    ClipLabel label;    // LABEL_UNKNOWN for supplemental clips
    int32_t speed;      // attribute spd
    int32_t microphone; // attribute mic
    SoundParts parts;
    SoundFault fault;
    double severity;
} PlanClip;

typedef struct PlanMachine {
    const SynthOptions *options;
    const char *name;
    bool eval;
    bool hides_attributes; // written noAttributes, as some machines do since 2024
} PlanMachine;

// The index-th machine of a set.
PlanMachine plan_machine(const SynthOptions *options, bool eval, uint32_t index);
// Machines that the year has in each set; more than that need names.
uint32_t plan_machines_known(int32_t year, bool eval);

uint32_t plan_clip_count(const SynthOptions *options);
// The index-th clip, 0 .. plan_clip_count - 1: training, test, supplemental.
PlanClip plan_clip(const PlanMachine *machine, uint32_t index);

// The random numbers of one clip for one purpose.
Rng plan_rng(const PlanMachine *machine, const PlanClip *clip, const char *purpose);

// Sections of a machine, and the number of the k-th.
int32_t plan_section_count(int32_t year);
int32_t plan_section(int32_t year, bool eval, int32_t k);

#endif
