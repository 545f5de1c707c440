// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/cells.h"

#include <math.h>

#include "coordinator/live/markup.h"

void cell_text(const char *class_name, const char *text, Buffer *out) {
    buffer_text(out, "<td");
    if (class_name[0] != '\0') {
        buffer_format(out, " class=\"%s\"", class_name);
    }
    buffer_text(out, ">");
    markup_text(text, out);
    buffer_text(out, "</td>");
}

void cell_count(uint64_t count, Buffer *out) {
    buffer_format(out, "<td class=\"number\">%llu</td>", (unsigned long long)count);
}

void cell_number(double value, int decimals, Buffer *out) {
    if (isnan(value)) {
        buffer_text(out, "<td class=\"number\">–</td>");
        return;
    }
    buffer_text(out, "<td class=\"number\" data-value=\"");
    buffer_number(out, value);
    buffer_format(out, "\">%.*f</td>", decimals, value);
}
