"""`launch.py doctor` and `launch.py models`: what is there, in a form to paste into a bug report."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from app.keeping.places import ROOT, open_models
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
