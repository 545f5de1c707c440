#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/explore/: what librosa and scikit-learn make of what `auscult eda` measures.

usage: make_explore.py   (needs numpy, librosa, scikit-learn; the committed files are of the versions in VERSION.txt)

signals.npy     float32 (signals, samples): tones, a chirp, noise and a gap, 16-bit values / 32768
numbers.npy     float64 (signals, 4): means over frames of spectral centroid, bandwidth, rolloff, flatness
bands.npy       float64 (signals, 2, n_mels): mean over frames, then deviation, of 10 log10(max(mel, 2.2e-16))
points.npy      float64 (clips, bands): rows that vary in some directions more than in others
plane.npy       float64 (clips + 1, 2): their first two principal components; last the shares of variance
"""
import pathlib

import librosa
import numpy as np
import sklearn
from sklearn.decomposition import PCA

OUT = pathlib.Path(__file__).resolve().parent / "explore"
RATE, LENGTH, N_FFT, HOP, N_MELS = 16000, 6000, 1024, 512, 128


def make_signals(rng):
    t = np.arange(LENGTH) / RATE
    tones = sum(0.2 / k * np.sin(2 * np.pi * 450 * k * t + k) for k in range(1, 9))
    tones += 0.002 * rng.standard_normal(LENGTH)
    chirp = 0.3 * np.sin(2 * np.pi * (300 * t + 8000 * t * t)) + 0.003 * rng.standard_normal(LENGTH)
    noise = 0.1 * rng.standard_normal(LENGTH)
    gap = 0.3 * np.sin(2 * np.pi * 990 * t) + 0.01 * rng.standard_normal(LENGTH)
    gap[1500:4500] = 0
    return (np.round(np.stack([tones, chirp, noise, gap]) * 32768) / 32768).astype(np.float32)


def numbers_of(y):
    magnitude = np.abs(librosa.stft(y.astype(np.float64), n_fft=N_FFT, hop_length=HOP))
    return [
        librosa.feature.spectral_centroid(S=magnitude, sr=RATE, n_fft=N_FFT).mean(),
        librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE, n_fft=N_FFT).mean(),
        librosa.feature.spectral_rolloff(S=magnitude, sr=RATE, n_fft=N_FFT).mean(),
        librosa.feature.spectral_flatness(S=magnitude).mean(),
    ]


def bands_of(y):
    mel = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, power=2.0)
    log_mel = 10 * np.log10(np.maximum(mel.astype(np.float64), np.finfo(float).eps))
    return np.stack([log_mel.mean(axis=1), log_mel.std(axis=1)])


def plane_of(points):
    pca = PCA(n_components=2, svd_solver="full").fit(points)
    axes = pca.components_
    signs = np.sign([axis[np.argmax(np.abs(axis))] for axis in axes])
    places = (points - points.mean(axis=0)) @ (axes * signs[:, None]).T
    return np.vstack([places, pca.explained_variance_ratio_])


def main():
    rng = np.random.default_rng(20261123)
    OUT.mkdir(exist_ok=True)
    signals = make_signals(rng)
    np.save(OUT / "signals.npy", signals)
    np.save(OUT / "numbers.npy", np.array([numbers_of(y) for y in signals]))
    np.save(OUT / "bands.npy", np.stack([bands_of(y) for y in signals]))
    spread = 6.0 / np.arange(1, 21)
    points = rng.standard_normal((40, 20)) * spread @ np.linalg.qr(rng.standard_normal((20, 20)))[0] - 30
    np.save(OUT / "points.npy", points)
    np.save(OUT / "plane.npy", plane_of(points))
    versions = f"librosa {librosa.__version__}\nnumpy {np.__version__}\nscikit-learn {sklearn.__version__}\n"
    (OUT / "VERSION.txt").write_text(versions, encoding="utf-8")


main()
