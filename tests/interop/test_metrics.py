#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics as Prometheus reads it: `promtool check metrics` must have nothing to say, of a run
without workers, with workers of any name, and of one that trains."""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "cluster"))

from harness import AUSCULT, TINY, WORKER, Process, check, main, make_data, wait_for_endpoint, wait_until
from http_page import ask, url_of_run
from promtool import promtool


def verdict(tool, text):
    said = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60,
                          check=False)
    return said.returncode, said.stdout + said.stderr


def check_fine(tool, text):
    found = verdict(tool, text)
    check(found == (0, ""), f"promtool says {found} of:\n{text}")


def test_promtool_accepts_the_metrics_of_a_run(folder):
    tool = promtool()
    check(verdict(tool, "# TYPE a_total gauge\na_total 1\n")[0] != 0, "promtool accepts anything")
    out = f"{folder}/run"
    make_data(f"{folder}/data")
    coordinator = Process(AUSCULT, "run", "--data", f"{folder}/data", "--out", out, *TINY, "--bind",
                          "tcp://127.0.0.1:0", "--insecure", "--http", "127.0.0.1:0", "--set", "epochs=100000")
    url = url_of_run(coordinator, out)
    check_fine(tool, ask(url, "/metrics")[2])
    worker = Process(WORKER, "--connect", wait_for_endpoint(coordinator, out))

    def at_work():
        return json.loads(ask(url, "/status.json")[2])["models_training"] > 0

    wait_until(at_work, "a model is trained")
    text = ask(url, "/metrics")[2]
    check('auscult_worker_tasks_held{worker="' in text, text)
    check_fine(tool, text)
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")
    worker.signal(signal.SIGTERM)
    worker.wait()


main(globals())
