"""Where the files lie that the program comes with: models, palettes, configurations."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

# Beside the package in a checkout, inside of it where it was installed by pip.
ASSETS = next(folder for folder in (_HERE / "assets", _HERE.parent / "assets") if folder.is_dir())
BUNDLED_MODELS = ASSETS / "models"
