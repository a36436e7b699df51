"""A latent diffusion model: first stage, UNet, conditioners and noise schedule."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ldm_core.conditioners import Cond, Inputs, LabelBitsSpec
from ldm_core.conditioners.base import Tokenize
from ldm_core.conditioners.embeddings import Embeddings
from ldm_core.conditioners.hint import Hint, residuals
from ldm_core.conditioners.spatial import labels_of
from ldm_core.diffusion.parameterization import Prediction, prediction
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import ConfigError
from ldm_core.model_spec import ModelSpec
from ldm_core.network import tiling
from ldm_core.network.device import memory_for
from ldm_core.network.weights import with_weights, without_weights
from ldm_core.nn.autoencoder import first_stage
from ldm_core.nn.control import Control
from ldm_core.nn.residuals import Residuals
from ldm_core.nn.unet import UNet
from ldm_core.spec import Defaults

BuildDenoiser = Callable[[Any], nn.Module]  # of the spec that its family describes


class DiffusionWrapper(nn.Module):
    """Holds the UNet under the name that published checkpoints give it, and our second one beside it."""

    diffusion_model: nn.Module
    refiner: nn.Module | None

    def __init__(self, unet: nn.Module, refiner: nn.Module | None) -> None:
        super().__init__()
        self.diffusion_model = unet
        self.refiner = refiner


class LatentDiffusion(nn.Module):
    """Inference with a latent diffusion model.  Tensors go in and come out in float32.

    Scale and shift of the latent live inside `encode` and `decode`.

    Args:
        denoiser: makes the network that is asked at each step, with the UNet's forward.

    Raises:
        ConfigError: the tokenizer does not suit the model, or the latent's scale is not known.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tokenizer: Tokenize | None = None,
        defaults: Defaults | None = None,
        denoiser: BuildDenoiser = UNet,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.defaults = defaults or Defaults()
        self.schedule = NoiseSchedule(spec.schedule)
        self.tokenizer = tokenizer
        self.embeddings: Embeddings | None = None  # that a prompt may name; no part of its weights
        self.first_stage_model = first_stage(spec.first_stage)
        refiner = denoiser(spec.refiner.unet) if spec.refiner else None
        self.model = DiffusionWrapper(denoiser(spec.unet), refiner)
        for conditioner in spec.conditioners:
            if conditioner.module_name:
                self.add_module(conditioner.module_name, conditioner.build())
        self.controls: Mapping[str, Control] = {}  # by name; no part of its weights
        self.plan: frozenset[str] = frozenset()  # as of `request.fields.PLANS`
        if spec.scale_factor is None:
            raise ConfigError("The latent's scale is not in the checkpoint; give it as scale_factor.")
        self.scale_factor = spec.scale_factor

    @classmethod
    def from_state_dict(
        cls,
        spec: ModelSpec,
        state_dict: Mapping[str, Tensor],
        tokenizer: Tokenize | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> LatentDiffusion:
        """Builds a model from a checkpoint's tensors; uses the EMA weights where there are any.

        Raises:
            ConfigError: the latent's scale is not known.
            WeightsError: tensors are missing, unexpected or of another shape.
        """
        return with_weights(cls.without_weights(spec, tokenizer), state_dict, device, dtype)

    @classmethod
    def without_weights(
        cls,
        spec: ModelSpec,
        tokenizer: Tokenize | None = None,
        defaults: Defaults | None = None,
        denoiser: BuildDenoiser = UNet,
    ) -> LatentDiffusion:
        """On the meta device, to be filled (`ldm_core.network.weights`)."""
        with without_weights():
            return cls(spec, tokenizer, defaults, denoiser)

    def with_controls(self, controls: Mapping[str, Control]) -> LatentDiffusion:
        """The same model, which shares its modules, with controls to give hints to."""
        twin = copy.copy(self)
        twin.controls = {**self.controls, **controls}
        return twin

    def by_plan(self, plan: Collection[str] | None) -> LatentDiffusion:
        """The same model, which shares its modules, but goes in small pieces about what a plan names."""
        if not plan:
            return self
        twin = copy.copy(self)
        twin.plan = frozenset(plan)
        return twin

    @property
    def in_pieces(self) -> bool:
        return "inputs" in self.plan

    @torch.inference_mode()
    def hint(self, name: str, picture: Tensor, strength: float, start: float, end: float) -> Hint:
        """A hint to one of its controls.

        Args:
            picture: (3, H, W) in [0, 1], 8 pixels to a cell of the UNet's first feature map.
        """
        control = self.controls[name]
        guide = control.guide(self._internal(picture[None], self.model))
        return Hint(control, guide, torch.tensor([strength], device=self.device), start, end)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the UNet; a first stage that overflows float16 is kept in float32."""
        return next(self.model.parameters()).dtype

    def _internal(self, x: Tensor, part: nn.Module) -> Tensor:
        dtype = next(part.parameters()).dtype
        return x.to(self.device, dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    @memory_for("inputs")
    def encode(self, image: Tensor) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, c, h, w), scaled to about unit variance; large ones in tiles."""
        stage, image = self.first_stage_model, self._internal(image, self.first_stage_model)
        if not self.in_pieces and tiling.fits(stage, (image.shape[-2], image.shape[-1])):
            z = stage.latent(image).float()
        else:
            z = torch.cat([tiling.encode(stage, each) for each in torch.split(image, 1)]).float()
        if self.spec.latent_std:
            mean, std = self._moments(z)
            z = (z - mean) / std
        return z * self.scale_factor

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """(b, c, h, w) scaled latent -> (b, 3, H, W), about [-1, 1]."""
        return self.first_stage_model.decode(self._unscaled(z)).float()

    def _unscaled(self, z: Tensor) -> Tensor:
        z = z[:, : self.spec.first_stage.embed_dim] / self.scale_factor
        if self.spec.latent_std:
            mean, std = self._moments(z)
            z = z * std + mean
        return self._internal(z, self.first_stage_model)

    def _moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the first stage's channels, each (1, c, 1, 1)."""
        rows = (self.spec.latent_mean, self.spec.latent_std)
        mean, std = (z.new_tensor(row).view(1, -1, 1, 1) for row in rows)
        return mean, std

    def decoding(self, z: Tensor) -> Generator[float, None, NDArray[np.uint8]]:
        """One picture's latent -> its pixels; in tiles where it is large, or the plan says so.

        Yields the share that is done after each tile; returns (H, W, 3).
        """
        cell = self.spec.first_stage.downsampling
        size = (cell * z.shape[-2], cell * z.shape[-1])
        with memory_for("decoding"):
            if "decoding" not in self.plan and tiling.fits(self.first_stage_model, size):
                return tiling.rounded(self.decode(z)[0])
            return (yield from tiling.decoding(self.first_stage_model, self._unscaled(z)))

    def labels(self, z: Tensor) -> Tensor | None:
        """(b, c, h, w) latent -> (b, h, w) class ids where it goes on with its label map, else None."""
        bits = self.spec.conditioner(LabelBitsSpec)
        return None if bits is None else labels_of(z[:, self.spec.first_stage.embed_dim :], bits)

    @torch.inference_mode()
    @memory_for("inputs")
    def condition(self, inputs: Sequence[Inputs], size: tuple[int, int]) -> Cond:
        """What the UNet is given beside x_t and t.

        Args:
            inputs: for each picture of a batch; what the model does not take is not looked at.
            size: height and width of the latent.

        Raises:
            RequestError: something is not given that the model cannot do without.
            ConfigError: the model came without its vocabulary.
        """
        conds = [conditioner.encode(inputs, size, self) for conditioner in self.spec.conditioners]
        return Cond.joined([cond.map(lambda part: part.to(self.device).float()) for cond in conds])

    @torch.inference_mode()
    @memory_for("inputs")
    def worded(self, inputs: Sequence[Inputs], size: tuple[int, int]) -> Cond:
        """What of `condition` goes to cross-attention, with the vector that comes along."""
        said = [c.encode(inputs, size, self) for c in self.spec.conditioners if c.way == "crossattn"]
        return Cond.joined([part.map(lambda value: value.to(self.device).float()) for part in said])

    @torch.inference_mode()
    def reworded(self, cond: Cond, inputs: Sequence[Inputs], size: tuple[int, int]) -> Cond:
        """`condition` of inputs that differ from those of `cond` in their prompts alone.

        Args:
            cond: for a batch of one.
        """
        whole = self.worded(inputs, size)
        alone = replace(cond, coupling=None)
        rest = alone.map(lambda part: part.expand(len(inputs), *part.shape[1:]))
        vector = rest.vector if whole.vector is None else whole.vector  # that of a noise level stays
        return replace(rest, context=whole.context, vector=vector)

    @torch.inference_mode()
    def output(self, x: Tensor, t: Tensor, cond: Cond, hints: Sequence[Hint] = ()) -> Tensor:
        """What the network says, (b, c, h, w): eps, v or x_0, as it was trained to.

        Args:
            x: (b, c, h, w), x_t.
            t: (b,) 0 .. T - 1, one for each sample; also between two whole timesteps.
            cond: for the batch.
            hints: to controls, for the batch; our second UNet takes none.
        """
        cond = cond.map(lambda part: part.to(self.device, self.dtype))
        late = t < self.spec.refined_below
        x, t = self._internal(x, self.model), self.schedule.c_noise(t.to(self.device))
        added = None if late.all() else residuals(hints, x, t, cond.context, cond.vector)
        x = cond.unet_input(x)
        if not late.any():
            return _network_output(self.model.diffusion_model, x, t, cond, added)
        assert self.model.refiner is not None
        if late.all():
            return _network_output(self.model.refiner, x, t, cond)
        out = x.new_empty(len(x), self.spec.latent_channels, *x.shape[2:], dtype=torch.float32)
        for rows, network, add in (
            (late, self.model.refiner, None),
            (~late, self.model.diffusion_model, added),
        ):
            some, add_some = cond[rows], None if add is None else add[rows]
            out[rows] = _network_output(network, x[rows], t[rows], some, add_some)
        return out

    def prediction(self, output: Tensor, x: Tensor, t: float) -> Prediction:
        """x_0 and eps from the network's output, guided or not, at one t for all of x_t (b, c, h, w)."""
        alpha_bar = self.schedule.alpha_bar(t)
        return prediction(self.spec.parameterization, output, x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)

    def eps(self, x: Tensor, t: Tensor, cond: Cond) -> Tensor:
        """The noise in x_t (b, c, h, w), for whole timesteps t (b,) int64."""
        x, t = x.to(self.device), t.to(self.device)
        alpha, sigma = self.schedule.alpha_sigma(t)
        return prediction(self.spec.parameterization, self.output(x, t, cond), x, alpha, sigma).eps


def _network_output(
    network: nn.Module, x: Tensor, t: Tensor, cond: Cond, added: Residuals | None = None
) -> Tensor:
    """A network's output; regions are a matter of UNets alone."""
    coupling = () if cond.coupling is None else (cond.coupling,)
    out: Tensor = network(x, t, cond.context, cond.vector, added, *coupling)
    return out.float()
