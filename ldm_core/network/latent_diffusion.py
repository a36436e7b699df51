"""A latent diffusion model: first stage, UNet, conditioners and noise schedule."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.conditioners import (
    ClipTokenizer,
    Condition,
    Given,
    Hint,
    Tokenizer,
    box_map,
    box_tensor,
    known_region,
    label_bits,
    label_map,
    labels_of,
    layout_tokens,
    masked_image,
    noised,
    one_hot,
    residuals,
    with_bits,
    without_hole,
)
from ldm_core.diffusion.parameterization import Prediction, prediction
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.errors import ConfigError, RequestError
from ldm_core.network import tiling
from ldm_core.network.device import unless_out_of_memory
from ldm_core.network.weights import with_weights, without_weights
from ldm_core.nn.autoencoder import first_stage
from ldm_core.nn.clip import ClipText
from ldm_core.nn.control import Control
from ldm_core.nn.embedders import ClassEmbedder, SpatialRescaler
from ldm_core.nn.text import TextTransformer
from ldm_core.nn.unet import UNet, timestep_embedding
from ldm_core.spec import (
    BoxMapSpec,
    ClassSpec,
    ClipSpec,
    ConcatSpec,
    ContextSpec,
    Defaults,
    KnownRegionSpec,
    LabelMapSpec,
    LayoutSpec,
    LowResolutionSpec,
    MaskedImageSpec,
    ModelSpec,
    TextSpec,
)

SIZE_CHANNELS = 256  # of each number that is told of a picture's size

AnyTokenizer = Tokenizer | ClipTokenizer


class DiffusionWrapper(nn.Module):
    """Holds the UNet under the name that published checkpoints give it, and our second one beside it."""

    diffusion_model: UNet
    refiner: UNet | None

    def __init__(self, unet: UNet, refiner: UNet | None) -> None:
        super().__init__()
        self.diffusion_model = unet
        self.refiner = refiner


def _cond_stage(spec: ModelSpec) -> nn.Module | None:
    """The conditioner that has weights of its own; the published models have one at most."""
    for conditioner in spec.conditioners:
        match conditioner:
            case TextSpec() | LayoutSpec():
                return TextTransformer(conditioner)
            case ClipSpec():
                return ClipText(conditioner)
            case ClassSpec():
                return ClassEmbedder(conditioner)
            case LabelMapSpec() if conditioner.channels:
                return SpatialRescaler(conditioner)
    return None


class LatentDiffusion(nn.Module):
    """Inference with a latent diffusion model.  Tensors go in and come out in float32.

    Scale and shift of the latent live inside `encode` and `decode`.

    Raises:
        ConfigError: the tokenizer does not suit the model, or the latent's scale is not known.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: AnyTokenizer | None = None, defaults: Defaults | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.defaults = defaults or Defaults()
        self.schedule = NoiseSchedule(spec.schedule)
        self.tokenizer = tokenizer
        self.first_stage_model = first_stage(spec.first_stage)
        refiner = UNet(spec.refiner.unet) if spec.refiner else None
        self.model = DiffusionWrapper(UNet(spec.unet), refiner)
        self.cond_stage_model = _cond_stage(spec)
        self.controls: Mapping[str, Control] = {}  # by name; no part of its weights
        if spec.scale_factor is None:
            raise ConfigError("The latent's scale is not in the checkpoint; give it as scale_factor.")
        self.scale_factor = spec.scale_factor
        text = spec.conditioner(TextSpec)
        if isinstance(tokenizer, Tokenizer) and text is not None and tokenizer.vocab_size > text.vocab_size:
            raise ConfigError(
                f"The vocabulary has {tokenizer.vocab_size} tokens, the model {text.vocab_size}. "
                "Put the vocab.txt that the model was trained with beside it."
            )

    @classmethod
    def from_state_dict(
        cls,
        spec: ModelSpec,
        state_dict: Mapping[str, Tensor],
        tokenizer: AnyTokenizer | None = None,
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
        cls, spec: ModelSpec, tokenizer: AnyTokenizer | None = None, defaults: Defaults | None = None
    ) -> LatentDiffusion:
        """On the meta device, to be filled (`ldm_core.network.weights`)."""
        with without_weights():
            return cls(spec, tokenizer, defaults)

    def with_controls(self, controls: Mapping[str, Control]) -> LatentDiffusion:
        """The same model, which shares its modules, with controls to give hints to."""
        twin = copy.copy(self)
        twin.controls = {**self.controls, **controls}
        return twin

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
    def encode(self, image: Tensor) -> Tensor:
        """(b, 3, H, W) in [-1, 1] -> (b, c, h, w), scaled to about unit variance; large ones in tiles."""
        stage, image = self.first_stage_model, self._internal(image, self.first_stage_model)
        z: Tensor | None = None
        if tiling.fits(stage, (image.shape[-2], image.shape[-1])):
            z = unless_out_of_memory(lambda: stage.latent(image))
        if z is None:
            z = torch.cat([tiling.encode(stage, one) for one in torch.split(image, 1)])
        return z.float() * self.scale_factor

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """(b, c, h, w) scaled latent -> (b, 3, H, W), about [-1, 1]."""
        return self.first_stage_model.decode(self._unscaled(z)).float()

    def _unscaled(self, z: Tensor) -> Tensor:
        z = z[:, : self.spec.first_stage.embed_dim] / self.scale_factor
        return self._internal(z, self.first_stage_model)

    def decoding(self, z: Tensor) -> Generator[float, None, NDArray[np.uint8]]:
        """One picture's latent -> its pixels; in tiles where it is large or memory too short for the whole.

        Yields the share that is done after each tile; returns (H, W, 3).
        """
        cell = self.spec.first_stage.downsampling
        if tiling.fits(self.first_stage_model, (cell * z.shape[-2], cell * z.shape[-1])):
            picture = unless_out_of_memory(lambda: self.decode(z))
            if picture is not None:
                return tiling.rounded(picture[0])
        return (yield from tiling.decoding(self.first_stage_model, self._unscaled(z)))

    def labels(self, z: Tensor) -> Tensor | None:
        """(b, c, h, w) latent -> (b, h, w) class ids where it goes on with its label map, else None."""
        spec = self.spec.label_bits
        return None if spec is None else labels_of(z[:, self.spec.first_stage.embed_dim :], spec)

    @torch.inference_mode()
    def context(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> (b, n, d) for the UNet's cross-attention.

        Raises:
            ConfigError: the model came without its vocabulary.
        """
        return self.embedded(prompts)[0]

    @torch.inference_mode()
    def embedded(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Prompts -> (b, n, d), and of CLIP the pooled prompts (b, d).

        Raises:
            ConfigError: the model came without its vocabulary.
        """
        clip = self.spec.conditioner(ClipSpec)
        if self.tokenizer is None:
            files = "vocab.json and merges.txt" if clip else "vocab.txt"
            raise ConfigError(f"This model came without its vocabulary; put its {files} beside the file.")
        ids = self.tokenizer(prompts)
        if clip is None:
            return self.context_from_ids(ids), None
        assert self.cond_stage_model is not None
        tokens, pooled = self.cond_stage_model(ids.to(self.device))
        if clip.zero_empty:
            said = torch.tensor([bool(prompt) for prompt in prompts], device=self.device)[:, None]
            tokens, pooled = tokens * said[..., None], pooled * said
        return tokens.float(), pooled.float()

    @torch.inference_mode()
    def context_from_ids(self, ids: Tensor) -> Tensor:
        """Token ids (b, n), or class ids (b,), int64 -> (b, n, d)."""
        assert self.cond_stage_model is not None
        return self.cond_stage_model(ids.to(self.device)).float()

    @torch.inference_mode()
    def condition(self, given: Sequence[Given], size: tuple[int, int]) -> Condition:
        """What the UNet is given beside x_t and t.

        Args:
            given: for each picture of a batch; what the model does not take is not looked at.
            size: height and width of the latent.

        Raises:
            RequestError: something is not given that the model cannot do without.
            ConfigError: the model came without its vocabulary.
        """
        conditioners = self.spec.conditioners
        contexts, pooled = [], None
        for one in conditioners:
            if isinstance(one, TextSpec | ClipSpec):
                context, pooled = self.embedded([each.prompt for each in given])
                contexts.append(context)
            elif isinstance(one, ContextSpec):
                contexts.append(self._context(one, given))
        concats = [
            torch.cat([self._concat(one, each, size).to(self.device) for each in given])
            for one in conditioners
            if isinstance(one, ConcatSpec)
        ]
        return Condition(
            context=torch.cat(contexts, dim=1) if contexts else None,
            concat=torch.cat(concats, dim=1) if concats else None,
            vector=self._vector(given, pooled, size),
            bits=self._bits(given, size),
        )

    def _vector(self, given: Sequence[Given], pooled: Tensor | None, size: tuple[int, int]) -> Tensor | None:
        """(b, d), see `Condition`; None where the model takes none."""
        clip, levels = self.spec.conditioner(ClipSpec), self.spec.unet.num_noise_levels
        if levels:
            level = torch.tensor([one.noise_level for one in given], device=self.device)
            return F.one_hot(level, levels).float()
        if clip is None or not clip.num_sizes or pooled is None:
            return None
        height, width = (cells * self.spec.first_stage.downsampling for cells in size)
        rows = [
            (height, width, 0, 0, *((height, width) if clip.num_sizes == 6 else (one.aesthetic_score,)))
            for one in given
        ]
        numbers = torch.tensor(rows, dtype=torch.float32, device=self.device)  # (b, num_sizes)
        embedded = timestep_embedding(numbers.flatten(), SIZE_CHANNELS).view(len(rows), -1)
        return torch.cat([pooled, embedded], dim=1)

    def _bits(self, given: Sequence[Given], size: tuple[int, int]) -> Tensor | None:
        """(b, n + 1, h, w), see `Condition`; None where no label map is given."""
        spec = self.spec.label_bits
        if spec is None or all(one.label_map is None for one in given):
            return None
        rows = [
            torch.zeros(1, spec.count + 1, *size)
            if one.label_map is None
            else torch.cat(label_bits(one.label_map[None], spec, size), dim=1)
            for one in given
        ]
        return torch.cat(rows).to(self.device)

    def _context(self, conditioner: LayoutSpec | ClassSpec, given: Sequence[Given]) -> Tensor:
        """(b, n, d)."""
        match conditioner:
            case LayoutSpec():
                tokens = [layout_tokens(one.boxes, conditioner) for one in given]
                return self.context_from_ids(torch.tensor(tokens))
            case ClassSpec():
                no_class = conditioner.no_class
                ids = [no_class if one.class_id is None else one.class_id for one in given]
                return self.context_from_ids(torch.tensor([_needed("class", number) for number in ids]))

    def _concat(self, conditioner: ConcatSpec, given: Given, size: tuple[int, int]) -> Tensor:
        """(1, c, h, w) for one picture."""
        embed_dim = self.spec.first_stage.embed_dim
        match conditioner:
            case LabelMapSpec() if self.cond_stage_model is not None and conditioner.channels:
                labels = one_hot(_needed("label_map", given.label_map)[None], conditioner.num_classes)
                return self.cond_stage_model(self._internal(labels, self.cond_stage_model)).float()
            case LabelMapSpec():
                if given.label_map is None:
                    return torch.zeros(1, conditioner.num_classes, *size)
                return label_map(given.label_map[None], conditioner.num_classes, size)
            case BoxMapSpec():
                return box_map(box_tensor(given.boxes), len(conditioner.classes), size)
            case KnownRegionSpec():
                if given.image is None or given.mask is None:
                    return torch.zeros(1, embed_dim + 1, *size)
                image, mask = given.image[None], given.mask[None]
                return known_region(self.encode(without_hole(image, mask)), mask)
            case MaskedImageSpec():
                if conditioner.mask_first:
                    return self._hole(given, size)
                image, mask = _needed("image", given.image)[None], _needed("mask", given.mask)[None]
                z = self.encode(masked_image(image, mask))
                return torch.cat([z, F.interpolate(2 * mask.to(z) - 1, size)], dim=1)
            case LowResolutionSpec():
                low_res = _needed("low_res", given.low_res)[None]
                if conditioner.noise is None:
                    return low_res
                noise = _needed("low_res_noise", given.low_res_noise)[None]
                return noised(low_res, noise, given.noise_level, NoiseSchedule(conditioner.noise))

    def _hole(self, given: Given, size: tuple[int, int]) -> Tensor:
        """(1, 1 + embed_dim, h, w): mask and masked latent; without a picture all of it is to be made."""
        if given.image is None or given.mask is None:
            f = self.spec.first_stage.downsampling
            given = replace(given, image=torch.zeros(3, size[0] * f, size[1] * f), mask=torch.ones(1, *size))
        image, mask = _needed("image", given.image)[None], _needed("mask", given.mask)[None].round()
        z = self.encode(image * (1.0 - F.interpolate(mask, image.shape[-2:])))
        return torch.cat([F.interpolate(mask, size).to(z), z], dim=1)

    @torch.inference_mode()
    def output(self, x: Tensor, t: Tensor, condition: Condition, hints: Sequence[Hint] = ()) -> Tensor:
        """What the network says, (b, c, h, w): eps, v or x_0, as it was trained to.

        Args:
            x: (b, c, h, w), x_t.
            t: (b,) 0 .. T - 1, one for each sample; also between two whole timesteps.
            condition: for the batch.
            hints: to controls, for the batch; our second UNet takes none.
        """
        condition = condition.map(lambda part: part.to(self.device, self.dtype))
        late = t < self.spec.refined_below
        x, t = self._internal(x, self.model), t.to(self.device)
        added = None if late.all() else residuals(hints, x, t, condition.context, condition.vector)
        if condition.bits is not None:
            x = with_bits(x, condition.bits)
        if condition.concat is not None:
            x = torch.cat([x, condition.concat], dim=1).to(memory_format=torch.channels_last)
        if not late.any():
            return self.model.diffusion_model(x, t, condition.context, condition.vector, added).float()
        assert self.model.refiner is not None
        if late.all():
            return self.model.refiner(x, t, condition.context, condition.vector).float()
        out = x.new_empty(len(x), self.spec.latent_channels, *x.shape[2:], dtype=torch.float32)
        for rows, network, add in (
            (late, self.model.refiner, None),
            (~late, self.model.diffusion_model, added),
        ):
            told = condition[rows]
            some = None if add is None else add[rows]
            out[rows] = network(x[rows], t[rows], told.context, told.vector, some).float()
        return out

    def prediction(self, output: Tensor, x: Tensor, t: float) -> Prediction:
        """x_0 and eps from the network's output, guided or not, at one t for all of x_t (b, c, h, w)."""
        alpha_bar = self.schedule.alpha_bar(t)
        return prediction(self.spec.parameterization, output, x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)

    def eps(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The noise in x_t (b, c, h, w), for whole timesteps t (b,) int64."""
        x, t = x.to(self.device), t.to(self.device)
        alpha, sigma = self.schedule.alpha_sigma(t)
        return prediction(self.spec.parameterization, self.output(x, t, condition), x, alpha, sigma).eps


G = TypeVar("G")


def _needed(name: str, given: G | None) -> G:
    if given is None:
        raise RequestError(name, None, "given, as this model cannot do without it")
    return given
