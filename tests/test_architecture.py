"""The rules that tools check: style, types, and which part may import which."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> None:
    """Runs a tool of this Python's environment from the project's root; its report is the failure."""
    program = Path(sysconfig.get_path("scripts")) / command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_style() -> None:
    run("ruff", "check", "--output-format", "concise", ".")


def test_types() -> None:
    run("mypy")


def test_layers() -> None:
    run("lint-imports")


@pytest.mark.parametrize(
    "module",
    [
        "ldm_core.errors",
        "ldm_core.spec",
        "ldm_core.request",
        "ldm_core.library.models",
        "ldm_core.formats.config",
    ],
)
def test_the_page_can_import_this_before_torch(module: str) -> None:
    code = (
        f"import sys, {module}; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'gradio')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_no_unsafe_loading() -> None:
    """No code path unpickles or evaluates what a file says."""
    unsafe = ("weights_only=" + "False", "pickle.load", "yaml.load(", "yaml.unsafe", "cv2.im" + "decode")
    for folder in ("app", "ldm_core"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            assert not [word for word in unsafe if word in text], path.name
            for line in text.splitlines():
                assert "torch.load(" not in line or "weights_only=True" in line, (
                    f"{path.name}: {line.strip()}"
                )


def test_the_map_shows_every_room_and_no_other() -> None:
    """ARCHITECTURE.md's tree and the folders tell the same story."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for package in ("app", "ldm_core"):
        tree = text.split(f"    {package}/\n")[1]
        drawn = set(
            re.findall(r"^ {6}(\w+)/", tree.split("\n    assets/")[0].split("\n    ---")[0], re.MULTILINE)
        )
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert drawn == rooms
