// SPDX-License-Identifier: Apache-2.0
//
// The worker's bulk lane against a coordinator made of a Listener, which may send what it should
// not.
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "tests/unit/test.h"
#include "worker/bulk.h"

typedef struct Script {
    bool refuses_attach;
    bool misses_first; // before each blob: a MISSING for another digest, left from a cancelled task
    bool is_missing;   // MISSING instead of the blob
    bool stale_first;  // before each blob: another blob, left from a cancelled task
    bool spoils_digest; // the blob's bytes are not what its digest says
    bool is_silent;     // no answer to GET and sums; the task is cancelled meanwhile
    bool echoes;        // ECHO between header and pieces
    bool breaks_once;   // the connection ends at the first GET or blob
    uint64_t withheld;  // the answer to GET comes once so many steps were told
} Script;

static Script script;
static Desk *desk;
static Bulk *bulk;
static ZmqContext *context;
static Listener *listener;
static pthread_t thread;
static atomic_bool stops;
static atomic_int attaches, received; // ATTACHes; complete blobs from the worker
static Buffer stored;                 // what GET gives
static atomic_ullong told;            // of progress
static atomic_bool has_shrunk;        // it
static char folder[256];

// ---- the coordinator ----

static void reply(PeerId peer, const Message *message, const void *payload, size_t payload_size) {
    Buffer bytes = BUFFER_EMPTY;
    message_encode(message, &bytes);
    (void)listener_send(listener, LANE_BULK, peer, bytes.bytes, bytes.size, payload, payload_size);
    buffer_done(&bytes);
}

typedef struct Reply {
    PeerId peer;
    const char *bytes;
} Reply;

static Status emit(void *to, const void *bytes, size_t size, size_t offset, size_t payload_size) {
    const Reply *out = to;
    const char *payload = payload_size > 0 ? out->bytes + offset : NULL;
    if (script.echoes) {
        reply(out->peer, &(Message){.type = MESSAGE_ECHO}, NULL, 0);
    }
    return listener_send(listener, LANE_BULK, out->peer, bytes, size, payload, payload_size);
}

static void reply_blob(PeerId peer, const Message *header, const char *bytes, size_t size) {
    Reply out = {peer, bytes};
    (void)blob_send(header, size, emit, &out);
}

static void reply_stale(PeerId peer) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_OBJECT;
    header.blob.digest = digest_of("stale", 5);
    if (script.stale_first) {
        reply_blob(peer, &header, "stale", 5);
    }
    if (script.misses_first) {
        Digest other = digest_of("other", 5);
        reply(peer, &(Message){.type = MESSAGE_MISSING, .missing = {other}}, NULL, 0);
    }
}

// What the session thread would send.
static uint64_t steps_told(void) {
    DeskProgress progress;
    if (desk_take_progress(desk, &progress)) {
        has_shrunk = has_shrunk || progress.done <= told;
        told = progress.done;
    }
    return told;
}

static void on_get(PeerId peer, Digest digest) {
    if (script.is_silent) {
        return;
    }
    while (steps_told() < script.withheld) {
        sched_yield();
    }
    reply_stale(peer);
    if (script.is_missing) {
        reply(peer, &(Message){.type = MESSAGE_MISSING, .missing = {digest}}, NULL, 0);
        return;
    }
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_OBJECT;
    header.blob.digest = digest;
    if (script.spoils_digest) {
        stored.bytes[0] ^= 1;
    }
    reply_blob(peer, &header, stored.bytes, stored.size);
}

// The total of a round is the sum with every byte one greater.
static void on_sum(PeerId peer, const BlobAssembler *sum) {
    atomic_fetch_add(&received, 1);
    if (script.is_silent || sum->header.blob.kind == BLOB_STATE) {
        return;
    }
    reply_stale(peer);
    Message header = sum->header;
    char *total = mem_copy(sum->bytes.bytes, sum->bytes.size);
    for (size_t i = 0; i < sum->bytes.size; i++) {
        total[i]++;
    }
    header.blob.kind = BLOB_TOTAL;
    header.blob.digest = digest_of(total, sum->bytes.size);
    if (script.stale_first) {
        header.blob.round--;
        reply_blob(peer, &header, total, sum->bytes.size);
        header.blob.round++;
    }
    reply_blob(peer, &header, total, sum->bytes.size);
    mem_free(total);
}

// A new listener at the old place.
static void break_connections(void) {
    char endpoint[512];
    snprintf(endpoint, sizeof endpoint, "%s", listener_endpoint(listener));
    listener_close(listener);
    Status status;
    do { // until libzmq has closed the old sockets
        status = listener_open(context, endpoint, 4, &listener);
    } while (status != STATUS_OK);
}

static void on_message(PeerId peer, const Message *message, BlobAssembler *assembler,
                       const ListenerEvent *event) {
    if (message->type == MESSAGE_ATTACH) {
        atomic_fetch_add(&attaches, 1);
        blob_assembler_done(assembler); // half a blob of the connection before
        Message refused = {.type = MESSAGE_REFUSED};
        refused.refused.code = REFUSED_MALFORMED;
        refused.refused.text = "unknown token";
        reply(peer, script.refuses_attach ? &refused : &(Message){.type = MESSAGE_ATTACHED}, NULL,
              0);
    } else if (script.breaks_once) {
        script.breaks_once = false;
        blob_assembler_done(assembler);
        break_connections();
    } else if (message->type == MESSAGE_GET) {
        on_get(peer, message->get.digest);
    } else if (blob_take(assembler, message, event->payload, event->payload_size) == STATUS_OK) {
        on_sum(peer, assembler);
    }
}

static void *coordinate(void *unused) {
    (void)unused;
    Decoded *decoded = decoded_new();
    BlobAssembler assembler = {0};
    while (!stops) {
        ListenerEvent event;
        listener_wait(listener, 20);
        while (listener_next(listener, &event)) {
            const Message *message;
            if (event.kind == LISTENER_MESSAGE &&
                message_decode(decoded, event.bytes, event.size, &message) == STATUS_OK) {
                on_message(event.peer, message, &assembler, &event);
            }
        }
    }
    blob_assembler_done(&assembler);
    decoded_free(decoded);
    return NULL;
}

// ---- the worker ----

static void open_session(uint64_t number) {
    DeskSession *session = mem_new(1, sizeof *session);
    session->token = digest_of(&number, sizeof number);
    CHECK_OK(line_bulk_endpoint(listener_endpoint(listener), listener_bulk_port(listener),
                                session->bulk_endpoint));
    desk_open_session(desk, session);
    mem_free(session);
}

static void take_task(uint64_t number) {
    DeskTask task = {.task = number, .attempt = number};
    CHECK_OK(desk_put_tasks(desk, &task, 1));
    CHECK(desk_next_task(desk, &task));
}

static void answer_task(void) {
    Buffer body = BUFFER_EMPTY;
    desk_answer(desk, RESULT_DONE, &body);
    DeskAnswer answer;
    while (desk_take_answers(desk, &answer, 1) > 0) {
        buffer_done(&answer.body);
    }
}

static void begin(Script wanted) {
    char endpoint[512];
    script = wanted;
    stops = false;
    attaches = received = 0;
    told = 0;
    has_shrunk = false;
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(endpoint, sizeof endpoint, "ipc://%s/c", folder);
    context = zmq_context_new();
    CHECK_OK(listener_open(context, endpoint, 4, &listener));
    for (int i = 0; i < 600000; i++) {
        unsigned char byte = (unsigned char)(i * 7 + i / 1000);
        buffer_append(&stored, &byte, 1);
    }
    CHECK(pthread_create(&thread, NULL, coordinate, NULL) == 0);
    desk = desk_new();
    bulk = bulk_new(context, desk);
    CHECK(desk != NULL && bulk != NULL);
    open_session(1);
    take_task(1);
}

static void end(void) {
    bulk_free(bulk);
    desk_free(desk);
    stops = true;
    pthread_join(thread, NULL);
    listener_close(listener);
    zmq_context_free(context);
    buffer_done(&stored);
    file_remove_tree(folder);
}

static Status get(void) {
    Buffer got = BUFFER_EMPTY;
    Digest digest = digest_of(stored.bytes, stored.size);
    Status status = bulk_get(bulk, digest, &got);
    if (status == STATUS_OK) {
        CHECK_INT(got.size, stored.size);
        CHECK(memcmp(got.bytes, stored.bytes, got.size) == 0);
    }
    buffer_done(&got);
    return status;
}

static Status exchange(uint32_t round) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_PARTIAL;
    header.blob.task = header.blob.attempt = 1;
    header.blob.epoch = 3;
    header.blob.round = round;
    header.blob.first = 2;
    header.blob.count = 2;
    char sum[] = "abc";
    sum[0] = (char)('a' + round % 20);
    const Buffer *total = NULL;
    Status status = bulk_exchange(bulk, &header, sum, 3, BLOB_TOTAL, &total);
    if (status == STATUS_OK) {
        CHECK_INT(total->size, 3);
        CHECK(total->bytes[0] == sum[0] + 1 && total->bytes[1] == 'c');
    }
    return status;
}

TEST(blobs_are_fetched_and_sums_exchanged_over_one_connection) {
    begin((Script){0});
    CHECK_OK(get());
    for (uint32_t round = 0; round < 50; round++) {
        CHECK_OK(exchange(round));
    }
    CHECK_OK(get());
    CHECK_INT(attaches, 1);
    end();
}

// Over a slow wire each may take longer than the lease of the task that needs the blob.
TEST(pieces_of_a_blob_and_waiting_for_them_are_progress) {
    begin((Script){.withheld = 2});
    CHECK_OK(get());
    CHECK(steps_told() >= 2 + 1 + 3); // seconds, header, pieces
    CHECK(!has_shrunk);
    end();
}

TEST(echoes_between_pieces_are_passed_over) {
    begin((Script){.echoes = true});
    CHECK_OK(get());
    CHECK_OK(exchange(0));
    end();
}

TEST(what_is_left_of_cancelled_tasks_is_passed_over) {
    begin((Script){.stale_first = true});
    CHECK_OK(get());
    CHECK_OK(exchange(5));
    end();
}

TEST(a_missing_blob_of_a_cancelled_task_does_not_fail_the_next) {
    begin((Script){.misses_first = true});
    CHECK_OK(get());
    CHECK_OK(exchange(5));
    end();
}

TEST(a_blob_that_the_coordinator_has_no_more_stops_the_task) {
    begin((Script){.is_missing = true});
    CHECK(get() == STATUS_STOPPED);
    script.is_missing = false;
    CHECK_OK(get()); // the connection is none the worse
    CHECK_INT(attaches, 1);
    end();
}

TEST(a_blob_that_is_not_what_its_digest_says_is_refused) {
    begin((Script){.spoils_digest = true});
    CHECK(get() == STATUS_FORMAT);
    script.spoils_digest = false;
    stored.bytes[0] ^= 1;
    CHECK_OK(get()); // over a new connection: the old one may be out of step
    CHECK_INT(attaches, 2);
    end();
}

TEST(a_refused_bulk_lane_is_an_error_and_tried_again) {
    begin((Script){.refuses_attach = true});
    CHECK(get() == STATUS_IO);
    script.refuses_attach = false;
    CHECK_OK(get());
    CHECK_INT(attaches, 2);
    end();
}

static void *cancel_soon(void *unused) {
    (void)unused;
    while (received == 0) {
        sched_yield();
    }
    desk_cancel(desk, 1, 1);
    return NULL;
}

TEST(cancelling_wakes_a_member_that_waits_for_its_total) {
    begin((Script){.is_silent = true});
    pthread_t canceller;
    CHECK(pthread_create(&canceller, NULL, cancel_soon, NULL) == 0);
    CHECK(exchange(0) == STATUS_STOPPED);
    pthread_join(canceller, NULL);
    CHECK(get() == STATUS_STOPPED); // still the same task
    answer_task();
    script.is_silent = false;
    take_task(2);
    CHECK_OK(get());
    CHECK_INT(attaches, 1);
    end();
}

TEST(what_a_lost_connection_had_under_way_begins_again_over_a_new_one) {
    begin((Script){.breaks_once = true});
    CHECK_OK(get());
    CHECK_INT(attaches, 2);
    script.breaks_once = true;
    CHECK_OK(exchange(0));
    CHECK_INT(attaches, 3);
    end();
}

TEST(a_new_session_gets_a_connection_of_its_own) {
    begin((Script){0});
    CHECK_OK(get());
    answer_task();
    open_session(2);
    take_task(2);
    CHECK_OK(get());
    CHECK_INT(attaches, 2);
    end();
}

TEST(a_state_is_put_without_waiting_for_an_answer) {
    begin((Script){0});
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_STATE;
    CHECK_OK(bulk_put(bulk, &header, stored.bytes, stored.size));
    CHECK_OK(exchange(0)); // behind it, so both have arrived
    CHECK_INT(received, 2);
    end();
}

TEST(a_connection_that_rests_is_closed_unless_something_is_on_its_way) {
    begin((Script){0});
    bulk_rest(bulk, 0); // nothing to close
    CHECK_OK(get());
    bulk_rest(bulk, 60000);
    CHECK_OK(get());
    CHECK_INT(attaches, 1);
    bulk_rest(bulk, 0);
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_STATE;
    CHECK_OK(bulk_put(bulk, &header, stored.bytes, stored.size));
    CHECK_INT(attaches, 2);
    bulk_rest(bulk, 0);
    CHECK_OK(exchange(0)); // behind it, so both have arrived
    CHECK_INT(attaches, 2);
    CHECK_INT(received, 2);
    bulk_rest(bulk, 0);
    CHECK_OK(exchange(1));
    CHECK_INT(attaches, 3);
    end();
}

TEST_MAIN_LIST(
    T(blobs_are_fetched_and_sums_exchanged_over_one_connection) T(
        pieces_of_a_blob_and_waiting_for_them_are_progress) T(echoes_between_pieces_are_passed_over)
        T(what_is_left_of_cancelled_tasks_is_passed_over)
            T(a_missing_blob_of_a_cancelled_task_does_not_fail_the_next)
                T(a_blob_that_the_coordinator_has_no_more_stops_the_task)
                    T(a_blob_that_is_not_what_its_digest_says_is_refused) T(
                        a_refused_bulk_lane_is_an_error_and_tried_again)
                        T(cancelling_wakes_a_member_that_waits_for_its_total) T(
                            what_a_lost_connection_had_under_way_begins_again_over_a_new_one)
                            T(a_new_session_gets_a_connection_of_its_own) T(
                                a_state_is_put_without_waiting_for_an_answer)
                                T(a_connection_that_rests_is_closed_unless_something_is_on_its_way))
