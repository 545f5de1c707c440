#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Results depend on data, configuration and seed alone: byte for byte the same whatever the
cluster. (Must show 4.)"""

import os
import socket

from harness import (
    AUSCULT,
    TINY,
    WORKER,
    Process,
    Skip,
    auscult,
    check,
    check_same_results,
    main,
    make_data,
    wait_for_endpoint,
)


def reference(folder, *options):
    """Three machines, trained by one worker."""
    data = make_data(f"{folder}/data", ("fan", "ToyCar", "valve"))
    out = f"{folder}/reference"
    auscult("run", "--data", data, "--out", out, "--local", "1", *TINY, *options)
    return data, out


# Must show 1 of the cluster: everything that may differ between two clusters. A few of them each
# day, all of them in a long run.
MATRIX = [(transport, workers, spread) for transport in ("ipc", "tcp") for workers in (1, 2, 3, 4, 7, 8)
          for spread in ("always", "never", "auto")]
SAMPLE = [("ipc", 3, "auto"), ("ipc", 2, "always"), ("ipc", 4, "always"), ("ipc", 3, "never"),
          ("tcp", 2, "auto"), ("tcp", 4, "always"), ("tcp", 7, "auto"), ("ipc", 8, "auto")]


def tcp_run(folder, data, host, name, workers, *options, command="run", threads=(1,)):
    """A coordinator on tcp, which chooses its port, and workers that find it in both ways; they
    must leave when the run ends."""
    out = f"{folder}/{name}"
    coordinator = Process(AUSCULT, command, "--data", data, "--out", out, *TINY,
                          "--bind", f"tcp://{host}:0", "--insecure", *options)
    address = wait_for_endpoint(coordinator, out)
    ways = [("--connect", address), ("--run", out)]
    started = [Process(WORKER, *ways[i % 2], "--threads", str(threads[i % len(threads)])) for i in range(workers)]
    result = coordinator.wait()
    check(result.code == 0, str(result))
    for worker in started:
        left = worker.wait(30)
        check(left.code == 0, str(left))
    return out


def test_any_cluster_gives_the_same_bytes(folder):
    data, expected = reference(folder)
    for transport, workers, spread in MATRIX if os.environ.get("AUSCULT_LONG") else SAMPLE:
        name = f"{transport}-{workers}-{spread}"
        setting = ["--set", f"spread={spread}"]
        if transport == "tcp":
            out = tcp_run(folder, data, "127.0.0.1", name, workers, *setting)
        else:
            out = f"{folder}/{name}"
            auscult("run", "--data", data, "--out", out, "--local", workers, *TINY, *setting)
        check_same_results(out, expected)


def test_any_number_of_threads_gives_the_same_bytes(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"))
    damaged = sorted(name for name in os.listdir(f"{data}/fan/train"))[5]
    with open(f"{data}/fan/train/{damaged}", "r+b") as file:
        file.truncate(3000)
    options = ["--set", "score=MAHALA", "--set", "threshold=gamma_batch"]
    auscult("run", "--data", data, "--out", f"{folder}/one", "--local", "1", *TINY, *options)
    auscult("eda", "--data", data, "--out", f"{folder}/eda-one", "--local", "1", *TINY)
    for name, workers, threads, spread in (("alone", 1, (3,), "auto"), ("together", 2, (2, 5), "always"),
                                           ("many", 1, (16,), "auto")):
        out = tcp_run(folder, data, "127.0.0.1", name, workers, *options, "--set", f"spread={spread}",
                      threads=threads)
        check_same_results(out, f"{folder}/one")
    check_same_results(tcp_run(folder, data, "127.0.0.1", "eda", 1, command="eda", threads=(3,)),
                       f"{folder}/eda-one")


# Scores of each kind, thresholds and covariances: all that is gathered over workers beside the
# training itself.
KINDS = [["score=MAHALA", "threshold=gamma_batch", "compat=true"], ["score=MAHALA", "mahala=paper"],
         ["score=CLIPMAHALA", "model_per=section"]]


def test_every_kind_of_score_has_the_same_bytes(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"))
    for k, kind in enumerate(KINDS):
        options = [word for setting in kind for word in ("--set", setting)]
        auscult("run", "--data", data, "--out", f"{folder}/{k}-1", "--local", "1", *TINY, *options)
        for workers in (2, 3, 7) if os.environ.get("AUSCULT_LONG") or k == 0 else (3,):
            out = f"{folder}/{k}-{workers}"
            auscult("run", "--data", data, "--out", out, "--local", workers, *TINY, *options)
            check_same_results(out, f"{folder}/{k}-1")


def test_a_cluster_over_ipv6_gives_the_same_bytes(folder):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as why:
        raise Skip(f"no IPv6 here: {why}") from None
    data, expected = reference(folder)
    check_same_results(tcp_run(folder, data, "[::1]", "ipv6", 2), expected)


def test_the_order_and_the_place_of_data_roots_do_not_matter(folder):
    one = make_data(f"{folder}/one", ("fan",))
    other = make_data(f"{folder}/elsewhere/other", ("ToyCar",))
    auscult("run", "--data", one, "--data", other, "--out", f"{folder}/a", "--local", "2", *TINY)
    os.rename(one, f"{folder}/moved")
    auscult("run", "--data", other, "--data", f"{folder}/moved", "--out", f"{folder}/b",
            "--local", "2", *TINY)
    check_same_results(f"{folder}/b", f"{folder}/a")


def test_stages_one_by_one_give_the_same_bytes(folder):
    data, expected = reference(folder)
    out = f"{folder}/stages"
    for stage in ("extract", "train", "score", "report"):
        auscult(stage, "--data", data, "--out", out, "--local", "2", *TINY)
    check_same_results(out, expected)


def test_another_seed_gives_other_models(folder):
    data, expected = reference(folder)
    out = f"{folder}/other"
    auscult("run", "--data", data, "--out", out, "--local", "2", *TINY, "--set", "seed=4711")
    try:
        check_same_results(out, expected)
    except Exception:
        return
    check(False, "two seeds gave the same bytes: this test would not notice a difference")


main(globals())
