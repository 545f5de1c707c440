# SPDX-License-Identifier: Apache-2.0
"""What the tests with containers share: the images, names that only this test has, and their removal
whatever happened. The rest is tests/cluster/harness.py's."""

import atexit
import hashlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))

from harness import BIN, SOURCE, Skip, check, run, wait_until  # noqa: E402

DEPLOY = os.path.join(SOURCE, "deploy")
COMPOSE_FILE = os.path.join(DEPLOY, "compose.yml")

# Images of this build tree; those of another are never touched.
TREE = hashlib.sha256(BIN.encode()).hexdigest()[:8]
# What this test program starts and makes is called so.
MINE = f"auscult-test-{os.getpid()}"


def image(name):
    return f"auscult-test-{TREE}-{name}"


def why_no_docker():
    """None where an engine answers."""
    try:
        found = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=60,
                               check=False)
    except FileNotFoundError:
        return "no Docker engine here (no program 'docker')"
    except subprocess.TimeoutExpired:
        return "no Docker engine here (docker version says nothing in 60 s)"
    last = (found.stderr.strip().splitlines() or ["?"])[-1]
    return None if found.returncode == 0 else f"no Docker engine here ({last})"


def need_docker(*images):
    why = why_no_docker()
    if why:
        raise Skip(why)
    for name in images:
        found = run("docker", "image", "inspect", image(name), expect=None)
        check(found.code == 0, f"no image {image(name)}: tests/deploy/images.py setup makes it")


def docker(*args, **options):
    """Runs docker; returns what it printed."""
    return run("docker", *args, **options).out.strip()


def inspect(container, field):
    return json.loads(docker("inspect", "--format", "{{json " + field + "}}", container))


def mine(kind, *columns):
    """Containers, networks or volumes that are this test program's."""
    lines = docker(kind, "ls", *columns, "-q", "--filter", f"name={MINE}").split()
    return lines


def clean():
    """Removes what this test program made: by its name, which has the process id."""
    for kind, columns, remove in (("container", ["-a"], ["rm", "-f", "-v"]), ("network", [], ["rm"]),
                                  ("volume", [], ["rm", "-f"])):
        for name in mine(kind, *columns):
            run("docker", kind, *remove, name, expect=None)


if why_no_docker() is None:
    atexit.register(clean)


def check_clean():
    for kind, columns in (("container", ["-a"]), ("network", []), ("volume", [])):
        check(not mine(kind, *columns), f"left behind: {kind} {mine(kind, *columns)}")


def compose_v2(folder):
    """A folder for DOCKER_CONFIG with which `docker compose` is there. Debian 12 has docker-compose
    1.29 alone: the next release's is fetched from where this machine gets its packages, and unpacked."""
    if run("docker", "compose", "version", expect=None).code == 0:
        return os.environ.get("DOCKER_CONFIG", os.path.expanduser("~/.docker"))
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", expect=None).out.split("\n")
    mirrors = [line.split()[0] for line in found if line.endswith(" bookworm")]
    if not mirrors:
        raise Skip("no Compose v2: this machine's packages are not bookworm's")
    os.makedirs(f"{folder}/lists/partial")
    with open(f"{folder}/sources.list", "w", encoding="utf-8") as file:
        file.write(f"deb {mirrors[0]} trixie main\n")
    apt = ["apt-get", "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=-",
           "-o", f"Dir::State::lists={folder}/lists", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
           "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]
    for command in (["update"], ["download", "docker-compose"]):
        result = run(*apt, *command, cwd=folder, expect=None, seconds=180)
        if result.code != 0:
            raise Skip(f"no Compose v2 to be had: {(result.err.strip().splitlines() or ['?'])[-1]}")
    run("sh", "-c", f"dpkg-deb -x {folder}/docker-compose_*.deb {folder}/unpacked")
    os.makedirs(f"{folder}/config")
    os.symlink(f"{folder}/unpacked/usr/libexec/docker/cli-plugins", f"{folder}/config/cli-plugins")
    return f"{folder}/config"


def status_of(container, folder="/run-folder"):
    """What `auscult status --json` says in a container; None while there is no run or no container."""
    result = run("docker", "exec", container, "auscult", "status", folder, "--json", expect=None)
    try:
        return json.loads(result.out)
    except ValueError:
        return None


def wait_for_exit(container, seconds):
    """Its exit status, once it has one."""
    wait_until(lambda: inspect(container, ".State.Status") == "exited",
               f"container {container} ends", seconds)
    return inspect(container, ".State.ExitCode")


def logs(container):
    result = run("docker", "logs", container, expect=None)
    return result.out + result.err
