"""Stage two: the conditional diffusion model in the latent space (paper, section 3.2 and 3.3, eq. 3)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ldm_core import scenes
from ldm_core.conditioners import Given, Tokenizer
from ldm_core.errors import ConfigError
from ldm_core.model import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.sample import sample
from ldm_core.spec import ModelSpec, TextSpec
from ldm_core.training import data
from ldm_core.training.export import write_model, write_vocabulary
from ldm_core.training.loop import precision, step_generator, update_average
from ldm_core.training.sources import SceneSource, Source, cached


@dataclass(frozen=True, slots=True)
class DiffusionSettings:
    """data: (size in pixels, number of scenes, share of the steps) of each set.

    caption_dropout: share of captions replaced by the empty one, for guidance.  word_dropout: share of
    words replaced by [UNK], so that the model copes with words that it does not know.
    full_captions: share of captions that name every attribute in plain words.
    initial: folder of an exported model of the same architecture to start from.
    compile: compile the UNet with torch's inductor, which needs a C++ compiler: minutes at the start, then
    about an eighth quicker on a CPU.
    """

    data: tuple[tuple[int, int, float], ...]
    first_stage: str
    batch_size: int
    caption_dropout: float = 0.1
    word_dropout: float = 0.03
    full_captions: float = 0.0
    ema_decay: float = 0.999
    initial: str = ""
    compile: bool = False
    seed: int = 0


class DiffusionTraining:
    """Text to image on cached latents; captions are worded anew at every step."""

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
    ) -> None:
        self.settings, self.device = settings, device
        out.mkdir(parents=True, exist_ok=True)
        write_vocabulary(scenes.vocabulary(), out / "vocab.txt")
        described = spec.conditioner(TextSpec)
        if described is None:
            raise ConfigError("A diffusion training needs a model with a text transformer.")
        self.tokenizer = Tokenizer(out / "vocab.txt", described.max_length)
        text = dataclasses.replace(described, vocab_size=self.tokenizer.vocab_size)
        conditioners = tuple(text if one is described else one for one in spec.conditioners)
        self.spec = dataclasses.replace(spec, conditioners=conditioners)
        self.config = _with_vocab_size(config, text.vocab_size)
        self.shares_first_stage = shares_first_stage
        self.first_stage = first_stage
        self.sources = [SceneSource("train", size, count) for size, count, _ in settings.data]
        self.latents = [
            latents(first_stage, source, cache, Path(settings.first_stage), device) for source in self.sources
        ]

        torch.manual_seed(settings.seed)
        full = LatentDiffusion(self.spec, self.tokenizer)
        assert full.cond_stage_model is not None
        self.model = nn.ModuleDict({"unet": full.model.diffusion_model, "text": full.cond_stage_model})
        self.schedule = full.schedule
        if settings.initial:
            self._start_from(Path(settings.initial) / "model.safetensors")
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.unet = torch.compile(self.model["unet"]) if settings.compile else self.model["unet"]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )

    def _start_from(self, exported: Path) -> None:
        """Takes over the networks of an exported model; its first stage, where it holds one, is left out."""
        prefixes = {"unet": "model.diffusion_model.", "text": "cond_stage_model."}
        weights = load_file(exported)
        for name, prefix in prefixes.items():
            part = {
                key.removeprefix(prefix): t.float() for key, t in weights.items() if key.startswith(prefix)
            }
            self.model[name].load_state_dict(part)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Latents (b, c, h, w) and token ids (b, n)."""
        rng = np.random.default_rng([self.settings.seed, step])
        shares = np.array([share for *_, share in self.settings.data])
        number = rng.choice(len(shares), p=shares / shares.sum())
        source, encoded = self.sources[number], self.latents[number]
        chosen = rng.integers(0, len(source), self.settings.batch_size)
        z = encoded[torch.from_numpy(chosen)]
        full = rng.random(len(chosen)) < self.settings.full_captions
        captions = [source.caption(int(i), rng, bool(all_)) for i, all_ in zip(chosen, full, strict=True)]
        dropped = rng.random(len(captions)) < self.settings.caption_dropout
        tokens = self.tokenizer(["" if drop else text for text, drop in zip(captions, dropped, strict=True)])
        unknown = torch.from_numpy(rng.random(tokens.shape) < self.settings.word_dropout) & (tokens > 3)
        return z.float().to(self.device), tokens.masked_fill(unknown, 1).to(self.device)

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64, uniform in the angle arctan(sigma_t / alpha_t), as in a cosine schedule.

        Uniform in t, half of them would be almost pure noise (alpha_bar < 0.12 with the published schedule).
        """
        alpha_bar = self.schedule.alphas_cumprod
        angles = torch.atan2((1 - alpha_bar).sqrt(), alpha_bar.sqrt())
        drawn = torch.rand(count, generator=generator, dtype=torch.float64) * angles[-1]
        return torch.searchsorted(angles, drawn)

    def update(self, step: int, learning_rate: float) -> dict[str, float]:
        z, tokens = self._batch(step)
        generator = step_generator(self.settings.seed, step)
        t = self._timesteps(len(z), generator).to(self.device)
        eps = torch.randn(z.shape, generator=generator).to(self.device)
        alpha, sigma = self.schedule.alpha_sigma(t)
        x_t = (alpha * z + sigma * eps).contiguous(memory_format=torch.channels_last)
        target = {"eps": eps, "x0": z, "v": alpha * eps - sigma * z}[self.spec.parameterization]
        with precision(self.device):
            prediction = self.unet(x_t, t, self.model["text"](tokens))
        loss = F.mse_loss(prediction.float(), target)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        update_average(self.average, self.model, step, self.settings.ema_decay)
        return {"loss": float(loss.detach())}

    def assembled(self) -> LatentDiffusion:
        """The whole model with the averaged weights, as it is shipped."""
        return LatentDiffusion.from_state_dict(self.spec, self._weights(), self.tokenizer, device=self.device)

    def _weights(self) -> dict[str, Tensor]:
        parts = {
            "first_stage_model.": self.first_stage,
            "model.diffusion_model.": self.average["unet"],
            "cond_stage_model.": self.average["text"],
        }
        return {prefix + name: t for prefix, part in parts.items() for name, t in part.state_dict().items()}

    def samples(self) -> NDArray[np.uint8]:
        """Pictures of unseen captions at the size of the first set."""
        rng = np.random.default_rng(7)
        given = [Given(prompt=scenes.caption(data.attributes("unseen", i), rng)) for i in range(16)]
        size, model = self.settings.data[0][0], self.assembled()
        z = sample(model, given, height=size, width=size, steps=20, guidance_scale=2.0, seeds=list(range(16)))
        return data.sheet(data.to_pictures(model.decode(z)), 8)

    def state_dict(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self.average.load_state_dict(state["average"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]

    def export(self, folder: Path) -> None:
        """Leaves out the first stage where the description names the folder that holds it."""
        weights = self._weights()
        if self.shares_first_stage:
            weights = {name: t for name, t in weights.items() if not name.startswith("first_stage_model.")}
        write_model(folder, weights, self.config)


@torch.inference_mode()
def latents(
    first_stage: FirstStage, source: Source, cache: Path, weights: Path, device: torch.device
) -> Tensor:
    """(count, c, h, w) float16; encoded on first use."""
    # A first stage trained further is another latent space: its file's time stamp is part of the name.
    path = cache / f"latents-{source.name}-{weights.stat().st_mtime_ns:x}.npy"
    if not path.exists():
        pictures = cached(source, cache).images
        encoded = []
        for i in tqdm(range(0, len(pictures), 32), f"encode {source.name}"):
            images = data.to_tensor(pictures[i : i + 32]).to(device)
            with precision(device):
                encoded.append(first_stage.latent(images).half().cpu())
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, torch.cat(encoded).numpy())
        unfinished.rename(path)
    return torch.from_numpy(np.load(path))


def _with_vocab_size(config: Mapping[str, object], vocab_size: int) -> dict[str, object]:
    changed = copy.deepcopy(dict(config))
    model = changed["model"]
    assert isinstance(model, dict)
    model["params"]["cond_stage_config"]["params"]["vocab_size"] = vocab_size
    return changed
