#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs that everything happens to: programs killed, frozen and asked to leave, connections cut, held
and garbled, disks that fill and fail, all drawn from a seed. After each run: it ended, its files are
those of the undisturbed run, its journal holds every task once, and nothing is left behind.

    chaos.py [--runs N] [--seed S] [--minutes M]     runs of the seeds S, S + 1, ...

A failed run prints the command that repeats it. The draw is repeated exactly, the times at which
things happen as exactly as the machine allows."""

import argparse
import atexit
import dataclasses
import functools
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import harness
from harness import (
    AUSCULT,
    WORKER,
    Failure,
    Process,
    Result,
    auscult,
    check,
    check_same_results,
    end_marked,
    make_data,
    print_logs,
    wait_for_none,
    wait_until,
    workers_of,
)
from proxy import Cable, Link, Network, Wiring, listening_ports, why_no_wiring

FAULT_LIBRARY = os.path.join(os.path.dirname(harness.BIN), "tests", "fault.so")
SETTINGS = ["--set", "epochs=6", "--set", "batch_size=32"]
STAGES = ("start", "extract", "train", "score", "report")
STAGE_SECONDS = 1.5  # a stage that was not seen to begin for so long is over or was done before
END_SECONDS = 90  # for a run to end once nothing happens to it any more
# Exit codes of workers: one that is asked to leave before it looks for a coordinator ends by signal.
WORKER_ENDS = {0, -signal.SIGKILL, -signal.SIGTERM}
DISK_BYTES = 64 << 20  # of a run with a disk of its own
NO_SPACE = ("No space left", "disk is full", "MB free")


# ---- what is drawn ----


@dataclasses.dataclass
class Accident:
    stage: str  # once the run has got there,
    after: float  # and so many seconds later
    kind: str
    victim: float  # 0..1: which of the workers there are then
    lasts: float  # seconds, where it ends

    def __str__(self):
        return f"{self.stage} + {self.after:.3f} s: {self.kind} ({self.victim:.2f}, {self.lasts:.2f} s)"


@dataclasses.dataclass
class Draw:
    seed: int
    transport: str
    has_disk: bool  # of its own, which can fill
    workers: list  # at each start of the coordinator; the last stays
    spreads: list  # likewise
    faults: list  # of the disk, likewise; the last is None
    accidents: list


# What can happen, and how often.
ANYWHERE = {"kill worker": 4, "freeze worker": 3, "ask worker": 3, "kill coordinator": 6,
            "ask coordinator": 3, "freeze coordinator": 2}
REMOTE = {"join": 4}
OF_LINK = {"reset": 3, "hang up": 2, "truncate": 3, "hold": 4, "delay": 2, "refuse": 2, "pieces": 2}
OF_CABLE = {"hold": 4, "lose": 3}
OF_DISK = {"shrink": 8}
# A task whose workers died three times is poison, which nobody promises the same bits.
DEATHS_MOST = 2
DEATHS = ("kill worker", "freeze worker")


def kinds_of(transport, has_disk):
    kinds = dict(ANYWHERE)
    kinds.update({} if transport == "ipc" else REMOTE)
    kinds.update({"proxy": OF_LINK, "netns": OF_CABLE}.get(transport, {}))
    kinds.update(OF_DISK if has_disk else {})
    return kinds


def draw_run(seed):
    rng = random.Random(f"auscult chaos {seed}")
    transport = rng.choices(("ipc", "tcp", "proxy", "netns"), (4, 2, 4, 2))[0]
    has_disk = rng.random() < 0.15
    kinds = kinds_of(transport, has_disk)
    accidents, deaths = [], 0
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        deaths += kind in DEATHS
        if kind in DEATHS and deaths > DEATHS_MOST:
            continue
        stage = rng.choices(STAGES, (2, 3, 6, 3, 2))[0]
        longest = {"start": 0.4, "extract": 0.3, "train": 1.0, "score": 0.08, "report": 0.02}[stage]
        accidents.append(Accident(stage, rng.uniform(0, longest), kind, rng.random(),
                                  rng.choice((0.05, 0.5, 1.5, 4.0)) * rng.uniform(0.5, 1.2)))
    faults = []
    for _ in range(rng.choices((0, 1, 2), (6, 3, 1))[0]):
        faults.append(f"{rng.choice(('kill', 'kill', 'kill', 'full', 'sync'))} {rng.randint(1, 260)}")
    starts = 3 + len(faults)
    return Draw(
        seed,
        transport,
        has_disk,
        [rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 7, 8)) for _ in range(starts)],
        [rng.choice(("auto", "always", "always", "never")) for _ in range(starts)],
        faults + [None],
        accidents,
    )


# ---- what is there to be disturbed ----


@functools.cache
def reference():
    """Data with a broken clip among them, and the run that nobody disturbed."""
    folder = tempfile.mkdtemp(prefix="auscult-chaos-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=18)
    with open(f"{data}/fan/test/section_00_source_test_normal_0009_noAttribute.wav", "wb") as file:
        file.write(b"RIFF\x10\x00\x00\x00WAVEfmt ")
    out = f"{folder}/reference"
    auscult("run", "--data", data, "--out", out, "--local", "2", *SETTINGS)
    return data, out


@functools.cache
def no_wiring():
    return why_no_wiring()


@functools.cache
def no_disk():
    """Why no file system can be mounted here; '' when one can, and goes with this process."""
    return "" if os.environ.get("AUSCULT_OWN_MOUNTS") else "mounts are not this process's own"


def own_mounts():
    """Executes this program anew with mounts of its own, where the system lets it."""
    if os.environ.get("AUSCULT_OWN_MOUNTS") or os.geteuid() != 0:
        return
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                      stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ["AUSCULT_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])


class Disk:
    """A small file system at `path`."""

    def __init__(self, path, size_bytes=DISK_BYTES):
        self.path = path
        os.makedirs(path)
        self._mount("-t", "tmpfs", "-o", f"size={size_bytes}", "none")

    def _mount(self, *args):
        subprocess.run(["mount", *args, self.path], check=True)

    def resize(self, size_bytes):
        self._mount("-o", f"remount,size={size_bytes}")

    def shrink(self, leave_bytes):
        """Takes away what is free but for so many bytes. The run goes on writing: try again."""

        def shrunk():
            facts = os.statvfs(self.path)
            used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
            size = used + leave_bytes // facts.f_frsize * facts.f_frsize
            return subprocess.run(["mount", "-o", f"remount,size={max(size, 4096)}", self.path],
                                  stderr=subprocess.DEVNULL, check=False).returncode == 0

        wait_until(shrunk, "the disk has become smaller", 10)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class Cluster:
    """One run, its coordinators one after the other, and its workers."""

    def __init__(self, folder, draw):
        self.draw = draw
        self.transport = draw.transport
        if self.transport == "netns" and no_wiring():
            self.transport = "proxy"
        self.is_local = self.transport == "ipc"
        self.data, self.expected = reference()
        self.disk = Disk(f"{folder}/disk") if draw.has_disk and not no_disk() else None
        self.out = f"{folder}/disk/run" if self.disk else f"{folder}/run"
        self.network = Network() if self.transport == "proxy" else None
        self.wiring = Wiring() if self.transport == "netns" else None
        self.coordinator = None
        self.starts = 0
        self.started = 0.0
        self.ports = set()  # both lanes
        self.port = 0  # control
        self.may_end = {}  # exit codes that are right beside 0: one of the texts must have been said
        self.is_over = False
        self.workers = []  # remote ones that ever were: (Process, Link, Cable or None)
        self.present = []  # those of them that have a part in this start
        self.hurt = set()  # process ids of workers that were killed or asked to leave
        self.later = []  # (time, what ends then)
        self.ipc_folders = set()
        self.began = time.monotonic()
        self.story = []

    def tell(self, text):
        self.story.append(f"{time.monotonic() - self.began:8.3f} s  {text}")

    # ---- the coordinator ----

    def of_this_start(self, items):
        return items[min(self.starts, len(items)) - 1]

    def start(self):
        self.starts += 1
        self.present = [pair for pair in self.workers if pair[0].is_running()]
        spread = self.of_this_start(self.draw.spreads)
        args = ["run", "--out", self.out, "-v", "--set", f"spread={spread}"]
        if not os.path.exists(f"{self.out}/config.yaml"):  # killed before it was a run
            args += ["--data", self.data, *SETTINGS]
        if self.is_local:
            args += ["--local", str(self.of_this_start(self.draw.workers))]
        else:
            host = Wiring.address if self.wiring else "127.0.0.1"
            args += ["--bind", f"tcp://{host}:{self.port}", "--insecure"]
        env = self.break_disk()
        self.tell(f"start {self.starts}: {' '.join(args)} {env.get('AUSCULT_FAULT', '')}")
        inside = self.wiring.inside() if self.wiring else []
        self.coordinator = Process(*inside, AUSCULT, *args, env=env)
        self.started = time.monotonic()
        if not self.is_local:
            wait_until(lambda: not self.coordinator.is_running() or self.listens(), "it listens", 20)
            while self.living() < self.of_this_start(self.draw.workers) and self.port > 0:
                self.start_worker()

    def break_disk(self):
        """The environment in which the disk fails as drawn for this start."""
        self.may_end = {}
        fault = self.of_this_start(self.draw.faults)
        if not fault or not os.path.exists(FAULT_LIBRARY):
            return {}
        code, said = {"kill": (-signal.SIGKILL, ()), "full": (3, NO_SPACE),
                      "sync": (3, ("I/O error", "Input/output error"))}[fault.split()[0]]
        self.may_end[code] = said
        return {"LD_PRELOAD": FAULT_LIBRARY, "AUSCULT_FAULT": fault}

    def endpoint(self):
        try:
            with open(f"{self.out}/endpoint", encoding="utf-8") as file:
                return file.readline().strip()
        except OSError:
            return ""

    def listens(self):
        """The endpoint file may be that of a coordinator that was killed."""
        port = self.endpoint().rpartition(":")[2]
        try:
            ports = listening_ports(self.coordinator.process.pid)
        except OSError:
            return False
        if not port.isdigit() or int(port) not in ports:
            return False
        self.port, self.ports = int(port), ports
        for _, link in self.workers:
            if isinstance(link, Link):
                link.carry(ports)
        return True

    def on_end(self):
        result = self.coordinator.wait()
        self.tell(f"the coordinator ended with {result.code}")
        if self.disk:
            self.disk.resize(DISK_BYTES)
        self.is_over = result.code == 0
        if self.is_over:
            return
        said = self.may_end.get(result.code)
        check(said is not None, f"unexpected end: {result}")
        check(not said or any(text in result.err for text in said), f"none of {said} in: {result}")
        self.start()

    def stage(self):
        """How far this coordinator has got, as an index of STAGES, by what it says."""
        said = self.coordinator.said()[1]
        for index, sign in ((4, "\nscore "), (3, "\ntrain "), (2, " rounds, "), (2, "extract "), (1, " joined")):
            if sign in said:
                return index
        return 0

    # ---- workers ----

    def start_worker(self):
        number = len(self.workers) + 1
        link, host, inside = None, "127.0.0.1", []
        if self.network:
            host = f"127.0.1.{number}"
            link = Link(self.network, host)
            link.carry(self.ports)
        elif self.wiring:
            host, link = Wiring.address, Cable(self.wiring)
            inside = link.inside()
        worker = Process(*inside, WORKER, "-v", "--connect", f"tcp://{host}:{self.port}")
        self.workers.append((worker, link))
        self.present.append((worker, link))
        self.tell(f"worker {worker.process.pid} joins")

    def living(self):
        return sum(worker.is_running() for worker, _ in self.workers)

    def mind_workers(self):
        for worker, _ in self.workers:
            code = worker.process.poll()
            check(code is None or code in WORKER_ENDS, f"a worker ended: {code}\n{worker.said()[1]}")
        # When workers leave by themselves, the coordinator has told them that the run is over.
        lost = all(w.process.pid in self.hurt and not w.is_running() for w, _ in self.present)
        if lost and self.port > 0:
            self.start_worker()

    def victim(self, accident):
        """Process id and link of the one that is hit, (0, None) when there is nobody."""
        if self.is_local:
            there = [(pid, None) for pid in sorted(workers_of(self.coordinator.process.pid))]
        else:
            there = [(w.process.pid, link) for w, link in self.workers if w.is_running()]
        return there[int(accident.victim * len(there))] if there else (0, None)

    # ---- accidents ----

    def hit(self, accident):
        pid, link = self.victim(accident)
        self.tell(f"{accident} at worker {pid}")
        if accident.kind.endswith(" worker"):
            if pid:
                self.hit_process(pid, accident)
        elif accident.kind.endswith(" coordinator"):
            code = {"kill coordinator": -signal.SIGKILL, "ask coordinator": 75}.get(accident.kind)
            if code is not None:
                self.may_end[code] = ()
            self.hit_process(self.coordinator.process.pid, accident)
        elif accident.kind == "join":
            self.start_worker()
        elif accident.kind == "shrink":
            if self.disk:
                self.may_end[3] = NO_SPACE
                self.disk.shrink(int(accident.victim * 300_000))
        elif link:
            self.hit_link(link, accident)

    def hit_process(self, pid, accident):
        verb = accident.kind.split()[0]
        if verb != "freeze":
            self.hurt.add(pid)
        send(pid, {"kill": signal.SIGKILL, "ask": signal.SIGTERM, "freeze": signal.SIGSTOP}[verb])
        if verb == "freeze":
            self.end_later(accident, lambda: send(pid, signal.SIGCONT))

    def hit_link(self, link, accident):
        kind = accident.kind
        if kind == "hold":
            link.hold(True)
        elif isinstance(link, Cable):
            link.lose(20)
        elif kind == "delay":
            link.delay_seconds = 0.03 * accident.victim
        elif kind == "pieces":
            link.piece_bytes = 1 + int(60 * accident.victim)
        elif kind == "truncate":
            link.truncate()
        elif kind == "hang up":
            link.hang_up()
        else:  # "reset", "refuse"
            link.refuses = kind == "refuse"
            link.reset()
        self.end_later(accident, link.mend)

    def end_later(self, accident, what):
        self.later.append((time.monotonic() + accident.lasts, what))

    # ---- the course of the run ----

    def poll(self):
        time.sleep(0.002)
        now = time.monotonic()
        for item in [item for item in self.later if item[0] <= now]:
            self.later.remove(item)
            item[1]()
        if self.is_local:
            self.note_ipc_folder()
        if not self.coordinator.is_running() and not self.is_over:
            self.on_end()
        if not self.is_over:
            self.mind_workers()

    def note_ipc_folder(self):
        text = self.endpoint()
        if text.startswith("ipc://"):
            self.ipc_folders.add(os.path.dirname(text[len("ipc://") :]))

    def await_moment(self, accident):
        """False: the run was over before."""
        wanted = STAGES.index(accident.stage)
        while not self.is_over and self.stage() < wanted and time.monotonic() < self.started + STAGE_SECONDS:
            self.poll()
        moment = time.monotonic() + accident.after
        while not self.is_over and time.monotonic() < moment:
            self.poll()
        return not self.is_over

    def go(self):
        self.start()
        for accident in self.draw.accidents:
            if not self.await_moment(accident):
                break
            self.hit(accident)
        end = time.monotonic() + END_SECONDS
        while not self.is_over:
            check(time.monotonic() < end, f"the run does not end: {self.coordinator.said()[1][-2000:]}")
            self.poll()
        for _, what in self.later:
            what()
        self.dismiss()

    def dismiss(self):
        """Workers that were connected leave by themselves; one that was cut off at the end goes on
        looking for its coordinator until it is asked to leave."""
        end = time.monotonic() + 3
        while self.living() > 0 and time.monotonic() < end:
            time.sleep(0.01)
        late = [worker for worker, _ in self.workers if worker.is_running()]
        for worker in late:
            worker.signal(signal.SIGTERM)
        for worker in late:
            worker.wait(10)
        codes = {worker.process.returncode for worker, _ in self.workers}
        check(codes <= WORKER_ENDS, f"workers ended with {codes}")

    def verify(self):
        check_same_results(self.out, self.expected)
        ours, theirs = journal_of(self.out), journal_of(self.expected)
        check(ours == theirs, f"the journal differs:\n{ours}\n{theirs}")
        left = wait_for_none()
        check(not left, f"left behind: {left}")
        folders = [folder for folder in self.ipc_folders if os.path.exists(folder)]
        check(not folders, f"left behind: {folders}")

    def close(self):
        end_marked()
        for _, link in self.workers:
            if isinstance(link, Link):
                link.close()
        if self.network:
            self.network.close()
        if self.wiring:
            self.wiring.close()
        if self.disk:
            self.disk.close()


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def journal_of(out):
    """Every finished task, as often as it is there, and the last epoch of every model."""
    database = sqlite3.connect(f"file:{out}/journal.db?mode=ro", uri=True)
    try:
        answers = database.execute("SELECT kind, hex(key), body FROM answer").fetchall()
        states = database.execute("SELECT hex(plan), max(epoch) FROM state GROUP BY plan").fetchall()
    finally:
        database.close()
    return (sorted((kind, key, hashlib.sha256(body).hexdigest()[:16]) for kind, key, body in answers),
            sorted(states))


def disturb(folder, seed):
    """One run of this seed. Raises Failure with all that is known."""
    draw = draw_run(seed)
    os.makedirs(folder)
    Process.started.clear()
    cluster = Cluster(folder, draw)
    try:
        cluster.go()
        cluster.tell("the run and its workers have ended")
        cluster.verify()
    except (Failure, OSError, sqlite3.Error) as why:
        accidents = "\n".join(f"  {accident}" for accident in draw.accidents)
        story = "\n".join(cluster.story)
        raise Failure(f"{why}\n-- drawn: {draw}\n{accidents}\n-- what happened\n{story}\n"
                      f"-- again: tests/cluster/chaos.py --seed {seed}") from None
    finally:
        cluster.close()
    if os.environ.get("AUSCULT_STORY"):
        print("\n".join(cluster.story))
    return (f"{cluster.transport}{', disk' if cluster.disk else ''}, "
            f"{'/'.join(map(str, draw.workers[:cluster.starts]))} workers, {cluster.starts} starts, "
            f"{len(draw.accidents)} accidents")


def disturb_many(folder, seeds, until=None):
    """Runs them all, prints a line for each; the seeds that failed."""
    failed, done = [], 0
    for seed in seeds:
        if until is not None and time.monotonic() > until:
            break
        begun = time.monotonic()
        here = f"{folder}/{seed}"
        try:
            text = disturb(here, seed)
            print(f"ok     seed {seed}: {text}, {time.monotonic() - begun:.1f} s", flush=True)
            shutil.rmtree(here, ignore_errors=True)
        except Failure as why:
            failed.append(seed)
            print(f"FAILED seed {seed}: {why}")
            for process in Process.started:
                print(Result(process.args, process.process.poll(), *process.said()))
            print_logs(here)
            sys.stdout.flush()
        done += 1
    print(f"{done} disturbed runs of {len(seeds)}, {len(failed)} failed {failed or ''}", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description="runs that everything happens to")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=None, help="of the first run; drawn when not given")
    parser.add_argument("--minutes", type=float, default=None, help="begin no run after so long")
    options = parser.parse_args()
    own_mounts()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    until = time.monotonic() + 60 * options.minutes if options.minutes else None
    print(f"seeds from {seed}; namespaces: {no_wiring() or 'yes'}; disks: {no_disk() or 'yes'}")
    folder = tempfile.mkdtemp(prefix="auscult-chaos-")
    failed = disturb_many(folder, range(seed, seed + options.runs), until)
    if failed:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
