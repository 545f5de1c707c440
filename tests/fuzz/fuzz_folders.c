// SPDX-License-Identifier: Apache-2.0
//
// What is read from files in folders: tables of clips and labels, score files, packages of others,
// keys, and what a run's folder holds. Inputs are written into a folder of our own first.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "coordinator/dataset/dataset.h"
#include "coordinator/dataset/truth.h"
#include "coordinator/evaluate/system.h"
#include "coordinator/journal/journal.h"
#include "coordinator/package/author.h"
#include "coordinator/package/check.h"
#include "proto/keys.h"
#include "tests/fuzz/fuzz.h"
#include "worker/notice.h"

static char folder[64]; // "/tmp/auscult-fuzz-XXXXXX"

// "folder/name"; four at a time may be in use.
static const char *at(const char *name) {
    static char paths[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static void put(const char *name, const char *bytes, size_t size) {
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
        fuzz_fail("a file cannot be written");
    }
    close(fd);
}

// ---- the data set ----

static bool read_manifest(const char *bytes, size_t size) {
    put("manifest.csv", bytes, size);
    const char *roots[] = {at("data"), at("")};
    DatasetOptions options = {.roots = roots, .root_count = 2, .manifest = at("manifest.csv")};
    Dataset *dataset = NULL;
    if (dataset_scan(&options, &dataset) != STATUS_OK) {
        return false;
    }
    Buffer csv = BUFFER_EMPTY;
    dataset_write_csv(dataset, &csv);
    put("manifest.csv", csv.bytes, csv.size);
    buffer_done(&csv);
    dataset_free(dataset);
    if (dataset_scan(&options, &dataset) != STATUS_OK) {
        fuzz_fail("a manifest that was written cannot be read");
    }
    dataset_free(dataset);
    return true;
}

#define CLIP "section_00_0000.wav"
static const char *const MANIFEST_SEEDS[] = {
    "root,path,set,machine,section,domain,label,split,size_bytes,mtime_ns,attributes\n"
    "0,fan/test/" CLIP ",eval,fan,00,target,anomaly,test,4,-7,spd=1;mic=2\n"
    "1,data/fan/train/a.wav,dev,fan,,,,train,,,\n",
    "split,comment,path,machine\r\ntest,x,fan/train/a.wav,press\r\n", NULL};

static bool read_attributes(const char *bytes, size_t size) {
    put("data/fan/attributes_00.csv", bytes, size);
    const char *roots[] = {at("data")};
    DatasetOptions options = {.roots = roots, .root_count = 1};
    Dataset *dataset = NULL;
    bool is_taken = dataset_scan(&options, &dataset) == STATUS_OK;
    dataset_free(dataset);
    unlink(at("data/fan/attributes_00.csv"));
    return is_taken;
}

static const char *const ATTRIBUTE_SEEDS[] = {
    "file_name,d1p,d1v\nfan/test/" CLIP ",a=b;,c\\d\n",
    "source_file_name,target_file_name\nfan/test/" CLIP ",x.wav\n", NULL};

// ---- ground truth ----

// Whether there is a label, and none where nothing could be told.
static bool read_truth(const char *name, const char *bytes, size_t size) {
    put(name, bytes, size);
    Truth *truth = NULL;
    bool is_taken = truth_read(at(name), 0, &truth) == STATUS_OK;
    if (is_taken && truth->labelled > truth->count) {
        fuzz_fail("more labels than clips");
    }
    for (uint32_t i = 0; is_taken && i < truth->count; i++) {
        if (truth_find(truth, truth->clips[i].machine, truth->clips[i].name) == NULL) {
            fuzz_fail("a clip of the truth is not found in it");
        }
    }
    truth_free(truth);
    return is_taken;
}

static bool read_list(const char *bytes, size_t size) {
    return read_truth("truth/eval_data_list_2023.csv", bytes, size);
}

static bool read_labels(const char *bytes, size_t size) {
    return read_truth("truth/ground_truth_data/ground_truth_fan_section_00_test.csv", bytes, size);
}

static bool read_correspondence(const char *bytes, size_t size) {
    return read_truth("truth/fan/attributes_00_test_correspondence.csv", bytes, size);
}

// Of labels alone are these made; read together with labels that are sound.
static bool read_details(const char *name, const char *bytes, size_t size) {
    static const char LABELS[] = CLIP ",1\nsection_00_0001.wav,0\n";
    put("truth/e/ground_truth_data/ground_truth_fan_section_00_test.csv", LABELS,
        sizeof LABELS - 1);
    put(name, bytes, size);
    Truth *truth = NULL;
    bool is_taken = truth_read(at("truth/e"), 0, &truth) == STATUS_OK;
    truth_free(truth);
    unlink(at(name));
    return is_taken;
}

static bool read_domains(const char *bytes, size_t size) {
    return read_details("truth/e/ground_truth_domain/ground_truth_fan_section_00_test.csv", bytes,
                        size);
}

static bool read_telling(const char *bytes, size_t size) {
    return read_details("truth/e/ground_truth_attributes/ground_truth_fan_section_00_test.csv",
                        bytes, size);
}

static const char *const LIST_SEEDS[] = {
    "fan\n" CLIP ",section_00_source_test_normal_0007_speed_1.wav\n\xef\xbb\xbfpump,\n" CLIP
    ",section_00_target_test_anomaly_0003_speed_2.wav\n",
    "fan\r\nid_01_00000000.wav,normal_id_01_00000000.wav,0\r\n", NULL};
static const char *const LABEL_SEEDS[] = {CLIP ",0\nsection_00_0001.wav,1\n", NULL};
static const char *const CORRESPONDENCE_SEEDS[] = {
    "source_file_name,target_file_name\ntest_rename/section_00_source_test_normal_0000_.wav,"
    "test/" CLIP "\n",
    NULL};
static const char *const TELLING_SEEDS[] = {CLIP ",section_00_target_test_anomaly_0000_a_b\n",
                                            NULL};

// ---- score files ----

static Truth *known_truth;

static bool read_scores(const char *bytes, size_t size) {
    put("system/anomaly_score_fan_section_00_test.csv", bytes, size);
    SystemList list = {0};
    SystemScores scores = {0};
    bool is_taken = system_list_add(&list, at("system"), false) == STATUS_OK && list.count == 1 &&
                    system_scores_read(known_truth, -1, &list.systems[0], &scores) == STATUS_OK;
    is_taken = is_taken && scores.count == known_truth->labelled;
    system_scores_done(&scores);
    system_list_done(&list);
    return is_taken;
}

static const char *const SCORE_SEEDS[] = {CLIP ",1.5\nsection_00_0001.wav,-2e-3\n",
                                          "\xef\xbb\xbf" CLIP ", 1\r\n\nsection_00_0001.wav,2\n",
                                          NULL};

// ---- packages ----

#define LABEL "Doe_Inst_task2_1"
#define TOP   "task2/" LABEL "/"

// A package whose meta file, scores or decisions are the input's; whether nothing is wrong with it
// but that machines are missing.
static bool check_with(const char *path, const char *bytes, size_t size) {
    Archive archive = ARCHIVE_EMPTY;
    Complaints complaints = COMPLAINTS_EMPTY;
    CheckConfig config = {.archive = &archive, .name = "x.zip", .year = 2023};
    bool is_taken = false;
    if (archive_add(&archive, path, bytes, size) == STATUS_OK &&
        package_check(&config, &complaints) == STATUS_OK) {
        Buffer text = BUFFER_EMPTY;
        complaints_format(&complaints, &text);
        complaints_json(&complaints, &text);
        is_taken = true;
        for (uint32_t i = 0; i < complaints.count; i++) {
            const Complaint *one = &complaints.items[i];
            is_taken = is_taken && (one->line == 0 || strcmp(one->path, path) != 0);
        }
        buffer_done(&text);
    }
    complaints_done(&complaints);
    archive_done(&archive);
    return is_taken;
}

static bool read_meta(const char *bytes, size_t size) {
    return check_with(TOP LABEL ".meta.yaml", bytes, size);
}

static bool read_sheet(const char *bytes, size_t size) {
    return check_with(TOP "anomaly_score_bandsaw_section_00_test.csv", bytes, size);
}

static bool read_decisions(const char *bytes, size_t size) {
    return check_with(TOP "decision_result_bandsaw_section_00_test.csv", bytes, size);
}

// Paths and contents of a package, with a NUL behind each.
static bool read_package(const char *bytes, size_t size) {
    Archive archive = ARCHIVE_EMPTY;
    Complaints complaints = COMPLAINTS_EMPTY;
    CheckConfig config = {.archive = &archive, .name = "x.zip"};
    const char *end = bytes + size;
    Status status = STATUS_OK;
    while (bytes < end && status == STATUS_OK && archive.count < 64) {
        const char *path = bytes;
        size_t path_size = strnlen(path, (size_t)(end - path));
        const char *contents = path + path_size + (path + path_size < end);
        size_t contents_size = strnlen(contents, (size_t)(end - contents));
        status = archive_add(&archive, path, contents, contents_size);
        bytes = contents + contents_size + 1;
    }
    bool is_taken = status == STATUS_OK && archive.count > 0 &&
                    package_check(&config, &complaints) == STATUS_OK;
    Buffer text = BUFFER_EMPTY;
    complaints_format(&complaints, &text);
    buffer_done(&text);
    complaints_done(&complaints);
    archive_done(&archive);
    return is_taken;
}

static bool package_seed(uint32_t index, Buffer *out) {
    static const char PACKAGE[] =
        TOP "anomaly_score_fan_section_00_test.csv\0" CLIP ",1\n\0" TOP
            "decision_result_fan_section_00_test.csv\0" CLIP ",0\n\0" TOP LABEL
            ".meta.yaml\0submission:\n  label: " LABEL "\n\0task2/\0";
    if (index == 0) {
        buffer_append(out, PACKAGE, sizeof PACKAGE);
    }
    return index == 0;
}

static bool read_author(const char *bytes, size_t size) {
    put("author.yaml", bytes, size);
    YamlNode *root = NULL;
    bool is_taken = author_read(at("author.yaml"), &root) == STATUS_OK;
    if (is_taken) {
        Buffer out = BUFFER_EMPTY;
        for (const YamlNode *node = root->first; node != NULL; node = node->next) {
            author_write(root, node->key, 2, "~", &out);
        }
        buffer_done(&out);
    }
    yaml_tree_free(root);
    return is_taken;
}

// ---- keys and addresses ----

#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static bool read_worker_key(const char *bytes, size_t size) {
    WorkerKeys keys;
    put("worker.key", bytes, size);
    return keys_read_worker(at("worker.key"), &keys) == STATUS_OK;
}

static bool read_coordinator_key(const char *bytes, size_t size) {
    KeyPair pair;
    put("coordinator.key", bytes, size);
    return keys_read_coordinator(folder, &pair) == STATUS_OK;
}

static bool read_key_list(const char *bytes, size_t size) {
    KeyList list = {0};
    put("workers", bytes, size);
    bool is_taken = keys_read_list(at("workers"), &list) == STATUS_OK;
    for (uint32_t i = 0; i < list.count; i++) {
        if (!keys_is_key(list.keys[i]) || !keys_list_has(&list, list.keys[i])) {
            fuzz_fail("what is no key was admitted");
        }
    }
    keys_list_done(&list);
    return is_taken;
}

static bool read_notice(const char *bytes, size_t size) {
    Notice notice;
    put("endpoint", bytes, size);
    return notice_read(folder, &notice) == STATUS_OK;
}

static const char *const WORKER_KEY_SEEDS[] = {
    "# why\npublic: " KEY "\nsecret: " KEY "\r\ncoordinator:\t" KEY " \n", NULL};
static const char *const COORDINATOR_KEY_SEEDS[] = {"public: " KEY "\nsecret: " KEY "\n", NULL};
static const char *const KEY_LIST_SEEDS[] = {KEY " press-7\n# no\n\n" KEY, "", NULL};
static const char *const NOTICE_SEEDS[] = {"tcp://node-7:5555\ncoordinator: " KEY "\n",
                                           "ipc:///tmp/x/control\n", NULL};

// ---- the journal ----

static bool read_journal(const char *bytes, size_t size) {
    put("run/journal.db", bytes, size);
    unlink(at("run/journal.db-wal"));
    unlink(at("run/journal.db-shm"));
    return journal_look(at("run/journal.db"), false) == STATUS_OK;
}

static bool fill_journal(Journal *journal) {
    static const char KEYS[] = "k";
    Digest key = digest_of(KEYS, 1), other = digest_of(KEYS, 2);
    uint64_t ticket;
    Status status = journal_set_fact(journal, "settings", "epochs: 3\n", 10);
    status = status == STATUS_OK ? journal_put_failure(journal, other, 1, 2) : status;
    status = status == STATUS_OK ? journal_put_answer(journal, 1, key, 1, "one", 3) : status;
    while (status == STATUS_OK && journal_next(journal, &ticket) == STATUS_AGAIN) {
        usleep(1000);
    }
    return status == STATUS_OK;
}

static bool journal_seed(uint32_t index, Buffer *out) {
    Journal *journal = NULL;
    Buffer file = BUFFER_EMPTY;
    bool is_made = index == 0 && file_make_folders(at("made")) == STATUS_OK &&
                   journal_open(at("made/journal.db"), &journal) == STATUS_OK;
    if (is_made) {
        is_made = fill_journal(journal);
        journal_close(journal);
        is_made = is_made && file_read(at("made/journal.db"), FUZZ_INPUT_MOST, &file) == STATUS_OK;
        buffer_append(out, buffer_cstr(&file), file.size);
        (void)file_remove_tree(at("made"));
    }
    buffer_done(&file);
    return is_made;
}

static const char META[] =
    "submission:\n  label: " LABEL "\n  name: A\n  abbreviation: A\n  authors:\n"
    "    - {lastname: D, firstname: J, email: a@b.org, corresponding: true, affiliation: "
    "{institution: I, department: null, location: null}}\n"
    "system:\n  description: {input_sampling_rate: 16000, data_augmentation: null, front_end: mel, "
    "acoustic_features: [a, b], embeddings: null, machine_learning_method: AE, aggregation_method: "
    "mean, domain_adaptation_method: null, domain_generalization_method: null, "
    "ensemble_method_subsystem_count: 1, decision_making: gamma, attribute_usage: null, "
    "external_data_usage: null, development_data_usage: null}\n"
    "  complexity: {total_parameters: 1, MACS: 1}\n"
    "  external_datasets:\n    - {name: x, url: y, total_audio_length: 1}\n"
    "  source_code: null\n"
    "results: {development_dataset: {fan: {auc_source: 1, auc_target: 1, pauc: 1}}}\n";
static const char *const META_SEEDS[] = {META, NULL};
static const char *const SHEET_SEEDS[] = {CLIP ",1\nsection_00_0001.wav,2.5e-3\n", NULL};
static const char *const DECISION_SEEDS[] = {CLIP ",1\nsection_00_0001.wav,0\n", NULL};
static const char *const AUTHOR_SEEDS[] = {
    "name: A\nabbreviation: A\nauthors:\n  - {lastname: D, firstname: J, email: a@b.org, "
    "corresponding: true, affiliation: {institution: I, department: null, location: null}}\n"
    "source_code: 'https://x'\nexternal_datasets:\n  - {name: x, url: y, total_audio_length: 1}\n",
    NULL};

const FuzzReader FUZZ_READERS[] = {
    {"manifest", read_manifest, false, MANIFEST_SEEDS, NULL},
    {"attributes", read_attributes, false, ATTRIBUTE_SEEDS, NULL},
    {"list", read_list, false, LIST_SEEDS, NULL},
    {"labels", read_labels, false, LABEL_SEEDS, NULL},
    {"correspondence", read_correspondence, false, CORRESPONDENCE_SEEDS, NULL},
    {"domains", read_domains, false, LABEL_SEEDS, NULL},
    {"telling", read_telling, false, TELLING_SEEDS, NULL},
    {"scores", read_scores, false, SCORE_SEEDS, NULL},
    {"meta", read_meta, false, META_SEEDS, NULL},
    {"sheet", read_sheet, false, SHEET_SEEDS, NULL},
    {"decisions", read_decisions, false, DECISION_SEEDS, NULL},
    {"package", read_package, true, NULL, package_seed},
    {"author", read_author, false, AUTHOR_SEEDS, NULL},
    {"worker_key", read_worker_key, false, WORKER_KEY_SEEDS, NULL},
    {"coordinator_key", read_coordinator_key, false, COORDINATOR_KEY_SEEDS, NULL},
    {"key_list", read_key_list, false, KEY_LIST_SEEDS, NULL},
    {"notice", read_notice, false, NOTICE_SEEDS, NULL},
    {"journal", read_journal, false, NULL, journal_seed},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
    static const char *const FOLDERS[] = {"data/fan/train",
                                          "data/fan/test",
                                          "truth/ground_truth_data",
                                          "truth/fan",
                                          "truth/e/ground_truth_data",
                                          "truth/e/ground_truth_domain",
                                          "truth/e/ground_truth_attributes",
                                          "system",
                                          "run"};
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/auscult-fuzz-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(folder) == NULL) {
        fuzz_fail("no folder of our own");
    }
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        if (file_make_folders(at(FOLDERS[i])) != STATUS_OK) {
            fuzz_fail("no folder of our own");
        }
    }
    put("data/fan/train/a.wav", "x", 1);
    put("data/fan/test/" CLIP, "x", 1);
    static const char KNOWN[] = "fan\n" CLIP ",section_00_source_test_normal_0007_a_1.wav\n"
                                "section_00_0001.wav,section_00_target_test_anomaly_0003_a_2.wav\n";
    put("truth/eval_data_list_2023.csv", KNOWN, sizeof KNOWN - 1);
    if (truth_read(at("truth/eval_data_list_2023.csv"), 0, &known_truth) != STATUS_OK) {
        fuzz_fail("no truth");
    }
}

void fuzz_end(void) {
    truth_free(known_truth);
    (void)file_remove_tree(folder);
}
