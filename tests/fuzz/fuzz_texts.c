// SPDX-License-Identifier: Apache-2.0
//
// Texts of others: names of clips and files, CSV, YAML, settings, JSON, addresses and Host headers,
// and what a run keeps as text.
#include <string.h>

#include "common/base/config.h"
#include "common/base/settings.h"
#include "common/base/variants.h"
#include "common/base/yaml_tree.h"
#include "common/eval/clipname.h"
#include "common/store/csv.h"
#include "common/store/json.h"
#include "coordinator/dataset/attributes.h"
#include "coordinator/dataset/record.h"
#include "coordinator/dataset/truth_build.h"
#include "coordinator/live/http_host.h"
#include "coordinator/live/snapshot.h"
#include "proto/address.h"
#include "tests/fuzz/fuzz.h"

// Any name is legal; what it says has to fit together.
static bool read_name(const char *text, size_t size) {
    (void)size;
    char part[64];
    ClipName name = clipname_read(text);
    if (name.keyword == KEYWORD_NONE && (name.section[0] != '\0' || name.attributes[0] != '\0')) {
        fuzz_fail("a name that says nothing says something");
    }
    (void)clipname_file_part(clipname_file(text), name.section, part, sizeof part);
    (void)clipname_is_clip(text);
    (void)truth_form_of(text);
    (void)truth_list_year(text);
    DatasetMemory *memory = memory_begin();
    Clip clip = {.path = ""};
    Buffer out = BUFFER_EMPTY;
    if (memory != NULL && attributes_of_name(memory, name.attributes, &clip) == STATUS_OK) {
        attributes_format(&clip, &out);
        clip = (Clip){.path = ""};
        if (attributes_parse(memory, buffer_cstr(&out), &clip) != STATUS_OK) {
            fuzz_fail("attributes that were written cannot be read");
        }
    }
    buffer_done(&out);
    memory_free(memory);
    return true;
}

static const char *const NAME_SEEDS[] = {
    "section_00_source_train_normal_0000_spd_1_mic_2.wav",
    "normal_id_01_00000000.wav",
    "section_00_0000.wav",
    "section_03_target_test_anomaly_0001_weight20_BckgC.flac",
    "anomaly_score_ToyCar_section_00_test.csv",
    "anomaly_score_DCASE2024T2fan_section_00_test_seed1_Eval.csv",
    "ground_truth_data/ground_truth_fan_section_00_test.csv",
    "fan/attributes_00_test_correspondence.csv",
    "eval_data_list_2023.csv",
    NULL};

static bool read_attributes(const char *text, size_t size) {
    (void)size;
    DatasetMemory *memory = memory_begin();
    Clip clip = {.path = ""};
    bool is_taken = memory != NULL && attributes_parse(memory, text, &clip) == STATUS_OK;
    memory_free(memory);
    return is_taken;
}

static const char *const ATTRIBUTE_SEEDS[] = {"spd=1;mic=2", "a=b\\;\\=\\\\;c=d", "", NULL};

static bool read_csv(const char *text, size_t size) {
    CsvReader *reader = NULL;
    CsvRow row;
    Status status = csv_reader_from_text("fuzz", text, size, &reader);
    while (status == STATUS_OK && (status = csv_reader_next(reader, &row)) == STATUS_OK &&
           row.count > 0) {
        (void)csv_reader_fail(reader, &row, STATUS_FORMAT, "%s", row.fields[row.count - 1]);
    }
    csv_reader_free(reader);
    return status == STATUS_OK;
}

static const char *const CSV_SEEDS[] = {"a,b\n\"c \"\"d\"\"\",e\r\n\xef\xbb\xbf,\n",
                                        "\xef\xbb\xbf"
                                        "x\n\n\"y\nz\"",
                                        NULL};

static bool read_yaml(const char *text, size_t size) {
    YamlNode *root = NULL;
    bool is_taken = yaml_tree_read("fuzz", text, size, &root, NULL) == STATUS_OK;
    if (is_taken) {
        (void)yaml_node_find(root, "seeds");
    }
    yaml_tree_free(root);
    return is_taken;
}

static const char *const YAML_SEEDS[] = {"a: [1, {b: c}]\nd: |\n  text\n",
                                         "- &x {a: 'b', ? c : \"d\\n\"}\n- ~\n# why\n",
                                         "--n_mels: 128\n--lr: 0.001\n", NULL};

// Settings that pass their check can be named, counted, written and read again.
static void use_settings(const Settings *settings) {
    char name[LIMIT_SYSTEM_BYTES];
    Buffer text = BUFFER_EMPTY;
    Settings again;
    uint32_t variant, system;
    if (variants_count(settings) == 0 || !variants_primary(settings, &variant, &system)) {
        fuzz_fail("settings that passed their check have no primary system");
    }
    variants_system_name(settings, variant, system, name);
    settings_write(settings, SETTING_EXECUTION, &text);
    if (settings_preset("default", &again) != STATUS_OK ||
        config_read_text("fuzz", buffer_cstr(&text), text.size, &again) != STATUS_OK) {
        fuzz_fail("settings that were written cannot be read");
    }
    buffer_done(&text);
}

static bool read_settings(const char *text, size_t size) {
    Settings settings;
    bool is_taken = settings_preset("default", &settings) == STATUS_OK &&
                    config_read_text("fuzz", text, size, &settings) == STATUS_OK &&
                    settings_check(&settings) == STATUS_OK;
    if (is_taken) {
        use_settings(&settings);
    }
    return is_taken;
}

static const char *const SETTINGS_SEEDS[] = {
    "n_mels: 64\nseeds: [1, 2]\nmatrix: {frames: [3, 5], score: [MSE, MAHALA]}\n",
    "hidden: [128, 8, 128]\nbatch_norm: false\nthreshold: percentile\n",
    "score: [MSE, MAHALA]\nseeds: 7, 5\nmatrix: \"{n_mels: [64, 128]}\"\nprimary: n_mels_128\n",
    "--use_cuda: True\n--score: MSE\n--seed: 4\n--lr: 0.01\n--win_length: null\n--fmin: 10.0\n",
    "fmin: 50\nfmax: 7000\nn_fft: 512\nwin_length: 400\nensemble: zmean\nseeds: [1, 2]\n",
    NULL};

static bool read_assignment(const char *text, size_t size) {
    (void)size;
    Settings settings;
    return settings_preset("default", &settings) == STATUS_OK &&
           settings_assign(&settings, text) == STATUS_OK && settings_check(&settings) == STATUS_OK;
}

static const char *const ASSIGNMENT_SEEDS[] = {
    "n_mels=64", "seeds=1,2", "matrix={epochs: [50, 100]}", "hidden=[128, 8, 128]", NULL};

static bool read_json(const char *text, size_t size) {
    Json *json = NULL;
    bool is_taken = json_parse("fuzz", text, size, &json) == STATUS_OK;
    if (is_taken) {
        (void)json_text(json_member(json_root(json), "class_name"), "");
        json_free(json);
    }
    return is_taken;
}

static const char *const JSON_SEEDS[] = {
    "{\"class_name\":\"Sequential\",\"config\":{\"layers\":[1,-2.5e3,null,true,\"\\u00e4\"]}}",
    " [\"\\ud83d\\ude00\", 0, 1E+2, {}, []] ", NULL};

static bool read_host(const char *text, size_t size) {
    (void)size;
    static const HttpAddress EVERYWHERE = {.host = "0.0.0.0", .port = 80},
                             NAMED = {.host = "node7", .port = 8080};
    bool is_numeric = http_host_is_ours(text, &EVERYWHERE, "node7");
    return http_host_is_ours(text, &NAMED, "node7") || is_numeric;
}

static const char *const HOST_SEEDS[] = {"localhost:8080", "[::1]:80", "node7", "10.0.0.1:1", NULL};

static bool read_http_address(const char *text, size_t size) {
    (void)size;
    HttpAddress address;
    return http_address_parse(text, &address) == STATUS_OK;
}

static const char *const HTTP_ADDRESS_SEEDS[] = {"127.0.0.1:8080", "[::]:0", NULL};

// What is taken is an endpoint again once it is written.
static bool read_endpoint(const char *text, size_t size) {
    (void)size;
    Address address, bulk;
    char again[CHANNEL_ADDRESS_BYTES];
    if (address_parse(text, &address) != STATUS_OK) {
        return false;
    }
    (void)address_bulk(&address, 5556, &bulk);
    address_text(&address, again);
    if (address_parse(again, &bulk) != STATUS_OK) {
        fuzz_fail("an endpoint that was taken cannot be written");
    }
    return true;
}

static const char *const ENDPOINT_SEEDS[] = {"tcp://0.0.0.0:5555", "tcp://[fe80::1%eth0]:0",
                                             "tcp://*:1", "ipc:///tmp/x/control", NULL};

static bool read_status(const char *text, size_t size) {
    Snapshot *snapshot = NULL;
    if (snapshot_from_json("status.json", text, size, &snapshot) != STATUS_OK) {
        return false;
    }
    static void (*const RENDERINGS[])(const Snapshot *, Buffer *) = {
        snapshot_json, snapshot_metrics, snapshot_print, snapshot_line};
    for (size_t i = 0; i < sizeof RENDERINGS / sizeof RENDERINGS[0]; i++) {
        Buffer out = BUFFER_EMPTY;
        RENDERINGS[i](snapshot, &out);
        buffer_done(&out);
    }
    Buffer page = BUFFER_EMPTY;
    snapshot_page(snapshot, "run", "a <log>", &page);
    buffer_done(&page);
    snapshot_free(snapshot);
    return true;
}

static bool status_seed(uint32_t index, Buffer *out) {
    if (index > 1) {
        return false;
    }
    Snapshot *snapshot = snapshot_new(index, index);
    if (snapshot == NULL) {
        return false;
    }
    snapshot->clips = 9;
    if (index == 1) {
        snapshot->worker_count = snapshot->model_count = 1;
        snapshot_text(snapshot->worker_list[0].name, sizeof snapshot->worker_list[0].name, "w");
        snapshot_text(snapshot->worker_list[0].state, sizeof snapshot->worker_list[0].state,
                      "idle");
        snapshot_text(snapshot->model_list[0].label, sizeof snapshot->model_list[0].label, "fan");
        snapshot_text(snapshot->model_list[0].state, sizeof snapshot->model_list[0].state,
                      "waiting");
    }
    snapshot_json(snapshot, out);
    snapshot_free(snapshot);
    return true;
}

static bool read_record(const char *text, size_t size) {
    Buffer record = BUFFER_EMPTY;
    Dataset *dataset = NULL;
    buffer_append(&record, text, size);
    bool is_taken = dataset_record_read(&record, &dataset) == STATUS_OK;
    buffer_done(&record);
    dataset_free(dataset);
    return is_taken;
}

static const char *const RECORD_SEEDS[] = {
    "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\t-5\t00\tfan/train/a.wav\t\n"
    "2\t2\t2\t1\t5\t5\t01\tfan/test/b.wav\tcut short\nmachine\t1\tpress\n",
    NULL};

const FuzzReader FUZZ_READERS[] = {
    {"name", read_name, true, NAME_SEEDS, NULL},
    {"attributes", read_attributes, true, ATTRIBUTE_SEEDS, NULL},
    {"csv", read_csv, true, CSV_SEEDS, NULL},
    {"yaml", read_yaml, true, YAML_SEEDS, NULL},
    {"settings", read_settings, true, SETTINGS_SEEDS, NULL},
    {"assignment", read_assignment, true, ASSIGNMENT_SEEDS, NULL},
    {"json", read_json, true, JSON_SEEDS, NULL},
    {"host", read_host, true, HOST_SEEDS, NULL},
    {"http_address", read_http_address, true, HTTP_ADDRESS_SEEDS, NULL},
    {"endpoint", read_endpoint, true, ENDPOINT_SEEDS, NULL},
    {"status", read_status, true, NULL, status_seed},
    {"record", read_record, true, RECORD_SEEDS, NULL},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
}

void fuzz_end(void) {
}
