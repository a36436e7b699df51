"""From a path to a model that computes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from ldm_core.conditioners import ClipTokenizer, Tokenizer, has_vocabulary
from ldm_core.errors import ConfigError, ModelFileError
from ldm_core.formats.clip_names import published_recipes
from ldm_core.formats.config import config_beside, read_config
from ldm_core.formats.reading import Checkpoint
from ldm_core.formats.recognise import recognise, require_agreement, with_stored_scale
from ldm_core.formats.renaming import Renamed
from ldm_core.formats.shapes import FIRST_STAGE
from ldm_core.formats.stable_diffusion import with_found_towers
from ldm_core.model import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage, first_stage
from ldm_core.spec import AutoencoderSpec, ClipSpec, ModelSpec, TextSpec
from ldm_core.weights import fill, places


def load(
    path: Path,
    *,
    config: Path | None,
    vocabulary: Path | None,
    device: str | torch.device,
    dtype: torch.dtype | None,
) -> LatentDiffusion | FirstStage:
    """See `ldm_core.formats.load_model`."""
    file = _weights_file(path)
    found = config or config_beside(file)
    # Read before the weights: a wrong description is told in a moment, the weights take seconds.
    described = None if found is None else read_config(found)
    with ExitStack() as stack:
        checkpoint = stack.enter_context(Checkpoint(file))
        sources: list[tuple[Checkpoint | Renamed, str]] = [
            (Renamed(checkpoint, published_recipes(checkpoint.shapes)), "")
        ]
        if described is not None and described.defaults is not None and described.defaults.first_stage:
            shared = _shared_first_stage(file, described.defaults.first_stage)
            sources.append((stack.enter_context(Checkpoint(shared)), FIRST_STAGE))
        shapes = {prefix + name: t for source, prefix in sources for name, t in source.shapes.items()}
        if described is None:
            spec = recognise(shapes)
        else:
            spec = described.spec
            if isinstance(spec, ModelSpec):
                spec = with_found_towers(spec, shapes)
            require_agreement(spec, shapes)
        model = _without_weights(spec, shapes, _tokenizer(spec, file.parent, vocabulary))
        names = places(model, shapes)
        tensors = (
            (names[prefix + name], tensor)
            for source, prefix in sources
            for name, tensor in source.read([name for name in source.shapes if prefix + name in names])
        )
        return fill(model, tensors, device, dtype or torch.float32)


def _without_weights(
    spec: ModelSpec | AutoencoderSpec,
    shapes: Mapping[str, Tensor],
    tokenizer: Tokenizer | ClipTokenizer | None,
) -> LatentDiffusion | FirstStage:
    if isinstance(spec, AutoencoderSpec):
        with torch.device("meta"):
            return first_stage(spec)
    return LatentDiffusion.without_weights(with_stored_scale(spec, shapes), tokenizer)


def _tokenizer(
    spec: ModelSpec | AutoencoderSpec, folder: Path, vocabulary: Path | None
) -> Tokenizer | ClipTokenizer | None:
    """The tokenizer whose files lie beside the weights or, of CLIP, in the folder `vocabulary`."""
    if isinstance(spec, AutoencoderSpec):
        return None
    text, clip = spec.conditioner(TextSpec), spec.conditioner(ClipSpec)
    if text is not None and (folder / "vocab.txt").is_file():
        return Tokenizer(folder / "vocab.txt", text.max_length)
    found = next(
        (one for one in (folder / "tokenizer", folder, vocabulary) if one and has_vocabulary(one)), None
    )
    if clip is not None and found is not None:
        return ClipTokenizer([found] * len(clip.towers), clip)
    return None


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
    if (path / "model_index.json").is_file():
        raise ConfigError(
            f"{path.name} is a folder in the layout of diffusers, which cannot be loaded yet; "
            "choose a checkpoint in one file."
        )
    if not (path / "model.safetensors").is_file():
        raise ModelFileError(
            f"The folder {path.name} has no model.safetensors; choose the model file itself."
        )
    return path / "model.safetensors"
