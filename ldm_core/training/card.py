"""The card of an exported model: what it is, how it was trained, what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from ldm_core.errors import ConfigError, FileError

Config = Mapping[str, object]
Figures = Mapping[str, Mapping[str, float]]  # task -> name -> value


def read_figures(path: Path) -> Figures:
    """What `launch.py evaluate` has written.

    Raises:
        FileError: it is no such file.
    """
    try:
        figures = json.loads(path.read_text("utf-8"))
        return {str(task): {str(n): float(v) for n, v in values.items()} for task, values in figures.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise FileError(f"{path.name} is no JSON file that launch.py evaluate has written.") from error


def card(config: Config, steps: int, figures: Figures) -> str:
    """README.md of a model.

    Args:
        config: the training's file.
        steps: that were made.

    Raises:
        ConfigError: the file does not say what the model is called and under which licence it is.
    """
    about, training, loop = (_section(config, name) for name in ("atelier", "training", "loop"))
    for name in ("title", "description", "licence"):
        if not about.get(name):
            raise ConfigError(f"atelier.{name} is missing; a model that others use has to say it.")
    settings = yaml.safe_dump({"training": training, "loop": loop}, sort_keys=False).strip()
    lines = [f"# {about['title']}", "", str(about["description"]), "", "## Training", ""]
    lines += [f"{steps:,} steps with these settings:", "", "```yaml", settings, "```", "", "## Measured", ""]
    lines += ["By `python launch.py evaluate`, on unseen scenes.", ""] if figures else ["Nothing yet.", ""]
    for task, values in figures.items():
        lines += [f"| {task} | |", "| --- | --- |"]
        lines += [f"| {name.replace('_', ' ')} | {value:g} |" for name, value in values.items()]
        lines += [""]
    return "\n".join([*lines, "## Licence", "", str(about["licence"]), ""])


def _section(config: Config, name: str) -> Config:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}
