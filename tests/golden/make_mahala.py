# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/eval/mahala_*.csv: covariances, Mahalanobis scores and Ledoit and Wolf's
shrinkage by NumPy, SciPy and scikit-learn. Usage: python3 make_mahala.py FOLDER. The files say
which versions made them (VERSIONS_mahala.txt). Matrices are blank-separated, row after row.

mahala_residuals.csv: residuals (vectors, frames, n_mels) of float32 with a `target` flag a vector
and the number of vectors of a batch. Per domain the covariance of all rows (numpy.cov), and that of
the official baseline's code: each batch's rows about their own mean, divided by vectors - 1. Then
for the rows of the last batch: MAHALA of their mean row by the two compat covariances, and the sum
over the rows of the smaller distance by the two plain ones (scipy.spatial.distance.mahalanobis).

mahala_clips.csv: rows (clips, n_mels), their mean, LedoitWolf's shrinkage and precision, and the
squared distance of one more row.
"""
import csv
import os
import sys
import warnings

import numpy as np
import scipy
import sklearn
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf


def text(values):
    return " ".join(repr(float(v)) for v in np.ravel(values))


def baseline_covariance(residuals, target, batch):
    """As dcase2023_task2_baseline_ae v5.1.1 sums it, in double."""
    total, vectors = 0, 0
    for first in range(0, len(residuals), batch):
        part = residuals[first:first + batch][target[first:first + batch]]
        vectors += len(part)
        if len(part):
            rows = part.reshape(-1, part.shape[-1]).astype(float)
            apart = rows - rows.mean(axis=0)
            total = total + apart.T @ apart
    return total / (vectors - 1)


def smaller(row, inverses):
    return min(mahalanobis(row, np.zeros(len(row)), p) ** 2 for p in inverses)


def residual_case(rng, number):
    frames, n_mels = int(rng.integers(1, 6)), int(rng.integers(2, 12))
    vectors, batch = int(rng.integers(40, 90)), int(rng.integers(7, 30))
    mixing = rng.normal(0, 1, (n_mels, n_mels)) * rng.uniform(0.2, 3, n_mels)
    target = rng.random(vectors) < 0.3
    target[:4], target[4:8] = True, False
    residuals = rng.normal(0, 1, (vectors, frames, n_mels)) @ mixing
    residuals += (0.3 if number % 2 else 3e3) * rng.normal(0, 1, n_mels)  # mean far from zero
    residuals = (residuals + target[:, None, None] * rng.normal(0, 1, n_mels)).astype(np.float32)
    domains = [~target, target]
    plain = [np.cov(residuals[d].reshape(-1, n_mels).astype(float).T) for d in domains]
    compat = [baseline_covariance(residuals, d, batch) for d in domains]
    last = residuals[(vectors - 1) // batch * batch:].reshape(-1, n_mels).astype(float)
    by_plain = [np.linalg.inv(c) for c in plain]
    by_compat = [np.linalg.inv(c) for c in compat]
    return [frames, n_mels, batch, text(target), text(residuals), *map(text, plain),
            *map(text, compat), repr(float(smaller(last.mean(axis=0), by_compat))),
            repr(float(sum(smaller(row, by_plain) for row in last)))]


def clip_case(rng, clips, n_mels):
    mixing = rng.normal(0, 1, (n_mels, n_mels)) * rng.uniform(0.1, 2, n_mels)
    rows = rng.normal(0, 1, (clips, n_mels)) @ mixing + rng.normal(0, 5, n_mels)
    if clips == 60:
        rows[:, 1] = 0.5  # a constant column
    new = rng.normal(0, 1, n_mels) @ mixing
    fit = LedoitWolf().fit(rows)
    return [n_mels, text(rows), text(fit.location_), repr(float(fit.shrinkage_)),
            text(fit.get_precision()), text(new), repr(float(fit.mahalanobis(new[None])[0]))]


def write(folder, name, header, rows):
    with open(os.path.join(folder, name), "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(header)
        out.writerows(rows)


def main(folder):
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(2024)
    write(folder, "mahala_residuals.csv",
          ["frames", "n_mels", "batch", "target", "residuals", "source_covariance",
           "target_covariance", "source_compat", "target_compat", "last_by_code", "last_by_paper"],
          [residual_case(rng, i) for i in range(8)])
    sizes = [(4, 3), (3, 8), (10, 10), (60, 6), (40, 1), (200, 12), (5, 16)]
    write(folder, "mahala_clips.csv",
          ["n_mels", "rows", "mean", "shrinkage", "precision", "new_row", "distance"],
          [clip_case(rng, *size) for size in sizes])
    with open(os.path.join(folder, "VERSIONS_mahala.txt"), "w") as f:
        f.write(f"make_mahala.py with numpy {np.__version__}, scipy {scipy.__version__}, "
                f"scikit-learn {sklearn.__version__}\n")


main(sys.argv[1])
