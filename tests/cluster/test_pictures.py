#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pictures that a run ends with: of which clips, the same whoever makes them, and no reason to
end a run."""

import os
import signal
import sqlite3

from harness import AUSCULT, Process, auscult, check, check_has, check_same_results, main, make_data, wait_until

PORTRAIT = 8  # the task's kind in the journal
FEW = ["--set", "epochs=2", "--set", "n_mels=16"]


def pictures(out):
    """The journal's pictures by key; what says why there is none is short and does not count."""
    source = sqlite3.connect(f"file:{out}/journal.db?mode=ro", uri=True)
    try:
        rows = source.execute("select key, body from answer where kind = ? and length(body) > 1000", (PORTRAIT,)).fetchall()
    finally:
        source.close()
    check(len(dict(rows)) == len(rows), f"{out}: a picture stands twice")
    return dict(rows)


def run(data, out, workers, *options):
    return auscult("run", "--data", data, "--out", out, "--local", workers, *FEW, *options)


def test_any_cluster_makes_the_same_pictures(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"))
    run(data, f"{folder}/1", "1")
    run(data, f"{folder}/3", "3")
    one, three = pictures(f"{folder}/1"), pictures(f"{folder}/3")
    check(len(one) == 12, f"{len(one)} pictures, of two machines 2 + 1 of each label expected")
    check(one == three, "other pictures by three workers")
    check_same_results(f"{folder}/3", f"{folder}/1")
    # Nothing is left to do, and nothing is done.
    auscult("run", "--out", f"{folder}/3", "--local", "2")
    check(pictures(f"{folder}/3") == one, "a finished run made other pictures")


def test_a_run_that_is_killed_makes_them_later(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar", "pump"))
    run(data, f"{folder}/whole", "2")
    out = f"{folder}/killed"
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *FEW)
    wait_until(lambda: os.path.exists(f"{out}/journal.db") or not process.is_running(), "a journal")

    def has_scored():
        try:
            return len(pictures(out)) > 0 or not process.is_running()
        except sqlite3.Error:
            return False

    wait_until(has_scored, "a picture")
    process.signal(signal.SIGKILL)
    process.wait()
    auscult("run", "--out", out, "--local", "3")
    check(pictures(out) == pictures(f"{folder}/whole"), "other pictures after a kill")
    check_same_results(out, f"{folder}/whole")


def test_without_pictures_nothing_else_is_other(folder):
    data = make_data(f"{folder}/data", ("fan",))
    run(data, f"{folder}/with", "2")
    run(data, f"{folder}/without", "2", "--set", "pictures=false")
    check(len(pictures(f"{folder}/without")) == 0, "pictures that nobody wants")
    for name in ("report_by_machine.csv", "challenge_predictions.csv", "dcase_submission.csv"):
        with open(f"{folder}/with/outputs/{name}", "rb") as ours, open(f"{folder}/without/outputs/{name}", "rb") as other:
            check(ours.read() == other.read(), f"{name} is another without pictures")
    # A stage before the report asks for none; the report then makes them and trains nothing.
    auscult("score", "--data", data, "--out", f"{folder}/stage", "--local", "2", *FEW)
    check(len(pictures(f"{folder}/stage")) == 0, "pictures before the report")
    auscult("report", "--out", f"{folder}/stage", "--local", "2")
    check(pictures(f"{folder}/stage") == pictures(f"{folder}/with"), "the report made other pictures")


def test_a_stop_while_pictures_are_drawn_is_heard(folder):
    """By the run and by what draws for it; the run goes on from there."""
    data = make_data(f"{folder}/data", ("fan",))
    slow, out = f"{folder}/slow", f"{folder}/run"
    with open(slow, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nsleep 1000 &\necho $! >> {folder}/pids\nwait\n")
    os.chmod(slow, 0o755)
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *FEW,
                      env={"AUSCULT_GNUPLOT": slow})

    def drawing():
        try:
            with open(f"{folder}/pids", encoding="utf-8") as file:
                return [int(line) for line in file] if os.path.exists(out) else None
        except (OSError, ValueError):
            return None

    sleepers = wait_until(lambda: len(drawing() or []) == 2 and drawing(), "two that draw")
    process.signal(signal.SIGTERM)
    result = process.wait(10)
    check(result.code == 75, str(result))
    check_has(result.err, "stopped while pictures were drawn")
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in sleepers), "their ends")
    check(not os.path.exists(f"{out}/outputs/report.html"), "a page of a run that was stopped")
    check_has(auscult("status", out, expect=1).out, "stopped; to continue: auscult run --out")
    auscult("run", "--out", out, "--local", "1")
    check(os.path.exists(f"{out}/outputs/report.html"), "no page of a run that went on")


def test_a_clip_that_is_gone_costs_its_picture_alone(folder):
    data = make_data(f"{folder}/data", ("fan",))
    run(data, f"{folder}/whole", "2")
    out = f"{folder}/gone"
    auscult("score", "--data", data, "--out", out, "--local", "2", *FEW)
    # Changed, of the same length: what is on the disk is not what was scored.
    names = [f"{data}/fan/test/{name}" for name in sorted(os.listdir(f"{data}/fan/test"))]
    for name in names:
        stamp = os.stat(name)
        with open(name, "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    result = auscult("report", "--out", out, "--local", "2")
    check_has(result.err, "no picture of fan/test/", "changed since it was first read")
    check(len(pictures(out)) == 0, "pictures of other sound than was scored")
    check_same_results(out, f"{folder}/whole", with_pictures=False)


main(globals())
