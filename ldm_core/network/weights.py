"""From a checkpoint's tensors to a module that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ldm_core.errors import WeightsError

M = TypeVar("M", bound=nn.Module)

# In published files beside the weights: the schedule, which the description gives in float64; the
# transformer's language-model head; the first stage's losses; EMA bookkeeping; the noise levels of Stable
# Diffusion's upscaler and of XL, and two marks that recognising looks at.
IGNORED: tuple[str, ...] = (
    "betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "lvlb_weights", "logvar",
    "cond_stage_model.transformer.to_logits.", "first_stage_model.loss.", "loss.", "model_ema.",
    "scale_factor", "low_scale_model.", "denoiser.sigmas", "v_pred", "ztsnr", "edm_mean", "edm_std",
    "edm_vpred.",
)  # fmt: skip
# What other programs leave in a file beside the model: told of, but left aside.
BESIDE: tuple[str, ...] = (
    "safety_checker.", "feature_extractor.", "denoiser.", "logit_scale", "text_projection", "position_ids",
    "embedding_manager.", "cond_stage_model.logit_scale", "cond_stage_model.text_projection",
    "conditioner.embedders.0.logit_scale", "conditioner.embedders.1.logit_scale",
)  # fmt: skip
# Between these two torch converts on a CPU number by number; by way of float32 it takes half the time.
_HALVES = {torch.float16, torch.bfloat16}


class _Uninitialized(TorchFunctionMode):
    """Leaves out `torch.nn.init`: on the meta device its first call imports torch's compiler, for 1.7 s."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        initializes = getattr(func, "__module__", None) == nn.init.__name__
        return named.get("tensor") if initializes else func(*args, **named)


@contextmanager
def without_weights() -> Iterator[None]:
    """Modules made within are on the meta device, with nothing to initialize."""
    with torch.device("meta"), _Uninitialized():
        yield


def places(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Which of a checkpoint's tensors the module holds: their names there -> the module's.

    The UNet's moving averages take the place of its weights where the checkpoint has them.

    Args:
        weights: only names and shapes count.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; names them.
    """
    expected = module.state_dict()
    averages = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): name
        for name in expected
        if name.startswith("model.")
    }
    found = {name: name for name in weights if name in expected}
    found |= {average: name for average, name in averages.items() if average in weights}
    source = {name: there for there, name in found.items()}  # averages come last, so they count
    ignored = IGNORED
    if not any(name.startswith("cond_stage_model.") for name in expected):
        ignored += ("cond_stage_model.",)  # the published inpainting model holds its first stage twice
    problems = {
        "tensors are missing": expected.keys() - source.keys(),
        "tensors are not part of this architecture": {
            name for name in weights.keys() - found.keys() if not name.startswith((*ignored, *BESIDE))
        },
        "tensors have another shape": {
            f"{name} has shape {list(weights[there].shape)}, expected {list(expected[name].shape)}"
            for name, there in source.items()
            if weights[there].shape != expected[name].shape
        },
    }
    sentences = [
        f"{len(names)} {what}: {', '.join(sorted(names)[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in problems.items()
        if names
    ]
    if sentences:
        raise WeightsError(f"The checkpoint does not fit its description. {'. '.join(sentences)}.")
    return {there: name for name, there in source.items()}


def fill(
    module: M,
    tensors: Iterable[tuple[str, Tensor]],
    device: str | torch.device,
    dtype: torch.dtype,
    in_float32: tuple[str, ...] = (),
) -> M:
    """Puts tensors into a module made on the meta device, one by one; it is then ready for inference.

    Each is converted as it comes, so that beside the finished weights there is never more than one.

    Args:
        in_float32: how the names of weights begin that are kept so, whatever `dtype` is.
    """
    for name, tensor in tensors:
        owner, _, attribute = name.rpartition(".")
        kept = torch.float32 if name.startswith(in_float32) else dtype
        placed = _placed(tensor, device, kept)
        setattr(module.get_submodule(owner), attribute, nn.Parameter(placed, requires_grad=False))
    return module.eval()


def _placed(tensor: Tensor, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    """Converted and laid out for convolutions; reordered as the narrower of the two formats."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    if {tensor.dtype, dtype} == _HALVES:
        tensor = tensor.float()
    elif tensor.dtype.itemsize < dtype.itemsize:
        tensor = tensor.contiguous(memory_format=layout)
    return tensor.to(device, dtype).contiguous(memory_format=layout)


def with_weights(
    module: M, weights: Mapping[str, Tensor], device: str | torch.device, dtype: torch.dtype
) -> M:
    """A module made on the meta device -> the same with a checkpoint's tensors.

    Raises:
        WeightsError: as `places`.
    """
    found = places(module, weights)
    return fill(module, ((name, weights[there]) for there, name in found.items()), device, dtype)
