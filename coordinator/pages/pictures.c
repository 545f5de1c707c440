// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/pictures.h"

#include <stdio.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "coordinator/live/markup.h"

const char PICTURES_HEAD[] =
    "<style>.figures{display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr))}"
    "figure{margin:0;min-width:0}figure img{width:100%;height:auto;display:block;"
    "border-radius:.4rem}figcaption{color:var(--soft);font-size:.85rem;margin-top:.3rem}"
    "nav{position:sticky;top:0;z-index:1;background:var(--back);border-bottom:1px solid "
    "var(--line);overflow-x:auto;white-space:nowrap;padding:.5rem 0}"
    "nav a{margin-right:1rem}a{color:var(--fill)}section{scroll-margin-top:3rem}"
    "h2,h3,p,figcaption{overflow-wrap:anywhere}th{white-space:normal;vertical-align:bottom}"
    "h3{font-size:1rem;margin:1rem 0 .4rem}"
    "@media print{nav{display:none}figure,tr{break-inside:avoid}}</style>\n";

void pictures_base64(const void *bytes, size_t size, Buffer *out) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes;
    if (!buffer_reserve(out, (size + 2) / 3 * 4)) {
        return;
    }
    for (size_t i = 0; i < size; i += 3) {
        unsigned a = from[i], b = i + 1 < size ? from[i + 1] : 0,
                 c = i + 2 < size ? from[i + 2] : 0;
        char four[4] = {DIGITS[a >> 2], DIGITS[(a & 3) << 4 | b >> 4],
                        i + 1 < size ? DIGITS[(b & 15) << 2 | c >> 6] : '=',
                        i + 2 < size ? DIGITS[c & 63] : '='};
        buffer_append(out, four, 4);
    }
}

void pictures_add(const PlotSet *set, uint32_t number, const char *caption, Buffer *out) {
    if (number == PLOT_NONE || plot_png(set, number, false)->size == 0 ||
        plot_png(set, number, true)->size == 0) {
        return;
    }
    const Buffer *light = plot_png(set, number, false), *dark = plot_png(set, number, true);
    buffer_text(out, "<figure><picture><source media=\"(prefers-color-scheme: dark)\" "
                     "srcset=\"data:image/png;base64,");
    pictures_base64(dark->bytes, dark->size, out);
    buffer_text(out, "\"><img src=\"data:image/png;base64,");
    pictures_base64(light->bytes, light->size, out);
    buffer_format(out, "\" width=\"%d\" height=\"%d\" alt=\"", plot_width(set, number) / 2,
                  plot_height(set, number) / 2);
    markup_text(caption, out);
    buffer_text(out, "\"></picture><figcaption>");
    markup_text(caption, out);
    buffer_text(out, "</figcaption></figure>\n");
}

Status pictures_save(const PlotSet *set, uint32_t number, const char *folder, const char *name) {
    char file[64], path[LIMIT_PATH_BYTES];
    if (number == PLOT_NONE || plot_png(set, number, false)->size == 0) {
        return STATUS_OK;
    }
    snprintf(file, sizeof file, "%s.png", name);
    Status status = file_make_folders(folder);
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, folder, file);
    }
    return status == STATUS_OK ? file_write_buffer(path, plot_png(set, number, false)) : status;
}
