# SPDX-License-Identifier: Apache-2.0
"""A page as headless Chromium shows it: its contents once its script has run, what the console said,
every address that was asked for, a picture."""

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

from harness import Skip, check

# As little as can be of Chromium's own; no name but this machine's is looked up.
QUIET = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--no-pings",
         "--disable-domain-reliability", "--hide-scrollbars", "--enable-logging=stderr", "--log-level=0",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
NOBODY = "not an origin"  # in the log of requests: Chromium itself asked, not a page


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    raise Skip("no Chromium (Debian's package chromium)")


class View:
    """One look at a page. `text` is the document after `seconds` of its own time."""

    def __init__(self, url, size=(1280, 1600), seconds=2, picture=None, dark=False):
        with tempfile.TemporaryDirectory(prefix="auscult-chromium-") as home:
            log = os.path.join(home, "net.json")
            command = [chromium(), *QUIET, f"--user-data-dir={home}/profile", f"--log-net-log={log}",
                       f"--window-size={size[0]},{size[1]}", f"--virtual-time-budget={1000 * seconds}"]
            if os.geteuid() == 0:
                command.append("--no-sandbox")  # which root cannot have
            if dark:
                command.append("--blink-settings=preferredColorScheme=0")
            command.append(f"--screenshot={picture}" if picture else "--dump-dom")
            said = subprocess.run([*command, url], capture_output=True, text=True, timeout=120, check=False,
                                  env={**os.environ, "HOME": home})
            check(said.returncode == 0, f"{command} failed: {said.stderr}")
            self.text = said.stdout
            self.console = re.findall(r":CONSOLE[:(].*", said.stderr)
            self.asked = addresses(log)

    def others(self, host):
        """What the page asked of anybody but this host."""
        return [url for url in self.asked if urllib.parse.urlsplit(url).hostname != host]


def addresses(log):
    """What the page had fetched, or tried to: what was opened on this machine, and all requests
    whose initiator is a page."""
    with open(log, encoding="utf-8") as file:
        text = file.read()
    if not text.rstrip().endswith("}"):  # cut when the browser ended
        text = text.rstrip().rstrip(",") + "]}"
    found = []
    for event in json.loads(text)["events"]:
        given = event.get("params", {})
        url = given.get("url", "")
        if "method" in given and "initiator" in given and url.startswith(("http:", "https:", "ws:", "wss:", "ftp:")):
            if given["initiator"] != NOBODY or urllib.parse.urlsplit(url).hostname == "127.0.0.1":
                found.append(url)
    return found


def width_of(text, folder, width):
    """How wide a page is laid out in a window of this width, which may be a phone's."""
    path = os.path.join(folder, "probe.html")
    plain = re.sub(r"<script.*?</script>|<noscript>.*?</noscript>", "", text, flags=re.DOTALL)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<!doctype html><title>-</title><iframe id=page width={width} height=900></iframe>\n"
                   "<script>const page = document.getElementById('page');\n"
                   "page.onload = () => { document.title = 'wide '"
                   " + page.contentDocument.documentElement.scrollWidth; };\n"
                   f"page.srcdoc = {json.dumps(plain).replace('</', '<' + chr(92) + '/')};</script>\n")
    found = re.search(r"<title>wide (\d+)</title>", View(f"file://{path}").text)
    check(found, "the probe did not run")
    return int(found.group(1))


def pictures_of(text, folder, dark=False):
    """Of each <img> of a page: the width of the picture that is shown, 0 for none, and the end of its address."""
    path = os.path.join(folder, "pictures.html")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<!doctype html><title>-</title><iframe id=page width=1280 height=900></iframe>\n"
                   "<script>const page = document.getElementById('page');\n"
                   "page.onload = () => {\n"
                   "  const all = [...page.contentDocument.images];\n"
                   "  document.body.textContent = JSON.stringify(all.map(image =>"
                   " [image.naturalWidth, image.currentSrc.slice(-60)]));\n"
                   "  document.title = 'looked'; };\n"
                   f"page.srcdoc = {json.dumps(text).replace('</', '<' + chr(92) + '/')};</script>\n")
    found = View(f"file://{path}", dark=dark, seconds=10).text
    check("<title>looked</title>" in found, "the probe did not run")
    return json.loads(html.unescape(re.search(r"<body>(.*)</body>", found, re.DOTALL).group(1)))
