"""Trains the scene network on rendered scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ldm_core import scenes
from ldm_core.errors import ModelFileError
from ldm_core.formats.reading import read_state_dict
from ldm_core.training import data
from ldm_core.training.loop import precision, step_generator
from ldm_core.training.scene_network import ATTRIBUTES, INPUT_SIZE, SceneNetwork, targets
from ldm_core.training.sources import SceneSource, cached


@dataclass(frozen=True, slots=True)
class SceneNetworkSettings:
    """counts: number of scenes of the split to train on, by look.

    initial: file of a network to start from, which may know fewer attributes and classes.
    """

    split: str
    counts: Mapping[data.Look, int]
    batch_size: int
    initial: str = ""
    seed: int = 0


def load_scene_network(path: Path) -> SceneNetwork:
    """Frozen, for its features.

    Raises:
        ModelFileError: the file cannot be read, or holds another network.
    """
    found = read_state_dict(path)
    heads = {n.split(".")[1]: len(t) for n, t in found.items() if n.startswith("heads.") and t.ndim == 2}
    known = all(count <= ATTRIBUTES.get(name, 0) for name, count in heads.items())
    classes = len(found.get("segment_out.3.bias", ()))
    network = SceneNetwork(heads, classes) if known and 0 < classes <= len(scenes.CLASSES) else SceneNetwork()
    if {name: t.shape for name, t in found.items()} != {n: t.shape for n, t in network.state_dict().items()}:
        raise ModelFileError(
            f"{path.name} holds no network that knows scenes; assets/configs/scene-network.yaml trains one."
        )
    network.load_state_dict(found)
    return network.eval().requires_grad_(False)


class SceneNetworkTraining:
    """Cross-entropy summed over the attributes, and that of the pixels' classes."""

    def __init__(self, settings: SceneNetworkSettings, cache: Path, device: torch.device) -> None:
        self.settings, self.device = settings, device
        sources = [SceneSource(settings.split, INPUT_SIZE, n, look) for look, n in settings.counts.items()]
        self.sets = [cached(source, cache) for source in sources]
        # Of every scene, which set it stands in, and where.
        self.places = [(k, i) for k, source in enumerate(sources) for i in range(len(source))]
        self.attributes = [data.attributes(settings.split, i, sources[k].look) for k, i in self.places]
        torch.manual_seed(settings.seed)
        network = SceneNetwork()
        if settings.initial:
            _start_from(network, load_scene_network(Path(settings.initial)))
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=0.01, fused=True)

    def update(self, step: int, learning_rate: float) -> dict[str, float]:
        rng = np.random.default_rng([self.settings.seed, step])
        chosen = np.sort(rng.integers(0, len(self.places), self.settings.batch_size))
        rows = [(self.sets[k], i) for k, i in (self.places[c] for c in chosen)]
        # Every second pixel: the network tells classes at half of the picture's size.
        maps = np.stack([scene_set.labels[i, ::2, ::2] for scene_set, i in rows]).astype(np.int64)
        labels = torch.from_numpy(maps).to(self.device)
        pictures = data.to_tensor(np.stack([scene_set.images[i] for scene_set, i in rows])).to(self.device)
        images, labels = augment(pictures, labels, step, self.settings.seed)
        wanted = targets([self.attributes[i] for i in chosen])
        self.network.train()
        with precision(self.device):
            logits, segmentation = self.network(images)
        loss = F.cross_entropy(segmentation.float(), labels)
        for name in logits:
            loss = loss + F.cross_entropy(logits[name].float(), wanted[name].to(self.device))
        right = np.mean([float((logits[n].argmax(1).cpu() == wanted[n]).float().mean()) for n in logits])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        pixels = float((segmentation.argmax(1) == labels).float().mean())
        return {"loss": float(loss.detach()), "right": float(right), "pixels": pixels}

    def samples(self) -> NDArray[np.uint8]:
        return data.sheet(self.sets[0].images[:16], 8)

    def state_dict(self) -> dict[str, object]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]

    def export(self, folder: Path) -> None:
        weights = {name: t.contiguous() for name, t in self.network.state_dict().items()}
        save_file(weights, folder / "model.safetensors")


@torch.no_grad()
def _start_from(network: SceneNetwork, known: SceneNetwork) -> None:
    """Takes over what the other knows; further classes and attributes stay as they are."""
    state = network.state_dict()
    for name, tensor in known.state_dict().items():
        state[name][tuple(slice(n) for n in tensor.shape)] = tensor


def augment(images: Tensor, labels: Tensor, step: int, seed: int) -> tuple[Tensor, Tensor]:
    """Mirrors half of the pictures, softens some as a first stage would, and varies exposure a little."""
    generator = step_generator(seed, step)
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    labels = torch.where(mirrored.view(-1, 1, 1), labels.flip(2), labels)
    if torch.rand((), generator=generator) < 0.4:
        small = F.interpolate(images, scale_factor=0.5, mode="area")
        images = F.interpolate(small, size=images.shape[-2:], mode="bilinear")
    gain = 1.0 + 0.06 * torch.randn(len(images), 1, 1, 1, generator=generator).to(images.device)
    noise = 0.04 * torch.randn(images.shape, generator=generator).to(images.device)
    return ((images * gain) + noise).contiguous(memory_format=torch.channels_last), labels
