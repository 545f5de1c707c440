// SPDX-License-Identifier: Apache-2.0
//
// eda.html and the pictures of clips, from data made here: what stands in them, what hostile names
// do, and that no allocation's failure leaks. Pictures are drawn by a gnuplot that is not there:
// tests/cluster and tests/interop look at real ones.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/pages/cells.h"
#include "coordinator/pages/clip_picture.h"
#include "coordinator/pages/eda_page.h"
#include "coordinator/pages/pictures.h"
#include "tests/unit/test.h"

enum { CLIPS = 12, BANDS = 4, ROWS = 4, COLUMNS = 10, MFCC = 3 };

static const char HOSTILE[] = "fan<script>\"'&`touch x`";
static const ClipAttribute ATTRIBUTE = {"spd<b>", "34V</td>"};

static Clip clips[CLIPS];
static Machine machine;
static Dataset dataset;
static Exploration explorations[CLIPS];
static Digest digests[CLIPS];
static ExploreSummary summary;
static ClipPortrait portrait;
static const ClipPortrait *portraits[1] = {&portrait};
static const char *folder;

static void make_portrait(Portrait *ret) {
    Portrait shape = {.columns = COLUMNS,
                      .mel_rows = ROWS,
                      .spectrum_rows = ROWS,
                      .mfcc_rows = MFCC,
                      .rate_hz = 16000,
                      .seconds = 2,
                      .has_residual = true};
    size_t count = portrait_count(&shape);
    short *values = mem_new(count, sizeof *values);
    CHECK(values != NULL);
    for (size_t i = 0; i < count; i++) {
        values[i] = (short)(i * 7 % 101);
    }
    CHECK_OK(portrait_unpack(&shape, values, count * sizeof *values, ret));
    mem_free(values);
}

static void begin(void) {
    folder = test_folder();
    char outputs[LIMIT_PATH_BYTES];
    CHECK_OK(file_join(outputs, sizeof outputs, folder, "outputs"));
    CHECK_OK(file_make_folders(outputs));
    machine = (Machine){.name = HOSTILE, .set = SET_PLAIN, .clip_count = CLIPS, .train_count = 8};
    dataset =
        (Dataset){.clips = clips, .machines = &machine, .clip_count = CLIPS, .machine_count = 1};
    for (uint32_t c = 0; c < CLIPS; c++) {
        clips[c] = (Clip){.path = c % 2 ? "x/<img src=x>.wav" : "x/b.wav",
                          .name = c % 2 ? "<img src=x>.wav" : "b.wav",
                          .section = "00",
                          .attributes = &ATTRIBUTE,
                          .attribute_count = 1,
                          .split = c < 8 ? SPLIT_TRAIN : SPLIT_TEST,
                          .domain = c % 2 ? DOMAIN_SOURCE : DOMAIN_TARGET,
                          .label = c < 10 ? LABEL_NORMAL : LABEL_ANOMALY};
        CHECK_OK(exploration_init(&explorations[c], BANDS));
        explorations[c].is_sound = true;
        explorations[c].numbers[NUMBER_SECONDS] = 10;
        explorations[c].numbers[NUMBER_RATE_HZ] = 16000;
        explorations[c].numbers[NUMBER_LEVEL_DB] = -20.0625 - c;
        explorations[c].numbers[NUMBER_CLIPPED_RUNS] = c == 3;
        explorations[c].numbers[NUMBER_CLIPPED_SHARE] = c == 3 ? 0.01 : 0;
        for (int m = 0; m < BANDS; m++) {
            explorations[c].mean[m] = -30 - 2 * m + c % 5;
        }
        digests[c] = digest_of(&c, sizeof c);
    }
    CHECK_OK(explore_summary_make(&dataset, explorations, digests, BANDS, &summary));
    portrait = (ClipPortrait){.clip = summary.typical[0].clip,
                              .model = UINT32_MAX,
                              .role = PORTRAIT_TYPICAL,
                              .is_there = true};
    make_portrait(&portrait.picture);
    setenv(PLOT_PROGRAM_VARIABLE, "/nowhere/gnuplot", 1);
}

static void end(void) {
    portrait_done(&portrait.picture);
    explore_summary_done(&summary);
    for (uint32_t c = 0; c < CLIPS; c++) {
        exploration_done(&explorations[c]);
    }
    CHECK_INT(mem_blocks(), 0);
}

static Status write_page(char *problem, size_t size) {
    static const ScoredClip left_out = {.machine = HOSTILE,
                                        .section = "",
                                        .set = "",
                                        .file_name = "c.wav",
                                        .path = "x/c<i>.wav",
                                        .left_out_reason = "it is <i>empty</i>"};
    Settings settings;
    Status status = settings_preset("default", &settings);
    EdaPage page = {.run_folder = folder,
                    .settings = &settings,
                    .summary = &summary,
                    .portraits = portraits,
                    .portrait_count = 1,
                    .clips = &left_out,
                    .clip_count = 1};
    return status == STATUS_OK ? eda_page_write(&page, problem, size) : status;
}

static void read_page(Buffer *out) {
    char path[LIMIT_PATH_BYTES];
    CHECK_OK(file_join(path, sizeof path, folder, "outputs/eda.html"));
    CHECK_OK(file_read(path, 1 << 20, out));
}

static bool has(const Buffer *page, const char *text) {
    return strstr(buffer_cstr(page), text) != NULL;
}

TEST(a_page_has_the_numbers_the_findings_and_what_was_left_out) {
    begin();
    char problem[256];
    Buffer page = BUFFER_EMPTY;
    CHECK_OK(write_page(problem, sizeof problem));
    read_page(&page);
    CHECK(has(&page, "<td>train</td><td>00</td><td>source</td><td>normal</td>"));
    CHECK(has(&page, "<td class=\"number\" data-value=\"-24.0625\">-24.1</td>")); // of 1, 3, 5, 7
    CHECK(has(&page, "<td>clipped</td>"));
    CHECK(has(&page, "34V&lt;/td&gt;</td><td class=\"number\">8</td><td class=\"number\">4</td>"));
    CHECK(has(&page, "x/c&lt;i&gt;.wav"));
    CHECK(has(&page, "it is &lt;i&gt;empty&lt;/i&gt;"));
    CHECK(has(&page, "n_mels: 128"));
    buffer_done(&page);
    end();
}

TEST(names_stay_text) {
    begin();
    char problem[256];
    Buffer page = BUFFER_EMPTY;
    CHECK_OK(write_page(problem, sizeof problem));
    read_page(&page);
    CHECK(has(&page, "fan&lt;script&gt;&quot;&#39;&amp;`touch x`"));
    CHECK(!has(&page, "<script"));
    CHECK(!has(&page, "<img"));
    CHECK(!has(&page, "<b>"));
    CHECK(!has(&page, "<i>"));
    buffer_done(&page);
    end();
}

TEST(without_gnuplot_the_page_says_what_to_install) {
    begin();
    char problem[256];
    Buffer page = BUFFER_EMPTY;
    CHECK_OK(write_page(problem, sizeof problem));
    read_page(&page);
    CHECK(strstr(problem, "apt-get install gnuplot-nox") != NULL);
    CHECK(has(&page, "apt-get install gnuplot-nox"));
    buffer_done(&page);
    end();
}

TEST(every_failed_allocation_is_told_and_leaks_nothing) {
    begin();
    char problem[256];
    long blocks = mem_blocks();
    bool was_told = false;
    setenv(PLOT_PROGRAM_VARIABLE, "", 1); // the same but for starting a program
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Status status = write_page(problem, sizeof problem);
        bool has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), blocks);
        CHECK(status == STATUS_OK || status == STATUS_MEMORY);
        was_told |= status == STATUS_MEMORY;
        if (!has_failed) {
            CHECK_OK(status);
            break;
        }
    }
    CHECK(was_told);
    end();
}

TEST(a_scale_spans_all_that_stand_side_by_side) {
    ClipScale scale = {0};
    Portrait one, two;
    make_portrait(&one);
    make_portrait(&two);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        two.log_mel[i] += 30;
        two.residual[i] -= 200;
    }
    two.high[3] = 0.5F;
    CHECK_OK(clip_scale_take(&scale, &one));
    double low = scale.low[PANEL_LOG_MEL], high = scale.high[PANEL_LOG_MEL];
    double residual = scale.high[PANEL_RESIDUAL];
    CHECK(low < high);
    CHECK_OK(clip_scale_take(&scale, &two));
    CHECK(scale.low[PANEL_LOG_MEL] == low && scale.high[PANEL_LOG_MEL] > high + 29);
    CHECK(scale.low[PANEL_WAVEFORM] == -0.5 && scale.high[PANEL_WAVEFORM] == 0.5);
    CHECK(scale.high[PANEL_RESIDUAL] == residual);
    CHECK(scale.low[PANEL_RESIDUAL] == residual - 25); // not 200 dB down
    portrait_done(&one);
    portrait_done(&two);
    CHECK_INT(mem_blocks(), 0);
}

TEST(panels_that_a_portrait_lacks_are_not_drawn) {
    ClipScale scale = {0};
    Portrait one;
    make_portrait(&one);
    CHECK_OK(clip_scale_take(&scale, &one));
    PlotSet *set = plot_set_new();
    CHECK(set != NULL);
    uint32_t all = clip_picture_add(set, &one, CLIP_PANELS_OF_MODEL, &scale, BANDS);
    one.spectrum_rows = 0;
    uint32_t fewer = clip_picture_add(set, &one, CLIP_PANELS_OF_MODEL, &scale, BANDS);
    CHECK(all != PLOT_NONE && fewer != PLOT_NONE);
    CHECK(plot_height(set, fewer) < plot_height(set, all));
    CHECK(clip_picture_add(set, &one, 1U << PANEL_SPECTROGRAM, &scale, BANDS) == PLOT_NONE);
    one.spectrum_rows = ROWS;
    plot_set_free(set);
    portrait_done(&one);
    CHECK_INT(mem_blocks(), 0);
}

TEST(base64_is_that_of_the_rfc) {
    static const char *const PAIRS[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        Buffer out = BUFFER_EMPTY;
        pictures_base64(PAIRS[i][0], strlen(PAIRS[i][0]), &out);
        CHECK_TEXT(buffer_cstr(&out), PAIRS[i][1]);
        buffer_done(&out);
    }
}

TEST(a_cell_is_rounded_and_has_the_exact_number) {
    Buffer out = BUFFER_EMPTY;
    cell_number(0.123456789, 2, &out);
    cell_number(NAN, 2, &out);
    CHECK_TEXT(buffer_cstr(&out), "<td class=\"number\" data-value=\"0.123456789\">0.12</td>"
                                  "<td class=\"number\">–</td>");
    buffer_done(&out);
}

TEST_MAIN_LIST(T(a_page_has_the_numbers_the_findings_and_what_was_left_out) T(names_stay_text)
                   T(without_gnuplot_the_page_says_what_to_install)
                       T(every_failed_allocation_is_told_and_leaks_nothing)
                           T(a_scale_spans_all_that_stand_side_by_side)
                               T(panels_that_a_portrait_lacks_are_not_drawn)
                                   T(base64_is_that_of_the_rfc)
                                       T(a_cell_is_rounded_and_has_the_exact_number))
