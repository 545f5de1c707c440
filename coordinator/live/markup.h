// SPDX-License-Identifier: Apache-2.0
//
// What the live page and the cluster's page are made of: head with style, tables, bars; light and
// dark, from a phone's width on, without anything from elsewhere. Text that comes from data or
// workers goes through markup_text alone. Any thread.
#ifndef AUSCULT_COORDINATOR_LIVE_MARKUP_H
#define AUSCULT_COORDINATOR_LIVE_MARKUP_H

#include "common/base/buffer.h"

// From <!doctype> to <main>. `head` is put into the head as it is, "" for nothing.
void markup_begin(const char *title, const char *head, Buffer *out);
void markup_end(Buffer *out);
// The text, escaped for elements and quoted attributes.
void markup_text(const char *text, Buffer *out);
// <h2>, and what follows in a section; `id` is a word of ours.
void markup_section(const char *id, const char *heading, Buffer *out);
void markup_section_end(Buffer *out);
// A figure with its name below, in a <div class=cards>. `tone` is "", "good", "warn" or "bad".
void markup_card(const char *figure, const char *name, const char *tone, Buffer *out);
// Headings of a table's columns, a `#` before those of numbers: "worker", "#tasks".
void markup_table(const char *const *columns, size_t count, Buffer *out);
void markup_table_end(Buffer *out);
// A bar that is filled to this share, 0..1; `label` says it in words.
void markup_bar(double share, const char *label, Buffer *out);

#endif
