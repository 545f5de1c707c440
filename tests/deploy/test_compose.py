#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/compose.yml: a coordinator and workers in containers give the bytes of two local workers,
whatever happens to them meanwhile."""

import functools
import os

from containers import (
    COMPOSE_FILE,
    DEPLOY,
    MINE,
    check_clean,
    clean,
    compose_v2,
    docker,
    image,
    inspect,
    logs,
    need_docker,
    status_of,
    wait_for_exit,
)
from harness import auscult, check, check_has, check_same_results, main, make_data, run, wait_until

# Long enough for all that is done to the cluster: a worker gets a quarter of a processor for it, so
# that a fast machine is not done before; at the end the bridle is taken off.
LONG = ["--set", "epochs=320", "--set", "batch_size=32"]
BRIDLE = "0.1"


class Cluster:
    """One compose project."""

    def __init__(self, data, options, cpus="1"):
        self.environment = {"AUSCULT_DATA": data, "AUSCULT_IMAGE": image("auscult"),
                            "AUSCULT_OPTIONS": " ".join(options), "AUSCULT_CPUS": cpus}

    def compose(self, *args):
        run("docker-compose", "-p", MINE, "-f", COMPOSE_FILE, *args, env=self.environment)

    def scale(self, workers):
        self.compose("up", "-d", "--no-build", "--no-recreate", "--timeout", "40",
                     "--scale", f"worker={workers}")

    def containers(self, service):
        return docker("ps", "-aq", "--no-trunc",
                      "--filter", f"label=com.docker.compose.project={MINE}",
                      "--filter", f"label=com.docker.compose.service={service}").split()

    @functools.cached_property
    def coordinator(self):
        return self.containers("coordinator")[0]

    def status(self):
        """Of a run that still goes on; the test has nothing to say of one that is over."""
        found = status_of(self.coordinator)
        check(found is None or found["state"] != "done",
              f"the run was over before the test was done with it: raise LONG\n{logs(self.coordinator)}")
        return found if found is not None and found["is_alive"] else None

    def wait_for_workers(self, count):
        wait_until(lambda: (self.status() or {}).get("workers") == count, f"{count} workers")

    def wait_for_progress(self, epochs):
        """So many epochs more than now."""
        before = wait_until(self.status, "the run goes on")["epochs_trained"]
        wait_until(lambda: (self.status() or {}).get("epochs_trained", 0) >= before + epochs,
                   f"{epochs} epochs more than {before}")

    def take_results(self, out):
        docker("cp", f"{self.coordinator}:/run-folder", out)
        return out


def demos():
    """Containers, networks and volumes of demos, this test's and anybody's."""
    found = docker("ps", "-aq", "--filter", "name=auscult-demo-").split()
    for kind in ("network", "volume"):
        found += docker(kind, "ls", "-q", "--filter", "name=auscult-demo-").split()
    return set(found)


def test_the_demo_works_with_compose_v2_too(folder):
    need_docker("auscult")
    os.mkdir(f"{folder}/v2")
    show_demo(folder, DOCKER_CONFIG=compose_v2(f"{folder}/v2"))


def test_the_demo_shows_equal_bytes_and_leaves_nothing_running(folder):
    need_docker("auscult")
    show_demo(folder)


def show_demo(folder, **environment):
    before = demos()
    result = run(os.path.join(DEPLOY, "compose-demo"), f"{folder}/demo",
                 env={"AUSCULT_IMAGE": image("auscult"), "AUSCULT_BUILD": "no", **environment})
    check_has(result.out, "4 workers", "outputs are the same, byte for byte", "machine_type")
    auscult("run", "--data", f"{folder}/demo/data/set", "--out", f"{folder}/here", "--local", "2",
            "--set", "epochs=20")
    check_same_results(f"{folder}/demo/run", f"{folder}/here", with_pictures=False)
    check(demos() <= before, f"left behind: {demos() - before}")


def kill_worker(container):
    """The program, not the container: what its restart policy is for."""
    docker("exec", container, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
    wait_until(lambda: inspect(container, ".RestartCount") >= 1, "the killed worker is started again")


def cut_network(cluster, container, workers):
    network = f"{MINE}_cluster"
    docker("network", "disconnect", network, container)
    cluster.wait_for_workers(workers - 1)
    docker("network", "connect", network, container)
    cluster.wait_for_workers(workers)


def stop_and_start(cluster, *how, code):
    docker(*how, cluster.coordinator)
    found = wait_for_exit(cluster.coordinator, 30)
    check(found == code, f"{how}: exit {found}, expected {code}")
    docker("start", cluster.coordinator)
    cluster.wait_for_progress(5)


def test_a_cluster_that_is_disturbed_gives_the_same_bytes(folder):
    need_docker("auscult")
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=36)
    cluster = Cluster(data, LONG, BRIDLE)
    try:
        cluster.scale(1)
        cluster.wait_for_workers(1)
        cluster.wait_for_progress(5)
        cluster.scale(4)
        cluster.wait_for_workers(4)
        workers = cluster.containers("worker")
        kill_worker(workers[0])
        cluster.wait_for_workers(4)
        cut_network(cluster, workers[1], 4)
        stop_and_start(cluster, "kill", code=137)
        stop_and_start(cluster, "stop", code=75)
        cluster.wait_for_workers(4)
        cluster.scale(2)
        cluster.wait_for_workers(2)
        docker("update", "--cpus", "1", *cluster.containers("worker"))
        check(wait_for_exit(cluster.coordinator, 300) == 0, logs(cluster.coordinator))
        for worker in cluster.containers("worker"):
            check(wait_for_exit(worker, 60) == 0, logs(worker))
        out = cluster.take_results(f"{folder}/out")
        said = logs(cluster.coordinator)
    finally:
        cluster.compose("down", "--volumes", "--timeout", "5")
        clean()
    check_clean()
    check_has(said, "connection lost", "resumed", "asked to leave")
    auscult("run", "--data", data, "--out", f"{folder}/here", "--local", "2", *LONG, seconds=400)
    check_same_results(out, f"{folder}/here", with_pictures=False)


def test_a_container_says_how_its_run_is_and_runs_as_nobody(folder):
    need_docker("auscult")
    data = make_data(f"{folder}/data", ("fan",))
    cluster = Cluster(data, ["--set", "epochs=100000"])
    try:
        cluster.scale(1)
        health = "docker inspect: healthy"
        wait_until(lambda: inspect(cluster.coordinator, ".State.Health.Status") == "healthy", health)
        for service in ("coordinator", "worker"):
            for container in cluster.containers(service):
                check(docker("exec", container, "id", "-u") == "10001", "it is root")
                result = run("docker", "exec", container, "touch", "/usr/bin/x", expect=None)
                check_has(result.err, "Read-only file system")
        result = run("docker", "exec", cluster.coordinator, "touch", "/data/x", expect=None)
        check_has(result.err, "Read-only file system")
    finally:
        cluster.compose("down", "--volumes", "--timeout", "5")
        clean()
    check_clean()


main(globals())
