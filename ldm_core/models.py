"""The models there are, and the ones that are loaded.  Imports no torch before a model is loaded.

A model is a folder with `model.safetensors`, `config.yaml` and `vocab.txt`; its name is the folder's.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ldm_core.errors import ConfigError, ModelFileError, ModelNotFound
from ldm_core.request import NAME_CHARACTERS, TextToImage
from ldm_core.spec import ModelSpec

if TYPE_CHECKING:
    import torch

    from ldm_core.model import LatentDiffusion

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "models"
_WEIGHTS, _CONFIG, _VOCABULARY = "model.safetensors", "config.yaml", "vocab.txt"

Stamp = tuple[tuple[int, int], ...]  # of each file: modification time in ns, size


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a person may know of a model before it is loaded.

    `defaults` is the request that suits the model best, with an empty prompt.
    """

    name: str
    title: str
    description: str
    licence: str
    path: Path
    spec: ModelSpec
    defaults: TextToImage

    @property
    def size_multiple(self) -> int:
        """A picture's width and height have to be multiples of this, in pixels."""
        return self.spec.size_multiple


class ModelLibrary:
    """Finds models in folders and keeps the last used ones in memory.  Safe to use from several threads.

    Args:
        folders: where to look, one folder a model; of two models of one name the first folder's counts.
        keep: how many models stay loaded.
    """

    def __init__(self, folders: Sequence[Path] = (BUNDLED,), *, keep: int = 2) -> None:
        self._folders = tuple(folders)
        self._keep = keep
        self._infos: dict[Path, tuple[Stamp, ModelInfo]] = {}
        self._hashes: dict[Path, tuple[Stamp, str]] = {}
        self._loaded: OrderedDict[tuple[object, ...], LatentDiffusion] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """The names of all models, sorted.  Folders are read anew, so new models are seen."""
        return tuple(sorted(self._paths()))

    def info(self, name: str) -> ModelInfo:
        """What is known of a model without loading it.

        Raises:
            ModelNotFound: there is no model of that name.
            ConfigError: its description is wrong.
        """
        path = self._path(name)
        stamp = _stamp(path)
        known = self._infos.get(path)
        if known is None or known[0] != stamp:
            known = self._infos[path] = stamp, _read_info(name, path)
        return known[1]

    def load(self, name: str, *, device: str, dtype: torch.dtype) -> LatentDiffusion:
        """A model ready for use; read from its files where it is not loaded yet or the files have changed.

        Raises:
            ModelError: it does not exist or cannot be loaded.
        """
        from ldm_core.formats import load_model
        from ldm_core.model import LatentDiffusion

        path = self._path(name)
        key = (path, _stamp(path), device, dtype)
        with self._lock:
            model = self._loaded.get(key)
            if model is None:
                while len(self._loaded) >= self._keep:
                    self._loaded.popitem(last=False)  # before loading: two large models may not fit at once
                loaded = load_model(path, device=device, dtype=dtype)
                if not isinstance(loaded, LatentDiffusion):
                    raise ModelFileError(f"{name} holds a first stage alone; choose a whole model.")
                model = loaded
                self._loaded[key] = model
            self._loaded.move_to_end(key)
            return model

    def sha256(self, name: str) -> str:
        """Hash of a model's weights file, 64 hexadecimal digits; pictures name their model by it."""
        path = self._path(name)
        stamp = _stamp(path)
        known = self._hashes.get(path)
        if known is None or known[0] != stamp:
            digest = hashlib.sha256()
            with (path / _WEIGHTS).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
            known = self._hashes[path] = stamp, digest.hexdigest()
        return known[1]

    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in reversed(self._folders):
            for path in folder.iterdir() if folder.is_dir() else ():
                usable = path.name.isprintable() and len(path.name) <= NAME_CHARACTERS
                if usable and all((path / file).is_file() for file in (_WEIGHTS, _CONFIG, _VOCABULARY)):
                    found[path.name] = path
        return found

    def _path(self, name: str) -> Path:
        paths = self._paths()  # the name is looked up, never joined to a path
        if name not in paths:
            shown = name if len(name) <= 60 else f"{name[:57]}..."
            there = ", ".join(sorted(paths)[:20]) or "none; models/ is empty"
            raise ModelNotFound(f"There is no model {shown!r}. Models: {there}.")
        return paths[name]


def _stamp(path: Path) -> Stamp:
    try:
        stats = [(path / file).stat() for file in (_WEIGHTS, _CONFIG, _VOCABULARY)]
    except OSError:
        raise ModelFileError(f"The files of {path.name} were removed or cannot be read.") from None
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


def _read_info(name: str, path: Path) -> ModelInfo:
    from ldm_core.formats.config import Defaults, read_config

    config = read_config(path / _CONFIG)
    if not isinstance(config.spec, ModelSpec):
        raise ConfigError(
            f"{name} describes a first stage alone; a model needs a UNet and a text transformer."
        )
    # Without an `atelier:` section it is likely a published model; those were sampled like this.
    given = config.defaults or Defaults(steps=50, guidance_scale=5.0, spacing="uniform")
    defaults = TextToImage(
        model=name,
        width=given.width,
        height=given.height,
        steps=given.steps,
        guidance_scale=given.guidance_scale,
        spacing=given.spacing,
    )
    return ModelInfo(
        name=name,
        title=given.title or name,
        description=given.description,
        licence=given.licence,
        path=path,
        spec=config.spec,
        defaults=defaults,
    )
