// SPDX-License-Identifier: Apache-2.0
//
// JSON (RFC 8259) as a tree, read strictly and within bounds: one value, UTF-8, each key of an
// object once, nothing behind it but blanks. Made for the configurations that other programs write
// into their files. Any thread; a tree is read-only.
#ifndef AUSCULT_STORE_JSON_H
#define AUSCULT_STORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define JSON_BYTES_MOST   (4u << 20) // a Keras model of 40 layers has 30 KiB
#define JSON_NODES_MOST   200000u
#define JSON_MEMBERS_MOST 1024u // of one object, since each key is looked for among those before
#define JSON_DEPTH_MOST   64    // nested arrays and objects; Keras's have 12

typedef enum JsonType {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT,
} JsonType;

typedef struct JsonNode {
    JsonType type;
    const char *key;             // in an object, NUL-terminated; else NULL
    const char *text;            // of JSON_TEXT, NUL-terminated; else NULL
    double number;               // of JSON_NUMBER
    const struct JsonNode *head; // first element or member
    const struct JsonNode *next; // the one after this, in what holds both
} JsonNode;

typedef struct Json Json;

// `name` stands for the text in messages. STATUS_FORMAT says at which byte; STATUS_LIMIT.
Status json_parse(const char *name, const char *text, size_t size, Json **ret_json);
void json_free(Json *json);
const JsonNode *json_root(const Json *json);

// The member of an object, NULL when there is none or `node` is NULL or no object.
const JsonNode *json_member(const JsonNode *node, const char *key);
// A text's characters, or `otherwise`; a number; whether it is true. NULL is allowed.
const char *json_text(const JsonNode *node, const char *otherwise);
double json_number(const JsonNode *node, double otherwise);
bool json_bool(const JsonNode *node, bool otherwise);

#endif
