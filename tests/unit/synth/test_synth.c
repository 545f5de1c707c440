// SPDX-License-Identifier: Apache-2.0
#include "coordinator/synth/synth.h"

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/engine/clip.h"
#include "common/store/csv.h"
#include "common/store/npy.h"
#include "coordinator/dataset/dataset.h"
#include "tests/unit/test.h"

static char tree[256];
static char out[512];

// Small and quick: a quarter of a second.
static SynthOptions begin(void) {
    snprintf(tree, sizeof tree, "%s", test_folder());
    snprintf(out, sizeof out, "%s/set", tree);
    SynthOptions options = synth_defaults();
    options.out = out;
    options.train = 6;
    options.test = 8;
    options.seconds = 0.25;
    return options;
}

static void end(void) {
    CHECK_OK(file_remove_tree(tree));
}

static Dataset *scan_out(void) {
    const char *roots[] = {out};
    DatasetOptions options = {.roots = roots, .root_count = 1};
    Dataset *dataset = NULL;
    CHECK_OK(dataset_scan(&options, &dataset));
    return dataset;
}

static void read_clip(const char *path, Buffer *bytes) {
    char full[LIMIT_PATH_BYTES];
    CHECK_OK(file_join(full, sizeof full, out, path));
    CHECK_OK(file_read(full, LIMIT_CLIP_BYTES, bytes));
}

static Digest digest_of_tree(void) {
    Dataset *dataset = scan_out();
    DigestStream *stream = digest_begin();
    Buffer bytes = BUFFER_EMPTY;
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        read_clip(dataset->clips[i].path, &bytes);
        digest_add_text(stream, dataset->clips[i].path);
        digest_add(stream, bytes.bytes, bytes.size);
    }
    buffer_done(&bytes);
    dataset_free(dataset);
    return digest_end(stream);
}

// Labels and domains that a set of one machine must show.
static void check_machine(const Dataset *dataset, const Machine *machine, int32_t year) {
    bool eval = machine->set == SET_EVAL;
    uint32_t labels[3] = {0}, domains[3] = {0}, attributes = 0;
    for (uint32_t i = 0; i < machine->clip_count; i++) {
        const Clip *clip = &dataset->clips[machine->first_clip + i];
        CHECK(clip->left_out == NULL);
        CHECK(clip->keyword == (year == 2020 ? KEYWORD_ID : KEYWORD_SECTION));
        if (clip->split == SPLIT_TEST) {
            labels[clip->label]++;
            domains[clip->domain]++;
        }
        attributes += clip->split == SPLIT_TRAIN && clip->attribute_count == 2;
    }
    CHECK_INT(machine->train_count, 12);
    CHECK_INT(machine->test_count, 24);
    CHECK_INT(machine->supplemental_count, year >= 2025 ? 2 : 0);
    CHECK_INT(labels[LABEL_UNKNOWN], eval ? 24 : 0);
    CHECK_INT(labels[LABEL_ANOMALY], eval ? 0 : 12);
    bool domains_shown = year == 2021 || (year > 2021 && !eval);
    CHECK_INT(domains[DOMAIN_TARGET], domains_shown ? 12 : 0);
    CHECK(year == 2020 || attributes == 12 || attributes == 0);
}

TEST(every_year_is_what_a_scan_expects) {
    for (int32_t year = SYNTH_YEAR_FIRST; year <= SYNTH_YEAR_LAST; year++) {
        SynthOptions options = begin();
        options.year = year;
        options.machine_count = 3;
        options.train = 12;
        options.test = 24;
        options.seconds = 0.05;
        CHECK_OK(synth_write(&options));
        Dataset *dataset = scan_out();
        CHECK_INT(dataset->clip_count, synth_clip_count(&options));
        CHECK_INT(dataset->machine_count, 6);
        if (dataset->warning_count > 0) {
            TEST_FAIL("%d: %s", year, dataset->warnings[0]);
        }
        for (uint32_t i = 0; i < dataset->machine_count; i++) {
            CHECK_INT(dataset->machines[i].set, i < 3 ? SET_DEV : SET_EVAL);
            check_machine(dataset, &dataset->machines[i], year);
        }
        dataset_free(dataset);
        end();
    }
}

TEST(same_options_give_the_same_bytes_and_another_seed_others) {
    SynthOptions options = begin();
    CHECK_OK(synth_write(&options));
    Digest first = digest_of_tree();
    CHECK_OK(file_remove_tree(out));
    CHECK_OK(synth_write(&options));
    Digest again = digest_of_tree();
    CHECK(digest_equal(first, again));
    CHECK_OK(file_remove_tree(out));
    options.seed++;
    CHECK_OK(synth_write(&options));
    again = digest_of_tree();
    CHECK(!digest_equal(first, again));
    end();
}

// A change of these bytes changes every published figure about synthetic data: it belongs into the
// change log. They must also be the same on every processor.
TEST(bytes_are_those_of_this_release) {
    SynthOptions options = begin();
    options.seconds = 2;
    CHECK_OK(synth_write(&options));
    char text[DIGEST_TEXT_BYTES];
    digest_text(digest_of_tree(), text);
    CHECK_TEXT(text, "6fb4353531a81ae4d4c0623d80f40720");
    end();
}

TEST(clip_does_not_depend_on_the_others) {
    static const char path[] =
        "dev_data/raw/fan/train/section_00_source_train_normal_0002_spd_3_mic_1.wav";
    SynthOptions options = begin();
    Buffer few = BUFFER_EMPTY, many = BUFFER_EMPTY;
    CHECK_OK(synth_write(&options));
    read_clip(path, &few);
    CHECK_OK(file_remove_tree(out));
    options.train = 9;
    options.test = 0;
    options.machine_count = 1;
    options.eval = false;
    CHECK_OK(synth_write(&options));
    read_clip(path, &many);
    CHECK_INT(few.size, many.size);
    CHECK(memcmp(few.bytes, many.bytes, few.size) == 0);
    buffer_done(&few);
    buffer_done(&many);
    end();
}

TEST(no_two_clips_sound_alike) {
    SynthOptions options = begin();
    CHECK_OK(synth_write(&options));
    Dataset *dataset = scan_out();
    Digest digests[64];
    Buffer bytes = BUFFER_EMPTY;
    CHECK(dataset->clip_count <= 64);
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        read_clip(dataset->clips[i].path, &bytes);
        digests[i] = digest_of(bytes.bytes, bytes.size);
        for (uint32_t k = 0; k < i; k++) {
            CHECK(!digest_equal(digests[i], digests[k]));
        }
    }
    buffer_done(&bytes);
    dataset_free(dataset);
    end();
}

TEST(sound_files_have_rate_channels_and_length) {
    SynthOptions options = begin();
    options.year = 2026;
    options.channels = 2;
    options.rate_hz = 22050;
    CHECK_OK(synth_write(&options));
    Dataset *dataset = scan_out();
    Buffer bytes = BUFFER_EMPTY;
    read_clip(dataset->clips[0].path, &bytes);
    CHECK_INT(bytes.size, 44 + 2 * 2 * 5513); // 0.25 * 22050 = 5512.5, rounded up
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures facts;
    CHECK_OK(clip_probe(extractor, "x.wav", bytes.bytes, bytes.size, &facts));
    CHECK_INT(facts.rate_hz, 22050);
    CHECK_INT(facts.channels, 2);
    CHECK(!facts.is_silent);
    int different = 0;
    for (size_t i = 44; i < bytes.size; i += 4) {
        different += memcmp(bytes.bytes + i, bytes.bytes + i + 2, 2) != 0;
    }
    CHECK(different > 5000);
    clip_features_done(&facts);
    clip_extractor_free(extractor);
    buffer_done(&bytes);
    dataset_free(dataset);
    end();
}

TEST(npy_is_the_log_mel_of_the_sound) {
    static const char stem[] = "eval_data/raw/Vacuum/test/section_00_0003";
    char path[256];
    SynthOptions options = begin();
    Buffer wav = BUFFER_EMPTY, npy = BUFFER_EMPTY;
    CHECK_OK(synth_write(&options));
    snprintf(path, sizeof path, "%s.wav", stem);
    read_clip(path, &wav);
    CHECK_OK(file_remove_tree(out));
    options.npy = true;
    CHECK_OK(synth_write(&options));
    snprintf(path, sizeof path, "%s.npy", stem);
    read_clip(path, &npy);
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures sound, ready;
    CHECK_OK(clip_extract(extractor, "x.wav", wav.bytes, wav.size, &sound));
    CHECK_OK(clip_extract(extractor, "x.npy", npy.bytes, npy.size, &ready));
    CHECK_INT(ready.frames, 1 + 4000 / 512);
    CHECK_INT(ready.frames, sound.frames);
    CHECK(memcmp(ready.log_mel, sound.log_mel,
                 (size_t)sound.frames * 128 * sizeof *sound.log_mel) == 0);
    clip_features_done(&sound);
    clip_features_done(&ready);
    clip_extractor_free(extractor);
    buffer_done(&wav);
    buffer_done(&npy);
    end();
}

// Reads eval_data_list and returns the number of anomalies; every hidden clip must stand in it.
static uint32_t check_truth(int32_t year, uint32_t machines, uint32_t clips) {
    char name[64], path[LIMIT_PATH_BYTES], machine[LIMIT_NAME_BYTES] = "";
    snprintf(name, sizeof name, "eval_data_list_%d.csv", year);
    CHECK_OK(file_join(path, sizeof path, out, name));
    CsvReader *csv;
    CHECK_OK(csv_reader_open(path, &csv));
    CsvRow row;
    uint32_t anomalies = 0, rows = 0, heads = 0;
    while (csv_reader_next(csv, &row) == STATUS_OK && row.count > 0) {
        if (row.count == 1) {
            heads++;
            snprintf(machine, sizeof machine, "%s", row.fields[0]);
            continue;
        }
        CHECK_INT(row.count, year == 2020 ? 3 : 2);
        ClipName hidden = clipname_read(row.fields[0]), told = clipname_read(row.fields[1]);
        snprintf(path, sizeof path, "%s/eval_data/raw/%s/%s/%s", out, machine,
                 year != 2021                   ? "test"
                 : told.domain == DOMAIN_TARGET ? "target_test"
                                                : "source_test",
                 row.fields[0]);
        CHECK(file_exists(path));
        CHECK_INT(hidden.label, LABEL_UNKNOWN);
        CHECK_TEXT(hidden.section, told.section);
        anomalies += told.label == LABEL_ANOMALY;
        if (year == 2020) {
            CHECK_TEXT(row.fields[2], told.label == LABEL_ANOMALY ? "1" : "0");
        }
        rows++;
    }
    CHECK_INT(heads, machines);
    CHECK_INT(rows, clips);
    csv_reader_free(csv);
    return anomalies;
}

TEST(truth_names_every_hidden_clip) {
    for (int32_t year = 2020; year <= 2024; year++) {
        SynthOptions options = begin();
        options.year = year;
        options.test = 24;
        options.seconds = 0.05;
        CHECK_OK(synth_write(&options));
        CHECK_INT(check_truth(year, 2, 48), 24);
        end();
    }
}

// A yardstick without any network: the steps from mel band to mel band of the clip's mean log-mel,
// which do not change with the distance of the machine, against those of the training clips.
#define STEPS 127

static void steps_of(const NpyArray *clip, double steps[STEPS]) {
    double levels[STEPS + 1] = {0};
    for (int64_t i = 0; i < clip->count; i++) {
        levels[i % 128] += ((const float *)clip->data)[i] / (double)clip->shape[0];
    }
    for (int b = 0; b < STEPS; b++) {
        steps[b] = levels[b + 1] - levels[b];
    }
}

static double distance(const NpyArray *clip, const double *mean, const double *spread) {
    double steps[STEPS], sum = 0;
    steps_of(clip, steps);
    for (int b = 0; b < STEPS; b++) {
        double off = (steps[b] - mean[b]) / spread[b];
        sum += off * off;
    }
    return sum;
}

static void add_steps(const NpyArray *clip, double *sums, double *squares) {
    double steps[STEPS];
    steps_of(clip, steps);
    for (int b = 0; b < STEPS; b++) {
        sums[b] += steps[b];
        squares[b] += steps[b] * steps[b];
    }
}

static void load(const Clip *clip, NpyArray *array) {
    char path[LIMIT_PATH_BYTES];
    CHECK_OK(file_join(path, sizeof path, out, clip->path));
    CHECK_OK(npy_read(path, array));
}

TEST(anomalies_can_be_heard_but_not_all) {
    SynthOptions options = begin();
    options.npy = true;
    options.eval = false;
    options.train = 40;
    options.test = 80;
    options.seconds = 2;
    options.machine_count = 1;
    CHECK_OK(synth_write(&options));
    Dataset *dataset = scan_out();
    double mean[STEPS] = {0}, spread[STEPS] = {0}, scores[2][64];
    int counts[2] = {0};
    for (uint32_t i = 0; i < 40; i++) {
        NpyArray array;
        load(&dataset->clips[i], &array);
        add_steps(&array, mean, spread);
        npy_done(&array);
    }
    for (int b = 0; b < STEPS; b++) {
        mean[b] /= 40;
        spread[b] = sqrt(spread[b] / 40 - mean[b] * mean[b]);
    }
    for (uint32_t i = 40; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        if (clip->domain == DOMAIN_SOURCE) {
            NpyArray array;
            load(clip, &array);
            int label = clip->label == LABEL_ANOMALY;
            scores[label][counts[label]++] = distance(&array, mean, spread);
            npy_done(&array);
        }
    }
    double wins = 0;
    for (int a = 0; a < counts[1]; a++) {
        for (int n = 0; n < counts[0]; n++) {
            wins += scores[1][a] > scores[0][n];
        }
    }
    double auc = wins / (counts[0] * counts[1]);
    CHECK_INT(counts[0], 20);
    CHECK_INT(counts[1], 20);
    if (!(auc > 0.65 && auc < 0.99)) {
        TEST_FAIL("AUC is %g, expected 0.65 to 0.99", auc);
    }
    dataset_free(dataset);
    end();
}

TEST(nothing_is_written_over) {
    SynthOptions options = begin();
    CHECK_OK(file_make_folders(out));
    CHECK_OK(synth_write(&options)); // an empty folder will do
    CHECK_INT(synth_write(&options), STATUS_INVALID);
    CHECK_HAS(status_message(), "is not empty");
    CHECK_OK(file_remove_tree(out));
    CHECK_OK(file_write(out, "x", 1));
    CHECK_INT(synth_write(&options), STATUS_IO);
    end();
}

TEST(values_out_of_range_name_the_range) {
    SynthOptions good = begin();
    struct {
        SynthOptions options;
        const char *message;
    } cases[12];
    for (size_t i = 0; i < 12; i++) {
        cases[i].options = good;
    }
    static const char *const twice[] = {"a", "a"}, *const path[] = {"a", "../b"};
    cases[0].options.year = 2019, cases[0].message = "year is 2019, accepted are 2020 to 2026";
    cases[1].options.train = -1, cases[1].message = "training clips";
    cases[2].options.test = 2000000, cases[2].message = "test clips";
    cases[3].options.seconds = NAN, cases[3].message = "seconds is nan";
    cases[4].options.rate_hz = 0, cases[4].message = "rate";
    cases[5].options.channels = 9, cases[5].message = "channels is 9, accepted are 1 to 8";
    cases[6].options.machine_count = 8, cases[6].message = "accepted are 1 to 7";
    cases[7].options.machine_count = 0, cases[7].message = "number of machines";
    cases[8].options.machines = twice, cases[8].message = "named twice";
    cases[9].options.machines = path, cases[9].message = "'../b'";
    cases[10].options.dev = cases[10].options.eval = false, cases[10].message = "no set";
    cases[11].options.train = cases[11].options.test = 0, cases[11].message = "neither";
    for (size_t i = 0; i < 12; i++) {
        CHECK_INT(synth_write(&cases[i].options), STATUS_INVALID);
        CHECK_HAS(status_message(), cases[i].message);
    }
    CHECK(!file_exists(out));
    end();
}

TEST(failing_allocations_leak_nothing) {
    SynthOptions options = begin();
    options.machine_count = 1;
    options.train = options.test = 1;
    options.seconds = 0.05;
    options.npy = true;
    long blocks = mem_blocks();
    long successes = 0;
    for (;; successes++) {
        mem_fail_after(successes);
        Status status = synth_write(&options);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), blocks);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK_OK(file_remove_tree(out));
    }
    CHECK(successes > 5);
    end();
}

// clang-format off
TEST_MAIN_LIST(
    T(every_year_is_what_a_scan_expects)
    T(same_options_give_the_same_bytes_and_another_seed_others)
    T(bytes_are_those_of_this_release)
    T(clip_does_not_depend_on_the_others)
    T(no_two_clips_sound_alike)
    T(sound_files_have_rate_channels_and_length)
    T(npy_is_the_log_mel_of_the_sound)
    T(truth_names_every_hidden_clip)
    T(anomalies_can_be_heard_but_not_all)
    T(nothing_is_written_over)
    T(values_out_of_range_name_the_range)
    T(failing_allocations_leak_nothing))
