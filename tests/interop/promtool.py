# SPDX-License-Identifier: Apache-2.0
"""Prometheus' own checker, promtool: the one that is installed, or that of Debian's package, fetched
by apt and unpacked below the build folder; the package is never installed, its service never runs."""

import glob
import os
import shutil
import subprocess
import tempfile

from harness import BIN, Skip

HOME = os.path.join(os.path.dirname(BIN), "promtool")


def fetch():
    os.makedirs(HOME, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME) as here:
        os.chmod(here, 0o755)  # apt downloads as a user of its own where it can
        said = subprocess.run(["apt-get", "-q", "download", "prometheus"], cwd=here, capture_output=True,
                              text=True, timeout=300, check=False)
        found = glob.glob(os.path.join(here, "prometheus_*.deb"))
        if not found:
            raise Skip(f"no promtool, and Debian's package cannot be fetched: {said.stderr.strip()[-300:]}")
        subprocess.run(["dpkg-deb", "-x", found[0], os.path.join(here, "all")], check=True, timeout=300)
        os.replace(os.path.join(here, "all", "usr", "bin", "promtool"), os.path.join(HOME, "promtool"))


def promtool():
    """Its path; Skip where it cannot be had."""
    installed = shutil.which("promtool")
    if installed:
        return installed
    path = os.path.join(HOME, "promtool")
    if not os.access(path, os.X_OK):
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise Skip(f"no promtool, and no {tool} to unpack Debian's")
        fetch()
    return path
