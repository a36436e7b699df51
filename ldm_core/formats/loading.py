"""From a path to a model that computes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ldm_core.conditioners import Tokenizer
from ldm_core.errors import ConfigError, ModelFileError
from ldm_core.formats.config import config_beside, read_config
from ldm_core.formats.reading import read_state_dict
from ldm_core.formats.recognise import recognise, require_agreement, with_stored_scale
from ldm_core.model import LatentDiffusion, load_first_stage
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.spec import AutoencoderSpec, TextSpec


def load(
    path: Path, *, config: Path | None, device: str | torch.device, dtype: torch.dtype | None
) -> LatentDiffusion | FirstStage:
    """See `ldm_core.formats.load_model`."""
    file = _weights_file(path)
    found = config or config_beside(file)
    # Read before the weights: a wrong description is told in a moment, the weights take seconds.
    described = None if found is None else read_config(found)
    weights = read_state_dict(file)
    if described is None:
        spec = recognise(weights)
    else:
        spec = described.spec
        if described.defaults is not None and described.defaults.first_stage:
            weights |= _shared_first_stage(file, described.defaults.first_stage)
        require_agreement(spec, weights)
    dtype = dtype or torch.float32
    if isinstance(spec, AutoencoderSpec):
        return load_first_stage(spec, weights, device=device, dtype=dtype)
    vocabulary, text = file.with_name("vocab.txt"), spec.conditioner(TextSpec)
    tokenizer = Tokenizer(vocabulary, text.max_length) if text and vocabulary.is_file() else None
    spec = with_stored_scale(spec, weights)
    return LatentDiffusion.from_state_dict(spec, weights, tokenizer, device=device, dtype=dtype)


def _shared_first_stage(file: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a first stage in the folder `name` beside the model's own, named as in a whole model."""
    # The name comes from the file: it is looked up among the folders that are there, never joined to a path.
    folders = {folder.name: folder for folder in file.resolve().parent.parent.iterdir() if folder.is_dir()}
    if name not in folders:
        raise ModelFileError(
            f"{file.parent.name} shares its first stage with others: the folder {name[:60]!r} has to lie "
            "beside its own."
        )
    weights = read_state_dict(_weights_file(folders[name]))
    return {f"first_stage_model.{key}": tensor for key, tensor in weights.items()}


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
