// SPDX-License-Identifier: Apache-2.0
//
// The same sources as in the library, under other names and compiled once for any processor of the
// architecture: what test_clones holds the library's clones against.
#define CPU_CLONES_OFF
#define maths_log         plain_maths_log
#define maths_exp         plain_maths_exp
#define maths_cos_turn    plain_maths_cos_turn
#define maths_decibel_new plain_maths_decibel_new
#define maths_decibel     plain_maths_decibel
#define maths_largest     plain_maths_largest
#define maths_power       plain_maths_power
#define mel_new           plain_mel_new
#define mel_free          plain_mel_free
#define mel_matrix        plain_mel_matrix
#define mel_centres       plain_mel_centres
#define mel_run           plain_mel_run
#define stft_new          plain_stft_new
#define stft_free         plain_stft_free
#define stft_bins         plain_stft_bins
#define stft_frames       plain_stft_frames
#define stft_run          plain_stft_run
#define stft_is_silent    plain_stft_is_silent
#define stft_samples      plain_stft_samples
#define stft_transforms   plain_stft_transforms
#define stft_library      plain_stft_library
#define moments_new       plain_moments_new
#define moments_free      plain_moments_free
#define moments_add       plain_moments_add
#define logmel_new        plain_logmel_new
#define logmel_check      plain_logmel_check
#define logmel_free       plain_logmel_free
#define logmel_frames     plain_logmel_frames
#define logmel_run        plain_logmel_run
#define logmel_centres    plain_logmel_centres

#include "common/dsp/logmel.c"
#define Four      StftFour // logmel.c has its own
#define FourIndex StftFourIndex
#include "common/dsp/maths.c"
#include "common/dsp/mel.c"
#undef LEAST_POWER
#include "common/dsp/moments.c"
#include "common/dsp/stft.c"
