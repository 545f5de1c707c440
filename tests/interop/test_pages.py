#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.html and eda.html in headless Chromium: nothing on the console, nothing asked of anybody,
every picture shown, light and dark, nothing wider than a desktop's or a phone's window; eda.html's
numbers are its CSVs', its bytes any cluster's."""

import csv
import filecmp
import html.parser
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "cluster"))
from harness import PICTURES, TINY, Skip, auscult, check, check_has, main, make_data  # noqa: E402
from browser import View, chromium, pictures_of, width_of  # noqa: E402

NAMES = ("fan", "a`touch hacked`<script>alert(1)\"b'&c")


class Tables(html.parser.HTMLParser):
    """Tables of a page as [section, rows of cells]; a cell is the exact number where it has one."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.section, self.cell, self.tags = [], None, None, set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.section = attrs["id"] if tag == "section" else self.section
        if tag == "table":
            self.tables.append([self.section, []])
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.cell = [attrs.get("data-value"), ""]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            exact, shown = self.cell
            if exact is not None:
                digits = len(shown.partition(".")[2])
                check(abs(float(shown) - float(exact)) <= 0.5001 * 10**-digits, f"{exact} is shown as {shown}")
            self.tables[-1][1][-1].append(shown if exact is None else exact)
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[1] += data

    def of(self, section, first):
        """Rows of the section's table whose first heading is `first`, as dicts."""
        for place, rows in self.tables:
            if place == section and rows[0][0] == first:
                return [dict(zip(rows[0], row)) for row in rows[1:]]
        return []


def with_pictures(*arguments):
    os.environ["AUSCULT_GNUPLOT"] = PICTURES
    try:
        return auscult(*arguments)
    finally:
        os.environ["AUSCULT_GNUPLOT"] = ""


def need_programs():
    chromium()
    if shutil.which(PICTURES) is None:
        raise Skip("no gnuplot")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def look(path, folder, least):
    """Everything that a browser can tell of a page; it has at least so many pictures."""
    view = View(f"file://{path}")
    check(view.console == [], f"the console said {view.console}")
    check(view.asked == [], f"it asked for {view.asked}")
    text = text_of(path)
    light, dark = pictures_of(text, folder), pictures_of(text, folder, dark=True)
    check(len(light) >= least, f"{len(light)} pictures")
    for shown in (light, dark):
        check(all(width >= 700 for width, _ in shown), f"not shown: {shown}")
    check(all(one != other for (_, one), (_, other) in zip(light, dark)), "the dark pictures are the light ones")
    for width in (360, 390, 1280):
        found = width_of(text, folder, width)
        check(found <= width, f"{found} of {width}")


def test_the_report_is_shown_whole(folder):
    need_programs()
    data = make_data(f"{folder}/data", NAMES)
    with_pictures("run", "--data", data, "--out", f"{folder}/run", "--local", "2", *TINY)
    look(f"{folder}/run/outputs/report.html", folder, 2 * (3 + 6))


def test_the_page_of_the_data_is_shown_whole_and_has_the_tables_numbers(folder):
    need_programs()
    data = make_data(f"{folder}/data", NAMES)
    here = os.getcwd()
    os.chdir(folder)
    try:
        for workers in ("1", "3"):
            with_pictures("eda", "--data", data, "--out", f"{folder}/{workers}", "--local", workers, *TINY)
    finally:
        os.chdir(here)
    check(not any("hacked" in names for _, _, names in os.walk(folder)), "a name was run")
    one, three = f"{folder}/1/outputs", f"{folder}/3/outputs"
    check(filecmp.cmp(f"{one}/eda.html", f"{three}/eda.html", shallow=False), "another page by three workers")
    files = [os.path.relpath(os.path.join(place, name), one)
             for place, _, names in os.walk(f"{one}/eda_figures") for name in names]
    check(len(files) >= 2 * 5, f"{files}")
    same, other, missing = filecmp.cmpfiles(one, three, files, shallow=False)
    check(len(same) == len(files), f"other pictures: {other}, {missing}")
    page = Tables(text_of(f"{one}/eda.html"))
    check(not page.tags & {"script", "iframe", "object", "embed"}, f"{page.tags}")
    check_numbers(page, one)
    look(f"{one}/eda.html", folder, len(files))


def rows(outputs, name):
    with open(f"{outputs}/eda_{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_numbers(page, outputs):
    groups = rows(outputs, "groups")
    machines = [row["machine"] for row in page.of("machines", "machine")]
    check(set(machines) == set(NAMES), f"{machines}")
    for number, machine in enumerate(machines):
        section = f"m{number + 1}"
        found = [(row["split"], row["section"], row["domain"], row["label"], row["clips"], row["length, s"],
                  row["level, dB FS"], row["deviation"], row["peak"], row["centroid, Hz"])
                 for row in page.of(section, "split")]
        expected = [tuple(row[key] or "–" for key in (
            "split", "section", "domain", "label", "clips", "seconds_median", "level_db_mean", "level_db_sd",
            "peak_max", "centroid_hz_mean")) for row in groups if row["machine"] == machine]
        check(found == expected, f"{found}\n{expected}")
        shifts = [row for row in rows(outputs, "domain_shift") if row["machine"] == machine]
        largest = sorted((abs(float(row["shift"])) for row in shifts), reverse=True)[:8]
        shown = page.of(section, "feature")
        check([abs(float(row["shift"])) for row in shown] == largest, f"{shown}")
        known = {(row["shift"], row["source_mean"], row["target_mean"]) for row in shifts}
        for row in shown:
            check((row["shift"], row["mean, source"], row["mean, target"]) in known, f"{row}")
        odd = [row["clip"] for row in rows(outputs, "suspicious") if row["machine"] == machine]
        check([row["clip"] for row in page.of(section, "clip")] == odd[:50], f"{odd}")
        check_attributes(page.of(section, "attribute"), outputs, machine)


def check_attributes(shown, outputs, machine):
    counts = {}
    for row in rows(outputs, "attributes"):
        if row["machine"] == machine:
            key = (row["attribute"], row["value"], row["split"])
            counts[key] = counts.get(key, 0) + int(row["clips"])
    for row in shown:
        for column, split in (("training clips", "train"), ("test clips", "test")):
            expected = counts.get((row["attribute"], row["value"], split), 0)
            check(int(row[column]) == expected, f"{row}, {expected}")
    check(len(shown) == len({key[:2] for key in counts}), f"{shown}")


def test_the_looks_would_notice_a_broken_picture(folder):
    chromium()
    found = pictures_of("<!doctype html><img src='data:image/png;base64,AAAA'>", folder)
    check(len(found) == 1 and found[0][0] == 0, f"{found}")
    check_has(re.sub(r"\s", "", text_of(f"{folder}/pictures.html")), "naturalWidth")


main(globals())
