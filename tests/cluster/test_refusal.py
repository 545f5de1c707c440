#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Strangers at the door: workers of another version, kernel or fingerprint, nonsense, and a
coordinator that refuses. Both sides print why, and the run goes on."""

import os
import urllib.parse

import zmtp
from harness import (
    AUSCULT,
    TINY,
    WORKER,
    Process,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    wait_for_endpoint,
)


def start_coordinator(folder):
    """A coordinator on tcp that waits for workers, and where it listens."""
    data = make_data(f"{folder}/data", ("fan",))
    out = f"{folder}/run"
    process = Process(AUSCULT, "run", "-v", "--data", data, "--out", out, *TINY, "--bind",
                      "tcp://127.0.0.1:0", "--insecure")
    address = wait_for_endpoint(process, out)
    url = urllib.parse.urlsplit(address)
    return process, data, out, address, (url.hostname, url.port)


def hello(least=1, most=1, kernel="haswell", fingerprint=b"f" * 16, name="stranger"):
    return [zmtp.HELLO, least, most, "auscult-worker", os.urandom(16), name, 1, kernel, fingerprint,
            "none"]


def finish(process, data, out, address, folder):
    """With a true worker the run must end as one that nobody disturbed."""
    worker = Process(WORKER, "--connect", address)
    result = process.wait()
    check(result.code == 0, str(result))
    check(worker.wait(30).code == 0, "the worker failed")
    expected = f"{folder}/reference"
    auscult("run", "--data", data, "--out", expected, "--local", "1", *TINY)
    check_same_results(out, expected)
    return result


def refusal(place, message):
    peer = zmtp.connect(*place)
    peer.send(*message)
    answer = peer.receive()
    peer.close()
    check(answer[0] == zmtp.REFUSED, f"not refused: {answer}")
    return answer[1], answer[2]


def test_workers_that_would_give_other_results_are_refused(folder):
    process, data, out, address, place = start_coordinator(folder)
    code, text = refusal(place, hello(least=7, most=9))
    check(code == 1, f"{code}: {text}")
    check_has(text, "7", "9")
    code, text = refusal(place, hello(kernel="abacus", name="other-kernel"))
    check(code == 2, f"{code}: {text}")
    check_has(text, "abacus")
    kernel = text.rsplit("'", 2)[1]
    code, text = refusal(place, hello(kernel=kernel, name="other-bits"))
    check(code == 3, f"{code}: {text}")
    result = finish(process, data, out, address, folder)
    with open(f"{out}/logs/coordinator.log", encoding="utf-8") as file:
        check_has(result.err + file.read(), "protocol 7 to 9", "other-kernel", "other-bits")


def test_nonsense_on_the_port_harms_nobody(folder):
    process, data, out, address, place = start_coordinator(folder)
    nonsense = [
        b"",
        b"\xc1",
        os.urandom(300),
        zmtp.pack([zmtp.HELLO]),
        zmtp.pack(hello())[:-3],
        zmtp.pack(hello()) + b"\x00",
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion elements
        b"\xc6\xff\xff\xff\xff",  # a binary of 4 GiB
        b"\x91" * 5000,  # depth
        zmtp.pack([99, 1, 2]),
        zmtp.pack([zmtp.WELCOME, 1, b"t" * 16, b"r" * 16, 0, 1000, []]),
        bytes(2 << 20),  # larger than any message may be
    ]
    for data_bytes in nonsense:
        peer = zmtp.connect(*place)
        try:
            peer.send_bytes(data_bytes)
            answer = peer.receive()
            check(answer[0] == zmtp.REFUSED, f"{data_bytes[:20]!r}: {answer}")
        except (ConnectionError, BrokenPipeError):
            pass  # hanging up is an answer too
        peer.close()
    check(process.is_running(), "the coordinator is gone")
    finish(process, data, out, address, folder)


def test_a_stranger_without_a_session_gets_no_work(folder):
    process, data, out, address, place = start_coordinator(folder)
    peer = zmtp.connect(*place)
    peer.send(zmtp.CREDIT, 8)
    answer = peer.receive()
    check(answer[:2] == [zmtp.REFUSED, 7], str(answer))
    peer.close()
    finish(process, data, out, address, folder)


def test_a_refused_worker_prints_why_and_leaves(folder):
    server = zmtp.listen()
    port = server.getsockname()[1]
    worker = Process(WORKER, "--connect", f"tcp://127.0.0.1:{port}")
    connection, _ = server.accept()
    peer = zmtp.Peer(connection, "ROUTER")
    message = peer.receive()
    check(message[0] == zmtp.HELLO, str(message))
    check(message[1] <= message[2], str(message))
    peer.send(zmtp.REFUSED, 1, "it speaks protocol 1 to 1, this coordinator 7 to 9")
    result = worker.wait(30)
    check(result.code == 4, str(result))
    check_has(result.err, "7 to 9")
    peer.close()
    server.close()


main(globals())
