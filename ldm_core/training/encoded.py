"""What a first stage makes of a source's pictures, computed once and kept beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ldm_core.conditioners import known_region, without_hole
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.training import data
from ldm_core.training.loop import precision
from ldm_core.training.masks import random_masks
from ldm_core.training.sources import Source, cached


@torch.inference_mode()
def encode(first_stage: FirstStage, images: Tensor) -> Tensor:
    """(b, 3, H, W) -> (b, c, h, w) float32, on the CPU."""
    device = next(first_stage.parameters()).device
    with precision(device):
        return first_stage.latent(images.to(device)).float().cpu()


def latents(first_stage: FirstStage, source: Source, cache: Path, weights: Path) -> Tensor:
    """(count, c, h, w) float16; encoded on first use."""
    path = cache / f"latents-{source.name}-{_age(weights)}.npy"
    if not path.exists():
        images = cached(source, cache).images
        pictures = (data.to_tensor(images[i : i + 32]) for i in range(0, len(images), 32))
        encoded = [encode(first_stage, part).half() for part in tqdm(pictures, f"encode {source.name}")]
        _save(path, torch.cat(encoded))
    return torch.from_numpy(np.load(path))


def known_regions(first_stage: FirstStage, source: Source, cache: Path, weights: Path, holes: int) -> Tensor:
    """(count, holes, c + 1, h, w) float16, the `known_region` of each picture with so many random holes."""
    path = cache / f"known-{holes}-{source.name}-{_age(weights)}.npy"
    if not path.exists():
        images = cached(source, cache).images
        told = []
        for index, image in enumerate(tqdm(images, f"holes {source.name}")):
            masks = random_masks(holes, source.size, np.random.default_rng([1, index]))
            closed = without_hole(data.to_tensor(image[None]).expand(holes, -1, -1, -1), masks)
            told.append(known_region(encode(first_stage, closed), masks).half())
        _save(path, torch.stack(told))
    return torch.from_numpy(np.load(path))


def _age(weights: Path) -> str:
    """For a cache's name: a first stage that is trained further is another latent space."""
    return f"{weights.stat().st_mtime_ns:x}"


def _save(path: Path, array: Tensor) -> None:
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, array.numpy())
    unfinished.rename(path)
