"""Stage two: the conditional diffusion model in the latent space (paper, section 3.2 and 3.3, eq. 3)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from ldm_core import scenes
from ldm_core.conditioners import Cond, KnownRegionSpec, TextSpec
from ldm_core.conditioners.base import COND_STAGE, Conditioner
from ldm_core.conditioners.tokenizer import Tokenizer
from ldm_core.diffusion.schedule import NoiseSchedule
from ldm_core.engine.sample import sample
from ldm_core.errors import ConfigError
from ldm_core.formats.shapes import REFINER, UNET
from ldm_core.model_spec import ModelSpec
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.nn.unet import UNet
from ldm_core.training import data
from ldm_core.training.batches import Batch, Batches, TrainingSet, Wording
from ldm_core.training.encoded import known_regions, latents
from ldm_core.training.export import write_model, write_vocabulary
from ldm_core.training.focus import class_weights
from ldm_core.training.loop import precision, step_generator, update_average
from ldm_core.training.parallel import ALONE, Processes, gathering
from ldm_core.training.sources import Arrays, FolderSource, SceneSource, Source, VariedSource, cached


@dataclass(frozen=True, slots=True)
class DiffusionSettings:
    """data: (size in pixels, number of scenes, share of the batches, look or none for paintings) of each set.

    varied: varied crops of the scenes, of that size, instead of whole ones; see `VariedSource`.
    folder: a person's own pictures, instead of scenes; see `FolderSource`.  size: of them, in pixels.
    batch_size: samples a step on each process.  accumulate: turns in which they are computed, to save
    memory; so does checkpointing, which computes the UNet's activations twice.
    dropout: share of the samples without a condition, by its name.  word_dropout: share of words replaced by
    [UNK].  full_captions: share of captions that say everything in plain words.
    min_snr: gamma of min-SNR weighting (arXiv:2303.09556), 0 for none.
    holes: of each picture, cached with what is known beside them (`known_region`); 0: drawn and encoded anew
    at every step, which takes a third of the time of a small model's.
    focus: errors count more in holes and where a label map asks for a rare class (`training/focus.py`).
    noise_shift: factor on sigma_t / alpha_t of the timesteps that are drawn; a larger latent is told apart
    from noise up to higher noise (arXiv:2403.03206, section 5.3.2).
    timesteps: the first and the one after the last that are drawn, for an expert of a part of them.
    initial: folder of an exported model to start from; where the UNet takes or gives more channels than the
    model's, those begin at zero.
    trains: which UNet, where the model has a refiner (`RefinerSpec`); the other one comes from `initial`, and
    with a refiner so does the conditioner that they share.
    compile: compile the UNet with torch's inductor, which needs a C++ compiler: minutes at the start, then
    about an eighth quicker on a CPU.
    """

    first_stage: str
    batch_size: int
    data: tuple[tuple[int, int, float] | tuple[int, int, float, data.Look], ...] = ()
    varied: bool = False
    folder: str = ""
    size: int = 256
    accumulate: int = 1
    checkpointing: bool = False
    dropout: Mapping[str, float] = field(default_factory=dict)
    word_dropout: float = 0.02
    full_captions: float = 0.0
    loss: Literal["l1", "l2"] = "l2"
    min_snr: float = 0.0
    holes: int = 0
    focus: bool = False
    noise_shift: float = 1.0
    timesteps: tuple[int, int] = (0, 1000)
    ema_decay: float = 0.999
    initial: str = ""
    trains: Literal["unet", "refiner"] = "unet"
    compile: bool = False
    seed: int = 0


class Denoiser(nn.Module):
    """The networks that are trained: the UNet, and those of the conditioners, by their names in a model."""

    def __init__(self, unet: nn.Module, model: LatentDiffusion) -> None:
        super().__init__()
        self.unet = unet
        self.conditioners = model.spec.conditioners
        names = [conditioner.module_name for conditioner in self.conditioners if conditioner.module_name]
        self.networks = nn.ModuleDict({name: model.get_submodule(name) for name in names})

    def forward(self, x_t: Tensor, t: Tensor, batch: Batch) -> Tensor:
        pairs = zip(self.conditioners, batch.prepared, strict=True)
        cond = Cond.joined(
            [conditioner.enter(part, self._network(conditioner)) for conditioner, part in pairs]
        )
        return self.unet(cond.unet_input(x_t), t, cond.context, cond.vector)

    def _network(self, conditioner: Conditioner) -> nn.Module | None:
        return self.networks[conditioner.module_name] if conditioner.module_name else None


class DiffusionTraining:
    """Eq. 3 on cached latents; conditions are drawn anew at every step."""

    def __init__(
        self,
        spec: ModelSpec,
        settings: DiffusionSettings,
        config: Mapping[str, object],
        first_stage: FirstStage,
        shares_first_stage: bool,
        cache: Path,
        out: Path,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        self.settings, self.device, self.processes = settings, device, processes
        self.first_stage, self.shares_first_stage = first_stage, shares_first_stage
        out.mkdir(parents=True, exist_ok=True)
        sets = training_sets(spec, settings, first_stage, cache, device, processes)
        self.tokenizer = _tokenizer(spec, sets, out, settings.initial, processes)
        self.spec = _with_vocabulary(spec, self.tokenizer)
        self.config = _described(config, self.tokenizer)
        wording = Wording(settings.full_captions, settings.word_dropout)
        self.batches = Batches(self.spec, sets, self.tokenizer, first_stage, settings.dropout, wording)

        torch.manual_seed(settings.seed)
        full = LatentDiffusion(self.spec, self.tokenizer)
        self.schedule = full.schedule
        start = load_file(Path(settings.initial) / "model.safetensors") if settings.initial else {}
        self.prefix, other = (UNET, REFINER) if settings.trains == "unet" else (REFINER, UNET)
        self.others = {name: tensor for name, tensor in start.items() if name.startswith(other)}
        if self.spec.refiner is None:
            self.others = {}
        elif not self.others:
            raise ConfigError(
                f"A refiner and its UNet are trained one beside the other: initial has to hold {other}*."
            )
        unet = full.model.diffusion_model if settings.trains == "unet" else full.model.refiner
        assert isinstance(unet, UNet)
        unet.checkpointing = settings.checkpointing
        self.model = Denoiser(unet, full)
        _start_from(self.model, start, self.prefix)
        self.model.networks.requires_grad_(settings.trains == "unet" and _trains_conditioner(config))
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.network = processes.wrap(self.model)
        if settings.compile:
            self.model.unet.compile()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )

    def update(self, step: int, learning_rate: float) -> dict[str, float]:
        s, total = self.settings, 0.0
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        count = s.batch_size * self.processes.count
        batch = self.batches.draw(np.random.default_rng([s.seed, step]), count)
        generator = step_generator(s.seed, step)
        t = timesteps(self.schedule, s.noise_shift, s.timesteps, count, generator)
        eps = torch.randn(batch.z.shape, generator=generator)
        for turn in range(s.accumulate):

            def of_turn(part: Tensor, turn: int = turn) -> Tensor:
                return self.processes.rank_part(part, s.accumulate, turn).to(self.device)

            with gathering(self.network, last=turn == s.accumulate - 1):
                loss = self._loss(batch.map(of_turn), of_turn(t), of_turn(eps)) / s.accumulate
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        update_average(self.average, self.model, step, s.ema_decay)
        return {"loss": total}

    def _loss(self, batch: Batch, t: Tensor, eps: Tensor) -> Tensor:
        """Eq. 2, and with a condition eq. 3."""
        alpha, sigma = self.schedule.alpha_sigma(t)
        x_t = alpha * batch.z + sigma * eps
        wanted = torch.ones_like(x_t) if batch.drawn is None else batch.drawn
        match self.spec.parameterization:
            case "eps":
                target = eps
            case "v":
                target = alpha * eps - sigma * batch.z
            case "x0":
                target = batch.z
        with precision(self.device):
            prediction = self.network(x_t, t, batch).float()
        difference = prediction - target
        error = difference.abs() if self.settings.loss == "l1" else difference**2
        if batch.weight is not None:
            error = error * batch.weight
        return (error * wanted * self._weight(alpha, sigma)).sum() / wanted.sum()

    def _weight(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """min(SNR, gamma) on x_0's error, put in terms of what is predicted (arXiv:2303.09556)."""
        if not self.settings.min_snr:
            return torch.ones_like(alpha)
        snr = (alpha / sigma) ** 2
        weight = snr.clamp(max=self.settings.min_snr)
        return {"x0": weight, "eps": weight / snr, "v": weight / (snr + 1)}[self.spec.parameterization]

    def assembled(self) -> LatentDiffusion:
        """The whole model with the averaged weights, as it is shipped."""
        return LatentDiffusion.from_state_dict(self.spec, self._weights(), self.tokenizer, device=self.device)

    def _weights(self) -> dict[str, Tensor]:
        parts: dict[str, nn.Module] = {
            "first_stage_model.": self.first_stage,
            self.prefix: self.average.unet,
            **{f"{name}.": network for name, network in self.average.networks.items()},
        }
        return self.others | {
            prefix + name: tensor
            for prefix, part in parts.items()
            for name, tensor in part.state_dict().items()
        }

    def samples(self) -> NDArray[np.uint8]:
        """Pictures for what the first 16 samples of a batch give."""
        inputs = self.batches.inputs(np.random.default_rng(7), 16)
        model, size = self.assembled(), self.batches.sets[0].source.size
        z = sample(model, inputs, height=size, width=size, steps=20, guidance=2.0, seeds=range(16))
        return data.sheet(data.to_pictures(model.decode(z)), 8)

    def state_dict(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.model.load_state_dict(_by_present_names(state["model"]))
        self.average.load_state_dict(_by_present_names(state["average"]))
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]

    def export(self, folder: Path) -> None:
        """Leaves out the first stage where the description names the folder that holds it."""
        weights = self._weights()
        if self.shares_first_stage:
            weights = {name: t for name, t in weights.items() if not name.startswith("first_stage_model.")}
        write_model(folder, weights, self.config)


def _by_present_names(state: object) -> dict[str, Tensor]:
    """A checkpoint's tensors; one with a network beside the UNet, `conditioner`, means the published one."""
    assert isinstance(state, dict)
    former, present = "conditioner.", f"networks.{COND_STAGE}."
    return {
        present + name.removeprefix(former) if name.startswith(former) else name: tensor
        for name, tensor in state.items()
    }


def timesteps(
    schedule: NoiseSchedule, shift: float, between: tuple[int, int], count: int, generator: torch.Generator
) -> Tensor:
    """(count,) int64, uniform in the angle arctan(sigma_t / alpha_t), as in a cosine schedule.

    Uniform in t, half of them would be almost pure noise (alpha_bar < 0.12 with the published schedule).
    """
    alpha_bar = schedule.alphas_cumprod
    angles = torch.atan2((1 - alpha_bar).sqrt(), alpha_bar.sqrt())
    low, high = between[0], min(between[1], len(angles)) - 1
    first, last = torch.atan(torch.tan(angles[[low, high]]) / shift)
    drawn = first + (last - first) * torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.searchsorted(angles, torch.atan(shift * torch.tan(drawn))).clamp(low, high)


def training_sets(
    spec: ModelSpec,
    settings: DiffusionSettings,
    first_stage: FirstStage,
    cache: Path,
    device: torch.device,
    processes: Processes,
) -> list[TrainingSet]:
    """The pictures and their latents; the first process makes the caches, the others read them."""
    sources: list[tuple[Source, float]] = []
    for size, count, share, *look in settings.data:
        varied = VariedSource("train", size, count)
        sources.append((varied if settings.varied else SceneSource("train", size, count, *look), share))
    if settings.folder:
        folder = FolderSource.read(Path(settings.folder), settings.size, scenes.BOX_CLASSES)
        sources.append((folder, 1.0))
    if not processes.first:
        processes.wait()
    file = Path(settings.first_stage)
    sets = []
    for source, share in sources:
        arrays, z = cached(source, cache), latents(first_stage, source, cache, file)
        drawn_too = [c for c in spec.conditioners if c.latent_channels]
        z = torch.cat([z, *(_latent(c, arrays, (z.shape[2], z.shape[3])) for c in drawn_too)], dim=1)
        known = None
        if settings.holes and spec.conditioner(KnownRegionSpec) is not None:
            known = known_regions(first_stage, source, cache, file, settings.holes)
        weights = class_weights(arrays.labels) if settings.focus else None
        sets.append(TrainingSet(source, arrays, z, share, known, weights))
    if processes.first:
        processes.wait()
    return sets


def _latent(conditioner: Conditioner, arrays: Arrays, size: tuple[int, int]) -> Tensor:
    """(n, digits, h, w) float16, what the latents go on with."""
    rows = [
        conditioner.latent(torch.from_numpy(arrays.labels[i : i + 16].copy()), size).half()
        for i in range(0, len(arrays.labels), 16)
    ]
    return torch.cat(rows)


def _start_from(model: Denoiser, weights: Mapping[str, Tensor], unet: str) -> None:
    """Takes over those of an exported model's networks that it holds; `unet` is the UNet's prefix."""
    networks = {f"{name}.": network for name, network in model.networks.items()}
    for prefix, part in {unet: model.unet, **networks}.items():
        found = {k.removeprefix(prefix): t.float() for k, t in weights.items() if k.startswith(prefix)}
        if found:
            wanted = part.state_dict()
            part.load_state_dict({name: _grown(tensor, wanted[name].shape) for name, tensor in found.items()})


def _grown(weight: Tensor, shape: torch.Size) -> Tensor:
    """With zeros after its own numbers: added inputs do nothing yet, added outputs are zero."""
    if weight.shape == shape:
        return weight
    grown = weight.new_zeros(shape)
    grown[tuple(slice(n) for n in weight.shape)] = weight
    return grown


def _tokenizer(
    spec: ModelSpec, sets: list[TrainingSet], out: Path, initial: str, processes: Processes
) -> Tokenizer | None:
    """One token for each word of the captions; None for a model without a prompt.

    A training that goes on keeps the vocabulary it began with, and words of `initial` keep their ids,
    whatever words captions have meanwhile.
    """
    text = spec.conditioner(TextSpec)
    if text is None:
        return None
    vocabulary, begun = out / "vocab.txt", Path(initial) / "vocab.txt"
    if processes.first and not vocabulary.is_file():
        words = {word for entry in sets for word in entry.source.vocabulary()}
        write_vocabulary(words, vocabulary, begun if initial and begun.is_file() else None)
    processes.wait()
    return Tokenizer(vocabulary, text.max_length)


def _with_vocabulary(spec: ModelSpec, tokenizer: Tokenizer | None) -> ModelSpec:
    if tokenizer is None:
        return spec
    conditioners = tuple(c.with_vocabulary(tokenizer.vocab_size) for c in spec.conditioners)
    return dataclasses.replace(spec, conditioners=conditioners)


def _trains_conditioner(config: Mapping[str, object]) -> bool:
    """The published schema's `cond_stage_trainable`; experts that share a conditioner must not change it."""
    model = config["model"]
    assert isinstance(model, dict)
    return bool(model["params"].get("cond_stage_trainable", True))


def _described(config: Mapping[str, object], tokenizer: Tokenizer | None) -> dict[str, object]:
    """The description with the vocabulary's size, which the captions decide."""
    changed = copy.deepcopy(dict(config))
    if tokenizer is not None:
        model = changed["model"]
        assert isinstance(model, dict)
        model["params"]["cond_stage_config"]["params"]["vocab_size"] = tokenizer.vocab_size
    return changed
