#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`auscult evaluate` against scikit-learn, SciPy and the official baseline's own result files, and the
layout that the official evaluators of 2023 and 2024 expect.

The tests against scikit-learn need it in the Python that runs this file or in the one that
$AUSCULT_SKLEARN_PYTHON names, which under ctest is that of packages.py; else they skip.
Random cases print their seed; $AUSCULT_SEED chooses another."""

import csv
import glob
import json
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import SHARED, TINY, Skip, auscult, check, hum, main, write_wav  # noqa: E402

SEED = int(os.environ.get("AUSCULT_SEED", "13711"))
# 2,000 cases, which take scikit-learn half a minute; 10,000 in a long run.
SYSTEMS, MACHINES = 50 if os.environ.get("AUSCULT_LONG") else 10, 200


def write(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def truth_of(rng):
    """Label and domain of one machine's clips: of most both of both, of some not."""
    count = rng.randint(20, 60) if rng.random() < 0.9 else rng.randint(1, 6)
    anomalous, target = rng.uniform(0.05, 0.95), rng.choice([0.1, 0.5, 0.5, 0.5, 1.0, 0.0])
    return [(int(rng.random() < anomalous), int(rng.random() < target)) for _ in range(count)]


def write_case(root, rng, truth):
    for m, clips in enumerate(truth):
        name = f"ground_truth_machine{m}_section_00_test.csv"
        write(f"{root}/ground_truth_data/{name}",
              [[f"section_00_{i:04d}.wav", label] for i, (label, _) in enumerate(clips)])
        write(f"{root}/ground_truth_domain/{name}",
              [[f"section_00_{i:04d}.wav", domain] for i, (_, domain) in enumerate(clips)])
    for s in range(SYSTEMS):
        for m, clips in enumerate(truth):
            levels = rng.choice([2, 5, 20, 10**9])  # few levels make ties
            spread = rng.uniform(0, levels / 3)
            scores = [min(max(int(rng.gauss(levels / 2 + label * spread, levels / 5 + 0.3)), 0), levels)
                      for label, _ in clips]
            threshold = rng.choice(scores)
            folder, name = f"{root}/teams/team{s % 7}/system{s}", f"machine{m}_section_00_test.csv"
            rows = [[f"section_00_{i:04d}.wav", score] for i, score in enumerate(scores)]
            rng.shuffle(rows)  # rows have no order
            write(f"{folder}/anomaly_score_{name}", rows)
            write(f"{folder}/decision_result_{name}", [[clip, int(x > threshold)] for clip, x in rows])


# ---- the other side: scikit-learn on files read as the official evaluators read them ----


def read_sorted(path):
    """The second column, rows sorted by name: positions then agree between all files."""
    with open(path, newline="") as file:
        return [float(row[1]) for row in sorted(csv.reader(file))]


PEER = "AUSCULT_EVALUATE_PEER"


def area(y, s, keep, max_fpr=None):
    from sklearn import metrics
    return None if len(set(y[keep])) < 2 else float(
        metrics.roc_auc_score(y[keep], s[keep], max_fpr=max_fpr))


def peer_machine(root, folder, machine):
    """{metric: value, None where it is undefined}"""
    import numpy
    from sklearn import metrics
    rest = f"{machine}_section_00_test.csv"
    y = numpy.array(read_sorted(f"{root}/ground_truth_data/ground_truth_{rest}")).astype(int)
    domain = numpy.array(read_sorted(f"{root}/ground_truth_domain/ground_truth_{rest}"))
    score = numpy.array(read_sorted(f"{folder}/anomaly_score_{rest}"))
    decision = numpy.array(read_sorted(f"{folder}/decision_result_{rest}")).astype(int)
    every = numpy.ones(len(y), bool)
    row = {"auc": area(y, score, every), "pauc": area(y, score, every, 0.1)}
    for d, name in enumerate(("source", "target")):
        one = domain == d
        row[f"auc_{name}"] = area(y, score, one | (y == 1))
        row[f"pauc_{name}"] = area(y, score, one, 0.1)
        three = [None] * 3
        if len(set(y[one])) == 2:
            three = [float(value) for value in metrics.precision_recall_fscore_support(
                y[one], decision[one], average="binary", zero_division=0.0)[:3]]
        row.update({f"{key}_{name}": value for key, value in zip(("precision", "recall", "f1"), three)})
    return row


def peer_system(job):
    """{machine: its metrics, "": means over them}"""
    import numpy
    import scipy.stats
    root, folder = job
    machines = [os.path.basename(path).split("_")[2]
                for path in sorted(glob.glob(f"{root}/ground_truth_data/ground_truth_*"))]
    system = {machine: peer_machine(root, folder, machine) for machine in machines}
    columns = {key: [row[key] for row in system.values() if row[key] is not None]
               for key in system[machines[0]]}

    def harmonic(values):
        return float(scipy.stats.hmean(numpy.maximum(values, sys.float_info.epsilon)))

    means = {key: harmonic(values) for key, values in columns.items()}
    means["official_score"] = harmonic(columns["auc_source"] + columns["auc_target"] + columns["pauc"])
    means["arithmetic"] = float(numpy.mean(columns["auc_source"] + columns["auc_target"]))
    system[""] = means
    return system


def peer(root):
    """Prints {system: what peer_system says} as JSON."""
    folders = sorted(glob.glob(f"{root}/teams/*/*"))
    with multiprocessing.Pool() as pool:
        found = pool.map(peer_system, [(root, folder) for folder in folders], chunksize=1)
    json.dump({os.path.relpath(f, f"{root}/teams"): s for f, s in zip(folders, found)}, sys.stdout)


def ask_peer(root):
    for python in (sys.executable, os.environ.get("AUSCULT_SKLEARN_PYTHON")):
        if python and shutil.which(python) and subprocess.run([python, "-c", "import sklearn, scipy"], check=False,
                                     stderr=subprocess.DEVNULL).returncode == 0:
            said = subprocess.run([python, os.path.abspath(__file__)], check=True, text=True,
                                  stdout=subprocess.PIPE, env={**os.environ, PEER: root})
            return json.loads(said.stdout)
    raise Skip("no Python with scikit-learn; AUSCULT_SKLEARN_PYTHON may name one")


def agree(ours, theirs, tolerance, what):
    if theirs is None:
        check(ours is None, f"{what}: {ours}, but undefined by scikit-learn")
    else:
        check(ours is not None and abs(ours - theirs) <= tolerance,
              f"{what}: {ours}, scikit-learn has {theirs}")


def check_system(system, theirs):
    for section in system["sections"]:
        expected = theirs[section["machine"]]
        for key, value in expected.items():
            agree(section[key], value, 1e-12, f"{system['system']} {section['machine']} {key}")
    for key in ("official_score", "auc_source", "auc_target", "pauc", "f1_source", "f1_target",
                "precision_target", "recall_source"):
        agree(system[key], theirs[""][key], 1e-12, f"{system['system']} {key}")


def overall(path, name):
    """The numbers behind a row of result.csv."""
    with open(path, newline="") as file:
        return next([float(x) for x in row[2:]] for row in csv.reader(file) if row[:1] == [name])


def test_random_cases_are_scikit_learns(folder):
    print(f"seed {SEED} (AUSCULT_SEED={SEED} {sys.argv[0]} random_cases_are_scikit_learns)")
    rng = random.Random(SEED)
    write_case(folder, rng, [truth_of(rng) for _ in range(MACHINES)])
    theirs = ask_peer(folder)
    ours = json.loads(auscult("evaluate", "--scores", f"{folder}/teams", "--truth", folder, "--json",
                              "--resamples", "0", "--results", f"{folder}/results").out)
    check(len(ours["systems"]) == SYSTEMS, f"{len(ours['systems'])} systems")
    cases = 0
    for system in ours["systems"]:
        check_system(system, theirs[system["system"]])
        cases += len(system["sections"])
        means = theirs[system["system"]][""]
        over = " over all machine types, sections, and domains"
        result = f"{folder}/results/{system['system']}/result.csv"
        agree(overall(result, "arithmetic mean" + over)[0], means["arithmetic"], 1e-12, "arithmetic")
        agree(overall(result, "source harmonic mean" + over)[0], means["auc_source"], 1e-12, "source")
        agree(overall(result, "target harmonic mean" + over)[4], means["f1_target"], 1e-12, "target")
    check(cases == SYSTEMS * MACHINES, f"{cases} cases")


# ---- the official baseline's files ----


def test_result_files_of_the_baseline_come_out_to_the_byte(folder):
    run = f"{SHARED}/baseline_run" if os.path.isdir(f"{SHARED}/baseline_run") else f"{SHARED}/data/baseline_run"
    if not os.path.isdir(run):
        raise Skip(f"no {run}")
    for kind in ("MSE", "MAHALA"):
        for file in ("anomaly_score", "decision_result"):
            name = f"{file}_DCASE2023T2slider_section_00_test_seed13711_id(0_)_Dev.csv"
            os.makedirs(f"{folder}/results/{kind}", exist_ok=True)
            shutil.copy(f"{run}/{file}_{kind}.csv", f"{folder}/results/{kind}/{name}")
    os.makedirs(f"{folder}/data/slider/test")
    with open(f"{run}/anomaly_score_MSE.csv") as file:
        for row in csv.reader(file):
            open(f"{folder}/data/slider/test/{row[0]}", "wb").close()
    auscult("evaluate", "--scores", f"{folder}/results", "--truth", f"{folder}/data", "--results",
            f"{folder}/out")
    for kind in ("MSE", "MAHALA"):
        with open(f"{folder}/out/{kind}/result_slider.csv") as ours, open(f"{run}/result_{kind}.csv") as theirs:
            check(ours.read() == theirs.read(), f"result_{kind}.csv differs")


# ---- the layout that the official evaluators expect ----


def make_eval_data(root, machines):
    """Anonymous test clips, and the ground truth beside them."""
    for number, machine in enumerate(machines):
        for i in range(12):
            domain = "target" if i % 6 == 5 else "source"
            write_wav(f"{root}/eval_data/raw/{machine}/train/section_00_{domain}_train_normal_{i:04d}_v_1.wav",
                      hum(f"{machine}train{i}", hertz=180.0 + 70 * number))
        truth = [(i % 2, i // 2 % 2) for i in range(8)]
        for i, (label, _) in enumerate(truth):
            write_wav(f"{root}/eval_data/raw/{machine}/test/section_00_{i:04d}.wav",
                      hum(f"{machine}test{i}", is_anomalous=label == 1, hertz=180.0 + 70 * number))
        name = f"ground_truth_{machine}_section_00_test.csv"
        clips = [f"section_00_{i:04d}.wav" for i in range(8)]
        write(f"{root}/ground_truth_data/{name}", [[c, t[0]] for c, t in zip(clips, truth)])
        write(f"{root}/ground_truth_domain/{name}", [[c, t[1]] for c, t in zip(clips, truth)])
        write(f"{root}/ground_truth_attributes/{name}",
              [[c, f"section_00_{('source', 'target')[t[1]]}_test_{('normal', 'anomaly')[t[0]]}_{i:04d}_v_1"]
               for i, (c, t) in enumerate(zip(clips, truth))])


def test_a_runs_submission_is_what_the_evaluators_of_2023_and_2024_read(folder):
    """They take ./teams/TEAM/SYSTEM/anomaly_score_MACHINE_section_NN_test.csv and decision_result_...,
    machines and sections being those of ./ground_truth_data; sort the rows of every file by name, and
    pair them by position."""
    machines = ("3DPrinter", "ToothBrush")
    make_eval_data(folder, machines)
    auscult("run", "--data", f"{folder}/eval_data", "--out", f"{folder}/run", "--local", "2", *TINY)
    check(not os.path.exists(f"{folder}/run/outputs/result.csv"), "metrics without labels")
    systems = glob.glob(f"{folder}/run/outputs/submission/task2/*")
    check(len(systems) == 1, f"{systems}")
    os.makedirs(f"{folder}/teams/us")
    system = shutil.copytree(systems[0], f"{folder}/teams/us/{os.path.basename(systems[0])}")
    for machine in machines:
        truth = f"{folder}/ground_truth_data/ground_truth_{machine}_section_00_test.csv"
        with open(truth) as file:
            names = sorted(row[0] for row in csv.reader(file))
        for kind in ("anomaly_score", "decision_result"):
            with open(f"{system}/{kind}_{machine}_section_00_test.csv", newline="") as file:
                rows = sorted(csv.reader(file))
            check([row[0] for row in rows] == names, f"{kind} {machine}: {rows}")
            check(all(len(row) == 2 and math.isfinite(float(row[1])) for row in rows), f"{rows}")
            if kind == "decision_result":
                check(all(int(float(row[1])) in (0, 1) and float(row[1]) in (0, 1) for row in rows), f"{rows}")
    results = []
    for scores in (f"{folder}/run", f"{folder}/teams"):
        ours = json.loads(auscult("evaluate", "--scores", scores, "--truth", folder, "--json").out)
        check(len(ours["systems"]) == 1 and ours["systems"][0]["rank"] == 1, f"{ours}")
        results.append(ours["systems"][0])
    check(results[0]["sections"] == results[1]["sections"], "the run and its copy differ")
    auscult("run", "--out", f"{folder}/run", "--truth", folder, "--local", "1")
    auscult("evaluate", "--scores", f"{folder}/run", "--truth", folder, "--results", f"{folder}/out")
    with open(f"{folder}/run/outputs/result.csv") as written, open(
            f"{folder}/out/{os.path.basename(system)}/result.csv") as judged:
        check(written.read() == judged.read(), "a run that was given the truth says something else")
    with open(f"{folder}/run/outputs/result.csv") as before:
        first = before.read()
    auscult("run", "--out", f"{folder}/run", "--local", "1")  # which remembers it
    with open(f"{folder}/run/outputs/result.csv") as after:
        check(after.read() == first, "the ground truth was forgotten")
    try:
        check_system(results[0], ask_peer(folder)[f"us/{os.path.basename(system)}"])
    except Skip as why:
        print(f"the numbers were not compared: {why}")


def test_a_run_writes_what_evaluate_says_of_it(folder):
    auscult("synth", "--out", f"{folder}/data", "--set", "dev", "--train", "10",
            "--test", "12", "--seconds", "2")
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--local", "2", *TINY)
    auscult("evaluate", "--scores", f"{folder}/run", "--truth", f"{folder}/data", "--results", f"{folder}/results")
    for name in ("result.csv", "result_by_attribute.csv"):
        found = glob.glob(f"{folder}/results/*/{name}")
        check(len(found) == 1, f"{name}: {found}")
        with open(found[0]) as judged, open(f"{folder}/run/outputs/{name}") as written:
            check(judged.read() == written.read(), f"{name} differs")


if PEER in os.environ:
    peer(os.environ[PEER])
else:
    main(globals())
