// SPDX-License-Identifier: Apache-2.0
//
// Clips that come from a coordinator made of a Listener, which may be slow, or send another file.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "tests/unit/test.h"
#include "worker/clip_fetch.h"

enum { CLIP_BYTES = 2 * PROTO_PIECE_BYTES + 1000, PARTS = 3 };

typedef struct Script {
    uint64_t withheld;    // the last part comes once so many steps were told
    bool changes_once;    // the file is another one from the second part on, until begun anew
    bool is_larger;       // than was scanned
    bool is_not_here;     // NOT_HERE instead
    bool sends_too_short; // parts that are less than was asked for
    bool holds_back;      // all but the first part of a clip, until that is asked for again
} Script;

static Script script;
static Desk *desk;
static ClipCache *cache;
static ClipFetch *fetch;
static ZmqContext *context;
static Listener *listener;
static pthread_t thread;
static atomic_bool stops;
static uint64_t version;
static Message held[PROTO_PARTS];
static int held_count, beginnings; // times that the clip's first part was asked for
static atomic_int attaches;
static char clip[CLIP_BYTES], folder[256];
static atomic_ullong told; // of progress
static atomic_bool is_odd; // it has shrunk, or is another task's

// ---- the coordinator ----

static void reply(PeerId peer, const Message *message, const void *payload, size_t payload_size) {
    Buffer bytes = BUFFER_EMPTY;
    message_encode(message, &bytes);
    (void)listener_send(listener, LANE_BULK, peer, bytes.bytes, bytes.size, payload, payload_size);
    buffer_done(&bytes);
}

static ClipWish wish_of(Digest digest) {
    return (ClipWish){digest_of("name", 4), CLIP_BYTES, digest};
}

// What the session thread would send.
static uint64_t steps_told(void) {
    DeskProgress progress;
    if (desk_take_progress(desk, &progress)) {
        is_odd = is_odd || progress.done <= told || progress.task != 7 || progress.attempt != 8 ||
                 progress.total != 0;
        told = progress.done;
    }
    return told;
}

static void on_fetch(PeerId peer, const Message *asked) {
    uint64_t offset = asked->fetch.offset;
    size_t size = CLIP_BYTES - offset < PROTO_PIECE_BYTES ? CLIP_BYTES - offset : PROTO_PIECE_BYTES;
    while (offset + size == CLIP_BYTES && steps_told() < script.withheld) {
        sched_yield();
    }
    if (script.is_not_here) {
        Message no = {.type = MESSAGE_NOT_HERE};
        no.not_here.clip = asked->fetch.clip;
        no.not_here.reason = "it was eaten";
        reply(peer, &no, NULL, 0);
        return;
    }
    if (script.changes_once && offset > 0) {
        script.changes_once = false;
        version++;
    }
    Message part = {.type = MESSAGE_PART};
    part.part.clip = asked->fetch.clip;
    part.part.offset = offset;
    part.part.size_bytes = CLIP_BYTES + script.is_larger;
    part.part.version = version;
    reply(peer, &part, clip + offset, size - script.sends_too_short);
}

static bool is_held_back(const Message *asked) {
    if (!script.holds_back || !digest_equal(asked->fetch.clip, digest_of("name", 4))) {
        return false;
    }
    beginnings += asked->fetch.offset == 0;
    if (beginnings < 2 && asked->fetch.offset > 0) {
        held[held_count++] = *asked;
        return true;
    }
    return false;
}

static void take_fetch(PeerId peer, const Message *asked) {
    if (is_held_back(asked)) {
        return;
    }
    for (int i = 0; beginnings == 2 && i < held_count; i++) {
        on_fetch(peer, &held[i]);
    }
    held_count = beginnings == 2 ? 0 : held_count;
    on_fetch(peer, asked);
}

static void *coordinate(void *unused) {
    (void)unused;
    Decoded *decoded = decoded_new();
    while (!stops) {
        ListenerEvent event;
        listener_wait(listener, 20);
        while (listener_next(listener, &event)) {
            const Message *message;
            if (event.kind != LISTENER_MESSAGE ||
                message_decode(decoded, event.bytes, event.size, &message) != STATUS_OK) {
                continue;
            }
            if (message->type == MESSAGE_ATTACH) {
                attaches++;
                reply(event.peer, &(Message){.type = MESSAGE_ATTACHED}, NULL, 0);
            } else if (message->type == MESSAGE_FETCH) {
                take_fetch(event.peer, message);
            }
        }
    }
    decoded_free(decoded);
    return NULL;
}

// ---- the worker ----

static void open_session(void) {
    DeskSession *session = mem_new(1, sizeof *session);
    session->token = digest_of("token", 5);
    CHECK_OK(line_bulk_endpoint(listener_endpoint(listener), listener_bulk_port(listener),
                                session->bulk_endpoint));
    desk_open_session(desk, session);
    mem_free(session);
    DeskTask task = {.task = 7, .attempt = 8};
    CHECK_OK(desk_put_tasks(desk, &task, 1));
    CHECK(desk_next_task(desk, &task));
}

static void begin(Script wanted) {
    char endpoint[512];
    script = wanted;
    stops = false;
    version = 1;
    held_count = beginnings = 0;
    attaches = 0;
    told = 0;
    is_odd = false;
    for (int i = 0; i < CLIP_BYTES; i++) {
        clip[i] = (char)(i * 7 + i / 1000);
    }
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(endpoint, sizeof endpoint, "ipc://%s/c", folder);
    context = zmq_context_new();
    CHECK_OK(listener_open(context, endpoint, 4, &listener));
    CHECK_OK(clip_cache_open(NULL, 1 << 30, &cache));
    desk = desk_new();
    fetch = clip_fetch_new(context, desk, cache);
    CHECK(desk != NULL && fetch != NULL);
    open_session();
    CHECK(pthread_create(&thread, NULL, coordinate, NULL) == 0);
}

static void end(void) {
    clip_fetch_free(fetch);
    stops = true;
    pthread_join(thread, NULL);
    desk_free(desk);
    clip_cache_close(cache);
    listener_close(listener);
    zmq_context_free(context);
    file_remove_tree(folder);
}

static Status get(Digest digest) {
    ClipWish wish = wish_of(digest);
    int fd = -1;
    Status status = clip_fetch_get(fetch, &wish, &fd);
    if (status == STATUS_OK) {
        char path[64];
        Buffer bytes = BUFFER_EMPTY;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        CHECK_OK(file_read(path, CLIP_BYTES, &bytes));
        CHECK(bytes.size == CLIP_BYTES && memcmp(bytes.bytes, clip, CLIP_BYTES) == 0);
        buffer_done(&bytes);
        close(fd);
    }
    return status;
}

static Digest digest_of_clip(void) {
    return digest_of(clip, CLIP_BYTES);
}

TEST(a_clip_comes_whole_and_every_part_is_progress) {
    begin((Script){0});
    CHECK_OK(get(digest_of_clip()));
    CHECK_INT(steps_told(), PARTS);
    CHECK(!is_odd);
    end();
}

// A part over a slow wire may take longer than the lease of the task that needs it.
TEST(waiting_for_a_part_is_progress) {
    begin((Script){.withheld = PARTS - 1 + 2});
    CHECK_OK(get(digest_of_clip()));
    CHECK(steps_told() >= PARTS + 2);
    CHECK(!is_odd);
    end();
}

TEST(a_file_that_changes_meanwhile_is_begun_anew) {
    begin((Script){.changes_once = true});
    CHECK_OK(get(digest_of_clip()));
    CHECK_INT(version, 2);
    end();
}

TEST(a_file_of_another_size_or_content_is_not_taken) {
    begin((Script){.is_larger = true});
    CHECK_INT(get((Digest){0}), STATUS_MISMATCH);
    CHECK_HAS(status_message(), "changed since it was scanned");
    script.is_larger = false;
    CHECK_INT(get(digest_of("other", 5)), STATUS_MISMATCH);
    CHECK_HAS(status_message(), "changed since it was first read");
    CHECK_OK(get((Digest){0}));
    end();
}

TEST(a_clip_that_is_not_there_is_told_with_its_reason) {
    begin((Script){.is_not_here = true});
    CHECK_INT(get(digest_of_clip()), STATUS_IO);
    CHECK_HAS(status_message(), "it was eaten");
    script.is_not_here = false;
    CHECK_OK(get(digest_of_clip())); // whatever was still under way
    end();
}

TEST(parts_that_are_not_what_was_asked_for_are_refused) {
    begin((Script){.sends_too_short = true});
    CHECK_INT(get(digest_of_clip()), STATUS_IO); // no fact of the clip
    CHECK_HAS(status_message(), "a part of a clip that was not asked for");
    end();
}

static void get_other(const char *name) {
    ClipWish wish = wish_of(digest_of_clip());
    wish.name = digest_of(name, strlen(name));
    int fd = -1;
    CHECK_OK(clip_fetch_get(fetch, &wish, &fd));
    close(fd);
}

// As when a task that waited is taken back and comes again: parts that were asked for the first
// time are still under way.
TEST(a_clip_that_was_forgotten_and_is_wanted_again_comes_whole) {
    begin((Script){.holds_back = true});
    ClipWish wish = wish_of(digest_of_clip());
    CHECK_OK(clip_fetch_expect(fetch, &wish, 1));
    get_other("first");
    CHECK_OK(clip_fetch_expect(fetch, NULL, 0));
    get_other("second");
    CHECK_OK(get(digest_of_clip()));
    CHECK_INT(beginnings, 2);
    end();
}

TEST(a_connection_that_rests_is_closed_unless_parts_are_on_their_way) {
    begin((Script){0});
    clip_fetch_rest(fetch, 0); // nothing to close
    CHECK_OK(get((Digest){0}));
    clip_fetch_rest(fetch, 60000);
    get_other("second");
    CHECK_INT(attaches, 1);
    clip_fetch_rest(fetch, 0);
    ClipWish wish = wish_of(digest_of_clip());
    CHECK_OK(clip_fetch_expect(fetch, &wish, 1));
    get_other("third"); // and a first part of what is expected
    CHECK_INT(attaches, 2);
    clip_fetch_rest(fetch, 0);
    CHECK_OK(get(digest_of_clip()));
    CHECK_INT(attaches, 2);
    end();
}

TEST_MAIN_LIST(T(a_clip_comes_whole_and_every_part_is_progress) T(waiting_for_a_part_is_progress) T(
    a_file_that_changes_meanwhile_is_begun_anew) T(a_file_of_another_size_or_content_is_not_taken)
                   T(a_clip_that_is_not_there_is_told_with_its_reason)
                       T(parts_that_are_not_what_was_asked_for_are_refused)
                           T(a_clip_that_was_forgotten_and_is_wanted_again_comes_whole)
                               T(a_connection_that_rests_is_closed_unless_parts_are_on_their_way))
