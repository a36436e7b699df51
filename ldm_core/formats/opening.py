"""Opening a model, whatever its layout: its tensors under our names, and what it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ldm_core.errors import ModelFileError
from ldm_core.formats.agreement import require_agreement, with_found_sizes
from ldm_core.formats.config import Config, config_beside, read_additions, read_config
from ldm_core.formats.families import family_of, family_of_folder
from ldm_core.formats.families.first_stage import FIRST_STAGE_ALONE
from ldm_core.formats.families.first_stage import recipes as first_stage_recipes
from ldm_core.formats.family import Family, Opened
from ldm_core.formats.few_steps import suited
from ldm_core.formats.folders import first_stage_beside, pieces_of
from ldm_core.formats.reading import Checkpoint
from ldm_core.formats.renaming import Joined, Renamed, Tensors
from ldm_core.formats.shapes import FIRST_STAGE
from ldm_core.formats.unet_alone import base_of, is_unet_alone, on_base
from ldm_core.model_spec import ModelSpec


def open_model(path: Path, stack: ExitStack, config: Path | None = None) -> Opened:
    """Opens a file or folder until `stack` is closed; reads headers alone.

    Args:
        config: the description; None is what lies beside the file, if anything does.

    Raises:
        ModelError: it cannot be read, is no model, or its description does not fit.
    """
    if (path / "model_index.json").is_file():
        folder_family, title = family_of_folder(path)
        if folder_family.open_folder is None:
            raise ModelFileError(f"Folders of {title} cannot be opened; choose a single file of it.")
        return folder_family.open_folder(path, stack)
    file = _weights_file(path)
    found = config or config_beside(file)
    # Read before the weights: a wrong description is told in a moment.
    added = None if found is None else read_additions(found)
    described = None if found is None or added else read_config(found)
    pieces = [stack.enter_context(Checkpoint(piece)) for piece in pieces_of(file)]
    checkpoint = Joined(pieces) if len(pieces) > 1 else pieces[0]
    if described is None and is_unet_alone(checkpoint.shapes):
        base = open_model(base_of(file, added.base if added else ""), stack)
        return _few_steps(on_base(checkpoint, base), file, pieces[0])
    known = family_of(checkpoint.shapes)
    family = known[0] if known else FIRST_STAGE_ALONE  # which tells what is missing
    tensors = _tensors(checkpoint, family, file, described, stack)
    places = ((file.parent / "tokenizer", file.parent),)
    if described is None:
        spec = family.describe(tensors.shapes)
        if added and added.parameterization and isinstance(spec, ModelSpec):
            spec = replace(spec, parameterization=added.parameterization)
        opened = Opened(tensors, Config(spec, family.defaults(spec)), places, family.denoiser)
        return _few_steps(opened, file, pieces[0])
    spec = described.spec
    if isinstance(spec, ModelSpec):
        spec = with_found_sizes(spec, tensors.shapes)
    require_agreement(spec, tensors.shapes)
    return Opened(tensors, replace(described, spec=spec), places, family.denoiser)


def _few_steps(opened: Opened, file: Path, checkpoint: Checkpoint) -> Opened:
    """Begins as a model for few steps does, where the file is called one."""
    config = opened.config
    if not isinstance(config.spec, ModelSpec):
        return opened
    guides_itself = config.spec.guidance_dim > 0
    defaults = suited(file.stem, checkpoint.metadata, guides_itself, config.defaults)
    return replace(opened, config=replace(config, defaults=defaults))


def _tensors(
    checkpoint: Tensors, family: Family, file: Path, described: Config | None, stack: ExitStack
) -> Tensors:
    """Of the file, and of the first stage where another lies beside it."""
    recipes = family.recipes(checkpoint.shapes)
    name = described.defaults.first_stage if described else ""
    separate = _shared_first_stage(file, name) if name else first_stage_beside(file)
    if separate is None:
        return Renamed(checkpoint, recipes)
    rest = {ours: recipe for ours, recipe in recipes.items() if not ours.startswith(FIRST_STAGE)}
    other = stack.enter_context(Checkpoint(separate))
    if not any(name.endswith("decoder.conv_in.weight") for name in other.shapes):
        raise ModelFileError(f"{separate.name} is no first stage (VAE); put the right file in its place.")
    return Joined([Renamed(checkpoint, rest), Renamed(other, first_stage_recipes(other.shapes, FIRST_STAGE))])


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
