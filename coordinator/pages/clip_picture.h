// SPDX-License-Identifier: Apache-2.0
//
// A clip to look at: waveform, spectrogram, log-mel, MFCC and what a model could not reconstruct,
// one above the other over the same time. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_CLIP_PICTURE_H
#define AUSCULT_COORDINATOR_PAGES_CLIP_PICTURE_H

#include "common/engine/portrait.h"
#include "coordinator/pages/plot.h"

// What is drawn, from top to bottom; a portrait that does not have it goes without.
typedef enum ClipPanel {
    PANEL_WAVEFORM,
    PANEL_SPECTROGRAM,
    PANEL_LOG_MEL,
    PANEL_MFCC,
    PANEL_RESIDUAL,
    CLIP_PANELS
} ClipPanel;

#define CLIP_PANELS_OF_DATA                                                                        \
    (1u << PANEL_WAVEFORM | 1u << PANEL_SPECTROGRAM | 1u << PANEL_LOG_MEL | 1u << PANEL_MFCC)
#define CLIP_PANELS_OF_MODEL (1u << PANEL_SPECTROGRAM | 1u << PANEL_LOG_MEL | 1u << PANEL_RESIDUAL)

// What the ends of each panel's colours stand for; pictures side by side share it, so that they
// can be compared. {0} before the first portrait is taken in.
typedef struct ClipScale {
    bool is_set[CLIP_PANELS];
    double low[CLIP_PANELS], high[CLIP_PANELS]; // in the panel's unit
} ClipScale;

// Widens the scale by what a portrait holds, its extreme values apart: at most 80 dB down from the
// highest, 25 dB for residuals; the waveform and MFCC symmetrically. STATUS_MEMORY.
Status clip_scale_take(ClipScale *scale, const Portrait *portrait);

// Adds the picture of these panels (bits 1 << ClipPanel) to the set; `n_mels` bands make the
// log-mel. PLOT_NONE when nothing of it is there or there is no memory.
uint32_t clip_picture_add(PlotSet *set, const Portrait *portrait, unsigned panels,
                          const ClipScale *scale, int32_t n_mels);

#endif
