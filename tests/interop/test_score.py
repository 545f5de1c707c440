#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`auscult score --model`: new recordings on the spot. Its scores are the run's, to the last digit;
what cannot be scored is named, and the rest goes on. All tests share one small run."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import AUSCULT, TINY, auscult, check, check_has, environment, hum, main, make_data  # noqa: E402
from harness import read_csv, write_npy, write_wav  # noqa: E402

HEADER = "file_name,machine_type,section,reconstruction_error,threshold,is_anomaly"
MODEL_FILE = "autoencoder_model.bin"


class Once:
    """The run that every test scores with: two machines, one second a clip."""

    folder = None

    @classmethod
    def get(cls):
        if cls.folder is None:
            cls.folder = tempfile.mkdtemp(prefix="auscult-score-")
            make_data(f"{cls.folder}/data")
            auscult("run", "--data", f"{cls.folder}/data", "--out", f"{cls.folder}/run",
                    "--local", "2", *TINY)
        return f"{cls.folder}/data", f"{cls.folder}/run"


def rows_of(text):
    lines = text.splitlines()
    check(lines[:1] == [HEADER], f"header: {lines[:1]}")
    rows = list(csv.DictReader(lines))
    check(all(None not in row.values() for row in rows), text)
    return rows


def score(model, *paths, **options):
    return auscult("score", "--model", model, *paths, **options)


def predictions(run, system=""):
    _, rows = read_csv(os.path.join(run, "outputs", system, "challenge_predictions.csv"))
    check(len(rows) == 16, f"{len(rows)} predictions")
    return {(row["machine_type"], row["file_name"]): row for row in rows}


def check_as_predicted(rows, run, system=""):
    known = predictions(run, system)
    for row in rows:
        theirs = known[row["machine_type"], os.path.basename(row["file_name"])]
        for column in ("section", "reconstruction_error", "threshold", "is_anomaly"):
            check(row[column] == theirs[column], f"{row} differs from {theirs}")


def test_scores_are_the_runs_byte_for_byte(folder):
    data, run = Once.get()
    result = score(run, f"{data}/fan/test", f"{data}/ToyCar/test")
    rows = rows_of(result.out)
    check(result.err == "", result.err)
    expected = [f"{data}/{machine}/test/{name}" for machine in ("fan", "ToyCar")
                for name in sorted(os.listdir(f"{data}/{machine}/test"))]
    check([row["file_name"] for row in rows] == expected, "other clips or another order")
    check_as_predicted(rows, run)
    check({row["is_anomaly"] for row in rows} <= {"0", "1"}, result.out)

    # One by one, in another order, with links on the way: the same scores, names as given.
    os.symlink(f"{data}/fan", f"{folder}/press")
    paths = [f"{folder}/press/test/{os.path.basename(path)}" for path in expected[7::-1]]
    check([row["file_name"] for row in rows_of(score(run, *paths).out)] == paths, "order")
    check_as_predicted(rows_of(score(run, *paths).out), run)


def test_the_score_that_is_named_is_the_runs(folder):
    data, alone = Once.get()
    run = f"{folder}/run"
    auscult("run", "--data", data, "--out", run, "--local", "2", *TINY, "--set", "n_mels=16",
            "--set", "score=[MSE, MAHALA, CLIPMAHALA]")
    clips = f"{data}/fan/test"
    for kind, system in (("MSE", ""), ("MAHALA", "MAHALA"), ("CLIPMAHALA", "CLIPMAHALA")):
        result = score(run, "--score", kind, clips)
        check_as_predicted(rows_of(result.out), run, system)
        check(result.err == "", result.err)
    unnamed = score(run, clips)
    check(unnamed.out == score(run, "--score", "MSE", clips).out, unnamed.out)
    check_has(unnamed.err, "scores are MSE", "--score names another")
    # A model without the yardstick is no model of that score.
    result = score(alone, "--score", "CLIPMAHALA", clips, expect=3)
    check_has(result.err, f"{alone}/data/", "its CLIPMAHALA scores were never made, it gives MSE", "score=CLIPMAHALA")
    check(result.out == "", result.out)
    shutil.copytree(f"{alone}/data/ToyCar", f"{run}/data/ToyCar", dirs_exist_ok=True)
    result = score(run, "--score", "MAHALA", clips, f"{data}/ToyCar/test")
    check_as_predicted(rows_of(result.out), run, "MAHALA")
    check(result.err.count("its MAHALA scores were never made") >= 8, result.err)
    check_has(score(alone, "--score", "mse", clips, expect=2).err, "MSE, MAHALA or CLIPMAHALA, not mse")


def test_json_is_an_object_a_line(folder):
    data, run = Once.get()
    name = os.fsencode(f"{folder}/a \"b\"\n") + b"\xff.wav"
    clip = sorted(os.listdir(f"{data}/fan/test"))[0]
    shutil.copy(f"{data}/fan/test/{clip}", name)
    lines = score(f"{run}/data/fan", "--json", f"{data}/fan/test", folder).out.split("\n")
    check(lines.pop() == "" and len(lines) == 9, f"{len(lines)} lines")
    objects = [json.loads(line) for line in lines]
    check(all(list(o) == HEADER.split(",") for o in objects), str(objects[0]))
    check_as_predicted([{"file_name": o["file_name"], "machine_type": o["machine_type"],
                         "section": o["section"], "is_anomaly": str(int(o["is_anomaly"])),
                         "reconstruction_error": repr(o["reconstruction_error"]),
                         "threshold": repr(o["threshold"])} for o in objects[:8]], run)
    check(objects[8]["file_name"] == f"{folder}/a \"b\"\n?.wav", objects[8]["file_name"])
    check(objects[8]["section"] is None, str(objects[8]))
    check(objects[8]["reconstruction_error"] == objects[0]["reconstruction_error"], str(objects[8]))


def test_rows_come_one_by_one(folder):
    data, run = Once.get()
    fifo = f"{folder}/late.wav"
    os.mkfifo(fifo)
    first = f"{data}/fan/test/{sorted(os.listdir(f'{data}/fan/test'))[0]}"
    # Nobody reads beyond the second row: the rest of a long list must not be waited for.
    process = subprocess.Popen([AUSCULT, "score", "--model", run, *[first] * 2000],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    check(process.stdout.readline().decode().strip() == HEADER, "header")
    check(process.stdout.readline().decode().startswith(first + ",fan,00,"), "first row")
    check(process.poll() is None, "all rows came before the first was read")
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    check(process.wait(60) != 0 and error == "", f"{process.returncode}: {error}")
    # A FIFO is no clip, and is not waited for either.
    check_has(score(run, fifo, expect=3).err, fifo)


def test_a_copied_model_folder_scores_elsewhere(folder):
    data, run = Once.get()
    shutil.copytree(f"{run}/data/fan", f"{folder}/of a fan")
    for model in (f"{folder}/of a fan", f"{folder}/of a fan/{MODEL_FILE}", f"{folder}/of a fan/"):
        rows = rows_of(score(model, f"{data}/fan/test", cwd="/").out)
        check(len(rows) == 8, str(rows))
        check_as_predicted(rows, run)


def test_each_clip_goes_to_its_machines_model(folder):
    data, run = Once.get()
    clip = sorted(os.listdir(f"{data}/fan/test"))[0]
    lost = f"{folder}/{clip}"
    shutil.copy(f"{data}/fan/test/{clip}", lost)
    result = score(run, lost, f"{data}/fan/test/{clip}")
    check_as_predicted(rows_of(result.out), run)
    check(len(rows_of(result.out)) == 1, result.out)
    check_has(result.err, f"auscult: warning: {lost}: ", "ToyCar, fan")
    # From inside the machine's folder its name is not on the path as given.
    check_as_predicted(rows_of(score(run, clip, cwd=f"{data}/fan/test").out), run)
    # A single model takes every clip.
    check(len(rows_of(score(f"{run}/data/ToyCar", lost).out)) == 1, "not taken")
    strict = score(run, lost, f"{data}/fan/test/{clip}", "--strict", expect=1)
    check(len(rows_of(strict.out)) == 1, strict.out)


def test_clips_that_cannot_be_scored_are_named_and_the_rest_goes_on(folder):
    data, run = Once.get()
    good = hum(5)
    bad = {"absent.wav": "No such file", "empty.wav": "empty", "prose.wav": "", "short.wav": "frames",
           "slow.wav": "8000 Hz", "wide.npy": "64", "folder.wav": None}
    for name, text in (("empty.wav", ""), ("prose.wav", "no sound, but a sentence\n" * 40)):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    write_wav(f"{folder}/short.wav", good[:1000])
    write_wav(f"{folder}/slow.wav", hum(6, rate_hz=8000), rate_hz=8000)
    write_npy(f"{folder}/wide.npy", (20, 64), [0.5] * 1280)
    write_wav(f"{folder}/folder.wav/b.wav", good)
    write_wav(f"{folder}/z.WAV", good, channels=2)
    result = score(f"{run}/data/fan", *(f"{folder}/{name}" for name in bad), f"{folder}/z.WAV")
    rows = rows_of(result.out)
    check([row["file_name"] for row in rows] == [f"{folder}/folder.wav/b.wav", f"{folder}/z.WAV"],
          str(result))
    for name, reason in bad.items():
        if reason is not None:
            lines = [line for line in result.err.splitlines() if f"{folder}/{name}: " in line]
            check(len(lines) == 1 and lines[0].startswith("auscult: warning: "), f"{name}: {result}")
            check_has(lines[0], reason)
    check(len(result.err.splitlines()) == 6, result.err)
    result = score(f"{run}/data/fan", f"{folder}/empty.wav", expect=3)
    check_has(result.err, "no clip could be scored")
    check(rows_of(result.out) == [], result.out)


def test_folders_without_clips_and_loops_end(folder):
    _, run = Once.get()
    os.makedirs(f"{folder}/none/at/all")
    os.symlink("..", f"{folder}/none/at/up")
    result = score(f"{run}/data/fan", f"{folder}/none", expect=3)
    check_has(result.err, f"{folder}/none: no clip in it", "none/at/up: leads to a folder")


def test_models_that_cannot_be_used_are_named(folder):
    data, run = Once.get()
    clip = f"{data}/fan/test"
    check_has(score(f"{folder}/absent", clip, expect=3).err, f"{folder}/absent")
    check_has(score(folder, clip, expect=3).err, f"no trained model in {folder}")
    with open(f"{run}/data/fan/{MODEL_FILE}", "rb") as file:
        whole = bytearray(file.read())
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 16
    other = whole[:8] + b"\x09" + whole[9:]
    for content, words in ((broken, "digest does not match"), (whole[:-1], "damaged"),
                           (other, "version 9"), (b"", "not an auscult model"),
                           (b"RIFF" * 1000, "not an auscult model")):
        path = f"{folder}/{MODEL_FILE}"
        with open(path, "wb") as file:
            file.write(content)
        for model in (folder, path):
            result = score(model, clip, expect=3)
            check_has(result.err, path, words)
            check(result.out == "", result.out)

    # One damaged model of a run: its clips are named, the other machine's are scored.
    shutil.copytree(run, f"{folder}/run")
    with open(f"{folder}/run/data/fan/{MODEL_FILE}", "wb") as file:
        file.write(broken)
    result = score(f"{folder}/run", data)
    check({row["machine_type"] for row in rows_of(result.out)} == {"ToyCar"}, result.out)
    check_as_predicted([row for row in rows_of(result.out) if "/test/" in row["file_name"]], run)
    check(result.err.count("its model cannot be used") == 20, result.err)


def test_a_model_without_threshold_gives_scores_alone(folder):
    data, run = Once.get()
    auscult("train", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    result = score(f"{folder}/run", f"{data}/fan/test")
    rows = rows_of(result.out)
    check(all(row["threshold"] == "" and row["is_anomaly"] == "" for row in rows), result.out)
    check(result.err.count("has no threshold") == 1 and len(result.err.splitlines()) == 1, result.err)
    known = predictions(run)
    for row in rows:
        theirs = known["fan", os.path.basename(row["file_name"])]
        check(row["reconstruction_error"] == theirs["reconstruction_error"], str(row))
    line = score(f"{folder}/run", "--json", "-q", f"{data}/fan/test")
    check_has(line.out, '"threshold":null,"is_anomaly":null}')
    check(line.err == "", line.err)


def test_the_kernel_is_the_trainings_whatever_the_environment(folder):
    data, run = Once.get()
    auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "1", *TINY,
            "--set", "numerics=prescott")
    for env in ({}, {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}):
        result = score(f"{folder}/run", f"{data}/fan/test", env=env)
        check_as_predicted(rows_of(result.out), f"{folder}/run")
        check(result.err == "", result.err)
    check_has(score(f"{folder}/run", "-v", f"{data}/fan/test").err, "kernel prescott")
    # Models of two kernels: neither gives the last digits of both runs, and that is said.
    shutil.copytree(f"{run}/data/fan", f"{folder}/run/data/other")
    result = score(f"{folder}/run", f"{data}/fan/test", f"{data}/ToyCar/test", expect=None)
    check(result.err.count("several fit") == 8, result.err)
    check_as_predicted(rows_of(result.out), f"{folder}/run")
    with open(f"{run}/config.yaml", encoding="utf-8") as file:
        if "numerics: prescott" not in file.read():
            check_has(result.err, "model ToyCar was trained with kernel prescott, model other with")


def test_usage_errors_exit_2(folder):
    _, run = Once.get()
    for words, part in ((["score"], "--out"), (["score", "x.wav"], "--model RUN is missing"),
                        (["score", "--model"], "--model"), (["score", "--model", run], "PATH is missing"),
                        (["score", "--model", run, "--csv", "x"], "--csv"),
                        (["score", "--model", run, "--model", run, "x"], "one --model")):
        result = auscult(*words, expect=2)
        check_has(result.err, part)
        check(result.out == "", result.out)
    text = auscult("score", "--help").out
    check_has(text, "usage: auscult score --model", "--data DIR", "Exit status")
    check_has(auscult("score", "--model", run, "-h").out, "usage: auscult score --model")


def test_without_model_it_is_a_stage_of_a_run(folder):
    data, run = Once.get()
    auscult("score", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    check(predictions(f"{folder}/run") == predictions(run), "other scores")
    check(not os.path.exists(f"{folder}/run/outputs/report_by_machine.csv"), "a stage too many")


try:
    main(globals())
finally:
    if Once.folder is not None:
        shutil.rmtree(Once.folder, ignore_errors=True)
