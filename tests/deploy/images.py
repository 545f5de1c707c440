#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The images of the tests with containers: made before them, removed after them (ctest's fixture).

    images.py setup     base (deploy/base-image, or AUSCULT_TEST_BASE), auscult (deploy/Dockerfile's
                        first stage and the programs of this build tree), slurm (Debian's on top)
    images.py remove"""

import os
import shutil
import sys
import tempfile

from containers import BIN, DEPLOY, SOURCE, check, image, run, why_no_docker

NAMES = ("slurm", "auscult", "runtime", "base")

# Pictures have the bytes of whoever's gnuplot and fonts: as in the harness, there are none.
AUSCULT = """FROM {runtime}
ENV AUSCULT_GNUPLOT=
COPY bin/auscult bin/auscult-worker /usr/bin/
"""

# slurm.conf is what the tests write.
SLURM = """FROM {auscult}
USER root
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
        slurmctld slurmd slurm-client munge && rm -rf /var/lib/apt/lists/* \\
    && install -d -o slurm -g slurm /var/lib/slurm/state /var/lib/slurm/spool
ENTRYPOINT ["tini", "--"]
HEALTHCHECK NONE
"""


def build(name, text, context, *options):
    """From a Dockerfile's text; prints what the build said if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "Dockerfile")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        run("docker", "build", "-q", "-f", path, "-t", image(name), *options, context, seconds=600)


def setup():
    why = why_no_docker()
    if why:
        print(f"skipped: {why}")
        sys.exit(77)
    remove()
    given = os.environ.get("AUSCULT_TEST_BASE")
    if given:
        run("docker", "tag", given, image("base"))
    else:
        run(os.path.join(DEPLOY, "base-image"), "--tag", image("base"), seconds=600)
    with open(os.path.join(DEPLOY, "Dockerfile"), encoding="utf-8") as file:
        build("runtime", file.read(), SOURCE, "--build-arg", f"BASE={image('base')}",
              "--target", "runtime")
    with tempfile.TemporaryDirectory() as context:
        os.mkdir(f"{context}/bin")
        for program in ("auscult", "auscult-worker"):
            shutil.copy(os.path.join(BIN, program), f"{context}/bin/{program}")
        build("auscult", AUSCULT.format(runtime=image("runtime")), context)
        missing = run("docker", "run", "--rm", "--network", "none", image("auscult"), "sh", "-c",
                      "ldd /usr/bin/auscult /usr/bin/auscult-worker | grep 'not found' || true").out
        check(not missing, f"deploy/Dockerfile's first stage lacks a library of ours:\n{missing}")
        build("slurm", SLURM.format(auscult=image("auscult")), context)


def remove():
    for name in NAMES:
        run("docker", "rmi", "-f", image(name), expect=None)


def main():
    if sys.argv[1:] == ["setup"]:
        setup()
    elif sys.argv[1:] == ["remove"]:
        if why_no_docker() is None:
            remove()
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(2)


main()
