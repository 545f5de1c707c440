#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/notebook/: what librosa makes of small signals, called as common/dsp/notebook.h says.

usage: make_notebook.py   (needs numpy, librosa; the committed files are of the versions in VERSION.txt)

signals.npy      float32 (samples,): five signals one after another, 16-bit values / 32768
cases.csv        settings of each case, and the tuning that librosa estimates
frames_*.npy     float32 (frames, n_mels + 64): mel decibels, MFCCs and their first and second
                 deltas, chroma, contrast, centroid, rolloff, RMS of each frame
vector_*.npy     float32 (n_mels + 83,): means over time, and the deviations of chroma and contrast
"""
import csv
import pathlib
import warnings

import librosa
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent / "notebook"
KEYS = "name rate first samples n_fft hop_length win_length n_mels fmin fmax pad_mode".split()
LENGTH = 5000
SIGNALS = ["tones", "chirp", "noise", "gap", "silence"]
CASES = [
    # A preset's settings on every signal.
    *((name, 16000, i * LENGTH, LENGTH, 512, 466, 512, 64, 0, 0, "zeros") for i, name in enumerate(SIGNALS)),
    # As few frames as there may be; reflection; windows shorter than the transform; other rates,
    # bands and transforms, one so long that contrast takes several bins; one of an odd length.
    ("nine_frames", 16000, 0, 8 * 466, 512, 466, 512, 64, 0, 0, "zeros"),
    ("reflected", 16000, 0, LENGTH, 512, 256, 400, 40, 50, 7000, "reflect"),
    ("long_transform", 22050, LENGTH, 2 * LENGTH, 2048, 512, 2048, 32, 0, 0, "zeros"),
    ("odd_transform", 16000, 0, LENGTH, 501, 300, 501, 26, 20, 0, "reflect"),
]


def make_signals():
    rng = np.random.default_rng(20261123)
    t = np.arange(LENGTH) / 16000
    a = 440 * 2 ** (0.23 / 12)
    tones = sum(0.2 / k * np.sin(2 * np.pi * k * a * t + k) for k in range(1, 9))
    tones += 0.002 * rng.standard_normal(LENGTH)
    chirp = 0.3 * np.sin(2 * np.pi * (300 * t + 8000 * t * t)) + 0.003 * rng.standard_normal(LENGTH)
    noise = 0.1 * rng.standard_normal(LENGTH)
    gap = 0.3 * np.sin(2 * np.pi * 990 * t) + 0.05 * np.sin(2 * np.pi * 2500 * t)
    gap[1800:4200] = 0
    signals = np.concatenate([tones, chirp, noise, gap, np.zeros(LENGTH)])
    return (np.round(signals * 32768) / 32768).astype(np.float32)


def features_of(y, case):
    c = dict(zip(KEYS, case))
    pad = "constant" if c["pad_mode"] == "zeros" else "reflect"
    rate, n_fft, hop = c["rate"], c["n_fft"], c["hop_length"]
    magnitude = np.abs(librosa.stft(y, n_fft=n_fft, hop_length=hop, win_length=c["win_length"], pad_mode=pad))
    power = magnitude**2
    bank = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=c["n_mels"], fmin=c["fmin"], fmax=c["fmax"] or None)
    mel = librosa.power_to_db(np.einsum("ft,mf->mt", power, bank), ref=np.max)
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=14)
    # Of an odd transform librosa would take n_fft for one less, from the number of bins.
    bins = librosa.fft_frequencies(sr=rate, n_fft=n_fft)
    tuning = librosa.estimate_tuning(S=power, sr=rate, bins_per_octave=12)
    raw = librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=tuning) @ power
    chroma = librosa.util.normalize(raw, norm=np.inf, axis=-2)
    if n_fft % 2 == 0:
        np.testing.assert_array_equal(
            chroma.argmax(0), librosa.feature.chroma_stft(S=power, sr=rate, n_fft=n_fft).argmax(0))
        np.testing.assert_allclose(
            chroma, librosa.feature.chroma_stft(S=power, sr=rate, n_fft=n_fft), rtol=1e-5, atol=1e-7)
    contrast = librosa.feature.spectral_contrast(S=magnitude, sr=rate, freq=bins)
    parts = [
        mel, mfcc, librosa.feature.delta(mfcc), librosa.feature.delta(mfcc, order=2), chroma, contrast,
        librosa.feature.spectral_centroid(S=magnitude, sr=rate, freq=bins),
        librosa.feature.spectral_rolloff(S=magnitude, sr=rate, freq=bins),
        librosa.feature.rms(y=y, frame_length=n_fft, hop_length=hop, pad_mode=pad),
    ]
    vector = [part.mean(axis=1) for part in parts] + [chroma.std(axis=1), contrast.std(axis=1)]
    return np.concatenate(parts), np.concatenate(vector), tuning


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    signals = make_signals()
    np.save(OUT / "signals.npy", signals)
    with open(OUT / "cases.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(KEYS + ["tuning"])
        for case in CASES:
            frames, vector, tuning = features_of(signals[case[2] : case[2] + case[3]], case)
            print(case[0], frames.shape, vector.shape, f"{tuning:.2f}")
            table.writerow(case + (f"{tuning:.2f}",))
            np.save(OUT / f"frames_{case[0]}.npy", np.ascontiguousarray(frames.T.astype(np.float32)))
            np.save(OUT / f"vector_{case[0]}.npy", vector.astype(np.float32))
    (OUT / "VERSION.txt").write_text(
        f"made by tests/golden/make_notebook.py with numpy {np.__version__}, librosa {librosa.__version__}\n")


main()
