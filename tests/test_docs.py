"""What the documents show runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(name: str) -> str:
    return "\n".join(BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["library.md", "extending.md"])
def test_every_snippet_runs(name: str, tmp_path: Path) -> None:
    """All of a page's, one after the other, in one process of its own."""
    code = snippets(name).replace('"assets/', f'"{ROOT.as_posix()}/assets/')
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def test_what_extending_shows_runs(tmp_path: Path) -> None:
    code = snippets("extending.md")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "CONDITIONERS.append" in code and done.returncode == 0, done.stderr


def test_the_library_says_what_it_is() -> None:
    done = subprocess.run([sys.executable, "-m", "ldm_core"], capture_output=True, text=True, check=True)
    assert "load_model" in done.stdout and "ldm_core.training" in done.stdout


def test_every_public_name_is_there_and_none_brings_torch_before_it_is_used() -> None:
    code = (
        "import sys, ldm_core; assert 'torch' not in sys.modules; "
        "[getattr(ldm_core, name) for name in ldm_core.__all__]; assert 'gradio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_said() -> None:
    import ldm_core

    with pytest.raises(AttributeError, match="no attribute 'Piture'"):
        ldm_core.Piture  # noqa: B018
