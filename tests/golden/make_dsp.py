#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/dsp/: what librosa and soundfile make of small signals.

usage: make_dsp.py   (needs numpy, librosa, soundfile; the committed files are of the versions in
VERSION.txt)

signal.npy         float32 (4000,): a chirp, a loud low tone and noise, 16-bit values / 32768
mel_*.npy          filter banks, non-zero weights only: float32 (weights, 3) of band, bin, weight
stft_power.npy     float32 (bins, 3): |librosa.stft|^2 of the signal, n_fft 1024, hop 512, frames 0, 3, 7
logmel_cases.csv   settings of each log-mel
logmel_*.npy       float32 (frames, n_mels)
sound_*.*          the signal's first samples in many formats, and sound_*.npy: float32 (samples,
                   channels) as soundfile.read gives them
"""
import csv
import pathlib
import sys
import warnings

import librosa
import numpy as np
import soundfile

OUT = pathlib.Path(__file__).resolve().parent / "dsp"
KEYS = "name rate first samples n_fft hop_length win_length n_mels power fmin fmax pad_mode".split()
CASES = [
    ("default", 16000, 0, 4000, 1024, 512, 1024, 128, 2.0, 0, 0, "zeros"),
    ("reflect", 16000, 0, 4000, 1024, 512, 1024, 128, 2.0, 0, 0, "reflect"),
    ("power_1", 16000, 0, 4000, 1024, 512, 1024, 64, 1.0, 0, 0, "zeros"),
    ("power_1_5", 16000, 0, 4000, 1024, 512, 1024, 64, 1.5, 0, 0, "zeros"),
    ("short_window", 16000, 0, 3333, 1024, 512, 801, 64, 2.0, 0, 0, "reflect"),
    ("notebook", 16000, 0, 4000, 512, 466, 512, 64, 2.0, 0, 0, "zeros"),
    ("odd_n_fft", 16000, 0, 3999, 1001, 300, 1001, 39, 2.0, 0, 0, "reflect"),
    ("other_rate", 22050, 0, 4000, 2048, 512, 2048, 40, 2.0, 50, 8000, "zeros"),
    ("shorter_than_n_fft", 16000, 700, 600, 1024, 512, 1024, 64, 2.0, 0, 0, "zeros"),
    ("shorter_than_half", 16000, 700, 200, 1024, 512, 1024, 64, 2.0, 0, 0, "reflect"),
    ("one_sample", 16000, 700, 1, 512, 256, 512, 20, 2.0, 0, 0, "reflect"),
    ("with_silence", 16000, 2900, 1100, 64, 32, 64, 8, 2.0, 0, 0, "zeros"),
]
FORMATS = [
    ("pcm16", "wav", "WAV", "PCM_16", 1),
    ("pcm24", "wav", "WAV", "PCM_24", 1),
    ("pcm32", "wav", "WAV", "PCM_32", 1),
    ("unsigned8", "wav", "WAV", "PCM_U8", 1),
    ("float", "wav", "WAV", "FLOAT", 1),
    ("double", "wav", "WAV", "DOUBLE", 1),
    ("alaw", "wav", "WAV", "ALAW", 1),
    ("adpcm", "wav", "WAV", "IMA_ADPCM", 1),
    ("stereo", "wav", "WAV", "PCM_16", 2),
    ("extensible", "wav", "WAVEX", "PCM_24", 2),
    ("rf64", "wav", "RF64", "PCM_16", 1),
    ("aiff", "aiff", "AIFF", "PCM_16", 1),
    ("flac16", "flac", "FLAC", "PCM_16", 1),
    ("flac24_stereo", "flac", "FLAC", "PCM_24", 2),
]


def make_signal():
    rng = np.random.default_rng(20261122)
    t = np.arange(4000) / 16000
    chirp = 0.05 * np.sin(2 * np.pi * (200 * t + 14000 * t * t))
    signal = 0.4 * np.sin(2 * np.pi * 60 * t) + chirp + 0.001 * rng.standard_normal(t.size)
    signal[3200:3600] = 0  # digital silence beside sound
    return (np.round(signal * 32768) / 32768).astype(np.float32)


def save(name, array):
    np.save(OUT / f"{name}.npy", array)


def make_mel():
    for rate, n_fft, n_mels, fmin, fmax in [
        (16000, 1024, 128, 0, 8000),
        (16000, 512, 64, 0, 8000),
        (22050, 2048, 40, 50, 8000),
        (16000, 256, 128, 0, 8000),  # bands so narrow that some are empty
    ]:
        bank = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
        band, bin_ = np.nonzero(bank)
        save(f"mel_{rate}_{n_fft}_{n_mels}", np.stack([band, bin_, bank[band, bin_]], 1).astype("f4"))


def make_logmel(signal):
    with open(OUT / "logmel_cases.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(KEYS)
        for case in CASES:
            table.writerow(case)
            c = dict(zip(KEYS, case))
            mel = librosa.feature.melspectrogram(
                y=signal[c["first"] : c["first"] + c["samples"]], sr=c["rate"], n_fft=c["n_fft"],
                hop_length=c["hop_length"], win_length=c["win_length"], n_mels=c["n_mels"],
                power=c["power"], fmin=c["fmin"], fmax=c["fmax"] or None, center=True,
                pad_mode="constant" if c["pad_mode"] == "zeros" else "reflect")
            db = 20.0 / c["power"] * np.log10(np.maximum(mel, sys.float_info.epsilon))
            save(f"logmel_{c['name']}", np.ascontiguousarray(db.T.astype(np.float32)))


def make_sounds(signal):
    both = np.stack([signal[:300], signal[1000:1300][::-1]], 1).astype(np.float64)
    for name, ending, container, coding, channels in FORMATS:
        path = OUT / f"sound_{name}.{ending}"
        soundfile.write(path, both[:, :channels], 16000, subtype=coding, format=container)
        data, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == 16000 and data.shape[1] == channels
        save(f"sound_{name}", data)


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    signal = make_signal()
    save("signal", signal)
    make_mel()
    power = np.abs(librosa.stft(signal, n_fft=1024, hop_length=512)) ** 2
    save("stft_power", np.ascontiguousarray(power[:, [0, 3, 7]].astype("f4")))
    make_logmel(signal)
    make_sounds(signal)
    versions = f"numpy {np.__version__}, librosa {librosa.__version__}, soundfile {soundfile.__version__}"
    (OUT / "VERSION.txt").write_text(
        f"made by tests/golden/make_dsp.py with {versions}, {soundfile.__libsndfile_version__}\n")


main()
