"""Opening a model, whatever its layout: its tensors under our names, and what it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ldm_core.errors import ModelFileError
from ldm_core.facts import Weights
from ldm_core.formats.clip_names import published_recipes
from ldm_core.formats.config import Config, config_beside, read_config, usual_defaults
from ldm_core.formats.diffusers_folder import Opened, open_folder
from ldm_core.formats.diffusers_names import first_stage_recipes
from ldm_core.formats.folders import first_stage_beside
from ldm_core.formats.reading import Checkpoint
from ldm_core.formats.recognise import recognise, require_agreement, with_found_sizes
from ldm_core.formats.renaming import Joined, Recipe, Recipes, Renamed, Tensors
from ldm_core.formats.shapes import FIRST_STAGE
from ldm_core.model_spec import ModelSpec


def open_model(path: Path, stack: ExitStack, config: Path | None = None) -> Opened:
    """Opens a file or folder until `stack` is closed; reads headers alone.

    Args:
        config: the description; None is what lies beside the file, if anything does.

    Raises:
        ModelError: it cannot be read, is no model, or its description does not fit.
    """
    if (path / "model_index.json").is_file():
        return open_folder(path, stack)
    file = _weights_file(path)
    found = config or config_beside(file)
    # Read before the weights: a wrong description is told in a moment.
    described = None if found is None else read_config(found)
    tensors = _tensors(file, described, stack)
    places = ((file.parent / "tokenizer", file.parent),)
    if described is None:
        spec = recognise(tensors.shapes)
        return Opened(tensors, Config(spec, usual_defaults(spec)), places)
    spec = described.spec
    if isinstance(spec, ModelSpec):
        spec = with_found_sizes(spec, tensors.shapes)
    require_agreement(spec, tensors.shapes)
    return Opened(tensors, replace(described, spec=spec), places)


def _tensors(file: Path, described: Config | None, stack: ExitStack) -> Tensors:
    """Of the file, and of the first stage where another lies beside it."""
    checkpoint = stack.enter_context(Checkpoint(file))
    recipes = published_recipes(checkpoint.shapes)
    name = described.defaults.first_stage if described else ""
    separate = _shared_first_stage(file, name) if name else first_stage_beside(file)
    if separate is None:
        whole = any(name.startswith(("model.", FIRST_STAGE)) for name in recipes)
        return Renamed(checkpoint, recipes if whole else _first_stage_recipes(checkpoint.shapes, ""))
    rest = {ours: recipe for ours, recipe in recipes.items() if not ours.startswith(FIRST_STAGE)}
    other = stack.enter_context(Checkpoint(separate))
    if not any(name.endswith("decoder.conv_in.weight") for name in other.shapes):
        raise ModelFileError(f"{separate.name} is no first stage (VAE); put the right file in its place.")
    return Joined(
        [Renamed(checkpoint, rest), Renamed(other, _first_stage_recipes(other.shapes, FIRST_STAGE))]
    )


def _first_stage_recipes(weights: Weights, prefix: str) -> Recipes:
    """A first stage alone: as published, cut out of a whole model, or as diffusers names it."""
    if "decoder.mid_block.resnets.0.conv1.weight" in weights:
        return first_stage_recipes(weights, prefix)
    # What the trainer of a first stage left behind is told of as that.
    beside = ("loss.", "model_ema.")
    return {
        (name if name.startswith(beside) else prefix + name.removeprefix(FIRST_STAGE)): Recipe((name,))
        for name in weights
    }


def _shared_first_stage(file: Path, name: str) -> Path:
    """The weights of a first stage in the folder `name` beside the model's own."""
    # The name comes from the file: it is looked up among the folders that are there, never joined to a path.
    folders = {folder.name: folder for folder in file.resolve().parent.parent.iterdir() if folder.is_dir()}
    if name not in folders:
        raise ModelFileError(
            f"{file.parent.name} shares its first stage with others: the folder {name[:60]!r} has to lie "
            "beside its own."
        )
    return _weights_file(folders[name])


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / "model.safetensors").is_file():
        raise ModelFileError(
            f"The folder {path.name} has no model.safetensors; choose the model file itself."
        )
    return path / "model.safetensors"
