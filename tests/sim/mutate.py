#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the simulator see what it is there for? Each mutation below is one deliberate mistake in the
scheduler core (or in what the simulator has in the place of journal and loop). It is applied to a
copy, which is built with the simulator and with the core's unit tests; the table that is printed
says which promise found it, after how many worlds, and whether a unit test did too.

A mutation that the simulator does not find within --worlds worlds fails the script, and so does one
that no longer applies exactly once: then the code has changed, and the mutation must follow. What
is written in capitals in the first column is the idea; the promise in the second is the sentence of
tests/sim that was broken. "a crash" is an assertion of the core itself.

    mutate.py --build DIR [--some N] [--worlds N] [--only TEXT]

    --build   a build folder of this tree with compile_commands.json (presets make one)
    --some    only so many of them, drawn anew each time (default: 5, or all with AUSCULT_LONG=1)
    --only    those whose name has this text
"""

import argparse
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

CORE = "coordinator/core/"
SIM = "tests/sim/"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 120  # for one run: a mutation may also make the core turn for ever

# Name, file, text, what stands there instead.
MUTATIONS = [
    # ---- coordinators and answers ----
    ("no incarnation fence", CORE + "answer.c",
     "if (result->attempt >> 32 != core->config.incarnation) {\n        return; // of",
     "if (false) {\n        return; // of"),
    ("acknowledged before it is durable", CORE + "answer.c",
     "if (state == TASK_DONE) {\n        core_gather_ack", "if (true) {\n        core_gather_ack"),
    ("acknowledgement lost", CORE + "core.c",
     "core_gather_ack(core, lease->session, tag, lease->counter);", ""),
    ("late answer is not acknowledged", CORE + "answer.c",
     "if (state == TASK_DONE) {\n        core_gather_ack", "if (false) {\n        core_gather_ack"),
    ("any state taken as open", CORE + "answer.c",
     "if (state == TASK_ANSWERED || state == TASK_DONE) {", "if (false) {"),
    ("answer taken that the owner already gives", CORE + "answer.c",
     "if (state == TASK_DOUBTED || state == TASK_ABANDONED) {", "if (false) {"),
    ("late answer of a lost lease refused", CORE + "answer.c",
     "if (result->outcome == RESULT_DONE) {\n            take_batch", "if (false) {\n            take_batch"),
    ("late answer to a training taken", CORE + "answer.c",
     "if (core->tasks[tag].kind != TASK_TRAIN) {\n        if (result", "if (true) {\n        if (result"),
    ("answer of one member ends the training", CORE + "answer.c",
     "if (--task->owing == 0) {", "if (task->owing-- > 0) {"),
    ("answer that waits for its state forgotten", CORE + "answer.c",
     "buffer_append(&lease->answer, bytes, size);", ""),
    ("wrong answer forgiven", CORE + "answer.c",
     "roster_expel(core, session, ENDING_POLITE, why, now_ms);",
     "(void)now_ms;"),
    ("alarm not raised", CORE + "answer.c",
     "!digest_equal(first->digest, digest)", "false && !digest_equal(first->digest, digest)"),
    ("alarm raised for the same bits", CORE + "answer.c",
     "&& !digest_equal(first->digest, digest)", ""),
    ("first answer not remembered", CORE + "answer.c",
     "remember(core, tag, session, digest);", ""),
    # ---- credits and dispatch ----
    ("credit lost", CORE + "lease.c",
     "session->credits--;", "session->credits -= session->credits > 1 ? 2 : 1;"),
    ("credit not spent", CORE + "lease.c",
     "    session->credits--;\n", ""),
    ("credits not added up", CORE + "core.c",
     "session->credits += message->credit.count", "session->credits = message->credit.count"),
    ("quiet workers given work", CORE + "dispatch.c",
     "session->credits > 0 && !session->is_quiet &&", "session->credits > 0 &&"),
    ("who falls silent stays willing", CORE + "roster.c",
     "session->is_quiet = now_ms >= quiet_ms;\n    dispatch_place(core, session);",
     "session->is_quiet = now_ms >= quiet_ms;"),
    ("who hangs is given more", CORE + "dispatch.c",
     "session->stuck == STUCK_NOT;", "true;"),
    ("who hung is given nothing more", CORE + "core.c",
     "            session->stuck = STUCK_NOT;\n            dispatch_place", "            dispatch_place"),
    ("trainers given other work", CORE + "dispatch.c",
     ".wants_alone = true};", ".wants_alone = false};"),
    ("suspected poison not alone", CORE + "dispatch.c",
     ".wants_alone = wants_alone}, now_ms);", ".wants_alone = false}, now_ms);"),
    ("no worker comes free for models", CORE + "dispatch.c",
     "return core->queues[QUEUE_TRAINS].count > 0 ? 0 : LEASES_MOST;", "return LEASES_MOST;"),
    ("wrong share", CORE + "dispatch.c",
     ".share = {i * count, count}", ".share = {0, count}"),
    ("who failed is asked again", CORE + "dispatch.c",
     "if (!trouble_has_failed(core, tag, s, now_ms)) {\n                return s;",
     "if (s != NULL) {\n                return s;"),
    # ---- stragglers ----
    ("double dispatch", CORE + "dispatch.c",
     "if (now_ms - lease->since_ms < straggler_ms) {", "if (false) {"),
    ("stragglers never doubled", CORE + "dispatch.c",
     "lease != NULL && core->idle_willing > 0;", "lease != NULL && false;"),
    ("doubled again and again", CORE + "dispatch.c",
     "            lease_not_doubled(core, lease);\n", ""),
    ("doubled task waits again when one holder goes", CORE + "lease.c",
     "} else if (!lease_is_held(core, tag)) {", "} else {"),
    ("others not told that it is answered", CORE + "answer.c",
     "            core_cancel(core, lease);\n", ""),
    # ---- the end of leases ----
    ("lease not freed on close", CORE + "roster.c",
     "        lease_lost(core, tag, now_ms);\n", "        (void)tag;\n"),
    ("cancel not sent to a broken group", CORE + "lease.c",
     "            core_cancel(core, lease);\n        }\n        lease_end(core, lease, now_ms);\n    }\n}\n\nvoid lease_free",
     "        }\n        lease_end(core, lease, now_ms);\n    }\n}\n\nvoid lease_free"),
    ("deadline never judged", CORE + "roster.c",
     "if (now_ms >= session->deadline_ms) {", "if (false) {"),
    ("deadline too early", CORE + "state.h",
     "LEASE_LEAST_MS = 10000,", "LEASE_LEAST_MS = 1000,"),
    ("task lost at its deadline", CORE + "lease.c",
     "        core_cancel(core, lease);\n    }\n    lease_end(core, lease, now_ms);\n    lease_lost(core, tag, now_ms);\n}",
     "        core_cancel(core, lease);\n    }\n    lease_end(core, lease, now_ms);\n}"),
    ("what waits behind a hung task not taken back", CORE + "lease.c",
     "        core_cancel(core, session->given.last);\n", ""),
    ("progress moves no deadline", CORE + "lease.c",
     "        lease->progress = message->progress.done;\n        lease_renew(core, lease, now_ms);\n",
     "        lease->progress = message->progress.done;\n"),
    ("old progress moves the deadline", CORE + "lease.c",
     "if (message->progress.done > lease->progress) {", "if (true) {"),
    ("any attempt taken for the lease", CORE + "lease.c",
     "lease->counter == (uint32_t)attempt &&", "attempt > 0 &&"),
    # ---- groups ----
    ("waits never reset", CORE + "group.c", "        lease->waits = false;\n", ""),
    ("who waits for others is judged", CORE + "group.c", "    lease->waits = true;\n", ""),
    ("group_changed(0) not called", CORE + "group.c",
     "    core->config.hooks.group_changed(core->config.hooks.context, tag, 0);\n", ""),
    ("sums of other shards taken", CORE + "group.c",
     "if (header->blob.first != lease->first || header->blob.count != lease->count) {", "if (false) {"),
    ("total to the first member alone", CORE + "group.c",
     "lease != NULL; lease = lease->next_of_task) {\n        if (lease->state",
     "lease != NULL; lease = NULL) {\n        if (lease->state"),
    ("lost bulk connection passed over", CORE + "core.c",
     "        group_broken(core, lease->tag, now_ms);\n", "        (void)now_ms;\n"),
    # ---- sessions ----
    ("second HELLO on a connection welcome", CORE + "core.c",
     'core_on_malformed(core, peer, "a second HELLO", now_ms);',
     'roster_close(core, session, "HELLO again", ENDING_POLITE, now_ms);\n'
     "            roster_hello(core, peer, message, now_ms);"),
    ("second HELLO keeps the old session", CORE + "roster.c",
     "            roster_close(core, worker->session, AGAIN, ENDING_POLITE, now_ms);\n",
     "            worker->session = NULL;\n            make_absent(core, worker);\n"),
    ("HELLO again taken for a death", CORE + "roster.c",
     "roster_close(core, worker->session, AGAIN, ENDING_POLITE, now_ms);",
     "roster_close(core, worker->session, AGAIN, ENDING_LOST, now_ms);"),
    ("a silent worker's session never ends", CORE + "roster.c",
     "if (now_ms >= lost_ms) {", "if (false) {"),
    ("a silent worker's session ends too soon", CORE + "state.h",
     "LOST_ALIVES = 30,", "LOST_ALIVES = 5,"),
    ("one token for all sessions", CORE + "roster.c",
     "uint64_t number = ++core->tokens;", "uint64_t number = 1;"),
    ("a late loop judges at once", CORE + "core.c",
     "return now_ms >= core->judge_ms;", "return true;"),
    # ---- failures ----
    ("CANNOTS_MOST ignored", CORE + "state.h", "CANNOTS_MOST = 3,", "CANNOTS_MOST = 300,"),
    ("the owner asked after two cannots", CORE + "state.h", "CANNOTS_MOST = 3,", "CANNOTS_MOST = 2,"),
    ("poison too early", CORE + "state.h", "DEATHS_POISON = 3,", "DEATHS_POISON = 2,"),
    ("poison never", CORE + "state.h", "DEATHS_POISON = 3,", "DEATHS_POISON = 300,"),
    ("no time for the dead to come back", CORE + "state.h",
     "POISON_GRACE_MS = 10000,", "POISON_GRACE_MS = 100,"),
    ("deaths not taken back", CORE + "roster.c",
     "        trouble_take_back(core, worker, now_ms);\n", ""),
    ("training blamed for deaths", CORE + "roster.c",
     "ending == ENDING_LOST && !is_training", "ending == ENDING_LOST"),
    ("blamed for what waited", CORE + "roster.c",
     "const Lease *lease = session->given.first;\n    if (lease == NULL ||",
     "const Lease *lease = session->given.last;\n    if (lease == NULL ||"),
    ("leaving politely taken for a death", CORE + "core.c",
     "message->goodbye.text, ENDING_POLITE, now_ms);", "message->goodbye.text, ENDING_LOST, now_ms);"),
    ("failures of earlier coordinators forgotten", CORE + "core.c",
     "    trouble_restore(core, task);\n", ""),
    ("what begins anew keeps its failures in the journal", CORE + "core.c",
     "    trouble_begin_anew(core, tag);\n", "    trouble_forget(core, tag);\n"),
    ("hopeless tasks wait for ever", CORE + "dispatch.c",
     "} else if (core->session_count > 0 && !trouble_somebody_could(core, tag, now_ms)) {",
     "} else if (false) {"),
    # ---- trainings that wait for other workers ----
    ("stranded: given to who failed it", CORE + "core.c",
     "    trouble_look_over(core, tag);\n", "    trouble_forgive(core, tag);\n"),
    ("stranded: who failed it asked again in the same session", CORE + "trouble.c",
     "failure->session != session->number &&", "failure->session > 0 &&"),
    ("stranded: who comes back asked again at once", CORE + "trouble.c",
     "now_ms - failure->last_ms >= pause_ms(failure);", "true;"),
    ("stranded: the pause does not grow", CORE + "trouble.c",
     "ldexp(PAUSE_LEAST_MS, (int)failure->times - 1)", "ldexp(PAUSE_LEAST_MS, 0)"),
    ("stranded: who comes back never asked again", CORE + "trouble.c",
     "failure != NULL && !may_try_again(trouble, failure, session, now_ms);", "failure != NULL;"),
    ("stranded: nobody new is given it", CORE + "dispatch.c",
     "    dispatch_stranded(core, now_ms);\n", ""),
    ("stranded: the owner asked again though nobody new failed", CORE + "dispatch.c",
     "        if (trouble_of(core, tag)->is_looked_over) {\n            queue_push",
     "        if (false) {\n            queue_push"),
    ("stranded: the owner not asked again though another failed", CORE + "trouble.c",
     "    trouble->is_looked_over = false;\n", ""),
    # ---- the journal and the loop, as the simulator has them ----
    ("journal tells before its transaction ends", SIM + "disk.c",
     "    make_durable();\n    if (disk->told.count == 0) {", "    if (disk->told.count == 0) {"),
    ("journal goes on after an error", SIM + "disk.c", "        disk->is_broken = true;\n", ""),
]


def compile_commands(build):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return {os.path.relpath(c["file"], ROOT): c for c in json.load(file)}


def link_commands(build):
    """Of every test that links the core: name and command line."""
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", "test_sim_core"],
                          capture_output=True, text=True, check=True).stdout
    found = {"test_sim_core": text.strip().split("\n")[-1]}
    names = sorted(n for n in os.listdir(os.path.join(ROOT, "tests/unit/coordinator"))
                   if n.startswith("test_core") and n.endswith(".c"))
    for name in (n[:-2] for n in names):
        text = subprocess.run(["ninja", "-C", build, "-t", "commands", name],
                              capture_output=True, text=True, check=True).stdout
        found[name] = text.strip().split("\n")[-1]
    return found


class Laboratory:
    """A folder in which one mutation after the other is built and run."""

    def __init__(self, build, folder):
        self.build, self.folder = os.path.abspath(build), folder
        self.compiles = compile_commands(build)
        self.links = link_commands(build)
        subprocess.run(["ninja", "-C", build, *self.links], check=True, capture_output=True)
        shutil.copytree(os.path.join(ROOT, CORE), os.path.join(folder, CORE))
        shutil.copytree(os.path.join(ROOT, SIM), os.path.join(folder, SIM))

    def compile(self, source):
        """The object of a source of this folder, whose headers come before the tree's."""
        command = shlex.split(self.compiles[source]["command"])
        target = os.path.join(self.folder, source + ".o")
        changed = ["-I" + self.folder]
        for i, word in enumerate(command):
            if word == "-o":
                command[i + 1] = target
            elif word == "-c":
                command[i + 1] = os.path.join(self.folder, source)
            elif word in ("-MF", "-MT"):
                command[i + 1] = target + ".d"
        command = [word for word in command if word != "-Werror"]
        first_include = next(i for i, w in enumerate(command) if w.startswith("-I"))
        command[first_include:first_include] = changed
        subprocess.run(command, cwd=self.build, check=True, capture_output=True)
        return target

    def link(self, name, core_objects, sim_objects):
        """The program `name` with these objects in the place of those of the tree."""
        command = self.links[name]
        command = command[command.index("&&") + 2:] if command.startswith(":") else command
        command = command[:command.rindex("&&")] if "&&" in command else command
        words = shlex.split(command)
        for source, target in sim_objects.items():
            words = [target if w.endswith(source[len(SIM):] + ".o") and "test_sim_core" in w else w
                     for w in words]
        at = next(i for i, w in enumerate(words) if w.endswith("libcore.a"))
        words[at:at] = core_objects
        program = os.path.join(self.folder, name)
        words[words.index("-o") + 1] = program
        subprocess.run(words, cwd=self.build, check=True, capture_output=True)
        return program

    def programs(self, path):
        """Both kinds of tests with the mutated file `path`."""
        folder = CORE if path.startswith(CORE) else SIM
        sources = sorted(s for s in self.compiles if s.startswith(folder))
        if path.endswith(".c"):
            sources = [path]
        objects = {s: self.compile(s) for s in sources}
        core = list(objects.values()) if folder == CORE else []
        sim = objects if folder == SIM else {}
        names = self.links if folder == CORE else ["test_sim_core"]
        return {name: self.link(name, core, sim) for name in names}

    def mutate(self, path, old, new):
        """Returns what undoes it."""
        full = os.path.join(self.folder, path)
        with open(full, encoding="utf-8") as file:
            text = file.read()
        with open(full, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))

        def undo():
            with open(full, "w", encoding="utf-8") as restored:
                restored.write(text)
        return undo


def run(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, errors="replace")
        return done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        return -1, "BROKEN: it turns for ever"


def by_simulator(program, worlds):
    """(promise that was broken or None, worlds needed)."""
    status, text = run([program, "1", str(worlds)])
    if status == 0:
        return None, worlds
    broken = re.findall(r"BROKEN: (.*?)(?: \[([a-z_]+\.c):\d+.*)?$", text, re.M)
    seeds = [int(seed) for seed in re.findall(r"SIM_SEED=(\d+)", text)]
    promise = broken[0][0] if broken else "it ends with status %d" % status
    promise = promise.removeprefix("BROKEN: ")
    return promise.replace("the program itself, by signal 6", "a crash (assertion)"), min(seeds, default=0)


def by_unit_tests(programs):
    for name, program in programs.items():
        if name != "test_sim_core":
            status, text = run([program])
            if status != 0:
                failed = re.findall(r"^FAILED (\S+)", text, re.M)
                return failed[0] if failed else name + ": a crash"
    return None


def check_all_apply():
    """Also those that are not drawn today: the code moves on, and they must follow at once."""
    astray = []
    for name, path, old, _ in MUTATIONS:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            count = file.read().count(old)
        if count != 1:
            astray.append(f"'{name}': in {path} there is {count} times, not once:\n{old}")
    if astray:
        sys.exit("mutate.py: " + "\n".join(astray))


def examine(laboratory, mutation, worlds):
    name, path, old, new = mutation
    undo = laboratory.mutate(path, old, new)
    try:
        programs = laboratory.programs(path)
    except subprocess.CalledProcessError as error:
        sys.exit(f"mutate.py: '{name}' does not build:\n{error.stderr.decode(errors='replace')[-2000:]}")
    finally:
        undo()
    promise, needed = by_simulator(programs["test_sim_core"], worlds)
    unit = by_unit_tests(programs)
    print(f"{name:48} {needed if promise else '-':>6}  {promise or 'NOT FOUND'}", flush=True)
    print(f"{'':48} {'':>6}  unit: {unit or '-'}", flush=True)
    return promise is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--some", type=int)
    parser.add_argument("--worlds", type=int, default=4000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not os.path.exists(os.path.join(options.build, "build.ninja")):
        print("skipped: the build folder is not one of Ninja's")
        sys.exit(77)
    check_all_apply()
    chosen = [m for m in MUTATIONS if options.only in m[0]]
    if options.some is None and not options.only:
        options.some = len(chosen) if os.environ.get("AUSCULT_LONG") else 5
    if options.some is not None and options.some < len(chosen):
        seed = random.randrange(1 << 32)
        print(f"drawn by seed {seed}; all: AUSCULT_LONG=1 mutate.py --build {options.build}")
        chosen = random.Random(seed).sample(chosen, options.some)
    print(f"{'mutation':48} {'worlds':>6}  found by")
    with tempfile.TemporaryDirectory(prefix="auscult-mutate-") as folder:
        laboratory = Laboratory(options.build, folder)
        found = sum(examine(laboratory, mutation, options.worlds) for mutation in chosen)
    print(f"{found} of {len(chosen)} mutations found by the simulator")
    sys.exit(0 if found == len(chosen) else 1)


main()
