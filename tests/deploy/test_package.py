#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package: lintian finds no errors, apt installs it on a bare Debian 12, and what it
brings works there: programs, manual pages, completion, the unit for permanent workers."""

import glob
import os

from containers import MINE, check_clean, clean, docker, image, need_docker
from harness import BIN, Skip, check, check_has, main, run

BUILD = os.environ.get("AUSCULT_BUILD_DIR", os.path.dirname(BIN))


def package(folder):
    """The .deb of this build tree's programs."""
    run("cpack", "-G", "DEB", "-B", f"{folder}/package", "--config", f"{BUILD}/CPackConfig.cmake",
        cwd=folder)
    (path,) = glob.glob(f"{folder}/package/*.deb")
    return path


def test_lintian_finds_nothing_in_the_package(folder):
    path = package(folder)
    try:
        run("lintian", "--allow-root", "--fail-on", "error,warning", path)
    except FileNotFoundError:
        raise Skip("no lintian here") from None
    fields = run("dpkg-deb", "-f", path).out
    check_has(fields, "Recommends: gnuplot-nox", "libzmq5", "libopenblas0", "Maintainer: ")
    with_licence = run("sh", "-c", f"dpkg-deb --fsys-tarfile {path} | tar -xO ./usr/share/doc/auscult/copyright")
    check_has(with_licence.out, "Files: usr/bin/*", "License: GPL-3.0-or-later", "License: Apache-2.0")


def test_two_packages_of_the_same_programs_have_the_same_files(folder):
    sums = []
    for name in ("one", "other"):
        os.mkdir(f"{folder}/{name}")
        path = package(f"{folder}/{name}")
        sums.append(run("sh", "-c", f"dpkg-deb --ctrl-tarfile {path} | tar -xO ./md5sums").out)
    check(sums[0] == sums[1], f"{sums}")


# Words that completion has to offer, after these.
COMPLETED = [("auscult ev", "evaluate"), ("auscult run --da", "--data"), ("auscult run --set epo", "epochs="),
             ("auscult-worker --gi", "--give-up-after"), ("auscult run --preset dc", "dcase-baseline")]

COMPLETE = """. /usr/share/bash-completion/completions/auscult
compopt() { :; }
COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_auscult ${COMP_WORDS[0]}; printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_apt_installs_it_on_a_bare_debian_and_it_works_there(folder):
    need_docker("base")
    path = package(folder)
    box = f"{MINE}-bare"

    def inside(*command, **options):
        return run("docker", "exec", box, *command, **options).out

    try:
        docker("run", "-d", "--name", box, image("base"), "sleep", "infinity")
        docker("cp", path, f"{box}:/tmp/auscult.deb")
        inside("apt-get", "-q", "update")
        # Recommended packages are left out here: gnuplot is 60 MB.
        inside("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "install", "-y",
               "--no-install-recommends", "/tmp/auscult.deb", "man-db", seconds=300)
        check_has(inside("auscult", "--version"), "auscult ")
        check_has(inside("auscult-worker", "--version"), "auscult-worker ")
        for page in ("auscult", "auscult-run", "auscult-worker"):
            check_has(inside("env", "MANPAGER=cat", "man", page), "SYNOPSIS", "DESCRIPTION")
        check_has(inside("apropos", "anomalous"), "auscult (1)")
        for words, expected in COMPLETED:
            offered = inside("bash", "-c", COMPLETE, "bash", words).split()
            check(expected in offered, f"'{words}' is not completed to '{expected}': {offered}")
        # As anybody, with the files that it brought: a whole small run.
        inside("su", "nobody", "-s", "/bin/sh", "-c",
               "cd /tmp && auscult synth --out d --set dev --machines 1 --train 20 --test 6 --seconds 2 -q && "
               "auscult run --data d --out r --local 2 --set epochs=2 --quiet && auscult status r")
        inside("sh", "-c", "ldd /usr/bin/auscult | grep -q 'not found' && exit 1 || true")
        left = "dpkg -P auscult >/dev/null 2>&1; ls -d /etc/default/auscult-worker /usr/share/doc/auscult || true"
        check(inside("sh", "-c", left) == "", "purging it leaves files")
    finally:
        clean()
    check_clean()


def test_every_manual_page_is_well_formed(folder):
    del folder
    pages = glob.glob(f"{BUILD}/deploy/man/*.1.gz")
    check(len(pages) >= 14, str(pages))
    for page in pages:
        result = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page,
                     env={"MANROFFSEQ": "", "MANWIDTH": "80"})
        check(result.err == "", f"{page}: {result.err}")


def test_the_unit_of_a_permanent_worker_is_sound(folder):
    """Installed into a prefix, it names that prefix's program, and systemd finds nothing to say."""
    prefix = f"{folder}/prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    unit = f"{prefix}/lib/systemd/system/auscult-worker@.service"
    with open(unit, encoding="utf-8") as file:
        check_has(file.read(), f"ExecStart={prefix}/bin/auscult-worker ",
                  f"EnvironmentFile={prefix}/etc/default/auscult-worker")
    try:
        # --man=no: the page is not where man looks for it.
        run("systemd-analyze", "--man=no", "verify", unit)
        run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    except FileNotFoundError:
        raise Skip("no systemd-analyze here") from None


main(globals())
