#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who looks on: the live page and what stands beside it, `auscult status --watch`, the cluster's
story. None of it may disturb a run, whatever is sent to it."""

import json
import os
import random
import select
import signal
import socket
import time
import urllib.parse

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
    read_json,
    results_of,
    wait_for_endpoint,
    wait_until,
)
from http_page import Page, ask, url_of_run

ALONE = ["--bind", "tcp://127.0.0.1:0", "--insecure"]
REQUESTS = 10000
SEED = int(os.environ.get("AUSCULT_TEST_SEED", "20261123"))


def status_of(out):
    return read_json(f"{out}/status.json")


def begin(folder, out, *options):
    """A coordinator with a live page and nobody to work for it yet; and the page's address."""
    # The address sanitizer keeps what was freed, which would pass for growth.
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    coordinator = Process(AUSCULT, "run", "--data", f"{folder}/data", "--out", out, *TINY, *ALONE,
                          "--http", "127.0.0.1:0", *options, env={"ASAN_OPTIONS": sanitizer})
    return coordinator, url_of_run(coordinator, out)


def add_worker(coordinator, out):
    return Process(WORKER, "--connect", wait_for_endpoint(coordinator, out))


# ---- the page and what stands beside it ----


def check_headers(headers):
    check_has(headers["content-security-policy"], "default-src 'none'", "frame-ancestors 'none'")
    check(headers["cache-control"] == "no-store", headers)
    check(headers["x-content-type-options"] == "nosniff", headers)
    check("access-control-allow-origin" not in headers, headers)


def follow(url, *states):
    """Pages until one tells of the last of these states; all were told, and no other. The end is
    told before the server goes."""
    pages, seen = [], []

    def look():
        pages.append(ask(url)[2])
        state = Page(pages[-1]).state
        seen.extend([state] if seen[-1:] != [state] else [])
        return state == states[-1]

    wait_until(look, f"the page tells that the run is {states[-1]}")
    check(seen in (list(states), list(states[1:])), seen)
    return pages[-1]


def test_every_page_answers_while_a_run_waits(folder):
    make_data(f"{folder}/data")
    coordinator, url = begin(folder, f"{folder}/run")
    check(ask(url, "/healthz")[::2] == (200, "ok\n"), "not well")
    code, headers, text = ask(url)
    check(code == 200 and headers["content-type"] == "text/html; charset=utf-8", headers)
    check_headers(headers)
    page = Page(text)
    check(page.state == "running", page.state)
    check_has(text, "Nobody is connected", "0 of 40", "epochs trained")
    check(page.scripts == ["/live.js"], page.scripts)
    check(all(link.startswith(("/", "data:,")) for link in page.links), page.links)
    check_headers(ask(url, "/live.js")[1])
    check_has(ask(url, "/metrics")[1]["content-type"], "text/plain; version=0.0.4")
    check_has(ask(url, "/metrics")[2], 'auscult_run_state{state="running"} 1', "auscult_workers 0")
    status = json.loads(ask(url, "/status.json")[2])
    check(status["stage"] == "extract" and status["clips"] == 40 and status["http"] == url, status)
    check(ask(url, "/", "HEAD")[::2] == (200, ""), "HEAD has a body, or none")
    check(ask(url, "/nothing")[0] == 404, "there is nothing")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        code, headers, _ = ask(url, "/", method)
        check(code == 405 and headers["allow"] == "GET, HEAD", f"{method}: {code}")
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")


def test_the_page_follows_a_run_to_its_end(folder):
    make_data(f"{folder}/data")
    out = f"{folder}/run"
    coordinator, url = begin(folder, out, "--set", "epochs=100000")  # until it was seen at work
    worker = add_worker(coordinator, out)
    wait_until(lambda: "the training of " in ask(url)[2], "a worker is seen at work")
    status = json.loads(ask(url, "/status.json")[2])
    check(status["workers"] == 1 and len(status["worker_list"]) == 1, status)
    coordinator.signal(signal.SIGTERM)
    follow(url, "running", "stopped")
    check(coordinator.wait().code == 75, "it did not stop")
    worker.signal(signal.SIGTERM)
    worker.wait()

    coordinator, url = begin(folder, out, "--update")
    check_has(ask(url)[2], "since it was continued")
    worker = add_worker(coordinator, out)
    text = follow(url, "running", "done")
    check(coordinator.wait().code == 0, "the run failed")
    worker.wait()
    rows = Page(text).tables["models"]
    check([row[:2] for row in rows[1:]] == [["ToyCar", "done"], ["fan", "done"]], rows)
    check_has(text, "<b>clips scored</b> 40 of 40")
    status = json.loads(auscult("status", out, "--json").out)
    check(status["state"] == "done" and not status["is_alive"] and status["models_done"] == 2, status)
    check(status["tasks_done"] > 0 and status["worker_list"] == [], status)

    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/plain", *TINY)
    check_same_results(out, f"{folder}/plain")
    check(not any("cluster" in path for path in results_of(out)), "the story is no result")


def test_only_its_own_names_are_answered(folder):
    make_data(f"{folder}/data", ("fan",))
    coordinator, url = begin(folder, f"{folder}/run")
    port = urllib.parse.urlsplit(url).port
    for host, code in (("localhost", 200), (f"127.0.0.1:{port}", 200), ("[::1]", 200), ("localhost:1", 200),
                       ("evil.example", 421), (f"evil.example:{port}", 421), ("127.0.0.1.evil.example", 421),
                       ("10.0.0.1", 421), ("", 421)):
        for path in ("/", "/status.json", "/metrics", "/healthz", "/live.js"):
            found, headers, text = ask(url, path, headers={"Host": host})
            check(found == code, f"Host {host}: {found}")
            check(code == 200 or "fan" not in text, text)
            check_headers(headers)
    with socket.create_connection(("127.0.0.1", port)) as one:  # none, and two
        one.sendall(b"GET /status.json HTTP/1.0\r\n\r\n")
        check(b" 421 " in one.recv(4096), "no Host was answered")
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        check(b" 421 " in one.recv(4096), "two Hosts were answered")
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")


def test_an_address_that_cannot_be_is_usage(folder):
    make_data(f"{folder}/data", ("fan",))
    for address in ("8080", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:80"):
        result = auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--http", address, expect=2)
        check_has(result.err, "--http", address, "127.0.0.1:8080")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/run", "--http", address, expect=2)
        check_has(result.err, "cannot listen", "in use")


# ---- what is no request ----


def nonsense(rng, port):
    """One thing to send: bytes that are no request of ours."""
    host = f"Host: 127.0.0.1:{port}\r\n"
    word = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 60)))
    text = "".join(rng.choice("aZ0/%.?&=<>\"'\\{}") for _ in range(rng.randrange(1, 80)))
    return rng.choice([
        lambda: word,
        lambda: word * rng.randrange(1, 400),
        lambda: b"\x16\x03\x01\x02\x00" + word,  # somebody tries TLS
        lambda: b"\x00" * rng.randrange(1, 3000),
        lambda: f"{text} / HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET {text} HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET /%2e%2e/%00 HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET /{'a' * rng.randrange(1000, 40000)} HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET / HTTP/{rng.randrange(10)}.{rng.randrange(99)}\r\n{host}\r\n".encode(),
        lambda: f"GET / HTTP/1.1\r\n{host}X: {'b' * rng.randrange(1000, 40000)}\r\n\r\n".encode(),
        lambda: f"GET / HTTP/1.1\r\n{host}{'Y: c' + chr(13) + chr(10)}".encode() * rng.randrange(1, 300),
        lambda: f"GET / HTTP/1.1\r\nHost: {text}\r\n\r\n".encode(),
        lambda: b"GET / HTTP/1.1\r\nHost: " + word + b"\r\n\r\n",
        lambda: f"GET / HTTP/1.1\r\n{host}{host}\r\n".encode(),
        lambda: f"GET / HTTP/1.1\r\n{host}"[: rng.randrange(1, 30)].encode(),  # half of one
        lambda: f"POST / HTTP/1.1\r\n{host}Content-Length: {rng.randrange(1 << 40)}\r\n\r\n".encode() + word,
        lambda: f"GET / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n".encode(),
        lambda: f"GET / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
        lambda: f"PUT / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".encode() + word,
        lambda: f"GET / HTTP/1.1\r\n{host}\r\n".encode() * rng.randrange(2, 9),  # and does not read
        lambda: f"CONNECT evil.example:80 HTTP/1.1\r\n{host}\r\n".encode(),
        lambda: f"GET http://evil.example/ HTTP/1.1\r\n{host}\r\n".encode(),
    ])()


class Pest:
    """Sends nonsense, most at once, some drop by drop; keeps up to 40 connections that it has not
    hung up on."""

    def __init__(self, port, seed):
        self.port, self.rng, self.kept, self.sent = port, random.Random(seed), [], 0

    def send_one(self):
        self.sent += 1
        what = nonsense(self.rng, self.port)
        try:
            one = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            one.setblocking(False)
            manner = self.rng.random()
            if manner < 0.05:  # slowly: a part now, the rest is left owing
                one.send(what[: max(1, len(what) // 3)])
                self.kept.append(one)
            else:
                one.send(what)
                if manner < 0.4:
                    select.select([one], [], [], 0.002)
                if manner < 0.9:
                    one.close()
                else:
                    self.kept.append(one)
        except OSError:
            pass  # it hung up on us, as it should
        while len(self.kept) > 40:
            self.kept.pop(self.rng.randrange(len(self.kept))).close()

    def close(self):
        for one in self.kept:
            one.close()
        self.kept = []


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def test_ten_thousand_malformed_requests_leave_a_run_undisturbed(folder):
    make_data(f"{folder}/data")
    out = f"{folder}/run"
    longer = ["--set", "epochs=100"]
    coordinator, url = begin(folder, out, *longer)
    pest = Pest(urllib.parse.urlsplit(url).port, SEED)
    print(f"seed {SEED}; AUSCULT_TEST_SEED={SEED} {__file__} "
          "ten_thousand_malformed_requests_leave_a_run_undisturbed")
    for _ in range(500):
        pest.send_one()
    before_kb = memory_kb(coordinator.process.pid)
    gaps, last = [], status_of(out)["written_ms"]
    while pest.sent < REQUESTS:
        pest.send_one()
        if pest.sent % 50 == 0:
            now = status_of(out)["written_ms"]
            gaps.append(now - last)
            last = now
    check(coordinator.is_running(), f"it ended: {coordinator.said()}")
    check(max(gaps) < 3000, f"the loop said nothing for {max(gaps)} ms")
    grown_kb = memory_kb(coordinator.process.pid) - before_kb
    check(grown_kb < 32 * 1024, f"its memory grew by {grown_kb} KB")
    worker = add_worker(coordinator, out)
    while coordinator.is_running():
        pest.send_one()
    check(pest.sent > REQUESTS + 300, f"only {pest.sent - REQUESTS} were sent while it worked")
    pest.close()
    result = coordinator.wait()
    check(result.code == 0, result)
    check("malformed" not in result.err and "panic" not in result.err, result.err)
    status = status_of(out)
    check(status["state"] == "done" and status["retries"] + status["poison"] + status["alarms"] == 0, status)
    worker.wait()
    auscult("run", "--data", f"{folder}/data", "--out", f"{folder}/plain", *TINY, *longer)
    check_same_results(out, f"{folder}/plain")


def test_who_holds_every_connection_is_hung_up_on(folder):
    make_data(f"{folder}/data", ("fan",))
    coordinator, url = begin(folder, f"{folder}/run")
    port = urllib.parse.urlsplit(url).port
    held = []
    for _ in range(80):  # more than there may be
        one = socket.create_connection(("127.0.0.1", port), timeout=30)
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        held.append(one)
    last = status_of(f"{folder}/run")["written_ms"]
    wait_until(lambda: status_of(f"{folder}/run")["written_ms"] > last + 1500, "the loop goes on", 20)

    def answers():
        try:
            return ask(url, "/healthz")[0] == 200
        except OSError:
            return False

    wait_until(answers, "those who say nothing are hung up on", 60)
    for one in held:
        one.close()
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")


# ---- status --watch ----


def test_status_watches_a_run_to_its_end(folder):
    make_data(f"{folder}/data")
    out = f"{folder}/run"
    coordinator, url = begin(folder, out)
    check_has(auscult("status", out).out, f"running (extract), 0 workers, {url}")
    lines = Process(AUSCULT, "status", out, "--watch")
    objects = Process(AUSCULT, "status", out, "--watch", "--json")
    wait_until(lambda: lines.said()[0].count("\n") >= 2 and objects.said()[0].count("\n") >= 1, "it watches")
    worker = add_worker(coordinator, out)
    check(coordinator.wait().code == 0, "the run failed")
    worker.wait()
    said = lines.wait()
    check(said.code == 0, said)
    check(said.out.startswith("extract  0/40 clips, 0 workers\n"), said.out)
    check_has(said.out, f"\n{out}: done\n", "clips read      40 of 40", "on disk")
    said = objects.wait()
    whole, _, rest = said.out.rpartition("} \n{\n") if "} \n{\n" in said.out else said.out.rpartition("}\n{\n")
    for line in (whole + "}").splitlines():
        check(json.loads(line)["state"] == "running", line)
    check(json.loads("{\n" + rest)["state"] == "done", rest)
    check(auscult("status", out, "--watch").out.startswith(f"{out}: done\n"), "it is over at once")
    check_has(auscult("status", f"{folder}/nothing", "--watch", expect=3).err, "no run")


# ---- the cluster's story ----


def test_the_story_goes_over_stops_and_kills(folder):
    make_data(f"{folder}/data")
    out = f"{folder}/run"
    story = f"{out}/logs/cluster.json"
    coordinator, _ = begin(folder, out)
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")
    check([one["state"] for one in read_json(story)["incarnations"]] == ["stopped"], "it was stopped")
    check(os.path.exists(f"{out}/logs/cluster.html"), "also of a run that is stopped")

    coordinator = Process(AUSCULT, "run", "--out", out, *ALONE, "--set", "epochs=4000", "--update")
    worker = add_worker(coordinator, out)
    wait_until(lambda: any(w["tasks_done"] for w in read_json(story)["workers"]), "a worker is in the story")
    coordinator.signal(signal.SIGKILL)
    coordinator.wait()
    worker.signal(signal.SIGTERM)
    worker.wait()

    auscult("run", "--out", out, "--local", "2", "--set", "epochs=3", "--update")
    told = read_json(story)
    check([one["state"] for one in told["incarnations"]] == ["stopped", "killed", "done"], told)
    check([one["number"] for one in told["incarnations"]] == [1, 2, 3], told)
    check(told["incarnations"][1]["workers_most"] == 1, told)
    last = told["incarnations"][2]
    workers = [worker for worker in told["workers"] if worker["incarnation"] == 3]
    check(len(workers) == 2 and last["workers_most"] == 2, workers)
    check(sum(worker["tasks_done"] for worker in workers) >= last["tasks_done"] > 0, told)
    for worker in told["workers"]:
        check(worker["left_ms"] >= worker["joined_ms"], worker)
        check(0 <= worker["busy_seconds"] <= worker["here_seconds"] + 0.01, worker)
    stages = sum(last[f"{stage}_seconds"] for stage in ("extract", "train", "score", "report"))
    check(abs(stages - (last["ended_ms"] - last["began_ms"]) / 1000) < 0.5, last)
    check(last["report_seconds"] > 0 and last["clips_scored"] > 0, last)

    with open(f"{out}/logs/cluster.html", encoding="utf-8") as file:
        text = file.read()
    page = Page(text)
    check(page.scripts == [] and page.links == ["data:,"], page.links)
    check("http" not in text, "it asks somebody else")
    rows = page.tables["workers"][1:]
    check([(row[0], int(row[5])) for row in rows]
          == [(worker["name"], worker["tasks_done"]) for worker in told["workers"]], rows)
    rows = page.tables["incarnations"][1:]
    check([(row[3], int(row[6])) for row in rows]
          == [(one["state"], one["tasks_done"]) for one in told["incarnations"]], rows)


main(globals())
