"""A latent diffusion model: first stage, UNet, conditioner and noise schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ldm_core.conditioners import Tokenizer
from ldm_core.errors import ConfigError, WeightsError
from ldm_core.nn.autoencoder import FirstStage, first_stage
from ldm_core.nn.text import TextTransformer
from ldm_core.nn.unet import UNet
from ldm_core.parameterization import Prediction, prediction
from ldm_core.schedule import NoiseSchedule
from ldm_core.spec import AutoencoderSpec, ModelSpec

# In published files beside the weights: the schedule, which the description gives in float64; the
# transformer's language-model head; the first stage's losses; EMA bookkeeping.
_IGNORED = (
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


def _with_weights(
    model: M, state_dict: Mapping[str, Tensor], device: str | torch.device, dtype: torch.dtype
) -> M:
    """A model made on the meta device -> the same ready for inference."""
    weights = {
        name: tensor.to(device, dtype) for name, tensor in state_dict.items() if not name.startswith(_IGNORED)
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


class DiffusionWrapper(nn.Module):
    """Holds the UNet under the name that published checkpoints give it."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.diffusion_model = unet


class LatentDiffusion(nn.Module):
    """Inference with a latent diffusion model.  Tensors go in and come out in float32.

    Scale and shift of the latent live inside `encode` and `decode`.
    """

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.schedule = NoiseSchedule(spec.schedule)
        self.tokenizer = tokenizer
        self.first_stage_model = first_stage(spec.first_stage)
        self.model = DiffusionWrapper(UNet(spec.unet))
        self.cond_stage_model = TextTransformer(spec.text)
        if tokenizer is not None and tokenizer.vocab_size > spec.text.vocab_size:
            raise ConfigError(
                f"The vocabulary has {tokenizer.vocab_size} tokens, the model {spec.text.vocab_size}. "
                "Put the vocab.txt that the model was trained with beside it."
            )

    @classmethod
    def from_state_dict(
        cls,
        spec: ModelSpec,
        state_dict: Mapping[str, Tensor],
        tokenizer: Tokenizer | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> LatentDiffusion:
        """Builds a model from a checkpoint's tensors; uses the EMA weights where there are any.

        Raises:
            WeightsError: tensors are missing, unexpected or of another shape.
        """
        with torch.device("meta"):
            model = cls(spec, tokenizer)
        return _with_weights(model, with_ema(state_dict), device, dtype)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _internal(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, c, h, w), scaled to about unit variance."""
        return self.first_stage_model.latent(self._internal(image)).float() * self.spec.scale_factor

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """(b, c, h, w) scaled latent -> (b, 3, H, W), about [-1, 1]."""
        return self.first_stage_model.decode(self._internal(z / self.spec.scale_factor)).float()

    @torch.inference_mode()
    def context(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> (b, n, d) for the UNet's cross-attention.

        Raises:
            ConfigError: the model came without its vocabulary.
        """
        if self.tokenizer is None:
            raise ConfigError("This model came without its vocabulary; put its vocab.txt beside the file.")
        return self.context_from_tokens(self.tokenizer(prompts))

    @torch.inference_mode()
    def context_from_tokens(self, tokens: Tensor) -> Tensor:
        """(b, n) int64 -> (b, n, d)."""
        return self.cond_stage_model(tokens.to(self.device)).float()

    @torch.inference_mode()
    def output(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """What the network says, (b, c, h, w): eps, v or x_0, as it was trained to.

        Args:
            x: (b, c, h, w), x_t.
            t: (b,) 0 .. T - 1, one for each sample; also between two whole timesteps.
            context: (b, n, d).
        """
        context = context.to(self.device, self.dtype)
        return self.model.diffusion_model(self._internal(x), t.to(self.device), context).float()

    def prediction(self, output: Tensor, x: Tensor, t: float) -> Prediction:
        """x_0 and eps from the network's output, guided or not, at one t for all of x_t (b, c, h, w)."""
        alpha_bar = self.schedule.alpha_bar(t)
        return prediction(self.spec.parameterization, output, x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)

    def eps(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """The noise in x_t (b, c, h, w), for whole timesteps t (b,) int64."""
        x, t = x.to(self.device), t.to(self.device)
        alpha, sigma = self.schedule.alpha_sigma(t)
        return prediction(self.spec.parameterization, self.output(x, t, context), x, alpha, sigma).eps


def load_first_stage(
    spec: AutoencoderSpec,
    state_dict: Mapping[str, Tensor],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> FirstStage:
    """Builds a first stage alone from its checkpoint's tensors.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        model = first_stage(spec)
    return _with_weights(model, state_dict, device, dtype)
