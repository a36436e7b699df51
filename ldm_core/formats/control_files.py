"""Files of ControlNets, in the layout that was published and in that of diffusers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from ldm_core.errors import WeightsError
from ldm_core.formats.diffusers_names import unet_recipes
from ldm_core.formats.reading import Checkpoint
from ldm_core.formats.renaming import Recipe, Recipes, Renamed
from ldm_core.formats.shapes import UNET
from ldm_core.network.weights import fill, places, without_weights
from ldm_core.nn.control import ControlNet
from ldm_core.spec import UNetSpec

_PREFIX = "control_model."  # in whole checkpoints
_LAST = "zero_convs.0.0.weight"
_DIFFUSERS = "controlnet_cond_embedding."
# Parts of tensors' names that only controls have.
_PARTS = (_PREFIX, "controlnet_", "zero_convs.", _DIFFUSERS)
_OTHER = {  # of kinds that are built otherwise
    "difference": "the differences to a base model",
    "lora_controlnet": "a Control-LoRA",
    "task_embedding": "a union of several ControlNets",
}


def is_control(names: Iterable[str]) -> bool:
    """Whether a file is a control, of a known kind or not, by the names of its tensors."""
    return any(part in name for name in names for part in _PARTS)


def control_problem(names: Iterable[str]) -> str:
    """Why a file of a ControlNet cannot be used, as a sentence; empty where it can."""
    there = set(names)
    other = next((what for key, what in _OTHER.items() if key in there), "")
    if other:
        return f"It is {other}, which is not known here; look for a plain ControlNet."
    if f"{_DIFFUSERS}conv_in.weight" in there or {_LAST, _PREFIX + _LAST} & there:
        return ""
    return "It is no whole ControlNet: its zero convolutions are not there."


def read_control(
    path: Path, name: str, unet: UNetSpec, device: str | torch.device, dtype: torch.dtype
) -> ControlNet:
    """A ControlNet for a model's UNet.

    Raises:
        ModelFileError: the file cannot be read or is not safe to read.
        WeightsError: it is no ControlNet of a known kind, or made for another family of models.
    """
    with Checkpoint(path) as file:
        if problem := control_problem(file.shapes):
            raise WeightsError(f"The ControlNet {name} cannot be used. {problem}")
        tensors = Renamed(file, _recipes(file.shapes))
        stem = tensors.shapes.get("input_blocks.0.0.weight")
        channels = (
            unet.in_channels if stem is None else stem.shape[1]
        )  # without what an inpainting UNet takes
        with without_weights():
            control = ControlNet(replace(unet, in_channels=channels, guidance_dim=0))
        try:
            found = places(control, tensors.shapes)
        except WeightsError as error:
            raise WeightsError(
                f"The ControlNet {name} was made for a model of another family than this. {error}"
            ) from None
        return fill(control, ((found[key], tensor) for key, tensor in tensors.read(found)), device, dtype)


def _recipes(names: Iterable[str]) -> Recipes:
    found = tuple(names)
    if f"{_DIFFUSERS}conv_in.weight" in found:
        beside = [name for name in found if name.startswith("controlnet_")]
        rest = [name for name in found if not name.startswith("controlnet_")]
        unet = unet_recipes(rest, lambda channels: channels)
        return {name.removeprefix(UNET): recipe for name, recipe in unet.items()} | {
            _ours(name): Recipe((name,)) for name in beside
        }
    whole = any(name.startswith(_PREFIX) for name in found)
    return {
        name.removeprefix(_PREFIX): Recipe((name,)) for name in found if not whole or name.startswith(_PREFIX)
    }


def _ours(name: str) -> str:
    """The published name of what diffusers' ControlNet has beside its encoder."""
    part, _, inside = name.partition(".")
    module, _, end = inside.rpartition(".")
    match part:
        case "controlnet_down_blocks":
            return f"zero_convs.{module}.0.{end}"
        case "controlnet_mid_block":
            return f"middle_block_out.0.{end}"
    if module == "conv_in":
        return f"input_hint_block.0.{end}"
    if module == "conv_out":
        return f"input_hint_block.14.{end}"
    return f"input_hint_block.{2 * (int(module.removeprefix('blocks.')) + 1)}.{end}"
