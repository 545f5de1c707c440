#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each combination of what varies is a system of its own: it gives what it gives alone, on any
cluster, and one that is added to a finished run computes what is new and nothing else."""

import os

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

MACHINES = ["fan", "pump"]
MATRIX = "matrix={n_mels: [32, 64], seed: [1, 2]}"
OUTPUTS = ["challenge_predictions.csv", "dcase_submission.csv", "left_out.csv", "report_by_machine.csv"]


def check_alone(of_all, alone, name):
    """All outputs and models of a run with one system, found among those of one with many."""
    below = f"{name}/" if name else ""
    compared = 0
    for path, content in results_of_system(alone).items():
        parts = path.split("/")
        if parts[0] == "outputs":
            there = f"outputs/{below}" + "/".join(parts[1:])
        elif parts[0] == "data":
            there = f"data/{parts[1]}/{below}" + "/".join(parts[2:])
        else:
            continue
        check(of_all.get(there) == content, f"{there} is not {path} of {alone}")
        compared += 1
    check(compared >= len(OUTPUTS) + len(MACHINES), f"only {compared} files of {alone}")


def test_each_combination_gives_the_bytes_it_gives_alone_on_any_cluster(folder):
    data = make_data(f"{folder}/data", MACHINES)
    for workers in ("1", "2", "3"):
        run_tiny(data, f"{folder}/all{workers}", MATRIX, workers=workers)
    check_same_results(f"{folder}/all1", f"{folder}/all2")
    check_same_results(f"{folder}/all1", f"{folder}/all3")
    of_all = results_of(f"{folder}/all1")
    for n_mels, seed, name in ((32, 1, ""), (32, 2, "n_mels_32_seed_2"),
                               (64, 1, "n_mels_64_seed_1"), (64, 2, "n_mels_64_seed_2")):
        alone = f"{folder}/alone_{n_mels}_{seed}"
        run_tiny(data, alone, f"n_mels={n_mels}", f"seed={seed}")
        check_alone(of_all, alone, name)
    predictions = {of_all[path] for path in of_all if path.endswith("challenge_predictions.csv")}
    check(len(predictions) == 4, "two systems gave the same scores")
    _, rows = read_csv(f"{folder}/all1/outputs/systems.csv")
    check([(row["setting"], row["seeds"]) for row in rows] == [("n_mels_32", "2"), ("n_mels_64", "2")],
          str(rows))
    _, rows = read_csv(f"{folder}/all1/outputs/systems_each.csv")
    check([row["system"] for row in rows] == ["n_mels_32_seed_1", "n_mels_32_seed_2",
                                              "n_mels_64_seed_1", "n_mels_64_seed_2"], str(rows))


def test_scores_share_models_and_each_gives_the_outputs_it_gives_alone(folder):
    data = make_data(f"{folder}/data", MACHINES)
    both = run_tiny(data, f"{folder}/both", "score=[MSE, MAHALA, CLIPMAHALA]", "n_mels=16")
    check(trained(both) == set(MACHINES), f"{trained(both)} trained")
    of_all = results_of(f"{folder}/both")
    for score, name in (("MSE", ""), ("MAHALA", "MAHALA/"), ("CLIPMAHALA", "CLIPMAHALA/")):
        alone = f"{folder}/{score}"
        run_tiny(data, alone, f"score={score}", "n_mels=16")
        for file in OUTPUTS:
            check(of_all[f"outputs/{name}{file}"] == results_of(alone)[f"outputs/{file}"],
                  f"{file} of {score} is another one alone")
    moved = set_more(f"{folder}/both", "primary=MAHALA")
    check(not trained(moved), f"{trained(moved)} trained")
    top = results_of(f"{folder}/both")
    for file in OUTPUTS:
        check(top[f"outputs/{file}"] == of_all[f"outputs/MAHALA/{file}"], f"{file} is not MAHALA's")
        check(top[f"outputs/MSE/{file}"] == of_all[f"outputs/{file}"], f"{file} is not MSE's")
        check(f"outputs/MAHALA/{file}" not in top, "the primary system's old outputs are left")


def test_settings_of_the_report_share_models_and_scores(folder):
    data = make_data(f"{folder}/data", MACHINES)
    matrix = "matrix={max_fpr: [0.5, 0.9], percentile: [50, 90]}"
    both = run_tiny(data, f"{folder}/both", "threshold=percentile", "n_mels=16", matrix)
    check(trained(both) == set(MACHINES), f"{trained(both)} trained")
    of_all = results_of(f"{folder}/both")
    for max_fpr, percentile in ((0.5, 50), (0.5, 90), (0.9, 50), (0.9, 90)):
        alone = f"{folder}/{max_fpr}_{percentile}"
        run_tiny(data, alone, "threshold=percentile", "n_mels=16", f"max_fpr={max_fpr}",
            f"percentile={percentile}")
        is_first = (max_fpr, percentile) == (0.5, 50)
        below = "" if is_first else f"percentile_{percentile}_max_fpr_{max_fpr}/"
        for path, content in results_of_system(alone).items():
            if path.startswith("outputs/"):
                there = path.replace("outputs/", f"outputs/{below}", 1)
                check(of_all.get(there) == content, f"{there} is not {path} of {alone}")
    results = {content for path, content in of_all.items() if path.endswith("/result.csv")}
    check(len(results) == 2, "two percentiles gave the same decisions") # max_fpr: all AUCs are 1


def errors_of(out):
    """The scores of the test clips, by machine and file."""
    _, rows = read_csv(f"{out}/challenge_predictions.csv")
    return {(row["machine_type"], row["file_name"]): float(row["reconstruction_error"]) for row in rows}


def test_an_ensemble_is_the_mean_of_standardised_scores(folder):
    data, out = make_data(f"{folder}/data", MACHINES), f"{folder}/run"
    run_tiny(data, out, "seeds=[1, 2]", "n_mels=16", "ensemble=zmean", workers="1")
    both = [errors_of(f"{out}/outputs"), errors_of(f"{out}/outputs/seed_2")]
    ours = errors_of(f"{out}/outputs/zmean")
    check(sorted(ours) == sorted(both[0]), "other clips than the systems have")
    # Within a machine it is a linear function of both scores: three clips give it, others prove it.
    for machine in MACHINES:
        names = sorted(name for name in ours if name[0] == machine)
        points = [(both[0][name], both[1][name], ours[name]) for name in names]
        (x0, y0, z0) = points[0]
        shifted = [(x - x0, y - y0, z - z0) for x, y, z in points[1:]]
        (a, b, c), (d, e, f) = max(
            ((p, q) for p in shifted for q in shifted), key=lambda pair: abs(
                pair[0][0] * pair[1][1] - pair[0][1] * pair[1][0]))
        area = a * e - b * d
        slopes = ((c * e - b * f) / area, (a * f - c * d) / area)
        check(slopes[0] > 0 and slopes[1] > 0, f"{machine}: {slopes}")
        for x, y, z in shifted:
            check(abs(slopes[0] * x + slopes[1] * y - z) < 1e-6 * max(1, abs(z)), f"{machine}: {z}")
    _, rows = read_csv(f"{out}/outputs/systems.csv")
    check([row["setting"] for row in rows] == ["MSE", "zmean"], str(rows))
    run_tiny(data, f"{folder}/again", "seeds=[1, 2]", "n_mels=16", "ensemble=zmean", workers="3")
    check_same_results(out, f"{folder}/again")
    check(not trained(set_more(out, "ensemble=none")), "an ensemble less trained something")
    check(not os.path.exists(f"{out}/outputs/zmean"), "the ensemble that is no more is still there")


def test_a_value_added_to_a_finished_run_computes_what_is_new_and_nothing_else(folder):
    data, out = make_data(f"{folder}/data", MACHINES), f"{folder}/run"
    run_tiny(data, out, "n_mels=32", "seed=1")
    # As an axis, then a value of it, then another axis: each time the old models are where they are.
    steps = (("matrix={n_mels: [32, 64]}", {"n_mels_64"}),
             ("matrix={n_mels: [32, 64, 16]}", {"n_mels_16"}),
             ("seeds=[1, 2]", {f"n_mels_{n}_seed_2" for n in (16, 32, 64)}))
    for setting, names in steps:
        before = results_of(out)
        added = set_more(out, setting)
        expected = {f"{machine}_{name}" for machine in MACHINES for name in names}
        check(trained(added) == expected, f"{setting}: trained {trained(added)}")
        for machine in MACHINES:
            path = f"data/{machine}/autoencoder_model.bin"
            check(results_of(out)[path] == before[path], f"{path} has other bytes")
    run_tiny(data, f"{folder}/all", "matrix={n_mels: [32, 64, 16], seed: [1, 2]}", workers="3")
    check_same_results(out, f"{folder}/all")
    times = times_of(out)
    check(not trained(set_more(out)), "a finished run trained")
    check(times_of(out) == times, "a finished run wrote results again")
    cleaned = auscult("clean", out)
    check("data/" not in cleaned.out, f"something in use was cleaned away: {cleaned}")
    check(not trained(set_more(out)), "what was cleaned away is trained again")


def test_a_value_taken_out_of_a_run_is_refused(folder):
    data, out = make_data(f"{folder}/data", MACHINES[:1]), f"{folder}/run"
    run_tiny(data, out, "matrix={n_mels: [32, 64]}")
    before = results_of(out)
    refused = auscult("run", "--out", out, "--set", "matrix={n_mels: [32, 16]}", expect=2)
    check_has(refused.err, "n_mels_64 is not wanted any more", "--update")
    check("n_mels_32" not in refused.err, f"more is refused than is touched: {refused}")
    check(results_of(out) == before, "a refused run changed results")
    auscult("run", "--out", out, "--set", "matrix={n_mels: [32, 16]}", "--update", "--local", "2")
    run_tiny(data, f"{folder}/anew", "matrix={n_mels: [32, 16]}")
    anew = results_of(f"{folder}/anew")
    for path, content in results_of(out).items():
        if path.startswith("outputs/"):
            check(anew.get(path) == content, f"{path} is another one anew")


main(globals())
