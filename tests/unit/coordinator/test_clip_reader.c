// SPDX-License-Identifier: Apache-2.0
//
// Parts of clips' files, read beside the loop.
#include <poll.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/server/clip_reader.h"
#include "proto/message.h"
#include "tests/unit/test.h"

static char folder[256];
static ClipReader *reader;

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    reader = clip_reader_new();
    CHECK(reader != NULL);
}

static void end(void) {
    clip_reader_free(reader);
    file_remove_tree(folder);
}

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void ask(PeerId peer, const char *name, uint64_t offset) {
    Digest clip = digest_of(name, strlen(name));
    CHECK_OK(clip_reader_ask(reader, peer, clip, in_folder(name), offset));
}

static ClipPart next(void) {
    ClipPart part;
    while (!clip_reader_take(reader, &part)) {
        struct pollfd fd = {.fd = clip_reader_fd(reader), .events = POLLIN};
        CHECK(poll(&fd, 1, 20000) == 1);
    }
    return part;
}

TEST(a_file_comes_in_parts_as_they_are_asked_for) {
    begin();
    size_t size = 2 * PROTO_PIECE_BYTES + 5;
    char *bytes = mem_new(size, 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    CHECK_OK(file_write(in_folder("a"), bytes, size));
    CHECK_OK(file_write(in_folder("empty"), "", 0));
    uint64_t version = 0;
    static const uint64_t OFFSETS[] = {2 * PROTO_PIECE_BYTES, 0, PROTO_PIECE_BYTES, 1u << 30};
    for (uint32_t i = 0; i < 4; i++) {
        ask(i, "a", OFFSETS[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        ClipPart part = next();
        uint64_t left = OFFSETS[i] < size ? size - OFFSETS[i] : 0;
        CHECK_TEXT(part.reason, "");
        CHECK_INT(part.peer, i);
        CHECK(part.offset == OFFSETS[i] && part.size_bytes == size);
        CHECK_INT(part.bytes.size, left < PROTO_PIECE_BYTES ? left : PROTO_PIECE_BYTES);
        CHECK(part.bytes.size == 0 ||
              memcmp(part.bytes.bytes, bytes + OFFSETS[i], part.bytes.size) == 0);
        CHECK(i == 0 || part.version == version);
        version = part.version;
        buffer_done(&part.bytes);
    }
    bytes[7]++;
    CHECK_OK(file_write(in_folder("a"), bytes, size));
    ask(9, "a", 0);
    ask(9, "empty", 0);
    ClipPart part = next();
    CHECK(part.version != version);
    buffer_done(&part.bytes);
    part = next();
    CHECK(part.reason[0] == '\0' && part.size_bytes == 0 && part.bytes.size == 0);
    buffer_done(&part.bytes);
    mem_free(bytes);
    end();
}

TEST(what_is_no_file_is_said_without_any_folder) {
    begin();
    CHECK_OK(file_make_folders(in_folder("folder")));
    CHECK_INT(mkfifo(in_folder("pipe"), 0600), 0);
    static const char *const NAMES[] = {"absent", "folder", "pipe"};
    static const char *const REASONS[] = {"No such file", "plain file", "plain file"};
    for (int i = 0; i < 3; i++) {
        ask(1, NAMES[i], 0);
        ClipPart part = next();
        CHECK_HAS(part.reason, REASONS[i]);
        CHECK(strstr(part.reason, folder) == NULL);
        buffer_done(&part.bytes);
    }
    end();
}

TEST(it_rests_while_nothing_is_taken_and_ends_with_parts_left) {
    begin();
    char *bytes = mem_new(PROTO_PIECE_BYTES, 1);
    CHECK_OK(file_write(in_folder("a"), bytes, PROTO_PIECE_BYTES));
    mem_free(bytes);
    for (uint32_t i = 0; i < 200; i++) {
        ask(i, "a", 0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        ClipPart part = next();
        CHECK_INT(part.peer, i);
        buffer_done(&part.bytes);
    }
    end();
    CHECK_INT(mem_blocks(), 0);
}

TEST_MAIN_LIST(T(a_file_comes_in_parts_as_they_are_asked_for)
                   T(what_is_no_file_is_said_without_any_folder)
                       T(it_rests_while_nothing_is_taken_and_ends_with_parts_left))
