"""Measures models on unseen scenes, one function a task.

Each of them first measures its judge on the scenes themselves: no model can be shown to be better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.conditioners import Box, Inputs
from ldm_core.diffusion.guidance import Guidance
from ldm_core.engine.sample import sample
from ldm_core.evaluation import compare, metrics, objects
from ldm_core.evaluation.compare import Judges
from ldm_core.evaluation.judging import BATCH, Pictures, accuracies, judge_pictures
from ldm_core.evaluation.unseen import Settings, images, unseen_scenes
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.tasks.paste import with_gradients
from ldm_core.tasks.upscale import with_colours_of
from ldm_core.training import data
from ldm_core.training.degrade import degrade
from ldm_core.training.lpips import LPIPS
from ldm_core.training.masks import random_mask
from ldm_core.training.sources import SceneSource

SHOWN = 32  # pictures on a contact sheet at most
_VARIED = 6  # prompts, and pictures of each, that tell variety
# What holes hide.  The scene itself with this drawn anew in the hole shows what a share of preferred pictures
# is worth; a model that goes on with what crosses the border may do better.
_HIDDEN: Mapping[str, tuple[scenes.Part, ...]] = {
    "objects": ("objects",),
    "details": ("sky", "water", "ground", "objects", "finish"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Figures by name, and a contact sheet (h, w, 3)."""

    figures: dict[str, float]
    sheet: Pictures


@torch.inference_mode()
def evaluate_first_stage(model: FirstStage, settings: Settings, lpips: LPIPS | None = None) -> Report:
    """Reconstructions; KL: through the posterior's mean."""
    originals = images(unseen_scenes(settings))
    parameter = next(model.parameters())
    outputs = [
        data.to_pictures(model.decode(model.latent(data.to_tensor(originals[i : i + BATCH]).to(parameter))))
        for i in range(0, settings.count, BATCH)
    ]
    reconstructions = np.concatenate(outputs)
    figures = compare.likeness(originals, reconstructions, lpips)
    shown = min(6, settings.count)
    return Report(figures, data.sheet(np.concatenate([originals[:shown], reconstructions[:shown]]), shown))


def evaluate_text_to_image(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Do pictures show what their prompts name?"""
    rendered = unseen_scenes(settings)
    real = judge_pictures(judges.scenes, images(rendered))
    started = time.perf_counter()
    pictures = generate(model, [Inputs(prompt=scenes.describe(s.attributes)) for s in rendered], settings)
    seconds = time.perf_counter() - started
    made = judge_pictures(judges.scenes, pictures)
    wanted = [scene.attributes for scene in rendered]
    figures = {f"judge_on_scenes_{name}": v for name, v in accuracies(real, wanted).items()}
    figures |= {f"shown_{name}": v for name, v in accuracies(made, wanted).items()}
    figures |= compare.objects_found(rendered, judges, objects.by_prompt, real, made)
    figures |= {"invented": objects.invented(rendered, made.labels, judges.scenes.classes)}
    figures |= compare.distribution(real, made) | compare.fid(judges, images(rendered), pictures)
    figures |= compare.sharpness(images(rendered), pictures) | {"variety": _variety(model, judges, settings)}
    figures |= {"pictures_per_second": settings.count / seconds}
    if judges.neighbours is not None:
        figures |= compare.copies(judges.scenes, made, judges.neighbours, real)
    return Report(figures, _sheet(pictures))


def evaluate_unconditional(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Are pictures from nothing but the seed like scenes?"""
    return _plain(model, judges, settings, [Inputs()] * settings.count)


def evaluate_classes(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Are pictures of the unseen scenes' classes like these scenes?"""
    source = SceneSource("unseen", settings.size, settings.first + settings.count, settings.look)
    inputs = [Inputs(class_id=source.class_id(i)) for i in settings.numbers]
    return _plain(model, judges, settings, inputs)


def _plain(model: LatentDiffusion, judges: Judges, settings: Settings, inputs: list[Inputs]) -> Report:
    originals = images(unseen_scenes(settings))
    pictures = generate(model, inputs, settings)
    real, made = (judge_pictures(judges.scenes, p) for p in (originals, pictures))
    figures = compare.distribution(real, made) | compare.fid(judges, originals, pictures)
    if judges.neighbours is not None:
        figures |= compare.copies(judges.scenes, made, judges.neighbours, real)
    return Report(figures, _sheet(pictures))


def evaluate_semantic(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Do pictures show the classes of their label maps, where the maps have them?"""
    rendered = unseen_scenes(settings)
    wanted = scenes.coarse(np.stack([scene.labels for scene in rendered]))
    inputs = [
        Inputs(prompt=scenes.describe(s.attributes), label_map=torch.from_numpy(s.labels)) for s in rendered
    ]
    pictures = generate(model, inputs, settings)
    real, made = (judge_pictures(judges.scenes, p) for p in (images(rendered), pictures))
    classes = len(scenes.CLASSES)
    figures = {
        "judge_on_scenes_miou": metrics.mean_iou(wanted, scenes.coarse(real.labels), classes),
        "miou": metrics.mean_iou(wanted, scenes.coarse(made.labels), classes),
        **compare.objects_found(rendered, judges, objects.by_map, real, made),
        **compare.sharpness(images(rendered), pictures),
        **compare.distribution(real, made),
        **compare.fid(judges, images(rendered), pictures),
    }
    return Report(figures, _sheet(images(rendered), pictures))


def evaluate_layout(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Do pictures hold an object of its class in every box?"""
    rendered = unseen_scenes(settings)
    inputs = [Inputs(prompt=scenes.describe(s.attributes), boxes=_boxes(s)) for s in rendered]
    pictures = generate(model, inputs, settings)
    real, made = (judge_pictures(judges.scenes, p) for p in (images(rendered), pictures))
    figures = {
        "judge_on_scenes_box_recall": compare.box_recall(rendered, real),
        "box_recall": compare.box_recall(rendered, made),
        **compare.objects_found(rendered, judges, objects.by_box, real, made),
        **compare.sharpness(images(rendered), pictures),
        **compare.distribution(real, made),
        **compare.fid(judges, images(rendered), pictures),
    }
    return Report(figures, _sheet(np.stack([_outlined(scene) for scene in rendered]), pictures))


def evaluate_inpainting(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Is what fills the holes nearer to the scenes than OpenCV's Telea, and are the borders unseen?"""
    rng = np.random.default_rng(settings.first)
    rendered = unseen_scenes(settings)
    originals = images(rendered)
    masks = np.stack([random_mask(rng, settings.size, settings.size) for _ in rendered]) > 0
    inputs = [
        Inputs(
            prompt=scenes.describe(scene.attributes),
            image=data.to_tensor(scene.image[None])[0],
            mask=torch.from_numpy(mask)[None].float(),
        )
        for scene, mask in zip(rendered, masks, strict=True)
    ]
    filled = _pasted(generate(model, inputs, settings), originals, masks)
    telea = np.stack(
        [
            cv2.inpaint(o, m.astype(np.uint8), 5, cv2.INPAINT_TELEA)
            for o, m in zip(originals, masks, strict=True)
        ]
    )
    distance = compare.feature_distance(judges)
    limits = distance(originals, telea)

    def preferred(pictures: Pictures) -> float:
        return float(np.mean(distance(originals, pictures) < limits))

    redrawn = {
        name: _pasted(images([_anew(scene, stages) for scene in rendered]), originals, masks)
        for name, stages in _HIDDEN.items()
    }
    seams = [
        np.mean([metrics.seam(p, m) for p, m in zip(pictures, masks, strict=True)])
        for pictures in (originals, filled, telea)
    ]
    borders = [
        np.mean([metrics.border_error(*triple) for triple in zip(originals, pictures, masks, strict=True)])
        for pictures in (filled, telea)
    ]
    real, ours, theirs = (judge_pictures(judges.scenes, p).features for p in (originals, filled, telea))
    figures = {
        "preferred_to_telea": preferred(filled),
        **{f"other_{name}_preferred_to_telea": preferred(pictures) for name, pictures in redrawn.items()},
        "seam_of_originals": float(seams[0]),
        "seam": float(seams[1]),
        "seam_of_telea": float(seams[2]),
        "border_error": float(borders[0]),
        "border_error_of_telea": float(borders[1]),
        "scene_frechet_distance": metrics.frechet_distance(real, ours),
        "scene_frechet_distance_of_telea": metrics.frechet_distance(real, theirs),
        **compare.likeness(originals, filled, judges.lpips),
    }
    grey = np.where(masks[..., None], np.uint8(128), originals)
    return Report(figures, _sheet(grey, telea, filled))


def _anew(scene: scenes.Scene, stages: Collection[scenes.Part]) -> scenes.Scene:
    height, width = scene.labels.shape
    return scenes.render(scene.attributes, scene.seed, height, width, stages)


def _pasted(drawn: Pictures, originals: Pictures, masks: NDArray[np.bool_]) -> Pictures:
    """What was drawn, in the holes of the originals."""
    pasted = [
        with_gradients(d.astype(np.float32), o, m) for d, o, m in zip(drawn, originals, masks, strict=True)
    ]
    return np.where(masks[..., None], np.stack(pasted).round().clip(0, 255).astype(np.uint8), originals)


def evaluate_super_resolution(model: LatentDiffusion, judges: Judges, settings: Settings) -> Report:
    """Are enlarged pictures nearer to the scenes than bicubic ones?"""
    rng, f = np.random.default_rng(settings.first), model.spec.first_stage.downsampling
    rendered = unseen_scenes(settings)
    originals = images(rendered)
    small = np.stack([degrade(picture, f, rng) for picture in originals])
    drawn = generate(model, [Inputs(low_res=image) for image in data.to_tensor(small)], settings)
    made = np.stack([with_colours_of(*pair) for pair in zip(small, drawn, strict=True)])
    side = (settings.size, settings.size)
    bicubic = np.stack([cv2.resize(s, side, interpolation=cv2.INTER_CUBIC) for s in small]).astype(np.uint8)
    real, ours, theirs = (judge_pictures(judges.scenes, p).features for p in (originals, made, bicubic))
    figures = {
        **compare.likeness(originals, made, judges.lpips),
        "psnr_of_bicubic_db": float(metrics.psnr(originals, bicubic).mean()),
        "scene_frechet_distance": metrics.frechet_distance(real, ours),
        "scene_frechet_distance_of_bicubic": metrics.frechet_distance(real, theirs),
    }
    return Report(figures, _sheet(bicubic, made, originals))


Evaluation = Callable[[LatentDiffusion, Judges, Settings], Report]
EVALUATIONS: dict[str, Evaluation] = {
    "unconditional": evaluate_unconditional,
    "class": evaluate_classes,
    "text-to-image": evaluate_text_to_image,
    "semantic": evaluate_semantic,
    "layout": evaluate_layout,
    "inpaint": evaluate_inpainting,
    "super-resolution": evaluate_super_resolution,
}


def generate(model: LatentDiffusion, inputs: Sequence[Inputs], settings: Settings) -> Pictures:
    """(n, size, size, 3); their seeds are the scenes' numbers, and go on where there are more pictures."""
    batches = []
    for start in range(0, len(inputs), BATCH):
        part = inputs[start : start + BATCH]
        seeds = [settings.first + i for i in range(start, start + len(part))]
        z = sample(
            model,
            part,
            height=settings.size,
            width=settings.size,
            steps=settings.steps,
            guidance=Guidance(settings.guidance_scale, end=settings.guidance_end),
            spacing=settings.spacing,
            seeds=seeds,
        )
        batches.append(data.to_pictures(model.decode(z)))
    return np.concatenate(batches)


def _variety(model: LatentDiffusion, judges: Judges, settings: Settings) -> float:
    """How far pictures of one prompt lie apart, by how far scenes of the same attributes do."""
    prompts = min(_VARIED, settings.count)
    numbers = [i for i in settings.numbers[:prompts] for _ in range(_VARIED)]
    attributes = [data.attributes("unseen", i, settings.look) for i in numbers]
    side = settings.size
    originals = images([scenes.render(a, 1000 + k, side, side) for k, a in enumerate(attributes)])
    pictures = generate(model, [Inputs(prompt=scenes.describe(a)) for a in attributes], settings)
    made, real = (judge_pictures(judges.scenes, p).features for p in (pictures, originals))
    return metrics.spread(made, _VARIED) / metrics.spread(real, _VARIED)


def _boxes(scene: scenes.Scene) -> tuple[Box, ...]:
    return tuple(Box(scenes.BOX_CLASSES.index(b.label), b.x0, b.y0, b.x1, b.y1) for b in scene.boxes)


def _outlined(scene: scenes.Scene) -> Pictures:
    """(h, w, 3), its boxes drawn on it."""
    picture = scene.image.copy()
    for box in scene.boxes:
        x0, y0, x1, y1 = (round(float(v) * len(picture)) for v in (box.x0, box.y0, box.x1, box.y1))
        cv2.rectangle(picture, (x0, y0), (x1, y1), (255, 255, 255), 2)
    return picture


def _sheet(*rows: Pictures) -> Pictures:
    """Pictures of several kinds, those that belong together above each other."""
    columns = min(8, len(rows[0]))
    count = min(len(rows[0]), SHOWN // len(rows))
    order = [kind[i : i + columns] for i in range(0, count - columns + 1, columns) for kind in rows]
    return data.sheet(np.concatenate(order), columns)


def as_json(report: Report, settings: Settings) -> dict[str, float]:
    described = {
        "pictures": float(settings.count),
        "first": float(settings.first),
        "size": float(settings.size),
        "steps": float(settings.steps),
        "guidance_scale": settings.guidance_scale,
        "guidance_end": settings.guidance_end,
    }
    return {name: round(value, 4) for name, value in (report.figures | described).items()}
