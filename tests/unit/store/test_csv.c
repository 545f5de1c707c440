// SPDX-License-Identifier: Apache-2.0
#include "common/store/csv.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

static CsvReader *reader_of(const char *bytes, size_t size) {
    CsvReader *reader = NULL;
    CHECK_OK(csv_reader_from_text("x.csv", bytes, size, &reader));
    return reader;
}

// Status of the first row that fails, or of the end.
static Status read_all(const char *bytes, size_t size) {
    CsvReader *reader = reader_of(bytes, size);
    CsvRow row;
    Status status;
    do {
        status = csv_reader_next(reader, &row);
    } while (status == STATUS_OK && row.count > 0);
    CHECK(csv_reader_next(reader, &row) == status && row.count == 0);
    csv_reader_free(reader);
    return status;
}

static void check_row(CsvReader *reader, size_t line, const char *joined) {
    CsvRow row;
    CHECK_OK(csv_reader_next(reader, &row));
    Buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < row.count; i++) {
        buffer_format(&text, "%s[%s]", i > 0 ? " " : "", row.fields[i]);
    }
    CHECK_TEXT(buffer_cstr(&text), joined);
    if (row.count > 0) {
        CHECK_INT(row.line, line);
    }
    buffer_done(&text);
}

TEST(rows_of_windows_files_are_read) {
    static const char TEXT[] = "\xEF\xBB\xBF"
                               "file_name,d1p,d1v\r\n"
                               "a.wav,car,A1\r\n"
                               "\r\n"
                               "b.wav,,\r\n"
                               "c.wav";
    CsvReader *reader = reader_of(TEXT, sizeof TEXT - 1);
    check_row(reader, 1, "[file_name] [d1p] [d1v]");
    check_row(reader, 2, "[a.wav] [car] [A1]");
    check_row(reader, 4, "[b.wav] [] []");
    check_row(reader, 5, "[c.wav]");
    check_row(reader, 0, "");
    check_row(reader, 0, "");
    csv_reader_free(reader);
}

TEST(quoted_fields_keep_commas_quotes_and_lines) {
    static const char TEXT[] = "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\nnext,\"\"\n\"\"\n";
    CsvReader *reader = reader_of(TEXT, sizeof TEXT - 1);
    check_row(reader, 1, "[a,b] [say \"hi\"] [two\nlines]");
    check_row(reader, 3, "[next] []");
    check_row(reader, 4, "[]");
    check_row(reader, 0, "");
    csv_reader_free(reader);
}

TEST(empty_files_have_no_rows) {
    CHECK_OK(read_all("", 0));
    CHECK_OK(read_all("\n\r\n\n", 4));
    CHECK_OK(read_all("\xEF\xBB\xBF", 3));
}

TEST(broken_rows_name_file_and_line) {
    static const struct {
        const char *text;
        size_t size;
        const char *message;
    } CASES[] = {
        {"a\nb,c\"d\n", 8, "x.csv:2: field 2 has a quote in the middle"},
        {"a\n\"b\nc\n", 7, "x.csv:2: a quote is never closed"},
        {"\"b\"x,y\n", 7, "x.csv:1: field 1 goes on after its closing quote"},
        {"a\nb\rc\n", 6, "x.csv:2: a carriage return in the middle of a line"},
        {"a\nb\0c\n", 6, "x.csv:2: a NUL byte: not a text file in UTF-8"},
        {"\"b\0c\"\n", 6, "x.csv:1: a NUL byte: not a text file in UTF-8"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CHECK_INT(read_all(CASES[i].text, CASES[i].size), STATUS_FORMAT);
        CHECK_TEXT(status_message(), CASES[i].message);
    }
}

TEST(rows_beyond_the_limits_are_refused) {
    Buffer text = BUFFER_EMPTY;
    for (int i = 0; i < LIMIT_FIELDS - 1; i++) {
        buffer_text(&text, ",");
    }
    CHECK_OK(read_all(text.bytes, text.size));
    buffer_text(&text, ",");
    CHECK_INT(read_all(text.bytes, text.size), STATUS_LIMIT);
    CHECK_HAS(status_message(), "x.csv:1: more than 256 fields");
    buffer_clear(&text);
    for (int i = 0; i <= LIMIT_LINE_BYTES; i++) {
        buffer_text(&text, "x");
    }
    CHECK_INT(read_all(text.bytes, text.size), STATUS_LIMIT);
    CHECK_HAS(status_message(), "a row of more than 65536 bytes");
    text.bytes[0] = '"';
    buffer_text(&text, "yyy\"");
    CHECK_INT(read_all(text.bytes, text.size), STATUS_LIMIT);
    buffer_done(&text);
}

TEST(callers_complaints_carry_file_and_line) {
    CsvReader *reader = reader_of("h\nv\n", 4);
    CsvRow row;
    CHECK_OK(csv_reader_next(reader, &row));
    CHECK_OK(csv_reader_next(reader, &row));
    CHECK_INT(csv_reader_fail(reader, &row, STATUS_INVALID, "no label '%s'", row.fields[0]),
              STATUS_INVALID);
    CHECK_TEXT(status_message(), "x.csv:2: no label 'v'");
    csv_reader_free(reader);
}

TEST(missing_file_is_not_found) {
    CsvReader *reader = NULL;
    CHECK_INT(csv_reader_open("/nonexistent/x.csv", &reader), STATUS_NOT_FOUND);
    CHECK(reader == NULL);
}

TEST(writer_quotes_only_where_needed) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "a,b,c,d");
    csv_writer_text(&writer, "plain name");
    csv_writer_text(&writer, "a,b");
    csv_writer_text(&writer, "say \"hi\"");
    csv_writer_text(&writer, "two\nlines");
    csv_writer_end_row(&writer);
    csv_writer_number(&writer, 0.1);
    csv_writer_number(&writer, NAN);
    csv_writer_int(&writer, -7);
    csv_writer_text(&writer, "");
    csv_writer_end_row(&writer);
    csv_writer_text(&writer, "");
    csv_writer_end_row(&writer);
    CHECK_TEXT(buffer_cstr(&writer.text), "a,b,c,d\n"
                                          "plain name,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\n"
                                          "0.1,,-7,\n"
                                          "\"\"\n");
    csv_writer_done(&writer);
}

TEST(saved_file_reads_back_the_same) {
    char path[LIMIT_PATH_BYTES];
    const char *folder = test_folder();
    CHECK_OK(file_join(path, sizeof path, folder, "t.csv"));
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_text(&writer, "\xC3\xBC\",\r\n\"");
    csv_writer_number(&writer, 1.0 / 3.0);
    csv_writer_end_row(&writer);
    CHECK_OK(csv_writer_save(&writer, path));
    csv_writer_done(&writer);
    CsvReader *reader = NULL;
    CHECK_OK(csv_reader_open(path, &reader));
    CsvRow row;
    CHECK_OK(csv_reader_next(reader, &row));
    CHECK_INT(row.count, 2);
    CHECK_TEXT(row.fields[0], "\xC3\xBC\",\r\n\"");
    CHECK(strtod(row.fields[1], NULL) == 1.0 / 3.0);
    csv_reader_free(reader);
    CHECK_OK(file_remove_tree(folder));
}

TEST(random_fields_survive_a_round_trip) {
    static const char LETTERS[] = "ab,\"\n\r \xC3";
    for (uint64_t seed = 0; seed < 300; seed++) {
        Rng rng = rng_of(seed, "csv", 0, 0);
        char fields[6][12];
        size_t count = 1 + rng_below(&rng, 6);
        CsvWriter writer = CSV_WRITER_EMPTY;
        for (size_t i = 0; i < count; i++) {
            size_t size = rng_below(&rng, 12);
            for (size_t k = 0; k < size; k++) {
                fields[i][k] = LETTERS[rng_below(&rng, sizeof LETTERS - 1)];
            }
            fields[i][size] = '\0';
            csv_writer_text(&writer, fields[i]);
        }
        csv_writer_end_row(&writer);
        CsvReader *reader = reader_of(writer.text.bytes, writer.text.size);
        CsvRow row;
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count != count) {
            TEST_FAIL("seed %llu: %zu fields, expected %zu", (unsigned long long)seed, row.count,
                      count);
        }
        for (size_t i = 0; i < count; i++) {
            CHECK_TEXT(row.fields[i], fields[i]);
        }
        csv_reader_free(reader);
        csv_writer_done(&writer);
    }
}

TEST(random_bytes_never_crash_the_reader) {
    static const char LETTERS[] = "ab,,\"\"\n\r\0\xEF";
    for (uint64_t seed = 0; seed < 2000; seed++) {
        Rng rng = rng_of(seed, "csv bytes", 0, 0);
        char bytes[40];
        size_t size = rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = LETTERS[rng_below(&rng, sizeof LETTERS - 1)];
        }
        Status status = read_all(bytes, size);
        CHECK(status == STATUS_OK || status == STATUS_FORMAT);
    }
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    long before = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        CsvReader *reader = NULL;
        Status status = csv_reader_from_text("x.csv", "a,b\n", 4, &reader);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        csv_reader_free(reader);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    mem_fail_after(0);
    csv_writer_header(&writer, "a,b");
    csv_writer_number(&writer, 1);
    csv_writer_end_row(&writer);
    mem_fail_after(-1);
    CHECK_INT(csv_writer_save(&writer, "/nonexistent/x"), STATUS_MEMORY);
    csv_writer_done(&writer);
}

TEST_MAIN_LIST(T(rows_of_windows_files_are_read) T(quoted_fields_keep_commas_quotes_and_lines)
                   T(empty_files_have_no_rows) T(broken_rows_name_file_and_line)
                       T(rows_beyond_the_limits_are_refused)
                           T(callers_complaints_carry_file_and_line) T(missing_file_is_not_found)
                               T(writer_quotes_only_where_needed) T(saved_file_reads_back_the_same)
                                   T(random_fields_survive_a_round_trip)
                                       T(random_bytes_never_crash_the_reader)
                                           T(every_failed_allocation_is_reported_and_leaks_nothing))
