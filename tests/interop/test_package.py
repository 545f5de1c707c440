#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`auscult package`: from a small run to a package that the checker takes and that other programs
(Python's zipfile, PyYAML where it is installed) read. All tests share one run of 2023's machines
with two seeds."""

import csv
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import Skip, auscult, check, check_has, main, read_csv  # noqa: E402

AUTHOR = """name: "Plain: autoencoder"
abbreviation: AE
authors:
  - lastname: Doe
    firstname: Jane
    email: jane.doe@example.org
    corresponding: true
    affiliation:
      institution: Institute of "Examples"
      department: null
      location: Somewhere
external_datasets:
  - name: ESC-50
    url: https://example.org
    total_audio_length: 166
"""


class Once:
    """The run that every test packs."""

    folder = None

    @classmethod
    def get(cls):
        if cls.folder is None:
            cls.folder = tempfile.mkdtemp(prefix="auscult-package-")
            data, run = f"{cls.folder}/data", f"{cls.folder}/run"
            auscult("synth", "--out", data, "--year", "2023", "--machines", "7", "--train", "6", "--test", "4",
                    "--seconds", "1", "-q")
            auscult("run", "--data", data, "--out", run, "--local", "2", "--set", "epochs=1", "--set",
                    "batch_size=32", "--set", "seeds=1,2", "--set", "n_mels=64", seconds=300)
            with open(f"{cls.folder}/author.yaml", "w", encoding="utf-8") as file:
                file.write(AUTHOR)
        return cls.folder


def pack(out, *more, **options):
    base = Once.get()
    return auscult("package", "--run", f"{base}/run", "--label", "Doe_Inst", "--author", f"{base}/author.yaml",
                   "--out", out, *more, **options)


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, f"{path} is damaged")
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_package_holds_every_system_and_passes_the_checker(folder):
    said = pack(f"{folder}/p.zip")
    check_has(said.err, "0 errors")
    check(said.out == f"{folder}/p.zip\n", str(said))
    files = read_zip(f"{folder}/p.zip")
    check(list(files) == sorted(files), f"{list(files)}")
    for k, outputs in ((1, f"{Once.get()}/run/outputs"), (2, f"{Once.get()}/run/outputs/seed_2")):
        label = f"Doe_Inst_task2_{k}"
        ours = {name.split("/")[2]: text for name, text in files.items() if name.startswith(f"task2/{label}/")}
        check(len(ours) == 15 and f"{label}.meta.yaml" in ours, f"{sorted(ours)}")
        _, table = read_csv(f"{outputs}/dcase_submission.csv")
        for row in table:
            for kind, column in (("anomaly_score", "anomaly_score"), ("decision_result", "decision_result")):
                text = ours[f"{kind}_{row['machine_type']}_section_00_test.csv"]
                check(f"{row['file_name']},{row[column]}\n" in text, f"{row} is not in {text}")
    check(len(files) == 30, f"{sorted(files)}")
    auscult("check-package", f"{folder}/p.zip")
    auscult("check-package", f"{folder}/p.zip", "--data", f"{Once.get()}/data")


def test_the_same_runs_give_the_same_bytes(folder):
    pack(f"{folder}/a.zip")
    pack(f"{folder}/b.zip", "--data", f"{Once.get()}/data")
    with open(f"{folder}/a.zip", "rb") as a, open(f"{folder}/b.zip", "rb") as b:
        check(a.read() == b.read(), "two packages of one run differ")
    with zipfile.ZipFile(f"{folder}/a.zip") as archive:
        for entry in archive.infolist():
            check(entry.date_time == (1980, 1, 1, 0, 0, 0), f"{entry}")
            check(entry.external_attr >> 16 == 0o100644, f"{entry}")


def test_meta_yaml_tells_the_run_and_the_authors(folder):
    try:
        import yaml
    except ImportError:
        raise Skip("no PyYAML") from None
    pack(f"{folder}/p.zip")
    files = read_zip(f"{folder}/p.zip")
    meta = yaml.safe_load(files["task2/Doe_Inst_task2_2/Doe_Inst_task2_2.meta.yaml"])
    author = yaml.safe_load(AUTHOR)
    check(meta["submission"] == {"label": "Doe_Inst_task2_2", "name": "Plain: autoencoder (seed_2)",
                                 "abbreviation": "AE", "authors": author["authors"]}, f"{meta}")
    system = meta["system"]
    check(system["external_datasets"] == author["external_datasets"], f"{system}")
    check(system["description"]["input_sampling_rate"] == "16 kHz", f"{system}")
    check_has(system["description"]["front_end"], "64 mel bands", "1024 samples", "hop of 512")
    # 5 frames of 64 bands: one layer in, six of 128, in and out of 8, one layer out.
    widths = [320, 128, 128, 128, 128, 8, 128, 128, 128, 128, 320]
    linear = sum(a * b for a, b in zip(widths, widths[1:]))
    parameters = linear + sum(widths[1:]) + 2 * sum(widths[1:-1])
    vectors = 1 + 160000 // 512 - 4
    check(system["complexity"] == {"total_parameters": parameters, "MACS": linear * vectors}, f"{system}")
    _, report = read_csv(f"{Once.get()}/run/outputs/seed_2/report_by_machine.csv")
    figures = {}
    for row in report:
        if row["auc_source"] and not row["machine_type"].startswith("all"):
            name = row["machine_type"].replace(" (dev)", "")
            figures[name] = {key: round(100 * float(row[key]), 2) for key in ("auc_source", "auc_target", "pauc")}
    check(len(figures) == 7, f"{figures}")
    told = meta["results"]["development_dataset"]
    check(sorted(told) == sorted(figures), f"{told}")
    for name, row in figures.items():
        for key, value in row.items():
            check(abs(told[name][key] - value) < 0.011, f"{name} {key}: {told[name]} {row}")


def test_systems_are_chosen_by_name(folder):
    pack(f"{folder}/p.zip", "--system", "seed_2")
    files = read_zip(f"{folder}/p.zip")
    check(len(files) == 15 and all("_task2_1" in name for name in files), f"{sorted(files)}")
    _, table = read_csv(f"{Once.get()}/run/outputs/seed_2/dcase_submission.csv")
    row = table[0]
    check_has(files[f"task2/Doe_Inst_task2_1/anomaly_score_{row['machine_type']}_section_00_test.csv"], row["anomaly_score"])
    check_has(pack(f"{folder}/q.zip", "--system", "seed_3", expect=3).err, "no run has a system 'seed_3'")
    run = f"{Once.get()}/run"
    said = pack(f"{folder}/q.zip", "--run", run, "--run", run, expect=3)
    check_has(said.err, "more than 4 systems", "primary, seed_2")
    check(not os.path.exists(f"{folder}/q.zip"), "a refused package was written")


def copy_of_run(folder):
    shutil.copytree(f"{Once.get()}/run", f"{folder}/run")
    return f"{folder}/run"


def pack_run(folder, run, *more, **options):
    return auscult("package", "--run", run, "--system", "primary", "--label", "Doe_Inst", "--author",
                   f"{Once.get()}/author.yaml", "--out", f"{folder}/p.zip", *more, **options)


def test_clips_without_a_score_are_warned_of_or_refused(folder):
    run = copy_of_run(folder)
    path = f"{run}/outputs/challenge_predictions.csv"
    header, rows = read_csv(path)
    gone = next(i for i, row in enumerate(rows) if row["machine_type"] == "bandsaw")
    del rows[gone]
    out = io.StringIO()
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with open(path, "w", encoding="utf-8") as file:
        file.write(out.getvalue())
    check_has(pack_run(folder, run).err, "warning: 1 clip without a score, such as bandsaw/section_00_")
    os.remove(f"{folder}/p.zip")
    check_has(pack_run(folder, run, "--strict", expect=1).out, "error: 1 clip without a score")
    check(not os.path.exists(f"{folder}/p.zip"), "a refused package was written")


def test_what_the_checker_refuses_is_not_written(folder):
    run = copy_of_run(folder)
    files = f"{run}/outputs/submission/task2/auscult_task2_1"
    os.remove(f"{files}/decision_result_bandsaw_section_00_test.csv")
    said = pack_run(folder, run, expect=1)
    check_has(said.out, "task2/Doe_Inst_task2_1: error: decision_result_bandsaw_section_00_test.csv is missing")
    check(not os.path.exists(f"{folder}/p.zip"), "a refused package was written")


def test_results_come_from_the_development_run(folder):
    run = copy_of_run(folder)
    report = f"{run}/outputs/report_by_machine.csv"
    with open(report, "w", encoding="utf-8") as file:
        file.write("machine_type,auc_source,auc_target,pauc\nfan,,,\nall,0.5,0.5,0.5\n")
    check_has(pack_run(folder, run, expect=1).out, "no figures of development data", "--dev-run")
    pack_run(folder, run, "--dev-run", f"{Once.get()}/run")
    os.remove(f"{folder}/p.zip")
    with open(report, "w", encoding="utf-8") as file:
        file.write("machine_type,auc_source,auc_target\n")
    check_has(pack_run(folder, run, expect=3).err, "report_by_machine.csv:1", "pauc")


def test_an_ensemble_tells_its_parts(folder):
    base, run = Once.get(), f"{folder}/run"
    shutil.copytree(f"{base}/run", run)
    auscult("run", "--out", run, "--local", "1", "--set", "ensemble=zmean")
    auscult("package", "--run", run, "--label", "Doe_Inst", "--author", f"{base}/author.yaml", "--system",
            "primary", "--system", "zmean", "--out", f"{folder}/p.zip")
    files = read_zip(f"{folder}/p.zip")
    single, both = (files[f"task2/Doe_Inst_task2_{k}/Doe_Inst_task2_{k}.meta.yaml"] for k in (1, 2))
    check_has(single, "ensemble_method_subsystem_count: null\n", "decision_making: null # threshold: quantile")
    check_has(both, "ensemble_method_subsystem_count: 2\n", 'decision_making: "average of the scores')
    for key in ("total_parameters", "MACS"):
        one, two = (int(text.split(f"{key}: ")[1].split(" ")[0]) for text in (single, both))
        check(one > 0 and two == 2 * one, f"{key}: {one} and {two}")


def curve_areas(rows):
    """AUC, and pAUC to a false-positive rate of 0.1 as McClish scales it, from (score, is anomalous)."""
    normals = [score for score, label in rows if not label]
    anomalies = [score for score, label in rows if label]
    wins = sum((a > n) + 0.5 * (a == n) for a in anomalies for n in normals)
    points = [(0.0, 0.0)] + [(sum(n >= level for n in normals) / len(normals),
                              sum(a >= level for a in anomalies) / len(anomalies))
                             for level in sorted({score for score, _ in rows}, reverse=True)]
    area, most = 0.0, 0.1
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 < most:
            x, y = (x1, y1) if x1 <= most else (most, y0 + (y1 - y0) * (most - x0) / (x1 - x0))
            area += (x - x0) * (y0 + y) / 2
    return wins / len(anomalies) / len(normals), 0.5 * (1 + (area - most**2 / 2) / (most - most**2 / 2))


def old_figures(run, year):
    """{machine: the figures that the year's packages have}, from the run's own scores."""
    sets = {}
    for row in read_csv(f"{run}/outputs/challenge_predictions.csv")[1]:
        if row["label"]:
            key = (row["machine_type"], row["section"], row["domain"])
            sets.setdefault(key, []).append((float(row["reconstruction_error"]), row["label"] == "anomaly"))
    figures = {}
    for machine in {key[0] for key in sets}:
        areas = [curve_areas(rows) for key, rows in sets.items() if key[0] == machine]
        columns = list(zip(*areas))
        figures[machine] = [100 * sum(column) / len(column) if year == 2020 else
                            100 * len(column) / sum(1 / max(x, 2.2e-16) for x in column) for column in columns]
    return figures


def test_packages_of_2020_and_2021_have_their_years_form(folder):
    names = {2020: ("averaged_auc", "averaged_pauc"), 2021: ("harmonic_mean_auc", "harmonic_mean_pauc")}
    parts = {2020: {"id_01", "id_03"}, 2021: {f"section_{s}_{d}_test" for s in ("03", "04", "05")
                                              for d in ("source", "target")}}
    for year in (2020, 2021):
        data, run, out = f"{folder}/{year}", f"{folder}/run{year}", f"{folder}/{year}.zip"
        auscult("synth", "--out", data, "--year", str(year), "--machines", "2", "--train", "9", "--test", "48",
                "--seconds", "1", "-q")
        auscult("run", "--data", data, "--out", run, "--local", "2", "--set", "epochs=1", "--set", "n_mels=16",
                "--set", "batch_size=32")
        auscult("package", "--run", run, "--label", "Doe_Inst", "--author", f"{Once.get()}/author.yaml", "--out", out,
                "--data", data)
        files = read_zip(out)
        kinds = ("anomaly_score",) if year == 2020 else ("anomaly_score", "decision_result")
        machines = sorted({name.split("anomaly_score_")[1].split("_")[0] for name in files if "anomaly_score" in name})
        expected = {f"task2/Doe_Inst_task2_1/{kind}_{machine}_{part}.csv" for kind in kinds
                    for machine in machines for part in parts[year]}
        expected.add("task2/Doe_Inst_task2_1/Doe_Inst_task2_1.meta.yaml")
        check(set(files) == expected and len(machines) == 2, f"{year}: {sorted(files)}")
        text = files["task2/Doe_Inst_task2_1/Doe_Inst_task2_1.meta.yaml"].split("results:")[1]
        for machine, values in old_figures(run, year).items():
            line = ", ".join(f"{name}: {value:.2f}" for name, value in zip(names[year], values))
            check_has(text, f"    {machine}: {{{line}}}\n")
        # What was handed in is judged as the run is.
        with zipfile.ZipFile(out) as archive:
            archive.extractall(f"{folder}/package{year}")
        of_run, of_package = ((lambda said: json.loads(said.out)["systems"][0])(
            auscult("evaluate", "--scores", scores, "--truth", data, "--json"))
            for scores in (run, f"{folder}/package{year}"))
        check(of_run["official_score"] == of_package["official_score"], f"{of_run} {of_package}")


def test_bad_author_files_are_named_with_their_line(folder):
    faults = {
        "name: A\nabreviation: B\n": (3, "line 2", "did you mean 'abbreviation'"),
        "name: A\nabbreviation: B\n": (3, "line 1", "'authors' is missing"),
        "name: A\nname: B\n": (3, "line 2", "twice"),
        "- a\n": (3, "line 1", "key: value"),
        "name:\n\tx: 1\n": (3, "line 2", "tab"),
        AUTHOR.replace("abbreviation: AE", "abbreviation: Autoencoder"): (1, "", "11 characters"),
        AUTHOR.replace("jane.doe@", "jane.doe"): (1, "", "no address"),
    }
    path = f"{folder}/author.yaml"
    for text, (code, *parts) in faults.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        said = auscult("package", "--run", f"{Once.get()}/run", "--label", "Doe_Inst", "--author", path, "--out",
                       f"{folder}/p.zip", expect=code)
        check_has(said.err + said.out, *parts)
        check(not os.path.exists(f"{folder}/p.zip"), "a refused package was written")
    template = auscult("package", "--author-template").out
    with open(path, "w", encoding="utf-8") as file:
        file.write(template)
    said = auscult("package", "--run", f"{Once.get()}/run", "--label", "Doe_Inst", "--author", path, expect=3)
    check_has(said.err, "'name' is missing or empty")


def test_wrong_usage_is_told(folder):
    run = ["--run", f"{folder}/none"]
    author = ["--author", f"{folder}/none.yaml"]
    for args, part in (([], "--run"), (run, "--label"), ([*run, "--label", "Doe_Inst"], "--author-template"),
                       ([*run, *author, "--label", "Doe"], "LastName_Institute"),
                       ([*run, *author, "--label", "Doe_Inst_task2_1"], "LastName_Institute"),
                       ([*run, *author, "--label", "../x_y"], "LastName_Institute"),
                       ([*run, *author, "--label", "Doe_Inst", "--year", "1"], "2020 to 2026")):
        check_has(auscult("package", *args, expect=2).err, part)
    check_has(auscult("package", *run, *author, "--label", "Doe_Inst", expect=3).err, "none.yaml")
    check_has(auscult("package", *run, "--author", f"{Once.get()}/author.yaml", "--label", "Doe_Inst", expect=3).err,
              f"{folder}/none")


try:
    main(globals())
finally:
    if Once.folder:
        shutil.rmtree(Once.folder, ignore_errors=True)
