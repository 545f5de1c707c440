#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the output of `ctest -V` and prints what a person wants to see of it: one line per test,
why a test was skipped, all that a failed test printed, and ctest's summary with each label's time
budget beside what the label took. ctest's own exit status stays the verdict (set -o pipefail)."""

import re
import sys

# Seconds that a label's tests may take, one after the other; two run at a time. With the builds and
# with the label quick once more under the sanitizers they are the 30 minutes that tests/run has; a
# quiet machine of two cores needs three quarters of each.
BUDGET_SECONDS = {"quick": 240, "sim": 60, "cluster": 1200, "interop": 400, "deploy": 800}
MOST_LINES = 400  # of one failed test's output: its end is what tells

TEST_OUTPUT = re.compile(r"^(\d+): ?(.*)$")
TEST_RESULT = re.compile(r"^ *\d+/\d+ Test +#(\d+): ")
LABEL_TIME = re.compile(r"^(\S+) += +([0-9.]+) sec\*proc")
NOISE = re.compile(r"^(test \d+|\s+Start +\d+: .*|UpdateCTestConfiguration.*|Parse.*|Constructing.*|"
                   r"Done constructing.*|Updating.*|Checking test dep.*|Test project .*|Add.*|\s*)$")


def print_result(line, output):
    print(line)
    if "***Skipped" in line or "Passed" in line:
        shown = [text for text in output if text.startswith("skipped:")]
    else:
        shown = output[-MOST_LINES:]
    for text in shown:
        print("      " + text)


def with_budget(line):
    match = LABEL_TIME.match(line)
    if match is None or match.group(1) not in BUDGET_SECONDS:
        return line
    budget = BUDGET_SECONDS[match.group(1)]
    over = "  OVER BUDGET" if float(match.group(2)) > budget else ""
    return f"{line}  budget {budget} s{over}"


def main():
    outputs = {}
    in_summary = False
    for raw in sys.stdin.buffer:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        output = TEST_OUTPUT.match(line)
        result = TEST_RESULT.match(line)
        in_summary = in_summary or (not output and "% tests passed" in line)
        if in_summary:
            print(with_budget(line))
        elif output:
            outputs.setdefault(output.group(1), []).append(output.group(2))
        elif result:
            print_result(line, outputs.pop(result.group(1), []))
        elif not NOISE.match(line):
            print(line)
        sys.stdout.flush()


main()
