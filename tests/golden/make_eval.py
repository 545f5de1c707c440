# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/eval/*.csv: metrics by scikit-learn, gamma fits and percentiles by SciPy and
NumPy. Usage: python3 make_eval.py FOLDER. The files say which versions made them (VERSIONS.txt).

metrics.csv: one case a row. `clips` has one letter and one digit per clip: the letter is the score
(a = 0, b = 1, ... z, A .. Z = 51), the digit is label + 2 * domain. A clip is decided anomalous
when its score is greater than `threshold`. An empty field is an undefined metric.
"""
import csv
import math
import os
import sys
import warnings

import numpy as np
import scipy
import sklearn
from scipy import special, stats
from sklearn import metrics

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def auc(y, s, keep, max_fpr=None):
    if len(set(y[keep])) < 2:
        return math.nan
    return metrics.roc_auc_score(y[keep], s[keep], max_fpr=max_fpr)


def decided(y, d, keep):
    if len(set(y[keep])) < 2:
        return [math.nan] * 3
    return [f(y[keep], d[keep], zero_division=0.0) for f in
            (metrics.precision_score, metrics.recall_score, metrics.f1_score)]


def text(value):
    return "" if math.isnan(value) else repr(float(value))


def metric_case(rng, number):
    n = int(rng.integers(20, 61)) if number > 8 else int(rng.integers(1, 6))
    levels = int(rng.integers(2, 53))
    label = (rng.random(n) < rng.uniform(0.05, 0.95)).astype(int)
    domain = (rng.random(n) < rng.choice([0.0, 0.1, 0.5, 0.5, 1.0])).astype(int)
    score = np.clip(rng.normal(levels / 2 + label * rng.uniform(0, levels / 3), levels / 5 + 0.3),
                    0, levels - 1).astype(int)
    max_fpr = float(rng.choice([0.1, 0.1, 0.1, 0.05, 0.2, 0.5, 0.037, 1.0]))
    threshold = int(rng.integers(0, levels))
    every = np.ones(n, bool)
    source, target = domain == 0, domain == 1
    decision = (score > threshold).astype(int)
    values = [
        auc(label, score, every), auc(label, score, source | (label == 1)),
        auc(label, score, target | (label == 1)), auc(label, score, every, max_fpr),
        auc(label, score, source, max_fpr), auc(label, score, target, max_fpr),
        *decided(label, decision, every), *decided(label, decision, source),
        *decided(label, decision, target)]
    clips = "".join(LETTERS[s] + str(l + 2 * d) for s, l, d in zip(score, label, domain))
    return [clips, max_fpr, threshold, *map(text, values)]


def section_case(rng):
    """Label, domain and score of one section's clips; scores with ties."""
    n = int(rng.integers(24, 41))
    label, domain = rng.integers(0, 2, n), rng.integers(0, 2, n)
    label[:4], domain[:4] = [0, 1, 0, 1], [0, 0, 1, 1]
    score = np.clip(rng.normal(20 + 9 * label - 5 * domain * (1 - label), 7, n), 0, 51).astype(int)
    return label, domain, score


def areas_of(label, domain, score, max_fpr):
    one = {d: domain == d for d in (0, 1)}
    every = np.ones(len(label), bool)
    return {
        "2022": [auc(label, score, one[d] | (label == 1)) for d in (0, 1)]
        + [auc(label, score, every, max_fpr)],
        "2021": [auc(label, score, one[d]) for d in (0, 1)]
        + [auc(label, score, one[d], max_fpr) for d in (0, 1)],
        "2020": [auc(label, score, every), auc(label, score, every, max_fpr)],
    }


def official(sections, max_fpr, rule):
    values = [areas_of(*s, max_fpr)[rule] for s in sections]
    if rule == "2020":
        return float(np.mean(values))
    return float(stats.hmean(np.maximum(np.array(values), sys.float_info.epsilon), axis=None))


def without(section, i):
    return tuple(np.delete(column, i) for column in section)


def interval_case(rng):
    """Official scores of three machines, the jackknife's half width for that of 2022, and the
    pooled one that the challenge's evaluators print."""
    sections, max_fpr = [section_case(rng) for _ in range(3)], 0.1
    parts = [official([without(s, i) if k == j else s for k, s in enumerate(sections)], max_fpr,
                      "2022") for j in range(3) for i in range(len(sections[j][0]))]
    n = len(parts)
    t = stats.t.ppf(0.975, n - 1)
    jackknife = t * math.sqrt((n - 1) / n * np.sum((np.array(parts) - np.mean(parts)) ** 2))
    label, _, score = (np.concatenate(column) for column in zip(*sections))
    halves = []
    for fpr in (None, max_fpr):
        left = [metrics.roc_auc_score(np.delete(label, i), np.delete(score, i), max_fpr=fpr)
                for i in range(n)]
        halves.append(t * math.sqrt(np.sum((np.array(left) - np.mean(left)) ** 2) / (n * (n - 1))))
    clips = ["".join(LETTERS[x] + str(l + 2 * d) for l, d, x in zip(*s)) for s in sections]
    return [*clips, *map(repr, (official(sections, max_fpr, rule) for rule in ("2020", "2021", "2022"))),
            repr(float(jackknife)), repr(float(np.mean(halves)))]


def write(folder, name, header, rows):
    with open(os.path.join(folder, name), "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(header)
        out.writerows(rows)


def is_steady(rng, x, quantile):
    """Whether SciPy itself finds the same when the values move by 1e-14: a fit without a maximum,
    or nearly flat, does not, and differs from processor to processor."""
    moved = [stats.gamma.fit(x * (1 + 1e-14 * rng.standard_normal(len(x)))) for _ in range(5)]
    return all(abs(stats.gamma.ppf(0.9, *m) / quantile - 1) < 1e-8 for m in moved)


def gamma_case(rng, number):
    n = int(rng.integers(12, 90))
    kind = number % 5
    if kind == 0:
        x = rng.gamma(rng.uniform(1.5, 30), rng.uniform(0.1, 5), n) + rng.uniform(-5, 50)
    elif kind == 1:
        x = rng.normal(rng.uniform(5, 500), 1, n)
    elif kind == 2:
        x = rng.lognormal(1, rng.uniform(0.1, 0.8), n)
    elif kind == 3:
        x = rng.uniform(10, 20, n)
    else:
        x = np.concatenate([rng.normal(10, 0.3, n), rng.normal(30, 3, n // 6)])
    x = np.round(x, 4)
    fit = stats.gamma.fit(x)
    shape, location, scale = fit
    if not is_steady(rng, x, stats.gamma.ppf(0.9, *fit)):
        return gamma_case(rng, number)
    values = " ".join(repr(float(v)) for v in x)
    return [values, repr(float(shape)), repr(float(location)), repr(float(scale)),
            repr(float(stats.gamma.ppf(0.9, shape, location, scale)))]


def main(folder):
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(2023)
    names = ["auc", "auc_source", "auc_target", "pauc", "pauc_source", "pauc_target",
             "precision", "recall", "f1", "precision_source", "recall_source", "f1_source",
             "precision_target", "recall_target", "f1_target"]
    write(folder, "metrics.csv", ["clips", "max_fpr", "threshold", *names],
          [metric_case(rng, i) for i in range(300)])
    write(folder, "gamma_fits.csv", ["values", "shape", "location", "scale", "quantile_0.9"],
          [gamma_case(rng, i) for i in range(40)])
    rows = []
    for shape in [1e-3, 0.1, 0.5, 1.0, 1.7, 5.0, 40.0, 333.0, 32500.9, 99999.0, 1.0e5 + 1, 1e6, 4e8]:
        for p in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999999]:
            rows.append([repr(shape), repr(p), repr(float(stats.gamma.ppf(p, shape)))])
    write(folder, "gamma_quantiles.csv", ["shape", "probability", "quantile"], rows)
    rows = [[repr(float(x)), repr(float(np.log(x))), repr(float(special.gammaln(x)))]
            for x in [1e-300, 1e-8, 0.1, 0.5, 0.70710678, 0.999999, 1.0, 1.0000001, 1.5, 2.0, 2.5,
                      7.25, 12.9, 13.0, 40.75, 333.3, 32500.9, 4e8, 1e300]]
    write(folder, "logarithms.csv", ["x", "log", "log_gamma"], rows)
    rows = []
    for n in [1, 2, 3, 10, 75, 92]:
        x = np.sort(np.round(rng.normal(10, 3, n), 3))
        for p in [0, 5, 33.3, 50, 90, 95, 100]:
            rows.append([" ".join(repr(float(v)) for v in x), p,
                         repr(float(np.percentile(x, p)))])
    write(folder, "percentiles.csv", ["values", "percent", "percentile"], rows)
    write(folder, "intervals.csv",
          ["clips_0", "clips_1", "clips_2", "official_2020", "official_2021", "official_2022",
           "jackknife_half", "evaluator_half"], [interval_case(rng) for _ in range(12)])
    with open(os.path.join(folder, "VERSIONS.txt"), "w") as f:
        f.write(f"make_eval.py with numpy {np.__version__}, scipy {scipy.__version__}, "
                f"scikit-learn {sklearn.__version__}\n")


main(sys.argv[1])
