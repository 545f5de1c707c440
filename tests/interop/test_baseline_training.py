#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training by the official baseline's arithmetic, on the clips and under the names of one of its
own runs, must end where that run ended. Its program draws other random numbers than ours, so losses
are compared within the spread that its own seeds show: each seed within 10 %, the mean of five
within 5 %. Two seeds every day, all five with AUSCULT_LONG=1."""

import csv
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import SHARED, Skip, auscult, check, main, read_csv  # noqa: E402

SEEDS = [13711, 1, 2, 3, 4]  # the baseline's own first
EPOCHS = 20


def rows_of(path):
    if not os.path.isfile(path):
        raise Skip(f"{path} is not there")
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def make_tree(folder, official):
    """The clips as links, under the names that the official run knew."""
    for row in rows_of(f"{official}/names.csv"):
        link = f"{folder}/data/slider/{row['name']}"
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(f"{SHARED}/data/real_clips/dcase2020/slider/{row['clip']}", link)
    return f"{folder}/data"


def train(folder, data, seed):
    out = f"{folder}/run_{seed}"
    auscult("run", "--data", data, "--out", out, "--preset", "dcase-baseline",
            "--set", f"epochs={EPOCHS}", "--set", f"seed={seed}", seconds=300)
    history = rows_of(f"{out}/logs/history_slider_section_00.csv")
    check(len(history) == EPOCHS, f"{len(history)} epochs in the history")
    _, report = read_csv(f"{out}/outputs/report_by_machine.csv")
    return float(history[-1]["loss"]), report[0]


def test_training_ends_where_the_official_run_ended(folder):
    official = f"{SHARED}/data/baseline_run"
    goal = float(rows_of(f"{official}/log.csv")[-1]["loss"])
    known = rows_of(f"{official}/result_MSE.csv")[0]
    print(f"official: loss {goal:.4f}, AUC source {float(known['AUC (source)']):.4f}, "
          f"target {float(known['AUC (target)']):.4f}, pAUC {float(known['pAUC']):.4f}")
    data = make_tree(folder, official)
    is_long = os.environ.get("AUSCULT_LONG") == "1"
    losses = []
    for seed in SEEDS if is_long else SEEDS[:2]:
        loss, report = train(folder, data, seed)
        losses.append(loss)
        print(f"seed {seed}: loss {loss:.4f} ({100 * (loss / goal - 1):+.2f} %), "
              f"AUC source {float(report['auc_source']):.4f}, "
              f"target {float(report['auc_target']):.4f}, pAUC {float(report['pauc']):.4f}")
        check(0.9 * goal <= loss <= 1.1 * goal, f"seed {seed} ends at {loss}, {goal} is known")
    mean = sum(losses) / len(losses)
    print(f"mean of {len(losses)}: {mean:.4f} ({100 * (mean / goal - 1):+.2f} %)")
    if is_long:
        check(0.95 * goal <= mean <= 1.05 * goal, f"the mean is {mean}, {goal} is known")


main(globals())
