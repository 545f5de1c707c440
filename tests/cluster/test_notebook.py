#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`--preset notebook`, the pipeline of the notebooks that this system supersedes, and networks of
other widths: files, decisions and refusals."""

import os
import random
import zipfile

from harness import (
    auscult,
    check,
    check_has,
    check_same_results,
    hum,
    main,
    make_data,
    make_machine,
    read_csv,
    read_npy_scalar,
    write_npy,
    write_wav,
)

AUTHOR = """name: Averages
abbreviation: AVG
authors:
  - {lastname: Doe, firstname: Jane, email: jane.doe@example.org, corresponding: true,
     affiliation: {institution: Institute of Examples, department: null, location: null}}
"""
FEW = ["--preset", "notebook", "--set", "epochs=20"]


def test_any_cluster_gives_the_same_bytes_and_files(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=20)
    options = [*FEW, "--set", "score=[MSE, MAHALA, CLIPMAHALA]"]
    auscult("run", "--data", data, "--out", f"{folder}/1", "--local", "1", *options)
    auscult("run", "--data", data, "--out", f"{folder}/3", "--local", "3", *options)
    check_same_results(f"{folder}/3", f"{folder}/1")
    auscult("run", "--data", data, "--out", f"{folder}/4", "--local", "4", *options, "--set", "shards=4",
            "--set", "spread=always")
    auscult("run", "--data", data, "--out", f"{folder}/2", "--local", "2", *options, "--set", "shards=4",
            "--set", "spread=never")
    check_same_results(f"{folder}/4", f"{folder}/2")
    for machine in ("fan", "ToyCar"):
        for name in ("autoencoder_model.bin", "threshold.npy"):
            check(os.path.getsize(f"{folder}/1/data/{machine}/{name}") > 0, f"{machine}: no {name}")
        header, history = read_csv(f"{folder}/1/logs/history_{machine}.csv")
        check(len(history) == 20 and float(history[-1]["loss"]) < float(history[0]["loss"]), f"{history}")
    with open(f"{folder}/1/config.yaml", encoding="utf-8") as file:
        check_has(file.read(), "features: notebook\n", "hidden: [64]\n", "batch_norm: false\n", "initial_weights: keras\n",
                  "validation_split: 0.2\n", "threshold: percentile\n")


# Whether a run's decisions are what numpy.percentile(errors, 95) of its training clips makes them.
def test_the_95th_percentile_of_normal_errors_decides(folder):
    data = make_data(f"{folder}/data", ("fan",), train=23)
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *FEW)
    with open(f"{folder}/train.csv", "w", encoding="utf-8") as file:
        file.write(auscult("score", "--model", out, f"{data}/fan/train").out)
    _, rows = read_csv(f"{folder}/train.csv")
    errors = sorted(float(row["reconstruction_error"]) for row in rows)
    check(len(errors) == 23, f"{len(errors)} training clips")
    place = 0.95 * (len(errors) - 1)
    low = int(place)
    expected = errors[low] + (errors[low + 1] - errors[low]) * (place - low)
    threshold = read_npy_scalar(f"{out}/data/fan/threshold.npy")
    check(abs(threshold - expected) <= 1e-9 * expected, f"{threshold} is not {expected}")
    _, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    check(len(predictions) == 8, f"{predictions}")
    for row in predictions:
        check(row["is_anomaly"] == str(int(float(row["reconstruction_error"]) > threshold)), f"{row}")


def test_clips_without_a_vector_are_left_out_and_named(folder):
    data = make_data(f"{folder}/data", ("fan",), train=12)
    test = f"{data}/fan/test"
    write_wav(f"{test}/section_00_source_test_normal_0090.wav", hum(1, seconds=0.2))
    make_machine(data, "slow", train=6)
    for part in ("train", "test"):
        for name in os.listdir(f"{data}/slow/{part}"):
            write_wav(f"{data}/slow/{part}/{name}", hum(2, rate_hz=8000), rate_hz=8000)
    make_machine(data, "lone", train=1)
    result = auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *FEW)
    _, left_out = read_csv(f"{folder}/run/outputs/left_out.csv")
    reasons = {row["clip"]: row["reason"] for row in left_out}
    check_has(reasons["fan/test/section_00_source_test_normal_0090.wav"], "7 frames, a vector needs 9")
    slow = [reason for clip, reason in reasons.items() if clip.startswith("slow/train")]
    check(len(slow) == 6, f"{reasons}")
    check_has(slow[0], "a rate of 8000 Hz is too low for spectral contrast")
    lone = [reason for clip, reason in reasons.items() if clip.startswith("lone/test")]
    check_has(lone[0], "too few vectors to train on in 1 clip")
    check_has(result.err, "lone")


def test_vectors_made_elsewhere_are_taken_as_they_are(folder):
    rng = random.Random(7)
    for part, count in (("train", 30), ("test", 6)):
        os.makedirs(f"{folder}/data/fan/{part}")
        for i in range(count):
            label = "anomaly" if part == "test" and i % 2 else "normal"
            values = [rng.gauss(0, 1 if label == "normal" else 4) for _ in range(147)]
            write_npy(f"{folder}/data/fan/{part}/section_00_source_{part}_{label}_{i:04}.npy", (1, 147), values)
    write_npy(f"{folder}/data/fan/test/section_00_source_test_normal_0099.npy", (1, 128), values[:128])
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--local", "2", *FEW)
    _, predictions = read_csv(f"{folder}/run/outputs/challenge_predictions.csv")
    errors = {"normal": [], "anomaly": []}
    for row in predictions:
        errors[row["label"]].append(float(row["reconstruction_error"]))
    check(min(errors["anomaly"]) > max(errors["normal"]), f"{errors}")
    _, left_out = read_csv(f"{folder}/run/outputs/left_out.csv")
    check_has(left_out[0]["reason"], "(1, 128)", "expected (frames, 147)")


def test_a_network_of_other_widths_is_part_of_the_run(folder):
    data = make_data(f"{folder}/data", ("fan",), train=6)
    out = f"{folder}/run"
    small = ["--set", "epochs=2", "--set", "batch_size=32"]
    auscult("run", "--data", data, "--out", out, "--local", "2", *small, "--set", "hidden=[16, 4, 16]")
    refused = auscult("run", "--out", out, "--set", "hidden=[16, 16]", expect=2)
    check_has(refused.err, "hidden [16, 4, 16] -> [16, 16]", "--update")
    refused = auscult("run", "--out", out, "--set", "batch_norm=false", expect=2)
    check_has(refused.err, "batch_norm true -> false")
    auscult("run", "--out", out, "--set", "hidden=[16, 16]", "--set", "batch_norm=false", "--update")
    auscult("run", "--data", data, "--out", f"{folder}/other", "--local", "1", *small, "--set", "hidden=16,16",
            "--set", "batch_norm=false")
    check_same_results(f"{folder}/other", out)
    auscult("run", "--data", data, "--out", f"{folder}/both", "--local", "2", *small,
            "--set", "hidden=[16, 16]", "--set", "matrix={batch_norm: [true, false]}")
    with open(f"{folder}/both/outputs/batch_norm_false/challenge_predictions.csv", "rb") as a, \
            open(f"{folder}/other/outputs/challenge_predictions.csv", "rb") as b:
        check(a.read() == b.read(), "a combination differs from the run of its settings")


def test_the_package_tells_what_was_computed(folder):
    data = f"{folder}/data"
    auscult("synth", "--out", data, "--year", "2023", "--machines", "7", "--train", "4", "--test", "8",
            "--seconds", "1")
    auscult("run", "--data", data, "--out", f"{folder}/run", *FEW)
    with open(f"{folder}/author.yaml", "w", encoding="utf-8") as file:
        file.write(AUTHOR)
    auscult("package", "--run", f"{folder}/run", "--label", "Doe_Inst", "--author", f"{folder}/author.yaml",
            "--out", f"{folder}/p.zip")
    with zipfile.ZipFile(f"{folder}/p.zip") as archive:
        meta = archive.read("task2/Doe_Inst_task2_1/Doe_Inst_task2_1.meta.yaml").decode()
    check_has(meta, "64 mel bands, FFT of 512 samples, window of 512, hop of 466", "one vector a clip",
              "spectral contrast", "147-64-147 with ReLU", "total_parameters: 19027 #", "MACS: 18816 #")


main(globals())
