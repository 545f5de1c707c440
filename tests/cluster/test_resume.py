#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Continuing a run: what is done is not done again, what a killed one left behind goes away, and
nothing is left where no run can begin."""

import atexit
import functools
import json
import os
import shutil
import signal
import sqlite3
import tempfile

from harness import (
    AUSCULT,
    TINY,
    Process,
    Skip,
    auscult,
    check,
    check_has,
    check_same_results,
    hum,
    main,
    make_data,
    results_of,
    run,
    wait_until,
    write_wav,
)

MACHINES = ("fan", "gearbox", "pump", "slider", "ToyCar", "ToyTrain", "valve")
PROBE, SCORE = 1, 3  # kinds of tasks in the journal


def test_where_no_run_can_begin_no_folder_is_left(folder):
    data = make_data(f"{folder}/data", ("fan",))
    os.makedirs(f"{folder}/empty")
    out = f"{folder}/above/run"
    for args, code, part in (
        ([], 2, "--data"),
        (["--data", f"{folder}/absent"], 2, "absent"),
        (["--data", f"{folder}/empty"], 3, "empty"),
        (["--data", data, "--manifest", f"{folder}/absent.csv"], 2, "absent.csv"),
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


# ---- changes ----


@functools.cache
def finished(machines):
    """Data of so many machines and a finished run of them; to be copied."""
    folder = tempfile.mkdtemp(prefix="auscult-cluster-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = make_data(f"{folder}/data", MACHINES[:machines], train=8, test=2)
    auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    return folder


def copy_finished(folder, machines):
    """The data under their old path, so that nothing but what a test changes is new to the run."""
    kept = finished(machines)
    data = f"{folder}/data"
    shutil.copytree(f"{kept}/data", data)  # with the times of the files
    shutil.copytree(f"{kept}/run", f"{folder}/run")
    return data, f"{folder}/run"


def again(data, out, *options, **more):
    return auscult("run", "--data", data, "--out", out, "--local", "2", *options, **more)


def tasks_in(out):
    """How many PROBE and SCORE tasks the journal holds as finished."""
    base = sqlite3.connect(f"file:{out}/journal.db?mode=ro", uri=True)
    answers = dict(base.execute("SELECT kind, count(DISTINCT key) FROM answer GROUP BY kind").fetchall())
    base.close()
    return answers.get(PROBE, 0), answers.get(SCORE, 0)


def files_of(out, machine):
    """Contents and times of what lies in a model's folder."""
    found = {}
    for folder, _, names in os.walk(f"{out}/data/{machine}"):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[path] = (file.read(), os.stat(path).st_mtime_ns)
    return found


def train_clip(data, machine, number):
    return f"{data}/{machine}/train/section_00_source_train_normal_{number:04d}_noAttribute.wav"


def test_a_finished_run_that_is_continued_does_nothing_anew(folder):
    data, out = copy_finished(folder, 7)
    before, tasks = results_of(out), tasks_in(out)
    result = auscult("run", "--out", out, "--local", "2")
    check(results_of(out) == before and tasks_in(out) == tasks, "something was done")
    check("extract " not in result.err and "train " not in result.err, str(result))
    check_has(result.err, "resumed: 84 of 84 clips were read, 21 of 21 epochs trained, 84 of 84")


def test_a_training_clip_more_touches_its_machine_alone(folder):
    data, out = copy_finished(folder, 7)
    models = {machine: files_of(out, machine) for machine in MACHINES}
    tasks, before = tasks_in(out), results_of(out)
    write_wav(train_clip(data, "pump", 100), hum("one more"))
    for _ in range(2):  # it is refused as often as it is asked for
        refused = again(data, out, expect=2)
        check_has(refused.err, "pump: 3 epochs trained, 12 clips scored", "1 training clip is new",
                  "_0100_", "--update")
        check("fan" not in refused.err, str(refused))
        check(results_of(out) == before and tasks_in(out) == tasks, "a refused change did something")
    again(data, out, "--update")
    probes, scores = tasks_in(out)
    check((probes - tasks[0], scores - tasks[1]) == (1, 2), f"{tasks} -> {probes, scores}")
    for machine in MACHINES:
        same = files_of(out, machine) == models[machine]
        check(same == (machine != "pump"), f"{machine}: {'un' if same else ''}touched")
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY)
    check_same_results(out, reference)


def test_a_test_clip_more_is_one_clip_read_and_scored(folder):
    data, out = copy_finished(folder, 2)
    tasks = tasks_in(out)
    models = {machine: files_of(out, machine) for machine in MACHINES[:2]}
    write_wav(f"{data}/fan/test/section_00_source_test_normal_0100_noAttribute.wav", hum("new"))
    again(data, out)
    probes, scores = tasks_in(out)
    check((probes - tasks[0], scores - tasks[1]) == (1, 1), f"{tasks} -> {probes, scores}")
    check({machine: files_of(out, machine) for machine in MACHINES[:2]} == models, "other models")
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY)
    check_same_results(out, reference)


def test_a_new_machine_is_computed_and_nothing_else(folder):
    data, out = copy_finished(folder, 2)
    models = {machine: files_of(out, machine) for machine in MACHINES[:2]}
    make_data(data, ("engine",), train=8, test=2)
    again(data, out)
    check({machine: files_of(out, machine) for machine in MACHINES[:2]} == models, "other models")
    check(os.path.exists(f"{out}/data/engine/autoencoder_model.bin"), "no model of the new machine")


def test_a_setting_that_touches_finished_models_is_refused_with_the_whole_list(folder):
    data, out = copy_finished(folder, 2)
    before = results_of(out)
    for setting, text in (
        ("epochs=5", "epochs 3 -> 5"),
        ("epochs=2", "epochs 3 -> 2"),
        ("learning_rate=0.01", "learning_rate 0.001 -> 0.01"),
        ("n_mels=64", "24 clips read; n_mels 128 -> 64"),
        ("model_per=section", "model_per machine -> section"),
    ):
        result = again(data, out, "--set", setting, expect=2)
        check_has(result.err, text, "fan: 3 epochs trained, 12 clips scored",
                  "gearbox: 3 epochs trained, 12 clips scored", "--update", "--out")
        check(results_of(out) == before, f"{setting} was refused and did something")
    again(data, out, "--set", "max_fpr=0.2", "--set", "spread=never")  # no task reads these
    auscult("run", "--out", out)
    with open(f"{out}/config.yaml", encoding="utf-8") as file:
        check_has(file.read(), "max_fpr: 0.2\n", "epochs: 3\n")


def test_update_does_what_the_change_asks_for(folder):
    data, out = copy_finished(folder, 2)
    again(data, out, "--set", "epochs=5", "--set", "max_fpr=0.3", "--update")
    again(data, out, "--set", "n_mels=64", "--update")
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY, "--set", "epochs=5",
            "--set", "n_mels=64", "--set", "max_fpr=0.3")
    check_same_results(out, reference)


def test_an_update_that_was_stopped_goes_on_by_the_folder_alone(folder):
    data, out = copy_finished(folder, 2)
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", "--set",
                      "learning_rate=0.002", "--set", "epochs=60", "--update")
    wait_until(lambda: not process.is_running() or "train " in process.said()[1], "it trains")
    process.signal(signal.SIGKILL)
    process.wait()
    auscult("run", "--out", out, "--local", "2")
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY, "--set", "epochs=60",
            "--set", "learning_rate=0.002")
    check_same_results(out, reference)


def test_what_is_not_finished_may_change(folder):
    data, _ = copy_finished(folder, 2)
    out = f"{folder}/fresh"
    auscult("extract", "--data", data, "--out", out, "--local", "2", *TINY)
    result = again(data, out, "--set", "epochs=2", "--set", "learning_rate=0.01")
    check("error" not in result.err, str(result))


def test_a_touched_clip_is_read_again_and_counts_if_it_holds_other_sound(folder):
    data, out = copy_finished(folder, 2)
    clips = [train_clip(data, "fan", 0),
             f"{data}/gearbox/test/section_00_source_test_normal_0000_noAttribute.wav"]
    models = {machine: files_of(out, machine) for machine in MACHINES[:2]}
    for clip in clips:
        os.utime(clip)
    again(data, out)
    check({machine: files_of(out, machine) for machine in MACHINES[:2]} == models, "other models")
    for clip, machine in zip(clips, MACHINES):
        write_wav(clip, hum("another sound"))
        for _ in range(2):
            result = again(data, out, expect=2)
            check_has(result.err, f"{machine}: ", os.path.basename(clip), "--update")
        check({machine: files_of(out, machine) for machine in MACHINES[:2]} == models, "touched")
        again(data, out, "--update")
        models = {machine: files_of(out, machine) for machine in MACHINES[:2]}
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY)
    check_same_results(out, reference)


def test_what_is_gone_leaves_the_outputs(folder):
    data, out = copy_finished(folder, 2)
    shutil.rmtree(f"{data}/gearbox")
    os.remove(f"{data}/fan/test/section_00_source_test_normal_0000_noAttribute.wav")
    again(data, out)
    shutil.rmtree(f"{out}/data/gearbox")  # it stays until it is cleaned up
    reference = f"{folder}/reference"
    auscult("run", "--data", data, "--out", reference, "--local", "2", *TINY)
    check_same_results(out, reference)


def test_clean_removes_what_belongs_to_nothing_any_more(folder):
    data, out = copy_finished(folder, 2)
    shutil.rmtree(f"{data}/gearbox")
    check_has(again(data, out).err, "folders of models", f"{out}/data/gearbox", "auscult clean")
    check_has(auscult("clean", out, "--dry-run").out, "data/gearbox", "logs/history_gearbox.csv")
    before = results_of(out)
    auscult("clean", out)
    check(not os.path.exists(f"{out}/data/gearbox"), "still there")
    check(not os.path.exists(f"{out}/logs/history_gearbox.csv"), "the history is still there")
    for path in [path for path in before if "gearbox" in path]:
        del before[path]
    check(results_of(out) == before, "something else was removed")
    check("gearbox" not in again(data, out).err, "it is warned of all the same")
    check_has(auscult("clean", folder, expect=3).err, "no run")


JOURNAL_FILES = ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db-journal",
                 "journal.lock")


def read_files(folder, names):
    """What is there, by name; not what is not."""
    found = {}
    for name in names:
        if os.path.exists(f"{folder}/{name}"):
            with open(f"{folder}/{name}", "rb") as file:
                found[name] = file.read()
    return found


def write_files(folder, files):
    for name in JOURNAL_FILES:
        if name in files:
            with open(f"{folder}/{name}", "wb") as file:
                file.write(files[name])
        elif os.path.exists(f"{folder}/{name}"):
            os.remove(f"{folder}/{name}")


def test_status_tells_how_far_a_run_is_while_it_runs_and_after(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    check_has(auscult("status", out, expect=3).err, "no run")
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *TINY, "--set",
                      "epochs=5000")

    def status():
        process.check_running()
        result = auscult("status", out, expect=None)
        return result.out if result.code == 0 and "running (train), 1 worker" in result.out else ""

    text = wait_until(status, "it says that it trains")
    check_has(text, "clips read      20 of 20", " of 5000")
    check_has(auscult("clean", out, expect=3).err, "another coordinator")
    process.signal(signal.SIGKILL)
    process.wait()
    check_has(auscult("status", out, expect=1).out, "killed; to continue: auscult run --out")
    auscult("run", "--out", out, "--set", "epochs=3", "--update", "--local", "1")
    check_has(auscult("status", out).out, "done", "epochs trained  3 of 3", "left out        0 clips")
    facts = json.loads(auscult("status", out, "--json").out)
    check(facts["state"] == "done" and facts["clips_scored"] == 20 and not facts["is_alive"] and
          facts["bytes"] > facts["bytes_models"] > 100000, str(facts))


def test_status_sees_what_has_become_of_the_journal(folder):
    data, out = copy_finished(folder, 1)
    again(data, out)
    journal = f"{out}/journal.db"
    whole = read_files(out, JOURNAL_FILES)
    check_has(auscult("status", out).out, f"{out}: done")
    check(read_files(out, JOURNAL_FILES) == whole, "status has touched the journal")

    def flip_in_an_answer():
        with open(journal, "r+b") as file:
            key = sqlite3.connect(f"file:{journal}?mode=ro", uri=True).execute(
                "SELECT key FROM answer WHERE number = 2").fetchone()[0]
            at = whole["journal.db"].index(key)
            file.seek(at)
            file.write(bytes([key[0] ^ 4]))

    def make_newer():
        base = sqlite3.connect(journal)
        base.execute("PRAGMA user_version = 99")
        base.close()

    def put_an_old_one_back():
        again(data, out)
        with open(journal, "wb") as file:
            file.write(whole["journal.db"])

    for harm, word in ((flip_in_an_answer, "damaged (answer 2)"),
                       (lambda: os.truncate(journal, 5000), "damaged"),
                       (lambda: os.truncate(journal, 0), "gone or empty"),
                       (lambda: os.remove(journal), "gone or empty"),
                       (make_newer, "newer version"), (put_an_old_one_back, "older than the run")):
        harm()
        harmed = read_files(out, JOURNAL_FILES)
        result = auscult("status", out, expect=3)
        check_has(result.out, "done, but its journal cannot be used", "clips read      12 of 12")
        check_has(result.err, "journal.db", word, "--restart")
        check_has(json.loads(auscult("status", out, "--json", expect=3).out)["journal"], word)
        check(read_files(out, JOURNAL_FILES) == harmed, "status has touched the journal")
        # What it says is what a run says that is to be continued.
        check(result.err in auscult("run", "--out", out, expect=3).err, result.err)
        write_files(out, whole)
    check_has(auscult("status", out).out, f"{out}: done")


def test_status_reads_the_log_of_a_killed_run_and_leaves_it(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *TINY, "--set",
                      "epochs=5000")
    wait_until(lambda: not process.is_running() or "train " in process.said()[1], "it trains")
    for _ in range(20):  # harmless to who works on it
        auscult("status", out, expect=None)
    process.check_running()
    os.truncate(f"{out}/journal.db", 0)
    check_has(auscult("status", out, expect=3).out, "running, but its journal cannot be used")
    process.signal(signal.SIGKILL)
    process.wait()
    shutil.rmtree(out)
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *TINY, "--set",
                      "epochs=5000")
    wait_until(lambda: not process.is_running() or "train " in process.said()[1], "it trains")
    process.signal(signal.SIGKILL)
    process.wait()
    whole = read_files(out, JOURNAL_FILES)
    check(len(whole["journal.db-wal"]) > 0, "there is no log")
    check_has(auscult("status", out, expect=1).out, "killed; to continue")
    check(read_files(out, JOURNAL_FILES) == whole, "status has touched the journal")
    os.remove(f"{out}/journal.db-wal")
    check_has(auscult("status", out, expect=3).err, "journal.db-wal was lost", "--restart")
    write_files(out, whole)
    auscult("run", "--out", out, "--set", "epochs=3", "--update", "--local", "1")


def test_retry_looks_again_at_what_was_left_out(folder):
    data, _ = copy_finished(folder, 2)
    out = f"{folder}/fresh"
    broken = f"{data}/fan/test/section_00_source_test_normal_0100_noAttribute.wav"
    with open(broken, "w", encoding="utf-8") as file:
        file.write("no sound")
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY)
    tasks = tasks_in(out)
    check("extract " not in again(data, out).err, "left out is left out")
    result = again(data, out, "--retry")
    check_has(result.err, "20 of 25 clips were read", "extract ")
    check("train " not in result.err and tasks_in(out) == tasks, str(result))


def test_a_stage_alone_leaves_thresholds_and_says_that_outputs_are_outdated(folder):
    data, out = copy_finished(folder, 2)
    mark = f"{out}/outputs/outdated.txt"
    before = results_of(out)
    check("earlier state" not in auscult("train", "--out", out, "--local", "1").err, "nothing is")
    check(results_of(out) == before, "train on a finished run has changed its files")
    more = ("--set", "epochs=4", "--update", "--local", "1")
    check_has(auscult("train", "--data", data, "--out", out, *more).err, "of an earlier state")
    check(os.path.exists(mark), "it does not say so in the folder")
    result = auscult("run", "--out", out, "--local", "1")
    check("earlier state" not in result.err and not os.path.exists(mark), str(result))


def test_a_copy_of_the_data_with_other_times_gives_the_same_config(folder):
    data, out = copy_finished(folder, 1)
    for where, _, names in os.walk(data):
        for name in names:
            os.utime(f"{where}/{name}", (1_000_000_000, 1_000_000_000))
    auscult("run", "--data", data, "--out", f"{folder}/other", "--local", "1", *TINY)
    check_same_results(out, f"{folder}/other")


def test_restart_keeps_the_old_run_aside_and_takes_its_data_and_settings(folder):
    data, out = copy_finished(folder, 2)
    auscult("run", "--out", out, "--local", "1", "--data", data)
    for number, epochs in ((1, 3), (2, 2)):
        before = results_of(out)
        auscult("run", "--out", f"{out}/", "--local", "2", "--restart", "--set", "epochs=2")
        check(results_of(f"{out}.{number}") == before, "the old run has changed")
        check_has(before["config.yaml"].decode(), f"epochs: {epochs}\n")
        check_has(results_of(out)["config.yaml"].decode(), "epochs: 2\n", "batch_size: 32\n")


def test_restart_puts_a_run_aside_whose_journal_cannot_be_read(folder):
    data, out = copy_finished(folder, 1)
    journal = f"{out}/journal.db"

    def make_newer():
        base = sqlite3.connect(journal)
        base.execute("PRAGMA user_version = 99")
        base.close()

    for number, harm in ((1, lambda: os.truncate(journal, 5000)), (2, lambda: os.remove(journal)),
                         (3, make_newer)):
        harm()
        check_has(auscult("run", "--out", out, expect=3).err, "journal.db", "--restart")
        check_has(auscult("run", "--out", out, "--restart", expect=2).err, "--data DIR is missing")
        check(not os.path.exists(f"{out}.{number}"), "it was renamed although no run can begin")
        result = again(data, out, "--restart", *TINY)
        check_has(result.err, f"kept as {out}.{number} (its journal could not be read)")


def test_a_run_that_is_worked_on_is_not_restarted(folder):
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    process = Process(AUSCULT, "run", "--data", data, "--out", out, "--local", "1", *TINY, "--set",
                      "epochs=5000")
    wait_until(lambda: not process.is_running() or "train " in process.said()[1], "it trains")
    result = auscult("run", "--out", out, "--restart", expect=3)
    check_has(result.err, "another coordinator")
    check(not os.path.exists(f"{out}.1"), "it was renamed all the same")
    process.check_running()
    process.signal(signal.SIGTERM)
    check(process.wait().code == 75, "the first coordinator was disturbed")


main(globals())
