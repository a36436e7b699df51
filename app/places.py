"""Where things are on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
BUNDLED_MODELS = ASSETS / "models"
OWN_MODELS = ROOT / "models"  # the person's own checkpoints
OUTPUTS = ROOT / "outputs"


def model_folders(chosen: Sequence[str] = ()) -> tuple[Path, ...]:
    """Where to look for models: the folders chosen, else `ATELIER_MODELS`, else bundled and own ones."""
    named = [part for part in os.environ.get("ATELIER_MODELS", "").split(os.pathsep) if part]
    return tuple(Path(folder) for folder in chosen or named) or (BUNDLED_MODELS, OWN_MODELS)


def outputs_folder(chosen: str | None = None) -> Path:
    """Where pictures go: the folder chosen, else `ATELIER_OUTPUTS`, else `outputs` beside launch.py."""
    return Path(chosen or os.environ.get("ATELIER_OUTPUTS") or OUTPUTS)


def shown(path: Path) -> str:
    """A path as it may stand on the page or in a bug report: no user name, no home folder."""
    resolved = path.resolve()
    for base, name in ((ROOT, ""), (Path.home(), "~")):
        if resolved.is_relative_to(base.resolve()):
            return str(Path(name, resolved.relative_to(base.resolve())))
    return resolved.name
