// SPDX-License-Identifier: Apache-2.0
//
// Every bound of the program, with its reason. Nothing that comes from a file, a person or the
// network may make us allocate, loop or wait beyond one of these.
#ifndef AUSCULT_BASE_LIMITS_H
#define AUSCULT_BASE_LIMITS_H

#include <stdint.h>

#define LIMIT_MESSAGE_BYTES 1024 // one error message: two paths and a reason
#define LIMIT_PATH_BYTES    4096 // PATH_MAX of Linux
#define LIMIT_NAME_BYTES    256  // NAME_MAX of Linux plus the NUL: machine and file names
#define LIMIT_MACHINE_BYTES 161  // a machine's name: files are named after it, with 73 bytes around
#define LIMIT_LINE_BYTES    65536 // one line of a CSV or configuration file
#define LIMIT_FIELDS        256 // fields of one CSV row: a manifest's columns and 32 attribute pairs
#define LIMIT_DEPTH         16  // folders below a data root; a symlink loop ends here at the latest

#define LIMIT_CONFIG_BYTES (256u << 10) // a configuration file; the official one has 2 KiB
#define LIMIT_SIDE_BYTES   (64u << 20) // an attributes file or manifest: 500,000 clips of 128 bytes
#define LIMIT_CLIPS        4000000u    // clips of one run: ten years of the challenge, ten times
#define LIMIT_MACHINES     65536u      // machines of one run
#define LIMIT_ROOTS        64u         // --data roots of one run
#define LIMIT_ATTRIBUTES   32          // parameter and value pairs of one clip; real sets have 5

#define LIMIT_CLIP_BYTES   (1ull << 30) // one clip's file: 2.4 hours of 16-bit stereo at 32 kHz
#define LIMIT_CLIP_SAMPLES (1ll << 28)  // frames of one clip: 4.6 hours at 16 kHz
#define LIMIT_CHANNELS     64           // channels of one clip
#define LIMIT_RATE_HZ      384000       // the fastest converter sold

#define LIMIT_MELS            1024       // mel bands
#define LIMIT_FFT             65536      // samples of one transform
#define LIMIT_COVARIANCE_MELS 352        // of MAHALA: a shard's sums fit half a message (523 kB)
#define LIMIT_FRAMES          64         // frames stacked in one vector
#define LIMIT_VECTOR          16384      // floats of one vector
#define LIMIT_HIDDEN          15         // hidden layers of a network; the official one has 9
#define LIMIT_PARAMETERS      (1u << 27) // of a network: 512 MiB of float, four blocks of it
#define LIMIT_BATCH           65536      // vectors of one optimiser step
#define LIMIT_SHARDS          64         // logical shards of one model
#define LIMIT_EPOCHS          1000000
#define LIMIT_SEEDS           100 // seeds of one run: deviations over them are known to a tenth long before
#define LIMIT_AXES            8 // settings that vary in one run: a folder is named after all of them
#define LIMIT_AXIS_VALUES     32   // values of one of them
#define LIMIT_SYSTEMS         1000 // of one run: what all the combinations, seeds and scores make
#define LIMIT_SYSTEM_BYTES    128 // a system's name: its folder's, and part of a history's file name
#define LIMIT_WORKERS         1024 // sessions of one coordinator
#define LIMIT_PORTRAITS       576  // of a run, 650 kB each in memory: 64 models with nine

// Of log-mels that a worker keeps unasked: 1,500 clips of 10 s, which is a machine of any year.
#define LIMIT_IDLE_FEATURE_BYTES 256000000u

#define LIMIT_HELLOS            4096u // in a minute: all workers, cut off and back, four times
#define LIMIT_HELLOS_OF_ADDRESS 2048u // of them from one address: a cluster behind a router, twice
#define LIMIT_ADDRESSES         1024u // whose HELLOs are counted in a minute; others wait
#define LIMIT_MESSAGES_A_SECOND                                                                    \
    65536u                    // of a connection: empty tasks make a fifth, a flood the tenfold
#define LIMIT_STRANGERS 2048u // connections that have said nothing: all workers, both lanes

#define LIMIT_PACKAGE_BYTES      (256u << 20) // of a submission package, unpacked: 2020's has 4 MiB
#define LIMIT_PACKAGE_FILE_BYTES (64u << 20)  // of one file in it: a technical report with pictures
#define LIMIT_PACKAGE_ENTRIES    4096u        // files in it: four systems of 2020 have 200
#define LIMIT_FINDINGS           1000u        // that a checker lists; nobody reads more

#endif
