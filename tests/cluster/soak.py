#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory over a long run with workers coming and going: many short tasks at its beginning, then
spread training that never ends. Prints a table, and the slopes of the coordinator and of one worker
that stays; fails when either grows by more than a bound after the warm-up.

    soak.py [--minutes M] [--seed S]"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from harness import AUSCULT, WORKER, Failure, Process, check, end_marked, make_data, wait_for_endpoint

WARM_UP = 0.3  # of the time: caches fill, and libraries keep what they once needed
# Replicas of a model (3.3 MB each) that are under way to workers come and go within seconds, so what
# counts is the least of each of so many parts of the time.
PARTS = 20
# Of either, in the time that is left. Who leaks 16 KiB at each of 500 workers shows.
GROWTH_BYTES = 6 << 20
COPIES = 150  # of each clip, as links: many tasks from little data


def anonymous_bytes(pid):
    """What the process has allocated; pages of files that it maps are the system's."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    return 0  # it has just ended


def slope(points):
    """Bytes a second, by least squares."""
    n = len(points)
    mean_t, mean_y = sum(t for t, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return sum((t - mean_t) * (y - mean_y) for t, y in points) / spread if spread > 0 else 0.0


def least_of_parts(points, part_seconds):
    """The point with the least bytes of each part of the time."""
    parts = {}
    for point in points:
        parts.setdefault(int(point[0] / part_seconds), []).append(point)
    return [min(part, key=lambda point: point[1]) for part in parts.values()]


def prepare(folder):
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=12)
    for name in ("fan", "ToyCar"):
        test = f"{data}/{name}/test"
        for clip in sorted(os.listdir(test)):
            for copy in range(COPIES):
                os.link(f"{test}/{clip}", f"{test}/{clip[:-4]}_{copy:03d}.wav")
    return data


class Soak:
    def __init__(self, folder, rng):
        self.rng = rng
        self.out = f"{folder}/run"
        self.coordinator = Process(AUSCULT, "run", "--data", prepare(folder), "--out", self.out, "-q",
                                   "--bind", "tcp://127.0.0.1:0", "--insecure",
                                   "--set", "epochs=1000000", "--set", "batch_size=32",
                                   "--set", "spread=always")
        self.address = wait_for_endpoint(self.coordinator, self.out)
        self.stays = self.join()
        self.others = [self.join()]
        self.came = 2
        self.points = {"coordinator": [], "worker": []}

    def join(self):
        return Process(WORKER, "-q", "--connect", self.address)

    def come_or_go(self):
        """One to three workers beside the one that stays; they end in every way."""
        self.others = [worker for worker in self.others if worker.is_running()]
        if not self.others or (len(self.others) < 3 and self.rng.random() < 0.5):
            self.others.append(self.join())
            self.came += 1
        else:
            self.rng.choice(self.others).signal(self.rng.choice((signal.SIGKILL, signal.SIGTERM)))

    def sample(self, seconds):
        self.coordinator.check_running()
        self.stays.check_running()
        for name, process in (("coordinator", self.coordinator), ("worker", self.stays)):
            self.points[name].append((seconds, anonymous_bytes(process.process.pid)))

    def go(self, total_seconds):
        began = time.monotonic()
        sample_at = change_at = shown_at = 0.0
        while (now := time.monotonic() - began) < total_seconds:
            if now >= sample_at:
                self.sample(now)
                sample_at += 0.5
            if now >= change_at:
                self.come_or_go()
                change_at = now + self.rng.uniform(0.3, 2.0)
            if now >= shown_at:
                self.show(now)
                shown_at += total_seconds / 20
            time.sleep(0.02)

    def show(self, seconds):
        sizes = [self.points[name][-1][1] / 1e6 for name in ("coordinator", "worker")]
        print(f"{seconds:7.1f} s  coordinator {sizes[0]:7.2f} MB  worker {sizes[1]:7.2f} MB  "
              f"{self.came} workers came", flush=True)

    def judge(self, total_seconds):
        """Growth by the fitted slope, so that one busy moment does not decide."""
        begin = WARM_UP * total_seconds
        for name, points in self.points.items():
            kept = [point for point in least_of_parts(points, total_seconds / PARTS) if point[0] >= begin]
            per_second = slope(kept)
            growth = per_second * (total_seconds - begin)
            print(f"{name}: {per_second:+.0f} bytes/s after {begin:.0f} s, {growth / 1e6:+.2f} MB in all "
                  f"(at most {GROWTH_BYTES / 1e6:.1f})")
            check(growth <= GROWTH_BYTES, f"the {name} grew by {growth / 1e6:.2f} MB")

    def end(self):
        self.coordinator.signal(signal.SIGTERM)
        result = self.coordinator.wait(60)
        check(result.code == 75, str(result))


def main():
    parser = argparse.ArgumentParser(description="memory over a long run")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    folder = tempfile.mkdtemp(prefix="auscult-soak-")
    try:
        soak = Soak(folder, random.Random(options.seed))
        soak.go(60 * options.minutes)
        soak.judge(60 * options.minutes)
        soak.end()
    except Failure as why:
        sys.exit(f"FAILED: {why}")
    finally:
        end_marked()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
