// SPDX-License-Identifier: Apache-2.0
//
// How it works. One pass, recursive to JSON_DEPTH_MOST. Nodes lie in blocks that stay where they
// are; texts are unescaped into one buffer as long as the source, which no text outgrows.
#include "common/store/json.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { NODES_PER_BLOCK = 512, NUMBER_BYTES = 64 };

typedef struct NodeBlock {
    struct NodeBlock *before;
    JsonNode nodes[NODES_PER_BLOCK];
} NodeBlock;

struct Json {
    NodeBlock *blocks; // the newest first
    uint32_t count;    // nodes in all
    char *texts;       // (size of the source + 1)
    size_t texts_used;
    const JsonNode *root;
};

typedef struct Parser {
    Json *json;
    const char *name, *start, *at, *end;
    int depth;
    Status status; // sticky
} Parser;

static bool fail(Parser *parser, const char *what) {
    if (parser->status == STATUS_OK) {
        parser->status = status_set(STATUS_FORMAT, "%s: byte %zu: %s", parser->name,
                                    (size_t)(parser->at - parser->start), what);
    }
    return false;
}

static JsonNode *new_node(Parser *parser) {
    Json *json = parser->json;
    uint32_t place = json->count % NODES_PER_BLOCK;
    if (json->count == JSON_NODES_MOST) {
        parser->status =
            status_set(STATUS_LIMIT, "%s: more than %u values", parser->name, JSON_NODES_MOST);
        return NULL;
    }
    if (place == 0) {
        NodeBlock *block = mem_new(1, sizeof *block);
        if (block == NULL) {
            parser->status = STATUS_MEMORY;
            return NULL;
        }
        block->before = json->blocks;
        json->blocks = block;
    }
    json->count++;
    return &json->blocks->nodes[place];
}

static void skip_blanks(Parser *parser) {
    while (parser->at < parser->end && strchr(" \t\r\n", *parser->at) != NULL &&
           *parser->at != '\0') {
        parser->at++;
    }
}

static bool take(Parser *parser, char wanted) {
    skip_blanks(parser);
    if (parser->at < parser->end && *parser->at == wanted) {
        parser->at++;
        return true;
    }
    return false;
}

static bool take_word(Parser *parser, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, word, size) != 0) {
        return false;
    }
    parser->at += size;
    return true;
}

// ---- texts ----

static void put(Parser *parser, uint32_t byte) {
    parser->json->texts[parser->json->texts_used++] = (char)byte;
}

static void put_utf8(Parser *parser, uint32_t point) {
    if (point < 0x80) {
        put(parser, point);
    } else if (point < 0x800) {
        put(parser, 0xc0 | point >> 6);
        put(parser, 0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        put(parser, 0xe0 | point >> 12);
        put(parser, 0x80 | (point >> 6 & 0x3f));
        put(parser, 0x80 | (point & 0x3f));
    } else {
        put(parser, 0xf0 | point >> 18);
        put(parser, 0x80 | (point >> 12 & 0x3f));
        put(parser, 0x80 | (point >> 6 & 0x3f));
        put(parser, 0x80 | (point & 0x3f));
    }
}

static bool take_hex(Parser *parser, uint32_t *ret_unit) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++, parser->at++) {
        char c = parser->at < parser->end ? *parser->at : '\0';
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return fail(parser, "four hexadecimal digits are expected");
        }
        unit = unit << 4 | (uint32_t)digit;
    }
    *ret_unit = unit;
    return true;
}

// Behind "\u"; the second half of a pair follows the first.
static bool take_unicode(Parser *parser) {
    uint32_t unit = 0, low = 0;
    if (!take_hex(parser, &unit)) {
        return false;
    }
    if (unit >= 0xd800 && unit < 0xdc00) {
        if (!take_word(parser, "\\u") || !take_hex(parser, &low) || low < 0xdc00 || low > 0xdfff) {
            return fail(parser, "half of a surrogate pair");
        }
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    } else if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return fail(parser, "a character that cannot be");
    }
    put_utf8(parser, unit);
    return true;
}

static bool take_escape(Parser *parser) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    char c = parser->at < parser->end ? *parser->at : '\0';
    const char *found = c != '\0' ? strchr(FROM, c) : NULL;
    if (found != NULL) {
        parser->at++;
        put(parser, (unsigned char)TO[found - FROM]);
        return true;
    }
    return take_word(parser, "u") ? take_unicode(parser) : fail(parser, "an unknown escape");
}

// The rest of a text behind its quote.
static const char *take_text(Parser *parser) {
    const char *text = parser->json->texts + parser->json->texts_used;
    for (;;) {
        if (parser->at == parser->end || (unsigned char)*parser->at < 0x20) {
            fail(parser, "a text that does not end");
            return NULL;
        }
        char c = *parser->at++;
        if (c == '"') {
            break;
        }
        if (c != '\\') {
            put(parser, (unsigned char)c);
        } else if (!take_escape(parser)) {
            return NULL;
        }
    }
    put(parser, 0);
    return text;
}

// ---- values ----

static bool take_value(Parser *parser, JsonNode *node);

static bool take_number(Parser *parser, JsonNode *node) {
    char text[NUMBER_BYTES];
    size_t size = 0;
    while (parser->at + size < parser->end && size + 1 < sizeof text && parser->at[size] != '\0' &&
           strchr("+-0123456789.eE", parser->at[size]) != NULL) {
        text[size] = parser->at[size];
        size++;
    }
    text[size] = '\0';
    const char *digits = text[0] == '-' ? text + 1 : text;
    bool is_fine = digits[0] >= '0' && digits[0] <= '9' &&
                   !(digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9');
    if (!is_fine || text_to_double(text, &node->number) != STATUS_OK) {
        return fail(parser, "no JSON value");
    }
    node->type = JSON_NUMBER;
    parser->at += size;
    return true;
}

// An object's members or an array's elements, behind the bracket.
static bool take_members(Parser *parser, JsonNode *node, char closing) {
    const JsonNode **last = &node->head;
    uint32_t count = 0;
    if (take(parser, closing)) {
        return true;
    }
    do {
        const char *key = NULL;
        if (node->type == JSON_OBJECT) {
            key = take(parser, '"') ? take_text(parser) : NULL;
            if (key == NULL || !take(parser, ':') || json_member(node, key) != NULL) {
                return fail(parser, "a key and a colon are expected, each key once");
            }
            if (++count > JSON_MEMBERS_MOST) {
                return fail(parser, "an object of too many members");
            }
        }
        JsonNode *member = new_node(parser);
        if (member == NULL || !take_value(parser, member)) {
            return false;
        }
        member->key = key;
        *last = member;
        last = &member->next;
    } while (take(parser, ','));
    return take(parser, closing) || fail(parser, "a comma or a closing bracket is expected");
}

static bool take_nested(Parser *parser, JsonNode *node, JsonType type, char closing) {
    node->type = type;
    if (parser->depth == JSON_DEPTH_MOST) {
        parser->status =
            status_set(STATUS_LIMIT, "%s: nested deeper than %d", parser->name, JSON_DEPTH_MOST);
        return false;
    }
    parser->depth++;
    bool is_fine = take_members(parser, node, closing);
    parser->depth--;
    return is_fine;
}

static bool take_value(Parser *parser, JsonNode *node) {
    skip_blanks(parser);
    if (take(parser, '{')) {
        return take_nested(parser, node, JSON_OBJECT, '}');
    }
    if (take(parser, '[')) {
        return take_nested(parser, node, JSON_ARRAY, ']');
    }
    if (take(parser, '"')) {
        node->type = JSON_TEXT;
        node->text = take_text(parser);
        return node->text != NULL;
    }
    if (take_word(parser, "true")) {
        node->type = JSON_TRUE;
        return true;
    }
    if (take_word(parser, "false")) {
        node->type = JSON_FALSE;
        return true;
    }
    if (take_word(parser, "null")) {
        node->type = JSON_NULL;
        return true;
    }
    return take_number(parser, node);
}

static void parse(Parser *parser) {
    JsonNode *root = new_node(parser);
    if (root == NULL || !take_value(parser, root)) {
        return;
    }
    skip_blanks(parser);
    if (parser->at != parser->end) {
        fail(parser, "something behind the value");
    }
    parser->json->root = root;
}

Status json_parse(const char *name, const char *text, size_t size, Json **ret_json) {
    if (size > JSON_BYTES_MOST) {
        return status_set(STATUS_LIMIT, "%s: JSON of %zu bytes, accepted are %u", name, size,
                          JSON_BYTES_MOST);
    }
    Json *json = mem_new(1, sizeof *json);
    if (json == NULL) {
        return STATUS_MEMORY;
    }
    json->texts = mem_new(size + 1, 1);
    Parser parser = {json, name, text, text, text + size, 0, STATUS_OK};
    if (json->texts == NULL) {
        parser.status = STATUS_MEMORY;
    } else {
        parse(&parser);
    }
    if (parser.status != STATUS_OK) {
        json_free(json);
        return parser.status;
    }
    *ret_json = json;
    return STATUS_OK;
}

void json_free(Json *json) {
    if (json == NULL) {
        return;
    }
    while (json->blocks != NULL) {
        NodeBlock *block = json->blocks;
        json->blocks = block->before;
        mem_free(block);
    }
    mem_free(json->texts);
    mem_free(json);
}

const JsonNode *json_root(const Json *json) {
    return json->root;
}

const JsonNode *json_member(const JsonNode *node, const char *key) {
    if (node == NULL || node->type != JSON_OBJECT) {
        return NULL;
    }
    for (const JsonNode *member = node->head; member != NULL; member = member->next) {
        if (strcmp(member->key, key) == 0) {
            return member;
        }
    }
    return NULL;
}

const char *json_text(const JsonNode *node, const char *otherwise) {
    return node != NULL && node->type == JSON_TEXT ? node->text : otherwise;
}

double json_number(const JsonNode *node, double otherwise) {
    return node != NULL && node->type == JSON_NUMBER ? node->number : otherwise;
}

bool json_bool(const JsonNode *node, bool otherwise) {
    return node == NULL               ? otherwise
           : node->type == JSON_TRUE  ? true
           : node->type == JSON_FALSE ? false
                                      : otherwise;
}
