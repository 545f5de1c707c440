// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/markup.h"

#include <math.h>
#include <string.h>

// Colours that the colour-blind tell apart (after Okabe and Ito), with 4.5:1 contrast as text.
static const char STYLE[] =
    ":root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--text:#1b1f24;--soft:#5a6472;"
    "--line:#d9dee5;--fill:#0072b2;--idle:#9ccbe6;--good:#00714f;--warn:#8a5a00;--bad:#b03a00}"
    "@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1b2129;--text:#e8ebef;"
    "--soft:#a3adba;--line:#333c48;--fill:#56b4e9;--idle:#2d5b78;--good:#3fd0a4;--warn:#f0c24d;"
    "--bad:#ff9466}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}"
    "main{max-width:68rem;margin:0 auto;padding:1rem}"
    "h1{font-size:1.35rem;margin:.25rem 0;overflow-wrap:anywhere}"
    "h2{font-size:1.05rem;margin:0 0 .6rem}"
    "p{margin:.25rem 0}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "padding:1rem;margin:1rem 0}"
    ".soft{color:var(--soft)}.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}"
    ".badge{display:inline-block;border:1px solid currentColor;border-radius:1rem;"
    "padding:0 .6rem;font-size:.85rem;font-weight:600;vertical-align:middle}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(clamp(7rem,12vw,8.5rem),"
    "1fr));gap:.6rem}"
    ".card{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem;min-width:0}"
    ".card b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums;"
    "overflow-wrap:anywhere}"
    ".card span{color:var(--soft);font-size:.85rem}"
    ".wide{overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top;white-space:nowrap}"
    "td.text{white-space:normal;min-width:10rem;overflow-wrap:anywhere}"
    "th{color:var(--soft);font-weight:600}"
    "tr:last-child td{border-bottom:0}"
    ".number{text-align:right;font-variant-numeric:tabular-nums}"
    ".bar{margin:.3rem "
    "0;height:.7rem;min-width:6rem;background:var(--line);border-radius:.35rem;overflow:hidden}"
    ".bar i{display:block;height:100%;background:var(--fill)}"
    ".stage{margin:.7rem 0}.stage p{display:flex;flex-wrap:wrap;gap:0 1rem;"
    "justify-content:space-between}"
    "pre{margin:0;overflow-x:auto;font-size:.8rem;line-height:1.45}"
    "summary{cursor:pointer;color:var(--soft);margin-top:.6rem}"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--text);font-size:11px}"
    "svg .axis{stroke:var(--line)}svg .here{fill:var(--idle)}svg .busy{fill:var(--fill)}"
    "svg .soft{fill:var(--soft)}"
    "#lost{position:sticky;top:0;background:var(--card);border:1px solid var(--warn);"
    "border-radius:.6rem;padding:.6rem 1rem;margin:0 0 1rem}";

void markup_text(const char *text, Buffer *out) {
    static const struct {
        char from;
        const char *to;
    } ESCAPES[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (; *text != '\0'; text++) {
        const char *to = NULL;
        for (size_t i = 0; i < sizeof ESCAPES / sizeof ESCAPES[0]; i++) {
            to = *text == ESCAPES[i].from ? ESCAPES[i].to : to;
        }
        if (to != NULL) {
            buffer_text(out, to);
        } else {
            buffer_append(out, text, 1);
        }
    }
}

void markup_begin(const char *title, const char *head, Buffer *out) {
    buffer_text(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<title>");
    markup_text(title, out);
    buffer_format(out, "</title>\n<style>%s</style>\n%s</head>\n<body>\n<main>\n", STYLE, head);
}

void markup_end(Buffer *out) {
    buffer_text(out, "</main>\n</body>\n</html>\n");
}

void markup_section(const char *id, const char *heading, Buffer *out) {
    buffer_format(out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, heading);
}

void markup_section_end(Buffer *out) {
    buffer_text(out, "</section>\n");
}

void markup_card(const char *figure, const char *name, const char *tone, Buffer *out) {
    buffer_format(out, "<div class=\"card\"><b class=\"%s\">", tone);
    markup_text(figure, out);
    buffer_text(out, "</b><span>");
    markup_text(name, out);
    buffer_text(out, "</span></div>\n");
}

void markup_table(const char *const *columns, size_t count, Buffer *out) {
    buffer_text(out, "<div class=\"wide\"><table>\n<thead><tr>");
    for (size_t i = 0; i < count; i++) {
        bool is_number = columns[i][0] == '#';
        buffer_format(out, "<th scope=\"col\"%s>%s</th>", is_number ? " class=\"number\"" : "",
                      columns[i] + is_number);
    }
    buffer_text(out, "</tr></thead>\n<tbody>\n");
}

void markup_table_end(Buffer *out) {
    buffer_text(out, "</tbody></table></div>\n");
}

void markup_bar(double share, const char *label, Buffer *out) {
    double percent = 100 * fmin(fmax(share, 0), 1);
    buffer_format(out,
                  "<div class=\"bar\" role=\"img\" aria-label=\"%s\" title=\"%s\">"
                  "<i style=\"width:%.1f%%\"></i></div>",
                  label, label, percent);
}
