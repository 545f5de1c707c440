#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves: every file of the run folder, readable by others and right where it can be
worked out here. (Must show 2, and the outputs that the README promises.)"""

import math
import os
import statistics

from harness import (
    SHARED,
    TINY,
    Skip,
    auscult,
    check,
    check_has,
    main,
    make_data,
    read_csv,
    read_npy_scalar,
)

PREDICTIONS = ["file_name", "machine_type", "section", "domain", "label", "reconstruction_error",
               "threshold", "is_anomaly"]
REPORT = ["machine_type", "n_files", "mean_error", "std_error", "anomaly_rate", "score_global", "auc",
          "auc_source", "auc_target", "pauc", "f1_source", "f1_target"]
SUBMISSION = ["machine_type", "file_name", "anomaly_score", "decision_result"]


def close(a, b):
    return math.isclose(float(a), b, rel_tol=1e-9, abs_tol=1e-12)


def test_predictions_report_and_submission_agree(folder):
    data = make_data(f"{folder}/data")
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)

    header, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    check(header == PREDICTIONS, f"{header}")
    clips = {}
    for machine in ("fan", "ToyCar"):
        for part in ("train", "test"):
            clips[machine, part] = sorted(os.listdir(f"{data}/{machine}/{part}"))
    tests = {m: clips[m, "test"] for m in ("fan", "ToyCar")}
    for machine, names in tests.items():
        rows = [row for row in predictions if row["machine_type"] == machine
                and row["file_name"] in names]
        check([row["file_name"] for row in rows] == names, f"{machine}: {rows}")
        for row in rows:
            check(row["section"] == "00", str(row))
            check(row["domain"] in row["file_name"] and row["label"] in row["file_name"], str(row))
            error, threshold = float(row["reconstruction_error"]), float(row["threshold"])
            check(error > 0 and threshold > 0, str(row))
            check(row["is_anomaly"] == str(int(error > threshold)), str(row))

    header, report = read_csv(f"{out}/outputs/report_by_machine.csv")
    check(header == REPORT, f"{header}")
    check([row["machine_type"] for row in report] == ["ToyCar", "fan", "all"], str(report))
    for row in report[:-1]:
        errors = [float(p["reconstruction_error"]) for p in predictions
                  if p["machine_type"] == row["machine_type"]]
        flags = [int(p["is_anomaly"]) for p in predictions if p["machine_type"] == row["machine_type"]]
        check(int(row["n_files"]) == len(errors), str(row))
        check(close(row["mean_error"], statistics.fmean(errors)), str(row))
        check(close(row["std_error"], statistics.stdev(errors)), str(row))
        check(close(row["anomaly_rate"], 100 * statistics.fmean(flags)), str(row))
        check(0 <= float(row["auc"]) <= 1 and 0 <= float(row["pauc"]) <= 1, str(row))
    largest = max(float(row["mean_error"]) for row in report[:-1])
    for row in report[:-1]:
        score = 0.5 * float(row["mean_error"]) / largest + 0.5 * float(row["anomaly_rate"]) / 100
        check(close(row["score_global"], score), str(row))
    check(report[-1]["score_global"] == "", str(report[-1]))
    harmonic = statistics.harmonic_mean([float(row["auc_source"]) for row in report[:-1]])
    check(close(report[-1]["auc_source"], harmonic), str(report))

    header, submission = read_csv(f"{out}/outputs/dcase_submission.csv")
    check(header == SUBMISSION, f"{header}")
    expected = sorted((m, name) for m, names in tests.items() for name in names)
    check([(r["machine_type"], r["file_name"]) for r in submission] == expected, str(submission))
    by_name = {(p["machine_type"], p["file_name"]): p for p in predictions}
    for row in submission:
        prediction = by_name[row["machine_type"], row["file_name"]]
        check(row["anomaly_score"] == prediction["reconstruction_error"], str(row))
        check(row["decision_result"] == prediction["is_anomaly"], str(row))


def find(folder, start, end):
    found = []
    for here, _, names in os.walk(folder):
        found += [os.path.join(here, n) for n in names if n.startswith(start) and n.endswith(end)]
    return sorted(found)


def test_the_official_files_hold_every_test_clip(folder):
    data = make_data(f"{folder}/data")
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    for machine in ("fan", "ToyCar"):
        names = sorted(os.listdir(f"{data}/{machine}/test"))
        for kind in ("anomaly_score", "decision_result"):
            files = find(f"{out}/outputs", f"{kind}_{machine}_section_00", ".csv")
            check(len(files) == 1, f"{kind} of {machine}: {files}")
            with open(files[0], encoding="utf-8") as file:
                rows = [line.split(",") for line in file.read().splitlines()]
            check([row[0] for row in rows] == names, str(rows))
            for row in rows:
                check(len(row) == 2 and float(row[1]) >= 0, str(row))
                check(kind == "anomaly_score" or row[1] in ("0", "1"), str(row))


def test_each_model_has_its_files(folder):
    data = make_data(f"{folder}/data")
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    _, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    for machine in ("fan", "ToyCar"):
        thresholds = find(f"{out}/data/{machine}", "threshold", ".npy")
        check(len(thresholds) == 1, str(thresholds))
        told = {p["threshold"] for p in predictions if p["machine_type"] == machine}
        check(len(told) == 1 and close(told.pop(), read_npy_scalar(thresholds[0])), machine)
        histories = [f for f in find(f"{out}/logs", "history_", ".csv") if machine in f]
        check(len(histories) == 1, str(histories))
        header, rows = read_csv(histories[0])
        for column in ("loss", "val_loss", "recon_loss", "recon_loss_source", "recon_loss_target"):
            check(column in header, str(header))
        check(len(rows) == 3, str(rows))
        losses = [float(row["loss"]) for row in rows]
        check(losses[-1] < losses[0], f"it did not learn: {losses}")
    with open(f"{out}/config.yaml", encoding="utf-8") as file:
        check_has(file.read(), "epochs: 3", "batch_size: 32", "numerics: ")


def test_no_output_tells_time_host_or_path(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "1", *TINY)
    host = os.uname().nodename.encode()
    for part in ("data", "outputs"):
        for here, _, names in os.walk(f"{out}/{part}"):
            for name in names:
                with open(os.path.join(here, name), "rb") as file:
                    content = file.read()
                check(folder.encode() not in content, f"{here}/{name} holds a path")
                check(len(host) < 4 or host not in content, f"{here}/{name} holds the host's name")


def test_new_recordings_are_scored_without_a_cluster(folder):
    data = make_data(f"{folder}/data")
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    _, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    names = sorted(os.listdir(f"{data}/fan/test"))
    paths = [f"{data}/fan/test/{name}" for name in names]
    known = {p["file_name"]: p["reconstruction_error"] for p in predictions
             if p["machine_type"] == "fan"}
    result = auscult("score", "--model", f"{out}/data/fan", *paths)
    for path, name in zip(paths, names):
        lines = [line for line in result.out.splitlines() if name in line]
        check(len(lines) == 1, f"{path}: {result}")
        check(known[name] in lines[0].split(","), f"{known[name]} expected: {lines[0]}")


def real_data(name):
    path = f"{SHARED}/data/real_clips/{name}"
    if not os.path.isdir(path):
        raise Skip(f"{path} is not there")
    return path


def test_real_clips_of_2020_make_a_whole_run(folder):
    out = f"{folder}/run"
    result = auscult("run", "--data", real_data("dcase2020"), "--out", out, "--set", "epochs=4",
                     seconds=400)
    check_has(result.out + result.err, "slider")
    _, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    check(any(p["machine_type"] == "slider" and p["section"] == "00" for p in predictions),
          "no slider among the predictions")
    _, submission = read_csv(f"{out}/outputs/dcase_submission.csv")
    check([r["machine_type"] for r in submission].count("slider") == 6, str(submission))


def test_real_clips_of_2023_make_a_whole_run(folder):
    out = f"{folder}/run"
    auscult("run", "--data", real_data("dcase2023"), "--out", out, "--set", "epochs=4", seconds=400)
    _, report = read_csv(f"{out}/outputs/report_by_machine.csv")
    machines = sorted(os.listdir(real_data("dcase2023")))
    check([row["machine_type"] for row in report] == [*machines, "all"], str(report))


main(globals())
