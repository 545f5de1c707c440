#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stopping and dying: Ctrl-C says how to go on, the same command goes on, and the results are those
of an undisturbed run."""

import atexit
import functools
import os
import random
import re
import shutil
import signal
import tempfile
import time

from harness import (
    AUSCULT,
    Process,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    wait_until,
    workers_of,
)

# Long enough to be interrupted in its middle, short enough to be done twice.
LONG = ["--set", "epochs=100", "--set", "batch_size=32"]


@functools.cache
def prepare():
    """Data, and the run of them that nobody disturbed; one for all tests."""
    folder = tempfile.mkdtemp(prefix="auscult-cluster-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=24)
    expected = f"{folder}/reference"
    auscult("run", "--data", data, "--out", expected, "--local", "2", *LONG)
    return data, expected


def start(folder, data, *options):
    """A run with two workers, both of them at work."""
    out = f"{folder}/run"
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "2", "-v", *LONG,
                      *options)

    def trains():  # by the workers' logs: on a fast machine the progress line comes too late
        process.check_running()
        return (len(workers_of(process.process.pid)) == 2 and os.path.isdir(f"{out}/logs") and
                len(pieces(out)) > 1)

    wait_until(trains, "two workers train")
    return process, out


def finish_and_compare(out, data, expected):
    auscult("run", "--data", data, "--out", out, "--local", "2", *LONG)
    check_same_results(out, expected)


def test_an_interrupted_run_goes_on_with_the_same_command(folder):
    data, expected = prepare()
    for number in (signal.SIGINT, signal.SIGTERM):
        process, out = start(f"{folder}/{number.name}", data)
        process.signal(number)
        result = process.wait(30)
        check(result.code == 75, str(result))
        check_has(result.err, "auscult run", out)
        finish_and_compare(out, data, expected)


def test_a_stopped_run_goes_on_by_its_folder_alone(folder):
    data, expected = prepare()
    process, out = start(folder, data)
    process.signal(signal.SIGINT)
    result = process.wait(30)
    check(result.code == 75, str(result))
    auscult("run", "--out", out)
    check_same_results(out, expected)


def pieces(out):
    """Where each piece of training that a worker of the run began starts: (epoch, round)."""
    found = []
    for name in sorted(os.listdir(f"{out}/logs")):
        if name.startswith("worker-"):
            with open(f"{out}/logs/{name}", encoding="utf-8") as file:
                found += [(int(epoch), int(round_)) for epoch, round_ in
                          re.findall(r"training: epochs (\d+)\.(\d+) to", file.read())]
    return found


def test_a_stopped_run_keeps_the_piece_that_a_lone_worker_is_at(folder):
    data = make_data(f"{folder}/data", ("fan",), train=24)
    out = f"{folder}/run"
    endless = ["--local", "1", "-v", "--set", "epochs=100000", "--set", "batch_size=32"]
    before = []
    for _ in range(3):
        process = Process(AUSCULT, "run", "--data", data, "--out", out, *endless)
        wait_until(lambda: os.path.isdir(f"{out}/logs") and len(pieces(out)) > len(before),
                   "a piece of training began")
        process.signal(signal.SIGTERM)
        result = process.wait(30)
        check(result.code == 75, str(result))
        after = pieces(out)
        check(not before or after[len(before)] > before[-1],
              f"a piece was begun anew: {before[-1:]}, {after[len(before):]}")
        before = after


def test_a_killed_worker_costs_nothing_but_time(folder):
    data, expected = prepare()
    process, out = start(folder, data)
    os.kill(workers_of(process.process.pid)[0], signal.SIGKILL)
    result = process.wait()
    check(result.code == 0, str(result))
    check_same_results(out, expected)


def test_a_killed_member_of_a_spread_model_costs_nothing_but_time(folder):
    data, expected = prepare()
    process, out = start(folder, data, "--set", "spread=always")
    os.kill(workers_of(process.process.pid)[0], signal.SIGKILL)
    result = process.wait()
    check(result.code == 0, str(result))
    check_same_results(out, expected)


def test_a_killed_coordinator_takes_its_workers_along_and_goes_on(folder):
    data, expected = prepare()
    process, out = start(folder, data)
    workers = workers_of(process.process.pid)
    process.signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in workers),
               "the workers are gone", 15)
    finish_and_compare(out, data, expected)


def test_a_run_killed_while_it_begins_is_begun_by_the_same_command(folder):
    data = make_data(f"{folder}/data", ("fan",), train=4, test=2)
    options = ["--local", "1", "--set", "epochs=1"]
    seed = random.randrange(1 << 32)
    print(f"random moments by seed {seed}")
    moments = random.Random(seed)
    for i in range(12):
        out = f"{folder}/run{i}"
        process = Process(AUSCULT, "run", "--data", data, "--out", out, *options)
        wait_until(lambda: os.path.exists(f"{out}/journal.db") or not process.is_running(), "a journal")
        time.sleep(moments.uniform(0, 0.03))  # no event to wait for: any moment will do
        process.signal(signal.SIGKILL)
        process.wait()
        result = auscult("run", "--data", data, "--out", out, *options, expect=None)
        check(result.code == 0, str(result))


def test_a_finished_run_is_not_done_again(folder):
    data, expected = prepare()
    copy = f"{folder}/copy"
    shutil.copytree(expected, copy)
    result = auscult("run", "--data", data, "--out", copy, "--local", "2", *LONG, seconds=30)
    check("train " not in result.err, f"it trained again: {result}")
    check_same_results(copy, expected)


main(globals())
