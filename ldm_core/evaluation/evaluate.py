"""What a first stage keeps, and what a text-to-image model shows of its prompts."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.conditioners import Given
from ldm_core.evaluation.metrics import frechet_distance, psnr
from ldm_core.model import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.sample import sample
from ldm_core.training import data
from ldm_core.training.scene_network import SceneNetwork

Pictures = NDArray[np.uint8]
BATCH = 16


@dataclass(frozen=True, slots=True)
class Report:
    """Figures by name, and a contact sheet (h, w, 3)."""

    figures: dict[str, float]
    sheet: Pictures


def unseen_scenes(count: int, size: int) -> Pictures:
    """(count, size, size, 3); no training uses this split."""
    return np.stack([data.render("unseen", i, size).image for i in range(count)])


@torch.inference_mode()
def evaluate_first_stage(model: FirstStage, count: int, size: int) -> Report:
    """PSNR of reconstructions; KL: through the posterior's mean."""
    originals = unseen_scenes(count, size)
    parameter = next(model.parameters())
    outputs = [
        data.to_pictures(model.decode(model.latent(data.to_tensor(originals[i : i + BATCH]).to(parameter))))
        for i in range(0, count, BATCH)
    ]
    reconstructions = np.concatenate(outputs)
    values = psnr(originals, reconstructions)
    shown = min(6, count)
    figures = {"pictures": float(count), "size": float(size), "psnr_db": float(values.mean())}
    figures |= {"psnr_worst_db": float(values.min())}
    return Report(figures, data.sheet(np.concatenate([originals[:shown], reconstructions[:shown]]), shown))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge sees in pictures: attribute -> (n,) value names, and features (n, d)."""

    attributes: dict[str, list[str]]
    features: NDArray[np.float64]


@torch.inference_mode()
def judge_pictures(judge: SceneNetwork, pictures: Pictures) -> Opinion:
    seen: dict[str, list[str]] = {name: [] for name in scenes.ATTRIBUTES}
    features = []
    for i in range(0, len(pictures), BATCH):
        images = data.to_tensor(pictures[i : i + BATCH])
        for name, logits in judge(images)[0].items():
            seen[name] += [scenes.ATTRIBUTES[name][index] for index in logits.argmax(1).tolist()]
        features.append(judge.features(images).double().numpy())
    return Opinion(seen, np.concatenate(features))


def accuracies(opinion: Opinion, count: int) -> dict[str, float]:
    """Share of the unseen scenes' counted attributes that the judge sees, by attribute and on average."""
    wanted = [data.attributes("unseen", i) for i in range(count)]
    shares = {
        name: float(
            np.mean([s == getattr(a, name) for s, a in zip(opinion.attributes[name], wanted, strict=True)])
        )
        for name in scenes.PHRASES
    }
    return {**shares, "mean": float(np.mean(list(shares.values())))}


def generate(model: LatentDiffusion, count: int, size: int, steps: int, guidance_scale: float) -> Pictures:
    """Pictures for the prompts of the unseen scenes; picture i has seed i."""
    batches = []
    for start in range(0, count, BATCH):
        indices = list(range(start, min(start + BATCH, count)))
        given = [Given(prompt=scenes.describe(data.attributes("unseen", i))) for i in indices]
        z = sample(
            model, given, height=size, width=size, steps=steps, guidance_scale=guidance_scale, seeds=indices
        )
        batches.append(data.to_pictures(model.decode(z)))
    return np.concatenate(batches)


def evaluate_text_to_image(
    model: LatentDiffusion, judge: SceneNetwork, *, count: int, size: int, steps: int, guidance_scale: float
) -> Report:
    """Attribute accuracy, Frechet distance in the judge's features, and pictures a second.

    The judge's own accuracy on the same number of unseen scenes comes first: no model can be shown to be
    better than its judge.
    """
    originals = unseen_scenes(count, size)
    real = judge_pictures(judge, originals)
    started = time.perf_counter()
    pictures = generate(model, count, size, steps, guidance_scale)
    seconds = time.perf_counter() - started
    made = judge_pictures(judge, pictures)
    figures = {f"judge_on_scenes_{name}": share for name, share in accuracies(real, count).items()}
    figures |= {f"shown_{name}": share for name, share in accuracies(made, count).items()}
    figures |= {
        "scene_frechet_distance": frechet_distance(real.features, made.features),
        "pictures": float(count),
        "size": float(size),
        "steps": float(steps),
        "guidance_scale": guidance_scale,
        "pictures_per_second": count / seconds,
    }
    shown = min(count, 32)
    return Report(figures, data.sheet(pictures[: shown - shown % 8 or shown], min(8, shown)))


def as_json(report: Report) -> dict[str, float]:
    figures: dict[str, float] = asdict(report)["figures"]
    return {name: round(value, 4) for name, value in figures.items()}
