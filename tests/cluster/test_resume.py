#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Continuing a run: what is done is not done again, what a killed one left behind goes away, and
nothing is left where no run can begin."""

import os
import signal

from harness import (
    AUSCULT,
    TINY,
    Process,
    Skip,
    auscult,
    check,
    check_has,
    main,
    make_data,
    run,
    wait_until,
)


def test_where_no_run_can_begin_no_folder_is_left(folder):
    data = make_data(f"{folder}/data", ("fan",))
    os.makedirs(f"{folder}/empty")
    out = f"{folder}/above/run"
    for args, code, part in (
        ([], 2, "--data"),
        (["--data", f"{folder}/absent"], 3, "absent"),
        (["--data", f"{folder}/empty"], 3, "empty"),
        (["--data", data, "--manifest", f"{folder}/absent.csv"], 3, "absent.csv"),
    ):
        result = auscult("run", *args, "--out", out, *TINY, expect=code)
        check_has(result.err, part)
        check(not os.path.exists(f"{folder}/above"), f"a folder was made: {result}")


def socket_folder(process, out):
    """Where a run with local workers listens, from the file that says it."""

    def read():
        process.check_running()
        try:
            with open(f"{out}/endpoint", encoding="utf-8") as file:
                return os.path.dirname(file.read().strip().removeprefix("ipc://"))
        except FileNotFoundError:
            return None

    return wait_until(read, "the endpoint is written")


def test_a_killed_run_s_socket_folder_goes_when_it_is_continued(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    options = ["run", "--data", data, "--out", out, "--local", "1", *TINY, "--set", "epochs=2000"]
    process = Process(AUSCULT, *options)
    dead = socket_folder(process, out)
    check(os.path.isdir(dead), dead)
    process.signal(signal.SIGKILL)
    process.wait()
    check(os.path.isdir(dead), "there was nothing to clear up")
    os.remove(f"{out}/endpoint")
    process = Process(AUSCULT, *options)
    alive = socket_folder(process, out)
    check(alive != dead and not os.path.exists(dead), f"{dead} is still there")
    process.signal(signal.SIGTERM)
    process.wait()
    check(not os.path.exists(alive), f"{alive} is still there")


def test_a_begun_run_has_the_room_that_it_has_filled(folder):
    """On a disk that holds one such run, but would not hold another one beside it."""
    data = make_data(f"{folder}/data", ("fan",))
    disk = f"{folder}/disk"
    os.makedirs(disk)
    mount = f"mount -t tmpfs -o size=%dk none {disk}"
    command = f"{AUSCULT} run --data {data} --out {disk}/run --local 1 {' '.join(TINY)}"
    if run("unshare", "-m", "sh", "-c", mount % 64, expect=None).code != 0:
        raise Skip("needs root, to mount a small disk")
    small = run("unshare", "-m", "sh", "-c", f"{mount % 4096} && {command}", expect=3)
    check_has(small.err, "free", "needs up to")
    run("unshare", "-m", "sh", "-c",
        f"{mount % 12288} && {command} && dd if=/dev/zero of={disk}/fill bs=64k 2>&1; "
        f"truncate -s -2M {disk}/fill; {command}")


main(globals())
