"""From a checkpoint's tensors to a module that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from ldm_core.errors import WeightsError

# In published files beside the weights: the schedule, which the description gives in float64; the
# transformer's language-model head; the first stage's losses; EMA bookkeeping.
IGNORED = (
    "betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "lvlb_weights", "logvar",
    "cond_stage_model.transformer.to_logits.", "first_stage_model.loss.", "loss.", "model_ema.decay",
    "model_ema.num_updates", "scale_factor",
)  # fmt: skip


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts the tensors themselves into a module made on the meta device: no copy, no initialisation.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; names them.
    """
    expected = module.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    unexpected = sorted(weights.keys() - expected.keys())
    shapes = [
        f"{name} has shape {list(weights[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in (
            ("tensors are missing", missing),
            ("tensors are not part of this architecture", unexpected),
            ("tensors have another shape", shapes),
        )
        if names
    ]
    if problems:
        raise WeightsError(f"The checkpoint does not fit its description. {'. '.join(problems)}.")
    module.load_state_dict(dict(weights), strict=True, assign=True)


M = TypeVar("M", bound=nn.Module)


def with_weights(
    model: M, state_dict: Mapping[str, Tensor], device: str | torch.device, dtype: torch.dtype
) -> M:
    """A model made on the meta device -> the same ready for inference."""
    weights = {
        name: tensor.to(device, dtype) for name, tensor in state_dict.items() if not name.startswith(IGNORED)
    }
    load_strictly(model, weights)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval().requires_grad_(False)


def with_ema(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces the UNet's weights by their moving average where the file holds one."""
    merged = {name: tensor for name, tensor in weights.items() if not name.startswith("model_ema.")}
    for name in list(merged):
        if name.startswith("model."):
            average = "model_ema." + name.removeprefix("model.").replace(".", "")
            merged[name] = weights.get(average, merged[name])
    return merged
