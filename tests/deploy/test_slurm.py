#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/slurm on a real Slurm, Debian's, of two nodes in containers: a job runs to its end; one
whose time is too short ends in time, queues itself again and goes on to the same bytes; workers of
another job join a coordinator by the run's folder."""

import os
import re

from containers import DEPLOY, MINE, check_clean, clean, docker, image, need_docker
from harness import auscult, check, check_has, check_same_results, main, make_data, run, wait_until

USER = "10001:10001"  # who the image's programs run as; jobs are nobody's but theirs
SHORT = ["--set", "epochs=20", "--set", "batch_size=32"]
# More than a bridled node does in a minute; when the job was queued again the bridle is taken off.
LONG = ["--set", "epochs=350", "--set", "batch_size=32"]
BRIDLE = "0.2"

# A job that was queued again may have a node's old credential for two seconds more (cred_expire), by
# default for two minutes.
CONFIG = """ClusterName=test
SlurmctldHost={head}
AuthType=auth/munge
AuthInfo=cred_expire=2
CryptoType=crypto/munge
SlurmUser=slurm
StateSaveLocation=/var/lib/slurm/state
SlurmdSpoolDir=/var/lib/slurm/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=10
NodeName={head} CPUs=4
NodeName={other} CPUs=4
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""

START = """set -eu
install -d -o munge -g munge -m 755 /run/munge
echo 'a key that this test alone has, thirty-two bytes' >/etc/munge/munge.key
chown munge /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
runuser -u munge -- munged
install -d /etc/slurm && cp /shared/slurm.conf /etc/slurm/slurm.conf
"""


class Slurm:
    """Two nodes, the first with slurmctld; /shared is a volume of both."""

    def __init__(self, folder):
        self.head, self.other = f"{MINE}-head", f"{MINE}-other"
        self.volume = f"{MINE}-shared"
        docker("network", "create", "--internal", f"{MINE}-nodes")
        docker("volume", "create", self.volume)
        with open(f"{folder}/slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(head=self.head, other=self.other))
        for node in (self.head, self.other):
            docker("run", "-d", "--name", node, "--hostname", node, "--network", f"{MINE}-nodes",
                   "-v", f"{self.volume}:/shared", image("slurm"), "sleep", "infinity")
        self.put(f"{folder}/slurm.conf", "slurm.conf")
        for node, daemons in ((self.head, "slurmctld\nslurmd"), (self.other, "slurmd")):
            docker("exec", node, "sh", "-c", START + daemons)
        docker("exec", self.head, "chown", USER, "/shared")
        wait_until(lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 2,
                   "both nodes are idle")

    def put(self, path, name):
        docker("cp", path, f"{self.head}:/shared/{name}")

    def ask(self, *command):
        """As the user, on the first node."""
        return docker("exec", "--user", USER, "-w", "/shared", self.head, *command)

    def submit(self, script, *args):
        self.put(os.path.join(DEPLOY, "slurm", script), script)
        return self.ask("sbatch", "--parsable", *args)

    def job(self, number):
        """Slurm's own words for it, by name."""
        found = run("docker", "exec", self.head, "scontrol", "show", "job", "-o", number, expect=None)
        return dict(re.findall(r"(\w+)=(\S*)", found.out.splitlines()[0])) if found.out else {}

    def said(self, number):
        return self.ask("sh", "-c", f"cat slurm-{number}*.out 2>/dev/null || true")

    def wait_for(self, number, state, seconds):
        def reached():
            now = self.job(number).get("JobState")
            check(now not in {"FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "COMPLETED"} - {state},
                  f"job {number} is {now}, not {state}:\n{self.said(number)}")
            return now == state

        try:
            wait_until(reached, f"job {number} is {state}", seconds)
        except Exception as why:
            raise type(why)(f"{why}\n{self.job(number)}\n{self.said(number)}") from None

    def take(self, name, out):
        docker("cp", f"{self.head}:/shared/{name}", out)
        return out


def cluster_of(folder):
    need_docker("slurm")
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=36)
    slurm = Slurm(folder)
    slurm.put(data, "data")
    return slurm, data


def test_a_job_ends_and_one_that_is_too_short_goes_on_to_the_same_bytes(folder):
    try:
        slurm, data = cluster_of(folder)
        job = slurm.submit("auscult.sbatch", "--nodes=2", "--ntasks=4", "auscult.sbatch",
                           "--data", "/shared/data", "--out", "/shared/whole", *SHORT)
        slurm.wait_for(job, "COMPLETED", 120)
        check(slurm.job(job)["NumNodes"] == "2", str(slurm.job(job)))
        said = slurm.said(job)
        for node in (slurm.head, slurm.other):
            check(re.search(rf"worker {node}:\d+ joined", said), f"nobody joined from {node}:\n{said}")
        whole = slurm.take("whole", f"{folder}/whole")

        # A minute is the least that Slurm gives; its signal comes up to half a minute early.
        docker("update", "--cpus", BRIDLE, slurm.head, slurm.other)
        job = slurm.submit("auscult.sbatch", "--ntasks=4", "--time=1", "--signal=B:TERM@10",
                           "auscult.sbatch", "--data", "/shared/data", "--out", "/shared/cut", *LONG)
        wait_until(lambda: int(slurm.job(job).get("Restarts", 0)) >= 1, "the job is queued again", 120)
        check_has(slurm.said(job), "stopped; to continue", f"queueing job {job} again")
        docker("update", "--cpus", str(os.cpu_count()), slurm.head, slurm.other)
        check("Killed" not in slurm.said(job), f"workers were killed:\n{slurm.said(job)}")
        # Slurm itself would wait two minutes before it begins again.
        run("docker", "exec", slurm.head, "scontrol", "update", f"jobid={job}", "timelimit=30",
            "starttime=now")
        slurm.wait_for(job, "COMPLETED", 480)
        check_has(slurm.said(job), "resumed:")
        cut = slurm.take("cut", f"{folder}/cut")

        join_from_another_job(slurm, data, folder)
    finally:
        clean()
    check_clean()
    for out, options in ((whole, SHORT), (cut, LONG)):
        auscult("run", "--data", data, "--out", f"{out}-here", "--local", "2", *options, seconds=400)
        check_same_results(out, f"{out}-here", with_pictures=False)


def join_from_another_job(slurm, data, folder):
    """A coordinator that is no job, and an array of workers; one of them is asked to leave."""
    docker("exec", "-d", "--user", USER, slurm.head, "auscult", "run", "--data", "/shared/data",
           "--out", "/shared/joined", "--bind", "tcp://0.0.0.0:0", *SHORT)
    found = "test -s /shared/joined/endpoint && echo yes || true"
    wait_until(lambda: slurm.ask("sh", "-c", found) == "yes", "the coordinator is there")
    job = slurm.submit("workers.sbatch", "--array=1-3", "workers.sbatch", "/shared/joined")
    wait_until(lambda: not slurm.ask("squeue", "-h", "-j", job), "the workers are done", 120)
    check_has(slurm.said(job), "the run is over")
    joined = slurm.take("joined", f"{folder}/joined")
    auscult("run", "--data", data, "--out", f"{folder}/joined-here", "--local", "2", *SHORT)
    check_same_results(joined, f"{folder}/joined-here", with_pictures=False)


main(globals())
