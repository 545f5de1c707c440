// SPDX-License-Identifier: Apache-2.0
//
// The run's memory: what is reported is durable, what is not durable is never reported.
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/journal/journal.h"
#include "tests/unit/test.h"

static char folder[256];

static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    CHECK_OK(file_make_folders(in_folder("fan")));
}

static Digest key_of(uint64_t number) {
    return digest_of(&number, sizeof number);
}

static Journal *open_here(void) {
    Journal *journal = NULL;
    CHECK_OK(journal_open(in_folder("journal.db"), &journal));
    return journal;
}

// The next ticket, waited for at the descriptor.
static Status wait_ticket(Journal *journal, uint64_t *ret_ticket) {
    for (;;) {
        Status status = journal_next(journal, ret_ticket);
        if (status != STATUS_AGAIN) {
            return status;
        }
        struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
        CHECK(poll(&fd, 1, 20000) == 1);
    }
}

static void check_answer(Journal *journal, uint64_t number, const char *text) {
    Buffer body = BUFFER_EMPTY;
    CHECK_OK(journal_answer(journal, key_of(number), &body));
    CHECK_INT(body.size, strlen(text));
    CHECK_TEXT(buffer_cstr(&body), text);
    buffer_done(&body);
}

static uint32_t states_of(Journal *journal, const char *model, JournalState states[2]) {
    uint32_t count = 77;
    CHECK_OK(journal_states(journal, model, states, &count));
    return count;
}

// ---- remembering ----

TEST(answers_states_and_facts_survive_reopening) {
    begin();
    Journal *journal = open_here();
    CHECK_INT(journal_incarnation(journal), 1);
    CHECK_OK(journal_set_fact(journal, "settings", "epochs: 3\n", 10));
    CHECK_OK(journal_set_fact(journal, "settings", "epochs: 4\n", 10));
    CHECK_OK(journal_set_fact(journal, "manifest", "", 0));
    uint64_t ticket;
    CHECK_OK(journal_put_answer(journal, 7, key_of(1), 1, "one", 3));
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_INT(ticket, 7);
    CHECK_OK(journal_put_answer(journal, 8, key_of(2), 3, "", 0));
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_INT(ticket, 8);
    CHECK_OK(journal_put_state(journal, 9, "fan", key_of(50), 12, "state bytes", 11));
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_INT(ticket, 9);
    CHECK(journal_next(journal, &ticket) == STATUS_AGAIN);
    uint64_t of_this;
    CHECK_INT(journal_count(journal, 1, &of_this), 1);
    CHECK_INT(of_this, 1);
    journal_close(journal);

    journal = open_here();
    CHECK_INT(journal_incarnation(journal), 2);
    CHECK_INT(journal_count(journal, 3, &of_this), 1);
    CHECK_INT(of_this, 0);
    check_answer(journal, 1, "one");
    check_answer(journal, 2, "");
    Buffer fact = BUFFER_EMPTY;
    CHECK_OK(journal_fact(journal, "settings", &fact));
    CHECK_TEXT(buffer_cstr(&fact), "epochs: 4\n");
    CHECK_OK(journal_fact(journal, "manifest", &fact));
    CHECK_INT(fact.size, 0);
    buffer_done(&fact);
    JournalState states[2];
    CHECK_INT(states_of(journal, "fan", states), 1);
    CHECK(digest_equal(states[0].plan, key_of(50)));
    CHECK_INT(states[0].epoch, 12);
    CHECK_TEXT(states[0].file, "checkpoint-0.bin");
    CHECK(digest_equal(states[0].digest, digest_of("state bytes", 11)));
    CHECK_OK(file_read(in_folder("fan/checkpoint-0.bin"), 100, &fact));
    CHECK_TEXT(buffer_cstr(&fact), "state bytes");
    buffer_done(&fact);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(what_was_never_put_is_not_found) {
    begin();
    Journal *journal = open_here();
    Buffer out = BUFFER_EMPTY;
    JournalState states[2] = {{.epoch = 77}};
    CHECK(journal_answer(journal, key_of(1), &out) == STATUS_NOT_FOUND);
    CHECK(journal_fact(journal, "settings", &out) == STATUS_NOT_FOUND);
    CHECK_INT(states_of(journal, "fan", states), 0);
    CHECK_INT(states[0].epoch, 77);
    buffer_done(&out);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(each_opening_counts_as_one_coordinator) {
    begin();
    for (uint32_t i = 1; i <= 5; i++) {
        Journal *journal = open_here();
        CHECK_INT(journal_incarnation(journal), i);
        journal_close(journal);
    }
    file_remove_tree(folder);
}

static void copy_file(const char *from, const char *to) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = file_read(from, 1u << 30, &bytes);
    if (status != STATUS_NOT_FOUND) {
        CHECK_OK(status);
        CHECK_OK(file_write_buffer(to, &bytes));
    }
    buffer_done(&bytes);
}

// What the disk holds at this moment, as a process that finds it after a crash would read it.
static Journal *open_copy(void) {
    copy_file(in_folder("journal.db"), in_folder("fan/journal.db"));
    copy_file(in_folder("journal.lock"), in_folder("fan/journal.lock"));
    unlink(in_folder("fan/journal.db-wal"));
    copy_file(in_folder("journal.db-wal"), in_folder("fan/journal.db-wal"));
    Journal *copy = NULL;
    CHECK_OK(journal_open(in_folder("fan/journal.db"), &copy));
    return copy;
}

TEST(a_ticket_comes_only_after_its_answer_is_readable_by_another) {
    begin();
    Journal *journal = open_here();
    for (uint64_t i = 0; i < 40; i++) {
        char text[32];
        snprintf(text, sizeof text, "answer %llu", (unsigned long long)i);
        uint64_t ticket;
        CHECK_OK(journal_put_answer(journal, i, key_of(i), 1, text, strlen(text)));
        CHECK_OK(wait_ticket(journal, &ticket));
        CHECK_INT(ticket, i);
        if (i % 8 == 0) {
            Journal *copy = open_copy();
            check_answer(copy, i, text);
            journal_close(copy);
        }
    }
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(ten_thousand_answers_come_back_once_and_in_order) {
    enum { COUNT = 10000, BURST = 250 };
    begin();
    Journal *journal = open_here();
    uint64_t taken = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_OK(journal_put_answer(journal, i, key_of(i), 1, &i, sizeof i));
        // Taken now and then, so that the list is refilled while it is being emptied.
        while (i % BURST == 0 && taken < i) {
            uint64_t ticket;
            CHECK_OK(wait_ticket(journal, &ticket));
            CHECK_INT(ticket, taken++);
        }
    }
    while (taken < COUNT) {
        uint64_t ticket;
        CHECK_OK(wait_ticket(journal, &ticket));
        CHECK_INT(ticket, taken++);
    }
    journal_close(journal);
    journal = open_here();
    Buffer body = BUFFER_EMPTY;
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_OK(journal_answer(journal, key_of(i), &body));
        CHECK_INT(body.size, sizeof i);
        CHECK(memcmp(body.bytes, &i, sizeof i) == 0);
    }
    buffer_done(&body);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(closing_writes_what_is_queued) {
    begin();
    Journal *journal = open_here();
    for (uint64_t i = 0; i < 500; i++) {
        CHECK_OK(journal_put_answer(journal, i, key_of(i), 1, "x", 1));
    }
    journal_close(journal);
    journal = open_here();
    for (uint64_t i = 0; i < 500; i++) {
        check_answer(journal, i, "x");
    }
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(a_later_answer_takes_the_place_of_an_earlier_one) {
    begin();
    Journal *journal = open_here();
    uint64_t ticket;
    CHECK_OK(journal_put_answer(journal, 1, key_of(1), 1, "first", 5));
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_OK(journal_put_answer(journal, 2, key_of(1), 1, "second", 6));
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_INT(ticket, 2);
    check_answer(journal, 1, "second");
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(two_generations_of_a_state_are_kept_in_turn) {
    begin();
    Journal *journal = open_here();
    uint64_t ticket;
    for (uint32_t epoch = 1; epoch <= 5; epoch++) {
        char text[32];
        snprintf(text, sizeof text, "epoch %u", epoch);
        uint64_t plan = epoch < 4 ? 1 : 2; // trained anew from the fourth on
        CHECK_OK(journal_put_state(journal, epoch, "fan", key_of(plan), epoch, text, strlen(text)));
        CHECK_OK(wait_ticket(journal, &ticket));
        JournalState states[2];
        CHECK_INT(states_of(journal, "fan", states), epoch == 1 ? 1 : 2);
        CHECK_INT(states[0].epoch, epoch);
        CHECK_TEXT(states[0].file, epoch % 2 == 1 ? "checkpoint-0.bin" : "checkpoint-1.bin");
        CHECK(digest_equal(states[0].plan, key_of(plan)));
        CHECK(digest_equal(states[0].digest, digest_of(text, strlen(text))));
        if (epoch > 1) {
            CHECK_INT(states[1].epoch, epoch - 1);
            CHECK(digest_equal(states[1].plan, key_of(epoch - 1 < 4 ? 1 : 2)));
        }
    }
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(in_folder("fan/checkpoint-0.bin"), 100, &bytes));
    CHECK_TEXT(buffer_cstr(&bytes), "epoch 5");
    CHECK_OK(file_read(in_folder("fan/checkpoint-1.bin"), 100, &bytes));
    CHECK_TEXT(buffer_cstr(&bytes), "epoch 4");
    buffer_done(&bytes);
    journal_close(journal);
    file_remove_tree(folder);
}

// ---- refusing ----

TEST(second_opener_is_refused_by_name) {
    begin();
    Journal *first = open_here();
    char pid_text[32];
    snprintf(pid_text, sizeof pid_text, "process %ld", (long)getpid());
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) { // another process, as another coordinator is
        Journal *second = NULL;
        Status status = journal_open(in_folder("journal.db"), &second);
        bool named = strstr(status_message(), "another coordinator") != NULL &&
                     strstr(status_message(), "journal.lock") != NULL &&
                     strstr(status_message(), pid_text) != NULL;
        _exit(status == STATUS_IO && second == NULL && named ? 0 : 1);
    }
    int how = 0;
    CHECK(waitpid(pid, &how, 0) == pid);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    // The first one has not suffered from it, and its lock ends with it.
    uint64_t ticket;
    CHECK_OK(journal_put_answer(first, 1, key_of(1), 1, "x", 1));
    CHECK_OK(wait_ticket(first, &ticket));
    journal_close(first);
    journal_close(open_here());
    file_remove_tree(folder);
}

TEST(a_killed_owner_leaves_no_lock_and_all_that_it_reported) {
    begin();
    int said[2];
    CHECK(pipe(said) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        Journal *journal = NULL;
        bool ok = journal_open(in_folder("journal.db"), &journal) == STATUS_OK;
        for (uint64_t i = 0; ok; i++) {
            uint64_t ticket;
            ok = journal_put_answer(journal, i, key_of(i), 1, "x", 1) == STATUS_OK &&
                 wait_ticket(journal, &ticket) == STATUS_OK &&
                 write(said[1], &ticket, sizeof ticket) == sizeof ticket;
        }
        _exit(1);
    }
    uint64_t last = 0;
    while (last < 30) {
        CHECK(read(said[0], &last, sizeof last) == sizeof last);
    }
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    close(said[1]);
    while (read(said[0], &last, sizeof last) == sizeof last) {
        continue; // what it reported before it died
    }
    close(said[0]);
    Journal *journal = open_here();
    CHECK_INT(journal_incarnation(journal), 2);
    for (uint64_t i = 0; i <= last; i++) {
        check_answer(journal, i, "x");
    }
    journal_close(journal);
    file_remove_tree(folder);
}

static void overwrite(const char *path, long offset, const void *bytes, size_t size) {
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL);
    CHECK(fseek(file, offset, SEEK_SET) == 0 && fwrite(bytes, size, 1, file) == 1);
    CHECK(fclose(file) == 0);
}

TEST(newer_format_is_refused) {
    begin();
    journal_close(open_here());
    // The file format of SQLite 3 has the user version at byte 60, big-endian.
    overwrite(in_folder("journal.db"), 60, "\0\0\0\x09", 4);
    Journal *journal = NULL;
    CHECK(journal_open(in_folder("journal.db"), &journal) == STATUS_MISMATCH);
    CHECK_HAS(status_message(), "newer version");
    CHECK(journal == NULL);
    file_remove_tree(folder);
}

TEST(a_file_that_is_no_database_is_damaged) {
    begin();
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    CHECK_OK(file_write(in_folder("journal.db"), junk, sizeof junk));
    Journal *journal = NULL;
    CHECK(journal_open(in_folder("journal.db"), &journal) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "journal.db");
    CHECK(journal == NULL);
    file_remove_tree(folder);
}

TEST(damaged_pages_are_an_error_and_never_an_answer) {
    begin();
    Journal *journal = open_here();
    for (uint64_t i = 0; i < 300; i++) {
        CHECK_OK(journal_put_answer(journal, i, key_of(i), 1, "0123456789abcdef", 16));
    }
    journal_close(journal);
    FileFacts facts;
    CHECK_OK(file_facts(in_folder("journal.db"), &facts));
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    for (uint64_t page = 4096; page < facts.size_bytes; page += 4096) {
        overwrite(in_folder("journal.db"), (long)page, junk, sizeof junk);
    }
    Status status = journal_open(in_folder("journal.db"), &journal);
    if (status == STATUS_OK) {
        Buffer body = BUFFER_EMPTY;
        for (uint64_t i = 0; i < 300; i++) {
            CHECK(journal_answer(journal, key_of(i), &body) == STATUS_FORMAT);
        }
        buffer_done(&body);
        journal_close(journal);
    } else {
        CHECK(status == STATUS_FORMAT);
    }
    file_remove_tree(folder);
}

static void limit_file_size(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

// A coordinator may be killed at any moment, also while it makes its very first file: here it is
// stopped after each number of bytes written.
TEST(a_first_opening_that_was_cut_off_can_be_repeated) {
    int cut_off = 0;
    for (rlim_t bytes = 0; bytes <= 65536; bytes += 1024) {
        begin();
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            Journal *journal = NULL;
            limit_file_size(bytes);
            _exit(journal_open(in_folder("journal.db"), &journal) == STATUS_OK ? 0 : 1);
        }
        int how = 0;
        CHECK(waitpid(pid, &how, 0) == pid && WIFEXITED(how));
        cut_off += WEXITSTATUS(how);
        journal_close(open_here());
        file_remove_tree(folder);
    }
    CHECK(cut_off > 10);
}

TEST(folder_that_is_not_there_is_an_error) {
    begin();
    Journal *journal = NULL;
    CHECK(journal_open(in_folder("nowhere/journal.db"), &journal) == STATUS_IO);
    CHECK(journal == NULL);
    file_remove_tree(folder);
}

// ---- failing ----

// Nothing may be written beyond the size that the log has now, as on a full disk.
static void fill_the_disk(void) {
    FileFacts facts = {0};
    CHECK_OK(file_facts(in_folder("journal.db-wal"), &facts));
    limit_file_size((rlim_t)facts.size_bytes);
}

static Status put_and_wait(Journal *journal, uint64_t number) {
    static const char body[8192] = "a large body needs new pages";
    uint64_t ticket;
    Status status = journal_put_answer(journal, number, key_of(number), 1, body, sizeof body);
    return status == STATUS_OK ? wait_ticket(journal, &ticket) : status;
}

TEST(after_a_write_that_fails_nothing_is_reported_any_more) {
    begin();
    Journal *journal = open_here();
    CHECK_OK(put_and_wait(journal, 1));
    fill_the_disk();
    Status failed = put_and_wait(journal, 2);
    char why[256];
    snprintf(why, sizeof why, "%s", status_message());
    limit_file_size(RLIM_INFINITY);
    CHECK(failed == STATUS_IO);
    CHECK_HAS(why, "journal.db");
    // There is room again, and still nothing is taken: what the first failure lost is not known.
    uint64_t ticket;
    CHECK(journal_put_answer(journal, 3, key_of(3), 1, "x", 1) == STATUS_IO);
    CHECK(journal_put_state(journal, 4, "fan", key_of(4), 1, "x", 1) == STATUS_IO);
    CHECK(journal_next(journal, &ticket) == STATUS_IO);
    CHECK(journal_next(journal, &ticket) == STATUS_IO);
    CHECK_TEXT(status_message(), why);
    CHECK(!file_exists(in_folder("fan/checkpoint-0.bin")));
    // Nor does it give for an answer what never became durable.
    Buffer body = BUFFER_EMPTY;
    CHECK(journal_answer(journal, key_of(2), &body) != STATUS_OK);
    buffer_done(&body);
    journal_close(journal);
    journal = open_here();
    Buffer kept = BUFFER_EMPTY;
    CHECK_OK(journal_answer(journal, key_of(1), &kept));
    CHECK(journal_answer(journal, key_of(2), &kept) == STATUS_NOT_FOUND);
    CHECK(journal_answer(journal, key_of(3), &kept) == STATUS_NOT_FOUND);
    buffer_done(&kept);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(tickets_from_before_a_failure_are_still_given) {
    begin();
    Journal *journal = open_here();
    CHECK_OK(journal_put_answer(journal, 1, key_of(1), 1, "x", 1));
    struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
    CHECK(poll(&fd, 1, 20000) == 1); // durable, and not taken
    CHECK_OK(journal_put_state(journal, 2, "no/such", key_of(2), 1, "x", 1));
    uint64_t ticket;
    Status status;
    int given = 0;
    while ((status = wait_ticket(journal, &ticket)) == STATUS_OK) {
        CHECK_INT(ticket, 1);
        given++;
    }
    CHECK_INT(given, 1);
    CHECK(status == STATUS_IO);
    CHECK_HAS(status_message(), "no/such/checkpoint-0.bin");
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(a_state_whose_file_cannot_be_written_is_not_recorded) {
    begin();
    Journal *journal = open_here();
    uint64_t ticket;
    CHECK_OK(journal_put_state(journal, 1, "gone", key_of(1), 1, "x", 1));
    CHECK(wait_ticket(journal, &ticket) == STATUS_IO);
    journal_close(journal);
    journal = open_here();
    JournalState states[2];
    CHECK_INT(states_of(journal, "gone", states), 0);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(an_answer_that_does_not_fit_into_memory_is_said_so) {
    begin();
    Journal *journal = open_here();
    CHECK_OK(put_and_wait(journal, 1));
    Buffer body = BUFFER_EMPTY;
    mem_fail_after(0);
    Status status = journal_answer(journal, key_of(1), &body);
    mem_fail_after(-1);
    CHECK(status == STATUS_MEMORY);
    buffer_done(&body);
    journal_close(journal);
    file_remove_tree(folder);
}

TEST(every_failing_allocation_is_survived) {
    begin();
    journal_close(open_here());
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Journal *journal = NULL;
        mem_fail_after(n);
        Status status = journal_open(in_folder("journal.db"), &journal);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        journal_close(journal);
        CHECK_INT(mem_blocks(), before);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    Journal *journal = open_here();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Status status = journal_put_state(journal, 1, "fan", key_of(1), 1, "x", 1);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    uint64_t ticket;
    CHECK_OK(wait_ticket(journal, &ticket));
    journal_close(journal);
    CHECK_INT(mem_blocks(), before);
    file_remove_tree(folder);
}

TEST_MAIN_LIST(
    T(answers_states_and_facts_survive_reopening) T(what_was_never_put_is_not_found)
        T(each_opening_counts_as_one_coordinator)
            T(a_ticket_comes_only_after_its_answer_is_readable_by_another) T(
                ten_thousand_answers_come_back_once_and_in_order) T(closing_writes_what_is_queued)
                T(a_later_answer_takes_the_place_of_an_earlier_one) T(
                    two_generations_of_a_state_are_kept_in_turn) T(second_opener_is_refused_by_name)
                    T(a_killed_owner_leaves_no_lock_and_all_that_it_reported)
                        T(newer_format_is_refused) T(a_file_that_is_no_database_is_damaged)
                            T(damaged_pages_are_an_error_and_never_an_answer)
                                T(a_first_opening_that_was_cut_off_can_be_repeated)
                                    T(folder_that_is_not_there_is_an_error) T(
                                        after_a_write_that_fails_nothing_is_reported_any_more)
                                        T(tickets_from_before_a_failure_are_still_given) T(
                                            a_state_whose_file_cannot_be_written_is_not_recorded)
                                            T(an_answer_that_does_not_fit_into_memory_is_said_so)
                                                T(every_failing_allocation_is_survived))
