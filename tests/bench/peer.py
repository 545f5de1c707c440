#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other side of auscult-bench's comparisons: does one work as Python programs do it, as often
as each line of standard input says, and answers with the nanoseconds that took.

    peer.py WORK ARGUMENT CLOCK     WORK: logmel WAV | notebook WAV | step BATCH | forward BATCH; CLOCK: cpu | wall

The first line says "ready NAME VERSION" or "absent REASON"."""

import sys
import time


def logmel(path):
    """What the official baseline does with a file, up to the stacking of frames."""
    import librosa
    import numpy

    def work():
        samples, rate = librosa.load(path, sr=None, mono=True)
        energies = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=128, power=2.0
        )
        return 10.0 * numpy.log10(numpy.maximum(energies, sys.float_info.epsilon))

    return work, "librosa " + librosa.__version__


def notebook(path):
    """The calls that common/dsp/notebook.h names, on a spectrum that is made once."""
    import librosa
    import numpy

    feature = librosa.feature

    def work():
        samples, rate = librosa.load(path, sr=None, mono=True)
        s = numpy.abs(librosa.stft(samples, n_fft=512, hop_length=466))
        mel = librosa.power_to_db(feature.melspectrogram(S=s**2, sr=rate, n_mels=64), ref=numpy.max)
        mfcc = feature.mfcc(S=mel, n_mfcc=14)
        chroma = feature.chroma_stft(S=s**2, sr=rate)
        contrast = feature.spectral_contrast(S=s, sr=rate)
        rows = [mel, mfcc, feature.delta(mfcc), feature.delta(mfcc, order=2), chroma, contrast,
                feature.spectral_centroid(S=s, sr=rate), feature.spectral_rolloff(S=s, sr=rate),
                feature.rms(y=samples, frame_length=512, hop_length=466)]
        return numpy.concatenate([row.mean(axis=1) for row in rows] + [chroma.std(axis=1), contrast.std(axis=1)])

    return work, "librosa " + librosa.__version__


def network(torch):
    """The official baseline's autoencoder: 640-128-128-128-128-8-128-128-128-128-640."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    layers = []
    for index in range(10):
        layers.append(torch.nn.Linear(widths[index], widths[index + 1]))
        if index < 9:
            layers += [torch.nn.BatchNorm1d(widths[index + 1]), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


def step(batch):
    import torch

    torch.set_num_threads(1)
    net = network(torch)
    net.train()
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    vectors = torch.randn(int(batch), 640)

    def work():
        adam.zero_grad()
        loss = torch.nn.functional.mse_loss(net(vectors), vectors)
        loss.backward()
        adam.step()

    return work, "PyTorch " + torch.__version__


def forward(batch):
    import torch

    torch.set_num_threads(1)
    net = network(torch)
    net.eval()
    vectors = torch.randn(int(batch), 640)

    def work():
        with torch.no_grad():
            return ((net(vectors) - vectors) ** 2).mean(dim=1)

    return work, "PyTorch " + torch.__version__


def main():
    makers = {"logmel": logmel, "notebook": notebook, "step": step, "forward": forward}
    # Processor time of all threads: should there be more than one, they count.
    clock = {"cpu": time.process_time_ns, "wall": time.perf_counter_ns}[sys.argv[3]]
    try:
        work, name = makers[sys.argv[1]](sys.argv[2])
        work()
    except ImportError as error:
        print("absent", error, flush=True)
        return
    print("ready", name, flush=True)
    for line in sys.stdin:
        times = int(line)
        start = clock()
        for _ in range(times):
            work()
        print(clock() - start, flush=True)


main()
