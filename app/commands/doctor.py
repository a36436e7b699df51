"""`launch.py doctor` and `launch.py models`: what is there, in a form to paste into a bug report."""

from __future__ import annotations

import getpass
import platform
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.keeping import logs
from app.keeping.places import ROOT, data_folder, open_models
from ldm_core.errors import AtelierError

PACKAGES = (
    "torch",
    "gradio",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
    "opencv-python",
)


def report(models: Sequence[str] = (), device: str | None = None) -> str:
    """Facts about this installation, one a line.  No user name and no path outside the program."""
    facts = {
        "Latent Atelier": _revision(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    facts.update({name: _version(name) for name in PACKAGES})
    facts.update(_device(device))
    lines = [f"{name}: {value}" for name, value in facts.items()]
    return "\n".join([*lines, "models:", *(f"  {line}" for line in list_models(models))])


LINES = 300  # of the log
_PRIVATE = (
    (re.compile(r"(?i)(owner|token|key|password|secret)=[^\s&\"]+"), r"\1=..."),
    (re.compile(r"hf_[A-Za-z0-9]{8,}"), "hf_..."),
    (re.compile(r"\b[0-9a-f]{4}(-[0-9a-f]{4}){3}\b"), "..."),  # a password that was made
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b"), "an address"),
    (re.compile(r"\b[A-Za-z0-9_-]{32,}\b"), "..."),  # tokens, hashes
    (re.compile(r"(?<![\w.])(/[\w.@ -]+){2,}/?|[A-Z]:\\\\[^\"]+"), "a path"),
)


def write_report(file: str, models: Sequence[str] = (), device: str | None = None) -> None:
    """Writes facts, and the log's last lines without whatever could be private.

    Raises:
        OSError: the file cannot be written.
    """
    lines: list[str] = []
    with suppress(OSError):
        log = (data_folder() / logs.NAME).read_text(encoding="utf-8", errors="replace")
        lines = log.splitlines()[-LINES:]
    text = "\n".join([report(models, device), "", "log:", *map(scrubbed, lines)])
    Path(file).write_text(text + "\n", encoding="utf-8")


def scrubbed(text: str) -> str:
    """A line without paths, names of users, addresses and secrets."""
    with suppress(OSError, KeyError, ImportError):  # a system without users' names
        text = re.sub(rf"\b{re.escape(getpass.getuser())}\b", "somebody", text)
    for private, instead in _PRIVATE:
        text = private.sub(instead, text)
    return text


def list_models(folders: Sequence[str] = ()) -> list[str]:
    """Each model there is, with its size and, where it cannot be used, why."""
    library = open_models(folders)
    lines = []
    for entry in library.entries():
        title = entry.title or entry.family or entry.kind
        facts = (title, f"{entry.size / 1e6:.1f} MB", entry.precision, entry.problem)
        lines.append(f"{entry.name}: {', '.join(fact for fact in facts if fact)}")
    return [*lines, *library.problems()] or ["none"]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """The commit this copy stands at; "unknown" without git."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(git, capture_output=True, text=True, timeout=5).stdout.strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def _device(device: str | None) -> dict[str, str]:
    """What the engine would choose."""
    try:
        from ldm_core.network.device import choose, describe

        return describe(choose(device))
    except AtelierError as error:
        return {"device": str(error)}
    except ImportError as error:  # a broken installation is what this command is for
        return {"device": f"unknown, since {error.name or 'a package'} cannot be imported"}
