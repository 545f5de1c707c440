// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/model/linalg.h"
#include "proto/channel.h"
#include "proto/message.h"

enum {
    TRY_MS = 20, // for a connection, before another try
    WELCOME_MS = 5000,
    LOOK_MS = 1, // between looks at what the bench wants
    ALIVE_MS = 500,
    SEAT_LOOK_MS = 20, // between looks at each of a crowd
    SEAT_CREDITS = 2,
};

typedef struct Client {
    const ClientConfig *config;
    ZmqContext *context;
    Line *line;
    Decoded *decoded;
    Buffer bytes;   // of the message being sent
    uint32_t asked; // credits
    bool waits;     // for the ECHO that follows the last credit
    int64_t sent_ms;
    Digest token;
    uint32_t bulk_port;
    int64_t alive_ms; // as the coordinator says
} Client;

static Status send_message(Client *client, Line *line, const Message *message, int64_t timeout_ms) {
    buffer_clear(&client->bytes);
    message_encode(message, &client->bytes);
    client->sent_ms = clock_ms();
    return client->bytes.status == STATUS_OK
               ? line_send(line, client->bytes.bytes, client->bytes.size, NULL, 0, timeout_ms)
               : client->bytes.status;
}

static Status say_hello(Client *client, uint32_t number, int64_t timeout_ms) {
    const ClientConfig *config = client->config;
    long id[2] = {(long)getpid(), (long)number};
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = PROTOCOL_LEAST;
    hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = "auscult-bench";
    hello.hello.worker_id = digest_of(id, sizeof id);
    hello.hello.name = "bench";
    hello.hello.threads = 1;
    hello.hello.kernel = linalg_kernel_name((Kernel)config->bench->settings.numerics);
    hello.hello.fingerprint = config->fingerprint->digest;
    hello.hello.libraries = config->fingerprint->parts;
    return send_message(client, client->line, &hello, timeout_ms);
}

// The next message of a type, others passed over.
static Status await(Client *client, Line *line, MessageType type, const Message **ret) {
    for (;;) {
        LineMessage raw;
        bool woken;
        Status status = line_receive(line, -1, WELCOME_MS, &raw, &woken);
        if (status == STATUS_OK) {
            status = message_decode(client->decoded, raw.bytes, raw.size, ret);
        }
        if (status != STATUS_OK || (*ret)->type == type) {
            return status;
        }
    }
}

static Status join(Client *client, uint32_t number, int64_t timeout_ms) {
    const Message *welcome;
    Status status =
        line_open(client->context, client->config->endpoint, LANE_CONTROL, &client->line);
    if (status == STATUS_OK) {
        status = say_hello(client, number, timeout_ms);
    }
    if (status == STATUS_OK) {
        status = await(client, client->line, MESSAGE_WELCOME, &welcome);
    }
    if (status != STATUS_OK) {
        line_close(client->line);
        client->line = NULL;
        return status;
    }
    atomic_store(&client->config->told->welcome_ns, clock_ns());
    atomic_fetch_add(&client->config->told->welcomes, 1);
    client->token = welcome->welcome.token;
    client->bulk_port = welcome->welcome.bulk_port;
    client->alive_ms = welcome->welcome.alive_ms;
    return STATUS_OK;
}

// ---- one ----

static Status answer(Client *client, const Message *message) {
    WireResult results[PROTO_BUNDLE];
    for (uint32_t i = 0; i < message->tasks.count; i++) {
        results[i] = (WireResult){.task = message->tasks.items[i].task,
                                  .attempt = message->tasks.items[i].attempt,
                                  .outcome = RESULT_DONE,
                                  .body = ""};
    }
    Message said = {.type = MESSAGE_RESULTS, .results = {results, message->tasks.count}};
    return send_message(client, client->line, &said, WELCOME_MS);
}

static Status handle(Client *client, const Message *message) {
    ClientTold *told = client->config->told;
    if (message->type == MESSAGE_TASKS) {
        atomic_store(&told->task_ns, clock_ns());
        atomic_fetch_add(&told->tasks, message->tasks.count);
        return client->config->answers ? answer(client, message) : STATUS_OK;
    }
    if (message->type == MESSAGE_ECHO && client->waits) {
        client->waits = false;
        atomic_store(&told->granted, client->asked);
    }
    return message->type == MESSAGE_END ? STATUS_STOPPED : STATUS_OK;
}

// Credit is not answered, a sign of life is: once that came, the coordinator has read both.
static Status ask(Client *client) {
    uint32_t wanted = atomic_load(&client->config->told->credits);
    Status status = STATUS_OK;
    if (wanted > client->asked) {
        Message credit = {.type = MESSAGE_CREDIT, .credit = {wanted - client->asked}};
        client->asked = wanted;
        client->waits = true;
        status = send_message(client, client->line, &credit, WELCOME_MS);
    }
    return status == STATUS_OK && (client->waits || clock_ms() - client->sent_ms > ALIVE_MS)
               ? send_message(client, client->line, &(Message){.type = MESSAGE_ALIVE}, WELCOME_MS)
               : status;
}

static Status work(Client *client) {
    LineMessage raw;
    const Message *message;
    bool woken;
    Status status = ask(client);
    while (status == STATUS_OK) {
        status = line_receive(client->line, -1, LOOK_MS, &raw, &woken);
        if (status == STATUS_OK) {
            status = message_decode(client->decoded, raw.bytes, raw.size, &message);
            status = status == STATUS_OK ? handle(client, message) : status;
        } else if (status == STATUS_AGAIN) {
            status = ask(client);
        }
    }
    return status;
}

static bool open_client(Client *client, const ClientConfig *config) {
    *client = (Client){.config = config,
                       .context = zmq_context_new(),
                       .decoded = decoded_new(),
                       .bytes = BUFFER_EMPTY};
    bool complete = client->context != NULL && client->decoded != NULL;
    if (complete && config->keys != NULL) {
        WorkerKeys keys;
        complete = keys_read_worker(config->keys, &keys) == STATUS_OK &&
                   zmq_context_unlock(client->context, &keys) == STATUS_OK;
        keys_wipe(&keys, sizeof keys);
    }
    return complete;
}

static int be_client(void *context) {
    Client client;
    if (!open_client(&client, context)) {
        return 1;
    }
    while (join(&client, 0, TRY_MS) != STATUS_OK) {
    }
    (void)work(&client);
    return 0; // the system takes the rest back
}

// ---- many ----

static Status attach(Client *client, Line **ret_bulk) {
    char endpoint[CHANNEL_ADDRESS_BYTES];
    const Message *attached;
    Message message = {.type = MESSAGE_ATTACH, .attach = {.token = client->token}};
    Status status = line_bulk_endpoint(client->config->endpoint, client->bulk_port, endpoint);
    if (status == STATUS_OK) {
        status = line_open(client->context, endpoint, LANE_BULK, ret_bulk);
    }
    if (status == STATUS_OK) {
        status = send_message(client, *ret_bulk, &message, WELCOME_MS);
    }
    return status == STATUS_OK ? await(client, *ret_bulk, MESSAGE_ATTACHED, &attached) : status;
}

static void allow_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); // where it is too low, opening says so
    }
}

// One of a crowd.
typedef struct Seat {
    Line *line, *bulk;
    int64_t sent_ms;     // something, last
    int64_t attached_ms; // the bulk lane, which none of the tasks uses
} Seat;

typedef struct Crowd {
    Client client; // that speaks for each in turn
    Seat *seats;   // (config->sessions)
} Crowd;

static Status send_credit(Client *client, uint32_t count) {
    Message credit = {.type = MESSAGE_CREDIT, .credit = {count}};
    return send_message(client, client->line, &credit, WELCOME_MS);
}

static Status take_seat(Crowd *crowd, uint32_t number) {
    Client *client = &crowd->client;
    Line *bulk = NULL;
    Status status = join(client, number, WELCOME_MS);
    if (status == STATUS_OK) {
        status = attach(client, &bulk);
    }
    if (status == STATUS_OK) {
        status = send_credit(client, SEAT_CREDITS);
    }
    crowd->seats[number] = (Seat){client->line, bulk, clock_ms(), clock_ms()};
    return status;
}

// What has come for the seat, answered, and a sign of life if one is due.
static Status tend(Crowd *crowd, Seat *seat, int64_t now_ms) {
    Client *client = &crowd->client;
    LineMessage raw;
    const Message *message;
    bool woken;
    Status status;
    if (seat->bulk != NULL && now_ms - seat->attached_ms >= PROTO_REST_MS) {
        line_close(seat->bulk);
        seat->bulk = NULL;
    }
    client->line = seat->line;
    client->sent_ms = seat->sent_ms;
    uint32_t done;
    while ((status = line_receive(seat->line, -1, 0, &raw, &woken)) == STATUS_OK) {
        status = message_decode(client->decoded, raw.bytes, raw.size, &message);
        done = status == STATUS_OK && message->type == MESSAGE_TASKS ? message->tasks.count : 0;
        status = status == STATUS_OK ? handle(client, message) : status;
        if (status == STATUS_OK && done > 0) {
            status = send_credit(client, done);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (status == STATUS_AGAIN && now_ms - client->sent_ms >= client->alive_ms) {
        status = send_message(client, seat->line, &(Message){.type = MESSAGE_ALIVE}, WELCOME_MS);
        atomic_fetch_add(&client->config->told->signs, 1);
    }
    seat->sent_ms = client->sent_ms;
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

// Those that are there are tended while others still come.
static Status tend_all(Crowd *crowd, uint32_t count) {
    int64_t now_ms = clock_ms();
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        status = tend(crowd, &crowd->seats[i], now_ms);
    }
    return status;
}

static Status live(Crowd *crowd) {
    const ClientConfig *config = crowd->client.config;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < config->sessions && status == STATUS_OK; i++) {
        status = take_seat(crowd, i);
        if (status == STATUS_OK) {
            status = tend_all(crowd, i + 1);
        }
    }
    atomic_fetch_add(&config->told->granted, status == STATUS_OK ? config->sessions : 0);
    while (status == STATUS_OK) {
        usleep(1000 * SEAT_LOOK_MS);
        status = tend_all(crowd, config->sessions);
    }
    return status;
}

static int be_crowd(void *context) {
    static Crowd crowd;
    allow_files();
    if (!open_client(&crowd.client, context)) {
        return 1;
    }
    crowd.seats = mem_new(crowd.client.config->sessions, sizeof *crowd.seats);
    Status status = crowd.seats != NULL ? live(&crowd) : STATUS_MEMORY;
    if (status != STATUS_STOPPED) {
        fprintf(stderr, "auscult-bench: a session of many: %s\n", status_message());
    }
    return status == STATUS_STOPPED ? 0 : 1;
}

Status client_start(const ClientConfig *config, pid_t *ret_pid) {
    return process_start(config->bench, be_client, (void *)(size_t)config, ret_pid);
}

Status client_start_crowd(const ClientConfig *config, pid_t *ret_pid) {
    return process_start(config->bench, be_crowd, (void *)(size_t)config, ret_pid);
}
