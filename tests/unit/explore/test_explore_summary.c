// SPDX-License-Identifier: Apache-2.0
//
// What is made of explored clips: groups, suspicious clips, domain shift, a plane, typical clips,
// and the tables of all that. The plane against scikit-learn's (tests/golden/make_explore.py).
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/npy.h"
#include "coordinator/explore/closing.h"
#include "coordinator/explore/summary.h"
#include "coordinator/explore/tables.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/explore/"

enum { MOST = 64, BANDS = 4 };

static Clip clips[MOST];
static char paths[MOST][64];
static Machine machine;
static Dataset dataset;
static Exploration explorations[MOST];
static Digest digests[MOST];
static const ClipAttribute SPEED = {"spd", "34,\"V\""};

static void add_clip(ClipDomain domain, ClipLabel label) {
    uint32_t c = dataset.clip_count++;
    snprintf(paths[c], sizeof paths[c], "fan/train/%03u.wav", c);
    clips[c] = (Clip){.path = paths[c],
                      .name = paths[c] + 10,
                      .section = "00",
                      .attributes = &SPEED,
                      .attribute_count = 1,
                      .split = SPLIT_TRAIN,
                      .domain = domain,
                      .label = label};
    machine.clip_count = machine.train_count = dataset.clip_count;
    Exploration *found = &explorations[c];
    CHECK_OK(exploration_init(found, BANDS));
    found->is_sound = true;
    found->numbers[NUMBER_SECONDS] = 10;
    found->numbers[NUMBER_RATE_HZ] = 16000;
    found->numbers[NUMBER_FRAMES] = 313;
    found->numbers[NUMBER_LEVEL_DB] = -20 + 0.1 * (c % 5);
    for (int m = 0; m < BANDS; m++) {
        found->mean[m] = -30 + m + (domain == DOMAIN_TARGET ? 3 : 0) + ((int)c % 3 == m ? 0.5 : 0);
    }
    digests[c] = digest_of(&c, sizeof c);
}

// 12 clips of the source domain, 4 of the target, 4 anomalies.
static void begin(void) {
    memset(&dataset, 0, sizeof dataset);
    machine = (Machine){.name = "fan", .set = SET_DEV};
    dataset.clips = clips;
    dataset.machines = &machine;
    dataset.machine_count = 1;
    for (int i = 0; i < 20; i++) {
        add_clip(i < 12 || i > 15 ? DOMAIN_SOURCE : DOMAIN_TARGET,
                 i < 16 ? LABEL_NORMAL : LABEL_ANOMALY);
    }
}

static void end(void) {
    for (uint32_t c = 0; c < dataset.clip_count; c++) {
        exploration_done(&explorations[c]);
    }
    CHECK_INT(mem_blocks(), 0);
}

static ExploreSummary make(void) {
    ExploreSummary summary = {0};
    CHECK_OK(explore_summary_make(&dataset, explorations, digests, BANDS, &summary));
    return summary;
}

TEST(clips_are_grouped_by_what_they_are) {
    begin();
    explorations[2].numbers[NUMBER_SECONDS] = 12;
    explorations[3].numbers[NUMBER_CLIPPED_RUNS] = 1;
    exploration_done(&explorations[4]); // not explored
    ExploreSummary summary = make();
    CHECK_INT(summary.group_count, 3);
    const ExploredGroup *first = &summary.groups[0]; // source, train, normal
    CHECK_INT(first->domain, DOMAIN_SOURCE);
    CHECK_INT(first->label, LABEL_NORMAL);
    CHECK_INT(first->count, 11);
    CHECK_INT(first->rates, 1);
    CHECK_INT(first->clipped, 1);
    CHECK_NEAR(first->seconds, 112, 0);
    const Spread *seconds = &first->numbers[NUMBER_SECONDS];
    CHECK_NEAR(seconds->least, 10, 0);
    CHECK_NEAR(seconds->median, 10, 0);
    CHECK_NEAR(seconds->most, 12, 0);
    CHECK_NEAR(seconds->mean, 112.0 / 11, 1e-12);
    CHECK_NEAR(seconds->deviation, sqrt(10.0 / 11 * 4 / 11), 1e-12);
    CHECK_INT(summary.groups[1].label, LABEL_ANOMALY);
    CHECK_INT(summary.groups[2].domain, DOMAIN_TARGET);
    CHECK_INT(summary.groups[2].count, 4);
    explore_summary_done(&summary);
    end();
}

static const SuspiciousClip *find(const ExploreSummary *summary, uint32_t clip, Suspicion kind) {
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        const SuspiciousClip *found = &summary->suspicious[i];
        if (found->clip == clip && found->suspicion == kind) {
            return found;
        }
    }
    return NULL;
}

TEST(ordinary_clips_are_not_suspicious) {
    begin();
    ExploreSummary summary = make();
    CHECK_INT(summary.suspicious_count, 0);
    explore_summary_done(&summary);
    end();
}

TEST(what_is_odd_is_named_with_its_reason) {
    begin();
    explorations[0].numbers[NUMBER_SILENT_SHARE] = 1;
    explorations[0].numbers[NUMBER_LEVEL_DB] = -200; // told as silent, not as a level too
    explorations[1].numbers[NUMBER_CLIPPED_RUNS] = 2;
    explorations[1].numbers[NUMBER_CLIPPED_SHARE] = 0.004;
    explorations[2].numbers[NUMBER_DC] = -0.05;
    explorations[3].numbers[NUMBER_RATE_HZ] = 44100;
    explorations[4].numbers[NUMBER_SECONDS] = 9;
    explorations[5].numbers[NUMBER_LEVEL_DB] = -16.5;
    explorations[8].numbers[NUMBER_LEVEL_DB] = -18;  // less than 3 dB from the others
    explorations[6].numbers[NUMBER_SECONDS] = 10.05; // half a per cent is nothing
    digests[9] = digests[14] = digests[7];
    ExploreSummary summary = make();
    CHECK(find(&summary, 0, SUSPICION_SILENT) != NULL);
    CHECK(find(&summary, 0, SUSPICION_LEVEL) == NULL);
    CHECK_HAS(find(&summary, 1, SUSPICION_CLIPPED)->reason, "0.4 % of its samples");
    CHECK_NEAR(find(&summary, 2, SUSPICION_DC)->value, -0.05, 0);
    CHECK_HAS(find(&summary, 3, SUSPICION_RATE)->reason, "44100 Hz, most have 16000 Hz");
    CHECK_NEAR(find(&summary, 4, SUSPICION_LENGTH)->usual, 10, 0);
    CHECK_HAS(find(&summary, 5, SUSPICION_LEVEL)->reason, "-16.5 dB");
    CHECK_INT(find(&summary, 9, SUSPICION_DUPLICATE)->other, 7);
    CHECK_INT(find(&summary, 14, SUSPICION_DUPLICATE)->other, 7);
    CHECK_INT(summary.suspicious_count, 8);
    for (uint32_t i = 1; i < summary.suspicious_count; i++) {
        CHECK(summary.suspicious[i - 1].clip <= summary.suspicious[i].clip);
    }
    explore_summary_done(&summary);
    end();
}

TEST(the_shift_is_in_units_of_the_spread) {
    begin();
    for (uint32_t c = 0; c < 20; c++) { // variance of each domain: 1 of 0, 2 and so on
        explorations[c].numbers[NUMBER_CENTROID_HZ] =
            1000 + (c % 2 == 0 ? 1 : -1) + (c >= 12 && c < 16 ? 5 : 0);
        explorations[c].numbers[NUMBER_ROLLOFF_HZ] = c >= 12 && c < 16 ? 7 : 6; // no spread at all
    }
    ExploreSummary summary = make();
    bool found = false;
    for (uint32_t i = 0; i < summary.shift_count; i++) {
        const DomainShift *shift = &summary.shifts[i];
        CHECK(shift->feature != NUMBER_ROLLOFF_HZ); // infinitely far: not told
        if (shift->feature == NUMBER_CENTROID_HZ) {
            found = true;
            CHECK_INT(shift->source_count, 12); // of normal clips
            CHECK_INT(shift->target_count, 4);
            CHECK_NEAR(shift->source, 1000, 1e-12);
            CHECK_NEAR(shift->target, 1005, 1e-12);
            CHECK_NEAR(shift->shift, 5 / sqrt((12.0 / 11 + 4.0 / 3) / 2), 1e-12);
        }
        CHECK(shift->feature != NUMBER_SECONDS || (!(shift->shift < 0) && !(shift->shift > 0)));
    }
    CHECK(found);
    explore_summary_done(&summary);
    end();
}

// librosa 0.11: mel_frequencies(n_mels=6, fmin=0, fmax=8000)[1:-1], the tips of four bands.
TEST(bands_have_their_frequencies_at_the_machines_rate) {
    static const double AT_16000[BANDS] = {603.2752062923329, 1237.397792194086, 2305.1696174379276,
                                           4294.340105243577};
    begin();
    Settings settings;
    ExploreSummary summary;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=4"));
    explorations[3].numbers[NUMBER_RATE_HZ] = 44100; // one of another rate decides nothing
    CHECK_OK(explore_summary_make(&dataset, explorations, digests, BANDS, &summary));
    CHECK(summary.centres_hz == NULL);
    CHECK_OK(explore_summary_centres(&summary, &settings));
    for (int m = 0; m < BANDS; m++) {
        CHECK_NEAR(summary.centres_hz[m], AT_16000[m], 1e-6);
    }
    explore_summary_done(&summary);
    for (uint32_t c = 0; c < dataset.clip_count; c++) {
        explorations[c].is_sound = false;
    }
    CHECK_OK(explore_summary_make(&dataset, explorations, digests, BANDS, &summary));
    CHECK_OK(explore_summary_centres(&summary, &settings));
    CHECK(isnan(summary.centres_hz[0]));
    explore_summary_done(&summary);
    end();
}

TEST(the_typical_clip_is_nearest_to_the_median) {
    begin();
    for (uint32_t c = 0; c < 12; c++) {
        for (int m = 0; m < BANDS; m++) {
            explorations[c].mean[m] = c < 11 ? (double)c : 1000; // median 5.5
        }
    }
    ExploreSummary summary = make();
    CHECK_INT(summary.typical_count, 3);
    CHECK_INT(summary.typical[0].domain, DOMAIN_SOURCE);
    CHECK_INT(summary.typical[0].clip, 5); // 6 is as near, and comes later
    CHECK_NEAR(summary.typical[0].distance, 0.5, 1e-12);
    CHECK_INT(summary.typical[1].domain, DOMAIN_TARGET);
    CHECK_INT(summary.typical[2].label, LABEL_ANOMALY);
    explore_summary_done(&summary);
    end();
}

TEST(the_plane_is_that_of_scikit_learn) {
    NpyArray points = {0}, plane = {0};
    CHECK_OK(npy_read(GOLDEN "points.npy", &points));
    CHECK_OK(npy_read(GOLDEN "plane.npy", &plane));
    begin();
    for (uint32_t c = 0; c < dataset.clip_count; c++) {
        exploration_done(&explorations[c]);
    }
    int64_t count = points.shape[0], bands = points.shape[1];
    dataset.clip_count = 0;
    for (int64_t c = 0; c < count; c++) {
        add_clip(DOMAIN_UNKNOWN, LABEL_NORMAL);
        exploration_done(&explorations[c]);
        CHECK_OK(exploration_init(&explorations[c], (int32_t)bands));
        memcpy(explorations[c].mean, (const double *)points.data + c * bands,
               (size_t)bands * sizeof(double));
    }
    ExploreSummary summary = {0};
    CHECK_OK(explore_summary_make(&dataset, explorations, digests, (int32_t)bands, &summary));
    const double *expected = plane.data;
    for (int64_t c = 0; c < count; c++) {
        CHECK(summary.points[c].is_there);
        CHECK_NEAR(summary.points[c].x, expected[2 * c], 1e-9);
        CHECK_NEAR(summary.points[c].y, expected[2 * c + 1], 1e-9);
    }
    CHECK_NEAR(summary.planes[0].explained[0], expected[2 * count], 1e-10);
    CHECK_NEAR(summary.planes[0].explained[1], expected[2 * count + 1], 1e-10);
    explore_summary_done(&summary);
    npy_done(&points);
    npy_done(&plane);
    end();
}

TEST(clips_that_are_all_alike_or_too_few_have_no_plane) {
    begin();
    for (uint32_t c = 0; c < dataset.clip_count; c++) {
        for (int m = 0; m < BANDS; m++) {
            explorations[c].mean[m] = -30;
        }
    }
    ExploreSummary summary = make();
    CHECK_NEAR(summary.planes[0].explained[0], 0, 0);
    CHECK_NEAR(summary.points[3].x, 0, 0);
    explore_summary_done(&summary);
    for (uint32_t c = 2; c < dataset.clip_count; c++) {
        exploration_done(&explorations[c]);
    }
    summary = make();
    CHECK(!summary.points[0].is_there);
    explore_summary_done(&summary);
    end();
}

TEST(tables_hold_it_all) {
    begin();
    digests[9] = digests[7];
    ExploreSummary summary = make();
    char folder[300], path[400];
    snprintf(folder, sizeof folder, "%s", test_folder());
    CHECK_OK(explore_tables_write(folder, &summary));
    static const char *const EXPECTED[][2] = {
        {"eda_clips.csv", "fan/train/000.wav,dev,fan,00,source,train,normal,10,16000,"},
        {"eda_groups.csv", "dev,fan,00,source,train,normal,12,12,1,120,0,0,10,10,10,10,0,"},
        {"eda_spectra.csv", "dev,fan,00,target,train,normal,3,,-24,0\n"},
        {"eda_suspicious.csv", "fan/train/009.wav,dev,fan,00,source,train,normal,duplicate,,,"
                               "fan/train/007.wav,the same bytes as another clip\n"},
        {"eda_attributes.csv", "dev,fan,00,source,train,normal,spd,\"34,\"\"V\"\"\",12\n"},
        {"eda_domain_shift.csv", "dev,fan,frames,12,4,313,313,0\n"},
        {"eda_pca.csv", "fan/train/019.wav,dev,fan,00,source,train,anomaly,"},
    };
    for (size_t i = 0; i < sizeof EXPECTED / sizeof EXPECTED[0]; i++) {
        Buffer text = BUFFER_EMPTY;
        snprintf(path, sizeof path, "%s/%s", folder, EXPECTED[i][0]);
        CHECK_OK(file_read(path, 1 << 20, &text));
        CHECK_HAS(buffer_cstr(&text), EXPECTED[i][1]);
        buffer_done(&text);
    }
    CHECK_OK(file_remove_tree(folder));
    explore_summary_done(&summary);
    end();
}

TEST(the_closing_table_has_a_line_for_each_machine) {
    begin();
    digests[9] = digests[7];
    explorations[9].numbers[NUMBER_SECONDS] = 30; // suspicious twice over, and one clip
    explorations[1].numbers[NUMBER_SILENT_SHARE] = 1;
    ExploreSummary summary = make();
    Buffer text = BUFFER_EMPTY;
    explore_closing_format(&summary, &text);
    CHECK_HAS(buffer_cstr(&text), "fan (dev)     20      3.7  16000");
    CHECK_HAS(buffer_cstr(&text), "suspicious clips: silent 1, length 1, duplicate 1 (eda");
    buffer_clear(&text);
    explore_closing_json(&summary, &text);
    CHECK_HAS(buffer_cstr(&text), "[{\"machine_type\": \"fan\", \"set\": \"dev\", \"clips\": 20, "
                                  "\"seconds\": 220, \"rate_hz_min\": 16000");
    CHECK_HAS(buffer_cstr(&text), "\"suspicious\": 2, \"silent\": 1");
    buffer_done(&text);
    explore_summary_done(&summary);
    end();
}

TEST(every_allocation_may_fail) {
    begin();
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=4"));
    digests[9] = digests[7];
    long before = mem_blocks();
    int failures = 0;
    for (long n = 0;; n++) {
        ExploreSummary summary = {0};
        mem_fail_after(n);
        Status status = explore_summary_make(&dataset, explorations, digests, BANDS, &summary);
        if (status == STATUS_OK) {
            status = explore_summary_centres(&summary, &settings);
        }
        bool failed = mem_has_failed() != 0;
        mem_fail_after(-1);
        explore_summary_done(&summary);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        failures++;
    }
    CHECK(failures > 8);
    end();
}

TEST_MAIN_LIST(T(clips_are_grouped_by_what_they_are)
                   T(bands_have_their_frequencies_at_the_machines_rate)
                       T(ordinary_clips_are_not_suspicious) T(what_is_odd_is_named_with_its_reason)
                           T(the_shift_is_in_units_of_the_spread)
                               T(the_typical_clip_is_nearest_to_the_median)
                                   T(the_plane_is_that_of_scikit_learn)
                                       T(clips_that_are_all_alike_or_too_few_have_no_plane)
                                           T(tables_hold_it_all)
                                               T(the_closing_table_has_a_line_for_each_machine)
                                                   T(every_allocation_may_fail))
