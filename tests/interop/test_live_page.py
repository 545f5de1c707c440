#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The live page and the cluster's page in headless Chromium: no word on the console, no request to
anybody else, contents that follow the run; nothing is wider than a desktop's or a phone's window."""

import http.server
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "cluster"))
from harness import AUSCULT, TINY, WORKER, Process, check, check_has, main, make_data  # noqa: E402
from harness import wait_for_endpoint, wait_until  # noqa: E402
from http_page import Page, ask, url_of_run  # noqa: E402
from browser import View, chromium, width_of  # noqa: E402


def begin(folder, *options):
    make_data(f"{folder}/data", ("fan",))
    coordinator = Process(AUSCULT, "run", "--data", f"{folder}/data", "--out", f"{folder}/run", *TINY, "--bind",
                          "tcp://127.0.0.1:0", "--insecure", "--http", "127.0.0.1:0", *options)
    return coordinator, url_of_run(coordinator, f"{folder}/run")


def stop(coordinator):
    coordinator.signal(signal.SIGTERM)
    check(coordinator.wait().code == 75, "it did not stop")


def check_quiet(view):
    check(view.console == [], f"the console said {view.console}")
    check(view.others("127.0.0.1") == [], f"asked of others: {view.others('127.0.0.1')}")


def test_the_live_page_asks_for_itself_and_nobody_else(folder):
    chromium()
    coordinator, url = begin(folder)
    view = View(url, seconds=9)
    check_quiet(view)
    check(view.asked.count(url) >= 3, f"its script asked for the page anew: {view.asked}")
    check(set(view.asked) == {url, url + "live.js"}, view.asked)
    check(Page(view.text).state == "running" and 'id="lost"' not in view.text, view.text)
    check_has(view.text, "Nobody is connected")
    stop(coordinator)
    view = View(f"file://{folder}/run/logs/cluster.html")
    check_quiet(view)
    check(view.asked == [], view.asked)
    check_has(view.text, "stopped", "Time per stage")


class Replay(http.server.ThreadingHTTPServer):
    """Answers as a coordinator would: with these pages one after the other, then not at all."""

    def __init__(self, pages, script):
        super().__init__(("127.0.0.1", 0), Replay.Answer)
        self.pages, self.script = pages, script
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = self.server.script if self.path == "/live.js" else None
            if self.path == "/" and self.server.pages:
                text = self.server.pages.pop(0)
            if text is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if self.path == "/live.js" else "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    def look(self, seconds):
        try:
            return View(f"http://127.0.0.1:{self.server_address[1]}/", seconds=seconds)
        finally:
            self.shutdown()
            self.server_close()


def test_the_script_shows_what_is_new_and_says_when_nobody_answers(folder):
    chromium()
    coordinator, url = begin(folder)
    page, script = ask(url)[2], ask(url, "/live.js")[2]
    stop(coordinator)
    second = page.replace("Nobody is connected", "Somebody came")
    over = second.replace('data-state="running"', 'data-state="done"')

    view = Replay([page, second, over], script).look(12)
    check(Page(view.text).state == "done" and view.console == [], view.text)
    check_has(view.text, "Somebody came")
    check('id="lost"' not in view.text, "it ended as it should")
    check(len(view.asked) == 4, f"once it is over nothing more is asked: {view.asked}")

    view = Replay([page, second], script).look(12)
    check_has(view.text, 'id="lost"', "no longer answers", "Somebody came")


def test_nothing_is_wider_than_a_phone(folder):
    chromium()
    coordinator, url = begin(folder, "--set", "epochs=100000")
    worker = Process(WORKER, "--connect", wait_for_endpoint(coordinator, f"{folder}/run"))
    pages = []

    def at_work():
        pages.append(ask(url)[2])
        return "the training of fan" in pages[-1]

    wait_until(at_work, "a worker is seen at work")
    stop(coordinator)
    worker.signal(signal.SIGTERM)
    worker.wait()
    with open(f"{folder}/run/logs/cluster.html", encoding="utf-8") as file:
        pages.append(file.read())
    for text in pages[-2:]:
        for width in (360, 1280):
            found = width_of(text, folder, width)
            check(found <= width, f"{found} of {width}")
    wide = pages[-1].replace("<section", "<p style='width:3000px'>x</p><section", 1)
    check(width_of(wide, folder, 360) >= 3000, "the probe measures nothing")


def test_the_looks_themselves_would_notice(folder):
    chromium()
    with open(f"{folder}/bad.html", "w", encoding="utf-8") as file:
        file.write("<!doctype html><title>x</title><img src='http://elsewhere.example/a.png'><script>nothing.at()</script>")
    view = View(f"file://{folder}/bad.html")
    check("http://elsewhere.example/a.png" in view.others("127.0.0.1"), view.asked)
    check(any("ReferenceError" in line for line in view.console), view.console)


main(globals())
