#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-package on a valid package, which this program makes itself, and on copies of it with one
fault each: the fault must be found where it is, and nothing must be found in the valid one."""

import io
import json
import os
import struct
import warnings
import zipfile

from harness import Failure, auscult, check, check_has, main, make_machine

MACHINES = ["3DPrinter", "AirCompressor", "Scanner", "ToyCircuit", "HoveringDrone", "HairDryer",
            "ToothBrush", "RoboticArm", "BrushlessMotor"]
LABEL = "Doe_Inst_task2_1"
TOP = f"task2/{LABEL}"
SCORES = f"{TOP}/anomaly_score_Scanner_section_00_test.csv"
DECISIONS = f"{TOP}/decision_result_Scanner_section_00_test.csv"
META = f"{TOP}/{LABEL}.meta.yaml"
META_TEXT = """# by hand
submission:
  label: Doe_Inst_task2_1
  name: "An autoencoder: plain"
  abbreviation: AE
  authors:
    - lastname: Doe
      firstname: Jane
      email: jane.doe@example.org
      corresponding: true
      affiliation:
        institution: Institute of Examples
        department: !!null
        location: Somewhere
    - lastname: Roe
      firstname: Ri\u010dard
      email: r@x.org
      corresponding: false
      affiliation:
        institution: Institute of Examples
        department: Sound
        location: Somewhere
system:
  description:
    input_sampling_rate: 16 kHz
    data_augmentation: !!null
    front_end: !!null
    acoustic_features: [log-mel energies, MFCC]
    embeddings: null
    machine_learning_method: AE
    aggregation_method: average
    domain_adaptation_method: ~
    domain_generalization_method: null
    ensemble_method_subsystem_count: 1
    decision_making: gamma
    attribute_usage: null
    external_data_usage: null
    development_data_usage: null
  complexity:
    total_parameters: 267928
    MACS: 0.264 M
  external_datasets:
    - name: ESC-50
      url: https://example.org
      total_audio_length: 166
  source_code: https://example.org/code
results:
  development_dataset:
    ToyCar:
      auc_source: 71.0
      auc_target: 50
      pauc: 5.5e1
    fan:
      auc_source: 0.71
      auc_target: 0.5
      pauc: 0.5
"""


def score_of(machine, i):
    return (i * 37 % 200) / 10 + len(machine)


def valid(label=LABEL, meta=META_TEXT):
    """Path to bytes of a package of 2024."""
    files = {f"task2/{label}/{label}.meta.yaml": meta.replace(LABEL, label).encode()}
    for machine in MACHINES:
        names = [f"section_00_{i:04d}.wav" for i in range(200)]
        scores = [score_of(machine, i) for i in range(200)]
        rows = "".join(f"{n},{s!r}\n" for n, s in zip(names, scores))
        files[f"task2/{label}/anomaly_score_{machine}_section_00_test.csv"] = rows.encode()
        rows = "".join(f"{n},{int(s > 15)}\n" for n, s in zip(names, scores))
        files[f"task2/{label}/decision_result_{machine}_section_00_test.csv"] = rows.encode()
    return files


def zip_bytes(files, more=()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for path, content in [*files.items(), *more]:
            archive.writestr(path, content)
    return out.getvalue()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def findings_of(path, *more, expect=None):
    result = auscult("check-package", path, "--json", *more, expect=expect)
    return json.loads(result.out), result.code


# ---- faults: each changes a valid package and says what must be found ----


def edit(path, old, new, count=1):
    def change(files):
        text = files[path]
        check(old.encode() in text, f"{old!r} is not in {path}")
        files[path] = text.replace(old.encode(), new if isinstance(new, bytes) else new.encode(), count)
    return change


def bytes_of(path, function):
    def change(files):
        files[path] = function(files[path])
    return change


def drop(path):
    def change(files):
        del files[path]
    return change


def add(path, content=b"x"):
    def change(files):
        files[path] = content
    return change


def rename(old, new):
    def change(files):
        for path in list(files):
            if old in path:
                files[path.replace(old, new)] = files.pop(path)
    return change


def relabel(new):
    """A label that is the same everywhere and wrong."""
    def change(files):
        rename(LABEL, new)(files)
        path = f"task2/{new}/{new}.meta.yaml"
        files[path] = files[path].replace(LABEL.encode(), new.encode())
    return change


def more_systems(*labels):
    def change(files):
        for label in labels:
            files.update(valid(label))
    return change


ROW5 = "section_00_0005.wav,"  # stands in line 6
SCORE5 = f"{ROW5}{score_of('Scanner', 5)!r}\n"
EMAIL = "email: jane.doe@example.org"

# (change, severity, path, line or None, part of the text)
FAULTS = {
    # rows
    "byte-order mark": (bytes_of(SCORES, lambda b: b"\xef\xbb\xbf" + b), "error", SCORES, 1, "byte-order mark"),
    "CRLF": (bytes_of(SCORES, lambda b: b.replace(b"\n", b"\r\n")), "error", SCORES, 1, "CR and LF"),
    "lone CR": (edit(SCORES, SCORE5, SCORE5[:-1] + "\rx\n"), "error", SCORES, 6, "LF line ends"),
    "header": (bytes_of(DECISIONS, lambda b: b"file_name,decision\n" + b), "error", DECISIONS, 1, "header"),
    "empty line": (edit(SCORES, SCORE5, SCORE5 + "\n"), "error", SCORES, 7, "empty line"),
    "blank after comma": (edit(SCORES, ROW5, "section_00_0005.wav, "), "error", SCORES, 6, "blanks"),
    "quotes": (edit(SCORES, ROW5, '"section_00_0005.wav",'), "error", SCORES, 6, "quotes"),
    "not UTF-8": (edit(SCORES, "section_00_0005", b"section_00_\xff"), "error", SCORES, 6, "UTF-8"),
    "UTF-16": (bytes_of(SCORES, lambda b: b.decode().encode("utf-16")), "error", SCORES, None, "UTF-8"),
    "no last line end": (bytes_of(SCORES, lambda b: b[:-1]), "warning", SCORES, 200, "no line end"),
    "three fields": (edit(SCORES, ROW5, ROW5 + "1,"), "error", SCORES, 6, "3 fields"),
    "semicolon": (edit(SCORES, ROW5, "section_00_0005.wav;"), "error", SCORES, 6, "1 field"),
    "NaN": (edit(SCORES, SCORE5, ROW5 + "nan\n"), "error", SCORES, 6, "finite"),
    "infinity": (edit(SCORES, SCORE5, ROW5 + "-inf\n"), "error", SCORES, 6, "finite"),
    "too large": (edit(SCORES, SCORE5, ROW5 + "1e999\n"), "error", SCORES, 6, "finite"),
    "hexadecimal": (edit(SCORES, SCORE5, ROW5 + "0x10\n"), "error", SCORES, 6, "number"),
    "no number": (edit(SCORES, SCORE5, ROW5 + "high\n"), "error", SCORES, 6, "number"),
    "score missing": (edit(SCORES, SCORE5, ROW5 + "\n"), "error", SCORES, 6, "missing"),
    "decision 2": (edit(DECISIONS, ROW5, ROW5 + "2"), "error", DECISIONS, 6, "0 for normal"),
    "decision 1.0": (bytes_of(DECISIONS, lambda b: b.replace(b",1\n", b",1.0\n", 1)), "error", DECISIONS, None, "'1.0'"),
    "decision true": (bytes_of(DECISIONS, lambda b: b.replace(b",1\n", b",True\n", 1)), "error", DECISIONS, None, "'True'"),
    "clip missing": (edit(SCORES, SCORE5, ""), "error", SCORES, 6, "numbered 5 to 5"),
    "clip missing in one file": (edit(SCORES, SCORE5, ""), "error", DECISIONS, 6, "no row in the anomaly_score"),
    "last clips missing": (lambda f: [bytes_of(p, lambda b: b"".join(b.splitlines(True)[:150]))(f) for p in (SCORES, DECISIONS)],
                           "warning", SCORES, None, "150 clips"),
    "clip twice": (edit(SCORES, SCORE5, SCORE5 * 2), "error", SCORES, 7, "line 6 already"),
    "another section's clip": (edit(SCORES, ROW5, "section_01_0005.wav,"), "error", SCORES, 6, "section 01"),
    "labelled name": (edit(SCORES, ROW5, "section_00_source_test_normal_0005_a_b.wav,"), "error", SCORES, 6, "labelled"),
    "no clip's name": (edit(SCORES, ROW5, "5,"), "error", SCORES, 6, "no name of a test clip"),
    "folder in a name": (edit(SCORES, ROW5, "test/section_00_0005.wav,"), "error", SCORES, 6, "folder"),
    "no rows": (bytes_of(SCORES, lambda b: b""), "error", SCORES, None, "no rows"),
    "no threshold": (edit(DECISIONS, "section_00_0010.wav,1", "section_00_0010.wav,0"), "warning", DECISIONS, None, "no single threshold"),
    "all scores equal": (bytes_of(SCORES, lambda b: b"".join(r.split(b",")[0] + b",1\n" for r in b.splitlines())),
                         "warning", SCORES, None, "all scores are 1"),
    # files and folders
    "score file missing": (drop(SCORES), "error", TOP, None, "anomaly_score_Scanner"),
    "decision file missing": (drop(DECISIONS), "error", TOP, None, "decision_result_Scanner"),
    "machine misspelt": (rename("_Scanner_", "_Scaner_"), "error", SCORES.replace("Scanner", "Scaner"), None, "did you mean 'Scanner'"),
    "development machine": (add(f"{TOP}/anomaly_score_fan_section_00_test.csv", b"section_00_0000.wav,1\n"), "error",
                            f"{TOP}/anomaly_score_fan_section_00_test.csv", None, "no machine of 2024"),
    "section too many": (rename("Scanner_section_00", "Scanner_section_01"), "error", SCORES.replace("00_test", "01_test"), None, "section 01"),
    "file name without section": (rename("Scanner_section_00_test", "Scanner"), "error", f"{TOP}/anomaly_score_Scanner.csv", None, "none of a score"),
    "no meta file": (drop(META), "error", TOP, None, f"{LABEL}.meta.yaml is missing"),
    "meta file named otherwise": (rename(f"{LABEL}.meta", "Doe_Inst_task2_2.meta"), "error", f"{TOP}/Doe_Inst_task2_2.meta.yaml", None, "call it"),
    "label without task": (relabel("Doe_Inst_1"), "error", "task2/Doe_Inst_1", None, "form"),
    "label number 5": (relabel("Doe_Inst_task2_5"), "error", "task2/Doe_Inst_task2_5", None, "form"),
    "label without institute": (relabel("Doe_task2_1"), "error", "task2/Doe_task2_1", None, "form"),
    "five systems": (more_systems(*(f"Doe_Inst_task2_{i}" for i in (2, 3, 4, 5))), "error", "task2", None, "5 systems"),
    "another team": (more_systems("Roe_Inst_task2_2"), "warning", "Roe_Inst_task2_2", None, "another team"),
    "no task2": (rename("task2/", "task9/"), "error", None, None, "no folder task2/"),
    "below a folder": (rename("task2/D", "mine/task2/D"), "error", "mine/", None, "at the top"),
    ".DS_Store": (add(f"{TOP}/.DS_Store"), "warning", f"{TOP}/.DS_Store", None, "remove it"),
    "__MACOSX": (add(f"__MACOSX/{TOP}/._x"), "warning", f"__MACOSX/{TOP}/._x", None, "remove it"),
    "a file too many": (add(f"{TOP}/notes.txt"), "warning", f"{TOP}/notes.txt", None, "nobody expects"),
    "a file outside": (add("readme.txt"), "warning", "readme.txt", None, "nobody expects"),
    # traps of zips
    "path upwards": (add("task2/../../evil.csv"), "error", "task2/../../evil.csv", None, "out of the package"),
    "absolute path": (add("/etc/evil.csv"), "error", "/etc/evil.csv", None, "out of the package"),
    "backslashes": (add("task2\\evil.csv"), "error", "task2\\evil.csv", None, "not portable"),
    "bomb": (add(f"{TOP}/big.pdf", b"\0" * (65 << 20)), "error", f"{TOP}/big.pdf", None, "too large"),
    # meta.yaml
    "tab": (edit(META, "  label:", "\tlabel:"), "error", META, 3, "tab"),
    "not YAML": (edit(META, "abbreviation: AE", "abbreviation: [AE"), "error", META, None, "YAML"),
    "empty meta": (bytes_of(META, lambda b: b""), "error", META, None, "submission is missing"),
    "a list": (bytes_of(META, lambda b: b"- a\n"), "error", META, 1, "must be a mapping"),
    "alias": (edit(META, "  name: ", "  name: *x #"), "error", META, 4, "alias"),
    "another label": (edit(META, "label: Doe_Inst_task2_1", "label: Doe_Inst_task2_2"), "error", META, 3, "folder's name"),
    "key missing": (edit(META, "  abbreviation: AE\n", ""), "error", META, 2, "submission.abbreviation is missing"),
    "key unknown": (edit(META, "  abbreviation:", "  abreviation:"), "warning", META, 5, "did you mean 'abbreviation'"),
    "key twice": (edit(META, "  abbreviation: AE\n", "  abbreviation: AE\n  abbreviation: AF\n"), "error", META, 6, "line 5 already"),
    "long abbreviation": (edit(META, "abbreviation: AE", "abbreviation: Autoencoder"), "error", META, 5, "11 characters"),
    "value missing": (edit(META, 'name: "An autoencoder: plain"', "name:"), "error", META, 4, "no value"),
    "value empty": (edit(META, 'name: "An autoencoder: plain"', 'name: ""'), "error", META, 4, "empty"),
    "no address": (edit(META, EMAIL, "email: jane.doe(at)example.org"), "error", META, 9, "no address"),
    "address without domain": (edit(META, EMAIL, "email: jane@example"), "error", META, 9, "no address"),
    "author without name": (edit(META, "      firstname: Jane\n", ""), "error", META, None, "firstname is missing"),
    "author as text": (bytes_of(META, lambda b: b[: b.index(b"    - lastname")] + b"    - Jane Doe\n" + b[b.index(b"system:"):]),
                       "error", META, 7, "must be a mapping"),
    "nobody corresponding": (edit(META, "corresponding: true", "corresponding: false"), "warning", META, 6, "corresponding"),
    "corresponding yes": (edit(META, "corresponding: true", "corresponding: yes"), "error", META, 10, "true or false"),
    "parameters as text": (edit(META, "total_parameters: 267928", "total_parameters: 268k"), "error", META, None, "whole number"),
    "parameters with commas": (edit(META, "total_parameters: 267928", "total_parameters: 267,928"), "error", META, None, "whole number"),
    "MACs as words": (edit(META, "MACS: 0.264 M", "MACS: few"), "error", META, None, "MACS"),
    "subsystems in words": (edit(META, "subsystem_count: 1", "subsystem_count: one"), "error", META, None, "subsystem_count"),
    "AUC of 7100": (edit(META, "auc_source: 71.0", "auc_source: 7100"), "error", META, None, "0 to 100"),
    "AUC in quotes": (edit(META, "auc_source: 71.0", 'auc_source: "71.0"'), "error", META, None, "0 to 100"),
    "AUC missing": (edit(META, "      pauc: 5.5e1\n", ""), "error", META, None, "pauc is missing for ToyCar"),
    "no results": (bytes_of(META, lambda b: b[: b.index(b"    ToyCar")]), "error", META, None, "development_dataset"),
    "mapping for a value": (edit(META, "abbreviation: AE", "abbreviation: {a: AE}"), "error", META, 5, "a single value"),
    "meta not UTF-8": (edit(META, "Institute of", b"Institute \xe9f"), "error", META, 12, "UTF-8"),
}


def has_finding(findings, severity, path, line, part):
    return any(
        f["severity"] == severity and (path is None or f["path"] == path)
        and (line is None or f["line"] == line) and part in f["text"]
        for f in findings
    )


def test_nothing_is_found_in_a_valid_package(folder):
    path = write(f"{folder}/good.zip", zip_bytes(valid()))
    found, code = findings_of(path)
    check(code == 0 and found == {"errors": 0, "warnings": 0, "hidden": 0, "findings": []}, f"{code} {found}")
    said = auscult("check-package", path)
    check(said.out == "0 errors, 0 warnings\n", str(said))
    four = {}
    for i in range(1, 5):
        four.update(valid(f"Doe_Inst_task2_{i}"))
    four["task2/Doe_Inst_task2_1/Doe_Inst_task2_1.technical_report.pdf"] = b"%PDF"
    found, code = findings_of(write(f"{folder}/four.zip", zip_bytes(four)))
    check(code == 0 and not found["findings"], f"{found}")


OF_2020 = {**{machine: ("01", "03", "05") for machine in ("fan", "pump", "slider", "valve")},
           "ToyCar": ("05", "06", "07"), "ToyConveyor": ("04", "05", "06")}
OF_2021 = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")


def old_meta(figures, *missing):
    """A meta.yaml without the keys that its year did not have, with its own figures."""
    lines = [line for line in META_TEXT.split("results:")[0].split("\n")
             if not line.strip().startswith(missing)]
    text = "".join(f"      {name}: {78.77 - i}\n" for i, name in enumerate(figures))
    return "\n".join(lines) + "results:\n  development_dataset:\n    ToyCar:\n" + text


def valid_2020():
    """As the challenge's packages of 2020 were: a file for each id, no decisions."""
    meta = old_meta(("averaged_auc", "averaged_pauc"), "MACS", "domain_adaptation_method",
                    "domain_generalization_method", "attribute_usage")
    files = {META: meta.encode()}
    for machine, ids in OF_2020.items():
        for number in ids:
            rows = "".join(f"id_{number}_{i:08d}.wav,{score_of(machine, i)!r}\n" for i in range(60))
            files[f"{TOP}/anomaly_score_{machine}_id_{number}.csv"] = rows.encode()
    return files


def valid_2021():
    """As those of 2021: a file for each domain of a section."""
    meta = old_meta(("harmonic_mean_auc", "harmonic_mean_pauc"), "MACS", "domain_generalization_method",
                    "attribute_usage")
    files = {META: meta.encode()}
    for machine in OF_2021:
        for section in ("03", "04", "05"):
            for part in (f"section_{section}_source_test", f"section_{section}_target_test"):
                scores = [score_of(machine, i) for i in range(200)]
                rows = "".join(f"{part}_{i:04d}.wav,{score!r}\n" for i, score in enumerate(scores))
                files[f"{TOP}/anomaly_score_{machine}_{part}.csv"] = rows.encode()
                rows = "".join(f"{part}_{i:04d}.wav,{int(score > 15)}\n" for i, score in enumerate(scores))
                files[f"{TOP}/decision_result_{machine}_{part}.csv"] = rows.encode()
    return files


def test_packages_of_2020_and_2021_have_their_own_form(folder):
    for make in (valid_2020, valid_2021):
        found, code = findings_of(write(f"{folder}/good.zip", zip_bytes(make())))
        check(code == 0 and not found["findings"], f"{make.__name__}: {found}")
    faults = (
        (valid_2020, "anomaly_score_fan_id_03.csv", None, TOP, "anomaly_score_fan_id_03.csv is missing"),
        (valid_2020, "anomaly_score_fan_id_03.csv", "anomaly_score_fan_section_03_test.csv",
         f"{TOP}/anomaly_score_fan_section_03_test.csv", "there it is anomaly_score_fan_id_03.csv"),
        (valid_2021, "decision_result_fan_section_03_target_test.csv", None, TOP,
         "decision_result_fan_section_03_target_test.csv is missing"),
        (valid_2021, "anomaly_score_pump_section_04_source_test.csv", "anomaly_score_pump_section_04_test.csv",
         TOP, "anomaly_score_pump_section_04_source_test.csv is missing"))
    for make, name, other, path, part in faults:
        files = make()
        content = files.pop(f"{TOP}/{name}")
        if other:
            files[f"{TOP}/{other}"] = content
        found, code = findings_of(write(f"{folder}/bad.zip", zip_bytes(files)))
        check(code == 1 and has_finding(found["findings"], "error", path, None, part), f"{name}: {found}")
    files = valid_2021()
    name = f"{TOP}/anomaly_score_fan_section_03_source_test.csv"
    files[name] = files[name].replace(b"section_03_source_test_0007", b"section_03_target_test_0007")
    found, _ = findings_of(write(f"{folder}/domain.zip", zip_bytes(files)), expect=1)
    check(has_finding(found["findings"], "error", name, 8, "not of the domain"), f"{found}")
    files = valid_2020()
    files[META] = files[META].replace(b"averaged_pauc", b"pauc")
    found, _ = findings_of(write(f"{folder}/meta.zip", zip_bytes(files)), expect=1)
    line = files[META].decode().split("\n").index("    ToyCar:") + 1
    check(has_finding(found["findings"], "error", META, line, "averaged_pauc is missing"), f"{found}")


def test_a_folder_is_as_good_as_a_zip(folder):
    for path, content in valid().items():
        write(f"{folder}/tree/{path}", content)
    for place in ("tree", "tree/task2", f"tree/{TOP}", f"tree/{TOP}/"):
        found, code = findings_of(f"{folder}/{place}")
        check(code == 0 and not found["findings"], f"{place}: {found}")
    os.symlink("/etc/passwd", f"{folder}/tree/{TOP}/notes.pdf")
    found, code = findings_of(f"{folder}/tree")
    check(code == 1 and has_finding(found["findings"], "error", f"{TOP}/notes.pdf", None, "no plain file"), f"{found}")


def test_every_seeded_fault_is_found(folder):
    check(len(FAULTS) >= 40, f"{len(FAULTS)} faults")
    missed = []
    for name, (change, severity, path, line, part) in FAULTS.items():
        files = valid()
        change(files)
        check(files != valid(), f"{name} changes nothing")
        found, code = findings_of(write(f"{folder}/fault.zip", zip_bytes(files)))
        right = has_finding(found["findings"], severity, path, line, part)
        if not right or code != (1 if found["errors"] else 0) or (severity == "error" and code != 1):
            missed.append(f"{name}: exit {code}, {found}")
    if missed:
        raise Failure("\n".join(missed))


def test_traps_of_zip_files_are_told(folder):
    good = valid()
    double = zip_bytes(good, [(SCORES, good[SCORES])])
    found, _ = findings_of(write(f"{folder}/double.zip", double), expect=1)
    check(has_finding(found["findings"], "error", SCORES, None, "twice"), f"{found}")

    link = zipfile.ZipInfo(f"{TOP}/report.pdf")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    found, _ = findings_of(write(f"{folder}/link.zip", zip_bytes(good, [(link, "/etc/passwd")])), expect=1)
    check(has_finding(found["findings"], "error", f"{TOP}/report.pdf", None, "is a link"), f"{found}")

    # The flag of encryption, in the last file's own header and in the directory.
    data = bytearray(zip_bytes(good))
    at = data.rindex(b"PK\x03\x04")
    data[at + 6] |= 1
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    found, _ = findings_of(write(f"{folder}/locked.zip", bytes(data)), expect=1)
    check(has_finding(found["findings"], "error", None, None, "encrypted"), f"{found}")

    # A size in the directory that is not the contents'.
    data = bytearray(zip_bytes(good))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    found, _ = findings_of(write(f"{folder}/lies.zip", bytes(data)), expect=1)
    check(has_finding(found["findings"], "error", None, None, "the file "), f"{found}")

    data = bytearray(zip_bytes(good))
    data[data.index(b"PK\x03\x04") + 200] ^= 0xFF
    found, _ = findings_of(write(f"{folder}/damaged.zip", bytes(data)), expect=1)
    check(has_finding(found["findings"], "error", META, None, "damaged"), f"{found}")


def test_what_cannot_be_read_is_no_finding(folder):
    for name, data in {"text": b"hello", "empty": b"", "cut": zip_bytes(valid())[:5000]}.items():
        said = auscult("check-package", write(f"{folder}/{name}.zip", data), expect=3)
        check_has(said.err, f"{name}.zip", "zip")
    many = {f"task2/{i}": b"" for i in range(5000)}
    check_has(auscult("check-package", write(f"{folder}/many.zip", zip_bytes(many)), expect=3).err, "4096")
    check_has(auscult("check-package", f"{folder}/none.zip", expect=3).err, "none.zip")
    auscult("check-package", expect=2)
    auscult("check-package", "a", "b", expect=2)
    auscult("check-package", "a", "--year", "2019", expect=2)
    auscult("check-package", "a", "--year", "2024x", expect=2)


def test_findings_are_bounded_and_plain(folder):
    files = valid()
    files[SCORES] = files[SCORES].replace(b",", b", ")
    files["task2/\x1b[31mred"] = b""
    path = write(f"{folder}/many.zip", zip_bytes(files))
    found, _ = findings_of(path, expect=1)
    in_file = [f for f in found["findings"] if f["path"] == SCORES]
    check(len(in_file) == 25 and found["hidden"] == 175, f"{len(in_file)} {found['hidden']}")
    said = auscult("check-package", path, expect=1)
    check("\x1b" not in said.out, repr(said.out))
    check_has(said.out, f"{SCORES}:1: error: blanks around the score; remove them", "175 of them not listed")


def test_data_at_hand_tell_exactly_which_clips(folder):
    data = f"{folder}/data"
    make_machine(f"{data}/dev_data", "fan", train=1, test=1, seconds=0.2)
    make_machine(f"{data}/eval_data", "Scanner", train=1, test=0, seconds=0.2)
    for i in range(4):
        write(f"{data}/eval_data/Scanner/test/section_00_{i:04d}.wav", b"RIFF")
    names = [f"section_00_{i:04d}.wav" for i in range(4)]
    files = {META: META_TEXT.encode(), SCORES: "".join(f"{n},{i}\n" for i, n in enumerate(names)).encode(),
             DECISIONS: "".join(f"{n},{int(i > 1)}\n" for i, n in enumerate(names)).encode()}
    path = f"{folder}/p.zip"
    found, _ = findings_of(write(path, zip_bytes(files)), "--data", data, expect=0)
    check(not found["findings"], f"{found}")
    pairs = "".join(f"{n},section_00_source_test_normal_{i:04d}_x.wav\n" for i, n in enumerate(names))
    truth = write(f"{folder}/eval_data_list_2024.csv", f"Scanner\n{pairs}".encode())
    found, _ = findings_of(path, "--truth-names", truth, expect=0)
    check(not found["findings"], f"{found}")
    auscult("check-package", path, "--truth-names", truth, "--data", data, expect=2)
    check_has(auscult("check-package", path, "--truth-names", f"{folder}/none.csv", expect=3).err, "none.csv")
    files[SCORES] = files[SCORES].replace(b"_0003", b"_0004")
    found, _ = findings_of(write(path, zip_bytes(files)), "--truth-names", truth, expect=1)
    check(has_finding(found["findings"], "error", SCORES, None, "no row for the clip 'section_00_0003.wav'"), f"{found}")
    found, _ = findings_of(path, "--data", data, expect=1)
    check(has_finding(found["findings"], "error", SCORES, None, "no row for the clip 'section_00_0003.wav'"), f"{found}")
    check(has_finding(found["findings"], "error", SCORES, 4, "no test clip"), f"{found}")
    files[f"{TOP}/anomaly_score_fan_section_00_test.csv"] = b"section_00_0000.wav,1\n"
    found, _ = findings_of(write(path, zip_bytes(files)), "--data", data, expect=1)
    check(has_finding(found["findings"], "error", f"{TOP}/anomaly_score_fan_section_00_test.csv", None, "the data have no"), f"{found}")


main(globals())
