#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: the manifests are what the published schemas want, and what they start does
what it should, in containers with the manifests' own commands, users, mounts and probes."""

import glob
import os
import re
import sys

from containers import DEPLOY, MINE, check_clean, clean, docker, image, logs, need_docker, wait_for_exit
from harness import (
    SOURCE,
    Skip,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
    run,
    wait_until,
)

try:
    import yaml
except ImportError:
    yaml = None

FILES = sorted(glob.glob(os.path.join(DEPLOY, "kubernetes", "*.yaml")))
CHECKER = "kubernetes-validate==1.37.0"
VERSIONS = ("1.31.0", "1.37.0")  # the oldest with all that the manifests use as stable, and the newest


def manifests():
    if yaml is None:
        raise Skip("no PyYAML here (python3-yaml)")
    found = {}
    for path in FILES:
        with open(path, encoding="utf-8") as file:
            for one in yaml.safe_load_all(file):
                found[one["kind"], one["metadata"]["name"]] = one
    return found


def checker():
    """kubernetes-validate in an environment of its own below the build folder, made once."""
    folder = os.path.join(os.environ.get("AUSCULT_BUILD_DIR", "/tmp/" + MINE), "tests", "venv-kubernetes")
    program = os.path.join(folder, "bin", "kubernetes-validate")
    if not os.access(program, os.X_OK):
        run(sys.executable, "-m", "venv", folder)
        installed = run(os.path.join(folder, "bin", "pip"), "install", "-q", CHECKER, expect=None,
                        seconds=300)
        if installed.code != 0:
            raise Skip(f"{CHECKER} cannot be installed here: {installed.err.strip().splitlines()[-1]}")
    return program


def test_the_manifests_are_valid_by_the_published_schemas(folder):
    program = checker()
    check(len(FILES) >= 4, str(FILES))
    for version in VERSIONS:
        run(program, "--strict", "-k", version, *FILES)
    # And that it would have been noticed:
    with open(FILES[0], encoding="utf-8") as file:
        text = file.read()
    wrong = f"{folder}/wrong.yaml"
    with open(wrong, "w", encoding="utf-8") as file:
        file.write(text.replace("backoffLimit: 10", "backofLimit: ten"))
    check(run(program, "--strict", wrong, expect=None).code != 0, "a misspelt key passes")


def test_the_manifests_fit_each_other(folder):
    del folder
    found = manifests()
    claims = {name for kind, name in found if kind == "PersistentVolumeClaim"}
    for (kind, name), one in found.items():
        if kind == "Job":
            template = one["spec"]["template"]
            for volume in template["spec"]["volumes"]:
                claim = volume.get("persistentVolumeClaim", {}).get("claimName")
                check(claim is None or claim in claims, f"{name}: no claim {claim}")
            labels = template["metadata"]["labels"]
            policies = [p for (k, _), p in found.items() if k == "NetworkPolicy"
                        and p["spec"]["podSelector"]["matchLabels"] == labels]
            check(len(policies) == 1, f"{name}: {len(policies)} network policies are its")
    service = found["Service", "auscult-coordinator"]["spec"]
    coordinator = found["Job", "auscult-coordinator"]["spec"]["template"]
    check(service["selector"] == coordinator["metadata"]["labels"], "the service selects nobody")
    with open(os.path.join(SOURCE, "CMakeLists.txt"), encoding="utf-8") as file:
        version = re.search(r"project\(auscult VERSION (\S+)", file.read()).group(1)
    for (kind, name), one in found.items():
        if kind == "Job":
            names = [c["image"] for c in one["spec"]["template"]["spec"]["containers"]]
            check(names == [f"auscult:{version}"], f"{name}: {names}, but the version is {version}")


def container_options(template, volumes):
    """docker run's options for a pod's one container: its user, limits, mounts, environment."""
    pod, (container,) = template["spec"], template["spec"]["containers"]
    user = pod["securityContext"]
    security = container["securityContext"]
    check(user["runAsNonRoot"] and not security["allowPrivilegeEscalation"], "it may become root")
    options = ["--user", f"{user['runAsUser']}:{user['runAsGroup']}",
               "--security-opt", "no-new-privileges:true"]
    options += [word for name in security["capabilities"]["drop"] for word in ("--cap-drop", name)]
    if security["readOnlyRootFilesystem"]:
        options.append("--read-only")
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        source = sources[mount["name"]]
        if "secret" in source:
            mode = source["secret"]["defaultMode"]
            check(mode & 0o007 == 0, f"everybody may read {source['secret']['secretName']}: {mode:o}")
            options += ["-v", f"{volumes[source['secret']['secretName']]}:{mount['mountPath']}:ro"]
        elif "emptyDir" in source:
            options += ["--tmpfs", mount["mountPath"]]
        else:
            claim = volumes[source["persistentVolumeClaim"]["claimName"]]
            mode = ":ro" if mount.get("readOnly") else ""
            options += ["-v", f"{claim}:{mount['mountPath']}{mode}"]
    memory = container["resources"]["limits"]["memory"]
    options += ["--memory", memory.replace("Gi", "g").replace("Mi", "m")]
    check("command" not in container, "the image's entry point is left out")
    return options, container


def secret_of(folder, command):
    """A volume as the cluster mounts the Secret that this documented command makes."""
    name = re.search(r"secret generic (\S+)", command).group(1)
    volume = f"{MINE}-{name}"
    docker("volume", "create", volume)
    files = " ".join(f"/keys/{os.path.basename(path)}" for path in re.findall(r"--from-file=(\S+)", command))
    docker("run", "--rm", "--name", f"{MINE}-secret", "--network", "none", "--user", "0:0", "-v",
           f"{folder}/keys:/keys:ro", "-v", f"{volume}:/secret", image("auscult"), "sh", "-c",
           f"install -m 440 -o 0 -g 10001 {files} /secret")
    return name, volume


def documented_secrets():
    """The commands that coordinator.yaml tells, each in one line."""
    with open(os.path.join(DEPLOY, "kubernetes", "coordinator.yaml"), encoding="utf-8") as file:
        text = re.sub(r"\\\n#\s*", "", file.read())
    return re.findall(r"kubectl create secret .*", text)


def start(name, template, volumes, *more):
    options, container = container_options(template, volumes)
    docker("run", "-d", "--name", name, "--network", MINE, "--no-healthcheck", *more, *options,
           # Docker takes half a minute to say that a name is not known yet; a cluster says so at once.
           "--dns-option", "timeout:1", "--dns-option", "attempts:1",
           image("auscult"), *map(str, container["args"]))
    return container


def run_the_pods(found, volumes):
    """Both jobs' pods, workers first, and the coordinator's probes; returns when all have ended."""
    jobs = {name: one["spec"] for (kind, name), one in found.items() if kind == "Job"}
    workers = [f"{MINE}-worker-{i}" for i in range(jobs["auscult-worker"]["parallelism"])]
    for name in workers:
        start(name, jobs["auscult-worker"]["template"], volumes)
    coordinator = f"{MINE}-coordinator"
    container = start(coordinator, jobs["auscult-coordinator"]["template"], volumes,
                      "--network-alias", found["Service", "auscult-coordinator"]["metadata"]["name"])
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = container[kind]["exec"]["command"]
        wait_until(lambda c=command: run("docker", "exec", coordinator, *c, expect=None).code == 0,
                   f"the {kind} is content")
    for name in (coordinator, *workers):
        check(wait_for_exit(name, 120) == 0, logs(name))
    check_has(logs(coordinator), f"{len(workers)} workers")
    return coordinator


def test_what_the_manifests_start_gives_the_same_bytes(folder):
    need_docker("auscult")
    found = manifests()
    data = make_data(f"{folder}/data", ("fan", "ToyCar"), train=100)
    try:
        docker("network", "create", "--internal", MINE)
        docker("volume", "create", f"{MINE}-run")
        auscult("keygen", f"{folder}/keys")
        secrets = dict(secret_of(folder, command) for command in documented_secrets())
        check(len(secrets) == 2, str(secrets))
        volumes = {"auscult-data": data, "auscult-run": f"{MINE}-run", **secrets}
        coordinator = run_the_pods(found, volumes)
        docker("cp", f"{coordinator}:/run-folder", f"{folder}/out")
    finally:
        clean()
    check_clean()
    auscult("run", "--data", data, "--out", f"{folder}/here", "--local", "2")
    check_same_results(f"{folder}/out", f"{folder}/here", with_pictures=False)


main(globals())
