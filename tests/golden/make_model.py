#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens of the model layer, from PyTorch and scikit-learn, in double precision.

    make_model.py [FOLDER]      writes tests/golden/model/*.npy and versions.csv

A network of the official structure with small widths takes three steps of Adam on batches of
16, 11 and 16 rows; then it looks at the first batch in evaluation mode. Tolerances are the
tests' business: the double build is compared within 1e-9, the float build within 1e-4.
"""
import os
import sys

import numpy as np
import sklearn
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn

WIDTHS = [12, 8, 8, 8, 8, 3, 8, 8, 8, 8, 12]
ROWS = [16, 11, 16]


def build():
    layers = []
    for i, (inputs, outputs) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        layers.append(nn.Linear(inputs, outputs))
        if i + 2 < len(WIDTHS):
            layers.append(nn.BatchNorm1d(outputs, momentum=0.01, eps=1e-3))
            layers.append(nn.ReLU())
    return nn.Sequential(*layers).double()


def flat(tensors):
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


def running(net):
    pieces = []
    for module in net:
        if isinstance(module, nn.BatchNorm1d):
            pieces += [module.running_mean, module.running_var]
    return flat(pieces)


def make_network(save):
    torch.manual_seed(4)
    net = build()
    with torch.no_grad():
        for module in net:
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.5)
    batches = [(torch.randn(rows, WIDTHS[0]) * 2 - 1).double() for rows in ROWS]
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    save("batches", np.concatenate([b.numpy() for b in batches]).astype("<f4"))
    save("parameters_0", flat(net.parameters()))
    losses = []
    for step, batch in enumerate(batches, 1):
        optimiser.zero_grad()
        loss = ((net(batch) - batch) ** 2).mean(dim=1).sum() / len(batch)
        loss.backward()
        losses.append(loss.item())
        save(f"gradient_{step}", flat([p.grad for p in net.parameters()]))
        optimiser.step()
        save(f"parameters_{step}", flat(net.parameters()))
        save(f"running_{step}", running(net))
    save("losses", np.array(losses))
    net.eval()
    with torch.no_grad():
        save("evaluation", ((net(batches[0]) - batches[0]) ** 2).mean(dim=1).numpy())


def make_scaler(save):
    rng = np.random.default_rng(5)
    mels, stack = 3, 2
    clips, held_out, vectors = [], [], []
    for frames in (9, 1, 14, 6):
        clip = (rng.normal(size=(frames, mels)) * [3, 1e-3, 0] + [-60, 20, -156.5356]).astype("<f4")
        clips.append(clip)
        count = max(frames - stack + 1, 0)
        out = (rng.random(count) < 0.2).astype("<f8")
        held_out.append(out)
        vectors += [np.concatenate(clip[t : t + stack]) for t in range(count) if not out[t]]
    scaler = StandardScaler().fit(np.array(vectors, dtype=np.float64))
    save("scaler_frames", np.array([len(c) for c in clips], dtype="<f8"))
    save("scaler_log_mel", np.concatenate(clips))
    save("scaler_held_out", np.concatenate(held_out))
    save("scaler_mean_scale", np.array([scaler.mean_, scaler.scale_]))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "model")
    os.makedirs(folder, exist_ok=True)

    def save(name, array):
        np.save(os.path.join(folder, name + ".npy"), np.ascontiguousarray(array))

    make_network(save)
    make_scaler(save)
    with open(os.path.join(folder, "versions.csv"), "w", encoding="ascii") as file:
        file.write("program,version\n")
        for name, module in (("torch", torch), ("scikit-learn", sklearn), ("numpy", np)):
            file.write(f"{name},{module.__version__}\n")


if __name__ == "__main__":
    main()
