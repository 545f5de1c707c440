#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may connect on tcp: workers whose key is listed, for as long as it is, and nobody else."""

import os
import re
import signal
import stat
import time

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
    wait_for_endpoint,
    wait_until,
)

ENDLESS = ["--set", "epochs=100000", "--set", "batch_size=32"]


def reference(folder):
    data = make_data(f"{folder}/data", ("fan", "pump"))
    auscult("run", "--data", data, "--out", f"{folder}/reference", "--local", "2", *TINY)
    return data


def start(folder, *options, settings=TINY):
    coordinator = Process(AUSCULT, "run", "-v", "--data", f"{folder}/data", "--out", f"{folder}/run",
                          "--bind", "tcp://127.0.0.1:0", *settings, *options)
    return coordinator, wait_for_endpoint(coordinator, f"{folder}/run")


def wait_for(process, pattern, seconds=30):
    def look():
        process.check_running()
        return re.search(pattern, process.said()[1])

    return wait_until(look, pattern, seconds)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_run_with_keys_stops_as_any_other(folder):
    """No thread of the coordinator's but its loop takes signals: it says that it waits, and for what."""
    make_data(f"{folder}/data", ("fan",))
    coordinator, _ = start(folder, settings=ENDLESS)
    worker = Process(WORKER, "--run", f"{folder}/run")
    wait_for(coordinator, "epochs")
    coordinator.signal(signal.SIGTERM)
    result = coordinator.wait(30)
    check(result.code == 75, str(result))
    check_has(result.err, "when what is under work has ended", "stopped; to continue")
    worker.signal(signal.SIGTERM)
    check(worker.wait(30).code == 0, "the worker did not leave")


def test_keygen_makes_keys_that_only_their_owner_may_read_and_never_over_others(folder):
    keys = f"{folder}/keys"
    check(auscult("keygen", keys).out == f"{keys}/worker.key\n", "it does not say which")
    check(mode_of(keys) == 0o700, oct(mode_of(keys)))
    before = {}
    for name in ("coordinator.key", "worker.key", "workers"):
        check(mode_of(f"{keys}/{name}") == 0o600, f"{name}: {oct(mode_of(f'{keys}/{name}'))}")
        with open(f"{keys}/{name}", encoding="utf-8") as file:
            before[name] = file.read()
    check_has(auscult("keygen", keys, expect=3).err, "coordinator.key is there already")
    auscult("keygen", keys, "--worker", "press-7")
    check_has(auscult("keygen", keys, "--worker", "press-7", expect=3).err, "press-7.key")
    for bad in ("", "../x", "-x", "a b", "coordinator", "x" * 64):
        check_has(auscult("keygen", keys, "--worker", bad, expect=2).err, "no name for a worker")
    for name, text in before.items():
        with open(f"{keys}/{name}", encoding="utf-8") as file:
            now = file.read()
        check(now.startswith(text) and (name == "workers") == (now != text), f"{name} has changed")


def secrets_in(folder):
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".key"):
                with open(f"{where}/{name}", encoding="utf-8") as file:
                    found += re.findall(r"^secret: (\S+)$", file.read(), re.M)
    return found


def check_secret(folder, texts):
    """That no secret key stands in what was said, or in any file but the keys' own."""
    secrets = [secret.encode() for secret in secrets_in(folder)]
    check(len(secrets) >= 2, "where are the keys?")
    for where, _, names in os.walk(folder):
        for name in names:
            with open(f"{where}/{name}", "rb") as file:
                content = file.read()
            check(name.endswith(".key") or not any(s in content for s in secrets),
                  f"{where}/{name} has a secret key")
    for text in texts:
        check(not any(s.decode() in text for s in secrets), "a secret key was printed")


def test_a_run_on_tcp_makes_its_keys_and_workers_of_its_folder_read_them(folder):
    reference(folder)
    early = Process(WORKER, "-v", "--run", f"{folder}/run")  # before there is a coordinator
    wait_for(early, "waiting for it")
    coordinator, _ = start(folder)
    result = coordinator.wait()
    check(result.code == 0, str(result))
    worker = early.wait(30)
    check(worker.code == 0, str(worker))
    check(mode_of(f"{folder}/run/keys") == 0o700, oct(mode_of(f"{folder}/run/keys")))
    check_secret(folder, [result.out, result.err, worker.out, worker.err])
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_workers_of_this_machine_are_given_the_keys(folder):
    reference(folder)
    coordinator, _ = start(folder, "--local", "2")
    check(coordinator.wait().code == 0, "it failed")
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_key_that_is_not_listed_and_none_at_all_are_not_let_in(folder):
    reference(folder)
    auscult("keygen", f"{folder}/others")
    keys = f"{folder}/keys"
    auscult("keygen", keys)
    auscult("keygen", keys, "--worker", "gone")
    with open(f"{keys}/workers", encoding="utf-8") as file:
        lines = [line for line in file if not line.endswith(" gone\n")]
    with open(f"{keys}/workers", "w", encoding="utf-8") as file:
        file.writelines(lines)
    coordinator, address = start(folder, "--keys", keys)
    strangers = [Process(WORKER, "--connect", address, "--give-up-after", "2", *options)
                 for options in ([], ["--keys", f"{folder}/others/worker.key"],
                                 ["--keys", f"{keys}/gone.key"])]
    for stranger in strangers:
        result = stranger.wait(60)
        check(result.code == 3, str(result))
        print(result.err.splitlines()[-1])
    check_has(strangers[2].said()[1], "does not admit this worker's key")
    check("joined" not in coordinator.said()[1], "somebody was let in")
    good = Process(WORKER, "--connect", address, "--keys", f"{keys}/worker.key")
    check(coordinator.wait().code == 0 and good.wait(30).code == 0, "it failed")
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_worker_with_keys_finds_no_coordinator_without(folder):
    reference(folder)
    auscult("keygen", f"{folder}/keys")
    coordinator, address = start(folder, "--insecure")
    check_has(coordinator.said()[1], "tcp without keys")
    locked = Process(WORKER, "--connect", address, "--give-up-after", "4", "--keys",
                     f"{folder}/keys/worker.key")
    # Long before it gives up, which is after a minute by default.
    wait_for(locked, f"no coordinator at {address}: .*does not speak as this worker does.*; trying for 4 s")
    result = locked.wait(60)
    check(result.code == 3, str(result))
    plain = Process(WORKER, "--connect", address)
    check(coordinator.wait().code == 0 and plain.wait(30).code == 0, "it failed")
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_who_is_struck_off_the_list_is_out_at_once_and_the_others_go_on(folder):
    make_data(f"{folder}/data", ("fan", "pump"))
    keys = f"{folder}/keys"
    auscult("keygen", keys)
    auscult("keygen", keys, "--worker", "bad")
    coordinator, address = start(folder, "--keys", keys, settings=ENDLESS)
    bad = Process(WORKER, "-v", "--connect", address, "--keys", f"{keys}/bad.key")
    wait_for(bad, "training: epochs")
    good = Process(WORKER, "-v", "--connect", address, "--keys", f"{keys}/worker.key")
    wait_for(good, "training: epochs")
    with open(f"{keys}/workers", "a", encoding="utf-8") as file:
        file.write("half a line")  # is complained of, and changes nothing
    wait_for(coordinator, "workers:4: no key of 40 characters: the workers that were admitted")
    bad.check_running()
    with open(f"{keys}/workers", encoding="utf-8") as file:
        lines = [line for line in file if " bad" not in line and line != "half a line"]
    with open(f"{keys}/workers", "w", encoding="utf-8") as file:
        file.writelines(lines)
    wait_for(coordinator, f"worker left: [^ ]*:{bad.process.pid}: ")
    result = bad.wait(30)
    check(result.code == 4, str(result))
    check_has(result.err, "key is not admitted any more")
    again = Process(WORKER, "--connect", address, "--give-up-after", "1", "--keys", f"{keys}/bad.key")
    check(again.wait(30).code == 3, "it was let in again")
    good.check_running()
    check(f":{good.process.pid}: " not in coordinator.said()[1].split("worker left")[-1], "and the good one?")
    coordinator.signal(15)
    check(coordinator.wait(30).code == 75, "it did not stop")
    good.signal(15)
    good.wait(30)


def test_a_list_that_is_being_edited_shuts_nobody_out(folder):
    """A shell, or an editor, empties the list before it writes it."""
    make_data(f"{folder}/data", ("fan", "pump"))
    keys = f"{folder}/keys"
    auscult("keygen", keys)
    with open(f"{keys}/workers", encoding="utf-8") as file:
        text = file.read()
    coordinator, address = start(folder, "--keys", keys, settings=ENDLESS)
    worker = Process(WORKER, "-v", "--connect", address, "--keys", f"{keys}/worker.key")
    wait_for(worker, "training: epochs")
    end = time.monotonic() + 5  # more than its looks are apart, many times
    while time.monotonic() < end:
        with open(f"{keys}/workers", "w", encoding="utf-8") as file:
            time.sleep(0.2)
            file.write(text)
        time.sleep(0.05)
    worker.check_running()
    check("worker left" not in coordinator.said()[1], coordinator.said()[1])
    open(f"{keys}/workers", "w", encoding="utf-8").close()  # and now it is meant
    wait_for(coordinator, "worker left")
    result = worker.wait(30)
    check(result.code == 4, str(result))
    coordinator.signal(15)
    check(coordinator.wait(30).code == 75, "it did not stop")


def test_a_worker_of_the_folder_goes_by_what_the_coordinator_says_there(folder):
    reference(folder)
    auscult("keygen", f"{folder}/keys")
    auscult("keygen", f"{folder}/run/keys")  # of an earlier day
    coordinator, _ = start(folder, "--keys", f"{folder}/keys")
    with open(f"{folder}/run/endpoint", encoding="utf-8") as file:
        lines = file.read().splitlines()
    check(len(lines) == 2 and re.fullmatch("coordinator: [^ ]{40}", lines[1]), str(lines))
    wrong = Process(WORKER, "--run", f"{folder}/run").wait(30)
    check(wrong.code == 3, str(wrong))
    check_has(wrong.err, "run/keys/worker.key is for another coordinator", "--keys FILE")
    right = Process(WORKER, "--run", f"{folder}/run", "--keys", f"{folder}/keys/worker.key")
    check(coordinator.wait().code == 0 and right.wait(30).code == 0, "it failed")
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_keys_of_the_folder_are_left_alone_where_the_coordinator_has_none(folder):
    reference(folder)
    auscult("keygen", f"{folder}/run/keys")
    coordinator, _ = start(folder, "--insecure")
    worker = Process(WORKER, "--run", f"{folder}/run")
    check(coordinator.wait().code == 0 and worker.wait(30).code == 0, "it failed")
    check_same_results(f"{folder}/run", f"{folder}/reference")


def test_a_worker_whose_coordinator_comes_back_with_other_keys_says_so_and_leaves(folder):
    make_data(f"{folder}/data", ("fan", "pump"))
    coordinator, _ = start(folder, settings=ENDLESS)
    worker = Process(WORKER, "-v", "--run", f"{folder}/run")
    wait_for(worker, "training: epochs")
    coordinator.signal(9)
    coordinator.wait(30)
    os.rename(f"{folder}/run/keys", f"{folder}/old")
    os.remove(f"{folder}/run/endpoint")
    coordinator, _ = start(folder, settings=ENDLESS)
    result = worker.wait(60)
    check(result.code == 3, str(result))
    check_has(result.err, "has other keys than before: start this worker again")
    coordinator.signal(15)
    check(coordinator.wait(30).code == 75, "it did not stop")


def test_where_no_name_resolves_the_endpoint_is_an_address_of_an_interface(folder):
    probe = ["unshare", "--uts", "--net", "sh", "-c",
             "hostname nowhere.invalid && ip link set lo up && ip link add d0 type bridge && "
             "ip addr add 10.9.8.7/24 dev d0 && ip link set d0 up && exec \"$@\"", "sh"]
    if Process(*probe, "true").wait(30).code != 0:
        raise Skip("no network namespaces here, or no root, unshare or ip")
    make_data(f"{folder}/data", ("fan",))
    for bind, expected in (("*", "10.9.8.7"), ("0.0.0.0", "10.9.8.7"), ("d0", "10.9.8.7"), ("lo", "127.0.0.1")):
        out = f"{folder}/run-{expected}-{len(bind)}"
        coordinator = Process(*probe, AUSCULT, "run", "--data", f"{folder}/data", "--out", out, "--bind",
                              f"tcp://{bind}:0", *TINY)
        address = wait_for_endpoint(coordinator, out)
        check(address.startswith(f"tcp://{expected}:"), f"{bind}: {address}")
        coordinator.signal(15)
        check(coordinator.wait(30).code == 75, "it did not stop")


def test_bad_keys_are_named(folder):
    make_data(f"{folder}/data", ("fan",))
    keys = f"{folder}/keys"
    run = ["run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--bind",
           "tcp://127.0.0.1:0", *TINY]
    check_has(auscult(*run, "--keys", f"{folder}/absent", expect=3).err, "absent")
    check_has(auscult(*run, "--keys", keys, "--insecure", expect=2).err, "contradict")
    check_has(auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--keys", keys,
                      expect=2).err, "--bind tcp")
    auscult("keygen", keys)
    path = f"{keys}/coordinator.key"
    os.chmod(path, 0o644)
    check_has(auscult(*run, "--keys", keys, expect=3).err, path, "chmod 600")
    os.chmod(path, 0o600)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for damage, part in ((text.replace("secret", "Secret"), f"{path}:3"),
                         (text[:-5] + "\n", f"{path}:3"), (text + text, f"{path}:5"),
                         ("", "public: KEY")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(damage)
        error = auscult(*run, "--keys", keys, expect=3).err
        check_has(error, part)
        check(not any(s in error for s in secrets_in(folder)), "a secret key was printed")


main(globals())
