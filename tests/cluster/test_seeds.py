#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each seed is a system of its own: adding one to a run computes what is new and nothing else, and
what one seed gives does not depend on the others. AUSCULT_MACHINES=7 takes seven machines."""

import os
import re

from harness import (
    TINY,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    read_csv,
    results_of,
)

MACHINES = [f"machine{i}" for i in range(int(os.environ.get("AUSCULT_MACHINES", "3")))]
EPOCHS = 3  # of TINY
SYSTEM_FILES = [
    "challenge_predictions.csv",
    "dcase_submission.csv",
    "left_out.csv",
    "report_by_machine.csv",
    "result.csv",
]


def data_of(folder, machines=MACHINES):
    return make_data(f"{folder}/data", machines)


def run(data, out, *options, workers="2"):
    return auscult("run", "--data", data, "--out", out, "--local", workers, *TINY, *options)


def times_of(out, parts=("data", "outputs")):
    """When each file was written; the submission's are always made anew."""
    found = {}
    for part in parts:
        for folder, _, names in os.walk(os.path.join(out, part)):
            for name in names:
                path = os.path.join(folder, name)
                if "/submission/" not in path:
                    found[os.path.relpath(path, out)] = os.stat(path).st_mtime_ns
    return found


def work_told(result):
    """What a run's progress and log tell of: the labels of the models trained and, of the last
    state of each stage, how much there was in all."""
    trained = set(re.findall(r"model (\S+): \d+ members", result.err))
    stages = dict(re.findall(r"(extract|train|score) +\d+/(\d+) ", result.err))
    return trained, stages


def test_a_seed_added_to_a_finished_run_trains_its_models_and_nothing_else(folder):
    data, out = data_of(folder), f"{folder}/run"
    begun = run(data, out, "--set", "seeds=[1]", "-v")
    check(work_told(begun)[0] == set(MACHINES), f"other models than machines: {begun}")
    before, times = results_of(out), times_of(out)
    added = auscult("run", "--out", out, "--local", "2", "--set", "seeds=[1,2]", "-v")
    trained, stages = work_told(added)
    check(trained == {f"{name}_seed_2" for name in MACHINES}, f"trained {trained}: {added}")
    check("extract" not in stages, f"something was extracted again: {added}")
    check(stages["train"] == str(2 * EPOCHS * len(MACHINES)), f"other work in all: {added}")
    state = auscult("status", out)
    scored = re.search(r"clips scored +(\d+) of (\d+)", state.out)
    check(scored and scored[1] == scored[2] == stages["score"], f"other clips to score: {state}")
    for path, time in times.items():
        check(os.stat(f"{out}/{path}").st_mtime_ns == time, f"{path} was written again")
    after = results_of(out)
    for path, content in before.items():
        check(path == "config.yaml" or after[path] == content, f"{path} has other bytes")
    run(data, f"{folder}/both", "--set", "seeds=[1, 2]", workers="3")
    check_same_results(out, f"{folder}/both")
    again = auscult("run", "--out", out, "--local", "1", "-v")
    check(work_told(again)[0] == set(), f"a finished run trained: {again}")
    check_same_results(out, f"{folder}/both")


def test_a_seed_gives_the_same_bytes_alone_and_among_others(folder):
    data = data_of(folder)
    config = f"{folder}/seeds.yaml"
    with open(config, "w", encoding="utf-8") as file:
        file.write("seeds:\n  - 7\n  - 5\n")
    run(data, f"{folder}/both", "--config", config)
    both = results_of(f"{folder}/both")
    for seed, below in (("7", ""), ("5", "seed_5/")):
        run(data, f"{folder}/alone{seed}", "--set", f"seed={seed}")
        alone = results_of(f"{folder}/alone{seed}")
        del alone["config.yaml"]
        for path, content in alone.items():
            part, rest = path.split("/", 1)
            machine, rest = rest.split("/", 1) if part == "data" else ("", rest)
            there = "/".join(filter(None, (part, machine, below + rest)))
            check(both.get(there) == content, f"{there} is not {path} of seed {seed} alone")
    for name in SYSTEM_FILES:
        check(f"outputs/seed_5/{name}" in both, f"outputs/seed_5 has no {name}")
    check(both["outputs/dcase_submission.csv"] != both["outputs/seed_5/dcase_submission.csv"],
          "two seeds gave the same scores")
    _, rows = read_csv(f"{folder}/both/outputs/systems_each.csv")
    check([row["system"] for row in rows] == ["seed_7", "seed_5"], str(rows))


def test_another_order_of_seeds_moves_results_and_trains_nothing(folder):
    data, out = data_of(folder), f"{folder}/run"
    run(data, out, "--set", "seeds=1,2")
    turned = auscult("run", "--out", out, "--local", "2", "--set", "seeds=2,1", "-v")
    check(work_told(turned)[0] == set(), f"something was trained: {turned}")
    run(data, f"{folder}/turned", "--set", "seeds=2,1")
    check_same_results(out, f"{folder}/turned")


def test_a_seed_taken_out_of_a_run_is_refused(folder):
    data, out = data_of(folder, MACHINES[:1]), f"{folder}/run"
    run(data, out, "--set", "seeds=1,2")
    before = results_of(out)
    for seeds, gone in (("2", 1), ("1,3", 2)):
        refused = auscult("run", "--out", out, "--set", f"seeds={seeds}", expect=2)
        check_has(refused.err, f"seed {gone} is not wanted any more", "--update")
    check(results_of(out) == before, "a refused run changed results")


def test_new_recordings_are_scored_by_the_primary_seeds_model_or_the_one_named(folder):
    data, out = data_of(folder, MACHINES[:2]), f"{folder}/run"
    run(data, out, "--set", "seeds=1,2")
    clips = f"{data}/{MACHINES[0]}/test"
    for model, outputs in ((out, "outputs"), (f"{out}/data/{MACHINES[0]}/seed_2", "outputs/seed_2")):
        scored = auscult("score", "--model", model, clips).out
        _, rows = read_csv(f"{out}/{outputs}/challenge_predictions.csv")
        ours = [row for row in rows if row["machine_type"] == MACHINES[0]]
        check(len(ours) == 8, f"{len(ours)} clips in {outputs}")
        for row in ours:
            check_has(scored, row["reconstruction_error"])


main(globals())
