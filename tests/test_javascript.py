"""The page's scripts (assets/*.js, assets/canvas): types, style, the parts that need no browser, and what
people who do not see or do not use a mouse find (axe-core).

Runs what tests/javascript/package.json names, with Node where it is installed.  The tools are installed by
`npm ci` into tests/javascript/node_modules, which git ignores.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from app.widgets.canvas_value import pack
from tests.browser import newest, status

pytest_plugins = ["tests.browser"]

FOLDER = Path(__file__).resolve().parent / "javascript"
OLDEST = (20, 19)  # reads ES modules without a package.json beside them


def find(program: str) -> str:
    """The path of a program; where it is missing the test is skipped, and says so."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: the page's scripts are not checked (https://nodejs.org)")
    return path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, encoding="utf-8", timeout=600)


@pytest.fixture(scope="module")
def node() -> str:
    path = find("node")
    version = run(path, "--version").stdout.strip()
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        pytest.skip(f"Node is {version}, older than {oldest}: the page's scripts are not checked")
    return path


@pytest.fixture(scope="module")
def npm(node: str) -> str:
    """npm, with the tools of the lock file installed."""
    path = find("npm")
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = run(path, "ci", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")
        if re.search(r"npm error code (ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT)", done.stderr):
            pytest.skip("npm reaches no registry: types and style of the page's scripts are not checked")
        assert done.returncode == 0, done.stderr
    return path


def test_units(node: str) -> None:
    done = run(node, "--test", "--test-timeout=60000")
    assert done.returncode == 0, done.stdout
    assert not re.search(r"^# tests 0$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("check", ["types", "lint"])
def test_tools(check: str, npm: str) -> None:
    done = run(npm, "run", "--silent", check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_label_maps_are_packed_alike_at_both_ends(node: str) -> None:
    """assets/canvas/value.js and app/widgets/canvas_value.py write the same bytes of the same map."""
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 4, n).astype(np.uint8) for n in (1, 2, 300)]
    maps += [np.repeat(rng.integers(0, 256, n), rng.integers(1, 9, n)).astype(np.uint8) for n in (3, 50, 400)]
    maps += [np.full(n, 255, np.uint8) for n in (2, 0xFFFF, 0x10000, 200_000)]
    code = """
      import { readFileSync } from "node:fs";
      const { pack, toBase64 } = await import(process.argv[1]);
      const maps = JSON.parse(readFileSync(0, "utf8")).map((text) => Buffer.from(text, "base64"));
      const packed = maps.map((map) => pack(Uint8Array.from(map)));
      console.log(JSON.stringify(packed.map(({ packing, bytes }) => [packing, toBase64(bytes)])));
    """
    script = (FOLDER.parent.parent / "assets" / "canvas" / "value.js").as_uri()
    command = [node, "--input-type=module", "--eval", code, script]
    texts = json.dumps([base64.b64encode(labels).decode() for labels in maps])
    done = subprocess.run(command, input=texts, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [list(pack(labels)) for labels in maps]


TABS = ("Text to image", "Inpaint", "Upscale", "Paint", "Layout", "Classes", "History", "Models")
# Every violation of axe-core's rules: names, roles, contrast, headings, landmarks.
VIOLATIONS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.flatMap(
  ({ id, nodes }) => nodes.map(({ target, html }) => [id, target.join(" "), html.slice(0, 120)]))"""


def test_accessibility(npm: str, page: Page, outputs: Path) -> None:
    """In every tab and both themes, with a picture made, the queue and the download's choices open."""
    page.evaluate((FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = {}

    def check(place: str) -> None:
        if violations := page.evaluate(VIOLATIONS):
            found[place] = violations

    newest(page, outputs, "text")
    status(page, "Finished")
    page.locator("#download-options > button").click()
    page.locator("#queue-fold").click()
    page.locator("#queue li").first.wait_for()
    for theme in ("first", "other"):
        for tab in TABS:
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(1200)  # until what slides or fades has arrived
            check(f"{tab}, {theme} theme")
        page.locator("#theme").click()
    assert not found
