#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input is an answer, not a crash: what is broken is named with its reason, the rest goes on."""

import json
import math
import os
import shutil

from harness import (
    RATE_HZ,
    TINY,
    Skip,
    auscult,
    check,
    check_has,
    hum,
    main,
    make_data,
    make_machine,
    read_csv,
    write_float_wav,
    write_npy,
    write_wav,
)


def left_out(out):
    """Reason by clip, whatever folder the file names it by."""
    _, rows = read_csv(f"{out}/outputs/left_out.csv")
    return {os.path.basename(row["clip"]): row["reason"] for row in rows}


def check_status(out):
    """Of a run that is over: all is scored that can be, and what is left out is what the list says."""
    status = json.loads(auscult("status", out, "--json").out)
    check(status["state"] == "done" and status["clips_scored"] == status["clips_to_score"], str(status))
    check(status["clips_left_out"] == len(left_out(out)), str(status))


def name_of(number, split="train", label="normal", domain="source", end="wav"):
    return f"section_00_{domain}_{split}_{label}_{number:04d}_noAttribute.{end}"


def write_bytes(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_every_broken_clip_is_named_and_the_rest_goes_on(folder):
    data = make_data(f"{folder}/data", ("fan",))
    train, test = f"{data}/fan/train", f"{data}/fan/test"
    whole = hum(1)
    bad = {}

    def add(number, reason_words, split="train", **options):
        name = name_of(number, split, **options)
        bad[name] = reason_words
        return f"{data}/fan/{split}/{name}"

    write_bytes(add(100, ()), b"")
    write_bytes(add(101, ()), b"this is no sound at all, but a sentence\n" * 20)
    truncated = add(102, ())
    write_wav(truncated, whole)
    os.truncate(truncated, 20)
    write_wav(add(103, ()), [])
    write_wav(add(104, ("frames",)), whole[:1000])
    write_wav(add(105, ("16000", "8000")), hum(2, rate_hz=8000), rate_hz=8000)
    write_float_wav(add(106, ("nan",)), whole[:8000] + [math.nan] + whole[8000:])
    write_float_wav(add(107, ()), whole[:8000] + [math.inf] + whole[8000:])
    write_npy(add(108, (), end="npy"), (7, 3, 2), [0.5] * 42)
    write_npy(add(109, (), end="npy"), (20, 64), [0.5] * 1280)
    write_bytes(add(200, (), "test", label="anomaly"), b"RIFF....WAVE")
    write_bytes(add(201, (), "test"), b"")

    out = f"{folder}/run"
    result = auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    reasons = left_out(out)
    check(sorted(reasons) == sorted(bad), f"left out: {reasons}")
    for name, words in bad.items():
        check(reasons[name] != "", name)
        check_has(reasons[name].lower(), *words)
        check(folder not in reasons[name], f"a path of this machine: {reasons[name]}")
    check_has(result.out + result.err, str(len(bad)))
    check_status(out)

    # Test clips that cannot be scored stand in the submission all the same.
    _, submission = read_csv(f"{out}/outputs/dcase_submission.csv")
    names = [row["file_name"] for row in submission]
    check(sorted(names) == sorted(os.listdir(test)), str(names))
    scores = sorted(float(row["anomaly_score"]) for row in submission if row["file_name"] not in bad)
    middle = (scores[len(scores) // 2] + scores[(len(scores) - 1) // 2]) / 2
    for row in submission:
        if row["file_name"] in bad:
            check(math.isclose(float(row["anomaly_score"]), middle, rel_tol=1e-12), str(row))
            check(row["decision_result"] == "0", str(row))
    check(os.path.isdir(train), "the data were touched")

    strict = auscult("run", "--data", data, "--out", f"{folder}/strict", "--local", "2", *TINY,
                     "--strict", expect=1)
    check_has(strict.err, "left out")


def test_silence_and_many_channels_are_sound(folder):
    data = make_data(f"{folder}/data", ("fan",))
    write_wav(f"{data}/fan/train/{name_of(100)}", [0.0] * RATE_HZ)
    write_wav(f"{data}/fan/train/{name_of(101)}", hum(3), channels=2)
    write_wav(f"{data}/fan/train/{name_of(102)}", hum(3, seconds=2.3))
    result = auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    reasons = left_out(f"{folder}/run")
    check(name_of(101) not in reasons and name_of(102) not in reasons, str(reasons))
    check_has(result.out + result.err + str(reasons), name_of(100))


def test_an_ordinary_user_is_told_what_cannot_be_read(folder):
    if os.geteuid() != 0:
        raise Skip("needs root, to become an ordinary user")
    data = make_data(f"{folder}/data", ("fan",))
    for number in (0, 5):
        domain = "target" if number == 5 else "source"
        os.chmod(f"{data}/fan/train/{name_of(number, domain=domain)}", 0)
    out = f"{folder}/theirs/run"
    os.makedirs(os.path.dirname(out))
    os.chown(os.path.dirname(out), 65534, 65534)
    result = auscult("run", "--data", data, "--out", out, "--local", "2", *TINY, user=65534,
                     cwd="/", expect=None)
    check(result.code == 0, str(result))
    text = result.out + result.err + str(left_out(out))
    check_has(text, name_of(0), name_of(5, domain="target"), "ermission denied")


def test_a_clip_that_vanishes_after_the_scan_is_named(folder):
    data = make_data(f"{folder}/data", ("fan",))
    gone = f"{data}/fan/train/{name_of(0)}"
    manifest = f"{folder}/manifest.csv"
    with open(manifest, "w", encoding="utf-8") as file:
        file.write(auscult("scan", "--data", data, "--csv", "-").out)
    os.remove(gone)
    result = auscult("run", "--data", data, "--manifest", manifest, "--out", f"{folder}/run",
                     "--local", "2", *TINY)
    check_has(result.out + result.err + str(left_out(f"{folder}/run")), name_of(0))


def test_a_loop_of_links_ends(folder):
    data = make_data(f"{folder}/data", ("fan",))
    os.symlink("..", f"{data}/fan/train/up")
    os.symlink(".", f"{data}/again")
    os.symlink("nowhere", f"{data}/fan/train/{name_of(100)}")
    os.mkfifo(f"{data}/fan/train/{name_of(101)}")
    result = auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    check_has(result.out + result.err + str(left_out(f"{folder}/run")), name_of(100), name_of(101))
    _, predictions = read_csv(f"{folder}/run/outputs/challenge_predictions.csv")
    names = [p["file_name"] for p in predictions]
    check(len(names) == len(set(names)), "a clip counts twice")


def test_machines_that_lack_a_part_do_not_stop_the_others(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar", "valve"))
    shutil.rmtree(f"{data}/ToyCar/train")
    shutil.rmtree(f"{data}/valve/test")
    os.makedirs(f"{data}/pump/train")
    out = f"{folder}/run"
    result = auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    check_has(result.out + result.err, "ToyCar", "valve")
    _, report = read_csv(f"{out}/outputs/report_by_machine.csv")
    check("fan" in [row["machine_type"] for row in report], str(report))
    check(os.path.isdir(f"{out}/data/valve"), "a machine without test clips has a model all the same")
    # The evaluator stops when a test clip is missing.
    _, submission = read_csv(f"{out}/outputs/dcase_submission.csv")
    check({r["machine_type"] for r in submission} >= {"fan"}, str(submission))
    check_status(out)


def test_anomalies_among_the_training_clips_are_pointed_out(folder):
    data = make_data(f"{folder}/data", ("fan",))
    write_wav(f"{data}/fan/train/{name_of(100, label='anomaly')}", hum(5, is_anomalous=True))
    result = auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    check_has(result.out + result.err + str(left_out(f"{folder}/run")),
              name_of(100, label="anomaly"))


def test_a_name_in_two_roots_is_pointed_out(folder):
    one = make_data(f"{folder}/one", ("fan",))
    other = f"{folder}/other"
    make_machine(other, "fan", train=2, test=0)
    result = auscult("run", "--data", one, "--data", other, "--out", f"{folder}/run", "--local", "2",
                     *TINY, expect=None)
    check(result.code in (0, 3), str(result))
    check_has(result.out + result.err, name_of(0))


def test_without_anything_usable_the_run_fails_in_one_sentence(folder):
    for number, make in enumerate((
        lambda d: os.makedirs(d),
        lambda d: write_wav(f"{d}/fan/train/{name_of(0)}", []),
        lambda d: make_machine(d, "fan", train=0, test=2),
    )):
        data = f"{folder}/data{number}"
        make(data)
        result = auscult("run", "--data", data, "--out", f"{folder}/run{number}", "--local", "1",
                         *TINY, expect=3)
        errors = [line for line in result.err.splitlines() if "error" in line]
        check(len(errors) == 1, f"not one error: {result}")
    auscult("run", "--data", f"{folder}/absent", "--out", f"{folder}/x", expect=2)


def test_features_made_elsewhere_are_taken_as_they_are(folder):
    for split, count in (("train", 12), ("test", 4)):
        for i in range(count):
            label = "anomaly" if split == "test" and i % 2 else "normal"
            values = [-40 + 5 * math.sin(0.3 * k + i) + (10 if label == "anomaly" else 0)
                      for k in range(30 * 128)]
            write_npy(f"{folder}/data/fan/{split}/{name_of(i, split, label, end='npy')}", (30, 128),
                      values)
    out = f"{folder}/run"
    auscult("run", "--data", f"{folder}/data", "--out", out, "--local", "2", *TINY)
    check(left_out(out) == {}, str(left_out(out)))
    _, predictions = read_csv(f"{out}/outputs/challenge_predictions.csv")
    check(any(p["label"] == "anomaly" for p in predictions), str(predictions))


main(globals())
