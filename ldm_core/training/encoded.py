"""What a first stage makes of a source's pictures, computed once and kept beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ldm_core.conditioners import Inputs
from ldm_core.conditioners.spatial import known_region, without_hole
from ldm_core.diffusion.parameterization import prediction
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.training import data
from ldm_core.training.loop import precision
from ldm_core.training.masks import random_masks
from ldm_core.training.sources import Arrays, Source, cached


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
        regions = []
        for index, image in enumerate(tqdm(images, f"holes {source.name}")):
            masks = random_masks(holes, source.size, np.random.default_rng([1, index]))
            closed = without_hole(data.to_tensor(image[None]).expand(holes, -1, -1, -1), masks)
            regions.append(known_region(encode(first_stage, closed), masks).half())
        _save(path, torch.stack(regions))
    return torch.from_numpy(np.load(path))


@torch.inference_mode()
def denoised(model: LatentDiffusion, source: Source, cache: Path, weights: Path, below: int) -> Tensor:
    """(count, c, h, w) float16: what the model says of x_0, given x_t at a t < `below` and the caption.

    These are the latents that a decoder is given when the model draws.
    """
    path = cache / f"denoised-{below}-{source.name}-{_age(weights)}.npy"
    if not path.exists():
        arrays = cached(source, cache)
        parts = [
            _denoised(model, source, arrays, range(i, min(i + 16, len(source))), below)
            for i in tqdm(range(0, len(source), 16), f"denoise {source.name}")
        ]
        _save(path, torch.cat(parts))
    return torch.from_numpy(np.load(path))


def _denoised(model: LatentDiffusion, source: Source, arrays: Arrays, rows: range, below: int) -> Tensor:
    rng = np.random.default_rng([2, rows.start])
    z = encode(model.first_stage_model, data.to_tensor(arrays.images[rows.start : rows.stop]))
    channels, size = z.shape[1], (z.shape[2], z.shape[3])
    labels = torch.from_numpy(arrays.labels[rows.start : rows.stop].copy())
    drawn_too = [c for c in model.spec.conditioners if c.latent_channels]
    z = torch.cat([z, *(c.latent(labels, size) for c in drawn_too)], dim=1)
    t = torch.full((len(rows),), int(rng.integers(1, below)))
    alpha, sigma = model.schedule.alpha_sigma(t)
    x = alpha * z + sigma * torch.from_numpy(rng.standard_normal(z.shape, np.float32))
    inputs = [Inputs(prompt=source.caption(i, rng, full=True)) for i in rows]
    output = model.output(x, t, model.condition(inputs, size)).cpu()
    x0 = prediction(model.spec.parameterization, output, x, alpha, sigma).x0
    return x0[:, :channels].half()


def _age(weights: Path) -> str:
    """For a cache's name: a first stage that is trained further is another latent space."""
    return f"{weights.stat().st_mtime_ns:x}"


def _save(path: Path, array: Tensor) -> None:
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, array.numpy())
    unfinished.rename(path)
