"""Where things are on the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ldm_core.bundled import BUNDLED_MODELS
from ldm_core.library.models import ModelLibrary

ROOT = Path(__file__).resolve().parents[2]
OWN_MODELS = ROOT / "models"  # the person's own checkpoints
OUTPUTS = ROOT / "outputs"
PROMPTS = ROOT / "prompts"  # the person's own wildcards, styles and tags


def model_folders(more: Sequence[str] = ()) -> tuple[Path, ...]:
    """Where to look for models: `more` folders first, then `ATELIER_MODELS`, else our own and bundled."""
    named = [part for part in os.environ.get("ATELIER_MODELS", "").split(os.pathsep) if part]
    usual = tuple(map(Path, named)) or (OWN_MODELS, BUNDLED_MODELS)
    return (*map(Path, more), *usual)


def own_models() -> Path:
    """The folder that models are added to and removed from: the first of `ATELIER_MODELS`, else `models`."""
    return model_folders()[0]


def open_models(more: Sequence[str] = (), *, wait: bool = True) -> ModelLibrary:
    """The models in those folders, with the index that is kept between starts."""
    data = data_folder()
    return ModelLibrary(
        model_folders(more), cache=data / "models.json", tokenizers=data / "tokenizers", wait=wait
    )


def data_folder() -> Path:
    """Where the program keeps what it computed for itself: `ATELIER_DATA`, else the system's usual place."""
    named = os.environ.get("ATELIER_DATA")
    if named:
        return Path(named)
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "latent-atelier"


def outputs_folder(chosen: str | None = None) -> Path:
    """Where pictures go: the folder chosen, else `ATELIER_OUTPUTS`, else `outputs` beside launch.py."""
    return Path(chosen or os.environ.get("ATELIER_OUTPUTS") or OUTPUTS)


def prompts_folder() -> Path:
    """Where wildcards, styles and tags are: `ATELIER_PROMPTS`, else `prompts` beside launch.py."""
    return Path(os.environ.get("ATELIER_PROMPTS") or PROMPTS)


def shown(path: Path) -> str:
    """A path as it may stand on the page or in a bug report: no user name, no home folder."""
    resolved = path.resolve()
    for base, name in ((ROOT, ""), (Path.home(), "~")):
        if resolved.is_relative_to(base.resolve()):
            return str(Path(name, resolved.relative_to(base.resolve())))
    return resolved.name
