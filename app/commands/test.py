"""`launch.py test`: sees to a browser, then runs all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.keeping.places import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge")
MOST_PROCESSES = 4  # of tests at once; each takes about 3 GB
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")  # tests of one file share models and servers


def main(arguments: Sequence[str]) -> int:
    """Runs pytest with the given arguments, the whole suite in several processes; returns its exit status."""
    environment = dict(os.environ)
    browser = find_browser() or fetch_browser()
    if browser is not None:
        environment["ATELIER_CHROMIUM"] = str(browser)
    else:
        print("No Chromium could be found or installed; the browser tests will fail.", file=sys.stderr)
    whole = not set(arguments) - {"--slow"}
    processes = ["-n", str(min(MOST_PROCESSES, os.cpu_count() or 1)), *BY_FILE] if whole else []
    command = [sys.executable, "-m", "pytest", *processes, *arguments]
    return subprocess.call(command, cwd=ROOT, env=environment)


def find_browser() -> Path | None:
    """A Chromium that is installed: named by ATELIER_CHROMIUM, on the PATH, or Playwright's own."""
    named = os.environ.get("ATELIER_CHROMIUM")
    if named and Path(named).is_file():
        return Path(named)
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    return Path(found) if found else _playwrights_own()


def fetch_browser() -> Path | None:
    """Installs a Chromium: Playwright's download, else Debian's package where we are root."""
    print("Fetching a Chromium for the browser tests ...", file=sys.stderr, flush=True)
    install = [sys.executable, "-m", "playwright", "install", "chromium"]
    if is_root() and shutil.which("apt-get"):
        install.insert(4, "--with-deps")
    if subprocess.call(install) == 0 and (downloaded := _playwrights_own()):
        return downloaded
    if is_root() and shutil.which("apt-get"):
        subprocess.call(["apt-get", "update"])
        subprocess.call(["apt-get", "install", "-y", "--no-install-recommends", "chromium"])
    return find_browser()


def is_root() -> bool:
    """Whether packages of the system can be installed."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _playwrights_own() -> Path | None:
    """The Chromium that Playwright downloaded for this version of itself."""
    ask = (
        "from playwright.sync_api import sync_playwright as start\n"
        "with start() as playwright: print(playwright.chromium.executable_path)"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    path = Path(answer.stdout.strip())
    return path if answer.returncode == 0 and answer.stdout.strip() and path.is_file() else None
