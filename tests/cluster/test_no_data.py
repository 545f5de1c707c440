#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that do not see the data get it from the coordinator, and nothing else that lies there."""

import contextlib
import os
import re
import shutil
import time
import urllib.parse

import zmtp
from harness import (
    AUSCULT,
    WORKER,
    Process,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    read_json,
    true_hello,
    wait_for_endpoint,
    wait_until,
)
from proxy import Link, Network, listening_ports

SETTINGS = ["--set", "epochs=3", "--set", "batch_size=32", "--set", "score=[MSE, MAHALA]"]
TRAIN, MACHINES = 12, ("fan", "pump")


def reference(folder):
    data = make_data(f"{folder}/data", MACHINES, train=TRAIN)
    auscult("run", "--data", data, "--out", f"{folder}/reference", "--local", "2", *SETTINGS)
    os.makedirs(f"{folder}/empty")
    return data


def start(folder, name="run", *options):
    coordinator = Process(AUSCULT, "run", "-v", "--data", f"{folder}/data", "--out",
                          f"{folder}/{name}", "--bind", "tcp://127.0.0.1:0", "--insecure",
                          *SETTINGS, *options)
    return coordinator, wait_for_endpoint(coordinator, f"{folder}/{name}")


def start_worker(folder, address, *options):
    return Process(WORKER, "--connect", address, "--data", f"{folder}/empty", *options)


def finish(folder, coordinator, workers, name="run"):
    """How many clips each worker was sent."""
    result = coordinator.wait()
    check(result.code == 0, str(result))
    sent = []
    for worker in workers:
        result = worker.wait(30)
        check(result.code == 0, str(result))
        found = re.search(r"(\d+) clips \(", result.err)
        sent.append(int(found.group(1)) if found else 0)
    check_same_results(f"{folder}/{name}", f"{folder}/reference")
    return sent


def clips_in(data):
    return sum(name.endswith(".wav") for _, _, names in os.walk(data) for name in names)


def test_workers_without_data_give_the_same_bytes(folder):
    data = reference(folder)
    coordinator, address = start(folder)
    workers = [start_worker(folder, address) for _ in range(3)]
    sent = finish(folder, coordinator, workers)
    print(f"sent: {sent} of {clips_in(data)} clips")
    check(sum(sent) >= clips_in(data), f"who read them then? {sent}")


def test_some_with_and_some_without_data(folder):
    data = reference(folder)
    coordinator, address = start(folder)
    workers = [start_worker(folder, address), Process(WORKER, "--connect", address)]
    sent = finish(folder, coordinator, workers)
    check(sent[1] == 0, f"a worker that has the data was sent {sent[1]} of {clips_in(data)} clips")


@contextlib.contextmanager
def slow_link(bytes_in_100_ms):
    network = Network()
    link = Link(network, "127.0.0.2")
    link.piece_bytes, link.delay_seconds = bytes_in_100_ms, 0.1
    try:
        yield link
    finally:
        link.close()
        network.close()


def test_a_clip_over_a_slow_wire_outlasts_its_lease(folder):
    """20 kB/s: a part takes 13 s, a lease is 10 s without progress."""
    data = make_data(f"{folder}/data", ("fan",), train=4, test=2, seconds=10)
    auscult("run", "--data", data, "--out", f"{folder}/reference", "--local", "2", *SETTINGS)
    os.makedirs(f"{folder}/empty")
    with slow_link(2048) as link:
        coordinator, address = start(folder)
        link.carry(listening_ports(coordinator.process.pid))
        worker = start_worker(folder, address.replace("127.0.0.1", link.host))

        def seconds_waited():
            coordinator.check_running()
            workers = read_json(f"{folder}/run/status.json")["worker_list"]
            return workers and workers[0]["done"] >= 14 and workers[0]

        waiting = wait_until(seconds_waited, "a fetch that takes longer than a lease")
        check(waiting["total"] == 0, f"not within its first clip any more: {waiting}")
        check("made no progress" not in coordinator.said()[1], coordinator.said()[1])
        link.mend()
        check(finish(folder, coordinator, [worker])[0] >= clips_in(data), "who read them then?")


def test_a_state_over_a_slow_wire_outlasts_its_lease(folder):
    """3.3 MB at 200 kB/s take 16 s, a lease is 10 s without progress."""
    data = make_data(f"{folder}/data", ("fan",), train=4, test=2)
    auscult("run", "--data", data, "--out", f"{folder}/reference", "--local", "2", *SETTINGS)
    with slow_link(20480) as link:
        coordinator, address = start(folder)
        link.carry(listening_ports(coordinator.process.pid))
        worker = Process(WORKER, "--connect", address.replace("127.0.0.1", link.host))
        began = time.monotonic()
        wait_until(lambda: "1 members" in coordinator.said()[1], "a first piece of training")
        check(time.monotonic() - began > 12, "the wire was not slow")
        link.mend()
        finish(folder, coordinator, [worker])
        check("made no progress" not in coordinator.said()[1], coordinator.said()[1])


def cache_bytes(folder):
    return sum(os.path.getsize(f"{folder}/{name}") for name in os.listdir(folder))


def test_a_cache_is_shared_kept_and_bounded(folder):
    data = reference(folder)
    cache = f"{folder}/cache"
    coordinator, address = start(folder, "first")
    workers = [start_worker(folder, address, "--cache", cache) for _ in range(2)]
    sent = finish(folder, coordinator, workers, "first")
    # Read once to be known; what is known by its contents is found again.
    check(sum(sent) == clips_in(data), f"{sent}, not {clips_in(data)} clips")
    all_bytes = cache_bytes(cache)
    most = all_bytes // 3
    coordinator, address = start(folder, "second")
    workers = [start_worker(folder, address, "--cache", cache, "--cache-bytes", str(most))]
    finish(folder, coordinator, workers, "second")
    check(0 < cache_bytes(cache) <= most, f"{cache_bytes(cache)} bytes are kept, {most} at most")


def high_water_kib(process):
    with open(f"/proc/{process.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1))


def test_eight_pulling_workers_cost_the_coordinator_little(folder):
    """Each has 1 MiB on its way at most, whatever there is to be sent."""
    os.makedirs(f"{folder}/empty")
    auscult("synth", "--out", f"{folder}/data", "--machines", "1", "--train", "60", "--test", "20",
            "--seconds", "60")
    coordinator = Process(AUSCULT, "extract", "--data", f"{folder}/data", "--out", f"{folder}/run",
                          "--bind", "tcp://127.0.0.1:0", "--insecure")
    address = wait_for_endpoint(coordinator, f"{folder}/run")
    before = high_water_kib(coordinator)
    highest = before
    workers = [start_worker(folder, address) for _ in range(8)]

    def ends():
        nonlocal highest
        if coordinator.is_running():
            try:
                highest = max(highest, high_water_kib(coordinator))
            except (OSError, AttributeError):  # it ends just now
                pass
        return not coordinator.is_running()

    wait_until(ends, "all is read")
    check(coordinator.wait().code == 0, "the coordinator failed")
    for worker in workers:
        worker.wait(30)
    total = sum(os.path.getsize(os.path.join(where, name))
                for where, _, names in os.walk(f"{folder}/data") for name in names)
    print(f"{total >> 20} MiB were sent; the coordinator grew from {before >> 10} to {highest >> 10} MiB")
    check(highest - before < 64 << 10, f"it grew by {(highest - before) >> 10} MiB")


def test_a_clip_that_is_gone_is_left_out_as_ever(folder):
    data = reference(folder)
    gone = next(os.path.join(where, name) for where, _, names in sorted(os.walk(data))
                for name in sorted(names) if name.endswith(".wav") and where.endswith("test"))
    for name, options in (("run", ["--local", "1"]), ("remote", None)):
        shutil.copytree(f"{folder}/data", f"{folder}/{name}-data")
        hole = gone.replace(f"{folder}/data", f"{folder}/{name}-data")
        os.remove(hole)
        os.symlink("nowhere", hole)
        command = [AUSCULT, "run", "--data", f"{folder}/{name}-data", "--out", f"{folder}/{name}",
                   *SETTINGS]
        if options:
            result = Process(*command, *options).wait()
        else:
            coordinator = Process(*command, "--bind", "tcp://127.0.0.1:0", "--insecure")
            worker = start_worker(folder, wait_for_endpoint(coordinator, f"{folder}/{name}"))
            result = coordinator.wait()
            worker.wait(30)
        check(result.code == 0, str(result))
    check_same_results(f"{folder}/run", f"{folder}/remote")


def attach(place, token, bulk_port, line):
    peer = zmtp.connect(place[0], bulk_port)
    peer.send(zmtp.ATTACH, token, line)
    while (answer := peer.receive())[0] == zmtp.ECHO:
        pass
    check(answer[0] == zmtp.ATTACHED, str(answer))
    return peer


def answer_of(peer):
    while (answer := peer.receive())[0] == zmtp.ECHO:
        pass
    return answer


def test_only_clips_of_the_run_are_sent(folder):
    reference(folder)
    hello = true_hello()
    coordinator, address = start(folder)
    url = urllib.parse.urlsplit(address)
    place = (url.hostname, url.port)
    control = zmtp.connect(*place)
    control.send(*hello)
    welcome = control.receive()
    check(welcome[0] == zmtp.WELCOME, str(welcome))
    clips = attach(place, welcome[2], welcome[4], 1)
    clips.send(zmtp.FETCH, os.urandom(16), 0)
    answer = answer_of(clips)
    check(answer[0] == zmtp.NOT_HERE, str(answer))
    check_has(answer[2], "no clip of this run")
    work = attach(place, welcome[2], welcome[4], 0)
    work.send(zmtp.FETCH, os.urandom(16), 0)
    answer = answer_of(work)
    check(answer[0] == zmtp.REFUSED, f"clips on the other connection: {answer}")
    clips.send(zmtp.GET, os.urandom(16))
    answer = answer_of(clips)
    check(answer[0] == zmtp.REFUSED, f"blobs on the clips' connection: {answer}")
    for peer in (control, clips, work):
        peer.close()
    finish(folder, coordinator, [start_worker(folder, address)])


main(globals())
