"""Stage one: perceptual image compression (paper, section 3.1; Appendix G)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch._functorch.config
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ldm_core.errors import ConfigError
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import AutoencoderVQ, Posterior, ResnetBlock, first_stage
from ldm_core.spec import AutoencoderSpec
from ldm_core.training import data
from ldm_core.training.encoded import denoised
from ldm_core.training.export import normalise_latent, write_model
from ldm_core.training.loop import precision, step_generator
from ldm_core.training.losses import (
    PatchDiscriminator,
    adaptive_weight,
    discriminator_loss,
    gradient_loss,
    perceptual_loss,
)
from ldm_core.training.sources import SceneSource, cached
from ldm_core.training.variety import vary


@dataclass(frozen=True, slots=True)
class FirstStageSettings:
    """data: (size in pixels, number of scenes, look or none for paintings) of each set; crop: side of the
    training crops in pixels.

    codebook_weight: of the loss of a VQ-regularized first stage.  quantize_start: the step from which on it
    quantizes; before, its latent is continuous.  revive_every: steps after which entries of the codebook that
    were not used are replaced.
    varied: turn, tint, texture and shrink the crops, for pictures that are no scenes.
    perceptual_network: file of the scene network's weights, or of VGG-16 and LPIPS; none, no perceptual loss.
    initial: folder of an exported first stage to start from.  train_encoder: False keeps the latent space,
    so that a diffusion model trained in it stays valid.
    denoiser: folder of a diffusion model in this latent space: half of each batch is then decoded from what
    that model says of x_0 at a random t < `denoised_below`, so that the decoder learns what it will be given.
    compile: compile encoder and decoder with torch's inductor, which needs a C++ compiler: a minute at the
    start, then about a third quicker on a CPU.
    """

    data: tuple[tuple[int, int] | tuple[int, int, data.Look], ...]
    crop: int
    batch_size: int
    kl_weight: float
    gradient_weight: float
    perceptual_weight: float
    adversarial_weight: float
    adversarial_start: int
    discriminator_width: int
    discriminator_rate: float = 0.5
    codebook_weight: float = 1.0
    quantize_start: int = 0
    revive_every: int = 200
    varied: bool = False
    perceptual_network: str = ""
    initial: str = ""
    train_encoder: bool = True
    denoiser: str = ""
    denoised_below: int = 400
    compile: bool = False
    seed: int = 0


class FirstStageTraining:
    """Reconstruction + perceptual + adversarial + KL or codebook loss.  Eq. 25."""

    def __init__(
        self,
        spec: AutoencoderSpec,
        settings: FirstStageSettings,
        config: Mapping[str, object],
        cache: Path,
        device: torch.device,
    ) -> None:
        self.settings, self.config, self.device = settings, config, device
        self.sources = [SceneSource("train", *row) for row in settings.data]
        self.sets = [cached(source, cache).images for source in self.sources]
        self.denoised: list[Tensor] = []
        if settings.denoiser:
            self.denoised = _denoised(Path(settings.denoiser), self.sources, settings, cache)
        torch.manual_seed(settings.seed)
        self.model = first_stage(spec)
        for module in self.model.modules():
            if isinstance(module, ResnetBlock):
                nn.init.zeros_(module.conv2.weight)  # residual branches start as the identity
        self.discriminator = PatchDiscriminator(settings.discriminator_width)
        if settings.initial:
            exported = load_file(Path(settings.initial) / "model.safetensors")
            self.model.load_state_dict({name: tensor.float() for name, tensor in exported.items()})
        self.perceptual: nn.Module | None = None
        if settings.perceptual_network:
            self.perceptual = perceptual_loss(Path(settings.perceptual_network)).to(device)
        for module in (self.model, self.discriminator):
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if settings.compile:
            # The adaptive weight's gradients go through the compiled decoder before the step's own do.
            torch._functorch.config.donated_buffer = False
            self.model.encoder.compile()
            self.model.decoder.compile()
        trained: nn.Module = self.model
        # How often each entry of the codebook was the nearest since it was last looked at; a trained one's
        # are not known yet.
        never = torch.zeros(spec.n_embed, dtype=torch.int64, device=device)
        self.usage = never + 1 if settings.initial else never
        if not settings.train_encoder:
            self.model.encoder.requires_grad_(False)
            self.model.quant_conv.requires_grad_(False)
            trained = nn.ModuleList([self.model.post_quant_conv, self.model.decoder])
        self.optimizer = torch.optim.AdamW(
            trained.parameters(), betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self.discriminator_optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), betas=(0.5, 0.9), weight_decay=1e-4, fused=True
        )

    def _batch(self, step: int, number: int = 0) -> Tensor:
        """Crops (b, 3, crop, crop); `number` > 0: others than the step's own."""
        rng = np.random.default_rng([self.settings.seed, step, number])
        pictures = self.sets[rng.integers(len(self.sets))]
        crop = min(self.settings.crop, pictures.shape[1])
        align = self.model.spec.downsampling
        batch = data.random_crops(pictures, self.settings.batch_size, crop, align, rng)
        if self.settings.varied:
            batch = np.stack([vary(picture, rng) for picture in batch])
        return data.to_tensor(batch).to(self.device)

    def _batch_with_latents(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (b, 3, crop, crop) and the denoised latents of the first half of them."""
        s, f = self.settings, self.model.spec.downsampling
        rng = np.random.default_rng([s.seed, step])
        k = int(rng.integers(len(self.sets)))
        pictures, latents = self.sets[k], self.denoised[k]
        cells = min(s.crop, pictures.shape[1]) // f
        crops, cropped_latents = [], []
        for _ in range(s.batch_size):
            i = int(rng.integers(len(pictures)))
            y, x = (int(v) for v in rng.integers(0, pictures.shape[1] // f - cells + 1, 2))
            crops.append(pictures[i, y * f : (y + cells) * f, x * f : (x + cells) * f])
            cropped_latents.append(latents[i, :, y : y + cells, x : x + cells])
        half = torch.stack(cropped_latents[: (s.batch_size + 1) // 2]).float()
        return data.to_tensor(np.stack(crops)).to(self.device), half.to(self.device)

    def _decoded(self, images: Tensor, cropped_latents: Tensor) -> tuple[Tensor, Tensor]:
        """As `_reconstruct`, the first ones from the latents that are given."""
        with precision(self.device):
            with torch.no_grad():
                z = self.model.latent(images[len(cropped_latents) :])
            return self.model.decode(torch.cat([cropped_latents, z.float()])).float(), torch.zeros(
                (), device=self.device
            )

    def _reconstruct(self, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The decoder's output, and the loss that regularises the latent (paper, section 3.1)."""
        model, s = self.model, self.settings
        with precision(self.device), torch.set_grad_enabled(s.train_encoder):
            latent = model.encode(images)
        if isinstance(latent, Posterior):
            torch.manual_seed(step_generator(s.seed, step).initial_seed() % 2**62)  # from the step alone
            posterior = Posterior(latent.mean.float(), latent.logvar.float())
            z, regularization = posterior.sample(), s.kl_weight * posterior.kl()
        else:
            z, regularization = self._quantized(latent.float(), step)
        decode = model.decode_quantized if isinstance(model, AutoencoderVQ) else model.decode
        with precision(self.device):
            return decode(z).float(), regularization

    def _quantized(self, z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The codebook's entries, once quantization has begun, and its loss."""
        if step < self.settings.quantize_start:
            return z, torch.zeros((), device=self.device)
        assert isinstance(self.model, AutoencoderVQ)
        quantized = self.model.quantize(z)
        self.usage += torch.bincount(quantized.indices.flatten(), minlength=len(self.usage))
        return quantized.z, self.settings.codebook_weight * quantized.loss()

    @torch.no_grad()
    def _renew_codebook(self, step: int) -> dict[str, Tensor]:
        """Puts latents of pictures in the place of entries that were not used; reports the share in use."""
        assert isinstance(self.model, AutoencoderVQ)
        unused = (self.usage == 0).nonzero().flatten()
        latents: list[Tensor] = []
        while sum(map(len, latents)) < len(unused):
            z = self.model.encode(self._batch(step, len(latents) + 1))
            latents.append(z.movedim(1, -1).flatten(0, 2))  # (b * h * w, c)
        if latents:
            found = torch.cat(latents)
            order = torch.randperm(len(found), generator=step_generator(self.settings.seed, step))
            self.model.quantize.embedding.weight[unused] = found[order[: len(unused)].to(found.device)]
        share = 1 - len(unused) / len(self.usage)
        self.usage.zero_()
        return {"codebook": torch.tensor(share)}

    def _generator_loss(
        self, images: Tensor, output: Tensor, regularization: Tensor, step: int
    ) -> dict[str, Tensor]:
        s = self.settings
        reconstruction = F.l1_loss(output, images) + s.gradient_weight * gradient_loss(images, output)
        losses = {"reconstruction": reconstruction, "regularization": regularization}
        fidelity = reconstruction
        if self.perceptual is not None:
            with precision(self.device):
                losses["perceptual"] = self.perceptual(images, output).mean()
            fidelity = reconstruction + s.perceptual_weight * losses["perceptual"]
        loss = fidelity + regularization
        if step >= s.adversarial_start:
            self.discriminator.requires_grad_(False)
            with precision(self.device):
                adversarial = -self.discriminator(output).mean()
            self.discriminator.requires_grad_(True)
            weight = adaptive_weight(fidelity, adversarial, self.model.decoder.conv_out.weight)
            loss = loss + s.adversarial_weight * weight * adversarial
            losses["adversarial"] = adversarial
        return {"loss": loss, **losses}

    def update(self, step: int, learning_rate: float) -> dict[str, float]:
        s, renewed = self.settings, {}
        if self.denoised:
            images, cropped_latents = self._batch_with_latents(step)
        else:
            images = self._batch(step)
        due = step >= s.quantize_start and (step - s.quantize_start) % s.revive_every == 0
        if len(self.usage) and s.train_encoder and due:
            renewed = self._renew_codebook(step)
        output, regularization = (
            self._decoded(images, cropped_latents) if self.denoised else self._reconstruct(images, step)
        )
        losses = self._generator_loss(images, output, regularization, step) | renewed
        _apply(self.optimizer, losses["loss"], learning_rate)
        if step >= self.settings.adversarial_start:
            with precision(self.device):
                real, fake = self.discriminator(images), self.discriminator(output.detach())
            losses["discriminator"] = discriminator_loss(real, fake)
            _apply(
                self.discriminator_optimizer,
                losses["discriminator"],
                learning_rate * self.settings.discriminator_rate,
            )
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def samples(self) -> NDArray[np.uint8]:
        """Scenes above their reconstructions."""
        look = self.sources[0].look
        pictures = np.stack([data.render("unseen", i, 256, look).image for i in range(6)])
        output = self.model.decode(self.model.latent(data.to_tensor(pictures).to(self.device)))
        return data.sheet(np.concatenate([pictures, data.to_pictures(output)]), 6)

    def state_dict(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "usage": self.usage,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])  # type: ignore[arg-type]
        self.usage.copy_(state["usage"])  # type: ignore[arg-type]

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Writes the model; normalises the latent over scenes of the training split if it is new."""
        model = first_stage(self.model.spec)
        model.load_state_dict({name: tensor.cpu() for name, tensor in self.model.state_dict().items()})
        if self.settings.train_encoder:
            pictures = self.sets[0][:256]
            latents = torch.cat(
                [model.latent(data.to_tensor(pictures[i : i + 16])) for i in range(0, len(pictures), 16)]
            )
            normalise_latent(model, latents)
        write_model(folder, model.state_dict(), self.config)


def _denoised(
    folder: Path, sources: Sequence[SceneSource], settings: FirstStageSettings, cache: Path
) -> list[Tensor]:
    """Of every source.

    Raises:
        ConfigError: the folder holds no diffusion model, or the encoder is to be trained too.
    """
    model = load_model(folder)
    if not isinstance(model, LatentDiffusion) or settings.train_encoder:
        raise ConfigError("denoiser needs the folder of a diffusion model, and train_encoder: false.")
    weights = folder / "model.safetensors"
    return [denoised(model, source, cache, weights, settings.denoised_below) for source in sources]


def _apply(optimizer: torch.optim.Optimizer, loss: Tensor, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
    optimizer.step()
