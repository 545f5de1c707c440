# SPDX-License-Identifier: Apache-2.0
"""What the tests with real processes share: running the programs, making small recordings, reading
what came out, and leaving nothing behind. Python's standard library only.

A test is a function test_*; its docstring-free name is the behaviour it shows. It gets a folder of
its own. `test_x.py NAME` runs one; AUSCULT_KEEP=1 keeps the folders."""

import array
import csv
import json
import math
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
import wave

import zmtp

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("AUSCULT_BIN_DIR", os.path.join(SOURCE, "build", "ci", "bin"))
AUSCULT = os.path.join(BIN, "auscult")
WORKER = os.path.join(BIN, "auscult-worker")
SHARED = os.environ.get("AUSCULT_SHARED", os.path.join(os.path.dirname(SOURCE), "shared"))

RATE_HZ = 16000
# Every process of this test program carries it, so that one left behind is found.
MARK = "AUSCULT_TEST_MARK=" + uuid.uuid4().hex

# Pictures take longer than most runs here: who tests them asks for them.
PICTURES = os.environ.pop("AUSCULT_GNUPLOT", "gnuplot")
os.environ["AUSCULT_GNUPLOT"] = ""

# Settings that make a model in a second.
TINY = ["--set", "epochs=3", "--set", "batch_size=32"]


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failure(Exception):
    """What was promised is not so."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def check_has(text, *parts):
    for part in parts:
        check(part in text, f"'{part}' is not in:\n{text}")


# ---- processes ----


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __str__(self):
        return f"$ {' '.join(self.args)}\nexit {self.code}\n-- stdout\n{self.out}\n-- stderr\n{self.err}"


def environment(extra=None):
    name, value = MARK.split("=")
    return {**os.environ, name: value, "NO_COLOR": "1", **(extra or {})}


class Process:
    """A program that runs while the test goes on; its output goes to files, so that no pipe fills."""

    started = []  # by the test that runs now

    def __init__(self, *args, env=None, user=None, cwd=None):
        self.args = [str(a) for a in args]
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        Process.started.append(self)
        ids = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        self.process = subprocess.Popen(
            self.args,
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
            **ids,
        )

    def said(self):
        texts = []
        for file in (self.out, self.err):
            texts.append(os.pread(file.fileno(), 1 << 24, 0).decode("utf-8", "replace"))
        return texts

    def wait(self, seconds=120):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            out, err = self.said()
            raise Failure(f"still running after {seconds} s: {Result(self.args, None, out, err)}") from None
        return Result(self.args, code, *self.said())

    def is_running(self):
        return self.process.poll() is None

    def check_running(self):
        if not self.is_running():
            raise Failure(f"it ended too early: {self.wait()}")

    def signal(self, number):
        self.process.send_signal(number)


def run(*args, expect=0, seconds=120, **options):
    """Runs a program to its end; its exit code must be `expect` (None: any)."""
    result = Process(*args, **options).wait(seconds)
    check(expect is None or result.code == expect, f"expected exit {expect}: {result}")
    return result


def auscult(*args, **options):
    return run(AUSCULT, *args, **options)


def wait_until(condition, what, seconds=60):
    """Polls: the tests wait for facts, never for a time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"after {seconds} s still not: {what}")
        time.sleep(0.02)


def true_hello():
    """What a worker of this build says, to a coordinator that only wants to know."""
    server = zmtp.listen()
    worker = Process(WORKER, "--connect", f"tcp://127.0.0.1:{server.getsockname()[1]}")
    connection, _ = server.accept()
    hello = zmtp.Peer(connection, "ROUTER").receive()
    worker.signal(signal.SIGTERM)
    worker.wait(10)
    connection.close()
    server.close()
    return hello


def wait_for_endpoint(coordinator, out):
    """Where a coordinator with --bind tcp://HOST:0 listens, once it does."""

    def read():
        coordinator.check_running()
        path = os.path.join(out, "endpoint")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()

    return wait_until(read, "the endpoint file is written")


def marked_processes():
    """Process ids and command lines of what this test program started and is still there."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                is_ours = MARK.encode() in file.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        if is_ours and line:
            found.append((int(pid), line))
    return found


def workers_of(process_id):
    """Process ids of the auscult-workers whose parent is this process."""
    found = []
    for pid, line in marked_processes():
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == process_id and "auscult-worker" in line:
            found.append(pid)
    return found


def end_marked():
    left = marked_processes()
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return left


# ---- recordings ----


def hum(seed, seconds=1.0, is_anomalous=False, rate_hz=RATE_HZ, hertz=220.0):
    """A machine's sound: some harmonics and noise; an anomaly has a whistle on top. Samples in
    [-1, 1], the same for the same arguments."""
    rng = random.Random(seed)
    phases = [rng.uniform(0, 2 * math.pi) for _ in range(3)]
    level = rng.uniform(0.8, 1.2)
    samples = []
    for i in range(int(seconds * rate_hz)):
        t = 2 * math.pi * i / rate_hz
        value = sum(0.1 / (k + 1) * math.sin((k + 1) * hertz * t + phases[k]) for k in range(3))
        value = level * value + rng.gauss(0, 0.02)
        if is_anomalous:
            value += 0.15 * math.sin(2900 * t)
        samples.append(max(-1.0, min(1.0, value)))
    return samples


def write_wav(path, samples, rate_hz=RATE_HZ, channels=1):
    """16-bit PCM; every channel gets the same samples."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = array.array("h", (int(32767 * s) for s in samples for _ in range(channels)))
    if sys.byteorder == "big":
        data.byteswap()
    with wave.open(path, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(data.tobytes())


def write_float_wav(path, samples, rate_hz=RATE_HZ):
    """32-bit float, which can hold NaN."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = struct.pack(f"<{len(samples)}f", *samples)
    form = struct.pack("<HHIIHH", 3, 1, rate_hz, 4 * rate_hz, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"fact" + struct.pack("<II", 4, len(samples)) + b"data" + struct.pack("<I", len(data)) + data
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", len(body)) + body)


def write_npy(path, shape, values):
    """float32, C order, format version 1.0."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        file.write(struct.pack(f"<{len(values)}f", *values))


def read_npy_scalar(path):
    """The one number of a threshold.npy, float32 or float64."""
    with open(path, "rb") as file:
        data = file.read()
    check(data[:8] == b"\x93NUMPY\x01\x00", f"{path} is no .npy of version 1.0")
    length = struct.unpack("<H", data[8:10])[0]
    head, body = data[10 : 10 + length].decode(), data[10 + length :]
    form = "<d" if "<f8" in head else "<f"
    check(len(body) == struct.calcsize(form), f"{path}: {len(body)} bytes for {head}")
    return struct.unpack(form, body)[0]


def make_machine(root, name, train=12, test=4, hertz=220.0, seconds=1.0, seed=0):
    """A machine in the layout of 2023: training clips of both domains, and as many normal as
    anomalous test clips of each."""
    for i in range(train):
        domain = "target" if i % 6 == 5 else "source"
        clip = f"section_00_{domain}_train_normal_{i:04d}_noAttribute.wav"
        write_wav(f"{root}/{name}/train/{clip}", hum(f"{seed}{name}train{i}", seconds, hertz=hertz))
    for domain in ("source", "target"):
        for i in range(test):
            label = ("normal", "anomaly")[i % 2]
            clip = f"section_00_{domain}_test_{label}_{i:04d}_noAttribute.wav"
            samples = hum(f"{seed}{name}{domain}{i}", seconds, label == "anomaly", hertz=hertz)
            write_wav(f"{root}/{name}/test/{clip}", samples)


def make_data(root, machines=("fan", "ToyCar"), **options):
    for i, name in enumerate(machines):
        make_machine(root, name, hertz=180.0 + 70 * i, **options)
    return root


# ---- what came out ----


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_csv(path):
    """Rows as dictionaries; every row must have as many fields as the header."""
    with open(path, newline="", encoding="utf-8") as file:
        text = file.read()
    check(text.endswith("\n") and "\r" not in text, f"{path}: lines must end in LF")
    rows = list(csv.reader(text.splitlines()))
    for number, row in enumerate(rows, 1):
        check(len(row) == len(rows[0]), f"{path}:{number}: {len(row)} fields, {len(rows[0])} expected")
    return rows[0], [dict(zip(rows[0], row)) for row in rows[1:]]


def times_of(out):
    """When each file of data and outputs was written; the submission's are always made anew."""
    found = {}
    for part in ("data", "outputs"):
        for folder, _, names in os.walk(os.path.join(out, part)):
            for name in names:
                path = os.path.join(folder, name)
                if "/submission/" not in path:
                    found[os.path.relpath(path, out)] = os.stat(path).st_mtime_ns
    return found


def run_tiny(data, out, *settings, workers="2", config=None):
    """A run with settings that make a model in a second, and what it says."""
    options = ["--config", config] if config else []
    options += [word for setting in settings for word in ("--set", setting)]
    return auscult("run", "--data", data, "--out", out, "--local", workers, *TINY, "-v", *options)


def set_more(out, *settings):
    """The same of a run that is there, with settings that add to it."""
    options = [word for setting in settings for word in ("--set", setting)]
    return auscult("run", "--out", out, "--local", "2", "-v", *options)


def trained(result):
    """The labels of the models that a run has trained, of what it said."""
    return set(re.findall(r"model (\S+): \d+ members", result.err))


def results_of(run_folder):
    """Everything that must not depend on the cluster, by path: models, outputs, and the
    configuration but for the setting that only changes time. When a checkpoint was last taken is
    the cluster's affair."""
    found = {}
    for part in ("data", "outputs"):
        for folder, _, names in os.walk(os.path.join(run_folder, part)):
            for name in names:
                if name.startswith("checkpoint-"):
                    continue
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, run_folder)] = file.read()
    with open(os.path.join(run_folder, "config.yaml"), "rb") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith(b"spread:")]
    found["config.yaml"] = b"\n".join(lines)
    check(len(found) > 5, f"{run_folder} holds only {sorted(found)}")
    return found


# Of the run as a whole: they tell of all its systems and settings.
WHOLE_RUN = ("config.yaml", "outputs/report.html")


def results_of_system(run_folder):
    """What must not depend on which other systems a run has."""
    return {path: content for path, content in results_of(run_folder).items() if path not in WHOLE_RUN}


def is_picture(path):
    return path.startswith("outputs/figures/") or path == "outputs/report.html"


def check_same_results(folder, reference, with_pictures=True):
    """Pictures are those of one gnuplot with its fonts, which not every machine has."""
    ours, theirs = ({path: content for path, content in results_of(of).items()
                     if with_pictures or not is_picture(path)} for of in (folder, reference))
    check(sorted(ours) == sorted(theirs), f"other files: {sorted(set(ours) ^ set(theirs))}")
    differ = [path for path in sorted(ours) if ours[path] != theirs[path]]
    check(not differ, f"{folder} and {reference} differ in {differ}")


# ---- the run of a test program ----


def run_one(test):
    folder = tempfile.mkdtemp(prefix="auscult-cluster-")
    os.chmod(folder, 0o755)
    start = time.monotonic()
    Process.started.clear()
    verdict, text = "ok    ", ""
    try:
        test(folder)
        left = wait_for_none()
        check(not left, f"left behind: {left}")
    except Skip as why:
        verdict = "skip  "
        print(f"skipped: {test.__name__}: {why}")
    except Failure as why:
        verdict, text = "FAILED", str(why)
    except Exception:  # a bug of the test, or output that it could not read
        verdict, text = "FAILED", traceback.format_exc()
    end_marked()
    if text:
        print(text)
        for process in Process.started[-4:]:
            print(Result(process.args, process.process.poll(), *process.said()))
        print_logs(folder)
    print(f"{verdict} {test.__name__[5:]} ({time.monotonic() - start:.1f} s)", flush=True)
    if os.environ.get("AUSCULT_KEEP"):
        print(f"       kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def wait_for_none(seconds=10):
    """Local workers may need a moment to notice that their parent is gone."""
    end = time.monotonic() + seconds
    while marked_processes() and time.monotonic() < end:
        time.sleep(0.05)
    return marked_processes()


def print_logs(folder):
    for here, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith(".log"):
                with open(os.path.join(here, name), encoding="utf-8", errors="replace") as file:
                    print(f"-- {os.path.join(here, name)}\n{file.read()[-3000:]}")


def main(namespace):
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    if len(sys.argv) > 1:
        tests = [test for test in tests if test.__name__[5:] in sys.argv[1:]]
    if not os.access(AUSCULT, os.X_OK):
        print(f"skipped: no {AUSCULT}")
        sys.exit(77)
    verdicts = [run_one(test) for test in tests]
    failed, skipped = verdicts.count("FAILED"), verdicts.count("skip  ")
    print(f"{len(verdicts) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not verdicts else 77 if skipped == len(verdicts) else 0)
