// SPDX-License-Identifier: Apache-2.0
//
// Pictures in a page: the PNG for light and the one for dark grounds within the page itself, and
// the light one as a file beside it. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_PICTURES_H
#define AUSCULT_COORDINATOR_PAGES_PICTURES_H

#include "coordinator/pages/plot.h"

// What pages with pictures put into their <head>.
extern const char PICTURES_HEAD[];

// Appends a <figure> with a caption of ours (plain text), nothing when `number` is PLOT_NONE or
// could not be drawn.
void pictures_add(const PlotSet *set, uint32_t number, const char *caption, Buffer *out);
// Writes the light PNG as folder/name.png, if there is one. STATUS_IO, STATUS_LIMIT.
Status pictures_save(const PlotSet *set, uint32_t number, const char *folder, const char *name);
// RFC 4648, with padding.
void pictures_base64(const void *bytes, size_t size, Buffer *out);

#endif
