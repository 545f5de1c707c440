// SPDX-License-Identifier: Apache-2.0
//
// Texts of others: names of clips, CSV, YAML, settings, JSON, addresses and Host headers; the first
// byte says what it is to be.
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/base/settings.h"
#include "common/base/yaml_tree.h"
#include "common/eval/clipname.h"
#include "common/store/csv.h"
#include "common/store/json.h"
#include "coordinator/live/http_host.h"
#include "tests/fuzz/fuzz.h"

static void read_csv(const char *text, size_t size) {
    CsvReader *reader = NULL;
    CsvRow row;
    if (csv_reader_from_text("fuzz", text, size, &reader) == STATUS_OK) {
        while (csv_reader_next(reader, &row) == STATUS_OK && row.count > 0) {
            continue;
        }
    }
    csv_reader_free(reader);
}

static void read_yaml(const char *text, size_t size) {
    YamlNode *root = NULL;
    if (yaml_tree_read("fuzz", text, size, &root, NULL) == STATUS_OK) {
        (void)yaml_node_find(root, "seeds");
    }
    yaml_tree_free(root);
}

static void read_settings(const char *text, size_t size) {
    Settings settings;
    if (settings_preset("default", &settings) == STATUS_OK &&
        config_read_text("fuzz", text, size, &settings) == STATUS_OK) {
        (void)settings_check(&settings);
    }
}

static void read_json(const char *text, size_t size) {
    Json *json = NULL;
    if (json_parse("fuzz", text, size, &json) == STATUS_OK) {
        (void)json_text(json_member(json_root(json), "class_name"), "");
        json_free(json);
    }
}

static void read_host(const char *text, size_t size) {
    (void)size;
    HttpAddress bound = {.host = "0.0.0.0", .port = 80}, address;
    (void)http_host_is_ours(text, &bound, "node7");
    (void)http_address_parse(text, &address);
}

static void read_name(const char *text, size_t size) {
    (void)size;
    (void)clipname_read(text);
    (void)clipname_file(text);
    (void)clipname_is_clip(text);
}

static void (*const READERS[])(const char *, size_t) = {read_name,     read_csv,  read_yaml,
                                                        read_settings, read_json, read_host};
enum { READER_COUNT = sizeof READERS / sizeof READERS[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    // With a NUL behind it, as a file that was read has.
    char *text = mem_new(size, 1);
    if (text != NULL) {
        memcpy(text, data + 1, size - 1);
        READERS[data[0] % READER_COUNT](text, size - 1);
    }
    mem_free(text);
    return 0;
}

bool fuzz_seed(uint32_t index, Buffer *out) {
    static const struct {
        char reader;
        const char *text;
    } SEEDS[] = {
        {0, "section_00_source_train_normal_0000_spd_1_mic_2.wav"},
        {0, "normal_id_01_00000000.wav"},
        {0, "anomaly_score_ToyCar_section_00_test.csv"},
        {0, "section_00_0000.wav"},
        {1, "a,b\n\"c \"\"d\"\"\",e\r\n\xef\xbb\xbf,\n"},
        {2, "a: [1, {b: c}]\nd: |\n  text\n"},
        {2, "--n_mels: 128\n--lr: 0.001\n"},
        {3, "n_mels: 64\nseeds: [1, 2]\nmatrix: {frames: [3, 5], score: [MSE, MAHALA]}\n"},
        {3, "hidden: [128, 8, 128]\nbatch_norm: false\nthreshold: percentile\n"},
        {4, "{\"class_name\":\"Sequential\",\"config\":{\"layers\":[1,-2.5e3,null,true,\"\\u00e4\"]"
            "}}"},
        {5, "localhost:8080"},
        {5, "[::1]:80"},
    };
    if (index >= sizeof SEEDS / sizeof SEEDS[0]) {
        return false;
    }
    buffer_append(out, &SEEDS[index].reader, 1);
    buffer_text(out, SEEDS[index].text);
    return true;
}
