#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The two ways to build without this machine's packages, from the sources to a run: the image by all
stages of deploy/Dockerfile, and deploy/build-prefix as a user without root. They compile everything
anew, so they are for long runs."""

import os

from containers import DEPLOY, MINE, check_clean, clean, docker, image, need_docker
from harness import SOURCE, Skip, check, check_has, main, run

SMALL_RUN = ("{bin}auscult synth --out d --set dev --machines 1 --train 20 --test 6 --seconds 2 -q && "
             "{bin}auscult run --data d --out r --local 2 --set epochs=2 --quiet && {bin}auscult status r")


def need_long():
    if not os.environ.get("AUSCULT_LONG"):
        raise Skip("it compiles everything, so only with AUSCULT_LONG=1 (tests/run --long)")


def test_all_stages_of_the_dockerfile_build_an_image_that_works(folder):
    del folder
    need_long()
    need_docker("base")
    try:
        run("docker", "build", "-q", "-f", os.path.join(DEPLOY, "Dockerfile"), "-t", MINE,
            "--build-arg", f"BASE={image('base')}", SOURCE, seconds=800)
        said = docker("run", "--rm", "--name", MINE, "--read-only", "--tmpfs", "/tmp:mode=1777", "-w", "/tmp",
                      MINE, "sh", "-c", SMALL_RUN.format(bin=""))
        check_has(said, "done")
        none = docker("run", "--rm", "--name", MINE, MINE, "sh", "-c", "command -v gcc cmake || echo none")
        check(none == "none", f"it has {none}")
    finally:
        clean()
        run("docker", "rmi", "-f", MINE, expect=None)
        run("docker", "image", "prune", "-f", "--filter", "label=auscult.stage=build", expect=None)
    check_clean()


def test_a_user_without_root_builds_into_a_folder(folder):
    need_long()
    need_docker("base")
    box = MINE

    def as_user(command, **options):
        return run("docker", "exec", "-u", "somebody", "-w", "/somebody", box, "sh", "-c", command,
                   **options)

    try:
        docker("run", "-d", "--name", box, image("base"), "sleep", "infinity")
        # A cluster has a compiler and apt's lists, and nothing else of what is needed.
        docker("exec", box, "sh", "-c", "apt-get -q update && useradd -m -d /somebody somebody && DEBIAN_FRONTEND="
               "noninteractive apt-get -q install -y --no-install-recommends gcc libc6-dev", seconds=300)
        run("sh", "-c", f"cd {SOURCE} && tar -cf {folder}/source.tar --exclude=./build --exclude=./.git .")
        docker("cp", f"{folder}/source.tar", f"{box}:/tmp/source.tar")
        as_user("mkdir source && tar -xf /tmp/source.tar -C source")
        without = as_user("source/deploy/build-prefix p", expect=3)
        check_has(without.err, "--fetch")
        as_user("source/deploy/build-prefix p --fetch", seconds=800)
        check_has(as_user(SMALL_RUN.format(bin="p/bin/")).out, "done")
        check("not found" not in as_user("ldd p/bin/auscult p/bin/auscult-worker").out, "a library is missing")
    finally:
        clean()
    check_clean()


main(globals())
