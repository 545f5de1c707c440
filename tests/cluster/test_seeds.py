#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each seed is a system of its own: adding one to a run computes what is new and nothing else, and
what one seed gives does not depend on the others. AUSCULT_MACHINES=7 takes seven machines."""

import os
import re

from harness import (
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    read_csv,
    results_of,
    results_of_system,
    run_tiny,
    set_more,
    times_of,
    trained,
)

MACHINES = [f"machine{i}" for i in range(int(os.environ.get("AUSCULT_MACHINES", "3")))]
EPOCHS = 3  # of TINY
SYSTEM_FILES = [
    "challenge_predictions.csv",
    "dcase_submission.csv",
    "left_out.csv",
    "report_by_machine.csv",
    "result.csv",
    "scores.npy",
]


def data_of(folder, machines=MACHINES):
    return make_data(f"{folder}/data", machines)


def stages_told(result):
    """Of the last state of each stage that a run's progress tells of, how much there was in all."""
    return dict(re.findall(r"(extract|train|score) +\d+/(\d+) ", result.err))


def test_a_seed_added_to_a_finished_run_trains_its_models_and_nothing_else(folder):
    data, out = data_of(folder), f"{folder}/run"
    begun = run_tiny(data, out, "seeds=[1]")
    check(trained(begun) == set(MACHINES), f"other models than machines: {begun}")
    before, times = results_of_system(out), times_of(out)
    times.pop("outputs/report.html")
    added = set_more(out, "seeds=[1,2]")
    stages = stages_told(added)
    check(trained(added) == {f"{name}_seed_2" for name in MACHINES}, f"other models: {added}")
    check("extract" not in stages, f"something was extracted again: {added}")
    check(stages["train"] == str(2 * EPOCHS * len(MACHINES)), f"other work in all: {added}")
    state = auscult("status", out)
    scored = re.search(r"clips scored +(\d+) of (\d+)", state.out)
    check(scored and scored[1] == scored[2] == stages["score"], f"other clips to score: {state}")
    for path, time in times.items():
        check(os.stat(f"{out}/{path}").st_mtime_ns == time, f"{path} was written again")
    after = results_of(out)
    for path, content in before.items():
        check(after[path] == content, f"{path} has other bytes")
    run_tiny(data, f"{folder}/both", "seeds=[1, 2]", workers="3")
    check_same_results(out, f"{folder}/both")
    again = set_more(out)
    check(trained(again) == set(), f"a finished run trained: {again}")
    check_same_results(out, f"{folder}/both")


def test_a_seed_gives_the_same_bytes_alone_and_among_others(folder):
    data = data_of(folder)
    config = f"{folder}/seeds.yaml"
    with open(config, "w", encoding="utf-8") as file:
        file.write("seeds:\n  - 7\n  - 5\n")
    run_tiny(data, f"{folder}/both", config=config)
    both = results_of(f"{folder}/both")
    for seed, below in (("7", ""), ("5", "seed_5/")):
        run_tiny(data, f"{folder}/alone{seed}", f"seed={seed}")
        alone = results_of_system(f"{folder}/alone{seed}")
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


def test_features_that_models_share_are_extracted_once(folder):
    data, out = data_of(folder), f"{folder}/run"
    run_tiny(data, out, "seeds=[1, 2]", "score=[MSE, MAHALA]", "n_mels=16", workers="1")
    with open(f"{out}/logs/worker-0.log", encoding="utf-8") as file:
        told = re.findall(r"features: (\d+) clips extracted, (\d+) times found again", file.read())
    clips = sum(name.endswith(".wav") for _, _, names in os.walk(data) for name in names)
    check(told, "the worker's log tells of no features")
    extracted, found = (int(number) for number in told[-1])
    check(extracted == clips, f"{extracted} of {clips} clips were extracted")
    check(found > clips, f"{found} were found again")


def test_another_order_of_seeds_moves_results_and_trains_nothing(folder):
    data, out = data_of(folder), f"{folder}/run"
    run_tiny(data, out, "seeds=1,2")
    turned = set_more(out, "seeds=2,1")
    check(trained(turned) == set(), f"something was trained: {turned}")
    run_tiny(data, f"{folder}/turned", "seeds=2,1")
    check_same_results(out, f"{folder}/turned")


def test_a_seed_taken_out_of_a_run_is_refused(folder):
    data, out = data_of(folder, MACHINES[:1]), f"{folder}/run"
    run_tiny(data, out, "seeds=1,2")
    before = results_of(out)
    for seeds, gone in (("2", 1), ("1,3", 2)):
        refused = auscult("run", "--out", out, "--set", f"seeds={seeds}", expect=2)
        check_has(refused.err, f"seed {gone} is not wanted any more", "--update")
    check(results_of(out) == before, "a refused run changed results")


def test_new_recordings_are_scored_by_the_primary_seeds_model_or_the_one_named(folder):
    data, out = data_of(folder, MACHINES[:2]), f"{folder}/run"
    run_tiny(data, out, "seeds=1,2")
    clips = f"{data}/{MACHINES[0]}/test"
    for model, outputs in ((out, "outputs"), (f"{out}/data/{MACHINES[0]}/seed_2", "outputs/seed_2")):
        scored = auscult("score", "--model", model, clips).out
        _, rows = read_csv(f"{out}/{outputs}/challenge_predictions.csv")
        ours = [row for row in rows if row["machine_type"] == MACHINES[0]]
        check(len(ours) == 8, f"{len(ours)} clips in {outputs}")
        for row in ours:
            check_has(scored, row["reconstruction_error"])


main(globals())
