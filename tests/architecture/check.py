#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the source tree to the rules that no compiler checks: who may include whom, which file may
know which library, where the heap, the clock and the log may be touched, and what every file must
carry.

    check.py TREE           prints every violation; exit status 1 when there is one
    check.py --self-test    makes small trees that break each rule once, and requires that the
                            rule, and no other, notices
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

# Layers, and the layers that each may include; its own is always allowed.
LAYERS = {
    "common/base": [],
    "common/dsp": ["common/base"],
    "common/model": ["common/base"],
    "common/eval": ["common/base"],
    "common/store": ["common/base"],
    "proto": ["common/base"],
    "common/engine": ["common/base", "common/dsp", "common/model", "common/eval", "common/store"],
}
LAYERS["worker"] = LAYERS["coordinator"] = ["proto", *LAYERS["common/engine"], "common/engine"]

# Library: its headers, its CMake target, how many .c files may include it (tests apart).
LIBRARIES = {
    "libsndfile": (r"sndfile\.h", "SNDFILE", 1),
    "FFTW": (r"fftw3\.h", "FFTW", 1),
    "OpenBLAS": (r"(cblas|openblas_config|lapacke)\.h", "OPENBLAS", 1),
    "libzmq": (r"zmq(_utils)?\.h", "ZMQ", 2),  # one file has the sockets, one who may connect
    "msgpack-c": (r"msgpack(\.h|/.*)", "MSGPACK", 2),  # one file writes, one reads
    "SQLite": (r"sqlite3\.h", "SQLITE", 2),  # one file has the database, one its rows
    "libzip": (r"zip\.h", "ZIP", 1),
    "HDF5": (r"hdf5\.h", "HDF5", 1),
    "libyaml": (r"yaml\.h", "YAML", 1),
    "libmicrohttpd": (r"microhttpd\.h", "MICROHTTPD", 1),
    "GSL": (r"gsl/.*", "GSL", 1),
    "xxHash": (r"xxh(ash|3)\.h", "XXHASH", 1),
}

# What only the named files may call.
RESERVED_CALLS = [
    (
        "the heap is reached through common/base/mem.h",
        r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|"
        r"aligned_alloc|posix_memalign|memalign)\s*\(",
        {"common/base/mem.c"},
    ),
    (
        "clocks are read through common/base/clock.h",
        r"\b(clock_gettime|gettimeofday|time|clock)\s*\(",
        {"common/base/clock.c"},
    ),
    (
        "random numbers come from common/base/rng.h",
        r"\b(rand|srand|random|srandom|drand48|rand_r)\s*\(",
        set(),
    ),
]

# Library code returns a Status and leaves logging to loops and mains.
SILENT_LAYERS = ["common/dsp", "common/model", "common/eval", "common/store", "proto"]

MOST_LINES = 600  # of one source file, tests apart
SKIPPED_FOLDERS = {"build", "demo", "__pycache__"}
# In pieces, or this file would break its own rule.
MACHINE_PATHS = ["/wo" + "rk/", "/tmp" + "/wt", "/fa" + "rm/", "/bash" + "_jobs", "/ro" + "ot/", "/ho" + "me/"]
CLANG_FORMAT_VERSION = "14"


class Tree:
    """The text files below one folder, by path from it."""

    def __init__(self, root):
        self.root = root
        self.texts = {}
        for folder, folders, names in os.walk(root):
            here = os.path.relpath(folder, root)
            folders[:] = sorted(
                name
                for name in folders
                if name not in SKIPPED_FOLDERS
                and (not name.startswith(".") or name == ".ci")
                and not name.startswith("run-")
            )
            for name in sorted(names):
                self._read(os.path.normpath(os.path.join(here, name)))

    def _read(self, path):
        full = os.path.join(self.root, path)
        # In a linked work tree .git is a file that names its own machine's path.
        if os.path.islink(full) or not os.path.isfile(full) or path == ".git":
            return
        with open(full, "rb") as file:
            data = file.read()
        if b"\0" not in data:
            self.texts[path] = data.decode("utf-8", "replace")

    def c_files(self, tests=False):
        return [
            path
            for path in self.texts
            if path.endswith((".c", ".h")) and (tests or not path.startswith("tests/"))
        ]


def code_lines(text):
    """(line number, line) with comments and the insides of strings removed."""

    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]

    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    plain = re.sub(pattern, blank, text, flags=re.DOTALL)
    return list(enumerate(plain.split("\n"), 1))


def includes(text):
    """(line number, opening character, name) of every #include."""
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def layer_of(path):
    return next((layer for layer in LAYERS if path.startswith(layer + "/")), None)


def check_includes(tree):
    for path in tree.c_files(tests=True):
        own = layer_of(path)
        for number, opening, name in includes(tree.texts[path]):
            if opening != '"':
                continue
            where = f"{path}:{number}"
            if name not in tree.texts:
                yield f"{where}: include \"{name}\" is not written from the root of the tree"
                continue
            other = layer_of(name)
            if path.startswith("tests/") or other == own:
                continue
            if other is None or own is None or other not in LAYERS[own]:
                yield f"{where}: {own or path} must not include {name}"


def check_layers_are_known(tree):
    for path in tree.c_files():
        if layer_of(path) is None:
            yield f"{path}: belongs to no layer that tests/architecture/check.py knows"


def check_libraries(tree):
    cmake = "\n".join(
        text
        for path, text in tree.texts.items()
        if path.endswith("CMakeLists.txt") and not path.startswith("tests/")
    )
    for library, (pattern, target, most) in LIBRARIES.items():
        users = set()
        for path in tree.c_files():
            for number, opening, name in includes(tree.texts[path]):
                if opening == "<" and re.fullmatch(pattern, name):
                    users.add(path)
                    if path.endswith(".h"):
                        yield f"{path}:{number}: a header of ours includes <{name}>"
        if len(users) > most:
            yield f"{library} is included by {', '.join(sorted(users))}: {most} allowed"
        if not users and f"PkgConfig::{target}" in cmake:
            yield f"{library} is linked, but no source includes it"


def check_reserved_calls(tree):
    for path in tree.c_files():
        for number, line in code_lines(tree.texts[path]):
            for rule, pattern, allowed in RESERVED_CALLS:
                if path not in allowed and re.search(pattern, line):
                    yield f"{path}:{number}: {rule}: {line.strip()}"


def check_silence(tree):
    for path in tree.c_files():
        if layer_of(path) not in SILENT_LAYERS:
            continue
        for number, _, name in includes(tree.texts[path]):
            if name == "common/base/log.h":
                yield f"{path}:{number}: library code returns a Status and does not log"


def check_licence_lines(tree):
    for path, text in tree.texts.items():
        head = text.split("\n")[:2]
        if path.endswith((".c", ".h")):
            if head[0] != "// SPDX-License-Identifier: Apache-2.0":
                yield f"{path}: the first line is not the SPDX line"
        elif path.endswith((".py", "CMakeLists.txt")) or text.startswith("#!"):
            if "# SPDX-License-Identifier: Apache-2.0" not in head:
                yield f"{path}: no SPDX line among the first two"


def check_include_guards(tree):
    seen = {}
    for path in tree.c_files(tests=True):
        if not path.endswith(".h"):
            continue
        match = re.search(r"^#ifndef (AUSCULT_\w+_H)\n#define (\w+)\n", tree.texts[path], re.M)
        if match is None or match.group(1) != match.group(2):
            yield f"{path}: no include guard AUSCULT_..._H"
        elif match.group(1) in seen:
            yield f"{path}: same include guard as {seen[match.group(1)]}"
        else:
            seen[match.group(1)] = path


def check_header_comments(tree):
    for path in tree.c_files():
        lines = tree.texts[path].split("\n")
        if path.endswith(".h") and not (lines[1:2] == ["//"] and lines[2].startswith("// ")):
            yield f"{path}: no opening comment that says what the header is for"


def check_sizes(tree):
    for path in tree.c_files():
        count = tree.texts[path].count("\n")
        if count > MOST_LINES:
            yield f"{path}: {count} lines, at most {MOST_LINES}: split it along the domain"


def check_machine_paths(tree):
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            for found in MACHINE_PATHS:
                if found in line:
                    yield f"{path}:{number}: {found} is a path of one machine"


def check_leftovers(tree):
    for path in tree.c_files(tests=True):
        for number, line in enumerate(tree.texts[path].split("\n"), 1):
            match = re.search(r"\b(TODO|FIXME|HACK)\b", line)
            if match:
                yield f"{path}:{number}: {match.group(1)} left in the source"


def check_limits(tree):
    header = "common/base/limits.h"
    if "coordinator/main.c" not in tree.texts:
        return  # the modules that need the limits are still being written
    everything = "\n".join(text for path, text in tree.texts.items() if path != header)
    for name in re.findall(r"^#define (LIMIT_\w+)", tree.texts.get(header, ""), re.M):
        if not re.search(rf"\b{name}\b", everything):
            yield f"{header}: {name} limits nothing"


def find_clang_format():
    for name in (f"clang-format-{CLANG_FORMAT_VERSION}", "clang-format"):
        path = shutil.which(name)
        if path is None:
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if re.search(rf"version {CLANG_FORMAT_VERSION}\.", said.stdout):
            return path
    return None


def check_layout(tree):
    program = find_clang_format()
    files = tree.c_files(tests=True)
    if program is None or ".clang-format" not in os.listdir(tree.root) or not files:
        if program is None:
            print(f"skipped: clang-format {CLANG_FORMAT_VERSION} not found, layout not checked")
        return
    said = subprocess.run(
        [program, "--dry-run", *files], cwd=tree.root, capture_output=True, text=True, check=False
    )
    for path in sorted(set(re.findall(r"^(\S+?):\d+:\d+: ", said.stderr, re.M))):
        yield f"{path}: not laid out as clang-format {CLANG_FORMAT_VERSION} would"
    if said.returncode != 0:
        yield f"clang-format: {said.stderr.strip()[:400]}"


CHECKS = [
    check_includes,
    check_layers_are_known,
    check_libraries,
    check_reserved_calls,
    check_silence,
    check_licence_lines,
    check_include_guards,
    check_header_comments,
    check_sizes,
    check_machine_paths,
    check_leftovers,
    check_limits,
    check_layout,
]


def violations(root):
    tree = Tree(root)
    return [(check.__name__, found) for check in CHECKS for found in check(tree)]


# ---- the self-test: what each rule must notice ----

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def header(guard, body=""):
    return f"{SPDX}//\n// Says what it is for.\n#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


GOOD_TREE = {
    "common/base/mem.h": header("AUSCULT_MEM_H"),
    "common/base/mem.c": SPDX + '#include "common/base/mem.h"\n\nvoid *p = malloc(1);\n',
    "common/base/limits.h": header("AUSCULT_LIMITS_H", "#define LIMIT_A 1\n"),
    "common/dsp/wav.h": header("AUSCULT_WAV_H"),
    "common/dsp/wav.c": SPDX + '#include <sndfile.h>\n\n#include "common/base/mem.h"\n\n'
    "int a = LIMIT_A; // free() in a comment\nconst char *s = \"time(\";\n",
    "common/dsp/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nPkgConfig::SNDFILE\n",
    "proto/encode.c": SPDX + "#include <msgpack.h>\n",
    "proto/decode.c": SPDX + "#include <msgpack/unpack.h>\n",
    "worker/main.c": SPDX + '#include "common/dsp/wav.h"\n',
    "tests/unit/test_wav.c": SPDX + '#include <sndfile.h>\n\n#include "common/dsp/wav.h"\n',
    "deploy/go": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n",
}

BAD_FILES = [
    (check_includes, {"common/dsp/up.c": SPDX + '#include "worker/loop.h"\n',
                      "worker/loop.h": header("AUSCULT_LOOP_H")}),
    (check_includes, {"common/dsp/side.c": SPDX + '#include "common/eval/e.h"\n',
                      "common/eval/e.h": header("AUSCULT_E_H")}),
    (check_includes, {"coordinator/c.c": SPDX + '#include "worker/loop.h"\n',
                      "worker/loop.h": header("AUSCULT_LOOP_H")}),
    (check_includes, {"common/engine/p.c": SPDX + '#include "proto/p.h"\n',
                      "proto/p.h": header("AUSCULT_P_H")}),
    (check_includes, {"worker/bare.c": SPDX + '#include "wav.h"\n'}),
    (check_layers_are_known, {"common/misc/m.c": SPDX}),
    (check_libraries, {"worker/second.c": SPDX + "#include <sndfile.h>\n"}),
    (check_libraries, {"proto/third.c": SPDX + "#include <msgpack.h>\n"}),
    (check_libraries, {"common/dsp/leaky.h": header("AUSCULT_LEAKY_H", "#include <fftw3.h>")}),
    (check_libraries, {"proto/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nPkgConfig::ZMQ\n"}),
    (check_reserved_calls, {"worker/heap.c": SPDX + "void f(void *p) {\n    free(p);\n}\n"}),
    (check_reserved_calls, {"worker/now.c": SPDX + "long t = time(NULL);\n"}),
    (check_reserved_calls, {"worker/dice.c": SPDX + "int d = rand();\n"}),
    (check_silence, {"common/dsp/chatty.c": SPDX + '#include "common/base/log.h"\n',
                     "common/base/log.h": header("AUSCULT_LOG_H")}),
    (check_licence_lines, {"worker/bare.c": "int a;\n"}),
    (check_licence_lines, {"deploy/bare": "#!/bin/sh\necho\n"}),
    (check_include_guards, {"worker/open.h": SPDX + "//\n// Says what it is for.\nint a;\n"}),
    (check_include_guards, {"worker/twin.h": header("AUSCULT_WAV_H")}),
    (check_header_comments, {"worker/mute.h": SPDX + "#ifndef AUSCULT_M_H\n#define AUSCULT_M_H\n#endif\n"}),
    (check_sizes, {"worker/long.c": SPDX + "\n" * MOST_LINES}),
    (check_machine_paths, {"README.md": "see " + MACHINE_PATHS[0] + "main\n"}),
    (check_leftovers, {"tests/unit/later.c": SPDX + "// TO" + "DO later\n"}),
    (check_limits, {"common/base/limits.h": header("AUSCULT_LIMITS_H", "#define LIMIT_B 1\n"),
                    "coordinator/main.c": SPDX}),
    (check_layout, {"worker/crooked.c": SPDX + "int   a ;\n", ".clang-format": "BasedOnStyle: LLVM\n"}),
]


def noticed_by(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**GOOD_TREE, **files}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return violations(root)


def self_test():
    failures = 0
    clean = noticed_by({})
    if clean:
        print(f"the good tree has violations: {clean}")
        failures += 1
    for check, files in BAD_FILES:
        if check is check_layout and find_clang_format() is None:
            print("skipped: no clang-format to check layout with")
            continue
        names = {name for name, _ in noticed_by(files)}
        if names != {check.__name__}:
            print(f"{list(files)[0]}: {check.__name__} should notice, but {names or 'nothing'} did")
            failures += 1
    untested = {check.__name__ for check in CHECKS} - {check.__name__ for check, _ in BAD_FILES}
    if untested:
        print(f"no bad tree for {untested}")
        failures += 1
    print(f"{len(BAD_FILES) + 1} trees, {failures} failures")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    found = violations(sys.argv[1])
    for _, text in found:
        print(text)
    print(f"{len(CHECKS)} rules, {len(found)} violations")
    return 1 if found else 0


sys.exit(main())
