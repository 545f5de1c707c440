#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person types: exit codes, messages that name the thing, results on stdout, and an
unwritable folder noticed before any work."""

import os
import signal

from harness import (
    AUSCULT,
    TINY,
    WORKER,
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


def test_help_and_version_are_on_stdout(folder):
    for program in (AUSCULT, WORKER):
        check_has(run(program, "--help").out, "--connect" if program == WORKER else "run")
        check(run(program, "--version").out.strip() != "", program)
        check(run(program, "--help").err == "", program)
    for command in ("run", "scan", "score", "synth"):
        check_has(auscult(command, "--help").out, "--")


def test_usage_errors_exit_2_and_name_the_thing(folder):
    rows = [
        ([], "run"),
        (["rum"], "rum"),
        (["run", "--dta", "x"], "--dta"),
        (["run", "--data"], "--data"),
        (["run", "--data", folder], "--out"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--set", "epoch=3"], "epochs"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--set", "epochs=0"], "1 to 1000000"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--set", "spread=often"], "always"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--local", "many"], "many"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--preset", "none"], "dcase-baseline"),
        (["run", "--data", folder, "--out", f"{folder}/r", "--set", "shards=3"], "power of two"),
        (["run", "--data", f"{folder}/absent", "--out", f"{folder}/r"], f"{folder}/absent"),
    ]
    for args, part in rows:
        result = auscult(*args, expect=2)
        check_has(result.err, part)
        check(result.out == "", f"errors belong on stderr: {result}")
    check_has(run(WORKER, "--conect", "x", expect=2).err, "--conect")
    for endpoint in ("tcp://127.0.0.1", "tcp://:99", "tcp://h:99999", "tcp://h:0", "ipc://", "h:1"):
        check_has(run(WORKER, "--connect", endpoint, expect=2).err, "--connect", f"'{endpoint}'")
    check_has(run(WORKER, "--connect", "tcp://h:1", "--cache", "", expect=2).err, "--cache")
    check(not os.path.exists(f"{folder}/r"), "a refused command made its folder")


def test_a_worker_that_waits_for_a_coordinator_leaves_when_it_is_asked_to(folder):
    for where in (["--run", folder], ["--connect", "tcp://127.0.0.1:1"]):
        worker = Process(WORKER, *where)
        wait_until(lambda worker=worker: "no coordinator" in worker.said()[1], "it says that it waits")
        worker.signal(signal.SIGTERM)
        result = worker.wait(20)
        check(result.code == 0, str(result))


def test_a_configuration_error_names_file_and_line(folder):
    path = f"{folder}/c.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("n_mels: 64\nepochs: many\n")
    result = auscult("run", "--data", folder, "--out", f"{folder}/r", "--config", path, expect=2)
    check_has(result.err, "c.yaml", "line 2", "epochs")


def test_a_users_own_config_in_the_folder_is_not_overwritten(folder):
    data, out = make_data(f"{folder}/data", ("fan",)), f"{folder}/r"
    os.mkdir(out)
    with open(f"{out}/config.yaml", "w", encoding="utf-8") as file:
        file.write("n_mels: 64\n")
    result = auscult("run", "--data", data, "--out", out, "--config", f"{out}/config.yaml", expect=2)
    check_has(result.err, f"{out}/config.yaml", "--out")
    check(os.listdir(out) == ["config.yaml"], f"{os.listdir(out)} in a folder that was refused")


def test_set_goes_before_file_and_file_before_preset(folder):
    data = make_data(f"{folder}/data", ("fan",))
    path = f"{folder}/c.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("epochs: 2\nbatch_size: 64\nlearning_rate: 0.002\n")
    auscult("run", "--data", data, "--out", f"{folder}/r", "--local", "1", "--config", path,
            "--preset", "dcase-baseline", "--set", "batch_size=32")
    with open(f"{folder}/r/config.yaml", encoding="utf-8") as file:
        check_has(file.read(), "epochs: 2\n", "batch_size: 32\n", "learning_rate: 0.002\n",
                  "scaler: none\n")


def test_an_unwritable_folder_is_noticed_before_any_work(folder):
    data = make_data(f"{folder}/data", ("fan",))
    with open(f"{folder}/file", "w", encoding="utf-8"):
        pass
    result = auscult("run", "--data", data, "--out", f"{folder}/file", *TINY, expect=3, seconds=20)
    check_has(result.err, f"{folder}/file")
    if os.geteuid() != 0:
        raise Skip("the second half needs root, to become an ordinary user")
    os.makedirs(f"{folder}/closed", 0o755)
    result = auscult("run", "--data", data, "--out", f"{folder}/closed/run", *TINY, user=65534,
                     cwd="/", expect=3, seconds=20)
    check_has(result.err, f"{folder}/closed", "ermission denied")


def test_another_configuration_on_a_finished_run_is_refused(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    auscult("run", "--data", data, "--out", out, "--local", "1", *TINY)
    result = auscult("run", "--data", data, "--out", out, "--local", "1", *TINY, "--set", "seed=5",
                     expect=None)
    check(result.code in (2, 3), str(result))
    check_has(result.err, "seed")


def test_quiet_is_quiet_and_the_result_is_on_stdout(folder):
    data = make_data(f"{folder}/data", ("fan",))
    result = auscult("run", "-q", "--data", data, "--out", f"{folder}/run", "--local", "1", *TINY)
    check(result.err == "", str(result))
    check_has(auscult("scan", "--data", data).out, "fan", "00", "source", "target", "train", "test")


def files_below(folder):
    found = {}
    for here, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(here, name), "rb") as file:
                found[os.path.relpath(os.path.join(here, name), folder)] = file.read()
    return found


def test_scan_understands_what_synth_makes(folder):
    options = ["--machines", "2", "--train", "6", "--test", "4", "--seconds", "1"]
    for year in range(2020, 2027):
        data = f"{folder}/{year}"
        auscult("synth", "--out", data, "--year", str(year), "--set", "dev", *options)
        lines = auscult("scan", "--data", data, "--csv", "-").out.splitlines()
        columns = lines[0].split(",")
        check_has(lines[0], "machine", "section", "domain", "label", "split")
        rows = [dict(zip(columns, line.split(","))) for line in lines[1:]]
        splits = [row["split"] for row in rows]
        check(splits.count("train") == 12 and splits.count("test") == 8, f"{year}: {splits}")
        check(len({row["machine"] for row in rows}) == 2, f"{year}: {lines}")
        labels = {row["label"] for row in rows if row["split"] == "test"}
        check(labels == {"normal", "anomaly"}, f"{year}: {labels}")
    again = f"{folder}/again"
    auscult("synth", "--out", again, "--year", "2023", "--set", "dev", *options)
    check(files_below(again) == files_below(f"{folder}/2023"), "two runs of synth differ")


main(globals())
