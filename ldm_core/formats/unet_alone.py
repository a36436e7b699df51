"""A UNet alone, as models for few steps are published: the rest is of a whole model of the same kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ldm_core.errors import ConfigError
from ldm_core.facts import Weights
from ldm_core.formats import shapes
from ldm_core.formats.diffusers_names import unet_recipes
from ldm_core.formats.family import Opened
from ldm_core.formats.renaming import Joined, Recipe, Recipes, Renamed, Tensors
from ldm_core.formats.shapes import UNET
from ldm_core.model_spec import ModelSpec
from ldm_core.spec import UNetSpec

_STEM = "input_blocks.0.0.weight"
_GUIDED = ("time_embed.cond_proj.weight", "time_embedding.cond_proj.weight")
_REST = ("first_stage_model.", "cond_stage_model.", "conditioner.")


def is_unet_alone(names: Iterable[str]) -> bool:
    """Whether tensors are, by their names, those of a UNet without what belongs to it."""
    there = set(names)
    if any(name.startswith((*_REST, "controlnet_", "zero_convs.", "input_hint_block.")) for name in there):
        return False
    whole = {"out.2.weight", f"{UNET}out.2.weight"} & there and {_STEM, UNET + _STEM} & there
    return bool(whole) or {"conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"} <= there


def recipes(weights: Weights) -> Recipes:
    """Our UNet's tensors, of any layout."""
    if "conv_in.weight" in weights:
        return unet_recipes(weights, lambda channels: channels)
    found = {}
    for name in weights:
        inner = name.removeprefix(UNET)
        found[UNET + ("guidance_embed.weight" if inner in _GUIDED else inner)] = Recipe((name,))
    return found


def base_of(file: Path, name: str) -> Path:
    """The whole model that a UNet's description names: a file or folder beside it.

    Raises:
        ConfigError: none is named, or nothing of that name is there.
    """
    # The name comes from a file: it is looked up among what is there, never joined to a path.
    there = {path.name: path for path in file.parent.iterdir() if path != file}
    there |= {path.stem: path for path in there.values() if path.suffix in (".safetensors", ".ckpt")}
    if not name:
        raise ConfigError(
            "It is a UNet alone, and has to be told which whole model it goes with: put "
            f"{file.stem}.yaml beside it, with `atelier:` in its first line and `  base: NAME` in the "
            "second, where NAME is a model in the same folder."
        )
    if name not in there:
        raise ConfigError(f"It is a UNet alone, and its base {name[:60]!r} is not in the same folder.")
    return there[name]


def on_base(unet: Tensors, base: Opened) -> Opened:
    """A base with another UNet.

    Raises:
        ConfigError: the base is no whole model, or one of another kind.
    """
    spec, renamed = base.config.spec, Renamed(unet, recipes(unet.shapes))
    if not isinstance(spec, ModelSpec) or not isinstance(spec.unet, UNetSpec) or spec.refiner is not None:
        raise ConfigError("The base of this UNet is no whole model of Stable Diffusion's kind.")
    found = shapes.unet(renamed.shapes)
    for what in ("in_channels", "out_channels", "context_dim", "vector_dim", "num_noise_levels"):
        ours, theirs = getattr(found, what), getattr(spec.unet, what)
        if ours != theirs:
            raise ConfigError(
                f"This UNet does not go with its base: its {what} is {ours}, the base's {theirs}. "
                "Choose a base of the same kind."
            )
    heads, width = spec.unet.num_heads, spec.unet.num_head_channels
    spec = replace(spec, unet=replace(found, num_heads=heads, num_head_channels=width))
    tensors = Joined([_Without(base.tensors, UNET), renamed])
    return replace(base, tensors=tensors, config=replace(base.config, spec=spec))


class _Without:
    """An open checkpoint without the tensors that begin with a prefix."""

    def __init__(self, tensors: Tensors, prefix: str) -> None:
        self._tensors = tensors
        averages = "model_ema." + prefix.removeprefix("model.").replace(".", "")
        self.shapes = {n: t for n, t in tensors.shapes.items() if not n.startswith((prefix, averages))}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """As `Checkpoint.read`."""
        yield from self._tensors.read([name for name in names if name in self.shapes])
