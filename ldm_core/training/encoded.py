"""What a first stage makes of a source's pictures, computed once and kept beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

PIECE = 16  # pictures that are encoded and kept at once


@torch.inference_mode()
def encode(first_stage: FirstStage, images: Tensor) -> Tensor:
    """(b, 3, H, W) -> (b, c, h, w) float32, on the CPU."""
    device = next(first_stage.parameters()).device
    with precision(device):
        return first_stage.latent(images.to(device)).float().cpu()


def latents(first_stage: FirstStage, source: Source, cache: Path, weights: Path) -> Tensor:
    """(count, c, h, w) float16; encoded on first use."""
    images = cached(source, cache).images

    def piece(rows: range) -> Tensor:
        return encode(first_stage, data.to_tensor(images[rows.start : rows.stop])).half()

    return _kept(cache / f"latents-{source.name}-{_age(weights)}.npy", len(images), piece)


def known_regions(first_stage: FirstStage, source: Source, cache: Path, weights: Path, holes: int) -> Tensor:
    """(count, holes, c + 1, h, w) float16, the `known_region` of each picture with so many random holes."""
    images = cached(source, cache).images

    def piece(rows: range) -> Tensor:
        return torch.stack([regions(i) for i in rows])

    def regions(row: int) -> Tensor:
        masks = random_masks(holes, source.size, np.random.default_rng([1, row]))
        closed = without_hole(data.to_tensor(images[row][None]).expand(holes, -1, -1, -1), masks)
        return known_region(encode(first_stage, closed), masks).half()

    return _kept(cache / f"known-{holes}-{source.name}-{_age(weights)}.npy", len(images), piece)


@torch.inference_mode()
def denoised(model: LatentDiffusion, source: Source, cache: Path, weights: Path, below: int) -> Tensor:
    """(count, c, h, w) float16: what the model says of x_0, given x_t at a t < `below` and the caption.

    These are the latents that a decoder is given when the model draws.
    """
    arrays = cached(source, cache)

    def piece(rows: range) -> Tensor:
        return _denoised(model, source, arrays, rows, below)

    return _kept(cache / f"denoised-{below}-{source.name}-{_age(weights)}.npy", len(source), piece)


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


def _kept(path: Path, count: int, compute: Callable[[range], Tensor]) -> Tensor:
    """What a file holds; computed where there is none, in pieces that outlast an interruption."""
    if not path.exists():
        pieces = path.with_suffix("")
        pieces.mkdir(exist_ok=True)
        files = []
        for first in tqdm(range(0, count, PIECE), path.stem):
            files.append(pieces / f"{first}.npy")
            if not files[-1].exists():
                _save(files[-1], compute(range(first, min(first + PIECE, count))).numpy())
        _save(path, np.concatenate([np.load(file) for file in files]))
        shutil.rmtree(pieces)
    return torch.from_numpy(np.load(path))


def _save(path: Path, array: np.ndarray[Any, np.dtype[np.float16]]) -> None:
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, array)
    unfinished.rename(path)
