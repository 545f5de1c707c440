# SPDX-License-Identifier: Apache-2.0
"""What the tests of pages share: plain requests to a server on this machine, and a page as a reader
without a browser sees it. Python's standard library only."""

import html.parser
import http.client
import json
import os
import urllib.parse

from harness import check, wait_until


def url_of_run(coordinator, out):
    """Where the live page of a run with --http HOST:0 is, once it is told. `began_ms` of an earlier
    start of the same run does not count."""
    path = os.path.join(out, "status.json")

    def read():
        coordinator.check_running()
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            status = json.load(file)
        return status["http"] if status["process"] == coordinator.process.pid else None

    return wait_until(read, "status.json tells where the live page is")


def ask(url, path="/", method="GET", headers=None):
    """(status, headers, body) of one request."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


class Page(html.parser.HTMLParser):
    """Tables by their section's id, as rows of texts; every address that the page names; texts of
    <main>'s header."""

    VOID = {"meta", "link", "br", "img", "rect", "line", "i"}

    def __init__(self, text):
        super().__init__()
        self.tables, self.links, self.scripts, self.state = {}, [], [], None
        self._section, self._row, self._cell, self._open = None, None, None, []
        self.feed(text)
        self.close()
        check(not self._open, f"not closed: {self._open}")

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.links += [named[key] for key in ("href", "src") if key in named]
        self.scripts += ["inline handler" for key in named if key.startswith("on")]
        if tag == "script":
            self.scripts.append(named.get("src", "inline"))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = named["id"]
        elif tag == "header":
            self.state = named.get("data-state")
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_startendtag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("href", "src")]

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        check(self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}")
        self._open.pop()
        if tag in ("td", "th"):
            self._row.append(self._cell)
            self._cell = None
        elif tag == "tr":
            self.tables.setdefault(self._section, []).append(self._row)

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data
