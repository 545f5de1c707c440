#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.html: the CSVs' numbers, pictures in it and beside it, the same bytes for any cluster, and nothing that a name
in the data could do."""

import csv
import html.parser
import os
import re
import shutil
import struct

from harness import (
    AUSCULT,
    PICTURES,
    TINY,
    Process,
    Skip,
    auscult,
    check,
    check_has,
    check_same_results,
    main,
    make_data,
)


class Page(html.parser.HTMLParser):
    """Tables as lists of rows by the id of their section, and what the page would load."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.loads, self.tags, self.pictures = {}, [], set(), 0
        self.section = self.cell = None
        self.is_in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.section = attrs["id"] if tag == "section" else self.section
        self.loads += [attrs[name] for name in ("src", "srcset", "href", "action") if attrs.get(name)]
        self.pictures += tag == "img"
        if tag == "table":
            self.tables.setdefault(self.section, []).append([])
        elif tag == "tr":
            self.tables[self.section][-1].append([])
        elif tag in ("td", "th"):
            self.cell = attrs.get("data-value")
            self.is_in_cell = True
            self.tables[self.section][-1][-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.check_rounded(self.tables[self.section][-1][-1][-1], self.cell)
            self.tables[self.section][-1][-1][-1] = self.cell
        if tag in ("td", "th"):
            self.cell = None
            self.is_in_cell = False

    def handle_data(self, data):
        if self.is_in_cell:
            self.tables[self.section][-1][-1][-1] += data

    @staticmethod
    def check_rounded(shown, exact):
        check(abs(float(shown) - float(exact)) <= 5.1e-5, f"{exact} is shown as {shown}")


def page_of(out):
    with open(f"{out}/outputs/report.html", encoding="utf-8") as file:
        return Page(file.read())


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def need_gnuplot():
    if shutil.which(PICTURES) is None:
        raise Skip("no gnuplot")
    os.environ["AUSCULT_GNUPLOT"] = PICTURES


def run(data, out, *options):
    try:
        return auscult("run", "--data", data, "--out", out, *TINY, *options)
    finally:
        os.environ["AUSCULT_GNUPLOT"] = ""


def png_size(path):
    with open(path, "rb") as file:
        head = file.read(24)
    check(head[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG")
    return struct.unpack(">II", head[16:24])


def check_tables(page, out):
    table = page.tables["results"][0][1:]
    empty = {"–": ""}
    found = [[empty.get(cell, cell) for cell in row] for row in table]
    check(found == rows_of(f"{out}/outputs/report_by_machine.csv"), f"other numbers: {found}")
    scores = {(row[0], row[5], row[6]) for row in rows_of(f"{out}/outputs/challenge_predictions.csv")}
    clips = 0
    for section, tables in page.tables.items():
        if re.fullmatch(r"m\d+", section):
            for row in tables[0][1:]:
                if len(row) == 5:
                    check((row[0], row[1], row[2]) in scores, f"{row} is in no prediction")
                    clips += 1
    check(clips > 0, "no clip is shown")


def check_still(page):
    check(not page.tags & {"script", "iframe", "object", "embed", "link"} - {"link"}, f"{page.tags}")
    outside = [load for load in page.loads if not load.startswith(("data:", "#"))]
    check(outside == [], f"it loads {outside}")


def test_tables_are_the_csvs_and_pictures_are_in_it_and_beside_it(folder):
    data = make_data(f"{folder}/data", ("fan", "pump"))
    need_gnuplot()
    run(data, f"{folder}/one", "--local", "1")
    need_gnuplot()
    result = run(data, f"{folder}/three", "--local", "3")
    check("report.html" not in result.err, result.err)
    check_same_results(f"{folder}/one", f"{folder}/three")
    page = page_of(f"{folder}/one")
    check_tables(page, f"{folder}/one")
    check_still(page)
    files = [name for _, _, names in os.walk(f"{folder}/one/outputs/figures") for name in names]
    check(page.pictures == len(files), f"{page.pictures} pictures, {len(files)} files")
    for machine in ("fan", "pump"):
        for number in range(1, 7):  # of either label the two that scored highest and the lowest
            width, height = png_size(f"{folder}/one/outputs/figures/{machine}/clip_{number}.png")
            check(width == 780 and height > 750, f"clip {number}: {width} x {height}")
        for name in ("scores", "roc", "training"):
            width, height = png_size(f"{folder}/one/outputs/figures/{machine}/{name}.png")
            check(width == 780 and height > 450, f"{name}: {width} x {height}")


def test_without_gnuplot_the_run_ends_and_the_report_says_what_to_install(folder):
    data = make_data(f"{folder}/data", ("fan",))
    os.environ["AUSCULT_GNUPLOT"] = f"{folder}/no-such-program"
    result = run(data, f"{folder}/run", "--local", "1")
    check_has(result.err, "apt-get install gnuplot-nox")
    page = page_of(f"{folder}/run")
    check(page.pictures == 0 and not os.path.exists(f"{folder}/run/outputs/figures"), "pictures by whom?")
    check_tables(page, f"{folder}/run")
    with open(f"{folder}/run/outputs/report.html", encoding="utf-8") as file:
        check_has(file.read(), "apt-get install gnuplot-nox")
    need_gnuplot()
    run(data, f"{folder}/run", "--local", "1")
    check(page_of(f"{folder}/run").pictures > 3, "the report that is made anew has none either")


def test_a_gnuplot_that_fails_is_told(folder):
    data = make_data(f"{folder}/data", ("fan",))
    broken = f"{folder}/gnuplot"
    with open(broken, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\necho 'it is broken <marquee>' >&2\nexit 1\n")
    os.chmod(broken, 0o755)
    os.environ["AUSCULT_GNUPLOT"] = broken
    result = run(data, f"{folder}/run", "--local", "1")
    check(re.search(r"gnuplot has left out (\d+) of \1 pictures: it is broken", result.err), result.err)
    page = page_of(f"{folder}/run")
    check("marquee" not in page.tags, "its words were taken for markup")


def test_names_in_the_data_do_nothing(folder):
    names = ("fan<script>alert(1)", "a`touch hacked`b", "q\"'&amp;", "n$(touch hacked)")
    data = make_data(f"{folder}/data", names)
    need_gnuplot()
    here = os.getcwd()
    os.chdir(folder)
    try:
        run(data, f"{folder}/run", "--local", "1")
    finally:
        os.chdir(here)
    page = page_of(f"{folder}/run")
    check_still(page)
    check_tables(page, f"{folder}/run")
    found = {row[0] for row in page.tables["results"][0][1:]}
    check(set(names) <= found, f"{found}")
    check(not any("hacked" == name for _, _, files in os.walk(folder) for name in files), "a name was run")


main(globals())
