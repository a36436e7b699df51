"""W = W_base + sum of strength * delta, beside the model whose W_base it is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ldm_core.errors import WeightsError
from ldm_core.network.adapters.kind import AdapterKind, Parts
from ldm_core.network.latent_diffusion import LatentDiffusion

TEXT = "cond_stage_model."


@dataclass(frozen=True, slots=True, eq=False)
class ModulePatch:
    """What an adapter does to one module of a model; `parts` are the file's tensors, on the CPU."""

    module: str
    kind: AdapterKind
    parts: Parts


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """An adapter as it was read for one model."""

    name: str
    patches: tuple[ModulePatch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """An adapter at a strength in the UNet and in the text encoders."""

    adapter: Adapter
    unet: float = 1.0
    text: float = 1.0

    def strength(self, module: str) -> float:
        """In a module of the model."""
        return self.text if module.startswith(TEXT) else self.unet


@torch.inference_mode()
def adapted(model: LatentDiffusion, applied: Sequence[Applied]) -> LatentDiffusion:
    """A model with adapters, which shares with `model` all that they leave as it is.

    Each changed weight is computed from the model's own in float32 and rounded once.

    Raises:
        WeightsError: an adapter's tensors do not fit the model's.
    """
    changes: dict[str, list[tuple[Applied, ModulePatch]]] = {}
    for use in applied:
        for patch in use.adapter.patches:
            if use.strength(patch.module):
                changes.setdefault(patch.module, []).append((use, patch))
    weights = {
        f"{module}.{name}": weight
        for module, patches in changes.items()
        for name, weight in _patched(model.get_submodule(module), patches).items()
    }
    return _with(model, weights) if weights else model


def num_bytes(model: LatentDiffusion, applied: Sequence[Applied]) -> int:
    """About what the changed weights take."""
    modules = {patch.module for use in applied for patch in use.adapter.patches if use.strength(patch.module)}
    return sum(
        weight.numel() * weight.element_size()
        for module in modules
        for weight in model.get_submodule(module).parameters(recurse=False)
    )


def _patched(module: nn.Module, patches: Iterable[tuple[Applied, ModulePatch]]) -> dict[str, Tensor]:
    """The weights of one module that are changed."""
    base = dict(module.named_parameters(recurse=False))
    now: dict[str, Tensor] = {name: weight.float() for name, weight in base.items()}
    changed: set[str] = set()
    for use, patch in sorted(patches, key=lambda pair: pair[1].kind.last):
        device = next(iter(base.values())).device
        parts = {name: part.to(device, torch.float32) for name, part in patch.parts.items()}
        try:
            deltas = patch.kind.delta(parts, now)
            now |= {name: now[name] + use.strength(patch.module) * delta for name, delta in deltas.items()}
        except (RuntimeError, ValueError, KeyError, IndexError):
            raise WeightsError(
                f"The {patch.kind.title} {use.adapter.name} does not fit this model at {patch.module}, whose "
                f"weight is {list(now['weight'].shape)}: it was made for a model of another family."
            ) from None
        changed |= deltas.keys()
    return {name: _like(base[name], now[name]) for name in changed}


def _like(base: Tensor, weight: Tensor) -> Tensor:
    """Rounded to the format of the model's own, and laid out as it is."""
    layout = torch.channels_last if base.dim() == 4 else torch.contiguous_format
    return weight.to(base.dtype).contiguous(memory_format=layout)


def _with(model: LatentDiffusion, weights: Mapping[str, Tensor]) -> LatentDiffusion:
    """A copy of the model with other weights; copied are the modules that lead to them, no tensor."""
    copies: dict[str, nn.Module] = {"": _copied(model)}

    def copy_of(path: str) -> nn.Module:
        if path not in copies:
            parent, _, name = path.rpartition(".")
            holder = copy_of(parent)
            copies[path] = _copied(holder.get_submodule(name))
            holder._modules[name] = copies[path]
        return copies[path]

    for place, weight in weights.items():
        module, _, name = place.rpartition(".")
        copy_of(module)._parameters[name] = nn.Parameter(weight, requires_grad=False)
    whole = copies[""]
    assert isinstance(whole, LatentDiffusion)
    return whole


def _copied(module: nn.Module) -> nn.Module:
    """With tables of its own, which hold the same modules and tensors."""
    twin = copy.copy(module)
    for table in ("_modules", "_parameters", "_buffers"):
        twin.__dict__[table] = dict(module.__dict__[table])
    return twin
