// SPDX-License-Identifier: Apache-2.0
//
// What the name of a recording says, for every year of DCASE Task 2 (2020 to 2026): section,
// domain, label, split, number, attributes. A name of any other kind is legal and says nothing.
// Names of ground-truth files, which lack the extension, are read too. Pure functions, any thread.
#ifndef AUSCULT_EVAL_CLIPNAME_H
#define AUSCULT_EVAL_CLIPNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/limits.h"

typedef enum ClipDomain { DOMAIN_UNKNOWN, DOMAIN_SOURCE, DOMAIN_TARGET } ClipDomain;
typedef enum ClipLabel { LABEL_UNKNOWN, LABEL_NORMAL, LABEL_ANOMALY } ClipLabel;
typedef enum ClipSplit { SPLIT_UNKNOWN, SPLIT_TRAIN, SPLIT_TEST, SPLIT_SUPPLEMENTAL } ClipSplit;
// The word that comes before the section: "id" in 2020, "section" since 2021.
typedef enum ClipKeyword { KEYWORD_NONE, KEYWORD_ID, KEYWORD_SECTION } ClipKeyword;

#define CLIPNAME_SECTION_BYTES 16

typedef struct ClipName {
    ClipKeyword keyword;                  // KEYWORD_NONE: the name says nothing, all else is empty
    char section[CLIPNAME_SECTION_BYTES]; // its digits as written ("00"), "" when there are none
    ClipDomain domain;
    ClipLabel label;
    ClipSplit split;                   // as the name says; the folder may say more
    int64_t serial;                    // the clip's number, -1 when there is none
    char attributes[LIMIT_NAME_BYTES]; // "car_C2_spd_34V_mic_1"; "" for none and noAttribute(s)
} ClipName;

// Reads the part of `path` after the last '/'. The domain is target when the name contains
// "target", else source, as in the official baseline; but unknown where there are no domains (2020,
// supplemental clips) or where the name hides them (section_00_0000.wav).
ClipName clipname_read(const char *path);

// Which of the challenge's files of scores and decisions a test clip has its row in: one for each
// section of a machine; in 2020 called after the id; in 2021, whose hidden clips tell their domain
// but no label, one for each domain.
typedef enum ClipFile { FILE_OF_SECTION, FILE_OF_ID, FILE_OF_SOURCE, FILE_OF_TARGET } ClipFile;
ClipFile clipname_file(const char *path);
// What follows the machine in that file's name: "section_00_test", "id_01",
// "section_03_source_test". False when it does not fit.
bool clipname_file_part(ClipFile file, const char *section, char *out, size_t size);

// Whether the name has the extension of a clip: .wav, .flac or .npy, in any case.
bool clipname_is_clip(const char *path);

// The word for a value, "" for unknown; and back: the word's value, unknown for "", -1 for any
// other word.
const char *clipname_domain_text(ClipDomain domain);
const char *clipname_label_text(ClipLabel label);
const char *clipname_split_text(ClipSplit split);
const char *clipname_keyword_text(ClipKeyword keyword);
int clipname_domain_of(const char *word);
int clipname_label_of(const char *word);
int clipname_split_of(const char *word);

#endif
