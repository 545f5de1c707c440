#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers come, go, hang and are refused; coordinators come back. What is checked of times is their
order of magnitude: the figures are the benchmark's."""

import os
import re
import resource
import selectors
import shutil
import signal
import threading
import time
import urllib.parse

import zmtp
from harness import (
    AUSCULT,
    TINY,
    WORKER,
    Process,
    Skip,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    true_hello,
    wait_for_endpoint,
    wait_until,
    workers_of,
)

# Trains for longer than any test needs; the run is stopped before.
LONG = ["--set", "epochs=100000", "--set", "batch_size=32"]


def start(folder, *options, settings=LONG):
    data = f"{folder}/data"
    if not os.path.exists(data):
        make_data(data, ("fan",))
    return Process(AUSCULT, "run", "-v", "--data", data, "--out", f"{folder}/run", *settings, *options)


def start_on_tcp(folder, **options):
    return start(folder, "--bind", "tcp://127.0.0.1:0", "--insecure", **options)


def start_worker(folder, coordinator, *options):
    address = wait_for_endpoint(coordinator, f"{folder}/run")
    return Process(WORKER, "-v", "--connect", address, *options)


def wait_for_text(process, pattern, count=1, seconds=60):
    """Until what the process says has `count` places that match; returns these."""

    def look():
        process.check_running()
        found = re.findall(pattern, process.said()[1])
        return found if len(found) >= count else None

    return wait_until(look, f"{pattern} {count} times", seconds)


def wait_for_training(worker):
    return wait_for_text(worker, r"training: epochs (\d+)\.(\d+) to (\d+)")


def stop(coordinator):
    coordinator.signal(signal.SIGTERM)
    result = coordinator.wait(30)
    check(result.code == 75, str(result))
    return result


def test_workers_find_a_coordinator_that_comes_back(folder):
    coordinator = start_on_tcp(folder)
    workers = [start_worker(folder, coordinator) for _ in range(2)]
    wait_for_text(coordinator, "worker .* joined", 2)
    for _ in range(2):
        address = wait_for_endpoint(coordinator, f"{folder}/run")
        coordinator.signal(signal.SIGKILL)
        coordinator.process.wait()
        coordinator = start_on_tcp(folder)
        wait_for_text(coordinator, "waiting for workers")
        began = time.monotonic()
        names = wait_for_text(coordinator, "worker (.*) joined", 2)
        took = time.monotonic() - began
        print(f"they were back after {took:.2f} s")
        check(took < 5, f"{took} s")
        check(len(set(names)) == 2, str(names))
        check(wait_for_endpoint(coordinator, f"{folder}/run") == address, "another address")
    for worker in workers:
        worker.check_running()
    stop(coordinator)
    for worker in workers:
        worker.signal(signal.SIGTERM)
        check(worker.wait(10).code == 0, "a worker that was asked to leave failed")


def test_a_worker_follows_the_endpoint_file_of_a_run(folder):
    """The port is another one when somebody has taken it meanwhile."""
    coordinator = start_on_tcp(folder)
    address = wait_for_endpoint(coordinator, f"{folder}/run")
    worker = Process(WORKER, "-v", "--run", f"{folder}/run")
    wait_for_text(coordinator, "worker .* joined")
    coordinator.signal(signal.SIGKILL)
    coordinator.process.wait()
    taker = Process(AUSCULT, "run", "--data", f"{folder}/data", "--out", f"{folder}/other", *LONG,
                    "--bind", address, "--insecure")
    check(wait_for_endpoint(taker, f"{folder}/other") == address, "the port was free")
    # It joins the wrong run: its bits are good there too. Once that is over, it looks again.
    coordinator = start_on_tcp(folder)
    wait_for_text(coordinator, "waiting for workers")
    check(wait_for_endpoint(coordinator, f"{folder}/run") != address, "two listen at one port")
    taker.signal(signal.SIGKILL)
    taker.process.wait()
    wait_for_text(coordinator, "worker .* joined")
    worker.check_running()
    stop(coordinator)
    worker.signal(signal.SIGTERM)
    check(worker.wait(10).code == 0, "a worker that was asked to leave failed")


def test_a_worker_that_leaves_hands_its_training_over(folder):
    settings = ["--set", "epochs=20", "--set", "batch_size=32"]
    coordinator = start_on_tcp(folder, settings=settings)
    first = start_worker(folder, coordinator)
    wait_for_training(first)
    first.signal(signal.SIGTERM)
    result = first.wait(30)
    check(result.code == 0, str(result))
    wait_for_text(coordinator, "worker left: .* asked to leave")
    last = [int(n) for n in re.findall(r"training: epochs (\d+)\.(\d+) to (\d+)", result.err)[-1]]
    second = start_worker(folder, coordinator)
    epoch, round_, _ = [int(n) for n in wait_for_training(second)[0]]
    print(f"from {last[0]}.{last[1]} to {last[2]} it came to {epoch}.{round_}")
    check((epoch, round_) > (last[0], last[1]), f"{last} begins again at {epoch}.{round_}")
    check(coordinator.wait().code == 0, "the run failed")
    check(second.wait(30).code == 0, "the second worker failed")
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/reference", "--local", "1", *settings)
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_member_that_leaves_ends_its_step_and_goes(folder):
    coordinator = start_on_tcp(folder, settings=[*LONG, "--set", "spread=always"])
    workers = [start_worker(folder, coordinator) for _ in range(2)]
    for worker in workers:
        wait_for_text(worker, "shards . to . of")
    workers[0].signal(signal.SIGINT)
    check(workers[0].wait(10).code == 0, "the member that was asked to leave failed")
    wait_for_text(workers[1], "shards 0 to 3 of 4")  # goes on alone
    stop(coordinator)
    workers[1].signal(signal.SIGTERM)
    check(workers[1].wait(10).code == 0, "the other member failed")


def test_a_worker_with_wrong_data_ends_no_run(folder):
    """Alone, it reads nothing; one that has other sound under the same names is no better. Then comes a good one."""
    settings = ["--set", "epochs=3", "--set", "batch_size=32"]
    pattern = r"worker (\S+) cannot use fan/train/\S+\.wav \(.*\), which can be read here"
    coordinator = start_on_tcp(folder, settings=settings)
    os.makedirs(f"{folder}/empty")
    blind = start_worker(folder, coordinator, "--data", f"{folder}/empty", "--no-fetch")
    name, = wait_for_text(coordinator, pattern)
    check(name.endswith(f":{blind.process.pid}"), name)
    wait_for_text(coordinator, "1 model waits for a worker that can read the data")
    status = auscult("status", f"{folder}/run")
    check_has(status.out, "1 model, for a worker that can read the data")
    stop(coordinator)  # and continued, it waits again
    coordinator = start_on_tcp(folder, settings=settings)
    wait_for_text(coordinator, pattern)
    make_data(f"{folder}/other", ("fan",), seed=7)
    other = start_worker(folder, coordinator, "--data", f"{folder}/other", "--no-fetch")
    names = wait_for_text(coordinator, pattern, 2)
    check(names[1].endswith(f":{other.process.pid}"), str(names))
    good = start_worker(folder, coordinator)
    result = coordinator.wait()
    check(result.code == 0, str(result))
    check(len(re.findall(pattern, result.err)) == 2, f"a worker is named twice: {result}")
    for worker in (blind, other, good):
        check(worker.wait(30).code == 0, "a worker failed")
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/reference", "--local", "1", *settings)
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_worker_whose_folder_is_another_data_set_is_sent_away(folder):
    """Clips of all years have the same size: it would be believed, coming first, whatever came after."""
    settings = ["--set", "epochs=3", "--set", "batch_size=32"]
    coordinator = start_on_tcp(folder, settings=settings)
    make_data(f"{folder}/other", ("fan",), seed=7)
    other = start_worker(folder, coordinator, "--data", f"{folder}/other").wait(30)
    check(other.code == 3, str(other))
    check_has(other.err, "fan/t", "holds other bytes at the worker than at the coordinator",
              "is the worker's data folder (--data) another data set's?")
    good = start_worker(folder, coordinator)
    result = coordinator.wait()
    check(result.code == 0 and good.wait(30).code == 0, str(result))
    check_has(result.err, f":{good.process.pid} joined")
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/reference", "--local", "1", *settings)
    check_same_results(f"{folder}/run", f"{folder}/reference")


def noticed(coordinator, process_id, number):
    """Seconds from a signal to a worker until the coordinator says that it has left."""
    began = time.monotonic()
    os.kill(process_id, number)
    wait_for_text(coordinator, f"worker left: [^ ]*:{process_id}: ", seconds=20)
    return time.monotonic() - began


def check_noticed(coordinator, process_ids):
    killed = noticed(coordinator, process_ids[0], signal.SIGKILL)
    stopped = noticed(coordinator, process_ids[1], signal.SIGSTOP)
    print(f"killed: noticed after {killed:.3f} s, stopped: {stopped:.2f} s")
    check(killed < 1, f"killed: noticed after {killed} s")
    check(stopped < 10, f"stopped: noticed after {stopped} s")
    os.kill(process_ids[1], signal.SIGCONT)
    wait_for_text(coordinator, f"worker [^ ]*:{process_ids[1]} joined", 2)


def test_killed_and_stopped_workers_are_noticed_on_tcp(folder):
    coordinator = start_on_tcp(folder)
    workers = [start_worker(folder, coordinator) for _ in range(2)]
    wait_for_text(coordinator, "worker .* joined", 2)
    check_noticed(coordinator, [worker.process.pid for worker in workers])
    stop(coordinator)
    workers[1].signal(signal.SIGTERM)
    check(workers[1].wait(10).code == 0, "the worker that was stopped failed")


def test_killed_and_stopped_workers_are_noticed_on_ipc(folder):
    coordinator = start(folder, "--local", "2")
    wait_for_text(coordinator, "worker .* joined", 2)
    check_noticed(coordinator, workers_of(coordinator.process.pid))
    stop(coordinator)


def resident_kib(process):
    with open(f"/proc/{process.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))


def join(place, hello, selector):
    """A worker that never asks for work; the others get their signs of life meanwhile."""
    hello[4] = os.urandom(16)
    peer = zmtp.connect(*place)
    peer.send(*hello)
    answer = peer.receive()
    check(answer[0] == zmtp.WELCOME, str(answer))
    selector.register(peer.socket, selectors.EVENT_READ, peer)
    for key, _ in selector.select(0):
        key.data.serve()
    return peer


def test_a_thousand_workers_take_less_than_64_kib_each(folder):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < 4000:
        raise Skip(f"the system allows {most} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hello = true_hello()
    coordinator = start_on_tcp(folder, settings=TINY)
    address = urllib.parse.urlsplit(wait_for_endpoint(coordinator, f"{folder}/run"))
    place = (address.hostname, address.port)
    selector = selectors.DefaultSelector()
    peers = [join(place, hello, selector) for _ in range(20)]
    before = resident_kib(coordinator)
    peers += [join(place, hello, selector) for _ in range(1000)]
    each = (resident_kib(coordinator) - before) / 1000
    print(f"{each:.1f} KiB each")
    with open(AUSCULT, "rb") as file:
        is_checked = b"__asan_init" in file.read()
    check(each < 64 or is_checked, f"{each} KiB each")
    worker = start_worker(folder, coordinator)
    wait_for_text(coordinator, f"worker [^ ]*:{worker.process.pid} joined")
    for peer in peers:
        peer.close()
    check(coordinator.wait().code == 0, "the run failed")
    check(worker.wait(30).code == 0, "the worker failed")


def flood(place, messages, stopped):
    """As fast as they are taken, over and over; hung up on or not."""
    while not stopped.is_set():
        try:
            peer = zmtp.connect(*place)
            peer.socket.settimeout(1)
            for _ in range(20000):
                peer.send_bytes(messages)
            peer.close()
        except OSError:
            pass


def test_floods_harm_nobody(folder):
    """Of HELLOs that would be welcome, of such that are refused, of messages without a session."""
    hello = true_hello()
    coordinator = start_on_tcp(folder, settings=TINY)
    address = urllib.parse.urlsplit(wait_for_endpoint(coordinator, f"{folder}/run"))
    stopped = threading.Event()
    stranger = [*hello[:7], "abacus", *hello[8:]]
    threads = []
    for message in (hello, stranger, [zmtp.CREDIT, 1]):
        place = (address.hostname, address.port)
        threads.append(threading.Thread(target=flood, args=(place, zmtp.pack(message), stopped)))
        threads[-1].start()
    try:
        wait_for_text(coordinator, "a second HELLO")
        worker = start_worker(folder, coordinator)
        result = coordinator.wait()
        check(result.code == 0, str(result)[:3000])
        check(worker.wait(30).code == 0, "the worker failed")
        print(f"{len(result.err)} bytes were logged")
        check(len(result.err) < 4 << 20, "the log was flooded")
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/reference", "--local", "1", *TINY)
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_run_whose_only_local_worker_hangs_goes_on(folder):
    coordinator = start(folder, "--local", "1")
    wait_for_text(coordinator, "worker .* joined")
    worker = workers_of(coordinator.process.pid)[0]
    os.kill(worker, signal.SIGSTOP)
    wait_for_text(coordinator, "has had no session for long")
    wait_for_text(coordinator, "ended by signal 9")
    wait_for_text(coordinator, "worker .* joined", 2)
    check(worker not in workers_of(coordinator.process.pid), "it is still there")
    stop(coordinator)


def test_a_refused_local_worker_ends_the_run_with_its_reason(folder):
    """Beside the program lies a worker that cannot be what the run needs."""
    os.makedirs(f"{folder}/bin")
    shutil.copy(AUSCULT, f"{folder}/bin/auscult")
    with open(f"{folder}/bin/auscult-worker", "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec "{WORKER}" "$@" --kernel prescott\n')
    os.chmod(f"{folder}/bin/auscult-worker", 0o755)
    data = make_data(f"{folder}/data", ("fan",))
    run = ["run", "--data", data, "--out", f"{folder}/run", *TINY, "--local", "2"]
    result = Process(f"{folder}/bin/auscult", *run, "--set", "numerics=haswell").wait(30)
    check(result.code == 3, str(result))
    check_has(result.err, "refused", "prescott", "haswell")


main(globals())
