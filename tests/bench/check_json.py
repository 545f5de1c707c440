#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `auscult-bench ... --json` and sees that every figure that was asked for comes out as a
number. How large the numbers are is nobody's business here: no test depends on time.

    check_json.py PROGRAM OPTION..."""

import json
import math
import subprocess
import sys

FIGURES = {
    "eda": ["eda"],
    "logmel": ["logmel_samples", "logmel_wav_memory", "logmel_wav_file"],
    "step": ["step_1_shard", "step_4_shards"],
    "forward": ["forward"],
    "threads": ["threads"],
    "spread": ["spread_256", "spread_1024"],
    "memory": ["memory"],
    "evaluate": ["evaluate", "evaluate_cpu"],
    "tasks": ["tasks_tcp", "tasks_ipc", "tasks_cpu", "round_trip", "round_trip_p95", "round_trip_over",
              "round_trip_floor"],
    "losses": ["worker_killed", "worker_stopped_idle", "worker_stopped", "restart_serving", "restart_back",
               "acknowledged_lost", "acknowledged_twice"],
    "capacity": ["memory_waiting_task", "memory_plan_task"],
    "sessions": [name + keys for keys in ("", "_keys")
                 for name in ("memory_lanes", "memory_worker", "sessions_cores", "sessions_tasks", "sessions_lost")],
    "soak": ["soak"],
}
# What must not happen, on any machine.
NEVER = ["acknowledged_lost", "acknowledged_twice", "sessions_lost", "sessions_lost_keys"]
# What must hold on any machine, as the figure's goal says: bytes, and processor time, which does not
# hang on what else runs there as long as caches are left.
GOALS = ["memory_worker", "memory_worker_keys", "sessions_cores", "sessions_cores_keys"]


def complaints(result, parts):
    wanted = [name for part in parts for name in FIGURES[part]]
    names = [figure["name"] for figure in result["figures"]]
    if names != wanted and not result["notes"]:
        yield f"figures {names}, expected {wanted}"
    for figure in result["figures"]:
        if figure["name"] in NEVER:
            if figure["value"]["median"] != 0 or not figure["other"]["median"] > 0:
                yield f"{figure['name']}: {figure['value']} of {figure['other']}"
            continue
        if figure["name"] in GOALS and not figure["value"]["median"] <= figure["other"]["median"]:
            yield f"{figure['name']}: {figure['value']['median']}, the goal is {figure['other']['median']}"
        for key in ("value", "other", "ratio"):
            numbers = [figure[key][end] for end in ("least", "median", "most")]
            if not all(math.isfinite(number) and number > 0 for number in numbers):
                yield f"{figure['name']}: {key} is {numbers}"
            if sorted(numbers) != numbers:
                yield f"{figure['name']}: {key} is not least, median, most: {numbers}"
    for key in ("processor", "system"):
        if not result["machine"][key]:
            yield f"machine: no {key}"


def main():
    program, options = sys.argv[1], sys.argv[2:]
    parts = options[options.index("--only") + 1].split(",")
    said = subprocess.run([program, *options, "--json"], capture_output=True, text=True, check=False)
    if said.returncode != 0:
        print(f"exit status {said.returncode}\n{said.stdout}{said.stderr}")
        return 1
    found = list(complaints(json.loads(said.stdout), parts))
    print("\n".join(found) if found else said.stdout)
    return 1 if found else 0


sys.exit(main())
