#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the cluster, a run ends with the bytes of an undisturbed one. (Must show 1.)
A sample each day; with AUSCULT_LONG the whole."""

import os
import random
import time

from chaos import DISK_BYTES, SETTINGS, Disk, disturb_many, no_disk, own_mounts, reference
from harness import Skip, auscult, check, check_has, check_same_results, main

# Short ones, with nearly every kind of accident among them.
SAMPLE = [379, 2814, 2321, 602, 1391, 2633, 862, 579, 188, 2013, 564, 2737]
SAMPLE_SECONDS = 50  # no run begins after that: a busy machine does fewer, and says so
LONG = range(10_000, 10_200)


def test_disturbed_runs_end_with_the_same_bytes(folder):
    drawn = random.SystemRandom().randrange(1 << 32)
    print(f"a seed drawn today: {drawn}")
    if os.environ.get("AUSCULT_LONG"):
        failed = disturb_many(folder, [drawn, *LONG])
    else:
        failed = disturb_many(folder, [*SAMPLE, drawn], time.monotonic() + SAMPLE_SECONDS)
    check(not failed, f"seeds {failed} failed, see above")


def test_a_full_disk_is_named_and_room_on_it_lets_the_run_go_on(folder):
    if no_disk():
        raise Skip(no_disk())
    data, expected = reference()
    disk = Disk(f"{folder}/disk", 1 << 20)
    try:
        out = f"{disk.path}/run"
        refused = auscult("run", "--data", data, "--out", out, "--local", "2", *SETTINGS, expect=3)
        check_has(refused.err, "MB free", out)
        disk.resize(DISK_BYTES)
        auscult("run", "--data", data, "--out", out, "--local", "2", *SETTINGS)
        check_same_results(out, expected)
    finally:
        disk.close()


own_mounts()
main(globals())
