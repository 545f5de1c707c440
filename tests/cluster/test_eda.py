#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`auscult eda`: the same tables from any cluster, beside a run or without one, and odd clips named."""

import csv
import json
import os
import shutil
import signal
import struct
import wave

from harness import AUSCULT, Process, auscult, check, check_has, main, make_data, read_json, wait_until

TABLES = ("clips", "groups", "spectra", "suspicious", "attributes", "domain_shift", "pca")
FEW = ["--set", "epochs=2", "--set", "n_mels=16"]


def tables(out):
    found = {}
    for name in TABLES:
        with open(f"{out}/outputs/eda_{name}.csv", "rb") as file:
            found[name] = file.read()
    return found


def rows(out, name):
    with open(f"{out}/outputs/eda_{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_wav(path, samples, rate=16000):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def eda(data, out, workers, *options):
    return auscult("eda", "--data", data, "--out", out, "--local", workers, *FEW, *options)


def test_any_cluster_writes_the_same_tables(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"))
    eda(data, f"{folder}/1", "1")
    eda(data, f"{folder}/3", "3")
    one = tables(f"{folder}/1")
    check(tables(f"{folder}/3") == one, "other tables by three workers")
    clips = rows(f"{folder}/1", "clips")
    expected = sum(name.endswith(".wav") for _, _, names in os.walk(data) for name in names)
    check(len(clips) == expected, f"{len(clips)} clips in the table, {expected} in the folder")
    check(one["clips"].count(b"\r") == 0 and one["clips"].endswith(b"\n"), "line ends")
    # Nothing is left to do, and nothing changes.
    result = auscult("eda", "--out", f"{folder}/3", "--local", "2")
    check_has(result.err, f"{expected} explored")
    check(tables(f"{folder}/3") == one, "a second eda wrote other tables")


def test_the_status_tells_of_exploring_and_of_nothing_else(folder):
    data = make_data(f"{folder}/data", ("fan",))
    eda(data, f"{folder}/run", "2")
    clips = len(rows(f"{folder}/run", "clips"))
    text = auscult("status", f"{folder}/run").out
    check_has(text, f"clips explored  {clips} of {clips}")
    check_has(text, "pictures made")
    check("epochs" not in text and "scored" not in text, text)
    status = json.loads(auscult("status", f"{folder}/run", "--json").out)
    check(status["stage"] == "report" and status["models"] == status["epochs"] == 0, status)
    check(status["clips_explored"] == status["clips_to_explore"] == clips, status)
    check(status["pictures_made"] == status["pictures"] > 0, status)
    story = read_json(f"{folder}/run/logs/cluster.json")["incarnations"][-1]
    check(story["clips_explored"] == clips and story["pictures_made"] == status["pictures"], story)


def test_an_eda_that_is_killed_goes_on(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar", "pump"))
    eda(data, f"{folder}/whole", "2")
    out = f"{folder}/killed"
    process = Process(AUSCULT, "eda", "--data", data, "--out", out, "--local", "1", *FEW)
    wait_until(lambda: os.path.exists(f"{out}/journal.db") or not process.is_running(), "a journal")
    process.signal(signal.SIGKILL)
    process.wait()
    eda(data, out, "3")
    check(tables(out) == tables(f"{folder}/whole"), "other tables after a kill")


def test_a_finished_run_can_be_explored_and_stays_as_it_is(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "2", *FEW)
    with open(f"{out}/outputs/challenge_predictions.csv", "rb") as file:
        before = file.read()
    auscult("eda", "--out", out, "--local", "2")
    eda(data, f"{folder}/alone", "1")
    check(tables(out) == tables(f"{folder}/alone"), "other tables beside a run")
    check(not os.path.exists(f"{out}/outputs/outdated.txt"), "eda calls the run's outputs outdated")
    with open(f"{out}/outputs/challenge_predictions.csv", "rb") as file:
        check(file.read() == before, "eda changed the predictions")
    # And a run can follow.
    auscult("run", "--out", f"{folder}/alone", "--local", "2")
    with open(f"{folder}/alone/outputs/challenge_predictions.csv", "rb") as file:
        check(file.read() == before, "other predictions after an eda")


def test_odd_clips_are_named_and_broken_ones_left_out(folder):
    data = make_data(f"{folder}/data", ("fan",))
    train = f"{data}/fan/train"
    names = sorted(os.listdir(train))
    with wave.open(f"{train}/{names[0]}") as file:
        count = file.getnframes()
    write_wav(f"{train}/section_00_source_train_normal_9001.wav", [0] * count)
    write_wav(f"{train}/section_00_source_train_normal_9002.wav", ([32767] * 5 + [-20000] * 5) * (count // 10))
    write_wav(f"{train}/section_00_source_train_normal_9003.wav", [900 if i % 2 else 1100 for i in range(count)])
    write_wav(f"{train}/section_00_source_train_normal_9004.wav", [100, -100] * count)
    write_wav(f"{train}/section_00_source_train_normal_9005.wav", [100, -100] * (count // 2), rate=8000)
    shutil.copy(f"{train}/{names[0]}", f"{train}/section_00_source_train_normal_9006.wav")
    with open(f"{train}/section_00_source_train_normal_9007.wav", "wb") as file:
        file.write(b"RIFFnoise")
    out = f"{folder}/out"
    eda(data, out, "2")
    found = {}
    for row in rows(out, "suspicious"):
        check(row["reason"] != "", f"no reason for {row}")
        found.setdefault(os.path.basename(row["clip"]), {})[row["suspicion"]] = row
    for number, suspicion in (
        (9001, "silent"),
        (9002, "clipped"),
        (9003, "dc"),
        (9004, "length"),
        (9005, "rate"),
        (9006, "duplicate"),
    ):
        name = f"section_00_source_train_normal_{number}.wav"
        check(suspicion in found.get(name, {}), f"{name} is not {suspicion}: {found.get(name)}")
    copy = found["section_00_source_train_normal_9006.wav"]["duplicate"]
    check(copy["other_clip"] == f"fan/train/{names[0]}", f"the copy is of {copy['other_clip']}")
    with open(f"{out}/outputs/left_out.csv", encoding="utf-8") as file:
        left_out = file.read()
    check_has(left_out, "section_00_source_train_normal_9007.wav", "section_00_source_train_normal_9005.wav")
    explored = [os.path.basename(row["clip"]) for row in rows(out, "clips")]
    check("section_00_source_train_normal_9007.wav" not in explored, "a broken clip was explored")
    check("section_00_source_train_normal_9005.wav" in explored, "a clip of another rate was not explored")


main(globals())
