// SPDX-License-Identifier: Apache-2.0
//
// From what was explored of every clip to what people want to know of a data set: groups, domain
// shift, suspicious clips, a plane of clips, and which clips are typical. Pure: depends on the
// explorations alone, which stand in the dataset's order; every sum runs in that order. Used by the
// tables (coordinator/explore/tables.h) and the pages. Immutable once made: any thread.
#ifndef AUSCULT_COORDINATOR_EXPLORE_SUMMARY_H
#define AUSCULT_COORDINATOR_EXPLORE_SUMMARY_H

#include "common/engine/exploration.h"
#include "coordinator/dataset/dataset.h"

// How one number is distributed over the clips of a group.
typedef struct Spread {
    double least, median, most;
    double mean, deviation; // the deviation divided by count
} Spread;

// Clips of one machine, section, domain, split and label. (set: that of the machine)
typedef struct ExploredGroup {
    uint32_t machine;    // index into Dataset.machines
    const char *section; // borrowed from the dataset; "" when unknown
    ClipDomain domain;
    ClipSplit split;
    ClipLabel label;
    uint32_t count;                      // clips that were explored
    uint32_t sounds;                     // of them sound: what numbers is taken over
    uint32_t rates;                      // different rates
    uint32_t clipped;                    // clips with a clipped run
    uint32_t silent;                     // clips of which 99 % are silent
    double seconds;                      // of all together
    Spread numbers[EXPLORATION_NUMBERS]; // 0 without sound
    double *mean;   // (n_mels) dB, mean of the clips' mean log-mels; owned by the summary
    double *spread; // (n_mels) dB, deviation of the clips' mean log-mels
} ExploredGroup;

typedef enum Suspicion {
    SUSPICION_SILENT,    // 99 % of its blocks below EXPLORATION_SILENCE_DB
    SUSPICION_CLIPPED,   // clipped runs
    SUSPICION_DC,        // a mean of more than 1 % of full scale, and 10 % of the clip's RMS
    SUSPICION_RATE,      // another rate than most clips of its machine
    SUSPICION_LENGTH,    // another length than usual for its machine
    SUSPICION_LEVEL,     // another level than usual: robust z over 6, 3 dB or more
    SUSPICION_DUPLICATE, // the same bytes as another clip
    SUSPICIONS
} Suspicion;
// "silent", "clipped", ... for CSVs.
const char *suspicion_name(Suspicion suspicion);

typedef struct SuspiciousClip {
    uint32_t clip; // index into Dataset.clips
    Suspicion suspicion;
    double value;    // of this clip; for a duplicate 0
    double usual;    // the machine's median, or the bound that was passed
    uint32_t other;  // SUSPICION_DUPLICATE: the first clip with these bytes, else UINT32_MAX
    char reason[96]; // for people: "0.4 % of its samples are clipped"; names no clip
} SuspiciousClip;

// How far source and target lie apart in one number, or one log-mel band, over normal clips of a
// machine: (mean of target - mean of source) / sqrt((variance of source + variance of target) / 2),
// Cohen's d; 0 where both do not vary and are equal, and where they do not vary and differ,
// infinity is not told: the shift is left out.
typedef struct DomainShift {
    uint32_t machine;
    int32_t feature; // ExplorationNumber, or EXPLORATION_NUMBERS + band
    double source, target, shift;
    uint32_t source_count, target_count;
} DomainShift;

// A clip in the plane of the two directions in which the machine's mean log-mels vary most
// (principal components of the covariance; each direction's largest entry is positive).
typedef struct ClipPoint {
    bool is_there;
    double x, y; // dB, along the first and the second direction, from the mean of all clips
} ClipPoint;

typedef struct MachinePlane {
    uint32_t clips;      // that it was made of; fewer than 3: no plane
    double explained[2]; // share of the variance along each direction
} MachinePlane;

// The clip nearest to the median log-mel of its machine's clips of one domain and label.
typedef struct TypicalClip {
    uint32_t clip;
    ClipDomain domain;
    ClipLabel label;
    double distance; // dB, root of the mean squared difference over bands
} TypicalClip;

typedef struct ExploreSummary {
    const Dataset *dataset;          // borrowed
    const Exploration *explorations; // (clips of the dataset) borrowed; n_mels 0: not explored
    int32_t n_mels;
    ExploredGroup *groups; // (group_count) by machine, section, domain, split, label
    uint32_t group_count;
    SuspiciousClip *suspicious; // (suspicious_count) by clip, then suspicion
    uint32_t suspicious_count, suspicious_capacity;
    DomainShift *shifts; // (shift_count) by machine, then feature
    uint32_t shift_count;
    ClipPoint *points;    // (clips of the dataset)
    MachinePlane *planes; // (machines of the dataset)
    TypicalClip *typical; // (typical_count) by machine, label, domain; clips with equal distance by
                          // path
    uint32_t typical_count, typical_capacity;
    double *centres_hz; // (machines of the dataset, n_mels) of the mel bands at the rate of most
                        // of the machine's clips, NaN without sound; NULL before
                        // explore_summary_centres
} ExploreSummary;

// explorations: (clips of the dataset), with n_mels 0 where a clip was not explored; digests:
// (clips of the dataset) of the clips' bytes. STATUS_MEMORY.
Status explore_summary_make(const Dataset *dataset, const Exploration *explorations,
                            const Digest *digests, int32_t n_mels, ExploreSummary *ret);
// Adds the frequencies of the mel bands, as these feature settings have them. STATUS_MEMORY.
Status explore_summary_centres(ExploreSummary *summary, const Settings *settings);
void explore_summary_done(ExploreSummary *summary); // accepts {0}

// By the place of an ordered list: the middle one, or the mean of the two. Sorts `values`.
double explore_median(double *values, size_t count);

#endif
