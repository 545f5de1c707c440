// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pages/report_clips.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/pages/clip_picture.h"
#include "coordinator/pages/pictures.h"

static bool is_shown(const ReportPortraits *of, const ClipPortrait *item, const char *machine,
                     const char *of_set) {
    const Machine *its = &of->dataset->machines[of->dataset->clips[item->clip].machine];
    const char *set = its->set == SET_PLAIN ? "" : dataset_set_text(its->set);
    return item->is_there && item->role != PORTRAIT_TYPICAL && strcmp(its->name, machine) == 0 &&
           strcmp(set, of_set) == 0;
}

Status report_clips_draw(const ReportPortraits *of, const char *machine, const char *of_set,
                         PlotSet *set, ReportClips *ret_clips) {
    ClipScale scale = {0};
    Status status = STATUS_OK;
    ReportClips clips = {.count = 0};
    for (uint32_t i = 0; i < of->count && clips.count < REPORT_CLIPS_MOST; i++) {
        if (status == STATUS_OK && is_shown(of, of->items[i], machine, of_set)) {
            clips.items[clips.count++] = of->items[i];
            status = clip_scale_take(&scale, &of->items[i]->picture);
        }
    }
    for (uint32_t i = 0; i < clips.count && status == STATUS_OK; i++) {
        clips.pictures[i] = clip_picture_add(set, &clips.items[i]->picture, CLIP_PANELS_OF_MODEL,
                                             &scale, of->n_mels);
    }
    *ret_clips = clips;
    return status;
}

// "Anomalous, highest score: 0.5213. section_00_...wav"
static void describe(const Clip *clip, const ClipPortrait *item, Buffer *out) {
    const char *label = item->label == LABEL_NORMAL    ? "Normal"
                        : item->label == LABEL_ANOMALY ? "Anomalous"
                                                       : "Test clip";
    const char *place = item->role == PORTRAIT_LOWEST ? "lowest"
                        : item->rank == 0             ? "highest"
                                                      : "second highest";
    buffer_format(out, "%s, %s score", label, place);
    if (clip->section[0] != '\0') {
        buffer_format(out, " of section %s", clip->section);
    }
    buffer_format(out, ": %.4g. %s", item->score, clip->name);
}

void report_clips_write(const ReportPortraits *of, const ReportClips *clips, const PlotSet *set,
                        Buffer *out) {
    if (clips->count == 0) {
        return;
    }
    buffer_text(out, "<h3>What the model heard</h3>\n<div class=\"figures\">\n");
    for (uint32_t i = 0; i < clips->count; i++) {
        Buffer caption = BUFFER_EMPTY;
        describe(&of->dataset->clips[clips->items[i]->clip], clips->items[i], &caption);
        pictures_add(set, clips->pictures[i], buffer_cstr(&caption), out);
        out->status = caption.status != STATUS_OK ? caption.status : out->status;
        buffer_done(&caption);
    }
    buffer_text(out, "</div>\n<p class=\"soft\">The clips that scored highest and lowest. Below "
                     "each: what the model could not reconstruct, bright where it failed. Colours "
                     "mean the same in all of them. A normal clip with a high score is a false "
                     "alarm, an anomalous one with a low score is missed: look for what their "
                     "pictures share.</p>\n");
}

Status report_clips_save(const ReportClips *clips, const PlotSet *set, const char *folder) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < clips->count && status == STATUS_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "clip_%u", i + 1);
        status = pictures_save(set, clips->pictures[i], folder, name);
    }
    return status;
}
