"""From a path to a model that computes."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ldm_core.conditioners.base import Tokenize
from ldm_core.formats import FindTokenizer
from ldm_core.formats.agreement import with_stored_scale
from ldm_core.formats.family import Opened
from ldm_core.formats.opening import open_model
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import BuildDenoiser, LatentDiffusion
from ldm_core.network.weights import BESIDE, fill, places, without_weights
from ldm_core.nn.autoencoder import FirstStage, first_stage
from ldm_core.nn.unet import UNet
from ldm_core.spec import AutoencoderSpec


def load(
    path: Path,
    *,
    config: Path | None,
    find_tokenizer: FindTokenizer,
    device: str | torch.device,
    dtype: torch.dtype | None,
) -> LatentDiffusion | FirstStage:
    """See `ldm_core.formats.load_model`."""
    with ExitStack() as stack:
        opened = open_model(path, stack, config)
        spec, shapes = opened.config.spec, opened.tensors.shapes
        tokenizer = _tokenizer(spec, opened.tokenizers, find_tokenizer)
        model = _without_weights(opened, tokenizer)
        names = places(model, shapes)
        tensors = ((names[name], tensor) for name, tensor in opened.tensors.read(names))
        upcast = dtype == torch.float16 and isinstance(spec, ModelSpec) and spec.first_stage_overflows
        in_float32 = ("first_stage_model.",) if upcast else ()
        return fill(model, tensors, device, dtype or torch.float32, in_float32)


def load_tokenizer(path: Path, find_tokenizer: FindTokenizer) -> Tokenize | None:
    """A model's tokenizer alone; None where there is none."""
    with ExitStack() as stack:
        opened = open_model(path, stack, None)
        return _tokenizer(opened.config.spec, opened.tokenizers, find_tokenizer)


def require_loadable(opened: Opened) -> None:
    """Compares an open model's tensors with those that loading it asks for; reads none of them.

    Raises:
        ModelError: as loading would.
    """
    spec, shapes = opened.config.spec, opened.tensors.shapes
    if isinstance(spec, ModelSpec):
        spec = with_stored_scale(spec, shapes)
    places(_expected(spec, opened.denoiser or UNet), shapes)


def left_aside(opened: Opened) -> str:
    """A sentence on tensors that other programs left in the file; empty where there are none."""
    names = sorted(name for name in opened.tensors.shapes if name.startswith(BESIDE))
    if not names:
        return ""
    some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} tensors in it change no picture and are left aside: {some}."


# Many files are of one kind, and building one takes a third of a second.
@lru_cache(maxsize=8)
def _expected(spec: ModelSpec | AutoencoderSpec, denoiser: BuildDenoiser) -> nn.Module:
    """A model without its weights, whose names and shapes alone count."""
    if isinstance(spec, AutoencoderSpec):
        with without_weights():
            return first_stage(spec)
    return LatentDiffusion.without_weights(spec, denoiser=denoiser)


def _without_weights(opened: Opened, tokenizer: Tokenize | None) -> LatentDiffusion | FirstStage:
    spec, defaults = opened.config.spec, opened.config.defaults
    if isinstance(spec, AutoencoderSpec):
        with without_weights():
            return first_stage(spec)
    spec = with_stored_scale(spec, opened.tensors.shapes)
    return LatentDiffusion.without_weights(spec, tokenizer, defaults, opened.denoiser or UNet)


def _tokenizer(
    spec: ModelSpec | AutoencoderSpec, places: tuple[tuple[Path, ...], ...], find: FindTokenizer
) -> Tokenize | None:
    """The tokenizer whose files lie with the model, else where `find` says."""
    if isinstance(spec, AutoencoderSpec):
        return None
    conditioner = spec.taking("prompt")
    return None if conditioner is None else conditioner.find_tokenizer(places, lambda: find(conditioner))
