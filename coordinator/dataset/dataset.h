// SPDX-License-Identifier: Apache-2.0
//
// What there is to listen to: folders of machines, or a manifest, become one sorted table of clips
// with set, machine, section, domain, label, split and attributes. First station of the data's
// path. No clip is opened, but where test_rename/ must be paired by content. A Dataset never
// changes once made, so any thread may read it; build it in one.
#ifndef AUSCULT_COORDINATOR_DATASET_DATASET_H
#define AUSCULT_COORDINATOR_DATASET_DATASET_H

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/eval/clipname.h"

// The worlds that no model mixes. Plain: neither the challenge's development nor evaluation data.
typedef enum ClipSet { SET_DEV, SET_EVAL, SET_PLAIN } ClipSet;

typedef struct ClipAttribute {
    const char *name;  // "spd"
    const char *value; // "34V"
} ClipAttribute;

// All texts are borrowed from the Dataset, UTF-8 without control characters, never NULL except
// left_out.
typedef struct Clip {
    const char *path;                // relative to its root, safe to join to it
    const char *name;                // the part of `path` after the last '/'
    const char *section;             // "00"; "" when unknown
    const ClipAttribute *attributes; // (attribute_count)
    const char *left_out;            // why nothing uses this clip, or NULL
    uint64_t size_bytes;
    int64_t mtime_ns;
    uint32_t attribute_count;
    uint32_t machine; // index into Dataset.machines
    uint32_t root;    // index into DatasetOptions.roots
    ClipKeyword keyword;
    ClipSplit split; // never SPLIT_UNKNOWN
    ClipDomain domain;
    ClipLabel label; // normal for a training clip that says nothing
} Clip;

// Clips first_clip .. first_clip + clip_count - 1 belong to the machine: first its training clips,
// then test, then supplemental ones, each sorted by path. Counts include clips left out, so that
// the others keep their index.
typedef struct Machine {
    const char *name; // one safe path part; unique within its set, not over sets
    ClipSet set;
    int32_t year; // of the challenge, 0 when nothing tells
    uint32_t first_clip;
    uint32_t clip_count;
    uint32_t train_count;
    uint32_t test_count;
    uint32_t supplemental_count;
} Machine;

// Something that was there and is not used.
typedef struct LeftOut {
    int64_t clip;        // index into Dataset.clips, -1 when it did not become one
    const char *machine; // "" when unknown
    const char *path;    // relative to its root, escaped where it was not clean
    const char *reason;  // names no root, so that it may stand in a run's outputs
} LeftOut;

typedef struct DatasetOptions {
    const char *const *roots; // (root_count) folders
    uint32_t root_count;      // 1 .. LIMIT_ROOTS
    const char *manifest;     // a CSV file, or NULL: then the folders are walked
    const char *truth;        // of hidden test clips: file or folder (truth.h), or NULL
} DatasetOptions;

typedef struct Dataset {
    const Clip *clips;            // (clip_count), by set, machine, split, path
    const Machine *machines;      // (machine_count), by set, name
    const LeftOut *left_out;      // (left_out_count)
    const char *const *warnings;  // (warning_count), for people; they name paths as given
    const char *const *notes;     // (note_count), what was understood in an unobvious way
    struct DatasetMemory *memory; // owns everything above
    uint32_t clip_count;
    uint32_t machine_count;
    uint32_t left_out_count;
    uint32_t warning_count;
    uint32_t note_count;
    uint32_t root_count;
} Dataset;

// Without a manifest: every folder below a root, at most LIMIT_DEPTH deep, that has one of train,
// test, source_test, target_test, test_rename, supplemental in it is a machine of that name; the
// .wav, .flac and .npy files in those are its clips. The root may itself be such a folder. Links
// are followed, no folder is read twice. The set comes from folder names on the way (dev_data,
// eval_data, ...), else from the test clips' names. Parts of one machine of one set under several
// roots are joined. The order of roots changes nothing but root indices.
// With a manifest: its rows are the clips, as dataset_write_csv writes them; the columns path,
// machine and split are required, an empty or missing other one is taken from the name, and what
// it says goes before the name. Files are looked at under the roots.
// With a ground truth, test clips that hide their label get it from there (labels.h).
// STATUS_NOT_FOUND: a root or the manifest is not there, or no clips at all; STATUS_FORMAT and
// STATUS_INVALID: the manifest, with its line; STATUS_LIMIT.
Status dataset_scan(const DatasetOptions *options, Dataset **ret_dataset);
void dataset_free(Dataset *dataset);

// Over what results may depend on: set, machine, path, split, section, domain, label, size and
// time of every clip; not over roots.
Status dataset_digest(const Dataset *dataset, Digest *ret_digest);
// The same but for the times, which a copy of the data does not keep.
Status dataset_content_digest(const Dataset *dataset, Digest *ret_digest);

// The manifest: root,path,set,machine,section,domain,label,split,size_bytes,mtime_ns,attributes.
// Attributes are k=v;k=v with '\' before any ';', '=' or '\' inside.
void dataset_write_csv(const Dataset *dataset, Buffer *out);

// "dev", "eval" or "plain"; and back, -1 for any other word.
const char *dataset_set_text(ClipSet set);
int dataset_set_of(const char *word);

#endif
