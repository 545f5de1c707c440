// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/sets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

static bool starts_nocase(const char *text, const char *start) {
    return strncasecmp(text, start, strlen(start)) == 0;
}

// What one folder name says. Names above the root must be unmistakable, since anything may be
// called "eval".
static bool set_of_folder(const char *name, bool below_root, ClipSet *ret_set) {
    bool dev = starts_nocase(name, "dev_data");
    bool eval = starts_nocase(name, "eval_data") || starts_nocase(name, "additional");
    if (below_root) {
        dev = dev || strcasecmp(name, "dev") == 0 || strcasecmp(name, "development") == 0;
        eval = eval || strcasecmp(name, "eval") == 0 || strcasecmp(name, "evaluation") == 0;
    }
    if (!dev && !eval) {
        return false;
    }
    *ret_set = dev ? SET_DEV : SET_EVAL;
    return true;
}

// "dcase2023", "DCASE_2023_Task2", "dcase2023t2" or a bare "2023"; 0 for anything else.
static int32_t year_of_folder(const char *name) {
    const char *at = name;
    if (starts_nocase(name, "dcase")) {
        at += 5;
        at += *at == '_' || *at == '-';
    } else if (strlen(name) != 4) {
        return 0;
    }
    int year = 0;
    for (int i = 0; i < 4; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return 0;
        }
        year = year * 10 + (at[i] - '0');
    }
    return year >= 2020 && year < 2100 && (at[4] < '0' || at[4] > '9') ? year : 0;
}

// Reads the parts of `path` from the last to the first, at most `most` of them. What is known
// already stays.
static void read_parts(const char *path, bool below_root, int most, Place *place) {
    char parts[LIMIT_PATH_BYTES];
    text_copy(parts, sizeof parts, path);
    while (parts[0] != '\0' && most-- > 0) {
        char *slash = strrchr(parts, '/');
        const char *name = slash != NULL ? slash + 1 : parts;
        if (!place->set_known) {
            place->set_known = set_of_folder(name, below_root, &place->set);
        }
        if (place->year == 0) {
            place->year = year_of_folder(name);
        }
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
}

// Of the root itself its last parts can matter: "dcase2024t2/eval_data/raw/fan".
#define PARTS_OF_ROOT 4

static void read_folders(const Builder *b, Place *place) {
    char folders[LIMIT_PATH_BYTES];
    text_copy(folders, sizeof folders, place->path);
    char *machine = strrchr(folders, '/');
    *(machine != NULL ? machine : folders) = '\0';
    read_parts(folders, true, INT_MAX, place);
    const char *root = b->options->roots[place->root];
    char real[PATH_MAX];
    if (!place->set_known || place->year == 0) {
        read_parts(root, false, PARTS_OF_ROOT, place);
    }
    if ((!place->set_known || place->year == 0) && realpath(root, real) != NULL) {
        read_parts(real, false, PARTS_OF_ROOT, place);
    }
}

static bool is_test(FolderKind folder) {
    return folder == FOLDER_TEST || folder == FOLDER_SOURCE_TEST || folder == FOLDER_TARGET_TEST;
}

// What the names of a place's clips tell.
typedef struct Content {
    uint32_t labelled, anonymous, other; // test clips
    int32_t year;                        // 2020 or 2021 where names or folders are that year's own
} Content;

static Content read_content(const Builder *b, const Place *place) {
    Content content = {0};
    for (uint32_t i = 0; i < place->found_count; i++) {
        const Found *found = &b->found[place->first_found + i];
        const Clip *clip = &found->clip;
        bool test = is_test(found->folder);
        content.labelled += test && clip->label != LABEL_UNKNOWN;
        content.anonymous += test && clip->label == LABEL_UNKNOWN && clip->keyword != KEYWORD_NONE;
        content.other += test && clip->label == LABEL_UNKNOWN && clip->keyword == KEYWORD_NONE;
        if (clip->keyword == KEYWORD_ID) {
            content.year = 2020;
        } else if (found->folder == FOLDER_SOURCE_TEST || found->folder == FOLDER_TARGET_TEST) {
            content.year = 2021;
        }
    }
    return content;
}

static uint32_t test_count(const Content *content) {
    return content->labelled + content->anonymous + content->other;
}

static ClipSet set_of_content(const Content *content) {
    if (content->other == 0 && content->anonymous == 0) {
        return SET_DEV;
    }
    return content->other == 0 && content->labelled == 0 ? SET_EVAL : SET_PLAIN;
}

// Whether some test clip of the place has this section.
static bool tests_section(const Builder *b, const Place *place, const char *section) {
    for (uint32_t i = 0; i < place->found_count; i++) {
        const Found *found = &b->found[place->first_found + i];
        if (is_test(found->folder) && strcmp(found->clip.section, section) == 0) {
            return true;
        }
    }
    return false;
}

// Whether `to` has test clips of every section that `from` has clips of. Sections of a folder come
// in long runs, so only changes are looked up.
static bool covers_sections(const Builder *b, const Place *from, const Place *to) {
    const char *last = NULL;
    for (uint32_t i = 0; i < from->found_count; i++) {
        const char *section = b->found[from->first_found + i].clip.section;
        if ((last == NULL || strcmp(section, last) != 0) && !tests_section(b, to, section)) {
            return false;
        }
        last = section;
    }
    return true;
}

// Rule 3 for one place, among `others` of the same machine.
static Status join(Builder *b, Place *place, Place *const *others, uint32_t other_count) {
    bool seen[SET_PLAIN + 1] = {false}, covered[SET_PLAIN + 1] = {false};
    int seen_count = 0, covered_count = 0;
    for (uint32_t i = 0; i < other_count; i++) {
        const Place *other = others[i];
        Content content = read_content(b, other);
        if (other == place || !other->set_known || test_count(&content) == 0) {
            continue;
        }
        seen_count += !seen[other->set];
        seen[other->set] = true;
        if (!covered[other->set] && covers_sections(b, place, other)) {
            covered[other->set] = true;
            covered_count++;
        }
    }
    const bool *choice = seen_count == 1 ? seen : covered_count == 1 ? covered : NULL;
    place->set = SET_PLAIN;
    for (int set = SET_DEV; choice != NULL && set <= SET_PLAIN; set++) {
        place->set = choice[set] ? (ClipSet)set : place->set;
    }
    if (seen_count > 1 && choice == NULL) {
        return builder_warn(b,
                            "%s/%s: nothing tells to which set this machine's clips belong: taken "
                            "as plain data; give folders dev_data and eval_data, or a manifest",
                            b->options->roots[place->root], place->path);
    }
    return STATUS_OK;
}

static int compare_places(const void *left, const void *right) {
    const Place *a = *(Place *const *)left, *b = *(Place *const *)right;
    int order = strcmp(a->machine, b->machine);
    return order != 0 ? order : (a > b) - (a < b);
}

// Rule 3: places sorted by machine, each run of one machine by itself.
static Status join_places(Builder *b) {
    Place **sorted = mem_new(b->place_count + 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < b->place_count; i++) {
        sorted[i] = &b->places[i];
    }
    qsort(sorted, b->place_count, sizeof *sorted, compare_places);
    Status status = STATUS_OK;
    for (uint32_t first = 0, end; first < b->place_count; first = end) {
        for (end = first + 1;
             end < b->place_count && strcmp(sorted[end]->machine, sorted[first]->machine) == 0;
             end++) {
        }
        for (uint32_t i = first; i < end && status == STATUS_OK; i++) {
            if (!sorted[i]->set_known) {
                status = join(b, sorted[i], sorted + first, end - first);
            }
        }
    }
    mem_free(sorted);
    return status;
}

Status sets_decide(Builder *b) {
    for (uint32_t i = 0; i < b->place_count; i++) {
        Place *place = &b->places[i];
        Content content = read_content(b, place);
        if (!place->set_known) {
            read_folders(b, place);
        }
        if (!place->set_known && test_count(&content) > 0) {
            place->set = set_of_content(&content);
            place->set_known = true;
        }
        place->year = place->year != 0 ? place->year : content.year;
    }
    Status status = join_places(b);
    for (uint32_t i = 0; i < b->found_count; i++) {
        b->found[i].set = b->places[b->found[i].place].set;
    }
    return status;
}
